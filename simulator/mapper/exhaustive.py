"""Every mapping of a small mapspace, costed one by one: what the search is held against in tests."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod

import numpy as np

from ...models.errors import InputError
from ..accelerator import DIMS
from .charge import charge, fits
from .hierarchy import Hierarchy
from .machine import Machine
from .mapping import Mapping
from .mapspace import Space, all_orders, chains
from .objective import Incumbent
from .problem import Ints, Problem
from .search import BLOCK, Found
from .traffic import count_accesses

__all__ = ["exhaustive", "factorisations"]

LARGEST = 1 << 28


def factorisations(problem: Problem, space: Space) -> Iterator[Ints]:
    """All factors [m, block, dim] of a mapspace that fit the meshes, a block at a time."""
    blocks = space.hierarchy.blocks
    options = []
    for dim, bound in zip(DIMS, problem.bounds, strict=True):
        places = [b for b, dims in enumerate(space.allowed) if dim in dims]
        limits = [(blocks[b].spatial, blocks[b].size if blocks[b].spatial else bound) for b in places]
        found = [chain[1:] for chain in chains(bound, limits, ceil=space.ceil) if chain[0] == 1]
        column = np.ones((len(found), len(blocks)), np.int64)
        if places and found:
            column[:, places] = np.array(found)
        options.append(column)
    sizes = tuple(len(one) for one in options)
    if prod(sizes) > LARGEST:
        raise InputError("exhaustive", prod(sizes), f"at most {LARGEST} factorisations", "search instead")
    for start in range(0, prod(sizes), BLOCK):
        ids = np.unravel_index(np.arange(start, min(start + BLOCK, prod(sizes))), sizes)
        factors = np.stack([column[at] for column, at in zip(options, ids, strict=True)], axis=2)
        good = np.ones(len(factors), bool)
        for b in space.hierarchy.spatial:
            good &= factors[:, b].prod(axis=1) <= blocks[b].size
        if good.any():
            yield factors[good]


def exhaustive(problem: Problem, space: Space, machine: Machine, objective: str = "energy") -> Found:
    """The optimum by counting the accesses of every factorisation in every order and bypass: slow, plain."""
    incumbent, found = Incumbent(objective), Found()
    temporal = [b for b, block in enumerate(space.hierarchy.blocks) if not block.spatial]
    choices = list(product(*(all_orders(space, b) for b in temporal)))
    for factors in factorisations(problem, space):
        for hierarchy in space.hierarchies:
            for chosen in choices:
                orders: list[tuple[str, ...]] = [()] * len(hierarchy.blocks)
                for b, order in zip(temporal, chosen, strict=True):
                    orders[b] = order
                found.evaluated += _offer(problem, hierarchy, machine, factors, tuple(orders), incumbent)
    found.points, found.value, found.proven = incumbent.points, incumbent.value, True
    found.bound = found.value
    return found


def _offer(problem: Problem, hierarchy: Hierarchy, machine: Machine, factors: Ints,
           orders: tuple[tuple[str, ...], ...], incumbent: Incumbent) -> int:  # fmt: skip
    counts = count_accesses(problem, hierarchy, factors, orders)
    good = np.flatnonzero(fits(counts, machine))
    if len(good):
        cost = charge(counts, hierarchy, machine)
        incumbent.offer(
            cost.energy_pj[good], cost.cycles[good], lambda i: (Mapping(factors[good[i]], orders), hierarchy)
        )
    return len(good)
