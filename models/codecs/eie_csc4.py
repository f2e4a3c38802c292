"""`eie_csc4`: EIE's interleaved compressed sparse columns (Han et al., ISCA 2016, section III-B).

Row i of the matrix outputs x inputs lies on processing element (PE) i mod n_pe. Each PE has, for each
column, entries (zeros skipped among its own rows of that column, 4 bits; code, 4 bits); the run restarts at
every column. A run longer than 15 is broken by padding entries (15, code 0), each covering 16 rows.
Zeros behind the last non-zero of a column need no entry. 16-bit pointers give each column's first entry.

    bits = entries * 8 + n_pe * (columns + 1) * 16
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .base import Codec, Codes, Encoded, Layout, Sizes
from .bitpack import pack, unpack
from .checks import check_increasing, damaged

__all__ = ["N_PE", "eie_csc4"]

N_PE = 64
POINTER_BITS = 16
LONGEST_RUN = 15


def _sizes(codes: NDArray[np.integer], pointers: int) -> Sizes:
    pads = int(np.count_nonzero(codes == 0))
    real = len(codes) - pads
    bits = {"indices": 4 * real, "codes": 4 * real, "padding": 8 * pads, "pointers": POINTER_BITS * pointers}
    return Sizes(bits, {"indices": real, "codes": real, "padding": pads, "pointers": pointers})


def _interleave(
    codes: NDArray[np.uint16], n_pe: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]:
    """(cell, run, code) of each non-zero of codes [rows, columns], sorted by cell = PE * columns + column."""
    columns = codes.shape[1]
    row, column = np.nonzero(codes)
    order = np.lexsort((row, column, row % n_pe))
    row, column = row[order], column[order]
    local, pe = np.divmod(row, n_pe)
    cell = pe * columns + column
    first = np.diff(cell, prepend=-1) != 0
    run = np.where(first, local, np.diff(local, prepend=0) - 1)
    return cell, run, codes[row, column]


def eie_csc4(n_pe: int = N_PE) -> Codec:
    """The codec; sections `pointers` (PE after PE, columns + 1 each) and `entries` (PE after PE, column after
    column; the run in the high half of a byte, the code in the low half).

    `encode` raises InputError for codes above 15 and for more than 65,535 entries on one PE.
    The paper's example: a column 0, 0, 1, 2, eighteen zeros, 3 on one PE has the codes 1, 2, 0, 3 and the
    runs 2, 0, 15, 2.

    >>> column = np.zeros((23, 1), np.uint16)
    >>> column[[2, 3, 22], 0] = 1, 2, 3
    >>> eie_csc4(1).encode(column, 4, 16).sections["entries"].hex()
    '2102f023'
    """

    def encode(codes: Codes, code_bits: int, symbols: int) -> Encoded:
        if codes.size and int(codes.max()) > 15:
            raise InputError("eie_csc4", f"code {codes.max()}", "codes of at most 15", "share with 4 bits")
        rows, columns = Layout(codes.shape, code_bits, symbols, 0).matrix
        cell, run, code = _interleave(codes.reshape(rows, columns), n_pe)
        pads = run >> 4
        cells = n_pe * columns
        per_cell = np.bincount(cell, weights=1 + pads, minlength=cells).astype(np.int64).reshape(n_pe, columns)
        pointers = np.zeros((n_pe, columns + 1), np.int64)
        np.cumsum(per_cell, axis=1, out=pointers[:, 1:])
        if int(pointers[:, -1].max()) >> POINTER_BITS:
            raise InputError("eie_csc4", f"{pointers[:, -1].max()} entries on one PE",
                             "at most 65535, for 16-bit pointers", "split the columns into batches")  # fmt: skip
        entry = np.arange(len(code)) + np.cumsum(pads)
        entries = np.full(len(code) + int(pads.sum()), LONGEST_RUN << 4, np.uint8)
        entries[entry] = (run & LONGEST_RUN) << 4 | code
        sections = {"pointers": pack(pointers, POINTER_BITS), "entries": entries.tobytes()}
        return Encoded(sections, len(entries), _sizes(entries & LONGEST_RUN, pointers.size))

    def section_bits(layout: Layout) -> Mapping[str, int | None]:
        return {"pointers": POINTER_BITS * n_pe * (layout.matrix[1] + 1), "entries": 8 * layout.entries}

    def decode(sections: Mapping[str, bytes], layout: Layout, where: str) -> tuple[Codes, Sizes]:
        columns = layout.matrix[1]
        count = n_pe * (columns + 1)
        raw = unpack(sections["pointers"], count, POINTER_BITS, f"{where} pointers")
        pointers = raw.astype(np.int64).reshape(n_pe, columns + 1)
        check_increasing(pointers, where)
        if pointers[:, -1].sum() != layout.entries:
            raise damaged(f"{where} pointers", f"{pointers[:, -1].sum()} entries", f"{layout.entries}")
        entries = unpack(sections["entries"], layout.entries, 8, f"{where} entries")
        codes = _place(entries, np.diff(pointers).ravel(), layout, n_pe, where)
        return codes, _sizes(entries & LONGEST_RUN, count)

    return Codec("eie_csc4", encode, section_bits, decode)


def _place(
    entries: NDArray[np.unsignedinteger], per_cell: NDArray[np.int64], layout: Layout, n_pe: int, where: str
) -> Codes:
    """Flat codes [elements] from entries sorted by cell, `per_cell` of them in each."""
    rows, columns = layout.matrix
    run, code = (entries >> 4).astype(np.int64), entries & LONGEST_RUN
    if len(code) and int(code.max()) >= layout.symbols:
        raise damaged(f"{where} entries", f"code {code.max()}", f"codes below {layout.symbols}")
    cell = np.repeat(np.arange(len(per_cell)), per_cell)
    covered = np.concatenate(([0], np.cumsum(run + 1)))
    before_cell = covered[np.cumsum(per_cell) - per_cell]
    local = covered[1:] - 1 - before_cell[cell]
    row = local * n_pe + cell // columns
    if (row >= rows).any():
        raise damaged(f"{where} entries", f"row {row.max()}", f"rows below {rows}")
    last = np.diff(cell, append=-1) != 0
    if ((code == 0) & (last | (run != LONGEST_RUN))).any():
        raise damaged(f"{where} entries", "a code 0 that no padding entry needs",
                              "padding with run 15, before a non-zero")  # fmt: skip
    codes = np.zeros(layout.elements, np.uint16)
    real = code != 0
    codes[row[real] * columns + cell[real] % columns] = code[real]
    return codes
