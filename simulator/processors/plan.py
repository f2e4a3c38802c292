"""What each layer runs on a processor: its kernel, format and precision, and the time that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..formats import csr_bits, parse_format
from ..target_processor import CLASSES, Level, ProcessorTarget, bits_of
from ..workload import Workload
from .classes import FamilyTable, Kernels, family_table, kernels_of
from .timing import cache_share, saturated_seconds, tiled_seconds

__all__ = ["Plan", "Rates", "homes_of", "plan"]

Array = NDArray[np.float64]
CSR_CLASSES = ("csr_mv", "csr_mm")
DIRECT = ("gemv", "conv_depthwise", "csr_mv", "csr_mm")  # no tiles: every product counts the same


@dataclass(frozen=True, eq=False)
class Plan:
    """Times by design and layer, the format executed, and what moves; zeros where nothing runs."""

    kernels: Kernels
    classes: NDArray[np.intp]
    ran: NDArray[np.bool_]
    sparse: NDArray[np.bool_]
    precision: NDArray[np.intp]
    value_bits: Array
    overhead_s: Array
    compute_s: Array
    memory_s: Array
    performed: Array
    weight_bits: Array
    activation_bits: Array
    weights_cached: Array
    activations_cached: Array
    break_even: Array

    @property
    def total_s(self) -> Array:
        return np.where(self.ran, self.overhead_s + np.maximum(self.compute_s, self.memory_s), 0.0)


@dataclass(frozen=True, eq=False)
class Rates:
    """A target's numbers beside its family's, corrections in place; arrays have one entry per kernel class."""

    table: FamilyTable
    efficiency: Array
    bandwidth: Array
    power: Array
    overhead_s: float
    parameters: Mapping[str, float]

    @classmethod
    def of(cls, target: ProcessorTarget) -> Rates:
        table = family_table(target.family)
        fix = {name: constant.value for name, constant in target.corrections.items()}
        factor = np.array([fix.get(name, 1.0) for name in CLASSES])
        parameters = {name: constant.value for name, constant in table.parameters.items()}
        given = target.overhead_s
        overhead = given.value if given else parameters["overhead_s"] * fix.get("overhead", 1.0)
        share = table.column("bandwidth") * factor * fix.get("bandwidth", 1.0)
        power = table.column("power") * fix.get("power", 1.0)
        return cls(table, table.column("efficiency") * factor, share, power, overhead, parameters)


def homes_of(target: ProcessorTarget) -> tuple[Level, Level, Level | None]:
    """(where weights lie, where activations lie, the last cache before them if there is one)."""
    weights = next(level for level in reversed(target.memories) if "weight" in level.holds)
    activations = next(level for level in reversed(target.memories) if "activation" in level.holds)
    caches = [level for level in target.memories if level is not weights and level is not activations]
    return weights, activations, caches[-1] if caches else None


def _precisions(workload: Workload, target: ProcessorTarget) -> tuple[list[str], NDArray[np.intp]]:
    """The target's precisions, and by layer the index of the one that runs: narrow where both operands are."""
    names = [target.precision]
    for name in (*target.peak_macs_per_s, *target.matrix_macs_per_s):
        if name not in names and name in ("fp16", "bf16", "fp8", "int8", "int4"):
            names.append(name)
    widest = np.maximum(workload.activation_bits, np.where(workload.weight_elements > 0, workload.weight_bits, 0.0))
    chosen = np.zeros(np.shape(widest), np.intp)
    bits = np.full(np.shape(widest), float(bits_of(target.precision)))
    for place, name in enumerate(names):
        narrower = (widest <= bits_of(name)) & (bits > bits_of(name))
        chosen, bits = np.where(narrower, place, chosen), np.where(narrower, float(bits_of(name)), bits)
    return names, chosen


def _peak(target: ProcessorTarget, name: str, matrix: bool) -> float:
    """MAC/s of a precision; vector units without it compute at the runtime's own, or at the widest there is."""
    table = target.matrix_macs_per_s if matrix and name in target.matrix_macs_per_s else target.peak_macs_per_s
    found = table.get(name) or table.get("fp32") or next(iter(table.values()))  # type: ignore[call-overload]
    return found.value


def _dense_compute(kernels: Kernels, target: ProcessorTarget, rates: Rates, work: Array, name: str) -> Array:
    """Seconds of arithmetic at one precision, [layers]."""
    matrix = np.array([name in target.matrix_macs_per_s and c in target.matrix_kernels for c in kernels.names])
    peak = np.where(matrix, _peak(target, name, True), _peak(target, name, False))
    rate = peak * rates.efficiency[kernels.place]
    p = rates.parameters
    direct = kernels.is_class(*DIRECT) | (work == 0)
    gain = np.where(kernels.winograd & ~matrix, p["winograd"], 1.0)
    if "tile_reuse" in p:
        own = np.where(matrix, p["matrix_efficiency"], 1.0)
        reuse = np.where(matrix, p["matrix_tile_reuse"], p["tile_reuse"])
        half = np.where(matrix, p["matrix_tile_k_half"], p["tile_k_half"])
        shaped = tiled_seconds(
            kernels.m, kernels.n, kernels.k, kernels.groups, rate * own * gain, float(target.units), reuse, half
        )
    else:
        shaped = saturated_seconds(kernels.m, kernels.n, kernels.k, kernels.groups, rate * gain, p)
    return np.where(direct, work / rate, shaped)


def _memory_seconds(
    target: ProcessorTarget, rates: Rates, share: Array, weights: Array, activations: Array, cached: tuple[Array, Array]
) -> Array:
    weight_home, activation_home, cache = homes_of(target)
    total = np.zeros(np.broadcast_shapes(weights.shape, activations.shape))
    for home, bits, hit in ((weight_home, weights, cached[0]), (activation_home, activations, cached[1])):
        if home.bandwidth_bits_per_s is None:
            continue
        outside = home.bandwidth_bits_per_s.value
        inside = outside * rates.parameters["cache_speedup"]
        if cache is not None and cache.bandwidth_bits_per_s is not None:
            inside = cache.bandwidth_bits_per_s.value
        total = total + bits * (hit / inside + (1 - hit) / outside)
    return total / share


def _cached(
    target: ProcessorTarget, rates: Rates, weights: Array, activations: Array, residency: str
) -> tuple[Array, Array]:
    """Shares of the weights' and the activations' traffic that the cache serves, in the steady state."""
    _, _, cache = homes_of(target)
    if cache is None or cache.capacity_bits is None:
        zero = np.zeros_like(weights + activations)
        return zero, zero
    usable = rates.parameters["cache_usable"]
    own = cache_share(cache.capacity_bits.value, weights + activations, usable)
    network = cache_share(cache.capacity_bits.value, weights.sum(axis=-1, keepdims=True) + activations, usable)
    return (network if residency == "warm" else np.zeros_like(network)), own


def _free(workload: Workload, target: ProcessorTarget) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(may run dense, may run CSR): a format asked for that a kernel executes is what runs."""
    family = np.array([parse_format(name)[0] if name else "" for name in workload.storage_asked.flat])
    family = family.reshape(workload.storage_asked.shape)
    has_csr = "csr" in target.executes
    return ~((family == "csr") & has_csr), (family != "dense") & has_csr


def plan(workload: Workload, target: ProcessorTarget, residency: str = "warm") -> Plan:
    """The fastest kernel of each layer among those that execute its format, and its times."""
    kernels, rates = kernels_of(workload), Rates.of(target)
    names, precision = _precisions(workload, target)
    ran = ~workload.opaque
    value_bits = np.array([float(bits_of(name)) for name in names])[precision]
    work = np.where(workload.macs > 0, workload.macs, workload.input_elements)
    each = np.stack([_dense_compute(kernels, target, rates, work, name) for name in names])
    compute = np.take_along_axis(
        np.broadcast_to(each[:, *[None] * (precision.ndim - 1)], (len(names), *precision.shape)), precision[None], 0
    )[0]
    kept = value_bits
    for width in sorted(target.weight_only_bits, reverse=True):
        kept = np.where((workload.weight_bits <= width) & (kept > width), float(width), kept)
    stored = workload.weight_elements * kept + workload.bias_bits + np.where(kept < value_bits, 1, 0) * (
        workload.codebook_bits
    )
    rows = np.where(workload.table_elements > 0, 1.0, 0.0) * workload.output_elements * value_bits
    moved = (workload.input_elements + workload.output_elements) * value_bits + rows
    cached = _cached(target, rates, stored, moved, residency)
    memory = _memory_seconds(target, rates, rates.bandwidth[kernels.place], stored, moved, cached)
    compute, memory = compute + 0 * memory, memory + 0 * compute
    extra, extra_memory = _unfused(workload, target, rates, value_bits, cached[1])
    shape = memory.shape
    dense = np.maximum(compute, memory)
    can_dense, can_csr = _free(workload, target)
    csr = _csr(workload, kernels, target, rates, value_bits, moved, residency)
    applies = can_csr & (workload.weight_elements > 0) & kernels.is_class("gemm", "gemv") & (workload.density < 1)
    asked = ~can_dense & kernels.is_class("gemm", "gemv") & (workload.weight_elements > 0)
    sparse = np.broadcast_to((applies & (csr["total"] < dense)) | asked, shape)
    gain = np.divide(dense, csr["total"], out=np.zeros(shape), where=csr["total"] > 0)
    return Plan(
        kernels=kernels,
        classes=np.where(sparse, csr["place"], kernels.place),
        ran=np.broadcast_to(ran, shape),
        sparse=sparse,
        precision=np.broadcast_to(precision, shape),
        value_bits=np.broadcast_to(value_bits, shape),
        overhead_s=np.where(ran, rates.overhead_s * (1 + extra), 0.0) + np.zeros(shape),
        compute_s=np.where(ran, np.where(sparse, csr["compute"], compute), 0.0),
        memory_s=np.where(ran, np.where(sparse, csr["memory"], memory) + extra_memory, 0.0),
        performed=np.where(ran, np.where(sparse, workload.macs * workload.density, workload.macs), 0.0),
        weight_bits=np.where(sparse, csr["bits"], stored),
        activation_bits=np.broadcast_to(moved, shape),
        weights_cached=np.broadcast_to(cached[0], shape),
        activations_cached=np.broadcast_to(cached[1], shape),
        break_even=np.where(applies, np.minimum(1.0, workload.density * gain), 0.0),
    )


def _unfused(
    workload: Workload, target: ProcessorTarget, rates: Rates, value_bits: Array, cached: Array
) -> tuple[Array, Array]:
    """Kernels of their own for what other runtimes fuse, and the time to read and write the outputs again."""
    if target.fuses != "nothing":
        return np.zeros_like(workload.fused_behind), np.zeros_like(cached)
    passes = 2 * workload.fused_behind * workload.output_elements * value_bits
    share = rates.bandwidth[CLASSES.index("elementwise")]
    zero = np.zeros_like(passes)
    return workload.fused_behind, _memory_seconds(target, rates, share, zero, passes, (zero, cached))


def _csr(
    workload: Workload, kernels: Kernels, target: ProcessorTarget, rates: Rates, value_bits: Array, moved: Array,
    residency: str,
) -> dict[str, Array]:  # fmt: skip
    """Times and bits if every layer ran from CSR: products at a low rate, matrix entries with their indices."""
    place = np.where(kernels.m > 1, CLASSES.index("csr_mm"), CLASSES.index("csr_mv"))
    bits = csr_bits(workload.weight_rows, workload.weight_nonzeros, value_bits, target.index_bits, target.index_bits)
    bits = bits + workload.bias_bits
    cached = _cached(target, rates, bits, moved, residency)
    memory = _memory_seconds(target, rates, rates.bandwidth[place], bits, moved, cached)
    rate = _peak(target, target.precision, False) * rates.efficiency[place]
    compute = workload.macs * workload.density / rate
    return {"place": place, "bits": bits, "compute": compute, "memory": memory, "total": np.maximum(compute, memory)}
