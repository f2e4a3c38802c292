"""Cycles of an R x C systolic array in closed form, for the three stationary dataflows.

A matrix product M x K times K x N is cut into folds of the array; each fold fills the array, streams
what is not stationary through it, and drains:

    dataflow             rows hold  columns hold  streamed  cycles
    weight stationary    K          N             M         ceil(K/R) ceil(N/C) (M + 2R + C - 2) - 1
    output stationary    M          N             K         ceil(M/R) ceil(N/C) (K + R + C - 2) - 1
    input stationary     K          M             N         ceil(K/R) ceil(M/C) (N + 2R + C - 2) - 1

R cycles load the stationary operand (outputs leave while they are still computed elsewhere), R + C - 2
skew the edges. The counts equal those of SCALE-Sim 3.0.0's cycle-by-cycle simulation (tests/data/scalesim_cycles.csv).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..models.errors import InputError

__all__ = ["DATAFLOWS", "Dataflow", "systolic_cycles", "systolic_folds", "systolic_traffic_words"]

Dataflow = Literal["weight_stationary", "output_stationary", "input_stationary"]
DATAFLOWS: tuple[Dataflow, ...] = ("weight_stationary", "output_stationary", "input_stationary")
Floats = NDArray[np.float64]


def _spans(m: ArrayLike, k: ArrayLike, n: ArrayLike, dataflow: str) -> tuple[Floats, Floats, Floats]:
    """(over the rows, over the columns, streamed)."""
    m, k, n = (np.asarray(size, float) for size in (m, k, n))
    spans = {
        "weight_stationary": (k, n, m),
        "output_stationary": (m, n, k),
        "input_stationary": (k, m, n),
    }
    if dataflow not in spans:
        raise InputError("dataflow", dataflow, f"one of {', '.join(DATAFLOWS)}")
    return spans[dataflow]


def systolic_folds(
    m: ArrayLike, k: ArrayLike, n: ArrayLike, rows: int, columns: int, dataflow: str = "weight_stationary"
) -> Floats:
    """Times the array is loaded: ceil(over rows / R) x ceil(over columns / C).

    >>> float(systolic_folds(10, 300, 100, 256, 256))
    2.0
    """
    down, across, _ = _spans(m, k, n, dataflow)
    return np.ceil(down / rows) * np.ceil(across / columns)


def systolic_cycles(
    m: ArrayLike, k: ArrayLike, n: ArrayLike, rows: int, columns: int, dataflow: str = "weight_stationary"
) -> Floats:
    """Cycles of the product M x K times K x N on `rows` x `columns` PEs; sizes may be arrays.

    >>> float(systolic_cycles(10, 16, 8, 8, 8))
    63.0
    """
    if rows < 1 or columns < 1:
        raise InputError("rows, columns", f"{rows}, {columns}", "at least 1")
    streamed = _spans(m, k, n, dataflow)[2]
    load = 0 if dataflow == "output_stationary" else rows
    return systolic_folds(m, k, n, rows, columns, dataflow) * (streamed + load + rows + columns - 2) - 1


def systolic_traffic_words(
    m: ArrayLike, k: ArrayLike, n: ArrayLike, rows: int, columns: int, dataflow: str = "weight_stationary"
) -> dict[str, Floats]:
    """Words between the buffers and the array: weight and input reads, output writes (partial sums included).

    The stationary operand is read once; each streamed one again for every fold along the other axis;
    partial sums leave the array once per fold over K (weight, input stationary).

    >>> {name: float(words) for name, words in systolic_traffic_words(10, 16, 8, 8, 8).items()}
    {'weight': 128.0, 'input': 160.0, 'output': 160.0}
    """
    m, k, n = (np.asarray(size, float) for size in (m, k, n))
    down, across, _ = _spans(m, k, n, dataflow)
    over_rows, over_columns = np.ceil(down / rows), np.ceil(across / columns)
    if dataflow == "weight_stationary":
        return {"weight": k * n, "input": m * k * over_columns, "output": m * n * over_rows}
    if dataflow == "output_stationary":
        return {"weight": k * n * over_rows, "input": m * k * over_columns, "output": m * n * np.ones_like(k)}
    return {"weight": k * n * over_columns, "input": m * k, "output": m * n * over_rows}
