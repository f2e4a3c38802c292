"""A stream of symbols in a file: packed at a fixed width, or Huffman coded with its table in front."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import huffman, huffman_decode
from .bitpack import pack, unpack
from .checks import damaged

__all__ = ["Stream", "read_stream", "stream_bits", "table_name", "write_stream"]


@dataclass(frozen=True, eq=False)
class Stream:
    """Symbols 0..alphabet-1 [n], the bits that each symbol costs [alphabet], the bits of the table."""

    symbols: NDArray[np.unsignedinteger]
    cost: NDArray[np.int64]
    table_bits: int

    @property
    def bits(self) -> int:
        """Bits of the symbols, table excluded."""
        return int(np.bincount(self.symbols, minlength=len(self.cost)) @ self.cost)


def table_name(name: str) -> str:
    """Section of the Huffman table of stream `name`.

    >>> table_name("codes")
    'codes_table'
    """
    return f"{name}_table"


def stream_bits(name: str, count: int, width: int, alphabet: int, coded: bool) -> dict[str, int | None]:
    """Sections of a stream in file order, with their bits; None where only the file knows."""
    if not coded:
        return {name: count * width}
    return {table_name(name): huffman.LENGTH_BITS * alphabet, name: None}


def write_stream(
    name: str, symbols: NDArray[np.integer], width: int, alphabet: int, coded: bool
) -> tuple[dict[str, bytes], Stream]:
    """The sections of a stream of symbols [n] below `alphabet`, and what they cost."""
    flat = symbols.astype(np.uint32, copy=False)
    if not coded:
        return {name: pack(flat, width)}, Stream(flat, np.full(alphabet, width), 0)
    lengths = huffman.code_lengths(np.bincount(flat, minlength=alphabet))
    sections = {table_name(name): huffman.encode_table(lengths), name: huffman.encode(flat, lengths)}
    return sections, Stream(flat, lengths, huffman.LENGTH_BITS * alphabet)


def read_stream(
    sections: Mapping[str, bytes], name: str, count: int, width: int, alphabet: int, coded: bool, where: str
) -> Stream:
    """The `count` symbols of a stream. Raises FileFormatError for damage or a symbol beyond the alphabet."""
    where = f"{where} {name}"
    if coded:
        lengths = huffman.decode_table(sections[table_name(name)], alphabet, f"{where} table")
        symbols = huffman_decode.decode(sections[name], count, lengths, where)
        return Stream(symbols, lengths, huffman.LENGTH_BITS * alphabet)
    packed = unpack(sections[name], count, width, where)
    if count and int(packed.max()) >= alphabet:
        raise damaged(where, int(packed.max()), f"numbers below {alphabet}")
    return Stream(packed, np.full(alphabet, width), 0)
