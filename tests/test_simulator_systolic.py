"""Systolic arrays: SCALE-Sim's cycle counts, a wavefront stepped cycle by cycle, folds counted one by one."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picojoule.models.errors import InputError
from picojoule.simulator.systolic import DATAFLOWS, systolic_cycles, systolic_folds, systolic_traffic_words

DATA = Path(__file__).parent / "data" / "scalesim_cycles.csv"
NAMES = {"ws": "weight_stationary", "os": "output_stationary", "is": "input_stationary"}
SIZES = st.integers(1, 40)


def scalesim_rows() -> list[dict[str, str]]:
    with DATA.open() as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


@pytest.mark.parametrize("short", NAMES)
def test_cycles_equal_scalesim_on_every_layer(short: str) -> None:
    """48 counts of SCALE-Sim 3.0.0 for each dataflow: four arrays, twelve products."""
    rows = [row for row in scalesim_rows() if row["dataflow"] == short]
    assert len(rows) == 48
    for row in rows:
        m, k, n, r, c = (int(row[name]) for name in ("M", "K", "N", "array_rows", "array_columns"))
        assert int(systolic_cycles(m, k, n, r, c, NAMES[short])) == int(row["cycles"]), row


def weight_stationary_by_wavefront(m: int, k: int, n: int, rows: int, columns: int) -> int:
    """Index of the last cycle in which a PE works, each fold waiting for the one before to drain.

    A fold loads `rows` rows of weights, one a cycle. Input m enters row r at cycle m + r, meets column c
    at m + r + c; the sum leaves below the array's last row, used or not.
    """
    clock = 0
    for _ in range(0, k, rows):
        for _ in range(0, n, columns):
            last = max(i + r + c for i in range(m) for r in (rows - 1,) for c in (columns - 1,))
            clock += rows + last + 1
    return clock - 1


@given(m=SIZES, k=SIZES, n=SIZES, rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_weight_stationary_cycles_by_wavefront(m: int, k: int, n: int, rows: int, columns: int) -> None:
    assert systolic_cycles(m, k, n, rows, columns) == weight_stationary_by_wavefront(m, k, n, rows, columns)


def traffic_by_folds(m: int, k: int, n: int, rows: int, columns: int, dataflow: str) -> dict[str, int]:
    """Words moved, one fold after another."""
    words = {"weight": 0, "input": 0, "output": 0}
    spans = {"weight_stationary": (k, n, m), "output_stationary": (m, n, k), "input_stationary": (k, m, n)}
    down, across, streamed = spans[dataflow]
    for top in range(0, down, rows):
        for left in range(0, across, columns):
            a, b = min(rows, down - top), min(columns, across - left)
            if dataflow == "weight_stationary":
                moved = (a * b, a * streamed, b * streamed)
            elif dataflow == "output_stationary":
                moved = (b * streamed, a * streamed, a * b)
            else:
                moved = (a * streamed, a * b, b * streamed)
            words = {name: words[name] + more for name, more in zip(words, moved, strict=True)}
    return words


@given(
    m=SIZES, k=SIZES, n=SIZES, rows=st.integers(1, 9), columns=st.integers(1, 9), dataflow=st.sampled_from(DATAFLOWS)
)
def test_traffic_by_folds(m: int, k: int, n: int, rows: int, columns: int, dataflow: str) -> None:
    expected = traffic_by_folds(m, k, n, rows, columns, dataflow)
    assert systolic_traffic_words(m, k, n, rows, columns, dataflow) == expected


@given(
    m=SIZES, k=SIZES, n=SIZES, rows=st.integers(1, 9), columns=st.integers(1, 9), dataflow=st.sampled_from(DATAFLOWS)
)
def test_no_more_products_than_pes_times_cycles(m: int, k: int, n: int, rows: int, columns: int, dataflow: str) -> None:
    assert m * k * n <= rows * columns * (systolic_cycles(m, k, n, rows, columns, dataflow) + 1)


def test_many_layers_in_one_call() -> None:
    m, k, n = np.array([1, 49]), np.array([8, 64]), np.array([8, 10])
    assert systolic_cycles(m, k, n, 8, 8).tolist() == [22.0, 1135.0]
    assert systolic_folds(m, k, n, 8, 8).tolist() == [1.0, 16.0]


def test_a_dataflow_nobody_knows_is_refused() -> None:
    with pytest.raises(InputError, match="no local reuse"):
        systolic_cycles(1, 1, 1, 8, 8, "no local reuse")
    with pytest.raises(InputError, match="rows, columns"):
        systolic_cycles(1, 1, 1, 0, 8)
