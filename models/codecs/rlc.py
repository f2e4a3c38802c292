"""`rlc`: run-length words as in Eyeriss (Chen et al., ISCA 2016; JSSC 2017, section on RLC).

Eyeriss writes (run of zeros, 5 bits; value, 16 bits) pairs, three of them to a 64-bit word, whose last bit is 1 in the
last word only. Here a value is a code of `code_bits`, so that a word has 3 (5 + code_bits) + 1 bits: 64 for 16-bit
values. A run above 31 is broken by a padding pair (31, code 0), which covers 32 positions. Zeros behind the last
non-zero need no pair; pairs that the last word has too many are zeros.

    words = ceil((nonzeros + sum floor(run / 32)) / 3);  bits = words * (3 (5 + code_bits) + 1)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .base import Codec, Codes, Encoded, Layout, Sizes
from .bitpack import pack, unpack
from .checks import damaged
from .places import broken_runs, place_runs

__all__ = ["RLC", "RUN_BITS"]

RUN_BITS = 5
LONGEST = (1 << RUN_BITS) - 1
PAIRS = 3  # in a word
BLOCK = 1 << 16  # words handled at a time; a multiple of 8, so that every block fills its last byte


def _words(entries: int) -> int:
    return -(-entries // PAIRS)


def _word_bits(code_bits: int) -> int:
    return PAIRS * (RUN_BITS + code_bits) + 1


def _section_bits(layout: Layout) -> dict[str, int | None]:
    return {"words": _words(layout.entries) * _word_bits(layout.code_bits)}


def _sizes(codes: NDArray[np.integer], code_bits: int) -> Sizes:
    """Pairs that fill the last word, and the bits that end words, count as indices."""
    count, pads = len(codes), int(np.count_nonzero(codes == 0))
    real, words = count - pads, _words(count)
    pair = RUN_BITS + code_bits
    filler = words * _word_bits(code_bits) - count * pair
    bits = {"codes": real * code_bits, "indices": real * RUN_BITS + filler, "padding": pads * pair}
    return Sizes(bits, {"codes": real, "indices": real, "padding": pads})


def _encode(codes: Codes, code_bits: int, symbols: int) -> Encoded:
    """Section `words`, end to end.

    The papers' example: 0, 0, 12, 0, 0, 0, 0, 53, 0, 0, 22 is (2, 12), (4, 53), (2, 22) and a last bit.

    >>> sample = np.array([0, 0, 12, 0, 0, 0, 0, 53, 0, 0, 22], np.uint16)
    >>> f"{int.from_bytes(_encode(sample, 16, 64).sections['words']):064b}" == (
    ...     f"{2:05b}{12:016b}{4:05b}{53:016b}{2:05b}{22:016b}1")
    True
    """
    stored_runs, stored = broken_runs(codes.ravel(), RUN_BITS)
    total = len(stored)
    runs, values = np.zeros((2, PAIRS * _words(total)), np.uint32)
    runs[:total], values[:total] = stored_runs, stored
    parts = []
    for first in range(0, _words(total), BLOCK):
        pairs = slice(PAIRS * first, PAIRS * (first + BLOCK))
        bits = _pair_bits(runs[pairs], values[pairs], code_bits)
        bits[-1, -1] = first + BLOCK >= _words(total)
        parts.append(np.packbits(bits).tobytes())
    return Encoded({"words": b"".join(parts)}, total, _sizes(values[:total], code_bits))


def _pair_bits(runs: NDArray[np.uint32], values: NDArray[np.uint32], code_bits: int) -> NDArray[np.uint8]:
    """Bits of whole words [words, word bits], the last bit of each 0."""
    pair = RUN_BITS + code_bits
    joined = np.frombuffer(pack(runs << code_bits | values, 32), np.uint8)
    bits = np.zeros((len(runs) // PAIRS, PAIRS * pair + 1), np.uint8)
    bits[:, :-1] = np.unpackbits(joined).reshape(-1, 32)[:, 32 - pair :].reshape(len(bits), -1)
    return bits


def _decode(sections: Mapping[str, bytes], layout: Layout, where: str) -> tuple[Codes, Sizes]:
    count, word_bits = layout.entries, _word_bits(layout.code_bits)
    words = _words(count)
    pairs = np.empty(PAIRS * words, np.uint32)
    for first in range(0, words, BLOCK):
        here = min(BLOCK, words - first)
        chunk = sections["words"][first * word_bits // 8 : -(-(first + here) * word_bits // 8)]
        bits = unpack(chunk, here * word_bits, 1, f"{where} words").reshape(here, word_bits)
        ends = np.flatnonzero(bits[:, -1])
        if ends.tolist() != ([here - 1] if first + here == words else []):
            raise damaged(f"{where} words", "a last word elsewhere", "its mark in the last word only")
        wide = np.zeros((PAIRS * here, 32), np.uint8)
        wide[:, 32 - word_bits // PAIRS :] = bits[:, :-1].reshape(PAIRS * here, -1)
        pairs[PAIRS * first : PAIRS * (first + here)] = np.packbits(wide).view(">u4")
    if pairs[count:].any():
        raise damaged(f"{where} words", "a pair behind the last", "zeros")
    return _place(pairs[:count], layout, where)


def _place(pairs: NDArray[np.uint32], layout: Layout, where: str) -> tuple[Codes, Sizes]:
    runs, values = (pairs >> layout.code_bits).astype(np.int64), pairs & ((1 << layout.code_bits) - 1)
    if len(pairs) and int(values.max()) >= layout.symbols:
        raise damaged(f"{where} words", f"code {values.max()}", f"codes below {layout.symbols}")
    flat = place_runs(runs, values, LONGEST, layout.elements, f"{where} words")
    return flat, _sizes(values, layout.code_bits)


RLC = Codec("rlc", _encode, _section_bits, _decode)
