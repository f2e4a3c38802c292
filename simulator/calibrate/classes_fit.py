"""Fit a family's class table: efficiencies, bandwidth shares and a few parameters, over many devices at once.

    minimise  sum over cases of w rho(ln(predicted / measured)) + sum over unknowns of (ln(x / guess) / spread)^2

rho is the soft L1 loss, because published times hold outliers; w gives every device and data set the same say up to
a square root; the second sum keeps what the data do not determine near its guess. Unknowns are logarithms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ..processors.timing import Table
from ..target_processor import CLASSES
from .cases import Cases

__all__ = ["Unknown", "corrected", "fit_corrections", "fit_table", "merged", "table_of", "weights_of"]

Array = NDArray[np.float64]
SCALE = 0.2


@dataclass(frozen=True)
class Unknown:
    """One number to fit: where it goes, its guess and bounds, and by what factor it may leave the guess."""

    field: str
    names: tuple[str, ...]
    guess: float
    low: float
    high: float
    spread: float = 2.0


def table_of(unknowns: Sequence[Unknown], values: Array, fixed: Mapping[str, float]) -> Table:
    """The Table that `values` (not logarithms) make; classes that no unknown names get the one named "other"."""
    columns = {}
    for field in ("efficiency", "bandwidth"):
        named = {n: v for u, v in zip(unknowns, values, strict=True) if u.field == field for n in u.names}
        columns[field] = np.array([named.get(name, named["other"]) for name in CLASSES])
    parameters = dict(fixed)
    parameters |= {n: v for u, v in zip(unknowns, values, strict=True) if u.field == "parameters" for n in u.names}
    return Table(columns["efficiency"], columns["bandwidth"], parameters)


def weights_of(cases: Cases) -> Array:
    """1 / sqrt of how many cases share a target and a data set, scaled to a mean of 1."""
    groups = [(label.target, label.dataset) for label in cases.labels]
    size = {group: groups.count(group) for group in set(groups)}
    weight = np.array([size[group] ** -0.5 for group in groups])
    return weight / weight.mean()


def merged(cases: Cases) -> Cases:
    """One case for equal work on one target: the geometric mean of its times."""
    first: dict[tuple[str, str, float], int] = {}
    logs: dict[int, list[float]] = {}
    keys = cases.device_key
    for place, label in enumerate(cases.labels):
        key = (label.target, label.fold, float(keys[place]))
        logs.setdefault(first.setdefault(key, place), []).append(np.log(label.measured_s))
    keep = np.zeros(len(cases.labels), bool)
    keep[list(logs)] = True
    out = cases.select(keep)
    means = [float(np.exp(np.mean(logs[int(place)]))) for place in np.flatnonzero(keep)]
    labels = tuple(replace(label, measured_s=mean) for label, mean in zip(out.labels, means, strict=True))
    return replace(out, labels=labels)


def corrected(table: Table, cases: Cases, corrections: Sequence[tuple[str, str]], values: Array) -> Table:
    """The table by kernel, [kernels, classes], with a factor for each (target, class, "overhead" or "bandwidth")."""
    if not corrections:
        return table
    owner = np.array([label.target for label in cases.labels])[cases.of]
    efficiency = np.tile(table.efficiency, (len(owner), 1))
    bandwidth = np.tile(table.bandwidth, (len(owner), 1))
    parameters = dict(table.parameters)
    for (target, name), value in zip(corrections, values, strict=True):
        mine = owner == target
        if name == "overhead":
            factor = np.asarray(parameters.get("overhead_factor", 1.0)) * np.where(mine, value, 1.0)
            parameters["overhead_factor"] = factor  # type: ignore[assignment]
        elif name == "bandwidth":
            bandwidth[mine] *= value
        else:
            efficiency[mine, CLASSES.index(name)] *= value
            bandwidth[mine, CLASSES.index(name)] *= value
    return Table(efficiency, bandwidth, parameters)


def fit_corrections(cases: Cases, table: Table, corrections: Sequence[tuple[str, str]], spread: float = 2.0) -> Array:
    """Factors on one table that make it a device's own; what its cases do not determine stays near 1."""
    weight, measured = np.sqrt(weights_of(cases)), cases.measured_s
    prior = SCALE * np.sqrt(len(measured) / 40.0) * 0.5

    def residuals(x: Array) -> Array:
        predicted = cases.seconds(corrected(table, cases, corrections, np.exp(x)))
        return np.concatenate([weight * np.log(predicted / measured), prior * x / np.log(spread)])

    start = np.zeros(len(corrections))
    found = least_squares(residuals, start, loss="soft_l1", f_scale=SCALE / 2, max_nfev=20, diff_step=1e-3)
    return np.exp(found.x)


def fit_table(
    cases: Cases, unknowns: Sequence[Unknown], fixed: Mapping[str, float], start: Array | None = None,
    most: int = 20, nuisances: Sequence[tuple[str, str]] = (),
) -> Array:  # fmt: skip
    """Values of the unknowns; `nuisances` are corrections fitted beside them and dropped: what one runtime does."""
    guess = np.log([u.guess for u in unknowns])
    low, high = np.log([u.low for u in unknowns]), np.log([u.high for u in unknowns])
    spread = np.log([u.spread for u in unknowns])
    weight, measured = np.sqrt(weights_of(cases)), cases.measured_s
    prior = SCALE * np.sqrt(len(measured) / 40.0)

    def residuals(x: Array) -> Array:
        mine, own = np.exp(x[: len(unknowns)]), np.exp(x[len(unknowns) :])
        table = corrected(table_of(unknowns, mine, fixed), cases, nuisances, own)
        predicted = cases.seconds(table)
        return np.concatenate([weight * np.log(predicted / measured), prior * (x - guess) / spread])

    extra = np.zeros(len(nuisances))
    guess, low, high = (np.concatenate([a, extra + b]) for a, b in ((guess, 0), (low, -4.0), (high, 4.0)))
    spread = np.concatenate([spread, extra + np.log(3.0)])
    first = guess if start is None else np.concatenate([np.log(start), extra])
    first = np.clip(first, low + 1e-6, high - 1e-6)
    found = least_squares(residuals, first, bounds=(low, high), loss="soft_l1", f_scale=SCALE, max_nfev=most,
                          diff_step=1e-3, x_scale=spread)  # fmt: skip
    return np.exp(found.x[: len(unknowns)])
