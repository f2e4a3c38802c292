"""Time of one kernel: overhead, arithmetic at the efficiency of its class and shape, bits at a bandwidth.

    time = overhead + max(operations / (peak x efficiency(class, shape)), bits / bandwidth(working set))

Everything here is arrays in, arrays out: one device and many layers for an estimate, many devices for a fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..target_processor import CLASSES
from .irregular import gathered

__all__ = [
    "Device", "Shapes", "Table", "cache_share", "compute_seconds", "curve_share", "memory_seconds", "saturated_seconds",
    "tiled_seconds",
]  # fmt: skip

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Value = Array | float
# Output tiles that libraries on GPUs choose from: wide ones for convolutions, narrow ones too for matrix products.
TILES = tuple((float(a), float(b)) for a in (32, 64, 128, 256) for b in (32, 64, 128, 256) if a * b <= 32768)
LARGEST, MIDDLE = (256.0, 128.0), (128.0, 128.0)
SPLITS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)  # parts of the sum over k, matrix products only
LEAST_K, LEAST_K_FEW = 128.0, 1024.0  # a part shorter than this is not worth its sum
REFERENCE_MACS_PER_CYCLE = 512.0
FEW_ROWS = 4  # as many vectors are multiplied as one is: each weight read once, no tile


@dataclass(frozen=True, eq=False)
class Shapes:
    """Kernels as `groups` products m x k by k x n; `work` counts operations, `place` indexes CLASSES."""

    place: NDArray[np.intp]
    m: Array
    n: Array
    k: Array
    groups: Array
    work: Array
    winograd: Flags

    def of(self, *names: str) -> Flags:
        """Where the class is one of `names`."""
        return np.isin(self.place, [CLASSES.index(name) for name in names])


@dataclass(frozen=True, eq=False)
class Device:
    """What a data sheet gives, for one device (numbers) or by kernel (arrays).

    `rate` is the peak in MAC/s of the units that run the kernel; `matrix` marks tensor cores; `narrow_first` a first
    convolution in fewer than 32 bits off the tensor cores; `few_tiles` libraries with one tile for matrix products,
    `one_tile` with one for convolutions too. Bandwidths are in bit/s; `curve` holds rising working sets in bits and the
    bandwidth of each, the fastest of which `cache_bandwidth` is then.
    """

    rate: Value
    matrix: Flags | bool
    narrow_first: Flags | bool
    few_tiles: Flags | bool
    one_tile: Flags | bool
    units: Value
    macs_per_cycle: Value
    weight_bandwidth: Value
    activation_bandwidth: Value
    cache_bandwidth: Value
    cache_bits: Value
    curve: tuple[Array, Array] | None = None


@dataclass(frozen=True, eq=False)
class Table:
    """Efficiency and bandwidth share by class, corrections in place, shape [..., classes]; parameters by name."""

    efficiency: Array
    bandwidth: Array
    parameters: Mapping[str, float]


def saturated_seconds(
    m: Array, n: Array, k: Array, groups: Array, rate: Value, parameters: Mapping[str, float]
) -> Array:
    """m n k groups / rate x (1 + m_half / m) (1 + n_half / n) (1 + k_half / k): a CPU's loops fill up by and by.

    `rate` is in MAC/s, efficiency included.

    >>> float(saturated_seconds(np.array(10.0), np.array(1.0), np.array(1.0), np.array(1.0), np.array(10.0),
    ...                         {"m_half": 10.0, "n_half": 0.0, "k_half": 0.0}))
    2.0
    """
    shape = (1 + parameters["m_half"] / m) * (1 + parameters["n_half"] / n) * (1 + parameters["k_half"] / k)
    return m * n * k * groups / rate * shape


def tiled_seconds(
    m: Array, n: Array, k: Array, groups: Array, rate: Value, units: Value, reuse: Value, k_half: Value,
    allowed: Mapping[tuple[float, float, float], Flags],
) -> Array:  # fmt: skip
    """Fastest choice of tile and split: waves of tiles over the units, each tile at a rate that grows with its size.

        waves = ceil(ceil(m / tm) ceil(n / tn) groups splits / units)
        time = waves x units x tm tn (k / splits + k_half) / rate x slow(tile) / slow(largest tile)
        slow(tile) = 1 + reuse (1 / tm + 1 / tn)

    A tile loads tm + tn values for tm tn products, so `reuse` is the tile size at which loading costs as much as
    multiplying. Narrow outputs leave most of a tile, or most units, idle: that is the quantisation. `allowed` says
    for each (tm, tn, splits) which kernels may use it.

    >>> one, tile = np.array([1.0]), {(128.0, 128.0, 1.0): np.array([True])}
    >>> wide, narrow = (tiled_seconds(m * one, 128 * one, 64 * one, one, 1e12, 1.0, 0.0, 0.0, tile) for m in (128, 16))
    >>> float(wide[0] / narrow[0])
    1.0
    """
    best = np.full(np.broadcast_shapes(np.shape(m), np.shape(rate)), np.inf)
    largest = 1 + reuse * (1 / LARGEST[0] + 1 / LARGEST[1])
    for (tm, tn, split), may in allowed.items():
        slow = tm * tn * (1 + reuse * (1 / tm + 1 / tn)) / largest * units / rate
        waves = np.ceil(np.ceil(m / tm) * np.ceil(n / tn) * groups * split / units)
        best = np.where(may, np.minimum(best, waves * (k / split + k_half) * slow), best)
    return best


def _choices(shapes: Shapes, device: Device) -> dict[tuple[float, float, float], Flags]:
    """Which kernels may use which tile and split."""
    products = shapes.of("gemm", "recurrent")
    few, one = np.asarray(device.few_tiles, bool), np.asarray(device.one_tile, bool)
    least = np.where(few, LEAST_K_FEW, LEAST_K)
    out = {}
    for tile in TILES:
        wide = min(tile) >= 64
        for split in SPLITS:
            product = products & (~few | (tile == MIDDLE)) & ((split == 1) | ~one & (shapes.k >= split * least))
            window = ~products & (~one | (tile == MIDDLE)) if wide and split == 1 else np.zeros(shapes.m.shape, bool)
            may = product | window
            if may.any():
                out[*tile, split] = may
    return out


def compute_seconds(shapes: Shapes, device: Device, table: Table) -> Array:
    """Seconds of arithmetic by kernel."""
    p = table.parameters
    matrix = np.asarray(device.matrix, bool)
    efficiency = np.take_along_axis(np.broadcast_to(table.efficiency, (*shapes.place.shape, len(CLASSES))),
                                    shapes.place[..., None], -1)[..., 0]  # fmt: skip
    gain = np.where(shapes.winograd & ~matrix, p["winograd"], 1.0) * np.where(device.narrow_first, p["narrow_first"], 1)
    rate = device.rate * efficiency * gain
    size = shapes.m * shapes.n * shapes.k * shapes.groups
    sparse = shapes.of("csr_mm")
    density = np.where(sparse, shapes.work / size, 1.0)
    effort = gathered(shapes.m, shapes.n, shapes.k, density, device.units, device.cache_bits, p)
    work = shapes.work * np.where(sparse, effort, 1.0)
    direct = shapes.of("gemv", "conv_depthwise", "csr_mv", "csr_mm") | (shapes.m * shapes.n * shapes.k == 1)
    if "tile_reuse" in p:
        rate = rate * np.where(matrix, p["matrix_efficiency"], 1.0)
        density = np.asarray(device.macs_per_cycle) / REFERENCE_MACS_PER_CYCLE
        reuse = p["tile_reuse"] * density ** p["tile_reuse_power"]
        half = np.where(matrix, p["matrix_k_half"], p["k_half"])
        shaped = tiled_seconds(
            shapes.m, shapes.n, shapes.k, shapes.groups, rate, device.units, reuse, half, _choices(shapes, device)
        )
        shaped = np.where(shapes.of("gemm") & (shapes.m <= FEW_ROWS), np.minimum(shaped, work / rate), shaped)
    else:
        shaped = saturated_seconds(shapes.m, shapes.n, shapes.k, shapes.groups, rate, p)
        few = 1 + p.get("pixels_half", 0.0) * np.asarray(device.units) / shapes.m
        few = np.where(shapes.of("conv", "conv_first", "conv_pointwise", "conv_depthwise"), few, 1.0)
        shaped, work = shaped * few, work * few
    return np.where(direct, work / rate, shaped)


def cache_share(capacity_bits: Value, working_bits: Array, usable: float) -> Array:
    """Share of the traffic that the last-level cache serves: all of it up to the usable capacity, then less and less.

    >>> float(cache_share(8.0, np.array(8.0), 0.5))
    0.5
    """
    return np.minimum(1.0, usable * capacity_bits / np.maximum(working_bits, 1.0))


def curve_share(device: Device, working_bits: Array) -> Array:
    """Where the curve lies between memory's bandwidth (0) and the fastest cache's (1), in time for a bit.

    Between two working sets the bandwidth is interpolated in logarithms; beyond the ends it stays.

    >>> curve = (np.array([8.0, 800.0]), np.array([100.0, 1.0]))
    >>> device = Device(1.0, False, False, False, False, 1.0, 1.0, 1.0, 1.0, 100.0, 8.0, curve)
    >>> curve_share(device, np.array([1.0, 80.0, 8000.0])).round(3).tolist()   # 100, 10 and 1 bit/s
    [1.0, 0.909, 0.0]
    """
    assert device.curve is not None
    sizes, rates = device.curve
    rate = np.exp(np.interp(np.log(np.maximum(working_bits, 1.0)), np.log(sizes), np.log(rates)))
    inside, outside = 1 / rates[0], 1 / rates[-1]
    return (outside - 1 / rate) / (outside - inside) if outside > inside else np.ones_like(rate)


def memory_seconds(
    place: NDArray[np.intp], weights: Array, activations: Array, cached: tuple[Array, Array], device: Device,
    table: Table,
) -> Array:  # fmt: skip
    """bits / bandwidth, the cached share of it at the cache's; all at the class's share of the bandwidth.

    An infinite bandwidth takes no time. `weights` and `activations` are bits, `cached` the shares of both.
    """
    share = np.take_along_axis(np.broadcast_to(table.bandwidth, (*place.shape, len(CLASSES))), place[..., None], -1)
    inside = 1.0 / np.asarray(device.cache_bandwidth)
    weight = cached[0] * inside + (1 - cached[0]) / np.asarray(device.weight_bandwidth)
    activation = cached[1] * inside + (1 - cached[1]) / np.asarray(device.activation_bandwidth)
    return (weights * weight + activations * activation) / share[..., 0]
