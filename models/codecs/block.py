"""`block{r}x{c}`: blocks of r rows and c columns of the matrix outputs x everything else; zero blocks are left out.

Block compressed rows (BSR). Blocks that stick out at the edges are filled up with zeros.

    bits = (ceil(rows / r) + 1) * width(blocks) + blocks * (width(ceil(columns / c) - 1) + r c code_bits)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .base import Codec, Codes, Encoded, Layout, Sizes
from .bitpack import pack, width_of
from .checks import damaged
from .places import read_rows
from .stream import read_stream

__all__ = ["block"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Blocks:
    """Blocks of r x c laid over a tensor's matrix."""

    r: int
    c: int
    layout: Layout

    @property
    def grid(self) -> tuple[int, int]:
        rows, columns = self.layout.matrix
        return -(-rows // self.r), -(-columns // self.c)

    def positions(self, blocks: Ints) -> Ints:
        """Flat positions [blocks, r, c] of blocks by number, -1 outside the matrix."""
        rows, columns = self.layout.matrix
        high, wide = np.divmod(blocks, self.grid[1])
        row = (high * self.r)[:, None, None] + np.arange(self.r)[:, None]
        column = (wide * self.c)[:, None, None] + np.arange(self.c)
        return np.where((row < rows) & (column < columns), row * columns + column, -1)

    @property
    def section_bits(self) -> dict[str, int | None]:
        high, wide = self.grid
        blocks = self.layout.entries // (self.r * self.c)
        return {
            "pointers": (high + 1) * width_of(blocks),
            "indices": blocks * width_of(wide - 1),
            "codes": self.layout.entries * self.layout.code_bits,
        }

    def sizes(self, nonzeros: int) -> Sizes:
        stored = self.layout.entries
        found = {name: bits or 0 for name, bits in self.section_bits.items()}
        bits = {**found, "codes": nonzeros * self.layout.code_bits}
        bits["padding"] = (stored - nonzeros) * self.layout.code_bits
        entries = {"pointers": self.grid[0] + 1, "indices": stored // (self.r * self.c), "codes": nonzeros}
        return Sizes(bits, {**entries, "padding": stored - nonzeros})


def block(r: int, c: int) -> Codec:
    """The codec; sections `pointers`, `indices` (block columns) and `codes` (block after block, in C order).

    By hand, 1 x 2: rows 0 0 1 2 | 3 0 0 0 have the blocks (1 2) in block column 1 and (3 0) in 0.

    >>> encoded = block(1, 2).encode(np.array([[0, 0, 1, 2], [3, 0, 0, 0]], np.uint16), 2, 4)
    >>> [s.hex() for s in encoded.sections.values()], encoded.entries
    (['18', '80', '6c'], 4)
    """

    def encode(codes: Codes, code_bits: int, symbols: int) -> Encoded:
        rows, columns = Layout(codes.shape, code_bits, symbols, 0).matrix
        flat = codes.ravel()
        place = np.flatnonzero(flat)
        row, column = np.divmod(place, columns)
        high, wide = -(-rows // r), -(-columns // c)
        blocks = np.unique(row // r * wide + column // c)
        found = _Blocks(r, c, Layout(codes.shape, code_bits, symbols, len(blocks) * r * c))
        where = found.positions(blocks)
        stored = np.where(where < 0, 0, flat[where]).astype(np.uint16)
        per_row = np.bincount(blocks // wide, minlength=high)
        sections = {
            "pointers": pack(np.concatenate(([0], np.cumsum(per_row))), width_of(len(blocks))),
            "indices": pack(blocks % wide, width_of(wide - 1)),
            "codes": pack(stored, code_bits),
        }
        return Encoded(sections, stored.size, found.sizes(len(place)))

    def decode(sections: Mapping[str, bytes], layout: Layout, where: str) -> tuple[Codes, Sizes]:
        found = _Blocks(r, c, layout)
        count, rest = divmod(layout.entries, r * c)
        if rest:
            raise damaged(where, f"{layout.entries} codes", f"whole blocks of {r * c}")
        blocks = read_rows(sections, count, *found.grid, where)
        stream = read_stream(sections, "codes", layout.entries, layout.code_bits, layout.symbols, False, where)
        stored = stream.symbols.reshape(count, r * c)
        inside = found.positions(blocks).reshape(count, r * c)
        if (count and not stored.any(axis=1).all()) or stored[inside < 0].any():
            raise damaged(f"{where} codes", "a block of zeros, or a code outside the matrix", "neither")
        codes = np.zeros(layout.elements, np.uint16)
        kept = stored != 0
        codes[inside[kept]] = stored[kept]
        return codes, found.sizes(int(np.count_nonzero(kept)))

    def section_bits(layout: Layout) -> Mapping[str, int | None]:
        return _Blocks(r, c, layout).section_bits

    return Codec(f"block{r}x{c}", encode, section_bits, decode)
