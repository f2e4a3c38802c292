"""Canonical Huffman codes: the shortest prefix code of at most 24 bits, written down as code lengths only.

Lengths are optimal under the limit (package-merge: Larmore and Hirschberg, J. ACM 37, 1990); codewords are
canonical: shorter ones first, equal lengths in symbol order, as in RFC 1951, section 3.2.2. Bits run from
the most significant of each byte. Decoding is in `huffman_decode`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .bitpack import pack, unpack
from .checks import damaged, packed_bytes

__all__ = ["LENGTH_BITS", "MAX_LENGTH", "canonical_codes", "code_lengths", "decode_table", "encode", "encode_table"]

MAX_LENGTH = 24
LENGTH_BITS = 5
CHUNK = 1 << 16  # symbols encoded at a time; even, because they are encoded in pairs

Lengths = NDArray[np.int64]


def code_lengths(histogram: NDArray[np.int64]) -> Lengths:
    """Bits of each symbol's codeword, shape [symbols]; 0 for symbols that do not occur.

    Minimises sum(histogram * length) under sum(2^-length) = 1, length <= 24. A lone symbol gets 1 bit.
    Package-merge: 24 times, merge the sorted counts with the sums of neighbouring pairs of the list before;
    a symbol's length is the number of lists in whose needed beginning it stands.

    >>> code_lengths(np.array([5, 2, 1, 1, 0])).tolist()
    [1, 2, 3, 3, 0]
    """
    used = np.flatnonzero(histogram)
    lengths = np.zeros(len(histogram), np.int64)
    if len(used) < 2:
        lengths[used] = 1
        return lengths
    if len(used) > 1 << MAX_LENGTH:
        raise InputError("Huffman code", f"{len(used)} symbols", f"at most 2^{MAX_LENGTH}")
    rare_first = used[np.argsort(histogram[used], kind="stable")]
    counts = np.asarray(histogram, np.int64)[rare_first]
    merged, leaf_lists = counts, [np.ones(len(counts), bool)]
    for _ in range(MAX_LENGTH - 1):
        pairs = merged[: len(merged) // 2 * 2].reshape(-1, 2).sum(axis=1)
        both = np.concatenate((counts, pairs))
        order = np.argsort(both, kind="stable")
        merged = both[order]
        leaf_lists.append(order < len(counts))
    needed = 2 * len(counts) - 2
    for is_leaf in reversed(leaf_lists):
        leaves = int(np.count_nonzero(is_leaf[:needed]))
        lengths[rare_first[:leaves]] += 1
        needed = 2 * (needed - leaves)
    return lengths


def canonical_codes(lengths: Lengths) -> NDArray[np.uint64]:
    """The codeword of each symbol, right-aligned, shape [symbols].

    By hand (RFC 1951): lengths 2, 1, 3, 3 give 10, 0, 110, 111.

    >>> canonical_codes(np.array([2, 1, 3, 3])).tolist()
    [2, 0, 6, 7]
    """
    counts = np.bincount(lengths, minlength=MAX_LENGTH + 1)
    counts[0] = 0
    codes = np.zeros(len(lengths), np.uint64)
    first = 0
    for length in range(1, MAX_LENGTH + 1):
        first = (first + int(counts[length - 1])) << 1
        codes[lengths == length] = np.arange(first, first + int(counts[length]), dtype=np.uint64)
    return codes


def encode(symbols: NDArray[np.integer], lengths: Lengths) -> bytes:
    """The codewords of `symbols` [n], end to end, as ceil(bits / 8) bytes with zeros behind.

    Neighbours are joined into pairs of at most 48 bits; a pair is shifted to its place in one 64-bit word,
    or two, and the pairs of a word are or-ed together. Raises InputError for a symbol without a codeword.

    >>> encode(np.array([0, 2, 1]), np.array([1, 2, 2])).hex()   # 0 11 10
    '70'
    """
    codes = canonical_codes(lengths)
    bits = 0
    words = np.zeros(0, np.uint64)
    if len(symbols):
        histogram = np.bincount(symbols, minlength=len(lengths))
        if len(histogram) > len(lengths) or (histogram[lengths == 0]).any():
            raise InputError("Huffman code", "a symbol without a codeword", "symbols of the code")
        words = np.zeros(int(histogram @ lengths) // 64 + 2, np.uint64)
    for first in range(0, len(symbols), CHUNK):
        chunk = symbols[first : first + CHUNK]
        bits = _place(words, bits, codes[chunk], lengths[chunk])
    return words.astype(">u8").tobytes()[: packed_bytes(bits)]


def _place(words: NDArray[np.uint64], offset: int, codes: NDArray[np.uint64], lengths: Lengths) -> int:
    """Or codewords into `words` from bit `offset` on; returns the bit behind the last one."""
    if len(codes) % 2:
        codes, lengths = np.append(codes, np.uint64(0)), np.append(lengths, 0)
    pair = (codes[::2] << lengths[1::2].astype(np.uint64)) | codes[1::2]
    pair_bits = lengths[::2] + lengths[1::2]
    end = offset + np.cumsum(pair_bits)
    start = end - pair_bits
    word = start >> 6
    room = 64 - (start & 63) - pair_bits
    inside = (pair << np.maximum(room, 0).astype(np.uint64)) >> np.maximum(-room, 0).astype(np.uint64)
    first = np.flatnonzero(np.diff(word, prepend=-1))
    words[word[first]] |= np.bitwise_or.reduceat(inside, first)
    split = np.flatnonzero(room < 0)
    words[word[split] + 1] |= pair[split] << (64 + room[split]).astype(np.uint64)
    return int(end[-1])


def encode_table(lengths: Lengths) -> bytes:
    """A code as its lengths, 5 bits a symbol."""
    return pack(lengths, LENGTH_BITS)


def decode_table(data: bytes, symbols: int, where: str) -> Lengths:
    """Code lengths [symbols]. Raises FileFormatError unless they make a complete code.

    Complete: sum(2^-length) = 1 (Kraft), or one codeword of 1 bit, or none at all.

    >>> decode_table(encode_table(np.array([1, 2, 2])), 3, "table").tolist()
    [1, 2, 2]
    """
    lengths = unpack(data, symbols, LENGTH_BITS, where).astype(np.int64)
    if lengths.size and int(lengths.max()) > MAX_LENGTH:
        raise damaged(where, f"a code length of {lengths.max()}", f"at most {MAX_LENGTH} bits")
    used = lengths[lengths > 0]
    kraft = int((np.int64(1) << (MAX_LENGTH - used)).sum())
    lone = len(used) == 1 and used[0] == 1
    if len(used) and not lone and kraft != 1 << MAX_LENGTH:
        raise damaged(where, f"a Kraft sum of {kraft / (1 << MAX_LENGTH):.6g}", "a complete prefix code: 1")
    return lengths
