"""How many weights a layer can lose before its output is off by epsilon: what theory promises, what is measured.

For y = W x with W replaced by W': ||(W - W') x|| <= ||W - W'||_2 ||x|| <= ||W - W'||_F ||x||. Of all matrices with at
most k non-zeros the k largest magnitudes have the least ||W - W'||_F (the dropped squares are the smallest there are).
Of all matrices of rank r the truncated singular value decomposition has the least of both norms (Eckart and Young,
Psychometrika 1, 1936; Mirsky 1960): ||W - W_r||_F^2 = sum_{i > r} s_i^2, ||W - W_r||_2 = s_{r+1}.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["best_k_error", "kept_for_error", "low_rank", "patch_energy", "smallest", "svd", "svd_tail"]

Floats = NDArray[np.float64]


def best_k_error(values: ArrayLike) -> Floats:
    """||W - W_k||_F for k = 0 .. size, [size + 1]: square root of the sum of the size - k smallest squares.

    >>> best_k_error([3.0, 4.0]).tolist()
    [5.0, 3.0, 0.0]
    """
    squares = np.sort(np.square(np.asarray(values, np.float64).ravel()))
    return np.sqrt(np.concatenate(([0.0], np.cumsum(squares))))[::-1]


def svd_tail(matrix: ArrayLike) -> tuple[Floats, Floats]:
    """(||W - W_r||_F, ||W - W_r||_2) for r = 0 .. min(shape), each [min(shape) + 1].

    >>> [bound.tolist() for bound in svd_tail([[3.0, 0.0], [0.0, 4.0]])]
    [[5.0, 3.0, 0.0], [4.0, 3.0, 0.0]]
    """
    array = np.asarray(matrix, np.float64)
    s = np.linalg.svd(array, compute_uv=False)
    squares = np.concatenate(([0.0], np.cumsum(np.square(s[::-1]))))[::-1]
    return np.sqrt(squares), np.append(s, 0.0)


def svd(matrix: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """U, s, V^T of a matrix, the singular values descending."""
    u, s, v = np.linalg.svd(np.asarray(matrix, np.float64), full_matrices=False)
    return u, s, v


def low_rank(factors: tuple[Floats, Floats, Floats], rank: int) -> NDArray[np.float32]:
    """The first `rank` terms of a singular value decomposition, multiplied out.

    >>> low_rank(svd([[3.0, 0.0], [0.0, 4.0]]), 1).tolist()
    [[0.0, 0.0], [0.0, 4.0]]
    """
    u, s, v = factors
    return ((u[:, :rank] * s[:rank]) @ v[:rank]).astype(np.float32)


def kept_for_error(errors: Floats, limit: float) -> int:
    """The least k with errors[k] <= limit; `errors` falls with k and ends at 0.

    >>> kept_for_error(np.array([5.0, 3.0, 0.0]), 3.5)
    1
    """
    return int(np.flatnonzero(errors <= limit)[0])


def smallest(sizes: Sequence[int], error: Callable[[int], float], limit: float) -> int:
    """The least of ascending `sizes` whose measured error is at most `limit`, by bisection; the last where none is.

    A measured error need not fall with every weight kept; it does on the whole.

    >>> smallest(range(101), lambda k: 1 - k / 100, 0.25)
    75
    """
    low, high = 0, len(sizes) - 1
    while low < high:
        middle = (low + high) // 2
        if error(sizes[middle]) <= limit:
            high = middle
        else:
            low = middle + 1
    return sizes[low]


def patch_energy(images: ArrayLike, kernel: tuple[int, int] | None) -> float:
    """Sum of squares of all that a layer reads: a matrix, or every window of a convolution of stride 1 without padding.

    >>> patch_energy(np.ones((1, 1, 3, 3)), (2, 2))
    16.0
    """
    squares = np.square(np.asarray(images, np.float64))
    if kernel is None:
        return float(squares.sum())
    windows = np.lib.stride_tricks.sliding_window_view(squares, kernel, axis=(2, 3))
    return float(windows.sum())
