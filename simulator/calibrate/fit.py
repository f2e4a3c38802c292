"""Fit a roofline target: one overhead, one efficiency per kernel class, one power per kernel class.

    predicted = overhead + roof(shape) / efficiency(kernel)
    minimise over overhead: sum over rows of |ln(predicted / measured)|

For a given overhead each efficiency is the median of roof / (measured - overhead); the overhead is
searched on a grid. Medians, because published times hold outliers (identical shapes differ by 15 %).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Measurement", "RooflineFit", "fit_roofline"]

Array = NDArray[np.float64]
# The search stops just below the shortest time, where that row would be all overhead; it only keeps the
# ratios finite: on the shipped data the optimum lies inside (4 % and 92 % of the shortest time).
LARGEST_OVERHEAD = 0.98
GRID = 401


@dataclass(frozen=True)
class Measurement:
    """One measured time of one kernel. `roof_s`: its time at efficiency 1, overhead not counted."""

    case: str
    fold: str
    kernel: str
    roof_s: float
    time_s: float
    power_w: float | None
    source: str


@dataclass(frozen=True)
class RooflineFit:
    """Overhead in seconds; efficiency (0 to 1) and power in W by kernel name."""

    overhead_s: float
    efficiency: Mapping[str, float]
    power_w: Mapping[str, float]

    def rounded(self) -> RooflineFit:
        """To the digits that a target's file prints: four, powers to 0.01 W.

        >>> RooflineFit(7.92501e-6, {"csr_mv": 0.136344}, {"csr_mv": 37.4}).rounded().efficiency
        {'csr_mv': 0.1363}
        """
        short = {name: float(f"{value:.4g}") for name, value in self.efficiency.items()}
        powers = {name: round(value, 2) for name, value in self.power_w.items()}
        return RooflineFit(float(f"{self.overhead_s:.4g}"), short, powers)


def _efficiencies(roof: Array, time: Array, kernels: NDArray[np.str_], overhead: Array) -> Array:
    """Efficiency of each row's kernel for each overhead, shape [overheads, rows]; at most 1."""
    ratio = roof / (time - overhead[:, None])
    out = np.empty_like(ratio)
    for kernel in np.unique(kernels):
        own = kernels == kernel
        out[:, own] = np.median(ratio[:, own], axis=1, keepdims=True)
    return np.minimum(out, 1.0)


def fit_roofline(rows: Sequence[Measurement]) -> RooflineFit:
    """Overhead, efficiencies and median powers by kernel; see the module's docstring.

    A kernel without any measured power has none in the result. The order of rows does not matter.

    >>> rows = [Measurement(str(s), str(s), "gemv", s, 2e-6 + s / 0.5, 100.0, "") for s in (1e-6, 2e-6, 4e-6)]
    >>> fit = fit_roofline(rows)
    >>> round(fit.efficiency["gemv"], 2), fit.power_w["gemv"]
    (0.5, 100.0)
    """
    roof, time = np.array([row.roof_s for row in rows]), np.array([row.time_s for row in rows])
    kernels = np.array([row.kernel for row in rows])
    overhead = np.linspace(0.0, LARGEST_OVERHEAD * time.min(), GRID)
    efficiency = _efficiencies(roof, time, kernels, overhead)
    loss = np.abs(np.log((overhead[:, None] + roof / efficiency) / time)).sum(axis=1)
    best = int(np.argmin(loss))
    powers = {
        kernel: [row.power_w for row in rows if row.kernel == kernel and row.power_w is not None]
        for kernel in sorted(set(kernels.tolist()))
    }
    return RooflineFit(
        float(overhead[best]),
        {str(kernel): float(efficiency[best, place]) for place, kernel in enumerate(kernels)},
        {kernel: float(np.median(found)) for kernel, found in powers.items() if found},
    )
