"""The outer halves of mappings: how the loops left over are split among the levels outside the array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..accelerator import DIMS
from .hierarchy import Hierarchy
from .inner import FIXED_FEATURES, SLACK, _operand_words, _tile_bits, cut_of, windows_of
from .linear import Prices
from .machine import Machine
from .mapspace import Space, chains
from .problem import DIM, Ints, Problem
from .traffic import Nest, input_words, outer_steps

__all__ = ["Halves", "Outer"]

Array = NDArray[np.float64]
OUTPUT = 2


@dataclass(frozen=True, eq=False)
class Halves:
    """Outer halves, rows last so that a loop's factors lie together: `by_block[block, dim, k]` with the group's
    tile as the last block, `inside[block, dim, k]` its products with all blocks further in, `group[k]`.
    """

    by_block: Ints
    inside: Ints
    group: Ints

    def take(self, chosen: NDArray[np.bool_]) -> Halves:
        if chosen.all():
            return self
        rows = np.flatnonzero(chosen)
        return Halves(self.by_block[:, :, rows], self.inside[:, :, rows], self.group[rows])

    def factors(self, k: int) -> Ints:
        """[block, dim] of the outer blocks of row k."""
        return self.by_block[:-1, :, k]

    def __len__(self) -> int:
        return len(self.group)


class Outer:
    """What does not change while the groups of one nest are searched."""

    def __init__(
        self, problem: Problem, space: Space, hierarchy: Hierarchy, machine: Machine, prices: Prices
    ) -> None:
        self.problem, self.space, self.hierarchy = problem, space, hierarchy
        self.machine, self.prices = machine, prices
        self.cut = cut_of(hierarchy)
        self.windows = windows_of(space, self.cut)
        self.bounds = np.asarray(problem.bounds)
        self.options = cache(self._options)
        self.floor = sum((self.crossing(o, -1, first=True) for o in range(3)), np.zeros(len(prices.per_instance)))

    def crossing(self, operand: int, b: int, *, first: bool = False) -> Array:
        """Costs of moving every word once over the pairs of outer levels whose child lies inside block b.

        `first`: less what first touches of outputs save. An input's words are those that the loops touch.
        """
        total = np.zeros(len(self.prices.per_instance))
        for level, child in self.hierarchy.pairs(operand):
            if child < 0 or not b < self.hierarchy.place[child] < self.cut:
                continue
            key = (operand, level, child)
            words = self.problem.touched_inputs if operand == 1 else self.problem.words[operand]
            total += words * (self.prices.asked[key] + self.prices.arrived[key])
            if first and operand == OUTPUT:
                total -= words * self.prices.first[key]
        return total

    def _options(self, d: int, left: int) -> Ints:
        """Every split of what is left of a dim over the outer blocks: [option, block]."""
        places = [b for b in range(self.cut) if DIMS[d] in self.space.allowed[b]]
        found = [chain[1:] for chain in chains(left, [(False, left)] * len(places), ceil=False) if chain[0] == 1]
        out = np.ones((len(found), self.cut), np.int64)
        if found and places:
            out[:, places] = np.array(found, np.int64)
        return out

    def _splits(self, d: int, left: Ints) -> tuple[Ints, Ints, Ints]:
        """(options of all tiles [option, block], where those of each tile begin, how many it has)."""
        found, place = np.unique(left, return_inverse=True)
        options = [self.options(d, int(n)) for n in found]
        sizes = np.array([len(one) for one in options])
        return np.concatenate(options), (np.cumsum(sizes) - sizes)[place], sizes[place]

    def numbers(self, tiles: Ints) -> Ints:
        """How many outer halves each of tiles [tile, dim] has, before capacity."""
        left = -(-self.bounds // tiles)
        return np.prod([self._splits(d, left[:, d])[2] for d in range(len(DIMS))], axis=0)

    def number(self, tile: Ints) -> int:
        """How many outer halves a tile has, before capacity."""
        return int(self.numbers(tile[None])[0])

    def rows(self, tiles: Ints, block: int) -> Iterator[Halves]:
        """All outer halves of tiles [tile, dim] that fit, at most `block` candidates at a time, tile after tile."""
        left = -(-self.bounds // tiles)
        splits = [self._splits(d, left[:, d]) for d in range(len(DIMS))]
        radix = np.stack([sizes for _, _, sizes in splits])
        ends = np.cumsum(radix.prod(axis=0))
        for start in range(0, int(ends[-1]), block):
            place = np.arange(start, min(start + block, int(ends[-1])))
            group = np.searchsorted(ends, place, side="right")
            rest = place - np.where(group > 0, ends[group - 1], 0)
            factors = np.ones((self.cut + 1, len(DIMS), len(place)), np.int64)
            factors[-1] = tiles[group].T
            inside = np.ones((self.cut + 2, len(DIMS), len(place)), np.int64)
            inside[:-1] = factors[-1]
            for d in range(len(DIMS) - 1, -1, -1):
                options, first, sizes = splits[d]
                if (left[:, d] > 1).any():
                    factors[:-1, d] = options.T[:, first[group] + rest % sizes[group]]
                    for b in range(self.cut - 1, -1, -1):
                        np.multiply(inside[b + 1, d], factors[b, d], out=inside[b, d])
                    rest = rest // sizes[group]
            good = np.ones(len(place), bool)
            for level, at in enumerate(self.hierarchy.place):
                if at < self.cut and np.isfinite(self.machine.capacity_bits[level]):
                    bits = _tile_bits(self.problem, inside[at].T, self.hierarchy, self.machine, level)
                    good &= bits <= self.machine.capacity_bits[level] * SLACK
            if good.any():
                yield Halves(factors, inside, group).take(good)

    def _nest(self, halves: Halves, orders: tuple[tuple[str, ...], ...]) -> Nest:
        rows_first = (halves.by_block.transpose(2, 0, 1), halves.inside.transpose(2, 0, 1))
        return Nest(self.problem, self.hierarchy, rows_first[0], orders, rows_first[1])

    def pairs(self, depth: int) -> list[tuple[int, int, int]]:
        """(operand, level, child) of the pairs that the orders of the first `depth` + 1 temporal blocks settle."""
        temporal = [b for b in range(self.cut) if not self.hierarchy.blocks[b].spatial]
        return [
            (operand, level, child)
            for operand in range(3)
            for level, child in self.hierarchy.pairs(operand)
            if child >= 0 and (end := self.hierarchy.place[child]) < self.cut
            and sum(b < end for b in temporal) == depth + 1
        ]  # fmt: skip

    def least(self, depth: int) -> Array:
        """What the pairs that later blocks settle cost at least: every word once."""
        total = np.zeros(len(self.prices.per_instance))
        for later in range(depth, self.cut):
            for operand, level, child in self.pairs(later):
                key = (operand, level, child)
                words = self.problem.touched_inputs if operand == 1 else self.problem.words[operand]
                total += words * (self.prices.asked[key] + self.prices.arrived[key])
                if operand == OUTPUT:
                    total -= words * self.prices.first[key]
        return total

    def costs(self, halves: Halves, orders: tuple[tuple[str, ...], ...], depth: int) -> tuple[Array, Array]:
        """(costs [1 + resource, k], words of first tiles [k, operand]) of the pairs settled at this depth."""
        nest = self._nest(halves, orders)
        total = np.zeros((len(self.prices.per_instance), len(halves)))
        first_tiles = np.zeros((len(halves), 3))
        for operand, level, child in self.pairs(depth):
            end = self.hierarchy.place[child]
            steps = outer_steps(nest, operand, end, latch=True)
            words = steps.kept * self.problem.words[operand]
            if operand == 1:
                words = input_words(nest, nest.inside[:, end], steps) * steps.kept
            key = (operand, level, child)
            price = self.prices.asked[key] + self.prices.arrived[key]
            for r in np.flatnonzero(price):
                total[r] += words * price[r]
            if operand == OUTPUT:
                total -= (self.problem.words[OUTPUT] * self.prices.first[key])[:, None]
            if level == 0 and self.machine.fill_drain:
                held = np.minimum(nest.inside[:, end], self.bounds)
                first_tiles[:, operand] = _operand_words(self.problem, held, operand)
        return total, first_tiles

    def features(self, halves: Halves, orders: tuple[tuple[str, ...], ...]) -> Array:
        """What the inner forms are multiplied with: [feature, k]."""
        nest = self._nest(halves, orders)
        out = np.zeros((FIXED_FEATURES + 2 * len(self.windows), len(halves)))
        out[0] = 1
        for operand in range(3):
            steps = outer_steps(nest, operand, self.cut, latch=True)
            out[1 + operand] = steps.kept
            if operand != 1:
                continue
            for place, window in enumerate(self.windows):
                loop = steps.slide.get(window)
                if loop is None:
                    continue
                d = DIM[window]
                sliding = np.where(loop > 1, steps.kept, 0)
                sweeps = -(-self.problem.bounds[d] // (halves.inside[self.cut, d] * loop))
                out[FIXED_FEATURES + 2 * place] = sliding
                out[FIXED_FEATURES + 2 * place + 1] = sliding * sweeps
        return out
