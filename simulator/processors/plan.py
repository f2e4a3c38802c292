"""What each layer runs on a processor: its kernel, format and precision, and the time that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..target_processor import CLASSES, ProcessorTarget, bits_of
from ..workload import Workload
from .classes import Kernels, kernels_of
from .irregular import unaligned
from .rates import Rates, cached_shares, device_of, precisions_of, served_shares
from .sparse_kernels import Candidate, sparse_candidates
from .timing import Device, Table, compute_seconds, memory_seconds

__all__ = ["Plan", "plan"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Plan:
    """Times by design and layer, the format executed, and what moves; zeros where nothing runs.

    `executed` indexes `formats`, 0 being dense. `break_even` is the stored share of the weights below which the best
    sparse kernel of a layer gains, 0 where it has none; `patterned` marks zeros in the pattern of such a kernel.
    """

    kernels: Kernels
    classes: NDArray[np.intp]
    ran: NDArray[np.bool_]
    formats: tuple[str, ...]
    executed: NDArray[np.intp]
    precision: NDArray[np.intp]
    value_bits: Array
    overhead_s: Array
    compute_s: Array
    memory_s: Array
    unfused_s: Array
    performed: Array
    weight_bits: Array
    activation_bits: Array
    weights_cached: Array
    activations_cached: Array
    break_even: Array

    @property
    def sparse(self) -> NDArray[np.bool_]:
        return self.executed > 0

    @property
    def total_s(self) -> Array:
        return self.overhead_s + np.maximum(self.compute_s, self.memory_s) + self.unfused_s


def _asked(workload: Workload) -> NDArray[np.str_]:
    """The format asked for, entropy coding aside, as it is undone when loaded."""
    return np.char.replace(workload.storage_asked, "+huffman", "")


@dataclass(frozen=True, eq=False)
class _Best:
    """The fastest kernel so far, by design and layer."""

    executed: NDArray[np.intp]
    classes: NDArray[np.intp]
    compute_s: Array
    memory_s: Array
    weight_bits: Array
    share: Array
    break_even: Array

    def against(self, other: Candidate, place: int, may: NDArray[np.bool_], must: NDArray[np.bool_]) -> _Best:
        """With `other` where it is faster and `may` run, or `must`."""
        now = np.maximum(self.compute_s, self.memory_s)
        takes = other.applies & (may & (other.share < 1) & (other.total_s < now) | must)
        dense = np.where(self.executed == 0, now, 0.0)
        gain = np.divide(dense, other.total_s, out=np.zeros(dense.shape), where=other.total_s > 0)
        limit = np.where(other.applies & may & (other.share < 1), np.minimum(1.0, other.share * gain), 0.0)
        return _Best(
            np.where(takes, place, self.executed), np.where(takes, other.classes, self.classes),
            np.where(takes, other.compute_s, self.compute_s), np.where(takes, other.memory_s, self.memory_s),
            np.where(takes, other.weight_bits, self.weight_bits), np.where(takes, other.share, self.share),
            np.maximum(self.break_even, limit),
        )  # fmt: skip


def _fastest(workload: Workload, dense: _Best, candidates: list[Candidate]) -> tuple[tuple[str, ...], _Best]:
    """A format asked for that a kernel executes is what runs wherever that kernel exists."""
    asked, best = _asked(workload), dense
    formats = ("dense", *(candidate.format for candidate in candidates))
    known = np.isin(asked, formats)
    for place, candidate in enumerate(candidates, 1):
        mine = asked == candidate.format
        best = best.against(candidate, place, ~known | mine, mine)
    return formats, best


def plan(workload: Workload, target: ProcessorTarget, residency: str = "warm") -> Plan:
    """The fastest kernel of each layer among those that execute its format, and its times."""
    kernels, rates = kernels_of(workload), Rates.of(target)
    shapes, table = kernels.shapes(workload), rates.table
    names, precision = precisions_of(workload, target)
    ran = ~workload.opaque
    value_bits = np.array([float(bits_of(name)) for name in names])[precision]
    devices = [device_of(target, shapes, name, rates) for name in names]
    each = np.stack([compute_seconds(shapes, device, table) for device in devices])
    compute = np.take_along_axis(
        np.broadcast_to(each[:, *[None] * (precision.ndim - 1)], (len(names), *precision.shape)), precision[None], 0
    )[0]
    stored = _stored_bits(workload, target, value_bits)
    rows = np.where(workload.table_elements > 0, 1.0, 0.0) * workload.output_elements * value_bits
    moved = (workload.input_elements + workload.output_elements) * value_bits + rows
    cached = cached_shares(devices[0], rates, stored, moved, residency)
    served = served_shares(devices[0], rates, stored, moved, residency)
    memory = memory_seconds(np.broadcast_to(kernels.place, moved.shape), stored, moved, served, devices[0], table)
    memory = memory * unaligned(shapes.place, shapes.n, devices[0].few_tiles, table.parameters)
    compute, memory = compute + 0 * memory, memory + 0 * compute
    extra, passes, extra_s = _unfused(workload, target, table, devices[0], value_bits, served[1])
    candidates = sparse_candidates(
        workload, kernels, target, rates, devices[0], compute, value_bits,
        [precision == place for place in range(len(names))], moved, residency,
    )  # fmt: skip
    shape = np.broadcast_shapes(
        memory.shape, workload.storage_asked.shape, workload.density.shape, *(c.total_s.shape for c in candidates)
    )
    def spread(values: Any) -> Any:
        return np.broadcast_to(values, shape)

    dense = _Best(
        spread(np.intp(0)), spread(kernels.place), spread(compute), spread(memory), spread(stored), spread(1.0),
        spread(0.0),
    )  # fmt: skip
    formats, best = _fastest(workload, dense, candidates)
    return Plan(
        kernels=kernels,
        classes=best.classes,
        ran=np.broadcast_to(ran, shape),
        formats=formats,
        executed=best.executed,
        precision=np.broadcast_to(precision, shape),
        value_bits=np.broadcast_to(value_bits, shape),
        overhead_s=np.where(ran, rates.overhead_s * (1 + extra), 0.0) + np.zeros(shape),
        compute_s=np.where(ran, best.compute_s, 0.0),
        memory_s=np.where(ran, best.memory_s, 0.0),
        unfused_s=np.broadcast_to(np.where(ran, extra_s, 0.0), shape),
        performed=np.where(ran, workload.macs * best.share, 0.0),
        weight_bits=best.weight_bits,
        activation_bits=np.broadcast_to(moved + passes, shape),
        weights_cached=np.broadcast_to(cached[0], shape),
        activations_cached=np.broadcast_to(cached[1], shape),
        break_even=best.break_even,
    )


def _stored_bits(workload: Workload, target: ProcessorTarget, value_bits: Array) -> Array:
    """What dense kernels read of weights: in the runtime's width, or in a narrower one that they decode on the fly."""
    kept = value_bits
    for width in sorted(target.weight_only_bits, reverse=True):
        kept = np.where((workload.weight_bits <= width) & (kept > width), float(width), kept)
    return workload.weight_elements * kept + workload.bias_bits + np.where(kept < value_bits, workload.codebook_bits, 0)


def _unfused(
    workload: Workload, target: ProcessorTarget, table: Table, device: Device, value_bits: Array, cached: Array
) -> tuple[Array, Array, Array]:
    """What a runtime that fuses nothing adds: kernels, bits to write and read the outputs again, and their time."""
    if target.fuses != "nothing":
        return np.zeros_like(workload.fused_behind), np.zeros_like(cached), np.zeros_like(cached)
    passes = 2 * workload.fused_behind * workload.output_elements * value_bits
    place = np.full(passes.shape, CLASSES.index("elementwise"))
    zero = np.zeros_like(passes)
    return workload.fused_behind, passes, memory_seconds(place, zero, passes, (zero, cached), device, table)
