"""Decoding a Huffman stream by table lookups, many parts of the stream in lockstep.

The decoder is a finite state machine: the state is the inner node of the code tree that the bits so far
lead to, the input 8 bits (4 for large alphabets), the output the symbols whose codewords end in them
(Choueka, Klein and Perl, SIGIR 1985; lanes and resynchronisation as in Weissenberger and Schmidt, ICPP
2018). The stream is cut into lanes that all start at the root and run side by side. Then every lane starts
again where the lane before it ended, until it meets the states it passed before: a few bytes in practice.
Codes that do not resynchronise so are followed lane after lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, isqrt

import numpy as np
from numpy.typing import NDArray

from .checks import check_length, check_zero_tail, damaged, packed_bytes
from .huffman import MAX_LENGTH, Lengths

__all__ = ["decode"]

BLOCK = 1 << 18  # bytes decoded at a time: memory stays bounded
LANE = 384  # bytes of a lane
ROUNDS = 3  # of resynchronising all lanes at once
WIDE_STATES = 512  # up to here the machine eats 8 bits at a time, above 4
SHORT = 1 << 12  # bytes; for shorter streams the larger table does not pay


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
    machine = _machine(lengths, len(data))
    step = gcd(*(int(n) for n in np.unique(lengths[lengths > 0])))
    lane = -(-min(LANE, max(8, isqrt(len(data)))) // step) * step
    block = max(1, BLOCK // lane) * lane
    out = np.empty(count, np.uint16)
    done, state = 0, 0
    behind = np.zeros(0, np.uint16)  # symbols that the zeros at the end of the last byte would make
    for first in range(0, len(data), block):
        steps = np.frombuffer(data[first : first + block], np.uint8)
        places, state = _run(steps, state, lane, machine)
        found = machine.symbols(places)
        kept = found[: count - done]
        out[done : done + len(kept)] = kept
        done += len(kept)
        behind = np.concatenate((behind, found[len(kept) : len(kept) + 8]))[:8]
    if done < count:
        raise damaged(where, f"{done} symbols", f"{count} symbols")
    bit = 8 * len(data) - int(machine.depth[state >> machine.step_bits]) - int(lengths[behind].sum())
    if len(behind) > 7 or packed_bytes(bit) != len(data):
        raise damaged(where, f"{len(data)} bytes", f"fewer bytes for {count} symbols")
    check_zero_tail(data, bit, where)
    return out


@dataclass(frozen=True, eq=False)
class _Machine:
    """Tables over places = state * 2^step_bits + input; states come multiplied so.

    `moves` is the next state, `counts` how many codewords end, `emitted` [places * width] their symbols;
    `depth` [states] the bits that lead to a state from the root.
    """

    step_bits: int
    moves: NDArray[np.int32]
    counts: NDArray[np.int32]
    emitted: NDArray[np.uint16]
    width: int
    depth: NDArray[np.int64]

    def symbols(self, places: NDArray[np.int32]) -> NDArray[np.uint16]:
        """All symbols of steps in stream order, end to end."""
        counts = self.counts.take(places)
        ends = np.cumsum(counts, dtype=np.int32)
        base = places * np.int32(self.width)
        base -= ends
        base += counts
        spots = np.repeat(base, counts)
        spots += np.arange(len(spots), dtype=np.int32)
        return self.emitted.take(spots)


def _tree(lengths: Lengths) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """(children [inner nodes, 2], -1 - symbol for a leaf; depth of each inner node).

    Inner nodes are numbered level by level; in a canonical code the leaves come first on each level.
    """
    counts = np.bincount(lengths, minlength=MAX_LENGTH + 1)
    ordered = np.argsort(np.where(lengths > 0, lengths, MAX_LENGTH + 1), kind="stable")
    children, depths, base, inner, leaf = [], [], 0, 1, 0
    for depth in range(1, int(lengths.max()) + 1):
        depths.append(np.full(inner, depth - 1))
        here = int(counts[depth])
        place = np.arange(2 * inner) - here
        child = base + inner + place
        child[:here] = -1 - ordered[leaf : leaf + here]
        children.append(child)
        base, inner, leaf = base + inner, len(place) - here, leaf + here
    return np.concatenate(children).astype(np.int32).reshape(-1, 2), np.concatenate(depths)


def _machine(lengths: Lengths, stream_bytes: int) -> _Machine:
    child, depth = _tree(lengths)
    step_bits = 8 if len(child) <= WIDE_STATES and (stream_bytes >= SHORT or len(child) <= 16) else 4
    width = min(step_bits, (step_bits - 1) // int(lengths[lengths > 0].min()) + 1)
    inputs = np.arange(1 << step_bits)
    state = np.repeat(np.arange(len(child), dtype=np.int32)[:, None], len(inputs), axis=1)
    counts = np.zeros(state.shape, np.int32)
    emitted = np.zeros((*state.shape, width), np.uint16)
    for bit in range(step_bits - 1, -1, -1):
        state = child[state, (inputs >> bit) & 1]
        row, column = np.nonzero(state < 0)
        emitted[row, column, counts[row, column]] = -1 - state[row, column]
        counts[row, column] += 1
        state[row, column] = 0
    return _Machine(step_bits, (state << step_bits).ravel(), counts.ravel(), emitted.ravel(), width, depth)


def _run(data: NDArray[np.uint8], start: int, lane: int, machine: _Machine) -> tuple[NDArray[np.int32], int]:
    """(place of each step in stream order; the state behind), starting in state `start`."""
    lanes = -(-len(data) // lane)
    padded = np.zeros(lanes * lane, np.uint8)
    padded[: len(data)] = data
    if machine.step_bits == 4:
        padded = np.stack((padded >> 4, padded & 15), axis=1).ravel()
    inputs = np.ascontiguousarray(padded.reshape(lanes, -1).T).astype(np.int32)
    places = np.empty_like(inputs)
    state = np.zeros(lanes, np.int32)
    state[0] = start
    for row, place in zip(inputs, places, strict=True):
        np.add(state, row, out=place)
        machine.moves.take(place, out=state, mode="clip")
    _resynchronise(inputs, places, state, machine.moves)
    steps = len(data) * 8 // machine.step_bits
    ordered = np.ascontiguousarray(places.T).ravel()[:steps]
    return ordered, int(machine.moves[ordered[-1]])


def _resynchronise(
    inputs: NDArray[np.int32], places: NDArray[np.int32], ends: NDArray[np.int32], moves: NDArray[np.int32]
) -> None:
    """Make `places` [steps, lanes] true, in place: lane 0 is, the others started at the root.

    `ends` [lanes] are the states behind the lanes as they are now.
    """
    begins = places[0] - inputs[0]
    for _ in range(ROUNDS):
        wrong = np.flatnonzero(begins[1:] != ends[:-1]) + 1
        if not len(wrong):
            return
        state = ends[wrong - 1]
        begins[wrong] = state
        for step in range(len(inputs)):
            place = state + inputs[step, wrong]
            parted = place != places[step, wrong]
            wrong, place = wrong[parted], place[parted]
            if not len(wrong):
                break
            places[step, wrong] = place
            state = moves[place]
        else:
            ends[wrong] = state
    for lane in range(1, len(ends)):
        if begins[lane] != ends[lane - 1]:
            ends[lane] = _follow(inputs[:, lane], places[:, lane], int(ends[lane - 1]), int(ends[lane]), moves)


def _follow(
    inputs: NDArray[np.int32], places: NDArray[np.int32], state: int, end: int, moves: NDArray[np.int32]
) -> int:
    """Overwrite the `places` of a lane from `state` on until they are those that were there; the state behind."""
    for step in range(len(inputs)):
        place = state + int(inputs[step])
        if places[step] == place:
            return end
        places[step] = place
        state = int(moves[place])
    return state
