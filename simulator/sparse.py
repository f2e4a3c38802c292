"""How much work the zeros of real tensors save: effectual products, their spread over PEs, N:M groups.

Exact wherever a mask is known. Where only a density is, the expectation over uniform random masks of
exactly that many non-zeros (hypergeometric); every answer carries its `basis`, "exact" or "statistical".
Masks are arrays whose non-zero entries count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..models.errors import InputError

__all__ = [
    "Effectual", "NmPattern", "conv_effectual_macs", "detect_n_of_m", "effectual_macs", "expected_conv_effectual_macs",
    "expected_maximum", "gemm_effectual_macs", "imbalance", "n_of_m_bits", "pe_work", "run_length_bits",
    "tile_occupancy", "window_counts",
]  # fmt: skip

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Effectual:
    """Products whose weight and input are both non-zero. `basis`: exact, or statistical."""

    macs: float
    basis: str


def gemm_effectual_macs(weight: NDArray[np.generic], inputs: NDArray[np.generic]) -> int:
    """sum over c of nnz(W[:, c]) x nnz(A[:, c]), exact; weight [K, C], inputs [N, C].

    A 1x1 convolution is the same with its pixels as rows of A.

    >>> gemm_effectual_macs(np.array([[1, 0], [2, 3]]), np.array([[5, 0], [1, 1], [0, 4]]))
    6
    """
    if weight.shape[1] != inputs.shape[1]:
        raise InputError("inputs", f"{inputs.shape[1]} columns", f"{weight.shape[1]}, as many as the weights")
    return int(np.count_nonzero(weight, axis=0) @ np.count_nonzero(inputs, axis=0))


def window_counts(
    inputs: NDArray[np.generic],
    kernel: tuple[int, int],
    output: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    pads: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> Ints:
    """Non-zero inputs that each kernel position meets over all output positions, shape [C, R, S].

    inputs [N, C, H, W]; `pads` are rows above and columns to the left. Position (r, s) meets input row
    p x stride + r x dilation - pad for p = 0..P-1; what lies outside is zero padding and never counts.

    >>> window_counts(np.ones((1, 1, 3, 3)), (2, 1), (3, 3), pads=(1, 0)).tolist()
    [[[6], [9]]]
    """
    _, channels, height, width = inputs.shape
    active = (np.asarray(inputs) != 0).sum(axis=0)
    counts = np.zeros((channels, *kernel), np.int64)
    for r in range(kernel[0]):
        rows = np.arange(output[0]) * stride[0] + r * dilation[0] - pads[0]
        chosen = active[:, rows[(rows >= 0) & (rows < height)]]
        for s in range(kernel[1]):
            columns = np.arange(output[1]) * stride[1] + s * dilation[1] - pads[1]
            counts[:, r, s] = chosen[:, :, columns[(columns >= 0) & (columns < width)]].sum(axis=(1, 2))
    return counts


def _weight_counts(weight: NDArray[np.generic], groups: int) -> Ints:
    """Non-zero weights by (group, c, r, s) over the output channels of the group: [groups x C, R, S]."""
    k, c, r, s = weight.shape
    if groups < 1 or k % groups:
        raise InputError("groups", groups, f"a divisor of the {k} output channels")
    return np.count_nonzero(weight.reshape(groups, k // groups, c, r, s), axis=1).reshape(groups * c, r, s)


def conv_effectual_macs(
    weight: NDArray[np.generic],
    inputs: NDArray[np.generic],
    output: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    pads: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> int:
    """sum over (group, c, r, s) of nnz(W[group, :, c, r, s]) x nnz(A windowed at (c, r, s)), exact.

    weight [K, C / groups, R, S], inputs [N, C, H, W], output (P, Q).

    >>> conv_effectual_macs(np.ones((2, 1, 2, 2)), np.eye(3)[None, None], (2, 2))
    12
    """
    counts = _weight_counts(weight, groups)
    if counts.shape[0] != inputs.shape[1]:
        wanted = f"{counts.shape[0]}, groups x channels of the weights"
        raise InputError("inputs", f"{inputs.shape[1]} channels", wanted)
    kernel = (weight.shape[2], weight.shape[3])
    return int((counts * window_counts(inputs, kernel, output, stride, pads, dilation)).sum())


def expected_conv_effectual_macs(weight: NDArray[np.generic], positions: float, input_density: float) -> Effectual:
    """A real weight mask under inputs of which only the density is known: nnz(W) x positions x density.

    `positions` = N P Q. With every input non-zero the count is exact (zero padding counted as an input).

    >>> expected_conv_effectual_macs(np.eye(4), 10, 0.5)
    Effectual(macs=20.0, basis='statistical')
    """
    nonzeros = int(np.count_nonzero(weight))
    return Effectual(nonzeros * positions * input_density, "exact" if input_density == 1 else "statistical")


def effectual_macs(macs: ArrayLike, weight_density: ArrayLike, input_density: ArrayLike) -> Floats:
    """Both masks unknown: macs x density x density, the mean over independent uniform masks.

    >>> float(effectual_macs(1000, 0.1, 0.5))
    50.0
    """
    return np.asarray(macs, float) * np.asarray(weight_density, float) * np.asarray(input_density, float)


def pe_work(mask: NDArray[np.generic], n_pe: int, columns_per_step: int | None = None) -> Ints:
    """Non-zeros that each PE works through in each step, shape [steps, n_pe].

    Row k of the mask [rows, columns] lies on PE k mod n_pe; a step covers `columns_per_step` columns of
    one round of n_pe rows (all columns by default), after which the PEs wait for the slowest.

    >>> pe_work(np.array([[1, 1, 0], [0, 0, 1], [1, 1, 1]]), 2).tolist()
    [[2, 1], [3, 0]]
    """
    rows, columns = mask.shape
    width = columns_per_step or columns
    if n_pe < 1 or width < 1:
        raise InputError("n_pe, columns_per_step", f"{n_pe}, {width}", "at least 1")
    rounds, steps = -(-rows // n_pe), -(-columns // width)
    padded = np.zeros((rounds * n_pe, steps * width), bool)
    padded[:rows, :columns] = np.asarray(mask) != 0
    work = padded.reshape(rounds, n_pe, steps, width).sum(axis=3)
    return work.transpose(0, 2, 1).reshape(rounds * steps, n_pe)


def imbalance(work: Ints) -> float:
    """Cycles with a barrier after each step over cycles of perfectly spread work: at least 1.

    >>> imbalance(np.array([[2, 1], [3, 0]]))
    1.6666666666666667
    """
    total = int(work.sum())
    return float(work.max(axis=1).sum() * work.shape[1] / total) if total else 1.0


def expected_maximum(elements: int, nonzeros: int, tile: int, n_pe: int) -> float:
    """Mean of the largest of `n_pe` tiles' non-zeros, tiles of `tile` elements drawn from a uniform mask.

    sum over x of 1 - F(x)^n_pe, F hypergeometric; the tiles are taken as independent, which is close
    while n_pe x tile is small against `elements`.

    >>> round(expected_maximum(10_000, 1_000, 100, 1), 6)
    10.0
    """
    from scipy import stats  # slow to import, and needed here alone

    if not 0 <= nonzeros <= elements or not 1 <= tile <= elements:
        raise InputError("nonzeros, tile", f"{nonzeros}, {tile}", f"within the {elements} elements")
    x = np.arange(min(tile, nonzeros))
    return float((1 - stats.hypergeom.cdf(x, elements, nonzeros, tile) ** n_pe).sum())


def tile_occupancy(elements: int, nonzeros: int, tile: int, capacity: int) -> tuple[float, float, float]:
    """(mean non-zeros, probability of an empty tile, probability of more than `capacity`), hypergeometric.

    >>> mean, empty, over = tile_occupancy(8, 4, 2, 1)
    >>> round(mean, 3), round(empty, 3), round(over, 3)
    (1.0, 0.214, 0.214)
    """
    from scipy import stats  # slow to import, and needed here alone

    found = stats.hypergeom(elements, nonzeros, tile)
    return float(found.mean()), float(found.cdf(0)), float(found.sf(capacity))


@dataclass(frozen=True)
class NmPattern:
    """At most `n` non-zeros in every group of `m` along the input channels."""

    n: int
    m: int

    @property
    def density(self) -> float:
        return self.n / self.m


def detect_n_of_m(weight: NDArray[np.generic], m: int) -> NmPattern:
    """The smallest n for which the mask is n:m along axis 1; the last group may be short.

    weight [K, C] or [K, C, R, S]: groups run over C at each kernel position, as tensor cores want them.

    >>> detect_n_of_m(np.array([[1, 0, 0, 2, 0, 3, 4, 0]]), 4)
    NmPattern(n=2, m=4)
    """
    if m < 1:
        raise InputError("m", m, "at least 1")
    mask = np.asarray(weight) != 0
    short = -mask.shape[1] % m
    padded = np.pad(mask, [(0, 0), (0, short)] + [(0, 0)] * (mask.ndim - 2))
    groups = padded.reshape(mask.shape[0], -1, m, *mask.shape[2:]).sum(axis=2)
    return NmPattern(int(groups.max(initial=0)), m)


def n_of_m_bits(elements: ArrayLike, pattern: NmPattern, value_bits: ArrayLike) -> Floats:
    """Slots kept x (value + ceil(log2 m)-bit position): n of every m, filled or not.

    >>> float(n_of_m_bits(1024, NmPattern(2, 4), 8))
    5120.0
    """
    index_bits = max(1, (pattern.m - 1).bit_length())
    return np.asarray(elements, float) * pattern.density * (np.asarray(value_bits, float) + index_bits)


def run_length_bits(
    elements: float,
    density: float,
    value_bits: int = 16,
    run_bits: int = 5,
    words_per_block: int = 3,
    block_bits: int = 64,
) -> float:
    """Bits of zero-run coding: blocks of (run, value) pairs; the mean over uniform random masks.

    A run longer than 2^run_bits - 1 costs a pair whose value is a zero. Eyeriss packs three 5-bit runs,
    three 16-bit values and an end flag in 64 bits (Chen et al., JSSC 2017, section V-C).
    A pair covers its run and its value: runs before a non-zero are geometric, cut at 2^run_bits - 1, so a
    pair covers (1 - (1 - d)^(2^run_bits)) / d elements in the mean.

    >>> run_length_bits(3000, 1.0)
    64000.0
    """
    if density <= 0:
        pairs = elements / 2**run_bits
    else:
        pairs = elements * density / -np.expm1(2**run_bits * np.log1p(-density)) if density < 1 else elements
    if block_bits < words_per_block * (value_bits + run_bits):
        raise InputError("block_bits", block_bits, f"room for {words_per_block} pairs of {value_bits + run_bits} bits")
    return float(pairs / words_per_block * block_bits)
