"""Weight sharing: one-dimensional k-means over a layer's remaining weights, and what it costs in error.

Han, Mao, Dally, *Deep Compression*, ICLR 2016, section 3: b bits per weight stand for shared values,
found by k-means, with linear initialisation because large weights matter more and density-based
centroids miss them (section 3.2). Here code 0 is kept for pruned weights, so that b bits name at
most 2^b - 1 shared values.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..model import CodedTensor
from .histogram import HISTOGRAM_ABOVE, binned, nearest_codes
from .prune import check_finite
from .scalar import entropy_constrained_1d, exact_kmeans_1d, uniform_levels

__all__ = [
    "INITS", "METHODS", "Init", "Method", "initial_centroids", "kmeans_1d", "share_weights", "squared_error",
]  # fmt: skip

Init = Literal["linear", "density", "random"]
INITS: tuple[Init, ...] = ("linear", "density", "random")
Method = Literal["kmeans", "exact", "uniform", "entropy"]
METHODS: tuple[Method, ...] = ("kmeans", "exact", "uniform", "entropy")


def initial_centroids(points: NDArray[np.float64], k: int, init: Init, seed: int = 0) -> NDArray[np.float64]:
    """k starting centroids, sorted, from sorted `points` (section 3.2 of Deep Compression).

    linear: equally spaced between the smallest and the largest point (both included for k >= 2);
    density: the values at the middles of k equal shares of the points; random: k points drawn by `seed`.

    >>> initial_centroids(np.array([0.0, 1.0, 2.0, 8.0]), 3, "linear").tolist()
    [0.0, 4.0, 8.0]
    """
    if init == "linear":
        ends = np.linspace(points[0], points[-1], k)
        return ends if k > 1 else np.array([(points[0] + points[-1]) / 2])
    if init == "density":
        return points[((np.arange(k) + 0.5) * len(points) / k).astype(np.int64)]
    if init == "random":
        return np.sort(np.random.default_rng(seed).choice(points, size=k, replace=False))
    raise InputError("share.init", init, f"one of {', '.join(INITS)}")


def _distinct(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distinct values of sorted points, and how often each occurs."""
    first = np.flatnonzero(np.diff(points, prepend=np.nan) != 0)
    return points[first], np.diff(first, append=len(points)).astype(np.float64)


def kmeans_1d(
    values: ArrayLike, k: int, *, init: Init = "linear", iterations: int = 200, seed: int = 0
) -> NDArray[np.float64]:
    """At most k centroids of `values` by Lloyd's algorithm, ascending, none of them empty.

    Minimises sum_i (values_i - c(i))^2 with c(i) the nearest centroid. On sorted points a cluster is a
    range, so a round is one search for the k-1 midpoints and two differences of prefix sums: O(k log n).
    Stops when no point changes its cluster, or after `iterations` rounds. A cluster that has no member
    keeps its centroid meanwhile and is dropped at the end; where there are at most k distinct values,
    they are the centroids. Above 4 million values their histogram of relative width 1/2048 is clustered instead.

    By hand: points 0, 1, 2, 8 from centroids 0 and 8 split at 4 into {0, 1, 2} and {8}.

    >>> kmeans_1d([0, 1, 2, 8], 2).tolist()
    [1.0, 8.0]
    """
    flat = np.asarray(values, dtype=np.float32).ravel()
    check_finite(flat, "k-means")
    if k < 1 or flat.size == 0:
        raise InputError("k-means", f"k = {k} on {flat.size} values", "at least one cluster and one value")
    if flat.size > HISTOGRAM_ABOVE:
        points, weights = binned(flat)
        everything = points
    else:
        everything = np.sort(flat).astype(np.float64)
        points, weights = _distinct(everything)
    if len(points) <= k:
        return points
    start = initial_centroids(everything if init == "density" else points, k, init, seed)
    return _lloyd(points, weights, start, iterations)


def _lloyd(
    points: NDArray[np.float64], weights: NDArray[np.float64], centroids: NDArray[np.float64], iterations: int
) -> NDArray[np.float64]:
    """Lloyd's rounds on sorted distinct `points` of `weights` copies each; filled centroids, sorted."""
    mass = np.concatenate(([0.0], np.cumsum(weights)))
    moment = np.concatenate(([0.0], np.cumsum(weights * points)))
    edges: NDArray[np.int64] | None = None
    for _ in range(max(iterations, 1)):
        cuts = np.searchsorted(points, (centroids[1:] + centroids[:-1]) / 2, side="right")
        moved = np.concatenate(([0], cuts, [len(points)]))
        if edges is not None and np.array_equal(moved, edges):
            break
        edges = moved
        low, high = edges[:-1], edges[1:]
        count = mass[high] - mass[low]
        filled = count > 0
        mean = (moment[high] - moment[low])[filled] / count[filled]
        # rounding of the prefix sums must not carry a mean out of its own range
        centroids = centroids.copy()
        centroids[filled] = np.clip(mean, points[low[filled]], points[high[filled] - 1])
    assert edges is not None
    return centroids[np.diff(edges) > 0]


def _nearest(values: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.integer]:
    """Index of the nearest of the ascending `centroids`; a midpoint goes to the lower one."""
    wide = centroids.astype(np.float64)
    borders = (wide[1:] + wide[:-1]) / 2
    if values.size > HISTOGRAM_ABOVE and len(borders) < 1 << 15:
        return nearest_codes(values, borders)
    return np.searchsorted(borders, values, side="left")


def _centroids(
    remaining: NDArray[np.float32], bits: int, method: Method, init: Init, iterations: int, seed: int,
    rate_weight: float,
) -> NDArray[np.float64]:  # fmt: skip
    """At most 2^bits - 1 shared values by one of METHODS."""
    most = 2**bits - 1
    if method == "exact":
        return exact_kmeans_1d(remaining, most)
    if method == "uniform":
        return uniform_levels(remaining, bits)
    start = kmeans_1d(remaining, most, init=init, iterations=iterations, seed=seed)
    return start if method == "kmeans" else entropy_constrained_1d(remaining, most, rate_weight, start)


def share_weights(
    values: ArrayLike, bits: int, *, init: Init = "linear", iterations: int = 200, seed: int = 0,
    encoding: str = "relative5+huffman", where: str = "weights", method: Method = "kmeans", rate_weight: float = 0.02,
) -> CodedTensor:  # fmt: skip
    """Replace the nonzero `values` by at most 2^bits - 1 shared ones; zeros keep code 0.

    `method`: "kmeans" (Lloyd from `init`), "exact" (its global optimum), "uniform" (a symmetric grid; what rounds to 0
    is pruned) or "entropy" (`rate_weight` trades error against coded bits). The codebook is ascending behind its
    leading 0, and holds used values only. Raises InputError (`where` names the tensor) for bits outside 1..16 or a
    value that is not finite.

    >>> share_weights([[0.0, 1.0], [1.5, -2.0]], 2).codebook.tolist()
    [0.0, -2.0, 1.0, 1.5]
    >>> share_weights([[0.0, 1.0], [1.5, -2.0]], 1).codes.tolist()
    [[0, 1], [1, 1]]
    """
    array = np.asarray(values, dtype=np.float32)
    check_finite(array, where)
    if not 1 <= bits <= 16:
        raise InputError(f"{where}: bits", bits, "1 to 16 bits per shared weight")
    codes = np.zeros(array.shape, dtype=np.uint16)
    kept = array != 0
    remaining = array[kept]
    if not remaining.size:
        return CodedTensor(codes, np.zeros(1, np.float32), bits, encoding)
    if method not in METHODS:
        raise InputError("share.method", method, f"one of {', '.join(METHODS)}")
    centroids = _centroids(remaining, bits, method, init, iterations, seed, rate_weight)
    shared = np.unique(centroids.astype(np.float32))
    nearest = _nearest(remaining, shared)
    # a centroid of exactly 0 is code 0; values that none is nearest to, after rounding, are dropped
    used = (np.bincount(nearest, minlength=len(shared)) > 0) & (shared != 0)
    renumbered = np.where(used, np.cumsum(used), 0).astype(np.uint16)
    codes[kept] = renumbered[nearest]
    codebook = np.concatenate((np.zeros(1, np.float32), shared[used]))
    return CodedTensor(codes, codebook, bits, encoding)


def squared_error(values: ArrayLike, coded: CodedTensor) -> float:
    """Sum of squared differences between weights and their shared values."""
    difference = np.asarray(values, dtype=np.float64) - coded.values
    return float(np.vdot(difference, difference))
