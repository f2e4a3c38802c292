"""Scalar quantizers beside Lloyd's: the exact k-means optimum, a uniform grid, and one that counts the coded bits.

Exact: dynamic programming over sorted points with monotone splits (Wu, 1991; Groenlund et al., 2017), O(k n log n).
Entropy constrained: Chou, Lookabaugh and Gray, 1989: a point goes to the centroid of least squared error plus lambda
times the length of its codeword.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .histogram import HISTOGRAM_ABOVE, binned
from .prune import check_finite

__all__ = ["entropy_constrained_1d", "exact_kmeans_1d", "uniform_levels"]

Floats = NDArray[np.float64]
ROUNDS = 60
EXACT_ABOVE = 1 << 17  # values; beyond, the optimum is that of their fine histogram


def _weighted(values: ArrayLike, above: int | None = None) -> tuple[Floats, Floats]:
    """Sorted distinct values and how often each occurs; of more than `above` values their fine histogram."""
    flat = np.asarray(values, np.float32).ravel()
    if flat.size > (HISTOGRAM_ABOVE if above is None else above):
        check_finite(flat, "quantizer")
        return binned(flat)
    points, counts = np.unique(flat.astype(np.float64), return_counts=True)
    if not len(points) or not np.isfinite(points).all():
        raise InputError("quantizer", f"{len(points)} distinct values", "finite values, at least one")
    return points, counts.astype(np.float64)


def exact_kmeans_1d(values: ArrayLike, k: int) -> Floats:
    """The at most k centroids of least total squared error, ascending: the global optimum in one dimension.

    cost[j][i] = min over m of cost[j-1][m] + sse(m, i); the best m does not fall with i, so that each row is solved by
    halving: O(n log n) a row, vectorised over the points of one depth. Of more than 131,072 values the
    histogram of relative width 1/2048 is solved, then followed by Lloyd's rounds on the values themselves (up to 4
    million): within 1e-5 of the least error for 5 bits, with these rounds for 8 bits too.

    By hand: 0, 1, 2, 8 in two clusters is {0, 1, 2} and {8}.

    >>> exact_kmeans_1d([0, 1, 2, 8], 2).tolist()
    [1.0, 8.0]
    """
    if k < 1:
        raise InputError("quantizer", f"k = {k}", "at least one cluster")
    size = np.size(values)
    points, weights = _weighted(values, EXACT_ABOVE)
    if len(points) <= k:
        return points
    found = _optimum(points, weights, k)
    return _polished(*_weighted(values), found) if EXACT_ABOVE < size <= HISTOGRAM_ABOVE else found


def _polished(points: Floats, weights: Floats, centroids: Floats) -> Floats:
    """Lloyd's rounds from centroids that are nearly right; one that nothing is nearest to stays where it is."""
    mass = np.concatenate(([0.0], np.cumsum(weights)))
    moment = np.concatenate(([0.0], np.cumsum(weights * points)))
    for _ in range(ROUNDS):
        inner = np.searchsorted(points, (centroids[1:] + centroids[:-1]) / 2, side="right")
        cuts = np.concatenate(([0], inner, [len(points)]))
        count = np.diff(mass[cuts])
        moved = np.where(count > 0, np.diff(moment[cuts]) / np.maximum(count, 1), centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return centroids


def _optimum(points: Floats, weights: Floats, k: int) -> Floats:
    """The dynamic program on sorted points of `weights` copies each, more than k of them."""
    n = len(points)
    shift = points - points.mean()  # keeps the differences of squares small
    mass = np.concatenate(([0.0], np.cumsum(weights)))
    first = np.concatenate(([0.0], np.cumsum(weights * shift)))
    second = np.concatenate(([0.0], np.cumsum(weights * shift**2)))

    def sse(start: NDArray[np.int64], stop: NDArray[np.int64] | int) -> Floats:
        total = mass[stop] - mass[start]
        moment = first[stop] - first[start]
        return np.maximum(second[stop] - second[start] - moment**2 / np.maximum(total, 1e-300), 0.0)

    cost = sse(np.zeros(n + 1, np.int64), np.arange(n + 1))
    cost[0] = 0.0
    splits = []
    for _ in range(1, k):
        cost, split = _next_row(cost, n, sse)
        splits.append(split)
    edges = [n]
    for split in reversed(splits):
        edges.append(int(split[edges[-1]]))
    cuts = sorted({0, *edges})
    return np.array([np.average(points[a:b], weights=weights[a:b]) for a, b in itertools.pairwise(cuts)])


def _next_row(before: Floats, n: int, sse: Callable[..., Floats]) -> tuple[Floats, NDArray[np.int64]]:
    """(cost, best split) of every prefix with one cluster more; prefixes of one depth are solved together."""
    cost, split = np.full(n + 1, np.inf), np.zeros(n + 1, np.int64)
    low, high = np.array([0]), np.array([n])
    left, right = np.array([0]), np.array([n])  # where the best split of a range's middle may lie
    while len(low):
        middle = (low + high) // 2
        right_end = np.minimum(right, middle)
        widths = right_end - left + 1
        starts = np.concatenate(([0], np.cumsum(widths)[:-1]))
        owner = np.repeat(np.arange(len(low)), widths)
        candidate = np.arange(int(widths.sum())) - starts[owner] + left[owner]
        total = before[candidate] + sse(candidate, middle[owner])
        least = np.minimum.reduceat(total, starts)
        place = np.flatnonzero(total == least[owner])
        _, firsts = np.unique(owner[place], return_index=True)
        best = candidate[place[firsts]]
        cost[middle], split[middle] = least, best
        go_left, go_right = middle > low, middle < high
        low, high, left, right = (
            np.concatenate((low[go_left], middle[go_right] + 1)),
            np.concatenate((middle[go_left] - 1, high[go_right])),
            np.concatenate((left[go_left], best[go_right])),
            np.concatenate((best[go_left], right[go_right])),
        )
    return cost, split


def uniform_levels(values: ArrayLike, bits: int) -> Floats:
    """A symmetric grid of 2^bits - 1 levels around 0 that ends at the largest magnitude; zero is one of them.

    >>> uniform_levels([-1.0, 0.2, 3.0], 2).tolist()
    [-3.0, 0.0, 3.0]
    """
    flat = np.asarray(values, np.float32)
    if not flat.size or not np.isfinite(flat).all():
        raise InputError("quantizer", f"{flat.size} values", "finite values, at least one")
    if bits < 2:
        raise InputError("quantizer", f"{bits} bits", "at least 2 bits for a grid with both signs")
    half = 2 ** (bits - 1) - 1
    return np.arange(-half, half + 1) * (float(np.abs(flat).max()) / half)


def entropy_constrained_1d(values: ArrayLike, k: int, rate_weight: float, start: ArrayLike | None = None) -> Floats:
    """At most k centroids, ascending, for a coder that spends -log2(share) bits on each.

    Minimises sum of (x - c)^2 + rate_weight x variance x bits over alternating rounds; centroids that nothing goes to
    are dropped. `rate_weight` 0 is k-means; larger ones give fewer, more unequal clusters.

    >>> len(entropy_constrained_1d(range(100), 8, 0.0)), len(entropy_constrained_1d(range(100), 8, 5.0)) < 8
    (8, True)
    """
    if not rate_weight >= 0 or k < 1:
        got = f"k = {k}, rate_weight = {rate_weight}"
        raise InputError("quantizer", got, "k of at least 1 and a weight of at least 0")
    points, weights = _weighted(values)
    initial = np.linspace(points[0], points[-1], k) if start is None else np.asarray(start, np.float64)
    centroids = np.unique(initial)
    spread = float(np.average((points - np.average(points, weights=weights)) ** 2, weights=weights))
    bits = np.zeros(len(centroids))
    for _ in range(ROUNDS):
        distortion = (points[:, None] - centroids) ** 2 + rate_weight * spread * bits
        nearest = np.argmin(distortion, axis=1)
        mass = np.bincount(nearest, weights=weights, minlength=len(centroids))
        moment = np.bincount(nearest, weights=weights * points, minlength=len(centroids))
        filled = mass > 0
        moved = moment[filled] / mass[filled]
        lengths = -np.log2(mass[filled] / mass.sum())
        if len(moved) == len(centroids) and np.array_equal(moved, centroids) and np.array_equal(lengths, bits):
            break
        centroids, bits = moved, lengths
    return np.sort(centroids)
