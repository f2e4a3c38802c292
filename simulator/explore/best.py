"""The design of least energy (or time, size, error) within limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.errors import BudgetExceededError, InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["best"]

# objective -> column; ties are broken by the columns that follow, then by the order of the points
COLUMNS = {"energy": "energy_pj", "latency": "latency_s", "size": "storage_bytes", "error": "error_pct"}


def best(
    points: pd.DataFrame,
    *,
    target: str | None = None,
    max_error_pct: float | None = None,
    max_energy_pj: float | None = None,
    max_latency_s: float | None = None,
    max_size_bytes: float | None = None,
    objective: str = "energy",
) -> dict[str, Any]:
    """One row of `points` as a dict: the least `objective` among designs that fit, within every limit.

    Designs that do not fit their target and costs that leave layers out (`partial`) are not eligible. Raises
    InputError for an unknown target or objective, BudgetExceededError where no design is within the
    limits, naming the limit that is hardest to meet.

    >>> from . import explore
    >>> points = explore("lenet-300-100@deep-compression", ["eie"], bits=[2, 4], densities=[0.08, 1.0]).points
    >>> best(points, target="eie", max_error_pct=2.0)["bits"]
    4
    """
    if objective not in COLUMNS:
        raise InputError("objective", objective, f"one of {', '.join(COLUMNS)}")
    eligible = _eligible(points, target)
    limits = {
        "error_pct": max_error_pct,
        "energy_pj": max_energy_pj,
        "latency_s": max_latency_s,
        "storage_bytes": max_size_bytes,
    }
    within = {name: eligible[name].to_numpy(float) <= limit for name, limit in limits.items() if limit is not None}
    kept = eligible.loc[np.logical_and.reduce(list(within.values()))] if within else eligible
    kept = kept.loc[kept[COLUMNS[objective]].notna()]
    if not len(kept):
        raise _nothing_within(eligible, {name: limit for name, limit in limits.items() if limit is not None})
    order = [COLUMNS[objective], *(column for name, column in COLUMNS.items() if name != objective)]
    row = kept.sort_values(order, kind="stable").iloc[0].to_dict()
    return {name: _plain(value) for name, value in row.items()}


def _eligible(points: pd.DataFrame, target: str | None) -> pd.DataFrame:
    if target is not None:
        known = sorted(set(points["target"]))
        if target not in known:
            raise InputError("--target", target, f"one of the explored targets: {', '.join(known)}")
        points = points.loc[points["target"] == target]
    eligible = points.loc[points["fits"].to_numpy(bool) & ~points["partial"].to_numpy(bool)]
    if not len(eligible):
        where = target or "any target"
        raise InputError("best", f"no design that {where} runs whole", "a design that fits, with every layer modelled",
                         "another network or target")  # fmt: skip
    return eligible


def _nothing_within(eligible: pd.DataFrame, limits: dict[str, float]) -> BudgetExceededError:
    """Names the limit with the fewest designs within it, and the least that was found."""
    values = {name: eligible[name].to_numpy(float) for name in limits}
    hardest = min(limits, key=lambda name: int(np.sum(values[name] <= limits[name])))
    if np.isnan(values[hardest]).all():
        return BudgetExceededError(f"best: {hardest} of no design is known, so none is within the limits")
    least = float(np.nanmin(values[hardest]))
    wanted = ", ".join(f"{name} <= {limit:.4g}" for name, limit in limits.items())
    return BudgetExceededError(
        f"best: none of {len(eligible):,} designs is within {wanted}; the least {hardest} of any of them is {least:.4g}"
    )


def _plain(value: Any) -> Any:
    """A plain Python value, None for NaN."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value
