"""best_mapping and evaluate_mapping: one layer on one accelerator, with everything that was counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...models.errors import InputError
from ...models.loops import LoopBounds
from ..accelerator import AcceleratorTarget
from .charge import charge, fits
from .hierarchy import Hierarchy, make_hierarchy
from .machine import Machine, make_machine
from .mapping import Mapping, format_mapping, parse_mapping
from .mapspace import Space, chains, make_space, space_size
from .problem import Ints, Problem, make_problem
from .search import Found, search
from .traffic import count_accesses

__all__ = ["FrontPoint", "MappingResult", "best_mapping", "evaluate_mapping"]

Array = NDArray[np.float64]
CACHED_LAYERS = 4096


@dataclass(frozen=True)
class FrontPoint:
    """One mapping that no other one beats in both energy and cycles."""

    energy_pj: float
    cycles: float
    mapping: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class MappingResult:
    """One mapping of one layer. Words are summed over all instances of a level: [level, operand].

    Operands are weight, input, output; levels run from the outermost inwards. `access_pj[level, operand]`,
    `transfer_pj[array]`, `mac_pj` and `leakage_pj` sum to `energy_pj`. `resource_cycles` by `resources`;
    `cycles` is their maximum, plus `fill_drain_cycles`. `mapspace_size` counts factorisations times loop
    orders before anything is checked; `evaluated` those that were costed exactly, the rest was pruned.
    `bound`: no mapping of the mapspace has a lower objective; `proven` says that this one reaches it.
    """

    problem: Problem
    levels: tuple[str, ...]
    mapping: tuple[str, ...]
    tile: Ints
    reads: Ints
    updates: Ints
    fills: Ints
    instances: Ints
    word_bits: Array
    access_pj: Array
    transfer_pj: Array
    mac_pj: float
    leakage_pj: float
    resources: tuple[str, ...]
    resource_cycles: Array
    fill_drain_cycles: float
    macs: int
    n_pe: int
    macs_per_cycle: float
    issued: float
    objective: str = "given"
    mapspace: str = ""
    mapspace_size: int = 1
    evaluated: int = 1
    proven: bool = False
    bound: float = 0.0
    value: float = 0.0
    front: tuple[FrontPoint, ...] = ()

    @property
    def energy_pj(self) -> float:
        return float(self.access_pj.sum() + self.transfer_pj.sum()) + self.mac_pj + self.leakage_pj

    @property
    def cycles(self) -> float:
        return float(self.resource_cycles.max()) + self.fill_drain_cycles

    @property
    def bound_by(self) -> str:
        """The resource that sets the cycles."""
        return self.resources[int(np.argmax(self.resource_cycles))]

    @property
    def utilization(self) -> float:
        """MACs issued over MACs that all PEs could issue in these cycles."""
        return self.macs * self.issued / (self.cycles * self.n_pe * self.macs_per_cycle)

    @property
    def pruned(self) -> int:
        return self.mapspace_size - self.evaluated

    @property
    def gap(self) -> float:
        """How far the objective may be above the best: value / bound - 1; 0 where proven."""
        return self.value / self.bound - 1 if self.bound > 0 else float("inf")


def _describe(
    problem: Problem, hierarchy: Hierarchy, machine: Machine, mapping: Mapping, where: str = ""
) -> MappingResult:
    counts = count_accesses(problem, hierarchy, mapping.factors[None], mapping.orders)
    if where and not fits(counts, machine).all():
        held = (counts.tile[0] * machine.word_bits).sum(axis=-1)
        over = int(np.argmax(held > machine.capacity_bits))
        raise InputError(
            f"{where}: {hierarchy.levels[over]}",
            f"tiles of {held[over]:.0f} bits",
            f"at most {machine.capacity_bits[over]:.0f} bits",
            "move loops to a level outside it",
        )
    cost = charge(counts, hierarchy, machine)
    return MappingResult(
        problem=problem,
        levels=hierarchy.levels,
        mapping=tuple(format_mapping(mapping, hierarchy)),
        tile=counts.tile[0],
        reads=counts.reads[0],
        updates=counts.updates[0],
        fills=counts.fills[0],
        instances=counts.instances[0],
        word_bits=machine.word_bits,
        access_pj=cost.access_pj[0],
        transfer_pj=cost.transfer_pj[0],
        mac_pj=float(cost.mac_pj),
        leakage_pj=float(cost.leakage_pj[0]),
        resources=cost.resources,
        resource_cycles=cost.resource_cycles[0],
        fill_drain_cycles=float(cost.fill_drain_cycles[0]),
        macs=counts.macs,
        n_pe=machine.n_pe,
        macs_per_cycle=float(machine.macs_per_cycle),
        issued=float(machine.issued),
    )


def evaluate_mapping(
    bounds: LoopBounds,
    target: AcceleratorTarget,
    lines: Sequence[str],
    *,
    machine: Machine | None = None,
    where: str = "mapping",
) -> MappingResult:
    """What a given mapping costs: `lines` such as "buffer: N4 P13", outermost block first.

    Raises InputError where it does not cover the layer, exceeds a mesh or fits no level.
    """
    problem, hierarchy = make_problem(bounds), make_hierarchy(target)
    mapping = parse_mapping(lines, hierarchy, problem, where)
    return _describe(problem, hierarchy, machine or make_machine(target), mapping, where)


def best_mapping(
    bounds: LoopBounds,
    target: AcceleratorTarget,
    objective: str = "energy",
    *,
    mapspace: str | None = None,
    machine: Machine | None = None,
    budget_s: float | None = None,
    where: str = "layer",
) -> MappingResult:
    """The best mapping of a layer for "energy", "latency", "edp", or of least energy with the whole front, "pareto".

    `machine` (make_machine(target, ...)) sets precision, compressed word sizes and the share of MACs
    issued. Layers that are the same to the mapper are solved once in a process. Raises InputError where
    nothing in the mapspace fits.
    """
    problem = make_problem(bounds)
    machine = machine or make_machine(target)
    key = msgspec.json.encode((target, mapspace, objective, budget_s))
    found, size, space = _solved(problem, key, _Same(machine), target.name)
    if not found.points:
        raise InputError(where, _why_nothing_fits(problem, space, machine), f"a mapping in mapspace {space.name} of "
                         f"{target.name}", "another mapspace, or a smaller layer")  # fmt: skip
    _, _, (mapping, hierarchy) = min(found.points, key=lambda point: point[0])
    front = tuple(
        FrontPoint(energy, cycles, tuple(format_mapping(one, nest))) for energy, cycles, (one, nest) in found.points
    )
    return replace(
        _describe(problem, hierarchy, machine, mapping),
        objective=objective, mapspace=space.name, mapspace_size=size, evaluated=found.evaluated,
        proven=found.proven, bound=found.bound, value=found.value, front=front,
    )  # fmt: skip


class _Same:
    """A machine that is equal to another of the same numbers, so that results can be kept."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        values = (getattr(machine, name) for name in Machine.__dataclass_fields__)
        self.key = tuple(value.tobytes() if isinstance(value, np.ndarray) else value for value in values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@lru_cache(CACHED_LAYERS)
def _solved(problem: Problem, key: bytes, same: _Same, name: str) -> tuple[Found, int, Space]:
    target, mapspace, objective, budget_s = msgspec.json.decode(
        key, type=tuple[AcceleratorTarget, str | None, str, float | None]
    )
    assert target.name == name
    space = make_space(target, mapspace)
    return search(problem, space, same.machine, objective, budget_s=budget_s), space_size(space, problem), space


def _why_nothing_fits(problem: Problem, space: Space, machine: Machine) -> str:
    """The dim that cannot be laid out, or the levels that hold not even the smallest tiles."""
    from .inner import fitting_halves

    blocks = space.hierarchy.blocks
    for dim, bound in zip("NGKCPQRS", problem.bounds, strict=True):
        places = [b for b, dims in enumerate(space.allowed) if dim in dims]
        limits = [(blocks[b].spatial, blocks[b].size if blocks[b].spatial else bound) for b in places]
        if not any(chain[0] == 1 for chain in chains(bound, limits, ceil=space.ceil)):
            names = ", ".join(blocks[b].name for b in places) or "no block"
            return f"{dim} = {bound}, which may loop in {names} only"
    small = []
    for level, name in enumerate(space.hierarchy.levels):
        alone = np.full(len(machine.capacity_bits), np.inf)
        alone[level] = machine.capacity_bits[level]
        only = replace(machine, capacity_bits=alone)
        if not len(fitting_halves(problem, space, space.hierarchy, only)[0]):
            small.append(name)
    return f"tiles that do not fit {', '.join(small) or 'all levels together'}"
