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
from itertools import product

import numpy as np
from numpy.typing import NDArray

from .hierarchy import Hierarchy
from .inner import FIXED_FEATURES, Inner, inner_halves
from .linear import Prices, make_prices
from .machine import Machine
from .mapping import Mapping
from .mapspace import Space, telling_orders
from .objective import Incumbent
from .outer import Halves, Outer
from .problem import Problem

__all__ = ["Found", "search"]

Array = NDArray[np.float64]
BLOCK = 20_000
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
class _Group:
    """Inner halves that share a tile, their forms as one matrix, and the least of each coefficient."""

    inner: Inner
    outer: Outer
    rows: slice
    least: Array
    energy: float
    cycles: float
    steps: float


def search(
    problem: Problem,
    space: Space,
    machine: Machine,
    objective: str = "energy",
    *,
    budget_s: float | None = None,
    prune: bool = True,
) -> Found:
    """The best mapping of a layer in a mapspace. `prune=False` costs every one that differs in reuse.

    An empty `points` means that nothing fits. `budget_s` are CPU seconds after which the best so far is
    returned with `proven` false and `bound` what the groups not looked at could still reach.
    """
    incumbent, found = Incumbent(objective), Found()
    start = time.process_time()
    groups = [
        group for hierarchy in space.hierarchies for group in _groups(problem, space, hierarchy, machine)
    ]
    groups.sort(key=lambda group: incumbent.key(np.array(group.energy), np.array(group.cycles)))
    walk = _Walk(problem, space, machine, incumbent, found, prune)
    waiting: list[tuple[_Group, Halves]] = []
    held = 0
    found.proven = True
    for place, group in enumerate(groups):
        if prune and not incumbent.may_win(np.array([group.energy]), np.array([group.cycles]))[0]:
            continue
        for halves in group.outer.rows(group.inner.tile[group.rows.start], 0, BLOCK):
            waiting.append((group, halves))
            held += len(halves)
            if held >= BLOCK or place < 1:
                walk.block(waiting)
                waiting, held = [], 0
        if budget_s is not None and time.process_time() - start > budget_s:
            found.proven = place == len(groups) - 1
            found.bound = min((incumbent.first_bound(g.energy, g.cycles) for g in groups[place + 1 :]), default=np.inf)
            break
    walk.block(waiting)
    found.points, found.value = incumbent.points, incumbent.value
    found.bound = found.value if found.proven else min(found.bound, found.value)
    return found


def _groups(problem: Problem, space: Space, hierarchy: Hierarchy, machine: Machine) -> Iterator[_Group]:
    prices = make_prices(hierarchy, machine)
    outer = Outer(problem, space, hierarchy, machine, prices)
    floor = _outer_floor(problem, hierarchy, prices)
    for inner in inner_halves(problem, space, hierarchy, machine, prices):
        begin = inner.starts[:-1]
        least = np.minimum.reduceat(inner.form, begin, axis=0)
        plain = inner.form[:, :, :FIXED_FEATURES].sum(axis=2)
        slides = inner.form[:, :, FIXED_FEATURES::2] + inner.form[:, :, FIXED_FEATURES + 1 :: 2]
        if slides.shape[2]:
            plain = plain + np.minimum(slides.min(axis=2), 0.0)
        costs = np.minimum.reduceat(plain, begin, axis=0) + floor
        steps = np.minimum.reduceat(inner.steps, begin)
        energy, cycles = _objectives(costs, steps, machine, problem)
        for g, (first, last) in enumerate(zip(inner.starts[:-1], inner.starts[1:], strict=True)):
            rows = slice(int(first), int(last))
            yield _Group(inner, outer, rows, least[g], float(energy[g]), float(cycles[g]), float(steps[g]))


def _outer_floor(problem: Problem, hierarchy: Hierarchy, prices: Prices) -> Array:
    """Every word crosses each pair of outer levels at least once; an input's window slides at best."""
    total = np.zeros(len(prices.per_instance))
    for operand in range(3):
        for level, child in hierarchy.pairs(operand):
            key = (operand, level, child)
            if child >= 0 and not any(b < hierarchy.place[child] for b in hierarchy.spatial):
                words = _compulsory(problem) if operand == 1 else problem.words[operand]
                total += words * (prices.asked[key] + prices.arrived[key])
                if operand == 2:
                    total -= words * prices.first[key]
    return total


def _compulsory(problem: Problem) -> float:
    """Input words that the loops touch: less than the bounding box where the stride skips rows or columns."""
    n, g, _, c, p, q, r, s = problem.bounds
    touched = []
    for slid, kernel, axis in ((p, r, 0), (q, s, 1)):
        step, gap = problem.stride[axis], problem.dilation[axis]
        touched.append(len(np.unique(np.add.outer(np.arange(slid) * step, np.arange(kernel) * gap))))
    return float(n * g * c * touched[0] * touched[1])


def _objectives(costs: Array, steps: Array, machine: Machine, problem: Problem, extra: Array | float = 0.0
                ) -> tuple[Array, Array]:  # fmt: skip
    """(energy pJ, cycles) from costs [..., 1 + resource] and steps [...]."""
    cycles = np.ceil(steps * float(machine.issued) / float(machine.macs_per_cycle) - ROUNDING)
    if costs.shape[-1] > 1:
        cycles = np.maximum(cycles, np.ceil(costs[..., 1:].max(axis=-1) - ROUNDING))
    cycles = cycles + extra
    macs = problem.macs * float(machine.issued * machine.mac_pj + machine.gated * machine.gated_pj)
    return costs[..., 0] + macs + cycles * float(machine.leakage_pj_per_cycle), cycles


class _Walk:
    """Stages of one block: outer orders, then all orders, then every inner half, bounds before each."""

    def __init__(self, problem: Problem, space: Space, machine: Machine, incumbent: Incumbent, found: Found,
                 prune: bool) -> None:  # fmt: skip
        self.problem, self.space, self.machine = problem, space, machine
        self.incumbent, self.found, self.prune = incumbent, found, prune

    def block(self, waiting: list[tuple[_Group, Halves]]) -> None:
        by_outer: dict[int, list[tuple[_Group, Halves]]] = {}
        for group, halves in waiting:
            by_outer.setdefault(id(group.inner), []).append((group, halves))
        for pairs in by_outer.values():
            groups = [group for group, _ in pairs]
            number = np.repeat(np.arange(len(pairs)), [len(halves) for _, halves in pairs])
            halves = Halves(
                np.concatenate([h.factors for _, h in pairs]), np.concatenate([h.inside for _, h in pairs]), number
            )
            self._outer_orders(groups, halves)

    def _outer_orders(self, groups: list[_Group], halves: Halves) -> None:
        outer = groups[0].outer
        temporal = [b for b in range(outer.cut) if not outer.hierarchy.blocks[b].spatial]
        choices = [telling_orders(self.space, b) for b in temporal]
        least = np.stack([group.least for group in groups])
        steps = np.array([group.steps for group in groups])
        floor = self._floor(least)
        for chosen in product(*choices[:-1]):
            costs, tiles = outer.costs(halves, (*chosen, ()))
            keep = self._may_win(costs + floor[halves.group], steps[halves.group])
            if not keep.any():
                continue
            some, some_costs, some_tiles = halves.take(keep), costs[keep], tiles[keep]
            for last in choices[-1]:
                orders = (*chosen, last)
                features = outer.features(some, orders)
                bound = some_costs + np.einsum("krf,kf->kr", least[some.group], features)
                rows = np.flatnonzero(self._may_win(bound, steps[some.group]))
                if len(rows):
                    self._inner(groups, some, orders, some_costs, some_tiles, features, rows, bound)

    @staticmethod
    def _floor(least: Array) -> Array:
        """The least that inner halves cost: every loop reused, the best window slid."""
        plain = least[:, :, :FIXED_FEATURES].sum(axis=2)
        slides = least[:, :, FIXED_FEATURES::2] + least[:, :, FIXED_FEATURES + 1 :: 2]
        return plain + np.minimum(slides.min(axis=2), 0.0) if slides.shape[2] else plain

    def _may_win(self, costs: Array, steps: Array) -> NDArray[np.bool_]:
        if not self.prune:
            return np.ones(len(costs), bool)
        return self.incumbent.may_win(*_objectives(costs, steps, self.machine, self.problem))

    def _inner(self, groups: list[_Group], halves: Halves, orders: tuple[tuple[str, ...], ...], costs: Array,
               tiles: Array, features: Array, rows: NDArray[np.int64], bound: Array) -> None:  # fmt: skip
        """Exact costs of every pair of an outer half in `rows` and an inner half of its group."""
        by_group = halves.group[rows]
        change = np.flatnonzero(np.diff(by_group)) + 1
        parts = np.split(rows, change)
        if self.prune:  # the most promising group first: its best prunes the others
            parts.sort(key=lambda part: float(bound[part, 0].min()))
        for part in parts:
            group = groups[int(halves.group[part[0]])]
            step = max(1, BLOCK // (group.rows.stop - group.rows.start))
            for start in range(0, len(part), step):
                some = part[start : start + step]
                if self.prune and start + len(parts) > 1:
                    some = some[self._may_win(bound[some], np.full(len(some), group.steps))]
                if len(some):
                    self._exact(group, halves, orders, costs[some], tiles[some], features[some], some)

    def _exact(self, group: _Group, halves: Halves, orders: tuple[tuple[str, ...], ...], costs: Array, tiles: Array,
               features: Array, some: NDArray[np.int64]) -> None:  # fmt: skip
        form = group.inner.form[group.rows]
        j, r, f = form.shape
        whole = (form.reshape(j * r, f) @ features.T).reshape(j, r, len(some)) + costs.T[None]
        steps = group.inner.steps[group.rows]
        extra: Array | float = 0.0
        if self.machine.fill_drain:
            extra = self._fill_drain(group, tiles)
        energy, cycles = _objectives(np.moveaxis(whole, 1, -1), steps[:, None], self.machine, self.problem, extra)
        self.found.evaluated += energy.size

        def describe(i: int) -> tuple[Mapping, Hierarchy]:
            inner, k = divmod(i, len(some))
            factors = np.concatenate(
                [halves.factors[some[k], :-1], group.inner.factors[group.rows.start + inner]], axis=0
            )
            cut = group.outer.cut
            return Mapping(factors, (*orders, *group.inner.orders[cut:])), group.outer.hierarchy

        self.incumbent.offer(energy.ravel(), cycles.ravel(), describe)

    def _fill_drain(self, group: _Group, tiles: Array) -> Array:
        """As charge() counts it: first tiles in, the last one out."""
        machine = self.machine
        reading = min(machine.read_bandwidth[0], machine.shared_bandwidth[0])
        writing = min(machine.write_bandwidth[0], machine.shared_bandwidth[0])
        rates = machine.word_bits[0] / np.array([reading, reading, writing])
        inside = group.inner.first_tiles[group.rows] @ rates
        return np.ceil(inside[:, None] + (tiles @ rates)[None] - ROUNDING)
