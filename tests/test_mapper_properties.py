"""What holds for every layer and accelerator at the optimum, at fixed energy per access."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from picojoule.simulator.mapper.charge import charge
from picojoule.simulator.mapper.machine import Machine
from picojoule.simulator.mapper.mapspace import Space
from picojoule.simulator.mapper.problem import Problem
from picojoule.simulator.mapper.search import Found, search
from picojoule.simulator.mapper.traffic import count_accesses

SEEDS = st.integers(0, 1 << 30)
ALWAYS = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


def case(seed: int, cases: ModuleType) -> tuple[Problem, Space, Machine]:
    random = Random(seed)
    return cases.random_problem(random), cases.random_space(random), cases.random_machine(random)


def not_worse(first: Found, second: Found) -> bool:
    """Whether the second optimum is at most the first; without any mapping at all nothing is claimed."""
    return not first.points or (bool(second.points) and second.value <= first.value * (1 + 1e-12))


@ALWAYS
@given(seed=SEEDS, objective=st.sampled_from(["energy", "latency", "edp"]), level=st.integers(1, 4))
def test_a_larger_buffer_never_costs_more(seed: int, objective: str, level: int, mapper_cases: ModuleType) -> None:
    problem, space, machine = case(seed, mapper_cases)
    larger = machine.capacity_bits.copy()
    larger[level] *= 2
    roomier = replace(machine, capacity_bits=larger)
    assert not_worse(search(problem, space, machine, objective), search(problem, space, roomier, objective))


@ALWAYS
@given(seed=SEEDS, objective=st.sampled_from(["energy", "latency", "edp"]), factor=st.floats(1, 8))
def test_more_bandwidth_never_costs_more(seed: int, objective: str, factor: float, mapper_cases: ModuleType) -> None:
    problem, space, machine = case(seed, mapper_cases)
    faster = replace(machine, read_bandwidth=machine.read_bandwidth * factor,
                     write_bandwidth=machine.write_bandwidth * factor)  # fmt: skip
    assert not_worse(search(problem, space, machine, objective), search(problem, space, faster, objective))


@ALWAYS
@given(seed=SEEDS, objective=st.sampled_from(["energy", "latency", "edp"]), operand=st.integers(0, 2),
       bits=st.integers(1, 16))  # fmt: skip
def test_fewer_value_bits_never_cost_more(
    seed: int, objective: str, operand: int, bits: int, mapper_cases: ModuleType
) -> None:
    problem, space, machine = case(seed, mapper_cases)
    words = machine.word_bits.copy()
    words[:, operand] = bits
    narrower = replace(machine, word_bits=words)
    assert not_worse(search(problem, space, machine, objective), search(problem, space, narrower, objective))


@ALWAYS
@given(seed=SEEDS, objective=st.sampled_from(["energy", "latency", "edp"]), dim=st.sampled_from("NKCPQRS"))
def test_relaxing_a_constraint_never_worsens_the_optimum(
    seed: int, objective: str, dim: str, mapper_cases: ModuleType
) -> None:
    problem, space, machine = case(seed, mapper_cases)
    wider = replace(space, allowed=tuple(
        (*dims, dim) if place < 2 and dim not in dims else dims for place, dims in enumerate(space.allowed)
    ))  # fmt: skip
    assert not_worse(search(problem, space, machine, objective), search(problem, wider, machine, objective))


@ALWAYS
@given(seed=SEEDS)
def test_traffic_energy_and_utilisation_add_up(seed: int, mapper_cases: ModuleType) -> None:
    """At the optimum: compulsory traffic over each boundary, energy by level sums to the total, at most 100 % used."""
    problem, space, machine = case(seed, mapper_cases)
    found = search(problem, space, machine)
    for energy, cycles, (mapping, hierarchy) in found.points:
        counts = count_accesses(problem, hierarchy, mapping.factors[None], mapping.orders)
        cost = charge(counts, hierarchy, machine)
        touched = (problem.words[0], problem.touched_inputs, problem.words[2])
        for operand in range(3):
            for level, child in hierarchy.pairs(operand):
                moved = counts.updates if operand == 2 else counts.reads
                assert moved[0, level, operand] >= touched[operand] or child < 0
                if child >= 0:
                    assert counts.fills[0, child, operand] >= touched[operand]
        parts = cost.access_pj[0].sum() + cost.transfer_pj[0].sum() + float(cost.mac_pj) + cost.leakage_pj[0]
        assert parts == pytest.approx(energy, rel=1e-12)
        mesh = np.prod([block.size for block in hierarchy.blocks if block.spatial])
        assert problem.macs <= cycles * mesh
