"""A few correction factors of a processor from measurements, held near 1 where they say little.

Maximum a posteriori in logarithms:

    minimise  sum soft_l1(log(predicted / measured) / NOISE)^2 + sum (log factor / PRIOR)^2

over one factor on all rates, deviations of the kernel classes that matter in these rows, and factors on bandwidth,
overhead and power. Two rows then move the common factor and leave the rest alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ..processors import cost
from ..processors.plan import plan
from ..target_base import Constant, Interval
from ..target_processor import CLASSES, ProcessorTarget
from ..workload import Workload

__all__ = ["Fit", "Observation", "fit_corrections", "leave_one_out", "predict", "with_factors"]

Array = NDArray[np.float64]
NOISE = 0.1  # of one measurement, in logarithms: what the same runtime repeats to
PRIORS = {"rate": 1.0, "class": 0.5, "bandwidth": 0.5, "overhead": 0.7, "power": 1.0}  # standard deviations of the logs
CLASS_SHARE = 0.1  # of some row's time: below it a class is not worth a factor
FOLDS = 10
TOLERANCE = 1e-4  # far below NOISE
SOURCE = "fit"
LEVEL = 0.8


@dataclass(frozen=True, eq=False)
class Observation:
    """One measured batch: seconds, pJ, or both; `case` names it in messages."""

    case: str
    workload: Workload
    latency_s: float | None = None
    energy_pj: float | None = None


@dataclass(frozen=True, eq=False)
class Fit:
    """The factors found, by the names of `corrections`, and the target with them in place."""

    target: ProcessorTarget
    factors: dict[str, float]


def predict(target: ProcessorTarget, observation: Observation) -> tuple[float, float]:
    """(seconds, pJ) of the batch."""
    found = cost(observation.workload, target)
    return float(found.latency_s.sum()), float(found.energy_pj.sum())


def _misses(target: ProcessorTarget, row: Observation) -> list[float]:
    """log(predicted / measured) of what was measured; energies cost more to predict and are left out where not."""
    if row.energy_pj is None:
        assert row.latency_s is not None
        return [float(np.log(plan(row.workload, target).total_s.sum() / row.latency_s))]
    seconds, pj = predict(target, row)
    return [float(np.log(pj / row.energy_pj))] + ([float(np.log(seconds / row.latency_s))] if row.latency_s else [])


def with_factors(target: ProcessorTarget, factors: dict[str, float], n: int) -> ProcessorTarget:
    """`target` with its corrections multiplied; a given overhead is scaled itself."""
    corrections = dict(target.corrections)
    overhead = target.overhead_s
    for name, factor in factors.items():
        if name == "overhead" and overhead is not None:
            overhead = Constant(value=overhead.value * factor, source=SOURCE, status="measured")
            continue
        before = corrections[name].value if name in corrections else 1.0  # type: ignore[index]
        corrections[name] = Constant(value=before * factor, source=SOURCE, status="measured")  # type: ignore[index]
    sources = dict(target.sources)
    sources.setdefault(SOURCE, f"fitted to {n} measurements of this device, factors held near 1 (assumption K1)")
    return msgspec.structs.replace(target, corrections=corrections, overhead_s=overhead, sources=sources)


def _classes_that_matter(target: ProcessorTarget, rows: Sequence[Observation]) -> list[str]:
    shares = np.zeros(len(CLASSES))
    for row in rows:
        found = plan(row.workload, target)
        seconds = np.bincount(found.classes.ravel(), found.total_s.ravel(), minlength=len(CLASSES))
        shares = np.maximum(shares, seconds / max(seconds.sum(), 1e-30))
    return [name for name, share in zip(CLASSES, shares, strict=True) if share >= CLASS_SHARE]


def _factors(names: list[str], kinds: list[str], x: Array) -> dict[str, float]:
    """Names of `corrections` from the vector: the common rate multiplies every class."""
    common = float(np.exp(x[kinds.index("rate")])) if "rate" in kinds else 1.0
    factors = dict.fromkeys(CLASSES, common) if "rate" in kinds else {}
    for name, kind, value in zip(names, kinds, x, strict=True):
        if kind == "class":
            factors[name] = common * float(np.exp(value))
        elif kind != "rate":
            factors[name] = float(np.exp(value))
    return factors


def fit_corrections(
    target: ProcessorTarget, rows: Sequence[Observation], *, common: bool = True, bandwidth: bool = True,
    overhead: bool = True,
) -> Fit:  # fmt: skip
    """The factors under which `rows` come out best; deterministic.

    `common`, `bandwidth` and `overhead` say which of these may move; classes always may, power where a row
    has an energy. Without rows the target comes back as it was.
    """
    timed = [row for row in rows if row.latency_s]
    powered = [row for row in rows if row.energy_pj]
    names = [*(["rate"] if common and timed else []), *(_classes_that_matter(target, timed) if timed else [])]
    kinds = ["rate" if name == "rate" else "class" for name in names]
    for name, wanted in (("bandwidth", bandwidth and timed), ("overhead", overhead and timed), ("power", powered)):
        if wanted:
            names, kinds = [*names, name], [*kinds, name]
    if not names:
        return Fit(target, {})
    priors = np.array([PRIORS[kind] for kind in kinds])

    def residuals(x: Array) -> Array:
        moved = with_factors(target, _factors(names, kinds, x), len(rows))
        misses = np.array([miss for row in rows for miss in _misses(moved, row)]) / NOISE
        soft = np.sign(misses) * np.sqrt(2 * (np.sqrt(1 + misses**2) - 1))  # soft l1: outliers pull linearly
        return np.concatenate([soft, x / priors])

    found = least_squares(residuals, np.zeros(len(names)), bounds=(-7, 7), xtol=TOLERANCE, ftol=TOLERANCE, max_nfev=40)
    factors = _factors(names, kinds, found.x)
    return Fit(with_factors(target, factors, len(rows)), factors)


def leave_one_out(target: ProcessorTarget, rows: Sequence[Observation]) -> list[tuple[float, float]]:
    """(seconds, pJ) of each row as the fit to the others predicts it; ten folds where there are more rows than 20."""
    folds = len(rows) if len(rows) <= 2 * FOLDS else FOLDS
    out: list[tuple[float, float]] = [(0.0, 0.0)] * len(rows)
    for fold in range(folds):
        kept = [row for place, row in enumerate(rows) if place % folds != fold]
        fitted = fit_corrections(target, kept).target
        for place in range(fold, len(rows), folds):
            out[place] = predict(fitted, rows[place])
    return out


def interval_of(rows: Sequence[Observation], predicted: Sequence[tuple[float, float]]) -> Interval | None:
    """Quantiles of measured over predicted out of fold; None for fewer than five times."""
    times = [row.latency_s / p[0] for row, p in zip(rows, predicted, strict=True) if row.latency_s]
    energies = [row.energy_pj / p[1] for row, p in zip(rows, predicted, strict=True) if row.energy_pj]
    if len(times) < 5:
        return None

    def ends(ratios: list[float]) -> tuple[float, float]:
        low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(min(low, 1.0)), float(max(high, 1.0))

    return Interval(
        level=LEVEL, latency_ratio=ends(times), energy_ratio=ends(energies if len(energies) >= 5 else times),
        n=len(times), basis=f"measured over predicted in {len(times)} measurements of this device, each left out of "
        "the fit" + ("" if len(energies) >= 5 else "; energies by the spread of the times"),
    )  # fmt: skip
