"""Where stored codes lie: what formats of rows, coordinates and runs share when they are written and read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .base import Codes, Layout
from .bitpack import unpack, width_of
from .checks import check_increasing, check_no_zero, damaged
from .stream import read_stream

__all__ = ["broken_runs", "place_nonzeros", "place_runs", "read_rows"]

Ints = NDArray[np.int64]


def read_rows(sections: Mapping[str, bytes], count: int, rows: int, columns: int, where: str) -> Ints:
    """Flat places of `count` entries on a grid rows x columns, rising: sections `pointers` by row, `indices` by entry.

    Raises FileFormatError for pointers and columns that no writer makes.
    """
    pointers = unpack(sections["pointers"], rows + 1, width_of(count), f"{where} pointers").astype(np.int64)
    check_increasing(pointers, where)
    if pointers[-1] != count:
        raise damaged(f"{where} pointers", f"an end of {pointers[-1]}", f"{count} entries")
    column = unpack(sections["indices"], count, width_of(columns - 1), f"{where} indices").astype(np.int64)
    place = np.repeat(np.arange(rows), np.diff(pointers)) * columns + column
    if count and (int(column.max()) >= columns or (np.diff(place) <= 0).any()):
        raise damaged(f"{where} indices", "a column twice, out of order or beyond the last",
                      f"columns below {columns}, rising within a row")  # fmt: skip
    return place


def place_nonzeros(sections: Mapping[str, bytes], place: Ints, layout: Layout, where: str) -> Codes:
    """All codes of the tensor, flat, from section `codes`, which holds the non-zeros at `place`."""
    stream = read_stream(sections, "codes", len(place), layout.code_bits, layout.symbols, False, where)
    check_no_zero(stream.symbols, where)
    codes = np.zeros(layout.elements, np.uint16)
    codes[place] = stream.symbols
    return codes


def broken_runs(flat: Codes, run_bits: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """(runs of zeros, the code behind each): a run above 2^b - 1 is broken by padding entries (2^b - 1, code 0).

    By hand, b = 2: codes 1, then 5 zeros, then 2 are the entries (0, 1), (3, 0), (1, 2).

    >>> [part.tolist() for part in broken_runs(np.array([1, 0, 0, 0, 0, 0, 2], np.uint16), 2)]
    [[0, 3, 1], [1, 0, 2]]
    """
    largest = (1 << run_bits) - 1
    place = np.flatnonzero(flat)
    run = np.diff(place, prepend=-1) - 1
    pads = run >> run_bits
    entry = np.arange(len(place)) + np.cumsum(pads)
    total = len(place) + int(pads.sum())
    runs, codes = np.full(total, largest, np.uint16), np.zeros(total, np.uint16)
    runs[entry] = run & largest
    codes[entry] = flat[place]
    return runs, codes


def place_runs(
    runs: NDArray[np.integer], codes: NDArray[np.integer], largest: int, elements: int, where: str
) -> Codes:
    """The inverse of `broken_runs`: all codes of a tensor of so many elements, flat.

    Raises FileFormatError for a place behind the last, and for a code 0 that pads nothing.
    """
    place = np.cumsum(runs.astype(np.int64) + 1) - 1
    if len(place) and int(place[-1]) >= elements:
        raise damaged(where, f"a last position of {place[-1]}", f"one below {elements}")
    real = codes != 0
    if (runs[~real] != largest).any() or (len(place) and not real[-1]):
        raise damaged(where, "a code 0 that no padding entry needs",
                      f"padding behind runs of {largest}, before a non-zero")  # fmt: skip
    flat = np.zeros(elements, np.uint16)
    flat[place[real]] = codes[real]
    return flat
