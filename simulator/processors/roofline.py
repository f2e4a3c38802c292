"""CPUs and GPUs: overhead, a roofline with one efficiency per kernel class, and platform power.

Fully connected layers for now. A kernel executes one format; what it does not execute is decoded to
it when the weights are loaded, so it saves file and load bytes and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..cost import Cost
from ..formats import csr_bits, dense_bits, parse_format
from ..target import Constant, Kernel, Memory, RooflineTarget
from ..terms import Component, Formula, Quantity, Term, Traffic, Unmodelled
from ..workload import Workload

__all__ = ["FORMULAS", "KernelTime", "kernel_time", "roofline_cost"]

Array = NDArray[np.float64]
SOURCE = "Williams et al., Roofline, CACM 2009"

OVERHEAD = Formula(
    "roofline.overhead",
    "one call of the kernel per layer and batch",
    "fitted to the target's measurements",
    "R1: the same overhead for every kernel",
)
BOUND = Formula(
    "roofline.bound",
    "max(products / peak, bits / bandwidth) / efficiency(kernel)",
    SOURCE,
    "R2: one efficiency per kernel class, from published times; everything moves once per batch",
)
TOTAL = Formula(
    "roofline.static_energy",
    "power(kernel) x time - what the other components take",
    "Han et al., ICLR 2016, Table 9 (platform power)",
    "R3: total = platform power x time; its split over components is assumed, the rest is called static",
)
SPLIT = Formula(
    "roofline.component_energy",
    "operations or bits x energy each, at most power x time in all",
    "per-operation energies of the target",
    TOTAL.assumption,
)
FORMULAS = (OVERHEAD, BOUND, SPLIT, TOTAL)


@dataclass(frozen=True, eq=False)
class KernelTime:
    """Time of every layer under one kernel, and what it moved and multiplied; inf where it cannot run."""

    kernel: Kernel
    compute_s: Array
    memory_s: Array
    total_s: Array
    performed: Array
    weight_bits: Array


def _memory(target: RooflineTarget, component: str) -> Memory:
    return next(memory for memory in target.memories if memory.component == component)


def kernel_time(
    workload: Workload, target: RooflineTarget, kernel: Kernel, efficiency: float | None = None
) -> KernelTime:
    """time = overhead + max(products / peak, bits / bandwidth) / efficiency, per layer and batch."""
    runs = np.array([kind in kernel.layers for kind in workload.kinds])
    batches = workload.products_per_weight
    runs &= (batches >= kernel.min_batch) & (batches <= (kernel.max_batch or np.inf))
    if kernel.format == "dense":
        performed = workload.macs
        weight_bits = dense_bits(workload.weight_elements, target.value_bits)
    else:
        performed = workload.macs * workload.density
        weight_bits = csr_bits(
            workload.weight_rows, workload.weight_nonzeros, target.value_bits, target.index_bits, target.index_bits
        )
    moved = weight_bits + workload.bias_bits + (workload.input_elements + workload.output_elements) * target.value_bits
    bandwidth = _memory(target, "dram").bandwidth_bits_per_s
    assert bandwidth is not None
    share_of_roof = kernel.efficiency.value if efficiency is None else efficiency
    compute_s = performed / target.peak_macs_per_s.value / share_of_roof
    memory_s = moved / bandwidth.value / share_of_roof
    total = np.where(runs, target.overhead_s.value + np.maximum(compute_s, memory_s), np.inf)
    return KernelTime(kernel, compute_s, memory_s, total, performed, weight_bits)


def _candidates(workload: Workload, target: RooflineTarget) -> tuple[KernelTime, ...]:
    """A storage format asked for that some kernel executes is what runs; otherwise the choice is free."""
    family = np.array([parse_format(name)[0] if name else "" for name in workload.storage_asked.flat])
    family = family.reshape(workload.storage_asked.shape)
    free = ~np.isin(family, [kernel.format for kernel in target.kernels])
    times = [kernel_time(workload, target, kernel) for kernel in target.kernels]
    return tuple(
        replace(time, total_s=np.where(free | (family == time.kernel.format), time.total_s, np.inf)) for time in times
    )


def _pick(times: tuple[KernelTime, ...], field: str, chosen: NDArray[np.intp]) -> Array:
    arrays = [np.broadcast_to(getattr(time, field), chosen.shape) for time in times]
    return np.take_along_axis(np.stack(arrays), chosen[None], axis=0)[0]


@dataclass(frozen=True, eq=False)
class _Run:
    """What runs: the fastest kernel of each layer, its times and products; zeros where none can."""

    kernels: tuple[Kernel, ...]
    chosen: NDArray[np.intp]
    ran: NDArray[np.bool_]
    total_s: Array
    compute_s: Array
    memory_s: Array
    performed: Array
    weight_bits: Array

    def constants(self, field: str) -> Array:
        """One constant of the chosen kernels, by layer."""
        return np.array([getattr(kernel, field).value for kernel in self.kernels])[self.chosen]

    def origin(self, field: str) -> tuple[str, str]:
        """Source and status of that constant, all of them where the chosen kernels differ."""
        used = [getattr(self.kernels[place], field) for place in sorted(set(self.chosen.flat))]
        return tuple(" and ".join(dict.fromkeys(getattr(c, name) for c in used)) for name in ("source", "status"))  # type: ignore[return-value]

    @property
    def formats(self) -> NDArray[np.str_]:
        return np.array([kernel.format for kernel in self.kernels])[self.chosen]


def _run(workload: Workload, target: RooflineTarget) -> _Run:
    times = _candidates(workload, target)
    chosen = np.argmin(np.stack(np.broadcast_arrays(*(time.total_s for time in times))), axis=0)
    ran = np.isfinite(_pick(times, "total_s", chosen))
    fields = ("total_s", "compute_s", "memory_s", "performed", "weight_bits")
    arrays = {name: np.where(ran, _pick(times, name, chosen), 0.0) for name in fields}
    return _Run(tuple(time.kernel for time in times), chosen, ran, **arrays)


def roofline_cost(workload: Workload, target: RooflineTarget, *, energy: str, residency: str) -> Cost:
    """Cost on a CPU or GPU; each layer runs the fastest kernel that executes its format."""
    run = _run(workload, target)
    stored = np.where(run.ran, run.weight_bits + workload.bias_bits, 0.0)
    llc = _memory(target, "sram")
    capacity = llc.capacity_bits.value if llc.capacity_bits else 0.0
    resident = (residency == "warm") & (stored.sum(axis=-1, keepdims=True) <= capacity)
    traffic = _traffic(workload, target, stored, run.ran, resident)
    roof = np.where(run.compute_s >= run.memory_s, "compute", np.where(resident, llc.name, "dram"))
    bound = np.where(np.maximum(run.compute_s, run.memory_s) >= target.overhead_s.value, roof, "overhead")
    load_bits, load_s, load_pj = _load(workload, target, run)
    return Cost(
        workload,
        target,
        (*_time_terms(target, run, energy), *_energy_terms(target, run, traffic, energy)),
        traffic,
        executed=np.where(run.ran, run.formats, ""),
        bound_by=np.where(run.ran, bound, ""),
        macs_performed=run.performed,
        macs_gated=np.zeros_like(run.performed),
        stored_bits=np.where(workload.storage_asked != "", load_bits, stored),
        load_bits=load_bits,
        overflow_bits=np.zeros(stored.shape[:-1]),
        unmodelled=_unmodelled(workload, target, run.ran),
        assumptions=_assumptions(workload, target, bool(np.any(resident))),
        load_time_s=load_s,
        load_energy_pj=load_pj,
    )


def _traffic(
    workload: Workload, target: RooflineTarget, stored: Array, ran: NDArray[np.bool_], resident: NDArray[np.bool_]
) -> tuple[Traffic, ...]:
    """Everything passes the last-level cache; what is not resident also comes from DRAM."""
    zero = np.zeros_like(stored)
    inputs = np.where(ran, workload.input_elements * target.value_bits, 0.0) + zero
    outputs = np.where(ran, workload.output_elements * target.value_bits, 0.0) + zero
    llc, dram = _memory(target, "sram").name, _memory(target, "dram").name
    moves = []
    for level, share in ((llc, 1.0), (dram, np.where(resident, 0.0, 1.0))):
        moves += [
            Traffic(level, "weight", stored * share, zero),
            Traffic(level, "input", inputs * share, zero),
            Traffic(level, "output", zero, outputs * share),
        ]
    return tuple(moves)


def _known(name: str, constant: Constant, unit: str, energy: str) -> Quantity:
    return Quantity(name, constant.at(energy), unit, constant.source, constant.status)


def _time_terms(target: RooflineTarget, run: _Run, energy: str) -> tuple[Term, Term]:
    overhead = np.where(run.ran, target.overhead_s.value, 0.0)
    efficiency = Quantity("efficiency", run.constants("efficiency"), "1", *run.origin("efficiency"))
    roofs = (Quantity("compute", run.compute_s, "s"), Quantity("memory", run.memory_s, "s"), efficiency)
    return (
        Term(OVERHEAD, "time", overhead, (_known("overhead", target.overhead_s, "s", energy),)),
        Term(BOUND, "time", run.total_s - overhead, roofs),
    )


def _energy_terms(target: RooflineTarget, run: _Run, traffic: tuple[Traffic, ...], energy: str) -> tuple[Term, ...]:
    """Products and accesses at their own energies, held to power x time; the rest of it is static."""
    performed = run.performed
    mac = (Quantity("products", performed, "1"), _known("mac_energy", target.mac_energy_pj, "pJ", energy))
    parts: list[tuple[Component, Array, tuple[Quantity, ...]]] = [
        ("mac", performed * target.mac_energy_pj.at(energy), mac)
    ]
    for memory in target.memories:
        constant = memory.access_pj_per_bit
        if constant is None:
            continue
        bits = sum((m.read_bits + m.write_bits for m in traffic if m.level == memory.name), np.zeros_like(performed))
        each = _known(f"{memory.name}_energy", constant, "pJ/bit", energy)
        moved = Quantity(f"{memory.name}_bits", bits, "bit")
        parts.append((memory.component, bits * constant.at(energy), (moved, each)))
    claimed = sum((value for _, value, _ in parts), np.zeros_like(performed))
    power = np.where(run.ran, run.constants("power_w"), 0.0)
    budget_pj = power * run.total_s * 1e12
    scale = np.minimum(1.0, np.divide(budget_pj, claimed, out=np.ones_like(claimed), where=claimed > 0))
    limit = Quantity("scale_to_budget", scale, "1")
    budget = (
        Quantity("power", power, "W", *run.origin("power_w")),
        Quantity("time", run.total_s, "s"),
        Quantity("others", claimed * scale, "pJ"),
    )
    split = tuple(Term(SPLIT, component, value * scale, (*inputs, limit)) for component, value, inputs in parts)
    return (*split, Term(TOTAL, "static", budget_pj - claimed * scale, budget))


def _load(workload: Workload, target: RooflineTarget, run: _Run) -> tuple[Array, Array, Array]:
    """Bits loaded once by layer, and by design the time and energy to decode what the kernel does not execute."""
    shape = np.broadcast_shapes(workload.storage_bits.shape, run.chosen.shape)
    weighted = run.ran & (workload.weight_elements > 0)
    bits = np.where(weighted, workload.storage_bits + workload.codebook_and_bias_bits, 0.0)
    family = np.broadcast_to(np.vectorize(lambda name: parse_format(name)[0] if name else "")(workload.storage), shape)
    coded = np.broadcast_to(np.char.endswith(workload.storage, "+huffman"), shape)
    ready = (family == run.formats) & ~coded & (workload.weight_bits >= target.value_bits)
    symbols = np.where(ready | ~run.ran, 0.0, workload.storage_entries) * np.where(coded, 2.0, 1.0)
    seconds = symbols * target.decode_s_per_symbol.value
    return bits, seconds.sum(axis=-1), (seconds * run.constants("power_w")).sum(axis=-1) * 1e12


def _unmodelled(workload: Workload, target: RooflineTarget, ran: NDArray[np.bool_]) -> tuple[Unmodelled, ...]:
    reason = f"no kernel of {target.name} for this kind of layer"
    always = np.atleast_1d(ran.reshape(-1, len(workload)).all(axis=0))
    pairs = zip(workload.names, workload.kinds, always, strict=True)
    return tuple(Unmodelled(name, kind, reason) for name, kind, can in pairs if not can)


def _assumptions(workload: Workload, target: RooflineTarget, resident: bool) -> tuple[str, ...]:
    said = [OVERHEAD.assumption, BOUND.assumption, TOTAL.assumption]
    narrow = (workload.weight_bits < target.value_bits) & (workload.weight_elements > 0)
    if narrow.any():
        said.append(
            f"R4: every kernel computes on {target.value_bits}-bit values; fewer bits save file and load bytes only"
        )
    if resident:
        said.append(
            f"R5: the weights stay in the {_memory(target, 'sram').name}; time uses the fitted memory rate all the same"
        )
    return tuple(said)
