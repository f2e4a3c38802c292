"""Decoding a Huffman stream by table lookups, many parts of the stream in lockstep.

The decoder is a finite state machine: the state is the inner node of the code tree that the bits so far
lead to, the input 8 bits (4 for large alphabets), the output the set of bits at which a codeword ends
(Choueka, Klein and Perl, SIGIR 1985; lanes and resynchronisation as in Weissenberger and Schmidt, ICPP
2018). The stream is cut into lanes that all start at the root and run side by side; then, lane after
lane, the true state is followed until it meets the guessed one, which is a few bytes in practice and one
lane at worst. Codeword ends give codeword lengths, and a canonical codeword of known length is a number.
"""

from __future__ import annotations

from math import gcd, isqrt

import numpy as np
from numpy.typing import NDArray

from .checks import check_length, check_zero_tail, damaged, packed_bytes
from .huffman import MAX_LENGTH, Lengths

__all__ = ["decode"]

BLOCK = 1 << 18  # bytes decoded at a time: memory stays bounded
LANE = 384  # bytes of a lane
WIDE_STATES = 1024  # up to here the machine eats 8 bits at a time, above 4


def decode(data: bytes, count: int, lengths: Lengths, where: str = "Huffman stream") -> NDArray[np.uint16]:
    """The `count` symbols that `huffman.encode` wrote, shape [count].

    Raises FileFormatError unless exactly ceil(bits / 8) bytes are there, with zeros behind the last codeword.
    `lengths` must be a complete code, as `decode_table` checks, of at most 65,536 symbols.

    >>> decode(bytes.fromhex("70"), 3, np.array([1, 2, 2])).tolist()
    [0, 2, 1]
    """
    used = np.flatnonzero(lengths)
    if count == 0 or len(used) == 0:
        if count or data:
            raise damaged(where, f"{len(data)} bytes for {count} symbols", "a code, and none for nothing")
        return np.zeros(0, np.uint16)
    if count > 8 * len(data):
        raise damaged(where, f"{len(data)} bytes for {count} symbols", "at least one bit a symbol")
    if len(used) == 1:
        check_length(data, count, where)
        if any(data):
            raise damaged(where, "a 1 where the only codeword is 0", "zeros")
        return np.full(count, used[0], np.uint16)
    return _decode_blocks(data, count, lengths, where)


def _decode_blocks(data: bytes, count: int, lengths: Lengths, where: str) -> NDArray[np.uint16]:
    moves, ends, step_bits = _machine(lengths)
    table = _Canonical(lengths)
    step = gcd(*(int(n) for n in np.unique(lengths[lengths > 0])))
    lane = -(-min(LANE, max(8, isqrt(len(data)))) // step) * step
    block = max(1, BLOCK // lane) * lane
    out = np.empty(count, np.uint16)
    done, bit, state = 0, 0, 0
    for first in range(0, len(data), block):
        steps = np.frombuffer(data[first : first + block], np.uint8)
        marks, state = _codeword_ends(steps, state, lane, moves, ends, step_bits)
        stop = 8 * first + np.flatnonzero(np.unpackbits(marks, count=8 * len(steps))) + 1
        stop = stop[: count - done]
        if len(stop):
            out[done : done + len(stop)] = table.symbols(data, np.concatenate(([bit], stop)))
            done, bit = done + len(stop), int(stop[-1])
    if done < count:
        raise damaged(where, f"{done} symbols", f"{count} symbols")
    if packed_bytes(bit) != len(data):
        raise damaged(where, f"{len(data)} bytes", f"{packed_bytes(bit)} bytes for {count} symbols")
    check_zero_tail(data, bit, where)
    return out


def _machine(lengths: Lengths) -> tuple[NDArray[np.int32], NDArray[np.uint8], int]:
    """(next state, codeword ends, bits per step), both flat at [state * 2^bits + input], states times 2^bits.

    Inner nodes are numbered level by level; in a canonical code the leaves come first on each level.
    """
    counts = np.bincount(lengths, minlength=MAX_LENGTH + 1)
    children, base, inner = [], 0, 1
    for depth in range(1, int(lengths.max()) + 1):
        place = np.arange(2 * inner) - counts[depth]
        children.append(np.where(place < 0, -1, base + inner + place))
        base, inner = base + inner, len(place) - int(counts[depth])
    child = np.concatenate(children).astype(np.int32).reshape(-1, 2)
    step_bits = 8 if len(child) <= WIDE_STATES else 4
    inputs = np.arange(1 << step_bits)
    state = np.repeat(np.arange(len(child), dtype=np.int32)[:, None], len(inputs), axis=1)
    ends = np.zeros(state.shape, np.uint8)
    for bit in range(step_bits - 1, -1, -1):
        state = child[state, (inputs >> bit) & 1]
        ends |= (state < 0).astype(np.uint8) << bit
        state = np.maximum(state, 0)
    return (state << step_bits).ravel(), ends.ravel(), step_bits


def _codeword_ends(
    data: NDArray[np.uint8], start: int, lane: int, moves: NDArray[np.int32], ends: NDArray[np.uint8], step_bits: int
) -> tuple[NDArray[np.uint8], int]:
    """(a bit for each bit of `data`, 1 where a codeword ends; the state behind), starting in state `start`."""
    lanes = -(-len(data) // lane)
    padded = np.zeros(lanes * lane, np.uint8)
    padded[: len(data)] = data
    if step_bits == 4:
        padded = np.stack((padded >> 4, padded & 15), axis=1).ravel()
    inputs = np.ascontiguousarray(padded.reshape(lanes, -1).T).astype(np.int32)
    states = np.zeros((len(inputs) + 1, lanes), np.int32)
    place = np.empty(lanes, np.int32)
    for step, row in enumerate(inputs):
        np.add(states[step], row, out=place)
        np.take(moves, place, out=states[step + 1], mode="clip")
    state = start
    for column in range(lanes):
        state = _resynchronise(states[:, column], inputs[:, column], state, moves)
    marks = ends[states[:-1] + inputs].T.ravel()
    if step_bits == 4:
        marks = (marks[::2] << 4) | marks[1::2]
    return marks[: len(data)].astype(np.uint8, copy=False), state


def _resynchronise(states: NDArray[np.int32], inputs: NDArray[np.int32], state: int, moves: NDArray[np.int32]) -> int:
    """Overwrite the guessed `states` of a lane by the true ones until both agree; the state behind the lane."""
    for step in range(len(inputs)):
        if states[step] == state:
            return int(states[-1])
        states[step] = state
        state = int(moves[state + inputs[step]])
    states[-1] = state
    return state


class _Canonical:
    """From codewords of known length to symbols: symbol = order[rank of the length's first code + code]."""

    def __init__(self, lengths: Lengths) -> None:
        counts = np.bincount(lengths, minlength=MAX_LENGTH + 1)
        counts[0] = 0
        self._order = np.argsort(np.where(lengths > 0, lengths, MAX_LENGTH + 1), kind="stable").astype(np.uint16)
        first = np.zeros(MAX_LENGTH + 1, np.int64)
        for length in range(1, MAX_LENGTH + 1):
            first[length] = (first[length - 1] + counts[length - 1]) << 1
        self._shift = np.cumsum(counts) - counts - first

    def symbols(self, data: bytes, borders: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Symbols between neighbouring bit positions `borders` [n + 1] of `data`."""
        start, length = borders[:-1], np.diff(borders)
        low = int(start[0]) >> 3
        near = np.frombuffer(data[low : (int(start[-1]) >> 3) + 4] + bytes(3), np.uint8).astype(np.uint32)
        window = near[:-3] << 24 | near[1:-2] << 16 | near[2:-1] << 8 | near[3:]
        aligned = window[(start >> 3) - low] << (start & 7).astype(np.uint32)
        code = aligned >> (32 - length).astype(np.uint32)
        return self._order[code + self._shift[length]]
