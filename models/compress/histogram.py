"""Many values as the bins of a fine histogram: points for k-means, and a table that assigns codes.

A bin is what float32 values share in their upper 20 bits: sign, exponent and 11 bits of the mantissa. Bins are as
narrow as 1/2048 of the value itself wherever it lies, so that an outlier costs the others nothing, and finding a
value's bin is one shift.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["HISTOGRAM_ABOVE", "binned", "nearest_codes"]

Floats = NDArray[np.float64]
HISTOGRAM_ABOVE = 4_000_000  # values; beyond, quantizers see their histogram
BLOCK = 1 << 20  # values handled at a time
DROPPED_BITS = 12
BINS = 1 << (32 - DROPPED_BITS)
SPLIT = np.uint16(0xFFFF)  # in a table: the bin holds a border, look at the value itself


def _keys(block: NDArray[np.float32]) -> NDArray[np.intp]:
    """Number of each value's bin: positive values in order, then negative ones by magnitude."""
    return (block.view(np.uint32) >> DROPPED_BITS).astype(np.intp)


def binned(values: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Mean and count of each filled bin, by ascending mean.

    >>> binned(np.array([0.5, -2.0, 0.5, 3.0], np.float32))
    (array([-2. ,  0.5,  3. ]), array([1., 2., 1.]))
    """
    flat = np.ascontiguousarray(values, np.float32).ravel()
    counts, sums = np.zeros(BINS, np.int64), np.zeros(BINS)
    for first in range(0, flat.size, BLOCK):
        block = flat[first : first + BLOCK]
        keys = _keys(block)
        here = np.bincount(keys)
        counts[: len(here)] += here
        sums[: len(here)] += np.bincount(keys, weights=block)
    half = BINS // 2
    order = np.concatenate((np.arange(BINS - 1, half - 1, -1), np.arange(half)))
    counts, sums = counts[order], sums[order]
    filled = counts > 0
    return sums[filled] / counts[filled], counts[filled].astype(np.float64)


def nearest_codes(values: NDArray[np.float32], borders: Floats) -> NDArray[np.uint16]:
    """For each value the number of ascending `borders` (at most 65,534) below it: searchsorted, by table.

    >>> nearest_codes(np.array([0.5, -2.0, 1.0], np.float32), np.array([0.0, 1.0])).tolist()
    [1, 0, 1]
    """
    flat = np.ascontiguousarray(values, np.float32).ravel()
    first_bits = np.arange(BINS, dtype=np.uint32) << DROPPED_BITS
    with np.errstate(invalid="ignore"):
        ends = [(first_bits | rest).view(np.float32).astype(np.float64) for rest in (0, (1 << DROPPED_BITS) - 1)]
    low, high = (np.searchsorted(borders, end, side="left") for end in ends)
    table = np.where(low == high, low, SPLIT).astype(np.uint16)
    codes = np.empty(flat.size, np.uint16)
    for first in range(0, flat.size, BLOCK):
        block = flat[first : first + BLOCK]
        found = table[_keys(block)]
        split = np.flatnonzero(found == SPLIT)
        found[split] = np.searchsorted(borders, block[split], side="left")
        codes[first : first + BLOCK] = found
    return codes
