"""Which weights stay, by method: the largest, random ones (the control), N of every M, or whole blocks.

Magnitude: Han et al., NIPS 2015. N:M: Mishra et al., *Accelerating Sparse Deep Neural Networks*, 2021 (2:4 on tensor
cores). Blocks: Narang et al., *Block-Sparse Recurrent Neural Networks*, 2017. Global magnitude: one threshold for all
layers (Frankle and Carbin, ICLR 2019, use it for deep networks).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..graph import Graph
from .prune import check_finite, kept_count, known_values, magnitude_mask, weight_names

__all__ = ["PruneMethod", "global_densities", "parse_method", "prune_mask"]

Mask = NDArray[np.bool_]
METHOD = re.compile(r"magnitude|random|([1-9]\d?):([1-9]\d?)|block([1-9]\d{0,2})x([1-9]\d{0,2})")


@dataclass(frozen=True)
class PruneMethod:
    """A method by name; `sizes` are N and M, or a block's rows and columns."""

    kind: str
    sizes: tuple[int, int] = (1, 1)


def parse_method(text: str) -> PruneMethod:
    """From "magnitude", "random", "2:4" (N of M) or "block4x4". Raises InputError.

    >>> parse_method("2:4"), parse_method("block8x1").sizes
    (PruneMethod(kind='n:m', sizes=(2, 4)), (8, 1))
    """
    match = METHOD.fullmatch(text)
    if match is None or (match[1] and int(match[1]) > int(match[2])):
        raise InputError("prune.method", text, "magnitude, random, N:M with N at most M, or blockRxC",
                         'for example "2:4" or "block4x4"')  # fmt: skip
    if match[1]:
        return PruneMethod("n:m", (int(match[1]), int(match[2])))
    if match[3]:
        return PruneMethod("block", (int(match[3]), int(match[4])))
    return PruneMethod(text)


def prune_mask(
    values: ArrayLike, density: float, method: str = "magnitude", seed: int = 0, where: str = "weights"
) -> Mask:
    """True where a weight stays; same shape as `values` (outputs x inputs x kernel).

    magnitude: the largest `round(density x size)`. random: as many, drawn by `seed`. N:M: the N largest of every M
    neighbours along the input channels, whatever `density` says. blockRxC: the blocks of the outputs x rest matrix
    with the largest sums of squares, until `density` of all weights is kept. Raises InputError for a value that is
    not finite.

    >>> prune_mask([[0.1, -0.5, 0.4, 0.2]], 1.0, "2:4").tolist()
    [[False, True, True, False]]
    """
    array = np.asarray(values, np.float32)
    check_finite(array, where)
    chosen = parse_method(method)
    if chosen.kind == "magnitude":
        return magnitude_mask(array, density, where=where)
    if chosen.kind == "random":
        keep = np.zeros(array.size, bool)
        keep[np.random.default_rng(seed).permutation(array.size)[: kept_count(array.size, density)]] = True
        return keep.reshape(array.shape)
    if chosen.kind == "n:m":
        return _n_of_m(array, *chosen.sizes)
    return _blocks(array, density, *chosen.sizes)


def _n_of_m(array: NDArray[np.float32], n: int, m: int) -> Mask:
    """The last group of a row may be short: it keeps at most N as well. Among equals the first stay."""
    inner = np.moveaxis(array, 1, -1) if array.ndim > 2 else np.atleast_2d(array)
    rows = np.abs(inner).reshape(-1, inner.shape[-1])
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % m)), constant_values=-1.0)
    groups = padded.reshape(len(rows), -1, m)
    order = np.argsort(-groups, axis=-1, kind="stable")
    keep = np.zeros(groups.shape, bool)
    np.put_along_axis(keep, order[..., :n], True, axis=-1)
    kept = keep.reshape(len(rows), -1)[:, : rows.shape[1]].reshape(inner.shape)
    return (np.moveaxis(kept, -1, 1) if array.ndim > 2 else kept).reshape(array.shape)


def _blocks(array: NDArray[np.float32], density: float, rows: int, columns: int) -> Mask:
    """Blocks at the edges may be cut; one that would exceed the kept count ends the choice."""
    matrix = array.reshape(len(array), -1).astype(np.float64) ** 2
    high, wide = -(-matrix.shape[0] // rows), -(-matrix.shape[1] // columns)
    block = (np.arange(matrix.shape[0]) // rows)[:, None] * wide + np.arange(matrix.shape[1]) // columns
    energy = np.bincount(block.ravel(), weights=matrix.ravel(), minlength=high * wide)
    size = np.bincount(block.ravel(), minlength=high * wide)
    order = np.argsort(-energy, kind="stable")
    fits = np.cumsum(size[order]) <= kept_count(array.size, density)
    chosen = np.zeros(high * wide, bool)
    chosen[order[: int(np.argmin(fits)) if not fits.all() else len(order)]] = True
    return chosen[block].reshape(array.shape)


def global_densities(graph: Graph, density: float) -> Mapping[str, float]:
    """Density of each layer when one magnitude threshold keeps `density` of all weights together.

    Each layer's own share is returned, to be used with magnitude pruning by layer. Raises InputError without weights.
    """
    layers = weight_names(graph)
    magnitudes = {layer: np.abs(known_values(graph, name)).ravel() for layer, name in layers.items()}
    for layer, values in magnitudes.items():
        check_finite(values, f"layer {layer}")
    everything = np.concatenate(list(magnitudes.values())) if magnitudes else np.zeros(0)
    keep = kept_count(everything.size, density)
    mask = magnitude_mask(everything, keep / max(1, everything.size)) if everything.size else everything.astype(bool)
    out, start = {}, 0
    for layer, values in magnitudes.items():
        out[layer] = float(np.count_nonzero(mask[start : start + values.size]) / values.size)
        start += values.size
    return out
