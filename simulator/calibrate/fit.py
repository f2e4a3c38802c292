"""Fit a roofline target: one overhead, one efficiency per kernel class, one power per kernel class.

    predicted = overhead + roof(shape) / efficiency(kernel)
    minimise over overhead >= 0: sum over rows of |ln(predicted / measured)|

For a given overhead each efficiency is the median of roof / (measured - overhead); the overhead is
searched on a grid. Medians, because published times hold outliers (identical shapes differ by 15 %).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Measurement", "RooflineFit", "fit_roofline"]


@dataclass(frozen=True)
class Measurement:
    """One measured time of one kernel. `roof_s`: its time at efficiency 1, overhead not counted."""

    case: str
    fold: str
    kernel: str
    roof_s: float
    time_s: float
    power_w: float | None
    samples: int
    source: str


@dataclass(frozen=True)
class RooflineFit:
    overhead_s: float
    efficiency: Mapping[str, float]
    power_w: Mapping[str, float]

    def time_s(self, row: Measurement) -> float:
        return self.overhead_s + row.roof_s / self.efficiency[row.kernel]


def _efficiencies(rows: Sequence[Measurement], overhead_s: float) -> dict[str, float]:
    out = {}
    for kernel in sorted({row.kernel for row in rows}):
        ratios = [row.roof_s / (row.time_s - overhead_s) for row in rows if row.kernel == kernel]
        out[kernel] = min(1.0, float(np.median(ratios)))
    return out


def fit_roofline(rows: Sequence[Measurement], grid: int = 60) -> RooflineFit:
    """Overhead, efficiencies and median powers by kernel; see the module's docstring.

    >>> rows = [Measurement(str(s), str(s), "gemv", s, 2e-6 + s / 0.5, 100.0, 1, "") for s in (1e-6, 2e-6, 4e-6)]
    >>> fit = fit_roofline(rows)
    >>> abs(fit.efficiency["gemv"] - 0.5) < 0.05
    True
    """
    limit = 0.9 * min(row.time_s for row in rows)
    measured = np.log([row.time_s for row in rows])

    def loss(overhead_s: float) -> float:
        fit = RooflineFit(overhead_s, _efficiencies(rows, overhead_s), {})
        return float(np.abs(np.log([fit.time_s(row) for row in rows]) - measured).sum())

    overhead_s = min(np.linspace(0.0, limit, grid), key=loss)
    powers = {
        kernel: float(
            np.median([row.power_w for row in rows if row.kernel == kernel and row.power_w is not None] or [0.0])
        )
        for kernel in {row.kernel for row in rows}
    }
    return RooflineFit(float(overhead_s), _efficiencies(rows, float(overhead_s)), powers)
