"""Energy per operation and per access, at one node: the view in which DRAM dwarfs everything.

No clock and no kernels: every product costs its arithmetic, every stored bit is read once per batch
from SRAM or from DRAM, activations pass through SRAM once. Shows what compression is worth before
any architecture is chosen (Horowitz, ISSCC 2014; Han et al., ISCA 2016, Table I).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...models.errors import InputError
from ..cost import Cost
from ..target import AccessEnergyTarget, Constant, MacEnergy, Memory
from ..terms import Formula, Quantity, Term, Traffic, Unmodelled
from ..workload import Workload, storage_size

__all__ = ["FORMULAS", "access_energy_cost"]

Array = NDArray[np.float64]
SOURCE = "Horowitz, ISSCC 2014, Fig. 1.1.9; Han et al., ISCA 2016, Table I"

MAC = Formula(
    "access.mac_energy",
    "products performed x energy per multiply-accumulate",
    SOURCE,
    "V1: shared weights are decoded to the activations' precision and computed in it",
)
OPERATION = Formula(
    "access.operation_energy",
    "input elements x energy per addition",
    SOURCE,
    "V2: pooling and elementwise layers cost one addition per input element",
)
ACCESS = Formula(
    "access.memory_energy",
    "bits read and written x energy per bit",
    SOURCE,
    "V3: weights are read once per batch, activations written once and read once, all from one level",
)
FORMULAS = (MAC, OPERATION, ACCESS)
SEQUENTIAL, DECODED = "context", "csr"


def _energy_of(table: tuple[MacEnergy, ...], bits: Array, level: str) -> tuple[Array, Constant]:
    """pJ of the narrowest arithmetic that holds operands of `bits`, and one of the constants used."""
    entries = sorted(table, key=lambda item: item.bits)
    widths = np.array([entry.bits for entry in entries])
    if bits.max(initial=0) > widths[-1]:
        raise InputError("--bits W:A", int(bits.max()), f"activations of at most {widths[-1]} bits")
    place = np.searchsorted(widths, bits)
    return np.array([entry.energy_pj.at(level) for entry in entries])[place], entries[int(place.flat[0])].energy_pj


def _level(target: AccessEnergyTarget, component: str) -> Memory:
    return next(memory for memory in target.memories if memory.component == component)


def access_energy_cost(workload: Workload, target: AccessEnergyTarget, *, energy: str, residency: str) -> Cost:
    """Energy on the view; with `residency="cold"`, or where they do not fit, weights come from DRAM."""
    executed, run_bits = _executed(workload)
    read = run_bits + workload.codebook_and_bias_bits
    stored = read + workload.table_bits
    load = workload.storage_bits + workload.codebook_and_bias_bits + workload.table_bits
    share = np.divide(
        workload.storage_entries,
        workload.weight_elements,
        out=np.ones_like(stored),
        where=workload.weight_elements > 0,
    )
    known = ~workload.opaque
    performed = workload.macs * share
    rows = np.where(workload.table_elements > 0, 32.0 * workload.output_elements, 0.0)
    sram, dram = _level(target, "sram"), _level(target, "dram")
    capacity = sram.capacity_bits.value if sram.capacity_bits else np.inf
    resident = (residency == "warm") & (stored.sum(axis=-1, keepdims=True) <= capacity)
    zero = np.zeros_like(stored)
    traffic = (
        Traffic(sram.name, "weight", np.where(resident, read + rows, 0.0), zero),
        Traffic(dram.name, "weight", np.where(resident, 0.0, read + rows), zero),
        Traffic(sram.name, "input", known * workload.input_elements * workload.activation_bits + zero, zero),
        Traffic(sram.name, "output", zero, known * workload.output_elements * workload.activation_bits + zero),
    )
    terms = [*_arithmetic(workload, target, performed, energy), *(_access(move, target, energy) for move in traffic)]
    per_design = np.zeros(stored.shape[:-1])
    home = f"V4: weights are read from {sram.name if np.all(resident) else dram.name} ({residency})"
    return Cost(
        workload,
        target,
        tuple(terms),
        traffic,
        executed=executed,
        bound_by=np.full(stored.shape, ""),
        macs_performed=performed,
        macs_gated=zero,
        stored_bits=stored,
        load_bits=load,
        overflow_bits=per_design,
        unmodelled=_unmodelled(workload),
        assumptions=(*(formula.assumption for formula in FORMULAS), home, *_decoding(workload)),
        load_time_s=per_design,
        load_energy_pj=per_design,
        has_latency=False,
    )


def _executed(workload: Workload) -> tuple[NDArray[np.str_], Array]:
    """(format, bits) in which weights are read: as stored; range-coded ones, which no read can start within, as csr."""
    coded = workload.storage == SEQUENTIAL
    bits = np.array(np.broadcast_to(workload.storage_bits, coded.shape)) if coded.any() else workload.storage_bits
    widths, elements = (np.broadcast_to(a, coded.shape) for a in (workload.weight_bits, workload.weight_elements))
    structures = np.broadcast_to(workload.structures, coded.shape)
    for place in map(tuple, np.argwhere(coded)):
        bits[place] = storage_size(DECODED, structures.item(place), int(widths[place]), int(elements[place]))[0]
    return np.where(coded, DECODED, workload.storage), bits


def _decoding(workload: Workload) -> tuple[str, ...]:
    line = f"V5: {SEQUENTIAL}-coded weights are decoded once, into {DECODED}; the decoding itself is not counted"
    return (line,) if (workload.storage == SEQUENTIAL).any() else ()


def _unmodelled(workload: Workload) -> tuple[Unmodelled, ...]:
    pairs = zip(workload.names, workload.kinds, workload.opaque, strict=True)
    reason = "control flow or a custom operator: its work is not known"
    return tuple(Unmodelled(name, kind, reason) for name, kind, opaque in pairs if opaque)


def _arithmetic(workload: Workload, target: AccessEnergyTarget, performed: Array, energy: str) -> list[Term]:
    terms = []
    other = np.where((workload.macs == 0) & ~workload.opaque, workload.input_elements, 0.0)
    for formula, table, count in ((MAC, target.mac_energies, performed), (OPERATION, target.add_energies, other)):
        each, constant = _energy_of(table, workload.activation_bits, energy)
        inputs = (
            Quantity("operations", count, "1"),
            Quantity("energy_each", each, "pJ", constant.source, constant.status),
        )
        terms.append(Term(formula, "mac", count * each + np.zeros_like(performed), inputs))
    return terms


def _access(move: Traffic, target: AccessEnergyTarget, energy: str) -> Term:
    memory = next(memory for memory in target.memories if memory.name == move.level)
    constant = memory.access_pj_per_bit
    assert constant is not None
    bits = move.read_bits + move.write_bits
    inputs = (
        Quantity(f"{move.operand}_bits", bits, "bit"),
        Quantity(f"{memory.name}_energy", constant.at(energy), "pJ/bit", constant.source, constant.status),
    )
    return Term(ACCESS, memory.component, bits * constant.at(energy), inputs)
