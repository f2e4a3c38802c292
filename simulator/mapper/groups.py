"""Groups of inner halves with their bounds, in stages: those of few steps first, then what these leave.

Where cycles count, an inner half that leaves many steps cannot win once one with few is known: its energy is at
least that of the MACs, of the innermost reads and of every word brought once. So the first stage takes the inner
halves of nearly the fewest steps, and of all others only those are formed that this bound leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .hierarchy import Hierarchy
from .inner import FIXED_FEATURES, Inner, fitting_halves, inner_halves
from .linear import Prices, make_prices
from .machine import Machine
from .mapspace import Space
from .objective import Incumbent
from .outer import Outer
from .problem import Ints, Problem

__all__ = ["Group", "objectives", "stages"]

Array = NDArray[np.float64]
ROUNDING = 1e-9
NEAR = 1.1
OUTPUT = 2


@dataclass(frozen=True, eq=False)
class Group:
    """Inner halves that share a tile, their forms as one matrix, and the least of each coefficient."""

    inner: Inner
    outer: Outer
    rows: slice
    least: Array
    energy: float
    cycles: float
    steps: float

    @property
    def first_tile(self) -> Ints:
        """The tile [dim] that all its inner halves share."""
        return self.inner.tile[self.rows.start]


def stages(problem: Problem, space: Space, machine: Machine, incumbent: Incumbent, *, whole: bool
           ) -> Iterator[list[Group]]:  # fmt: skip
    """Groups, the most promising first; all at once where `whole`, or where the objective does not count cycles."""
    nests = []
    for hierarchy in space.hierarchies:
        prices = make_prices(hierarchy, machine)
        outer = Outer(problem, space, hierarchy, machine, prices)
        nests.append((hierarchy, prices, outer, *fitting_halves(problem, space, hierarchy, machine)))
    fewest = min((float(steps.min()) for *_, steps in nests if len(steps)), default=0.0)
    limits = (np.inf,) if whole or incumbent.objective in ("energy", "pareto") else (NEAR * fewest, np.inf)
    done = -1.0
    for limit in limits:
        groups: list[Group] = []
        for hierarchy, prices, outer, found, steps in nests:
            chosen = (steps > done) & (steps <= limit)
            if done >= 0:
                floor = np.full(len(steps), _least_pj(problem, hierarchy, prices, outer))
                costs = np.concatenate([floor[None], np.zeros((len(prices.per_instance) - 1, len(steps)))])
                chosen &= incumbent.may_win(*objectives(costs, steps, machine, problem))
            if chosen.any():
                groups += _groups(problem, space, machine, (hierarchy, prices, outer), found[chosen], steps[chosen])
        groups.sort(key=lambda group: incumbent.key(np.array(group.energy), np.array(group.cycles)))
        yield groups
        done = limit


def _least_pj(problem: Problem, hierarchy: Hierarchy, prices: Prices, outer: Outer) -> float:
    """Energy of any mapping without its MACs: every word over the outer levels once, a read or write for each MAC of
    the levels inside all arrays."""
    total = float(outer.floor[0])
    inside = max(hierarchy.spatial, default=-1)
    for operand in range(3):
        for level, child in hierarchy.pairs(operand):
            if child < 0 and hierarchy.place[level] > inside:
                key = (operand, level, child)
                each = float(prices.asked[key][0]) - (float(prices.first[key][0]) if operand == OUTPUT else 0.0)
                total += problem.macs * each
    return total


def _groups(problem: Problem, space: Space, machine: Machine, nest: tuple[Hierarchy, Prices, Outer], found: Ints,
            steps: Array) -> Iterator[Group]:  # fmt: skip
    hierarchy, prices, outer = nest
    for inner in inner_halves(problem, space, hierarchy, machine, prices, found, steps):
        begin = inner.starts[:-1]
        least = np.minimum.reduceat(inner.form, begin, axis=0)
        plain = inner.form[:, :, :FIXED_FEATURES].sum(axis=2)
        slides = inner.form[:, :, FIXED_FEATURES::2] + inner.form[:, :, FIXED_FEATURES + 1 :: 2]
        if slides.shape[2]:
            plain = plain + np.minimum(slides.min(axis=2), 0.0)
        costs = np.minimum.reduceat(plain, begin, axis=0) + outer.floor
        fewest = np.minimum.reduceat(inner.steps, begin)
        energy, cycles = objectives(costs.T, fewest, machine, problem)
        for g, (first, last) in enumerate(zip(inner.starts[:-1], inner.starts[1:], strict=True)):
            rows = slice(int(first), int(last))
            yield Group(inner, outer, rows, least[g], float(energy[g]), float(cycles[g]), float(fewest[g]))


def objectives(costs: Array, steps: Array, machine: Machine, problem: Problem, extra: Array | float = 0.0
                ) -> tuple[Array, Array]:  # fmt: skip
    """(energy pJ, cycles) from costs [1 + resource, ...] and steps [...]."""
    cycles = np.ceil(steps * float(machine.issued) / float(machine.macs_per_cycle) - ROUNDING)
    if len(costs) > 1:
        slowest = costs[1]
        for other in costs[2:]:
            slowest = np.maximum(slowest, other)
        cycles = np.maximum(cycles, np.ceil(slowest - ROUNDING))
    cycles = cycles + extra
    fixed = problem.macs * float(machine.issued * machine.mac_pj + machine.gated * machine.gated_pj)
    leakage = float(machine.leakage_pj_per_cycle)
    return costs[0] + (fixed + cycles * leakage if leakage else fixed), cycles
