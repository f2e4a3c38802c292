"""explore(models, targets): every combination of bits, density, format and target, and what nothing beats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...models.errors import InputError
from ...models.load import load_model
from ...models.model import Model
from ..cost import Cost
from ..estimate import recompress
from ..processors import cost
from ..structure import WeightStructure
from ..target import DEFAULT_TARGETS, EieTarget, Target, load_target
from ..workload import Overrides, Workload, make_workload
from .accuracy import ErrorTable, Measured, binomial_interval, measure_errors
from .designs import stack_workloads, stored_as
from .pareto import OBJECTIVES, pareto
from .store import check_folder, errors_path, write_points
from .study import BITS, DENSITIES, FORMATS, SHIPPED, Study

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Exploration", "explore", "run_study"]

Combination = tuple[int, float]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Exploration:
    """All designs of a study, one row each; `front` holds those that nothing else beats."""

    study: Study
    points: pd.DataFrame

    @property
    def front(self) -> pd.DataFrame:
        return self.points.loc[self.points["front"].to_numpy(bool)]


def explore(
    models: str | Sequence[str] = SHIPPED,
    targets: Sequence[str] | None = None,
    *,
    bits: Sequence[int] = BITS,
    densities: Sequence[float] = DENSITIES,
    formats: Sequence[str] = FORMATS,
    batch: int = 1,
    output: str | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Exploration:
    """Cost and error of every combination of bits, density, storage format and target (default: all that ship).

    Weights are pruned by magnitude and shared anew, without training; their error is measured on the
    validation split where the model has weights and names its data set, else it is not known (NaN). With
    `output`, the folder gets `designs.parquet`, `study.json` and what was measured.

    >>> found = explore("lenet-300-100@deep-compression", ["eie"], bits=[4], densities=[0.05, 0.08])
    >>> len(found.points), float(found.points["error_pct"].min())
    (16, 4.98)
    """
    study = Study(
        models=(models,) if isinstance(models, str) else tuple(models),
        targets=tuple(DEFAULT_TARGETS if targets is None else targets),
        bits=tuple(bits),
        densities=tuple(densities),
        formats=tuple(formats),
        batch=batch,
    )
    return run_study(study, output=output, workers=workers, progress=progress)


def run_study(
    study: Study,
    *,
    output: str | None = None,
    resume: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
) -> Exploration:
    """Explore a Study; `resume` allows a folder that already holds the same one. Deterministic."""
    import pandas as pd

    if workers < 1:
        raise InputError("--workers", workers, "a whole number of at least 1")
    folder = check_folder(output, study, resume) if output is not None else None
    hardware = [load_target(name) for name in study.targets]
    table = ErrorTable(errors_path(folder) if folder else None)
    frames = []
    for name in study.models:
        model = load_model(name)
        frames.append(_explore_model(study, name, model, hardware, table, workers, progress))
    points = pd.concat(frames, ignore_index=True)
    points["front"] = points.index.isin(_front(points).index)
    for name in study.models:
        points = _add_test_errors(points, name, table, workers, progress)
    found = Exploration(study, points)
    if folder is not None:
        write_points(folder, points)
    return found


def _front(points: pd.DataFrame) -> pd.DataFrame:
    """What nothing beats; of designs that are equal in every objective the first stands for all."""
    return pareto(points).drop_duplicates(["network", "target", *OBJECTIVES])


def _combinations(study: Study) -> list[Combination]:
    return [(bits, density) for density in study.densities for bits in study.bits]


def _shared(structure: Callable[[], WeightStructure], seen: dict[Any, Any]) -> Callable[[], WeightStructure]:
    """The same object for weights in the same places, so that a target simulates them once."""
    key = structure().positions.tobytes()
    return seen.setdefault(key, structure)


def _workloads(study: Study, model: Model, combinations: Sequence[Combination]) -> list[Workload]:
    """One Workload per (bits, density), in the format that the weights have."""
    made = []
    for bits, density in combinations:
        coded, overrides = recompress(model, Overrides(bits=bits, density=density))
        made.append(make_workload(coded, study.batch, overrides))
    return made


def _explore_model(
    study: Study, name: str, model: Model, hardware: Sequence[Target], table: ErrorTable, workers: int,
    progress: Progress | None,
) -> pd.DataFrame:  # fmt: skip
    import pandas as pd

    combinations = _combinations(study)
    errors = measure_errors(model, combinations, "validation", table, workers=workers, progress=progress)
    workloads = dict(zip(combinations, _workloads(study, model, combinations), strict=True))
    stored = {
        (pair, fmt): stored_as(workload, fmt)
        for pair, workload in workloads.items()
        for fmt in study.formats
        if pair[0] <= 4 or fmt != "eie_csc4"
    }
    frames = []
    for target in hardware:
        chosen = [key for key in stored if _runs_as_it_is(target, key[0][0])]
        if not chosen:
            continue
        stacked = _with_shared_structures(stack_workloads([stored[key] for key in chosen]), target)
        result = cost(stacked, target, energy=study.energy, residency=study.residency)
        frames.append(_frame(name, chosen, result, errors))
        if progress:
            progress(f"designs of {name}", len(frames), len(hardware))
    return pd.concat(frames, ignore_index=True)


def _runs_as_it_is(target: Target, bits: int) -> bool:
    """Whether a target computes with these very weights: EIE would cluster more than 16 values again."""
    return not isinstance(target, EieTarget) or 2**bits <= target.max_codes


def _with_shared_structures(workload: Workload, target: Target) -> Workload:
    """Where a target runs on the mask itself, equal masks become one object."""
    if not isinstance(target, EieTarget):
        return workload
    seen: dict[Any, Any] = {}
    structures: NDArray[np.object_] = workload.structures.copy()
    for index in np.ndindex(structures.shape):
        make: Any = structures[index]
        if make is not None:
            structures[index] = _shared(make, seen)
    return replace(workload, structures=structures)


def _frame(
    name: str, chosen: Sequence[tuple[Combination, str]], result: Cost, errors: Mapping[Combination, Measured]
) -> pd.DataFrame:
    """One row per design; units are in the names, NaN where nothing is known."""
    import pandas as pd

    designs, target, w = len(chosen), result.target.name, result.workload
    totals = result.totals
    found = [errors.get(pair) for pair, _ in chosen]
    wrong = np.array([row.wrong if row else np.nan for row in found])
    samples = np.array([row.n if row else np.nan for row in found])
    low, high = binomial_interval(wrong, samples)

    def column(value: Any) -> NDArray[Any]:
        return np.broadcast_to(np.asarray(np.nan if value is None else value), (designs,)).copy()

    stored_bits = (w.storage_bits + w.codebook_and_bias_bits).sum(axis=-1)
    return pd.DataFrame(
        {
            "design": [f"{name}/{target}/b{b}/d{d:g}/{fmt}" for (b, d), fmt in chosen],
            "network": name,
            "target": target,
            "bits": np.array([pair[0] for pair, _ in chosen], np.int16),
            "density": np.array([pair[1] for pair, _ in chosen]),
            "format": [fmt for _, fmt in chosen],
            "batch": w.batch,
            "error_pct": 100 * wrong / samples,
            "error_low_pct": 100 * low,
            "error_high_pct": 100 * high,
            "error_split": "validation" if errors else "",
            "error_n": column(samples[0] if errors else 0).astype(np.int64),
            "energy_pj": column(totals["energy_pj"]),
            "latency_s": column(totals["latency_s"]),
            "weight_density": column(totals["weight_density"]),
            "storage_bytes": column(np.ceil(stored_bits / 8)).astype(np.int64),
            "weight_bytes": column(totals["weight_bytes"]).astype(np.int64),
            "load_bytes": column(totals["load_bytes"]).astype(np.int64),
            "load_latency_s": column(totals["load_latency_s"]),
            "load_energy_pj": column(totals["load_energy_pj"]),
            "dram_bytes": column(totals["dram_bytes"]).astype(np.int64),
            "macs": column(totals["macs"]).astype(np.int64),
            "macs_performed": column(totals["macs_performed"]).astype(float),
            "fits": column(result.fits).astype(bool),
            "overflow_bytes": column(np.ceil(result.overflow_bits / 8)).astype(np.int64),
            "partial": result.partial,
            "basis": w.basis,
        }
    )


def _add_test_errors(
    points: pd.DataFrame, name: str, table: ErrorTable, workers: int, progress: Progress | None
) -> pd.DataFrame:
    """Test-set errors of the designs on a network's front; never used to choose anything."""
    chosen = points["front"].to_numpy(bool) & (points["network"] == name).to_numpy(bool)
    mine = chosen & points["error_pct"].notna().to_numpy(bool)
    if "test_error_pct" not in points:
        points = points.assign(test_error_pct=np.nan)
    if not mine.any():
        return points
    pairs = list(zip(points.loc[mine, "bits"].astype(int), points.loc[mine, "density"].astype(float), strict=True))
    measured = measure_errors(load_model(name), pairs, "test", table, workers=workers, progress=progress)
    values = points["test_error_pct"].to_numpy(float).copy()
    values[mine] = [measured[pair].error_pct for pair in pairs]
    return points.assign(test_error_pct=values)


