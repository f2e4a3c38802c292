"""`csr`: compressed sparse rows of the matrix outputs x everything else.

    bits = (rows + 1) * width(nonzeros) + nonzeros * (width(columns - 1) + code_bits)

with width(n) = max(1, ceil(log2(n + 1))), the fewest bits that hold 0..n.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .base import Codec, Codes, Encoded, Layout, Sizes
from .bitpack import pack, width_of
from .places import place_nonzeros, read_rows

__all__ = ["CSR"]


def _section_bits(layout: Layout) -> dict[str, int | None]:
    rows, columns = layout.matrix
    return {
        "pointers": (rows + 1) * width_of(layout.entries),
        "indices": layout.entries * width_of(columns - 1),
        "codes": layout.entries * layout.code_bits,
    }


def _sizes(layout: Layout) -> Sizes:
    bits = {name: bits or 0 for name, bits in _section_bits(layout).items()}
    entries = {"pointers": layout.matrix[0] + 1, "indices": layout.entries, "codes": layout.entries}
    return Sizes(bits, entries)


def _encode(codes: Codes, code_bits: int, symbols: int) -> Encoded:
    """Sections `pointers` (first entry of each row, then the number of entries), `indices` (columns), `codes`.

    By hand: rows 0 2 | 1 0 have pointers 0, 1, 2 in 2 bits, columns 1, 0 in 1 bit, codes 2, 1 in 2 bits.

    >>> [s.hex() for s in _encode(np.array([[0, 2], [1, 0]], np.uint16), 2, 4).sections.values()]
    ['18', '80', '90']
    """
    rows, columns = Layout(codes.shape, code_bits, symbols, 0).matrix
    flat = codes.ravel()
    place = np.flatnonzero(flat)
    row, column = np.divmod(place, columns)
    layout = Layout(codes.shape, code_bits, symbols, len(place))
    pointers = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=rows))))
    sections = {
        "pointers": pack(pointers, width_of(len(place))),
        "indices": pack(column, width_of(columns - 1)),
        "codes": pack(flat[place], code_bits),
    }
    return Encoded(sections, len(place), _sizes(layout))


def _decode(sections: Mapping[str, bytes], layout: Layout, where: str) -> tuple[Codes, Sizes]:
    place = read_rows(sections, layout.entries, *layout.matrix, where)
    return place_nonzeros(sections, place, layout, where), _sizes(layout)


CSR = Codec("csr", _encode, _section_bits, _decode)
