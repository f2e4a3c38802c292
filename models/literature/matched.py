"""Weights made to a printed row: its density, bits, and mean bits of a code and of a gap after Huffman coding.

A table prints how many bits a code and a gap cost once Huffman coded, but not how they are distributed. Two families
of one parameter each are bent until the Huffman codes of their expected counts cost what is printed; the tensor drawn
from them then goes through the real coder. What is tested so is the coder, not the weights: whether a stream of the
printed statistics takes the printed bytes, tables and padding included.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import root_scalar

from ..codecs.huffman import code_lengths
from ..model import CodedTensor
from .published import VALUE_BITS, Interval, PaperLayer

__all__ = ["Match", "code_shares", "gap_shares", "match_row", "matched_layer"]

Shares = NDArray[np.float64]
COUNTED = 1 << 40  # expected counts as integers, for the Huffman code
CLUMPED, EVEN, STEP = -4.0, 6.0, 0.5  # log2 of the gaps' shape: 1/16 in clumps, 1 independent, 64 nearly even
DENSITIES = 5  # tried across the rounding of the printed density
STEEPEST = 200.0


def gap_shares(density: float, index_bits: int, shape: float) -> tuple[Shares, float]:
    """(share of each gap symbol [2^b], entries per weight kept) of a mask whose runs of zeros are negative binomial.

    Runs have mean (1 - d) / d. Shape 1 is the geometric law of an independent mask; above it zeros lie more evenly,
    below it in clumps. A run R is stored as floor(R / 2^b) padding entries of gap 2^b - 1, then R mod 2^b.

    >>> shares, entries = gap_shares(0.5, 2, 1.0)  # geometric: P(R >= 4) = 1/16, so 1 / (1 - 1/16) entries
    >>> round(entries, 4), round(float(shares.sum()), 6)
    (1.0667, 1.0)
    """
    symbols, mean = 1 << index_bits, (1 - density) / density
    success = shape / (shape + mean)
    most = int(np.ceil((float(stats.nbinom.isf(1e-9, shape, success)) + 1) / symbols)) * symbols
    mass = stats.nbinom.pmf(np.arange(most), shape, success).reshape(-1, symbols)
    pads = float(mass.sum(axis=1) @ np.arange(len(mass)))
    shares = mass.sum(axis=0)
    shares[-1] += pads
    return shares / shares.sum(), 1 + pads


def code_shares(bits: int, steepness: float, padding: float) -> Shares:
    """Share of each code [2^bits]: code 0 is that of padding entries, the others exp(-steepness |c|) by centroid c.

    The centroids are equally spaced over -1 to 1, as linear initialisation has them.

    >>> code_shares(2, 0.0, 0.1).round(3).tolist()
    [0.1, 0.3, 0.3, 0.3]
    """
    bulk = np.exp(-steepness * np.abs(_centroids(bits)))
    return np.concatenate(([padding], (1 - padding) * bulk / bulk.sum()))


def _centroids(bits: int) -> Shares:
    return np.linspace(-1, 1, (1 << bits) - 1)


def _huffman_bits(shares: Shares) -> float:
    counts = np.round(shares * COUNTED).astype(np.int64)
    return float(shares @ code_lengths(counts))


@dataclass(frozen=True)
class Match:
    """What was bent for a row: the density, inside the printed one's rounding; the shape of the gaps; the codes."""

    density: float
    gap_shape: float
    steepness: float


@cache
def match_row(row: PaperLayer) -> Match:
    """The density and gap shape whose two rates, P+Q and P+Q+H, lie nearest to the printed ones at once.

    Both rates follow from the expected entries and the Huffman bits of a gap, a code being taken at its printed bits.
    `Table 4`'s fc7 needs zeros that lie more evenly than chance has them (a shape above 1):

    >>> from picojoule.models.literature import paper_network
    >>> fc7 = match_row(paper_network("alexnet").layers[6])
    >>> 0.085 <= fc7.density <= 0.095, fc7.gap_shape > 1
    (True, True)
    """
    kept = Interval.printed(row.density_pct)
    candidates = [
        (density, shape)
        for density in np.linspace(kept.low, min(kept.high, 99.9), DENSITIES) / 100
        for shape in 2.0 ** np.arange(CLUMPED, EVEN + STEP, STEP)
    ]
    density, shape = min(candidates, key=lambda one: _rates_off(row, *one))
    _, entries = gap_shares(density, int(row.index_bits), shape)
    return Match(float(density), float(shape), _steepness(row, 1 - 1 / entries))


def _rates_off(row: PaperLayer, density: float, shape: float) -> float:
    shares, entries = gap_shares(density, int(row.index_bits), shape)
    fixed = float(row.weight_bits) + float(row.index_bits)
    coded = float(row.weight_bits_huffman) + _huffman_bits(shares)
    rates = ((fixed, row.rate_shared_pct), (coded, row.rate_huffman_pct))
    return max(
        abs((100 * density * entries * bits / VALUE_BITS + row.codebook_pct) / float(printed) - 1)
        for bits, printed in rates
    )


def _steepness(row: PaperLayer, padding: float) -> float:
    """Bits fall as the codes crowd around zero."""
    bits, printed = int(row.weight_bits), float(row.weight_bits_huffman)

    def above(steepness: float) -> float:
        return _huffman_bits(code_shares(bits, steepness, padding)) - printed

    return 0.0 if above(0.0) <= 0 else root_scalar(above, bracket=(0.0, STEEPEST), xtol=1e-3).root


def matched_layer(row: PaperLayer, shape: tuple[int, ...], seed: int = 0) -> CodedTensor:
    """A tensor of the row's statistics, its codes and gaps independent draws; the same seed and row, the same tensor.

    Raises nothing of its own; `shape` must hold `row.weights` values.

    >>> from picojoule.models.literature import paper_network
    >>> fc8 = paper_network("alexnet").layers[7]
    >>> tensor = matched_layer(fc8, (1000, 4096))
    >>> abs(100 * tensor.nonzeros / fc8.weights - float(fc8.density_pct)) < 0.55, len(tensor.codebook)
    (True, 32)
    """
    match, random = match_row(row), np.random.default_rng([seed, crc32(row.layer.encode())])
    n, bits = int(np.prod(shape)), int(row.weight_bits)
    mean = (1 - match.density) / match.density
    success = match.gap_shape / (match.gap_shape + mean)
    runs = random.negative_binomial(match.gap_shape, success, round(n * match.density))
    place = np.cumsum(runs + 1) - 1
    place = place[place < n]
    edges = np.cumsum(code_shares(bits, match.steepness, 0.0)[1:])
    codes = np.zeros(n, np.uint16)
    codes[place] = 1 + np.minimum(np.searchsorted(edges, random.random(len(place)), "right"), len(edges) - 1)
    return CodedTensor(codes.reshape(shape), _codebook(bits), bits, f"relative{int(row.index_bits)}+huffman")


def _codebook(bits: int) -> NDArray[np.float32]:
    """Code 0 is the value 0 and no other is: the middle centroid stands half a step off it."""
    centroids = _centroids(bits)
    step = centroids[1] - centroids[0]
    return np.concatenate(([0], np.where(centroids == 0, step / 2, centroids))).astype(np.float32)
