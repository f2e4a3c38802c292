"""EIE as a target: cycles from the real mask, energy from its own component powers (its Table II)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..cost import Cost
from ..eie import layer_cycles
from ..structure import WeightStructure
from ..target import EieTarget
from ..terms import Formula, Quantity, Term, Traffic, Unmodelled
from ..workload import MASK_SEED, Workload

__all__ = ["FORMULAS", "columns_per_batch", "eie_cost"]

Array = NDArray[np.float64]
ACTIVATION_SAMPLES = 8
SOURCE = "Han et al., EIE, ISCA 2016"

IDEAL = Formula(
    "eie.balanced_time",
    "entries worked through, padding included / (n_pe x clock)",
    f"{SOURCE}, Table IV 'theoretical'",
    "A1: one entry per PE and cycle",
)
STALL = Formula(
    "eie.imbalance_time",
    "(simulated cycles - entries / n_pe) / clock",
    f"{SOURCE}, sections IV and VI",
    "A2: queues of fifo_depth, one broadcast a cycle, at least one cycle per broadcast; non-zero inputs uniform",
)
POWER = Formula(
    "eie.component_energy",
    "component power x time x 1e12 pJ/J",
    f"{SOURCE}, Table II and section VI",
    "A3: component powers are constant while the chip runs, leakage and clock included",
)
FORMULAS = (IDEAL, STALL, POWER)


@dataclass(frozen=True)
class _Layer:
    cycles: float
    performed: float
    entries: int
    entries_by_pe: NDArray[np.int64]


def _active_columns(columns: int, density: float) -> NDArray[np.int64]:
    """Sorted indices of non-zero inputs: `round(density x columns)` of them, by a fixed seed, per sample."""
    count = max(1, round(density * columns)) if density > 0 else 0
    if count == columns:
        return np.arange(columns)[None]
    rng = np.random.default_rng([MASK_SEED, columns, count])
    return np.stack([np.sort(rng.choice(columns, count, replace=False)) for _ in range(ACTIVATION_SAMPLES)])


def columns_per_batch(target: EieTarget) -> int:
    """Columns whose pointers and activations fit a PE at once: one pointer per column and one behind the last.

    >>> from ..target import load_target
    >>> columns_per_batch(load_target("eie"))
    4096
    """
    pointers = int(target.pointer_memory_bits_per_pe.value) // target.pointer_bits - 1
    return min(pointers, int(target.activation_register_words.value) * target.n_pe)


def _run_layer(structure: WeightStructure, density: float, products: float, target: EieTarget) -> _Layer:
    entries = structure.interleaved_entries(target.n_pe, target.zero_run_bits)
    active = _active_columns(structure.columns, density)
    cycles, performed = layer_cycles(
        [entries[columns] for columns in active],
        list(active),
        fifo_depth=target.fifo_depth,
        columns_per_batch=columns_per_batch(target),
    )
    by_pe = entries.sum(axis=0)
    return _Layer(float(cycles.mean()) * products, float(performed.mean()) * products, int(by_pe.sum()), by_pe)


def _terms(target: EieTarget, cycles: Array, performed: Array) -> tuple[Term, ...]:
    clock = Quantity("clock", target.clock_hz.value, "Hz", target.clock_hz.source, target.clock_hz.status)
    n_pe = Quantity("n_pe", float(target.n_pe), "1")
    ideal_s = performed / target.n_pe / target.clock_hz.value
    time_s = cycles / target.clock_hz.value
    terms = [
        Term(IDEAL, "time", ideal_s, (Quantity("entries", performed, "1"), n_pe, clock)),
        Term(
            STALL,
            "time",
            time_s - ideal_s,
            (Quantity("cycles", cycles, "cycles"), Quantity("entries", performed, "1"), n_pe, clock),
        ),
    ]
    constants = target.pe_power_w | target.shared_power_w
    for name, power_w in target.power_w.items():
        constant = constants[name]
        inputs = (
            Quantity(f"{name}_power", power_w, "W", constant.source, constant.status),
            Quantity("time", time_s, "s"),
        )
        terms.append(Term(POWER, target.power_component[name], power_w * time_s * 1e12, inputs))
    return tuple(terms)


def _run_layers(workload: Workload, target: EieTarget, ran: NDArray[np.bool_]) -> NDArray[np.object_]:
    """A _Layer for each design and layer that EIE can run; equal structures are simulated once."""
    layers = np.empty(workload.structures.shape, object)
    density = np.broadcast_to(workload.input_density, layers.shape)
    done: dict[tuple[int, float, float], _Layer] = {}
    for index in np.ndindex(layers.shape):
        make, products = cast("Any", workload.structures[index]), float(workload.products_per_weight[index[-1]])
        if make is None or not ran[index[-1]]:
            continue
        key = (id(make), float(density[index]), products)
        if key not in done:
            done[key] = _run_layer(make(), key[1], key[2], target)
        layers[index] = done[key]
    return layers


def _gather(layers: NDArray[np.object_], field: str) -> Array:
    return np.vectorize(lambda layer: getattr(layer, field) if layer else 0, otypes=[float])(layers)


def _overflow_bits(layers: NDArray[np.object_], target: EieTarget) -> Array:
    """Bits by which the entries of a whole network exceed the PEs' memories, summed over PEs."""
    out = np.zeros(layers.shape[:-1])
    for design in np.ndindex(out.shape):
        by_pe = sum((layer.entries_by_pe for layer in layers[design] if layer), np.zeros(target.n_pe))
        out[design] = np.maximum(by_pe * target.entry_bits - target.spmat_bits_per_pe.value, 0).sum()
    return out


def eie_cost(workload: Workload, target: EieTarget) -> Cost:
    """Cost on EIE; fully connected layers only, convolutions and pooling are `unmodelled`."""
    ran = np.array([kind == "gemm" for kind in workload.kinds])
    layers = _run_layers(workload, target, ran)
    cycles, performed, entries = (_gather(layers, name) for name in ("cycles", "performed", "entries"))
    pointers = target.n_pe * (workload.weight_columns + 1) * target.pointer_bits
    codebook_and_bias = (target.max_codes + workload.bias_elements) * target.activation_bits
    stored = np.where(ran, entries * target.entry_bits + pointers + codebook_and_bias, 0.0)
    broadcasts = np.round(workload.input_density * workload.weight_columns) * workload.products_per_weight
    bound = np.where(performed / target.n_pe >= broadcasts, "compute", "overhead")
    zero = np.zeros_like(performed)
    pointer_reads = 2.0 * target.pointer_bits * target.n_pe * broadcasts
    moved = (workload.input_elements * target.activation_bits, workload.output_elements * target.activation_bits)
    traffic = (
        Traffic("sram", "weight", np.where(ran, performed * target.entry_bits + pointer_reads, 0.0), zero),
        Traffic("sram", "input", np.where(ran, moved[0], 0.0) + zero, zero),
        Traffic("sram", "output", zero, np.where(ran, moved[1], 0.0) + zero),
    )
    return Cost(
        workload,
        target,
        _terms(target, cycles, performed),
        traffic,
        executed=np.where(ran, "eie_csc4", ""),
        bound_by=np.where(ran, bound, ""),
        macs_performed=performed,
        macs_gated=zero,
        stored_bits=stored,
        load_bits=stored,
        overflow_bits=_overflow_bits(layers, target),
        unmodelled=_unmodelled(workload, ran),
        assumptions=_assumptions(workload, target),
        load_time_s=np.zeros(zero.shape[:-1]),
        load_energy_pj=np.zeros(zero.shape[:-1]),
    )


def _unmodelled(workload: Workload, ran: NDArray[np.bool_]) -> tuple[Unmodelled, ...]:
    pairs = zip(workload.names, workload.kinds, ran, strict=True)
    reason = "EIE executes fully connected layers only"
    return tuple(Unmodelled(name, kind, reason) for name, kind, can in pairs if not can)


def _assumptions(workload: Workload, target: EieTarget) -> tuple[str, ...]:
    said = [formula.assumption for formula in FORMULAS]
    if (workload.weight_bits > np.log2(target.max_codes)).any():
        said.append(
            f"A4: layers with more than {target.max_codes} shared values are clustered again to {target.max_codes}; "
            "their mask, time and energy stay, the error has to be measured again"
        )
    said.append("A5: biases and codebooks are held in 16 bits; the one-time load is not in energy or time")
    return tuple(said)
