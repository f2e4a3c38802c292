"""`bitmask`: one bit per element in C order, 1 for a non-zero, then the codes of the non-zeros.

    bits = elements + nonzeros * code_bits

`bitmask+huffman`: the codes Huffman coded, the mask as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .base import Codec, Codes, Encoded, Layout, Sizes
from .checks import check_length, check_no_zero, check_zero_tail, damaged
from .stream import Stream, read_stream, stream_bits, write_stream

__all__ = ["bitmask"]


def _sizes(elements: int, stream: Stream) -> Sizes:
    bits = {"codes": stream.bits, "indices": elements, "huffman_table": stream.table_bits}
    table = len(stream.cost) if stream.table_bits else 0
    return Sizes(bits, {"codes": len(stream.symbols), "indices": elements, "huffman_table": table})


def bitmask(coded: bool) -> Codec:
    """The codec; sections `mask`, `codes` (and `codes_table` before it when `coded`).

    By hand: codes 0, 3, 0, 1 have the mask 0101|0000 and the codes 11 01|0000.

    >>> [s.hex() for s in bitmask(False).encode(np.array([0, 3, 0, 1], np.uint16), 2, 4).sections.values()]
    ['50', 'd0']
    """

    def encode(codes: Codes, code_bits: int, symbols: int) -> Encoded:
        flat = codes.ravel()
        sections, stream = write_stream("codes", flat[flat != 0], code_bits, symbols, coded)
        mask = np.packbits(flat != 0).tobytes()
        return Encoded({"mask": mask, **sections}, len(stream.symbols), _sizes(flat.size, stream))

    def section_bits(layout: Layout) -> Mapping[str, int | None]:
        codes = stream_bits("codes", layout.entries, layout.code_bits, layout.symbols, coded)
        return {"mask": layout.elements, **codes}

    def decode(sections: Mapping[str, bytes], layout: Layout, where: str) -> tuple[Codes, Sizes]:
        check_length(sections["mask"], layout.elements, f"{where} mask")
        check_zero_tail(sections["mask"], layout.elements, f"{where} mask")
        packed = np.frombuffer(sections["mask"], np.uint8)
        kept = np.unpackbits(packed, count=layout.elements).astype(bool)
        found = int(np.count_nonzero(kept))
        if found != layout.entries:
            raise damaged(f"{where} mask", f"{found} ones", f"{layout.entries}, the number of codes")
        stream = read_stream(sections, "codes", found, layout.code_bits, layout.symbols, coded, where)
        check_no_zero(stream.symbols, where)
        codes = np.zeros(layout.elements, np.uint16)
        codes[kept] = stream.symbols
        return codes, _sizes(layout.elements, stream)

    return Codec("bitmask+huffman" if coded else "bitmask", encode, section_bits, decode)
