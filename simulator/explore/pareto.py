"""The exact Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...models.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OBJECTIVES", "pareto", "pareto_mask"]

OBJECTIVES = ("error_pct", "energy_pj", "latency_s", "storage_bytes")


def pareto_mask(values: ArrayLike) -> NDArray[np.bool_]:
    """True where no other row is at most as large in every column and smaller in one; all are minimised.

    `values`: [designs, objectives]. Equal rows do not dominate each other: all of them stay. An objective
    that no row has (all NaN) is left out; a row that lacks one of the others is never on the front.
    Exact: rows are taken in lexicographic order, in which nothing is dominated by a later row, and each
    is compared with the front so far. O(designs x front).

    >>> pareto_mask([[1, 5], [2, 2], [3, 3], [2, 2], [0, np.nan]]).tolist()
    [True, True, False, True, False]
    """
    table = np.asarray(values, float)
    table = table[:, ~np.isnan(table).all(axis=0)]
    known = ~np.isnan(table).any(axis=1)
    mask = np.zeros(len(table), bool)
    if table.shape[1] == 0:
        return mask
    unique, inverse = np.unique(table[known], axis=0, return_inverse=True)
    mask[known] = _front_of_sorted(unique)[inverse.reshape(-1)]
    return mask


def _front_of_sorted(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The front among distinct rows in lexicographic order."""
    on_front = np.zeros(len(rows), bool)
    alive = np.arange(len(rows))
    while len(alive):
        best, rest = alive[0], alive[1:]
        on_front[best] = True
        alive = rest[(rows[rest] < rows[best]).any(axis=1)]
    return on_front


def pareto(
    points: pd.DataFrame,
    objectives: Sequence[str] = OBJECTIVES,
    groups: Sequence[str] = ("network", "target"),
) -> pd.DataFrame:
    """The rows of `points` that nothing dominates, within each group of `groups` that the frame has.

    Raises InputError for an objective that is no column.

    >>> import pandas as pd
    >>> points = pd.DataFrame({"error_pct": [1, 2, 3], "energy_pj": [3, 1, 2]})
    >>> pareto(points, ["error_pct", "energy_pj"]).index.tolist()
    [0, 1]
    """
    missing = [name for name in objectives if name not in points]
    if missing or not objectives:
        raise InputError("objectives", missing or "none", f"columns of the points: {', '.join(points.columns)}")
    keys = [name for name in groups if name in points]
    chosen = np.zeros(len(points), bool)
    if keys:
        numbered = points.groupby(keys, observed=True, sort=False).ngroup().to_numpy()
    else:
        numbered = np.zeros(len(points), int)
    table = points[list(objectives)].to_numpy(float, na_value=np.nan)
    for group in np.unique(numbered):
        rows = np.flatnonzero(numbered == group)
        chosen[rows] = pareto_mask(table[rows])
    return points.loc[chosen]
