"""What every codec of shared weights takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..ops import weight_matrix_shape

__all__ = ["Codec", "Codes", "Encoded", "Layout", "Sizes"]

Codes = NDArray[np.uint16]


@dataclass(frozen=True)
class Sizes:
    """Exact bits and numbers of entries by kind, before any rounding up to whole bytes.

    Kinds: codes, indices, padding (what padding entries cost in codes and indices together), pointers,
    huffman_table, codebook. `bits["codes"]` and `bits["indices"]` are those of non-padding entries.
    """

    bits: Mapping[str, int]
    entries: Mapping[str, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", MappingProxyType(dict(self.bits)))
        object.__setattr__(self, "entries", MappingProxyType(dict(self.entries)))

    @property
    def total_bits(self) -> int:
        return sum(self.bits.values())


@dataclass(frozen=True)
class Encoded:
    """A tensor's bytes: named sections in file order, each of whole bytes.

    `entries` counts the codes stored, padding entries included; a decoder needs it.
    """

    sections: Mapping[str, bytes]
    entries: int
    sizes: Sizes

    def __post_init__(self) -> None:
        object.__setattr__(self, "sections", MappingProxyType(dict(self.sections)))


@dataclass(frozen=True)
class Layout:
    """What a decoder must know besides the bytes: shape, bits per code, codebook length and type, entries stored."""

    shape: tuple[int, ...]
    code_bits: int
    symbols: int
    entries: int
    codebook_dtype: str = "float32"

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows x columns: outputs x everything else; a scalar is 1 x 1."""
        return weight_matrix_shape(self.shape) if self.shape else (1, 1)


@dataclass(frozen=True)
class Codec:
    """One way to store codes.

    `encode(codes, code_bits, symbols)` gives the bytes. `section_bits(layout)` names the sections in file
    order with their bits, None for a Huffman stream, whose length only the file knows.
    `decode(sections, layout, where)` gives the flat codes [elements] and their sizes, or FileFormatError.
    """

    name: str
    encode: Callable[[Codes, int, int], Encoded]
    section_bits: Callable[[Layout], Mapping[str, int | None]]
    decode: Callable[[Mapping[str, bytes], Layout, str], tuple[Codes, Sizes]]
