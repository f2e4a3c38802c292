"""`dense`: every code in C order, `code_bits` each; `dense+huffman`: the same stream Huffman coded.

bits = elements * code_bits
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .base import Codec, Codes, Encoded, Layout, Sizes
from .checks import damaged
from .stream import Stream, read_stream, stream_bits, write_stream

__all__ = ["dense"]


def _sizes(stream: Stream) -> Sizes:
    bits = {"codes": stream.bits, "huffman_table": stream.table_bits}
    entries = {"codes": len(stream.symbols), "huffman_table": len(stream.cost) if stream.table_bits else 0}
    return Sizes(bits, entries)


def dense(coded: bool) -> Codec:
    """The codec; section `codes` (and `codes_table` when `coded`).

    By hand: codes 1, 0, 3 in 2 bits are 01 00 11|00.

    >>> dense(False).encode(np.array([1, 0, 3], np.uint16), 2, 4).sections["codes"].hex()
    '4c'
    """

    def encode(codes: Codes, code_bits: int, symbols: int) -> Encoded:
        sections, stream = write_stream("codes", codes.ravel(), code_bits, symbols, coded)
        return Encoded(sections, codes.size, _sizes(stream))

    def section_bits(layout: Layout) -> Mapping[str, int | None]:
        return stream_bits("codes", layout.elements, layout.code_bits, layout.symbols, coded)

    def decode(sections: Mapping[str, bytes], layout: Layout, where: str) -> tuple[Codes, Sizes]:
        if layout.entries != layout.elements:
            raise damaged(where, f"{layout.entries} codes", f"{layout.elements} codes")
        stream = read_stream(
            sections, "codes", layout.elements, layout.code_bits, layout.symbols, coded, where
        )  # fmt: skip
        return stream.symbols.astype(np.uint16), _sizes(stream)

    return Codec("dense+huffman" if coded else "dense", encode, section_bits, decode)
