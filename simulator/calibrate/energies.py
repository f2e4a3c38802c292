"""Energy: shares of the rated power by kernel class, and energies predicted without the case's own power.

energy = time x (idle + share(class) x (busy - idle)) + operations and bits at their own energies
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..target import ProcessorTarget, load_target
from ..target_processor import CLASSES, bits_of
from .cases import Cases, Label
from .cases_published import CORES, PLATFORMS, eie_cases
from .published import published_times, read_rows
from .records import Record, short

__all__ = ["Powered", "eie_energy_rows", "power_shares", "powered", "tiny_energy_rows"]

PJ = 1e-12
PJ_PER_BIT_AND_MAC = 0.14375  # Horowitz, fp32, by bits
SOURCE_OF = {"core-i7-5930k": "cpu", "titan-x": "gpu", "tegra-k1": "gpu"}


@dataclass(frozen=True)
class Powered:
    """A time with a power: `dynamic_j` is what operations and accesses take of it by themselves, per batch."""

    label: Label
    kernel: str
    power_w: float
    dynamic_j: float
    idle_w: float
    busy_w: float

    @property
    def share(self) -> float:
        """Share of (busy - idle) that explains the power, between 0 and 1.5."""
        static_w = self.power_w - self.dynamic_j / self.label.measured_s
        return float(np.clip((static_w - self.idle_w) / (self.busy_w - self.idle_w), 0.0, 1.5))


def _processor(name: str) -> ProcessorTarget:
    target = load_target(name)
    assert isinstance(target, ProcessorTarget)
    return target


def _dynamic_j(case: Cases, target: ProcessorTarget) -> float:
    """Joules of operations and of bits through the cache and, beyond its capacity, through memory."""
    bits = float((case.weights + case.activations).sum())
    total = float(case.shapes.work.sum()) * PJ_PER_BIT_AND_MAC * bits_of(target.precision)
    cache_level, memory = target.memories[0], target.memories[-1]
    kept = 0.7 * (cache_level.capacity_bits.value if cache_level.capacity_bits else 0.0)
    outside = bits * (1 - min(1.0, kept / bits))
    for level, moved in ((cache_level, bits), (memory, outside)):
        total += moved * (level.access_pj_per_bit.value if level.access_pj_per_bit else 0.0)
    return total * PJ


@cache
def powered() -> tuple[Powered, ...]:
    """The 72 layers of Deep Compression's Table 9 beside their times in EIE's Table IV."""
    cases, out = eie_cases(), []
    platform = {
        target: {(p.layer, p.matrix, p.batch): p for p in published_times(name)} for target, name in PLATFORMS.items()
    }
    for place, label in enumerate(cases.labels):
        layer, matrix, batch = label.case.split(", ")
        published = platform[label.target][layer, matrix, int(batch.split()[1])]
        if published.power_w is None:
            continue
        keep = np.zeros(len(cases.labels), bool)
        keep[place] = True
        case, target = cases.select(keep), _processor(label.target)
        kernel = CLASSES[int(case.shapes.place[0])]
        out.append(
            Powered(
                label, kernel, published.power_w, _dynamic_j(case, target), target.idle_w.value, target.busy_w.value
            )
        )
    return tuple(out)


def power_shares(target: str = "", without: str = "") -> dict[str, dict[str, float]]:
    """Median share by family (or by one target) and kernel class; `without` leaves a shape out."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in powered():
        if (target and row.label.target != target) or row.label.fold == without:
            continue
        group = row.label.target if target else SOURCE_OF[row.label.target]
        found.setdefault(group, {}).setdefault(row.kernel, []).append(row.share)
    return {group: {k: float(np.median(v)) for k, v in kernels.items()} for group, kernels in found.items()}


def eie_energy_rows(cases: Cases, records: Sequence[Record]) -> list[Record]:
    """Energy per frame of Tables 8 and 9: the out-of-fold time, at the power that the other shapes draw."""
    seconds = {(r.target, r.case): r for r in records if r.dataset.startswith("eie")}
    out = []
    for row in powered():
        time, batch = seconds[row.label.target, row.label.case], int(row.label.dataset.split()[-1])
        share = power_shares(row.label.target, row.label.fold)[row.label.target][row.kernel]
        static_w = row.idle_w + share * (row.busy_w - row.idle_w)
        predicted = time.predicted * static_w + row.dynamic_j / batch
        out.append(Record(row.label.target, "deep-compression", "energy", row.label.case,
                          short(time.measured * row.power_w),
                          short(predicted), "calibrated", "leave one shape out", row.label.fold))  # fmt: skip
    return out


def tiny_energy_rows(cases: Cases, seconds: NDArray[np.float64]) -> list[Record]:
    """Energy of MLPerf Tiny boards: the out-of-fold time at the data sheet's run power, products added."""
    times = {
        (label.target, label.dataset, label.fold): value for label, value in zip(cases.labels, seconds, strict=True)
    }
    macs = {label.fold: float(cases.shapes.work[cases.of == place].sum()) for place, label in enumerate(cases.labels)}
    out = []
    for row in read_rows("mlperf_tiny.csv"):
        key = (row["board"], row["runtime"], row["benchmark"])
        if row["mode"] != "energy" or not row["energy_uj"] or row["board"] not in CORES or key not in times:
            continue
        target = _processor(row["board"])
        predicted = times[key] * target.busy_w.value + macs[row["benchmark"]] * PJ_PER_BIT_AND_MAC * 8 * PJ
        case = f"{row['benchmark']}, {row['runtime']}, {row['submitter']}"
        out.append(Record(row["board"], row["runtime"], "energy", case, short(float(row["energy_uj"]) * 1e-6),
                          short(predicted), "datasheet", "leave one board out", CORES[row["board"]][1]))  # fmt: skip
    return out
