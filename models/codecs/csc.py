"""`csc`: compressed sparse columns of the matrix outputs x everything else; `csr` of the transposed matrix.

    bits = (columns + 1) * width(nonzeros) + nonzeros * (width(rows - 1) + code_bits)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .base import Codec, Codes, Encoded, Layout, Sizes
from .csr import CSR

__all__ = ["CSC"]


def _transposed(layout: Layout) -> Layout:
    rows, columns = layout.matrix
    return Layout((columns, rows), layout.code_bits, layout.symbols, layout.entries)


def _encode(codes: Codes, code_bits: int, symbols: int) -> Encoded:
    """Sections `pointers` (first entry of each column, then the number of entries), `indices` (rows), `codes`.

    By hand: rows 0 2 | 1 0 have pointers 0, 1, 2 in 2 bits, rows 1, 0 in 1 bit, codes 1, 2 in 2 bits.

    >>> [s.hex() for s in _encode(np.array([[0, 2], [1, 0]], np.uint16), 2, 4).sections.values()]
    ['18', '80', '60']
    """
    matrix = codes.reshape(Layout(codes.shape, code_bits, symbols, 0).matrix)
    return CSR.encode(np.ascontiguousarray(matrix.T), code_bits, symbols)


def _section_bits(layout: Layout) -> Mapping[str, int | None]:
    return CSR.section_bits(_transposed(layout))


def _decode(sections: Mapping[str, bytes], layout: Layout, where: str) -> tuple[Codes, Sizes]:
    rows, columns = layout.matrix
    codes, sizes = CSR.decode(sections, _transposed(layout), where)
    return np.ascontiguousarray(codes.reshape(columns, rows).T).ravel(), sizes


CSC = Codec("csc", _encode, _section_bits, _decode)
