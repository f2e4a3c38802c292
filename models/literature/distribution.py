"""Figure 5 of *Deep Compression*: codes and gaps are far from uniform, which is what Huffman coding lives on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..codecs.huffman import code_lengths
from ..compress.prune import weight_names
from ..model import CodedTensor, Model

__all__ = ["SymbolCounts", "entropy_bits", "relative_entries", "symbol_counts"]


@dataclass(frozen=True, eq=False)
class SymbolCounts:
    """How often each symbol of one stream of one layer occurs, [2^bits], and the bits of its Huffman codeword."""

    layer: str
    stream: str
    fixed_bits: int
    counts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def entropy(self) -> float:
        return entropy_bits(self.counts)

    @property
    def huffman_bits(self) -> float:
        """Mean bits of a symbol after Huffman coding, table excluded."""
        return float(self.counts @ self.lengths) / max(1, int(self.counts.sum()))


def entropy_bits(counts: NDArray[np.int64]) -> float:
    """-sum p log2 p.

    >>> entropy_bits(np.array([1, 1, 2, 0]))
    1.5
    """
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def relative_entries(codes: NDArray[np.integer], index_bits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(gaps, codes) of the entries of `relative{index_bits}`, padding entries included (see codecs.relative).

    >>> gaps, codes = relative_entries(np.array([1, 0, 0, 0, 0, 0, 2]), 2)
    >>> gaps.tolist(), codes.tolist()
    ([0, 3, 1], [1, 0, 2])
    """
    flat = np.asarray(codes).ravel()
    place = np.flatnonzero(flat)
    run = np.diff(place, prepend=-1) - 1
    pads = run >> index_bits
    ends = np.arange(len(place)) + np.cumsum(pads)
    total = len(place) + int(pads.sum())
    gaps, found = np.full(total, (1 << index_bits) - 1, np.int64), np.zeros(total, np.int64)
    gaps[ends] = run & ((1 << index_bits) - 1)
    found[ends] = flat[place]
    return gaps, found


def symbol_counts(model: Model, index_bits: int | Mapping[str, int] = 5) -> list[SymbolCounts]:
    """Both streams of every layer with shared weights."""
    found = []
    for layer, name in weight_names(model.graph).items():
        if name in model.coded:
            bits = index_bits if isinstance(index_bits, int) else index_bits[layer]
            found += _layer(layer, model.coded[name], bits)
    return found


def _layer(layer: str, tensor: CodedTensor, index_bits: int) -> list[SymbolCounts]:
    gaps, codes = relative_entries(tensor.codes, index_bits)
    rows = []
    for stream, symbols, bits in (("codes", codes, tensor.code_bits), ("gaps", gaps, index_bits)):
        counts = np.bincount(symbols, minlength=1 << bits)
        rows.append(SymbolCounts(layer, stream, bits, counts, code_lengths(counts)))
    return rows
