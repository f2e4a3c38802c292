"""Search for the best mapping: bounds first, then exact costs of what the bounds leave, until nothing is left.

Inner halves with the same tile form a group and share outer halves. A group, then an outer half with the
loop orders outside, then one with all its orders is dropped when even the cheapest inner half of its group
could not beat the best mapping found. Whatever is left is costed exactly, in blocks that stay in cache. So
the result is the optimum of the mapspace if the search ends before its time: `proven`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..accelerator import DIMS
from .groups import Group, objectives, stages
from .hierarchy import Hierarchy
from .inner import FIXED_FEATURES
from .linear import product
from .machine import Machine
from .mapping import Mapping
from .mapspace import Space, telling_orders
from .objective import Incumbent
from .orders import distinct_orders, loop_pattern
from .outer import Halves, Outer
from .problem import RELEVANT, Problem

__all__ = ["Found", "search"]

Array = NDArray[np.float64]
BLOCK = 20_000
FIRST = 64
ROUNDING = 1e-9


@dataclass
class Found:
    """What a search found and how: points of (energy pJ, cycles, (Mapping, Hierarchy)), best or all of a front.

    `bound`: nothing in the mapspace has a lower objective; it equals the best value where `proven`.
    """

    points: list[tuple[float, float, tuple[Mapping, Hierarchy]]] = field(default_factory=list)
    evaluated: int = 0
    proven: bool = False
    bound: float = 0.0
    value: float = float("inf")


@dataclass(frozen=True, eq=False)
class _Some:
    """Groups walked together: least[group], steps[group], floor[1 + resource, group]; `rest[depth]` is what the
    pairs of levels cost at least that temporal blocks from `depth` on settle.
    """

    groups: list[Group]
    outer: Outer
    temporal: list[int]
    least: Array
    steps: Array
    floor: Array
    rest: list[Array]


def search(
    problem: Problem,
    space: Space,
    machine: Machine,
    objective: str = "energy",
    *,
    budget_s: float | None = None,
    prune: bool = True,
) -> Found:
    """The best mapping of a layer in a mapspace. `prune=False` costs every one in its telling orders.

    An empty `points` means that nothing fits. `budget_s` are CPU seconds after which the best so far is
    returned with `proven` false and `bound` what the groups not looked at could still reach.
    """
    incumbent, found = Incumbent(objective), Found()
    start = time.process_time()
    walk = _Walk(problem, space, machine, incumbent, found, prune)
    found.proven = True
    for groups in stages(problem, space, machine, incumbent, whole=not prune or budget_s is not None):
        for batch, end in _batches(groups, incumbent, prune):
            walk.batch(batch)
            if budget_s is not None and time.process_time() - start > budget_s:
                found.proven = end == len(groups)
                later = (incumbent.first_bound(g.energy, g.cycles) for g in groups[end:])
                found.bound = min(later, default=np.inf)
                break
    found.points, found.value = incumbent.points, incumbent.value
    found.bound = found.value if found.proven else min(found.bound, found.value)
    return found


def _batches(groups: list[Group], incumbent: Incumbent, prune: bool) -> Iterator[tuple[list[Group], int]]:
    """(groups that may still win, the first one not looked at yet): the best alone, then some 20,000 outer halves."""
    energy, cycles = (np.array([getattr(group, name) for group in groups]) for name in ("energy", "cycles"))
    number = np.zeros(len(groups), np.int64)
    for outer in {id(group.outer): group.outer for group in groups}.values():
        places = [place for place, group in enumerate(groups) if group.outer is outer]
        number[places] = outer.numbers(np.stack([groups[place].first_tile for place in places]))
    place = 0
    while place < len(groups):
        left = np.arange(place, len(groups))
        if prune:
            left = left[incumbent.may_win(energy[place:], cycles[place:])]
        held = np.cumsum(number[left])
        count = 1 if not place else int(np.searchsorted(held, BLOCK)) + 1
        place = int(left[count]) if count < len(left) else len(groups)
        if len(left):
            yield [groups[at] for at in left[:count]], place


class _Walk:
    """Stages of one block: outer orders, then all orders, then every inner half, bounds before each."""

    def __init__(self, problem: Problem, space: Space, machine: Machine, incumbent: Incumbent, found: Found,
                 prune: bool) -> None:  # fmt: skip
        self.problem, self.space, self.machine = problem, space, machine
        self.incumbent, self.found, self.prune = incumbent, found, prune

    def batch(self, groups: list[Group]) -> None:
        """All mappings of some groups; those of one nest go together."""
        by_outer: dict[int, list[Group]] = {}
        for group in groups:
            by_outer.setdefault(id(group.outer), []).append(group)
        for some in by_outer.values():
            for halves in some[0].outer.rows(np.stack([group.first_tile for group in some]), BLOCK):
                self._outer_orders(some, halves)

    def _outer_orders(self, groups: list[Group], halves: Halves) -> None:
        least = np.stack([group.least for group in groups])
        steps = np.array([group.steps for group in groups])
        outer, floor = groups[0].outer, self._floor(least).T
        temporal = [b for b in range(outer.cut) if not outer.hierarchy.blocks[b].spatial]
        rest = [outer.least(depth) for depth in range(len(temporal))]
        some = _Some(groups, outer, temporal, least, steps, floor, rest)
        parts = [halves]
        if self.prune:
            bound = self._any_order(halves, least, floor, outer)
            first = np.zeros(len(halves), bool)
            if len(halves) > FIRST:  # the most promising first: the best of them prunes the others
                key = self.incumbent.key(*objectives(bound, steps[halves.group], self.machine, self.problem))[0]
                first = key <= np.partition(key, FIRST)[FIRST]
            parts = (halves.take(part & self._may_win(bound, steps[halves.group])) for part in (first, ~first))
        for part in parts:
            if len(part):
                zero = np.zeros((len(least[0]), len(part)))
                self._descend(some, part, (), zero, np.zeros((len(part), 3)))

    def _descend(self, some: _Some, halves: Halves, chosen: tuple[tuple[str, ...], ...], costs: Array, tiles: Array
                 ) -> None:  # fmt: skip
        """The orders of the next block; `costs` [1 + resource, k] and first `tiles` that outer blocks settle."""
        depth = len(chosen)
        block = some.temporal[depth]
        orders = tuple(telling_orders(self.space, block, self.problem))
        new_by_order = np.ones((len(orders), len(halves)), bool)
        if self.prune:
            new_by_order = distinct_orders(orders)[:, loop_pattern(halves.by_block[block])]
        for order, new in zip(orders, new_by_order, strict=True):
            if not new.any():
                continue
            left, so_far, held, picked = halves.take(new), costs[:, new], tiles[new], (*chosen, order)
            if depth + 1 == len(some.temporal):
                self._last(some, left, picked, so_far, held)
                continue
            settled, first = some.outer.costs(left, picked, depth)
            so_far, held = so_far + settled, held + first
            bound = so_far + (some.rest[depth + 1][:, None] + some.floor[:, left.group])
            keep = self._may_win(bound, some.steps[left.group])
            if keep.any():
                self._descend(some, left.take(keep), picked, so_far[:, keep], held[keep])

    def _last(self, some: _Some, halves: Halves, orders: tuple[tuple[str, ...], ...], costs: Array, tiles: Array
              ) -> None:  # fmt: skip
        """All outer orders are chosen: bounds with the least of each coefficient, then exact costs."""
        edges = [0, *(np.flatnonzero(np.diff(halves.group)) + 1).tolist(), len(halves)]
        features = some.outer.features(halves, orders)
        bound = costs.copy()
        for first, end in pairwise(edges):
            bound[:, first:end] += product(some.least[halves.group[first]], features[:, first:end])
        rows = np.flatnonzero(self._may_win(bound, some.steps[halves.group]))
        if len(rows):
            self._inner(some.groups, halves, orders, costs, tiles, features, rows, bound)

    def _any_order(self, halves: Halves, least: Array, floor: Array, outer: Outer) -> Array:
        """Bounds [1 + resource, k] whatever the orders: each block's loops reuse one operand's tiles, not all three's.

        The loops of a block that do not index an operand repeat whatever of it is kept inside, unless they are
        the block's innermost; and only one operand's can be.
        """
        total = floor[:, halves.group] + outer.floor[:, None]
        inputs = least[:, :, 2] + self._floor(least) - least[:, :, :FIXED_FEATURES].sum(axis=2)
        inner = [least[:, :, 1].T, inputs.T, least[:, :, 3].T]
        if len(least) > 1:
            inner = [one[:, halves.group] for one in inner]
        for b in range(outer.cut):
            first, second, third = (
                (inner[o] + outer.crossing(o, b)[:, None]) * (self._repeats(halves.by_block[b], o, b) - 1)
                for o in range(3)
            )
            total += first + second + third - np.maximum(np.maximum(first, second), third)
        return total

    def _repeats(self, loops: Array, operand: int, b: int) -> Array | int:
        """Product of the loops [dim, k] of block b that do not index the operand."""
        total: Array | int = 1
        for d, dim in enumerate(DIMS):
            if not RELEVANT[operand, d] and self.problem.bounds[d] > 1 and dim in self.space.allowed[b]:
                total = total * loops[d]
        return total

    @staticmethod
    def _floor(least: Array) -> Array:
        """The least that inner halves cost: every loop reused, the best window slid."""
        plain = least[:, :, :FIXED_FEATURES].sum(axis=2)
        slides = least[:, :, FIXED_FEATURES::2] + least[:, :, FIXED_FEATURES + 1 :: 2]
        return plain + np.minimum(slides.min(axis=2), 0.0) if slides.shape[2] else plain

    def _may_win(self, costs: Array, steps: Array) -> NDArray[np.bool_]:
        if not self.prune:
            return np.ones(costs.shape[-1], bool)
        return self.incumbent.may_win(*objectives(costs, steps, self.machine, self.problem))

    def _inner(self, groups: list[Group], halves: Halves, orders: tuple[tuple[str, ...], ...], costs: Array,
               tiles: Array, features: Array, rows: NDArray[np.int64], bound: Array) -> None:  # fmt: skip
        """Exact costs of every pair of an outer half in `rows` and an inner half of its group."""
        by_group = halves.group[rows]
        change = np.flatnonzero(np.diff(by_group)) + 1
        parts = np.split(rows, change)
        if self.prune:  # the most promising group first: its best prunes the others
            parts.sort(key=lambda part: float(bound[0, part].min()))
        for part in parts:
            group = groups[int(halves.group[part[0]])]
            step = max(1, BLOCK // (group.rows.stop - group.rows.start))
            for start in range(0, len(part), step):
                some = part[start : start + step]
                if self.prune and start + len(parts) > 1:
                    some = some[self._may_win(bound[:, some], np.full(len(some), group.steps))]
                if len(some):
                    self._exact(group, halves, orders, costs[:, some], tiles[some], features[:, some], some)

    def _exact(self, group: Group, halves: Halves, orders: tuple[tuple[str, ...], ...], costs: Array, tiles: Array,
               features: Array, some: NDArray[np.int64]) -> None:  # fmt: skip
        form = group.inner.form[group.rows]
        j, r, f = form.shape
        whole = product(form.transpose(1, 0, 2).reshape(r * j, f), features).reshape(r, j, len(some))
        whole += costs[:, None]
        steps = group.inner.steps[group.rows]
        extra: Array | float = 0.0
        if self.machine.fill_drain:
            extra = self._fill_drain(group, tiles)
        energy, cycles = objectives(whole, steps[:, None], self.machine, self.problem, extra)
        self.found.evaluated += energy.size

        def describe(i: int) -> tuple[Mapping, Hierarchy]:
            inner, k = divmod(i, len(some))
            factors = np.concatenate(
                [halves.factors(int(some[k])), group.inner.factors[group.rows.start + inner]], axis=0
            )
            cut = group.outer.cut
            return Mapping(factors, (*orders, *group.inner.orders[cut:])), group.outer.hierarchy

        self.incumbent.offer(energy.ravel(), cycles.ravel(), describe)

    def _fill_drain(self, group: Group, tiles: Array) -> Array:
        """As charge() counts it: first tiles in, the last one out."""
        machine = self.machine
        reading = min(machine.read_bandwidth[0], machine.shared_bandwidth[0])
        writing = min(machine.write_bandwidth[0], machine.shared_bandwidth[0])
        rates = machine.word_bits[0] / np.array([reading, reading, writing])
        inside = group.inner.first_tiles[group.rows] @ rates
        return np.ceil(inside[:, None] + (tiles @ rates)[None] - ROUNDING)
