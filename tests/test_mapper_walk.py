"""The vectorised counts against a walker that executes the loops of small layers, step by step, word by word."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from math import prod
from random import Random
from types import ModuleType

import numpy as np
import pytest

from picojoule.simulator.accelerator import DIMS
from picojoule.simulator.mapper.hierarchy import Hierarchy
from picojoule.simulator.mapper.mapspace import Space, chains
from picojoule.simulator.mapper.problem import Problem
from picojoule.simulator.mapper.traffic import count_accesses

INDEXED = ({*"GKCRS"}, {*"NGCPQRS"}, {*"NGKPQ"})
OUTPUT = 2
Box = tuple[range, ...]
Loop = tuple[int, str, int, bool]  # block, dim, factor, spatial


def overlap(a: Box, b: Box) -> int:
    return prod(max(0, min(x.stop, y.stop) - max(x.start, y.start)) for x, y in zip(a, b, strict=True))


def hull(boxes: list[Box]) -> Box:
    return tuple(range(min(r.start for r in same), max(r.stop for r in same)) for same in zip(*boxes, strict=True))


def nest_loops(hierarchy: Hierarchy, factors: np.ndarray, orders: list[str], end: int) -> list[Loop]:
    """Loops above 1 of the blocks outside `end`, outermost first."""
    loops = []
    for b in range(end):
        named = [*orders[b], *(dim for dim in DIMS if dim not in orders[b])]
        loops += [(b, dim, int(factors[b, DIMS.index(dim)]), hierarchy.blocks[b].spatial) for dim in named]
    return [loop for loop in loops if loop[2] > 1]


def tile_at(problem: Problem, operand: int, index: dict[str, int], inner: dict[str, int]) -> Box | None:
    """The words of one tile as a box of ranges; None where the last tiles are cut to nothing."""
    spans = {}
    for dim, bound in zip(DIMS, problem.bounds, strict=True):
        start = index[dim] * inner[dim]
        spans[dim] = range(start, min(start + inner[dim], bound))
    if any(not len(spans[dim]) for dim in INDEXED[operand]):
        return None
    if operand != 1:
        return tuple(spans[dim] for dim in DIMS if dim in INDEXED[operand])
    windows = []
    for slid, kernel, axis in (("P", "R", 0), ("Q", "S", 1)):
        stride, dilation = problem.stride[axis], problem.dilation[axis]
        first = spans[slid].start * stride + spans[kernel].start * dilation
        last = (spans[slid].stop - 1) * stride + (spans[kernel].stop - 1) * dilation
        windows.append(range(first, last + 1))
    return (spans["N"], spans["G"], spans["C"], *windows)


class Walker:
    """One operand between a level and the next one inside: every step of every loop outside the latter."""

    def __init__(self, problem: Problem, hierarchy: Hierarchy, factors: np.ndarray, orders: list[str],
                 operand: int, level: int, child: int) -> None:  # fmt: skip
        self.problem, self.hierarchy, self.operand = problem, hierarchy, operand
        self.start = hierarchy.place[level]
        self.end = hierarchy.place[child] if child >= 0 else len(hierarchy.blocks)
        self.macs = child < 0
        self.loops = nest_loops(hierarchy, factors, orders, self.end)
        self.inner = {dim: int(factors[self.end :, d].prod()) for d, dim in enumerate(DIMS)}
        between = {b for b, _, _, spatial in self.loops if spatial and b > self.start}
        joined = [b for b in hierarchy.spatial if self.start < b < self.end]
        apart = [b for b, dim, _, spatial in self.loops if joined and b > joined[0] and not spatial and dim in "PQRS"]
        self.halo = operand == 1 and any(hierarchy.blocks[b].halo for b in joined) and not apart
        self.shared = {b for b in between if self.shares(b)}

    def shares(self, b: int) -> bool:
        block = self.hierarchy.blocks[b]
        if self.operand == OUTPUT:
            return block.reduces
        same = not any(at == b and dim in INDEXED[self.operand] for at, dim, _, _ in self.loops)
        return block.multicast == "any" or (block.multicast == "axis" and same)

    def visits(self) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], dict[str, int]]]:
        """(temporal indices, spatial indices, index of the tile by dim) in the order of time."""
        temporal = [i for i, loop in enumerate(self.loops) if not loop[3]]
        spatial = [i for i, loop in enumerate(self.loops) if loop[3]]
        for when in product(*(range(self.loops[i][2]) for i in temporal)):
            for where in product(*(range(self.loops[i][2]) for i in spatial)):
                at = dict(zip([*temporal, *spatial], [*when, *where], strict=True))
                index = dict.fromkeys(DIMS, 0)
                for i, (_, dim, factor, _) in enumerate(self.loops):
                    index[dim] = index[dim] * factor + at[i]
                yield when, where, index

    def group(self, where: tuple[int, ...]) -> tuple[int, ...]:
        """What tells apart those that one access of the parent serves (with a halo: one hull of windows)."""
        spatial = [loop for loop in self.loops if loop[3]]
        kept = []
        for (b, dim, _, _), i in zip(spatial, where, strict=True):
            merged = b > self.start and (
                (b in self.shared and dim not in INDEXED[self.operand])
                or (self.halo and dim in "PQRS")
            )
            kept.append(-1 if merged else i)
        return tuple(kept)

    def new_words(self, when: tuple[int, ...], box: Box, before: tuple[tuple[int, ...], Box] | None) -> int:
        """Words to bring for this step, given what the same place held before."""
        temporal = [loop for loop in self.loops if not loop[3]]
        told = [i for i, (_, dim, _, _) in enumerate(temporal) if dim in INDEXED[self.operand]]
        size = prod(len(span) for span in box)
        if before is None:
            return size
        moved = [i for i in told if when[i] != before[0][i]]
        if not moved:
            return 0
        innermost = told[-1]
        slid = self.operand == 1 and temporal[innermost][1] in "PQRS"
        if slid and moved == [innermost] and when[innermost] == before[0][innermost] + 1:
            return size - overlap(box, before[1])
        return size

    def run(self) -> tuple[int, int, int]:
        """(words that arrive at all children, words that the level is asked for, words of the largest tile)."""
        arrived = asked = largest = 0
        held: dict[tuple[int, ...], tuple[tuple[int, ...], Box]] = {}
        served: dict[tuple[int, ...], tuple[tuple[int, ...], Box]] = {}
        step: dict[tuple[int, ...], dict[tuple[int, ...], list[Box]]] = defaultdict(lambda: defaultdict(list))
        for when, where, index in self.visits():
            box = tile_at(self.problem, self.operand, index, self.inner)
            inside = all(index[dim] < bound for dim, bound in zip(DIMS, self.problem.bounds, strict=True))
            works = inside or not self.macs
            members = step[when][self.group(where)]
            if box is None or not works:  # idle: the loops have moved on, and what was held is not there any more
                held[where] = (when, ())
                continue
            largest = max(largest, prod(len(span) for span in box))
            arrived += 1 if self.macs else self.new_words(when, box, held.get(where))
            held[where] = (when, box)
            members.append(box)
        for when, groups in step.items():
            for group, boxes in groups.items():
                box = hull(boxes)
                if not boxes:
                    served[group] = (when, ())
                elif self.macs:
                    asked += prod(len(span) for span in box) if self.halo else 1
                else:
                    asked += self.new_words(when, box, served.get(group))
                served[group] = (when, box)
        return arrived, asked, largest


def walk(problem: Problem, hierarchy: Hierarchy, factors: np.ndarray, orders: list[str]) -> dict[str, np.ndarray]:
    shape = (len(hierarchy.levels), 3)
    out = {name: np.zeros(shape, np.int64) for name in ("reads", "updates", "fills", "tile")}
    for operand in range(3):
        for level, child in hierarchy.pairs(operand):
            arrived, asked, largest = Walker(problem, hierarchy, factors, orders, operand, level, child).run()
            if child >= 0:
                out["fills"][child, operand] = arrived
                out["tile"][child, operand] = largest
            if operand != OUTPUT:
                out["reads"][level, operand] = asked
                continue
            out["updates"][level, operand] = asked
            above = nest_loops(hierarchy, factors, orders, hierarchy.place[level])
            copies = prod(f for _, dim, f, spatial in above if spatial and dim not in INDEXED[OUTPUT])
            first = prod(b for dim, b in zip(DIMS, problem.bounds, strict=True) if dim in INDEXED[OUTPUT]) * copies
            out["reads"][level, operand] = max(0, asked - first)
    return out


def random_factors(random: Random, problem: Problem, space: Space, many: int) -> np.ndarray:
    """Factors that cover the layer, spatial ones rounded up where the space allows it."""
    blocks = space.hierarchy.blocks
    factors = np.ones((many, len(blocks), len(DIMS)), np.int64)
    for d, (dim, bound) in enumerate(zip(DIMS, problem.bounds, strict=True)):
        places = [b for b, block in enumerate(blocks) if dim in space.allowed[b] or b == 0 or not block.spatial]
        limits = [(blocks[b].spatial, blocks[b].size if blocks[b].spatial else bound) for b in places]
        whole = [chain[1:] for chain in chains(bound, limits, ceil=space.ceil) if chain[0] == 1]
        for m in range(many):
            factors[m, places, d] = random.choice(whole)
    return factors


def check(seed: int, cases: ModuleType, nests: int, many: int) -> None:
    random = Random(seed)
    done = 0
    while done < nests:
        problem, space = cases.random_problem(random, 5), cases.random_space(random)
        if problem.macs > 250:
            continue
        hierarchy = random.choice(space.hierarchies)
        factors = random_factors(random, problem, space, many)
        orders = ["".join(random.sample(DIMS, len(DIMS))) for _ in hierarchy.blocks]
        counts = count_accesses(problem, hierarchy, factors, orders)
        for m in range(many):
            walked = walk(problem, hierarchy, factors[m], orders)
            for name in ("reads", "updates", "fills"):
                got = getattr(counts, name)[m]
                assert (got == walked[name]).all(), (seed, name, problem, hierarchy, factors[m].tolist(), orders,
                                                     got.tolist(), walked[name].tolist())  # fmt: skip
            for operand in range(3):
                for level in hierarchy.keepers[operand][1:]:
                    assert counts.tile[m, level, operand] == walked["tile"][level, operand]
            temporal = [b for b in range(len(hierarchy.blocks)) if b not in hierarchy.spatial]
            assert counts.steps[m] == factors[m, temporal].prod()
        done += 1


@pytest.mark.parametrize("seed", range(14))
def test_counts_are_those_of_executed_loops(seed: int, mapper_cases: ModuleType) -> None:
    """1,400 random mappings on random nests: any loop order, stride, dilation, groups, network, bypass, rounding up."""
    check(seed, mapper_cases, nests=25, many=4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_counts_of_many_more_mappings(seed: int, mapper_cases: ModuleType) -> None:
    check(seed, mapper_cases, nests=300, many=5)
