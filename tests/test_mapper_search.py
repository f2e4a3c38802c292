"""The search against every mapping of small mapspaces, one by one: optimum, front, proof, what it reports."""

from __future__ import annotations

from random import Random
from types import ModuleType

import pytest

from picojoule.models.loops import LoopBounds
from picojoule.simulator.mapper.charge import charge, fits
from picojoule.simulator.mapper.exhaustive import exhaustive
from picojoule.simulator.mapper.mapspace import space_size
from picojoule.simulator.mapper.objective import OBJECTIVES
from picojoule.simulator.mapper.search import search
from picojoule.simulator.mapper.traffic import count_accesses

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
