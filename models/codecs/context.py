"""`context`: mask and values by an adaptive model and a range coder, one stream per tensor (extra `[ans]`).

    stream = order byte, on a grid split (2 bytes), then range-coded: row counts, mask, values (see `context_model`)

The order byte is the width of the grid on which columns have neighbours above (0: none, at most 127); its highest bit
says that the matrix is taken transposed. The writer tries several and keeps the shortest. Shapes whose decoding would
take longer than their elements warrant are refused on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .base import Codec, Codes, Encoded, Layout, Sizes
from .checks import damaged
from .context_model import code_mask, code_row_counts, code_values
from .range_coder import Coder, Meter, Reader, Writer

__all__ = ["context", "measure_bits"]

TRANSPOSED, WIDEST_GRID = 128, 127
SPLIT_BYTES = 2
FEW_COLUMNS, COLUMNS_PER_ROW = 4096, 8
MOST_ROWS = 1 << 16
TRIED_ELEMENTS = 1 << 22  # of larger matrices only one way is tried

Matrix = NDArray[np.uint16]


def _too_long(rows: int, columns: int) -> bool:
    """Rows cost a decision each, columns a few array operations: neither may be many where elements are few."""
    return rows > MOST_ROWS or columns > max(FEW_COLUMNS, COLUMNS_PER_ROW * rows)


def _run(
    coder: Coder, matrix: Matrix, grid: int, symbols: int, split: int, entries: int, where: str
) -> tuple[Matrix, float]:
    """Pass the codes [rows, columns] through `coder`; returns what a reader gets, and the bits before the values."""
    counts = code_row_counts(coder, np.count_nonzero(matrix, axis=1).astype(np.int64), matrix.shape[1])
    if int(counts.sum()) != entries:
        raise damaged(where, f"rows with {counts.sum()} non-zeros", f"{entries}, the number of codes")
    order = np.argsort(-counts, kind="stable")
    mask = code_mask(coder, matrix[order] != 0, counts[order], grid)
    indices = coder.bits
    values = code_values(coder, matrix[order], mask, grid, symbols, split)
    out = np.zeros_like(matrix)
    out[order] = values
    return out, indices


def _grids(shape: tuple[int, ...], columns: int) -> Iterator[int]:
    """Widths worth trying: none, a kernel's row, a whole kernel, a square image."""
    yield 0
    if len(shape) == 4:
        yield from {size for size in (shape[3], shape[2] * shape[3]) if 1 < size <= WIDEST_GRID}
    side = isqrt(columns)
    if side * side == columns and 4 <= side <= WIDEST_GRID:
        yield side


def _split(matrix: Matrix, symbols: int) -> int:
    """The code that best divides the codebook in two halves which neighbours along a row share.

    Of 2 x 2 counts of (lower, upper) against the half of the row's non-zero before, the largest chi-square.
    """
    row, column = np.nonzero(matrix)
    code = matrix[row, column].astype(np.int64)
    pairs = np.flatnonzero(row[1:] == row[:-1]) if len(row) > 1 else np.zeros(0, np.int64)
    best, chosen = -1.0, max(1, (symbols - 1) // 2)
    for split in range(1, min(symbols - 1, 256)):
        before, after = code[pairs] <= split, code[pairs + 1] <= split
        table = np.bincount(2 * before + after, minlength=4).reshape(2, 2).astype(float)
        margins = table.sum(0).prod() * table.sum(1).prod()
        fit = float((table[0, 0] * table[1, 1] - table[0, 1] * table[1, 0]) ** 2 / margins) if margins else 0.0
        if fit > best:
            best, chosen = fit, split
    return chosen


def _ways(codes: Codes) -> Iterator[tuple[int, Matrix]]:
    """(order byte, matrix) of every way that may be tried."""
    matrix = codes.reshape(Layout(codes.shape, 1, 1, 0).matrix)
    for transposed in (0, TRANSPOSED):
        turned = np.ascontiguousarray(matrix.T) if transposed else matrix
        if not _too_long(*turned.shape):
            grids = [0] if transposed else sorted(set(_grids(codes.shape, turned.shape[1])))
            yield from ((transposed | grid, turned) for grid in grids)


def _best(codes: Codes, symbols: int) -> tuple[int, Matrix, int]:
    """(order byte, matrix, split) of the shortest way. Raises InputError where none is allowed."""
    ways = list(_ways(codes))
    if not ways:
        wanted = f"at most {MOST_ROWS} rows, and {COLUMNS_PER_ROW} columns a row or {FEW_COLUMNS} in all"
        raise InputError("encoding context", f"shape {codes.shape}", wanted, "choose another encoding")
    if codes.size > TRIED_ELEMENTS:
        ways = [min(ways, key=lambda way: (way[1].shape[1], -way[0]))]
    splits = {order & TRANSPOSED: _split(matrix, symbols) for order, matrix in ways}
    if len(ways) == 1:
        return *ways[0], splits[ways[0][0] & TRANSPOSED]

    def cost(way: tuple[int, Matrix]) -> float:
        return _metered(way[0] & ~TRANSPOSED, way[1], symbols, splits[way[0] & TRANSPOSED])

    order, matrix = min(ways, key=cost)
    return order, matrix, splits[order & TRANSPOSED]


def _head(order: int, split: int) -> bytes:
    return bytes((order,)) + (split.to_bytes(SPLIT_BYTES, "little") if order & ~TRANSPOSED else b"")


def _metered(grid: int, matrix: Matrix, symbols: int, split: int) -> float:
    meter = Meter()
    _run(meter, matrix, grid, symbols, split, int(np.count_nonzero(matrix)), "")
    return meter.bits


def measure_bits(codes: Codes, symbols: int) -> float:
    """Bits of the shortest stream by the model's probabilities, without the coder's word at its end; needs no extra."""
    order, matrix, split = _best(codes, symbols)
    return 8 * len(_head(order, split)) + _metered(order & ~TRANSPOSED, matrix, symbols, split)


def _sizes(entries: int, indices: float, head_bytes: int, stream_bytes: int) -> Sizes:
    """Head, rows and mask by the model's probabilities, rounded down; what is left of the stream are the values."""
    total = 8 * stream_bytes
    known = min(total, int(indices) + 8 * head_bytes)
    return Sizes({"codes": total - known, "indices": known}, {"codes": entries, "indices": entries})


def context() -> Codec:
    """The codec; one section `stream`. It needs the extra [ans] in both directions.

    >>> encoded = context().encode(np.eye(8, 64, dtype=np.uint16), 1, 2)
    >>> list(encoded.sections), encoded.entries
    (['stream'], 8)
    """

    def encode(codes: Codes, code_bits: int, symbols: int) -> Encoded:
        order, matrix, split = _best(codes, symbols)
        entries = int(np.count_nonzero(matrix))
        writer = Writer()
        _, indices = _run(writer, matrix, order & ~TRANSPOSED, symbols, split, entries, "")
        head = _head(order, split)
        stream = head + writer.finish()
        return Encoded({"stream": stream}, entries, _sizes(entries, indices, len(head), len(stream)))

    def section_bits(layout: Layout) -> Mapping[str, int | None]:
        return {"stream": None}

    def decode(sections: Mapping[str, bytes], layout: Layout, where: str) -> tuple[Codes, Sizes]:
        stream = sections["stream"]
        order = stream[0] if stream else 0
        start = len(_head(order, 0))
        if len(stream) < start:
            raise damaged(f"{where} stream", f"{len(stream)} bytes", f"at least {start}")
        split = int.from_bytes(stream[1:start], "little")
        rows, columns = layout.matrix if order < TRANSPOSED else layout.matrix[::-1]
        if _too_long(rows, columns) or layout.entries > layout.elements:
            raise damaged(where, f"{rows} x {columns}, {layout.entries} codes", "a matrix that a writer encodes")
        reader = Reader(stream[start:], f"{where} stream")
        empty = np.zeros((rows, columns), np.uint16)
        matrix, indices = _run(reader, empty, order & ~TRANSPOSED, layout.symbols, split, layout.entries, where)
        reader.finish()
        if layout.symbols and int(matrix.max(initial=0)) >= layout.symbols:
            raise damaged(f"{where} codes", int(matrix.max()), f"codes below {layout.symbols}")
        codes = np.ascontiguousarray(matrix.T if order & TRANSPOSED else matrix).ravel()
        return codes, _sizes(layout.entries, indices, start, len(stream))

    return Codec("context", encode, section_bits, decode)
