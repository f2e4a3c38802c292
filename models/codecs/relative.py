"""`relative{b}`: gaps between non-zeros over the flattened layer, as in Deep Compression.

Han, Mao, Dally, ICLR 2016, section 2: an entry is (zeros skipped since the entry before, in b bits; code).
A run of zeros longer than 2^b - 1 is broken by padding entries (2^b - 1, code 0); each occupies a position
itself and so covers 2^b. Zeros behind the last non-zero need no entry.

    entries = nonzeros + sum floor(run / 2^b);  bits = entries * (b + code_bits)

`relative{b}+huffman` (section 4 of the paper): gaps and codes each Huffman coded, padding included.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .base import Codec, Codes, Encoded, Layout, Sizes
from .places import broken_runs, place_runs
from .stream import Stream, read_stream, stream_bits, write_stream

__all__ = ["relative"]


def _sizes(gaps: Stream, codes: Stream) -> Sizes:
    pads = int(np.count_nonzero(codes.symbols == 0))
    gap_pads, code_pads = pads * int(gaps.cost[-1]), pads * int(codes.cost[0])
    real = len(codes.symbols) - pads
    tables = gaps.table_bits + codes.table_bits
    bits = {
        "indices": gaps.bits - gap_pads, "codes": codes.bits - code_pads,
        "padding": gap_pads + code_pads, "huffman_table": tables,
    }  # fmt: skip
    table_entries = len(gaps.cost) + len(codes.cost) if tables else 0
    entries = {"indices": real, "codes": real, "padding": pads, "huffman_table": table_entries}
    return Sizes(bits, entries)


def relative(index_bits: int, coded: bool) -> Codec:
    """The codec for gaps of 1 to 16 bits; sections `gaps` and `codes`, each behind its `_table` when `coded`.

    By hand, b = 2: codes 1, then 5 zeros, then 2 are the entries (0, 1), (3, 0), (1, 2):
    gaps 00 11 01|00, codes 01 00 10|00.

    >>> encoded = relative(2, False).encode(np.array([1, 0, 0, 0, 0, 0, 2], np.uint16), 2, 4)
    >>> [s.hex() for s in encoded.sections.values()], encoded.entries
    (['34', '48'], 3)
    """
    largest = (1 << index_bits) - 1

    def encode(codes: Codes, code_bits: int, symbols: int) -> Encoded:
        gap_symbols, code_symbols = broken_runs(codes.ravel(), index_bits)
        total = len(gap_symbols)
        gap_sections, gap_stream = write_stream("gaps", gap_symbols, index_bits, largest + 1, coded)
        code_sections, code_stream = write_stream("codes", code_symbols, code_bits, symbols, coded)
        return Encoded({**gap_sections, **code_sections}, total, _sizes(gap_stream, code_stream))

    def section_bits(layout: Layout) -> Mapping[str, int | None]:
        gaps = stream_bits("gaps", layout.entries, index_bits, largest + 1, coded)
        return {**gaps, **stream_bits("codes", layout.entries, layout.code_bits, layout.symbols, coded)}

    def decode(sections: Mapping[str, bytes], layout: Layout, where: str) -> tuple[Codes, Sizes]:
        count = layout.entries
        gaps = read_stream(sections, "gaps", count, index_bits, largest + 1, coded, where)
        codes = read_stream(sections, "codes", count, layout.code_bits, layout.symbols, coded, where)
        flat = place_runs(gaps.symbols, codes.symbols, largest, layout.elements, where)
        return flat, _sizes(gaps, codes)

    return Codec(f"relative{index_bits}{'+huffman' * coded}", encode, section_bits, decode)
