"""What every codec of shared weights takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError
from ..ops import weight_matrix_shape

__all__ = ["Codec", "Codes", "Encoded", "Layout", "Sizes", "check_increasing", "check_no_zero"]

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
    """What a decoder must know besides the bytes: shape, bits per code, codebook length, entries stored."""

    shape: tuple[int, ...]
    code_bits: int
    symbols: int
    entries: int

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
    options: Mapping[str, int] = field(default_factory=dict)


def check_no_zero(codes: NDArray[np.unsignedinteger], where: str) -> None:
    """Formats that store non-zeros only never store code 0."""
    if codes.size and not codes.all():
        raise FileFormatError(f"{where} codes", "code 0 among the non-zeros", "codes of at least 1")


def check_increasing(pointers: NDArray[np.int64], where: str) -> None:
    """Pointers [..., n] start at 0 and never fall."""
    if pointers[..., 0].any() or (np.diff(pointers) < 0).any():
        raise FileFormatError(f"{where} pointers", "pointers that fall or start above 0", "0, then never falling")
