"""What each layer runs on a processor: its kernel, format and precision, and the time that follows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..formats import csr_bits, parse_format
from ..target_processor import CLASSES, Level, ProcessorTarget, bits_of
from ..workload import Workload
from .classes import FamilyTable, Kernels, family_table, kernels_of
from .timing import Device, Shapes, Table, cache_share, compute_seconds, memory_seconds

__all__ = ["Plan", "Rates", "device_of", "homes_of", "plan"]

Array = NDArray[np.float64]


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
    unfused_s: Array
    performed: Array
    weight_bits: Array
    activation_bits: Array
    weights_cached: Array
    activations_cached: Array
    break_even: Array

    @property
    def total_s(self) -> Array:
        return self.overhead_s + np.maximum(self.compute_s, self.memory_s) + self.unfused_s


@dataclass(frozen=True, eq=False)
class Rates:
    """A family's table with a target's corrections in place, and what no timing function needs."""

    table: Table
    power: Array
    overhead_s: float
    tuning: float

    @classmethod
    def of(cls, target: ProcessorTarget, family: FamilyTable | None = None) -> Rates:
        family = family or family_table(target.family)
        fix = {name: constant.value for name, constant in target.corrections.items()}
        factor = np.array([fix.get(name, 1.0) for name in CLASSES])
        parameters = {name: constant.value for name, constant in family.parameters.items()}
        cycles = parameters.get("overhead_cycles", 0.0) / target.clock_hz.value
        usual = (parameters.get("overhead_s", 0.0) + cycles) * fix.get("overhead", 1.0)
        overhead = target.overhead_s.value if target.overhead_s else usual
        bandwidth = family.column("bandwidth") * factor * fix.get("bandwidth", 1.0)
        table = Table(family.column("efficiency") * factor, bandwidth, parameters)
        tuning = parameters.get(f"tuning_{target.tuning}", 1.0)
        own = {name: constant.value for name, constant in target.power_share.items()}
        shares = zip(CLASSES, family.column("power") * fix.get("power", 1.0), strict=True)
        return cls(table, np.array([own.get(name, share) for name, share in shares]), overhead, tuning)


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
    """MAC/s of a precision; vector units without it compute in fp32, or in what there is."""
    table = target.matrix_macs_per_s if matrix and name in target.matrix_macs_per_s else target.peak_macs_per_s
    found = table.get(name) or table.get("fp32") or next(iter(table.values()))  # type: ignore[call-overload]
    return found.value


def device_of(target: ProcessorTarget, shapes: Shapes, name: str, rates: Rates) -> Device:
    """The target as the timing functions take it, for kernels that run in precision `name`."""
    allowed = np.isin(shapes.place, [CLASSES.index(kernel) for kernel in target.matrix_kernels])
    matrix = allowed & (name in target.matrix_macs_per_s)
    first = shapes.of("conv_first") & ~matrix & (bits_of(name) < 32) & (target.family == "gpu")
    wide = "fp32" if "fp32" in target.peak_macs_per_s else name
    vector = np.where(first, _peak(target, wide, False), _peak(target, name, False))
    rate = np.where(matrix, _peak(target, name, True), vector) * rates.tuning
    weight_home, activation_home, cache = homes_of(target)
    weights, activations = (home.bandwidth_bits_per_s for home in (weight_home, activation_home))
    outside = activations.value if activations else np.inf
    inside = outside * rates.table.parameters["cache_speedup"]
    if cache is not None and cache.bandwidth_bits_per_s is not None:
        inside = cache.bandwidth_bits_per_s.value
    return Device(
        rate=rate,
        matrix=matrix,
        narrow_first=first,
        few_tiles=target.tiles != "many",
        one_tile=(target.tiles == "one") | ((target.tiles == "few") & (bits_of(name) < 16)),
        units=float(target.units),
        macs_per_cycle=rate / (target.units * target.clock_hz.value),
        weight_bandwidth=weights.value if weights else np.inf,
        activation_bandwidth=outside,
        cache_bandwidth=inside,
        cache_bits=cache.capacity_bits.value if cache and cache.capacity_bits else 0.0,
    )


def _cached(device: Device, rates: Rates, weights: Array, activations: Array, residency: str) -> tuple[Array, Array]:
    """Shares of the weights' and the activations' traffic that the cache serves, in the steady state."""
    usable = rates.table.parameters["cache_usable"]
    own = cache_share(device.cache_bits, weights + activations, usable)
    network = cache_share(device.cache_bits, weights.sum(axis=-1, keepdims=True) + activations, usable)
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
    shapes, table = kernels.shapes(workload), rates.table
    names, precision = _precisions(workload, target)
    ran = ~workload.opaque
    value_bits = np.array([float(bits_of(name)) for name in names])[precision]
    devices = [device_of(target, shapes, name, rates) for name in names]
    each = np.stack([compute_seconds(shapes, device, table) for device in devices])
    compute = np.take_along_axis(
        np.broadcast_to(each[:, *[None] * (precision.ndim - 1)], (len(names), *precision.shape)), precision[None], 0
    )[0]
    kept = value_bits
    for width in sorted(target.weight_only_bits, reverse=True):
        kept = np.where((workload.weight_bits <= width) & (kept > width), float(width), kept)
    stored = (
        workload.weight_elements * kept
        + workload.bias_bits
        + np.where(kept < value_bits, 1, 0) * (workload.codebook_bits)
    )
    rows = np.where(workload.table_elements > 0, 1.0, 0.0) * workload.output_elements * value_bits
    moved = (workload.input_elements + workload.output_elements) * value_bits + rows
    cached = _cached(devices[0], rates, stored, moved, residency)
    memory = memory_seconds(np.broadcast_to(kernels.place, moved.shape), stored, moved, cached, devices[0], table)
    compute, memory = compute + 0 * memory, memory + 0 * compute
    extra, passes, extra_s = _unfused(workload, target, table, devices[0], value_bits, cached[1])
    csr = _csr(workload, kernels, target, rates, devices[0], value_bits, moved, residency)
    shape = np.broadcast_shapes(memory.shape, csr["total"].shape, workload.storage_asked.shape, workload.density.shape)
    compute, memory = np.broadcast_to(compute, shape), np.broadcast_to(memory, shape)
    dense = np.maximum(compute, memory)
    can_dense, can_csr = _free(workload, target)
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
        memory_s=np.where(ran, np.where(sparse, csr["memory"], memory), 0.0),
        unfused_s=np.broadcast_to(np.where(ran, extra_s, 0.0), shape),
        performed=np.where(ran, np.where(sparse, workload.macs * workload.density, workload.macs), 0.0),
        weight_bits=np.where(sparse, csr["bits"], stored),
        activation_bits=np.broadcast_to(moved + passes, shape),
        weights_cached=np.broadcast_to(cached[0], shape),
        activations_cached=np.broadcast_to(cached[1], shape),
        break_even=np.where(applies, np.minimum(1.0, workload.density * gain), 0.0),
    )


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


def _csr(
    workload: Workload, kernels: Kernels, target: ProcessorTarget, rates: Rates, device: Device, value_bits: Array,
    moved: Array, residency: str,
) -> dict[str, Array]:  # fmt: skip
    """Times and bits if every layer ran from CSR: products at a low rate, matrix entries with their indices."""
    place = np.where(kernels.m > 1, CLASSES.index("csr_mm"), CLASSES.index("csr_mv"))
    bits = csr_bits(workload.weight_rows, workload.weight_nonzeros, value_bits, target.index_bits, target.index_bits)
    bits = bits + workload.bias_bits
    cached = _cached(device, rates, bits, moved, residency)
    place = np.broadcast_to(place, bits.shape)
    memory = memory_seconds(place, bits, moved, cached, device, rates.table)
    rate = _peak(target, target.precision, False) * rates.table.efficiency[place]
    compute = workload.macs * workload.density / rate
    return {"place": place, "bits": bits, "compute": compute, "memory": memory, "total": np.maximum(compute, memory)}
