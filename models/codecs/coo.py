"""`coo`: coordinates; the row and the column of each non-zero of the matrix outputs x everything else.

    bits = nonzeros * (width(rows - 1) + width(columns - 1) + code_bits)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .base import Codec, Codes, Encoded, Layout, Sizes
from .bitpack import pack, unpack, width_of
from .checks import damaged
from .places import place_nonzeros

__all__ = ["COO"]


def _section_bits(layout: Layout) -> dict[str, int | None]:
    rows, columns = layout.matrix
    count = layout.entries
    return {
        "rows": count * width_of(rows - 1), "columns": count * width_of(columns - 1), "codes": count * layout.code_bits
    }  # fmt: skip


def _sizes(layout: Layout) -> Sizes:
    bits = {name: bits or 0 for name, bits in _section_bits(layout).items()}
    count = layout.entries
    return Sizes(
        {"indices": bits["rows"] + bits["columns"], "codes": bits["codes"]}, {"indices": 2 * count, "codes": count}
    )


def _encode(codes: Codes, code_bits: int, symbols: int) -> Encoded:
    """Sections `rows`, `columns` and `codes`, in the matrix's C order.

    By hand: rows 0 2 | 1 0 have the rows 0, 1 and columns 1, 0 in 1 bit each, codes 2, 1 in 2 bits.

    >>> [s.hex() for s in _encode(np.array([[0, 2], [1, 0]], np.uint16), 2, 4).sections.values()]
    ['40', '80', '90']
    """
    rows, columns = Layout(codes.shape, code_bits, symbols, 0).matrix
    flat = codes.ravel()
    place = np.flatnonzero(flat)
    row, column = np.divmod(place, columns)
    sections = {
        "rows": pack(row, width_of(rows - 1)),
        "columns": pack(column, width_of(columns - 1)),
        "codes": pack(flat[place], code_bits),
    }
    return Encoded(sections, len(place), _sizes(Layout(codes.shape, code_bits, symbols, len(place))))


def _decode(sections: Mapping[str, bytes], layout: Layout, where: str) -> tuple[Codes, Sizes]:
    rows, columns = layout.matrix
    count = layout.entries
    row = unpack(sections["rows"], count, width_of(rows - 1), f"{where} rows").astype(np.int64)
    column = unpack(sections["columns"], count, width_of(columns - 1), f"{where} columns").astype(np.int64)
    place = row * columns + column
    if count and (int(row.max()) >= rows or int(column.max()) >= columns or (np.diff(place) <= 0).any()):
        raise damaged(f"{where} indices", "a position twice, out of order or outside the matrix",
                      f"rising positions in {rows} x {columns}")  # fmt: skip
    return place_nonzeros(sections, place, layout, where), _sizes(layout)


COO = Codec("coo", _encode, _section_bits, _decode)
