"""Access counts of mappings, vectorised: the conventions of Timeloop's nest analysis, stated in closed form.

For an operand held at a level, its tile is the product of the loops inside the storage, spatial ones
included; an input's is the bounding box of the window. The level is filled once for every step of the
temporal loops outside it, after dropping the innermost loops that do not index the operand; so the words
filled are

    fills = (all words of the operand's index, each tile counted whole) x (irrelevant loops kept)

where irrelevant loops are kept if a relevant one (of factor > 1) lies inside them. Where the innermost
relevant loop slides an input's window, each of its steps brings only the rows that the tile before did
not hold; a step of any loop outside it brings a whole tile. The parent is read once per distinct tile
among the instances that the network serves together, and takes one update per reduction group. The MACs
hold nothing. Last tiles that a rounded-up spatial factor cuts short count what they hold.

Conventions: docs/decisions/0026-what-a-mapping-costs.md; source: Timeloop (Parashar et al., ISPASS 2019)
as of the Sparseloop artifact (Wu et al., MICRO 2022), checked row by row in tests/test_mapper_traffic.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..accelerator import DIMS
from .hierarchy import Hierarchy
from .problem import DIM, RELEVANT, SLIDING, Ints, Problem

__all__ = ["Counts", "Nest", "Steps", "count_accesses", "input_words", "outer_steps", "overlap_rows", "shares",
           "spread_tile", "suffix_products", "window_sum"]  # fmt: skip

WEIGHT, INPUT, OUTPUT = 0, 1, 2
Order = Sequence[str]


@dataclass(frozen=True, eq=False)
class Counts:
    """Words by mapping, level and operand (weight, input, output), summed over a level's instances.

    `tile[m, l, o]` is what ONE instance holds; 0 where the level does not keep the operand. `instances[m, l]`
    are those in use. `delivered[m, b, o]`: words that cross the network of array block b's array to its
    PEs, or from them before they are reduced. `steps[m]`: the product of all temporal loops.
    """

    tile: Ints
    reads: Ints
    updates: Ints
    fills: Ints
    instances: Ints
    delivered: Ints
    steps: Ints
    macs: int


@dataclass(frozen=True, eq=False)
class Nest:
    """Suffix products of the factors: `inside[m, b, d]`, blocks b and inner; one more entry than blocks."""

    problem: Problem
    hierarchy: Hierarchy
    factors: Ints
    orders: tuple[Order, ...]
    inside: Ints

    def spatial(self, operand: int, start: int, stop: int, *, relevant: bool) -> Ints:
        """Product of the spatial factors of blocks start..stop-1 that (do not) index the operand."""
        found = np.ones(len(self.factors), np.int64)
        for b in self.hierarchy.spatial:
            if start <= b < stop:
                found = found * self.factors[:, b, RELEVANT[operand] == relevant].prod(axis=1)
        return found


def suffix_products(factors: Ints) -> Ints:
    """Products with all blocks further in, and 1 after the last: [m, block, dim] -> [m, block + 1, dim].

    >>> suffix_products(np.array([[[2], [3]]])).tolist()
    [[[6], [3], [1]]]
    """
    m, n_blocks, dims = factors.shape
    out = np.empty((m, n_blocks + 1, dims), np.int64)
    out[:, -1] = 1
    for b in range(n_blocks - 1, -1, -1):
        np.multiply(out[:, b + 1], factors[:, b], out=out[:, b])
    return out


def count_accesses(
    problem: Problem, hierarchy: Hierarchy, factors: Ints, orders: Sequence[Order]
) -> Counts:
    """Counts of many mappings that share their loop orders.

    `factors[m, b, d]`: the loop of dim d (in the order of DIMS) in block b of `hierarchy.blocks`, outermost
    first. `orders[b]`: the dims of block b, outermost first, such as "Q N K C"; dims left out follow, and a
    spatial block's order is ignored. Factors of a dim multiply to its bound, or to more where its outermost
    spatial factor was rounded up (mapping.check_factors says so).
    """
    m, n_blocks, _ = factors.shape
    inside = suffix_products(factors)
    full = tuple(_complete(order) for order in orders)
    nest = Nest(problem, hierarchy, factors, full, inside)
    shape = (m, len(hierarchy.levels), 3)
    tile, reads, updates, fills = (np.zeros(shape, np.int64) for _ in range(4))
    delivered = np.zeros((m, n_blocks, 3), np.int64)
    for operand in range(3):
        for level, child in hierarchy.pairs(operand):
            tile[:, level, operand] = _tile_words(nest, operand, hierarchy.place[level])
            down, asked = _moved(nest, operand, level, child)
            if child >= 0:
                fills[:, child, operand] = down
            (updates if operand == OUTPUT else reads)[:, level, operand] = asked
            for b in hierarchy.spatial:
                if hierarchy.place[level] < b < _end(hierarchy, child):
                    delivered[:, b, operand] = down * (2 if operand == OUTPUT and child >= 0 else 1)
            if operand == OUTPUT:
                first = problem.words[OUTPUT] * nest.spatial(OUTPUT, 0, hierarchy.place[level], relevant=False)
                reads[:, level, OUTPUT] = np.maximum(asked - first, 0)
    used = [nest.spatial(OUTPUT, 0, p, relevant=True) * nest.spatial(OUTPUT, 0, p, relevant=False)
            for p in hierarchy.place]  # fmt: skip
    temporal = [b for b in range(n_blocks) if b not in hierarchy.spatial]
    steps = factors[:, temporal].prod(axis=(1, 2))
    return Counts(tile, reads, updates, fills, np.stack(used, axis=1), delivered, steps, problem.macs)


def _complete(order: Order) -> tuple[str, ...]:
    named = tuple(dim for dim in order if dim != " ")
    return named + tuple(dim for dim in DIMS if dim not in named)


def _end(hierarchy: Hierarchy, child: int) -> int:
    return hierarchy.place[child] if child >= 0 else len(hierarchy.blocks)


def _extent(problem: Problem, window: str, slid: Ints, kernel: Ints) -> Ints:
    """Rows that `slid` output rows and `kernel` kernel rows touch: their bounding box."""
    p, r = ("P", "R") if window in "PR" else ("Q", "S")
    return (slid - 1) * problem.steps(p) + (kernel - 1) * problem.steps(r) + 1


def _tile_words(nest: Nest, operand: int, place: int) -> Ints:
    held = np.minimum(nest.inside[:, place], nest.problem.bounds)
    if operand != INPUT:
        return held[:, RELEVANT[operand]].prod(axis=1)
    rows = _extent(nest.problem, "P", held[:, DIM["P"]], held[:, DIM["R"]])
    columns = _extent(nest.problem, "Q", held[:, DIM["Q"]], held[:, DIM["S"]])
    return held[:, [DIM["N"], DIM["G"], DIM["C"]]].prod(axis=1) * rows * columns


@dataclass(frozen=True, eq=False)
class Steps:
    """What the temporal loops outside a place do to an operand.

    `kept[m]`: product of the irrelevant loops that repeat its tiles. `slide[window][m]`: the factor of the
    window's loop where it is the innermost relevant one, else 1, and `shift[window][m]` how many of the
    window's positions it moves by. `waiting[m]`: no relevant loop above 1 was found.
    """

    kept: Ints
    slide: dict[str, Ints]
    shift: dict[str, Ints]
    waiting: NDArray[np.bool_]


def outer_steps(nest: Nest, operand: int, place: int, *, latch: bool, stop: int = 0) -> Steps:
    """Walk the temporal loops of blocks place - 1 down to `stop`, inner ones first; without a latch all repeat."""
    m = len(nest.factors)
    kept, waiting = np.ones(m, np.int64), np.full(m, latch)
    slide: dict[str, Ints] = {}
    shift: dict[str, Ints] = {}
    for b in range(place - 1, stop - 1, -1):
        if nest.hierarchy.blocks[b].spatial:
            continue
        for dim in reversed(nest.orders[b]):
            d = DIM[dim]
            loop = nest.factors[:, b, d]
            if not RELEVANT[operand, d]:
                kept *= np.where(waiting, 1, loop)
                continue
            if operand == INPUT and dim in SLIDING:
                here = waiting & (loop > 1)
                slide[dim] = np.where(here, loop, slide.get(dim, 1))
                shift[dim] = np.where(here, nest.inside[:, b + 1, d], shift.get(dim, 1))
            waiting = waiting & (loop == 1)
    return Steps(kept, slide, shift, waiting)


def input_words(nest: Nest, held: Ints, steps: Steps) -> Ints:
    """Words over all steps for input tiles of `held[m, d]`, irrelevant loops apart."""
    problem = nest.problem
    bounds = np.asarray(problem.bounds)
    held = np.minimum(held, bounds)
    count = -(-bounds // held)
    sums = {axis: window_sum(problem, axis, held, count) for axis in "PQ"}
    total = sums["P"] * sums["Q"]
    for window, loop in steps.slide.items():
        if (loop > 1).any():
            across = "Q" if window in "PR" else "P"
            total = total - _overlap_sum(problem, window, held, count, loop, steps.shift[window]) * sums[across]
    n, g, _, c, *_ = problem.bounds
    return n * g * c * total


def window_sum(problem: Problem, axis: str, held: Ints, count: Ints) -> Ints:
    """Sum of the extents over all tiles along rows (P, R) or columns (Q, S): last ones as they are."""
    p, r = (DIM["P"], DIM["R"]) if axis == "P" else (DIM["Q"], DIM["S"])
    slid, kernel = problem.bounds[p], problem.bounds[r]
    stride, dilation = problem.steps(DIMS[p]), problem.steps(DIMS[r])
    n_p, n_r = count[:, p], count[:, r]
    return stride * n_r * (slid - n_p) + dilation * n_p * (kernel - n_r) + n_p * n_r


def _overlap_sum(problem: Problem, window: str, held: Ints, count: Ints, loop: Ints, shift: Ints) -> Ints:
    """Rows held over from tile to tile, summed: each sweep of `loop` has one first tile, all others overlap."""
    moving = DIM[window]
    sweeps = -(-problem.bounds[moving] // (shift * loop)) * (shift // held[:, moving])
    moves = np.where(loop > 1, count[:, moving] - sweeps, 0)
    return moves * overlap_rows(problem, window, held, count, shift)


def overlap_rows(problem: Problem, window: str, held: Ints, count: Ints, shift: Ints) -> Ints:
    """Rows that two tiles share when `window` moves by `shift` positions, over the tiles of its partner dim."""
    moving = DIM[window]
    other = DIM[{"P": "R", "R": "P", "Q": "S", "S": "Q"}[window]]
    last = problem.bounds[other] - (count[:, other] - 1) * held[:, other]
    total = np.zeros(len(held), np.int64)
    for size, number in ((held[:, other], count[:, other] - 1), (last, 1)):
        pair = (held[:, moving], size) if window in "PQ" else (size, held[:, moving])
        rows = _extent(problem, window, *pair) - problem.steps(window) * shift
        total += number * np.maximum(rows, 0)
    return total


def _moved(nest: Nest, operand: int, level: int, child: int) -> tuple[Ints, Ints]:
    """(words that arrive at all instances of `child`, words that `level` is asked for): see the module."""
    hierarchy, problem = nest.hierarchy, nest.problem
    start, end = hierarchy.place[level], _end(hierarchy, child)
    steps = outer_steps(nest, operand, end, latch=child >= 0)
    copies = nest.spatial(operand, 0, end, relevant=False)
    held = nest.inside[:, end]
    words = input_words(nest, held, steps) if operand == INPUT else np.full(len(held), problem.words[operand], np.int64)
    arrived = words * steps.kept * copies
    between = [b for b in hierarchy.spatial if start < b < end]
    if operand == INPUT:
        words = input_words(nest, spread_tile(nest, start, end), steps)
    shared = np.ones((len(held), len(DIMS)), np.int64)
    for b in between:
        shared *= np.where(shares(nest, operand, b)[:, None], nest.factors[:, b], 1)
    if child < 0:  # once for every step that has work: a last step that is cut short counts what it does
        each = -(-np.asarray(problem.bounds) // shared)[:, ~RELEVANT[operand]]
        return np.full(len(held), problem.macs, np.int64), words * each.prod(axis=1)
    asked = words * steps.kept * copies // shared[:, ~RELEVANT[operand]].prod(axis=1)
    return arrived, asked


def spread_tile(nest: Nest, start: int, end: int) -> Ints:
    """The input tile that one access of the parent serves: all PEs' windows together where the network joins them.

    Windows join if the PEs' positions follow on each other: no temporal loop of a window between them.
    """
    held, blocks = nest.inside[:, end], nest.hierarchy.blocks
    between = [b for b in nest.hierarchy.spatial if start < b < end]
    if not any(blocks[b].halo for b in between):
        return held
    windows = [DIM[window] for window in SLIDING]
    later = [b for b in range(between[0], end) if not blocks[b].spatial]
    apart = nest.factors[:, later][:, :, windows].max(axis=(1, 2), initial=1) > 1
    together = held * np.stack([nest.factors[:, b] for b in between]).prod(axis=0)
    return np.where(np.expand_dims(apart, 1), held, together)


def shares(nest: Nest, operand: int, b: int) -> NDArray[np.bool_]:
    """Whether the PEs along this axis that need (make) the same word share one access of the parent."""
    block = nest.hierarchy.blocks[b]
    if operand == OUTPUT or block.multicast != "axis":
        always = block.reduces if operand == OUTPUT else block.multicast == "any"
        return np.full(len(nest.factors), always)
    return nest.factors[:, b, RELEVANT[operand]].prod(axis=1) == 1
