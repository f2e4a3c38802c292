"""The search against every mapping of small mapspaces, one by one: optimum, front, proof, what it reports."""

from __future__ import annotations

from random import Random
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from picojoule.models.loops import LoopBounds
from picojoule.simulator.accelerator import DIMS, AcceleratorTarget
from picojoule.simulator.mapper.charge import charge, fits
from picojoule.simulator.mapper.exhaustive import exhaustive
from picojoule.simulator.mapper.hierarchy import make_hierarchy
from picojoule.simulator.mapper.mapspace import space_size
from picojoule.simulator.mapper.objective import OBJECTIVES
from picojoule.simulator.mapper.orders import distinct_orders, loop_pattern
from picojoule.simulator.mapper.problem import Problem
from picojoule.simulator.mapper.search import search
from picojoule.simulator.mapper.traffic import count_accesses
from picojoule.simulator.target import load_target

CONV3 = LoopBounds(N=4, K=384, C=256, P=13, Q=13, R=3, S=3)


@pytest.mark.parametrize("seed", range(12))
def test_the_search_finds_what_exhaustion_finds(seed: int, mapper_cases: ModuleType) -> None:
    """Random nests, networks, bypasses, ceilings, bandwidths: same optimum or front, and its cost recounted."""
    random = Random(seed)
    problem, space = mapper_cases.random_problem(random, 4), mapper_cases.random_space(random, 3)
    machine = mapper_cases.random_machine(random)
    if space_size(space, problem) > 20_000:
        problem, space = mapper_cases.random_problem(random, 2), mapper_cases.random_space(random, 3)
    for objective in OBJECTIVES:
        found, all_of_them = (run(problem, space, machine, objective) for run in (search, exhaustive))
        assert found.proven
        assert len(found.points) == len(all_of_them.points)
        for (energy, cycles, (mapping, hierarchy)), other in zip(found.points, all_of_them.points, strict=True):
            assert (energy, cycles) == pytest.approx(other[:2], rel=1e-11)
            counts = count_accesses(problem, hierarchy, mapping.factors[None], mapping.orders)
            cost = charge(counts, hierarchy, machine)
            assert fits(counts, machine).all()
            assert cost.energy_pj[0] == pytest.approx(energy, rel=1e-11)
            assert cost.cycles[0] == cycles


@settings(max_examples=100)
@given(st.data())
def test_orders_said_to_be_the_same_count_the_same(data: st.DataObject) -> None:
    """Orders of one block that `distinct_orders` drops have the traffic of one that it keeps."""
    target = load_target("nvdla-small")
    assert isinstance(target, AcceleratorTarget)
    hierarchy = make_hierarchy(target)
    sizes = [data.draw(st.sampled_from([1, 2, 3]), label=dim) for dim in DIMS]
    others = [data.draw(st.sampled_from([1, 2]), label=f"outside {dim}") for dim in DIMS]
    problem = Problem(tuple(a * b for a, b in zip(sizes, others, strict=True)))
    factors = np.ones((1, len(hierarchy.blocks), len(DIMS)), np.int64)
    factors[0, 1], factors[0, 0] = sizes, others
    orders = tuple(data.draw(st.lists(st.permutations(DIMS).map(tuple), min_size=2, max_size=6, unique=True)))
    kept = distinct_orders(orders)[:, loop_pattern(factors[0, 1][:, None])[0]]

    def counted(order: tuple[str, ...]) -> bytes:
        counts = count_accesses(problem, hierarchy, factors, ((), order, *[()] * (len(hierarchy.blocks) - 2)))
        return b"".join(getattr(counts, name).tobytes() for name in ("reads", "updates", "fills"))

    seen = {counted(order) for order, keep in zip(orders, kept, strict=True) if keep}
    assert {counted(order) for order in orders} == seen
