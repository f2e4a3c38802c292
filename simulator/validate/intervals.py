"""The interval of a target: quantiles of measured over predicted, from its own out-of-fold residuals."""

from __future__ import annotations

import numpy as np

from .rows import ValidationRow
from .run import validate

__all__ = ["LEVEL", "interval_of"]

LEVEL = 0.8
ENERGY = {"eie": "energy, Fig. 7"}


def _ratios(rows: tuple[ValidationRow, ...], metric: str) -> tuple[tuple[float, float], int]:
    ratios = [row.measured / row.predicted for row in rows if row.metric == metric]
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return (float(f"{low:.3g}"), float(f"{high:.3g}")), len(ratios)


def interval_of(target: str) -> dict[str, object]:
    """The `[interval]` section of a target's file, from `validate(target)`, to three digits."""
    rows = validate(target).rows
    latency, count = _ratios(rows, "latency")
    energy, energies = _ratios(rows, ENERGY.get(target, "energy"))
    return {
        "level": LEVEL,
        "latency_ratio": latency,
        "energy_ratio": energy,
        "n": count,
        "basis": f"measured over predicted in {count} published times and {energies} energies, {rows[0].protocol}",
    }
