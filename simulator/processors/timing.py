"""Time of one kernel: overhead, arithmetic at the efficiency of its class and shape, bits at a bandwidth.

    time = overhead + max(operations / (peak x efficiency(class, shape)), bits / bandwidth(working set))

Everything here is arrays in, arrays out, so that fits and designs run through the same lines.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["SPLITS", "TILES", "cache_share", "saturated_seconds", "tiled_seconds"]

Array = NDArray[np.float64]
# Output tiles that matrix libraries on GPUs choose from, and in how many parts they may split the sum over k.
TILES = tuple((float(a), float(b)) for a in (32, 64, 128, 256) for b in (32, 64, 128, 256) if a * b <= 32768)
SPLITS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
LEAST_K = 64.0  # a part shorter than this is not worth its sum


def saturated_seconds(
    m: Array, n: Array, k: Array, groups: Array, rate: Array, parameters: Mapping[str, float]
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
    m: Array, n: Array, k: Array, groups: Array, rate: Array, units: Array | float, reuse: Array | float,
    k_half: Array | float,
) -> Array:  # fmt: skip
    """Fastest choice of tile and split: waves of tiles over the units, each tile at a rate that grows with its size.

        waves = ceil(ceil(m / tm) ceil(n / tn) groups splits / units)
        time = waves x tm tn (k / splits + k_half) / (rate / units) x (1 + reuse (1 / tm + 1 / tn))

    A tile loads tm + tn values for tm tn products, so `reuse` is the tile size at which loading costs as much as
    multiplying. Narrow outputs leave most of a tile, or most units, idle: that is the quantisation.
    """
    best = np.full(np.broadcast_shapes(m.shape, rate.shape), np.inf)
    for tm, tn in TILES:
        slow = tm * tn * (1 + reuse * (1 / tm + 1 / tn)) * units / rate
        tiles = np.ceil(m / tm) * np.ceil(n / tn) * groups
        for split in SPLITS:
            part = np.ceil(tiles * split / units) * (k / split + k_half) * slow
            best = np.where((split == 1) | (k >= split * LEAST_K), np.minimum(best, part), best)
    return best


def cache_share(capacity_bits: Array | float, working_bits: Array, usable: float) -> Array:
    """Share of the traffic that the last-level cache serves: all of it up to the usable capacity, then less and less.

    >>> float(cache_share(8.0, np.array(8.0), 0.5))
    0.5
    """
    return np.minimum(1.0, usable * capacity_bits / np.maximum(working_bits, 1.0))
