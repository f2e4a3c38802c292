"""An accelerator's cost: every layer that multiplies on its best mapping, from simulator/mapper.

Dense execution: zeros are multiplied like other values, whatever the weights' storage format; weights lie in
the outermost level as they are computed on, and every layer starts and ends there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...models.errors import InputError
from ...models.loops import LoopBounds
from ..accelerator import OPERANDS, AcceleratorTarget
from ..cost import Cost
from ..mapper import MappingResult, best_mapping, make_machine
from ..mapper.machine import level_energy_pj
from ..terms import Component, Formula, Quantity, Term, Traffic, Unmodelled
from ..workload import Workload

__all__ = ["FORMULAS", "mapped_cost"]

Array = NDArray[np.float64]
SOURCE = "Parashar et al., Timeloop, ISPASS 2019; docs/decisions/0026-what-a-mapping-costs.md"

ACCESS = Formula(
    "mapped.access_energy",
    "words x word bits / width x energy per access, reads and writes of all operands",
    SOURCE,
    "M1: Timeloop's conventions for what a mapping reads and writes; the mapping of least energy is used",
)
NETWORK = Formula("mapped.network_energy", "bits x PEs reached x energy per bit", SOURCE, "M1: see above")
MAC = Formula(
    "mapped.mac_energy",
    "products x energy per multiply-accumulate",
    SOURCE,
    "M7: zeros are multiplied, values wider than the MAC are computed at its own width",
)
LEAKAGE = Formula("mapped.leakage_energy", "leakage power x cycles / clock", SOURCE, "M5: all instances leak all along")
TIME = Formula("mapped.time", "cycles of the slowest resource / clock", SOURCE, "M2: resources overlap perfectly")
FORMULAS = (ACCESS, NETWORK, MAC, LEAKAGE, TIME)


def _results(workload: Workload, target: AcceleratorTarget, energy: str) -> tuple[NDArray[np.object_], dict[int, str]]:
    """A MappingResult or None by design and layer, and why layers have none."""
    shape = np.broadcast_shapes(workload.storage_bits.shape, workload.weight_bits.shape, workload.activation_bits.shape)
    weight_bits, input_bits = (
        np.broadcast_to(bits, shape) for bits in (workload.weight_bits, workload.activation_bits)
    )
    results, missing = np.empty(shape, object), {}
    for index in np.ndindex(shape):
        bounds: LoopBounds | None = workload.bounds[index[-1]]
        if bounds is None or workload.macs[..., index[-1]].max() == 0:
            missing[index[-1]] = "multiplies nothing: only layers with loops of products are mapped"
            continue
        widths = (min(weight_bits[index] or input_bits[index], target.mac.weight_bits),
                  min(input_bits[index], target.mac.input_bits))  # fmt: skip
        machine = make_machine(target, weight_bits=float(widths[0]), input_bits=float(widths[1]), energy=energy)
        batched = replace(bounds, N=bounds.N * workload.repeats)
        try:
            results[index] = best_mapping(batched, target, machine=machine, where=workload.names[index[-1]])
        except InputError as error:
            missing[index[-1]] = str(error)
    return results, missing


def _gather(results: NDArray[np.object_], value: str, *at: int) -> Array:
    """One number of every result, 0 where a layer has none."""

    def one(result: MappingResult | None) -> float:
        if result is None:
            return 0.0
        found = getattr(result, value)
        return float(found[at] if at else found)

    return np.vectorize(one, otypes=[float])(results)


def _moved(results: NDArray[np.object_], target: AcceleratorTarget) -> tuple[Traffic, ...]:
    moves = []
    for place, level in enumerate(target.levels):
        for o, operand in enumerate(OPERANDS):
            if operand in level.keeps:
                bits = _gather(results, "word_bits", place, o)
                written = _gather(results, "updates", place, o) + _gather(results, "fills", place, o)
                name = "dram" if level.component == "dram" else level.name
                moves.append(Traffic(name, operand, _gather(results, "reads", place, o) * bits, written * bits))
    return tuple(moves)


def _terms(results: NDArray[np.object_], target: AcceleratorTarget, energy: str) -> tuple[Term, ...]:
    terms = []
    node = target.node_nm.value if target.node_nm else None
    for place, level in enumerate(target.levels):
        read_pj, write_pj, _ = level_energy_pj(level, node, energy)
        of_read, of_write = level.read_pj, level.write_pj
        total = sum((_gather(results, "access_pj", place, o) for o in range(3)), np.zeros(results.shape))
        inputs = (
            Quantity(f"{level.name}_read", read_pj, "pJ", of_read.source if of_read else "",
                     of_read.status if of_read else "derived"),
            Quantity(f"{level.name}_write", write_pj, "pJ", of_write.source if of_write else "",
                     of_write.status if of_write else "derived"),
            Quantity("width", float(level.width_bits), "bit"),
        )  # fmt: skip
        component: Component = level.component
        terms.append(Term(ACCESS, component, total, inputs))
    mac, clock = target.mac.energy_pj, target.clock_hz
    products = _gather(results, "macs")
    terms.append(Term(MAC, "mac", _gather(results, "mac_pj"), (
        Quantity("products", products, "1"), Quantity("mac_energy", mac.at(energy), "pJ", mac.source, mac.status),
    )))  # fmt: skip
    for place, array in enumerate(target.arrays):
        if array.transfer_pj_per_bit is not None:
            constant = array.transfer_pj_per_bit
            each = Quantity(f"{array.name}_transfer", constant.at(energy), "pJ/bit", constant.source, constant.status)
            terms.append(Term(NETWORK, "noc", _gather(results, "transfer_pj", place), (each,)))
    cycles = Quantity("cycles", _gather(results, "cycles"), "cycles")
    hertz = Quantity("clock", clock.value, "Hz", clock.source, clock.status)
    terms.append(Term(LEAKAGE, "static", _gather(results, "leakage_pj"), (cycles, hertz)))
    terms.append(Term(TIME, "time", _gather(results, "cycles") / clock.value, (cycles, hertz)))
    return tuple(terms)


def mapped_cost(workload: Workload, target: AcceleratorTarget, *, energy: str) -> Cost:
    """Energy, time and traffic of every layer on its best mapping; layers without products are `unmodelled`."""
    results, missing = _results(workload, target, energy)
    zero = np.zeros(results.shape)
    width = np.minimum(workload.weight_bits, target.mac.weight_bits)
    stored = workload.weight_elements * width + workload.bias_elements * 32.0 + zero
    per_design = np.zeros(zero.shape[:-1])
    names = np.vectorize(lambda result: _bound(result), otypes=["<U32"])(results)
    return Cost(
        workload,
        target,
        _terms(results, target, energy),
        _moved(results, target),
        executed=np.where(workload.weight_elements > 0, "dense", ""),
        bound_by=names,
        macs_performed=_gather(results, "macs"),
        macs_gated=zero,
        stored_bits=stored,
        load_bits=stored,
        overflow_bits=per_design,
        unmodelled=tuple(
            Unmodelled(workload.names[layer], workload.kinds[layer], why) for layer, why in sorted(missing.items())
        ),
        assumptions=tuple(dict.fromkeys(formula.assumption for formula in FORMULAS if formula is not NETWORK)),
        load_time_s=per_design,
        load_energy_pj=per_design,
    )


def _bound(result: MappingResult | None) -> str:
    return "" if result is None else result.bound_by.split(" ")[0]
