"""A processor as its timing functions take it: class rates with corrections, memories, peaks by precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..target_processor import CLASSES, Level, ProcessorTarget, bits_of
from ..workload import Workload
from .classes import FamilyTable, family_table
from .timing import Device, Shapes, Table, cache_share, curve_share

__all__ = ["Rates", "cached_shares", "device_of", "homes_of", "peak_of", "precisions_of", "served_shares"]

Array = NDArray[np.float64]


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


def precisions_of(workload: Workload, target: ProcessorTarget) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """The target's precisions, and by layer the index of the one that runs: narrow where both operands are."""
    names = target.precision_names
    widest = np.maximum(workload.activation_bits, np.where(workload.weight_elements > 0, workload.weight_bits, 0.0))
    chosen = np.zeros(np.shape(widest), np.intp)
    bits = np.full(np.shape(widest), float(bits_of(target.precision)))
    for place, name in enumerate(names):
        narrower = (widest <= bits_of(name)) & (bits > bits_of(name))
        chosen, bits = np.where(narrower, place, chosen), np.where(narrower, float(bits_of(name)), bits)
    return names, chosen


def peak_of(target: ProcessorTarget, name: str, matrix: bool) -> float:
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
    vector = np.where(first, peak_of(target, wide, False), peak_of(target, name, False))
    rate = np.where(matrix, peak_of(target, name, True), vector) * rates.tuning
    weight_home, activation_home, cache = homes_of(target)
    weights, activations = (home.bandwidth_bits_per_s for home in (weight_home, activation_home))
    outside = activations.value if activations else np.inf
    inside = outside * rates.table.parameters["cache_speedup"]
    if cache is not None and cache.bandwidth_bits_per_s is not None:
        inside = cache.bandwidth_bits_per_s.value
    curve = None
    if target.bandwidth_curve:
        sizes, speeds = zip(*((p.working_set_bits, p.bandwidth_bits_per_s.value) for p in target.bandwidth_curve),
                            strict=True)  # fmt: skip
        curve, inside, outside = (np.array(sizes, float), np.array(speeds)), speeds[0], speeds[-1]
    return Device(
        rate=rate,
        matrix=matrix,
        narrow_first=first,
        few_tiles=target.tiles != "many",
        one_tile=(target.tiles == "one") | ((target.tiles == "few") & (bits_of(name) < 16)),
        units=float(target.units),
        macs_per_cycle=rate / (target.units * target.clock_hz.value),
        weight_bandwidth=outside if curve else weights.value if weights else np.inf,
        activation_bandwidth=outside,
        cache_bandwidth=inside,
        cache_bits=cache.capacity_bits.value if cache and cache.capacity_bits else 0.0,
        curve=curve,
    )


def cached_shares(
    device: Device, rates: Rates, weights: Array, activations: Array, residency: str
) -> tuple[Array, Array]:
    """Shares of the weights' and the activations' traffic that the cache serves, in the steady state."""
    usable = rates.table.parameters["cache_usable"]
    own, network = _working_sets(weights, activations)
    again = cache_share(device.cache_bits, network, usable)
    return _warm(again, residency), cache_share(device.cache_bits, own, usable)


def served_shares(
    device: Device, rates: Rates, weights: Array, activations: Array, residency: str
) -> tuple[Array, Array]:
    """The same for the time it takes: by the curve of bandwidths where the target has one."""
    if device.curve is None:
        return cached_shares(device, rates, weights, activations, residency)
    own, network = _working_sets(weights, activations)
    return _warm(curve_share(device, network), residency), curve_share(device, own)


def _working_sets(weights: Array, activations: Array) -> tuple[Array, Array]:
    """Bits that a layer touches, and those between two uses of its weights: all weights and its activations."""
    return weights + activations, weights.sum(axis=-1, keepdims=True) + activations


def _warm(shares: Array, residency: str) -> Array:
    return shares if residency == "warm" else np.zeros_like(shares)
