"""Energy against the size of one buffer, where a larger memory costs more for each access: a U."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...models.errors import InputError
from ...models.loops import LoopBounds
from ..accelerator import AcceleratorTarget
from ..sram_fit import FITS, sram_cost
from .machine import make_machine
from .result import MappingResult, best_mapping

__all__ = ["BufferPoint", "buffer_sweep"]


@dataclass(frozen=True)
class BufferPoint:
    """One size: what an access of the fitted memory costs, and the best mapping with it."""

    capacity_bits: float
    read_pj: float
    write_pj: float
    result: MappingResult


def buffer_sweep(
    bounds: LoopBounds,
    target: AcceleratorTarget,
    level: str,
    capacities_bits: Sequence[float],
    *,
    fit: str = "cacti-lstp",
    objective: str = "energy",
) -> list[BufferPoint]:
    """The best mapping of a layer for each size of a level, with access energies from the size (sram_fit.py).

    A small buffer sends more to the outer levels, a large one costs more per access: in between the energy
    is least. Sizes that the layer does not fit are left out. Raises InputError for a level that is not there.
    """
    names = [one.name for one in target.levels[1:]]
    if level not in names or fit not in FITS or target.node_nm is None:
        raise InputError("buffer_sweep", f"{level}, {fit}, node {target.node_nm}", f"a level among {', '.join(names)}, "
                         f"a fit among {', '.join(FITS)}, and a target with node_nm")  # fmt: skip
    place = 1 + names.index(level)
    points = []
    for capacity in capacities_bits:
        cost = sram_cost(fit, capacity, target.levels[place].width_bits, target.node_nm.value)
        machine = make_machine(target)
        read, write, room = machine.read_pj.copy(), machine.write_pj.copy(), machine.capacity_bits.copy()
        read[place], write[place], room[place] = cost.read_pj, cost.write_pj, capacity
        machine = replace(machine, read_pj=read, write_pj=write, capacity_bits=room)
        try:
            found = best_mapping(bounds, target, objective, machine=machine)
        except InputError:
            continue
        points.append(BufferPoint(float(capacity), cost.read_pj, cost.write_pj, found))
    return points
