"""Pooling, sums and activations on a mapped accelerator: streamed through a unit that its file describes.

A layer without weights reads its inputs from the outermost memory, passes the unit, and is written back:

    cycles = max(elements / elements_per_cycle, bits / bandwidth of the outermost memory)

`elements` of a pooling layer are its inputs (or outputs, where more), of any other its outputs. An activation
right behind a layer of the same unit runs in the same pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from ...models.loops import LoopBounds
from ...models.ops import ACTIVATIONS
from ..accelerator import AcceleratorTarget, Unit
from ..mapper import make_machine
from ..terms import Component, Formula, Quantity, Term, Traffic
from ..workload import Workload

__all__ = ["FORMULAS", "Streamed", "product_bounds", "stream_layers"]

Array = NDArray[np.float64]
SOURCE = "elements through the unit that the target describes"
TIME = Formula(
    "accelerator.unit_time",
    "max(elements / elements per cycle, bits / bandwidth of the outermost memory) / clock",
    SOURCE,
    "X13: layers without weights stream from and to the outermost memory through their unit, one after another",
)
ACCESS = Formula("accelerator.unit_access_energy", "bits x energy per bit of the outermost memory", SOURCE, "X13")
PASS = Formula("accelerator.unit_energy", "elements x energy per element", SOURCE, "X13")
LEAKAGE = Formula("accelerator.unit_leakage", "leakage power x time", SOURCE, "X13")
MATMUL = "X14: a product of two activations is mapped as a layer whose weights are one of them, one group a matrix"
FORMULAS = (TIME, ACCESS, PASS, LEAKAGE)


def product_bounds(kind: str, bounds: LoopBounds, output: tuple[int, ...], repeats: int) -> LoopBounds:
    """Loops of a layer for the mapper, the batch in them.

    A product of two activations is a layer whose weights are one of them: one group for each matrix, as
    none is shared. [B, M, C] x [B, C, N] is N = M rows, groups = B, K = B N.

    >>> product_bounds("matmul", LoopBounds(N=8 * 10, K=64, C=32), (8, 10, 64), 1)
    LoopBounds(N=10, K=512, C=32, P=1, Q=1, R=1, S=1, groups=8, stride=(1, 1), dilation=(1, 1))
    """
    if kind != "matmul":
        return replace(bounds, N=bounds.N * repeats)
    *outer, rows, columns = output
    matrices = prod(outer) * repeats
    return LoopBounds(N=rows, K=matrices * columns, C=bounds.C, groups=matrices)


@dataclass(frozen=True)
class Streamed:
    """What the units add: which layers ran, their terms, traffic and bounds, [designs, layers]."""

    ran: NDArray[np.bool_]
    terms: tuple[Term, ...]
    traffic: tuple[Traffic, ...]
    bound_by: NDArray[np.str_]
    assumptions: tuple[str, ...]


def _units(workload: Workload, target: AcceleratorTarget) -> list[Unit | None]:
    return [next((unit for unit in target.units if kind in unit.kinds), None) for kind in workload.kinds]


def _behind(workload: Workload, units: list[Unit | None], place: int) -> bool:
    """Whether an activation follows a layer of the same unit and size: one pass does both."""
    if not place or workload.kinds[place] not in ACTIVATIONS or units[place] is not units[place - 1]:
        return False
    return bool(workload.output_elements[place - 1] == workload.input_elements[place])


def stream_layers(workload: Workload, target: AcceleratorTarget, shape: tuple[int, ...], energy: str) -> Streamed:
    """Cost of the layers that a unit runs; `shape` is [designs, layers]."""
    units = _units(workload, target)
    ran = np.array([unit is not None for unit in units], bool)
    alone = np.array([unit is not None and not _behind(workload, units, i) for i, unit in enumerate(units)], bool)
    pools = np.array(["pool" in kind for kind in workload.kinds])
    taken, made = workload.input_elements, workload.output_elements
    elements = np.where(alone, np.where(pools, np.maximum(taken, made), made), 0.0)
    rate = np.array([unit.elements_per_cycle.value if unit else 1.0 for unit in units])
    each = np.array([unit.energy_pj.at(energy) if unit and unit.energy_pj else 0.0 for unit in units])
    bits = np.broadcast_to(np.minimum(workload.activation_bits, target.mac.input_bits), shape) * alone
    read, write = taken * bits, made * bits
    machine, outer = make_machine(target, energy=energy), target.levels[0]
    limits = (read / machine.read_bandwidth[0], write / machine.write_bandwidth[0],
              (read + write) / machine.shared_bandwidth[0])  # fmt: skip
    passing, moving = np.broadcast_to(elements / rate, shape), np.ceil(np.maximum.reduce(limits))
    cycles = np.maximum(passing, moving)
    hertz, width = target.clock_hz.value, outer.width_bits
    moved_pj = (read * float(machine.read_pj[0]) + write * float(machine.write_pj[0])) / width
    clock = Quantity("clock", hertz, "Hz", target.clock_hz.source, target.clock_hz.status)
    component: Component = "dram" if outer.component == "dram" else "sram"
    unit_inputs, unit_energies = ([Quantity("elements", elements, "1")] for _ in range(2))
    for unit in target.units:
        given, spent = unit.elements_per_cycle, unit.energy_pj
        unit_inputs.append(Quantity(f"{unit.name}_rate", given.value, "elements/cycle", given.source, given.status))
        if spent is not None:
            unit_energies.append(Quantity(f"{unit.name}_energy", spent.at(energy), "pJ", spent.source, spent.status))
    traffic_inputs = (Quantity("input", read, "bit"), Quantity("output", write, "bit"))
    terms = (
        Term(TIME, "time", cycles / hertz, (*unit_inputs, *traffic_inputs, clock)),
        Term(ACCESS, component, moved_pj, traffic_inputs),
        Term(PASS, "mac", np.broadcast_to(elements * each, shape), tuple(unit_energies)),
        Term(LEAKAGE, "static", cycles * float(machine.leakage_pj_per_cycle), (Quantity("all", cycles, "cycles"),)),
    )
    name, zero = "dram" if outer.component == "dram" else outer.name, np.zeros(shape)
    traffic = (Traffic(name, "input", read, zero), Traffic(name, "output", zero, write))
    bound = np.where(passing >= moving, "compute", name).astype("<U24")
    said = (MATMUL,) if "matmul" in workload.kinds else ()
    if not ran.any():
        return Streamed(ran, (), (), bound, said)
    return Streamed(ran, terms, traffic, np.where(alone, bound, ""), (TIME.assumption, *said))
