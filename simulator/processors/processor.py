"""CPUs, GPUs, phones and microcontrollers: whole networks from a data sheet and class tables."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..cost import Cost
from ..formats import format_sizes, parse_format
from ..target_base import Constant, Interval
from ..target_processor import CLASSES, ProcessorTarget, bits_of
from ..terms import Component, Formula, Quantity, Term, Traffic, Unmodelled
from ..workload import Workload
from .classes import family_table
from .plan import Plan, plan
from .rates import Rates, homes_of

__all__ = ["FORMULAS", "processor_cost"]

Array = NDArray[np.float64]
SOURCE = "Williams et al., Roofline, CACM 2009; efficiencies by kernel class fitted to published measurements"

OVERHEAD = Formula(
    "processor.overhead",
    "calls of a kernel x time to start one",
    "fitted to published times of small kernels",
    "P1: every kernel takes the same time to start; unfused normalizations and activations start their own",
)
BOUND = Formula(
    "processor.bound",
    "max(operations / (peak x efficiency(class, shape)), bits / (bandwidth(working set) x share(class)))",
    SOURCE,
    "P2: one efficiency per kernel class of the family, filling up with the shape; what fits the cache moves faster",
)
UNFUSED = Formula(
    "processor.unfused",
    "outputs written and read again by normalizations and activations with kernels of their own",
    SOURCE,
    "P8: a runtime that fuses nothing reads and writes every output once more for each of them",
)
STATIC = Formula(
    "processor.static_energy",
    "(idle power + share(class) x (busy - idle power)) x time",
    "power of the data sheet; shares fitted to published powers",
    "P3: power that time costs, whatever is computed",
)
DYNAMIC = Formula(
    "processor.dynamic_energy",
    "operations or bits x energy each",
    "energies per operation and access of the target",
    "P4: energies per operation and access are published for a technology, not measured on this device",
)
FORMULAS = (OVERHEAD, BOUND, UNFUSED, STATIC, DYNAMIC)


def processor_cost(workload: Workload, target: ProcessorTarget, *, energy: str, residency: str) -> Cost:
    """Cost on a processor; each layer runs the fastest kernel that executes its format."""
    run = plan(workload, target, residency)
    rates = Rates.of(target)
    traffic = _traffic(workload, target, run)
    roof = np.maximum(run.compute_s, run.memory_s)
    weight_home, _, cache = homes_of(target)
    near = cache.name if cache else weight_home.name
    level = np.where(np.maximum(run.weights_cached, run.activations_cached) < 1, weight_home.name, near)
    bound = np.where(run.compute_s >= run.memory_s, "compute", level)
    bound = np.where(roof >= run.overhead_s, bound, "overhead")
    load_bits, load_s, load_pj = _load(workload, target, run, rates)
    stored = np.where(run.ran, run.weight_bits + workload.table_elements * run.value_bits, 0.0)
    return Cost(
        workload,
        target,
        (*_time_terms(target, run, rates), *_energy_terms(target, run, rates, traffic, energy)),
        traffic,
        executed=np.where(run.ran, np.array(run.formats)[run.executed], ""),
        bound_by=np.where(run.ran, bound, ""),
        macs_performed=run.performed,
        macs_gated=np.zeros_like(run.performed),
        stored_bits=np.where(workload.storage_asked != "", load_bits, stored),
        load_bits=load_bits,
        overflow_bits=_overflow(workload, target, run, stored),
        unmodelled=_unmodelled(workload),
        assumptions=_assumptions(workload, target, run),
        load_time_s=load_s,
        load_energy_pj=load_pj,
        interval=_interval(target, run),
    )


def _interval(target: ProcessorTarget, run: Plan) -> Interval | None:
    """The target's own where each kernel that multiplies has a correction of its own, else its family's."""
    busy = run.kernels.m * run.kernels.n * run.kernels.k > 1
    used = {CLASSES[place] for place in np.unique(np.broadcast_to(run.classes, run.ran.shape)[..., busy])}
    if target.interval is not None and used <= set(target.corrections):
        return target.interval
    return family_table(target.family).interval


def _traffic(workload: Workload, target: ProcessorTarget, run: Plan) -> tuple[Traffic, ...]:
    """Everything passes the cache, if there is one; what does not fit it whole also comes from memory."""
    weight_home, activation_home, cache = homes_of(target)
    zero = np.zeros_like(run.performed)
    weights = np.where(run.ran, run.weight_bits, 0.0)
    inputs = np.where(run.ran, workload.input_elements * run.value_bits, 0.0)
    outputs = np.where(run.ran, run.activation_bits, 0.0) - inputs
    moves = []
    if cache is not None:
        moves += [Traffic(cache.name, "weight", weights, zero), Traffic(cache.name, "input", inputs, zero)]
        moves += [Traffic(cache.name, "output", zero, outputs)]
    beyond = np.where(run.activations_cached < 1, 1.0, 0.0)
    moves += [
        Traffic(weight_home.name, "weight", weights * (run.weights_cached < 1), zero),
        Traffic(activation_home.name, "input", inputs * beyond, zero),
        Traffic(activation_home.name, "output", zero, outputs * beyond),
    ]
    return tuple(moves)


def _overflow(workload: Workload, target: ProcessorTarget, run: Plan, stored: Array) -> Array:
    """Bits of weights, and of the largest set of live activations, that find no room where they must lie."""
    weight_home, activation_home, _ = homes_of(target)
    width = run.value_bits.max(axis=-1) / np.maximum(1.0, workload.activation_bits.max(axis=-1))
    live = workload.peak_activation_bits * np.minimum(1.0, width)
    weights = stored.sum(axis=-1)
    if weight_home is activation_home:
        needs = ((weight_home, weights + live),)
    else:
        needs = ((weight_home, weights), (activation_home, live))
    over = np.zeros(np.shape(weights))
    for level, bits in needs:
        if level.capacity_bits is not None:
            over = over + np.maximum(bits - level.capacity_bits.value, 0.0)
    return over


def _known(name: str, constant: Constant, unit: str, energy: str = "default") -> Quantity:
    return Quantity(name, constant.at(energy), unit, constant.source, constant.status)


def _from_table(name: str, values: Array, unit: str) -> Quantity:
    return Quantity(name, values, unit, "class table of the family (simulator/tables)", "derived")


def _time_terms(target: ProcessorTarget, run: Plan, rates: Rates) -> tuple[Term, ...]:
    start = target.overhead_s
    each = _known("overhead", start, "s") if start else _from_table("overhead", np.array(rates.overhead_s), "s")
    roofs = (
        Quantity("compute", run.compute_s, "s"),
        Quantity("memory", run.memory_s, "s"),
        _from_table("efficiency", rates.table.efficiency[run.classes], "1"),
        _from_table("bandwidth_share", rates.table.bandwidth[run.classes], "1"),
    )
    terms = (
        Term(OVERHEAD, "time", run.overhead_s, (each,)),
        Term(BOUND, "time", np.maximum(run.compute_s, run.memory_s), roofs),
    )
    if target.fuses != "nothing":
        return terms
    return (*terms, Term(UNFUSED, "time", run.unfused_s, (Quantity("passes", run.unfused_s, "s"),)))


def mac_energy_pj(target: ProcessorTarget, rates: Rates, value_bits: Array, energy: str) -> Array:
    """pJ of one multiply-accumulate of `value_bits`-wide operands."""
    out = value_bits * rates.table.parameters["mac_energy_pj_per_bit"]
    for name, constant in target.mac_energy_pj.items():
        out = np.where(value_bits == bits_of(name), constant.at(energy), out)
    return out


def _energy_terms(
    target: ProcessorTarget, run: Plan, rates: Rates, traffic: tuple[Traffic, ...], energy: str
) -> tuple[Term, ...]:
    share = rates.power[run.classes]
    power = target.idle_w.value + share * (target.busy_w.value - target.idle_w.value)
    static = (
        _known("idle_power", target.idle_w, "W"),
        _known("busy_power", target.busy_w, "W"),
        _from_table("power_share", share, "1"),
        Quantity("time", run.total_s, "s"),
    )
    each = mac_energy_pj(target, rates, run.value_bits, energy)
    terms = [
        Term(STATIC, "static", power * run.total_s * 1e12, static),
        Term(
            DYNAMIC, "mac", run.performed * each,
            (Quantity("products", run.performed, "1"), _from_table("mac_energy", each, "pJ")),
        ),
    ]  # fmt: skip
    for memory in target.memories:
        constant = memory.access_pj_per_bit
        if constant is None:
            continue
        bits = sum((m.read_bits + m.write_bits for m in traffic if m.level == memory.name), np.zeros_like(share))
        component: Component = memory.component
        inputs = (
            Quantity(f"{memory.name}_bits", bits, "bit"),
            _known(f"{memory.name}_energy", constant, "pJ/bit", energy),
        )
        terms.append(Term(DYNAMIC, component, bits * constant.at(energy), inputs))
    return tuple(terms)


def _load(workload: Workload, target: ProcessorTarget, run: Plan, rates: Rates) -> tuple[Array, Array, Array]:
    """Bits loaded once by layer; by design the time and energy to decode what no kernel executes."""
    shape = np.broadcast_shapes(workload.storage_bits.shape, run.performed.shape)
    weighted = run.ran & (workload.weight_elements > 0)
    bits = np.where(weighted, workload.storage_bits + workload.codebook_and_bias_bits, 0.0)
    bits = bits + np.where(run.ran, workload.table_bits, 0.0)
    family = np.broadcast_to(np.vectorize(lambda name: parse_format(name)[0] if name else "")(workload.storage), shape)
    coded = np.broadcast_to(np.char.endswith(workload.storage, "+huffman"), shape)
    executed = np.array(run.formats)[run.executed]
    narrow = np.isin(workload.weight_bits, [float(width) for width in target.weight_only_bits])
    ready = (family == executed) & ~coded & ((workload.weight_bits >= run.value_bits) | narrow)
    symbols = np.where(ready | ~weighted, 0.0, workload.storage_entries) * np.where(coded, 2.0, 1.0)
    given = target.decode_s_per_symbol
    seconds = symbols * (given.value if given else rates.table.parameters["decode_s_per_symbol"])
    power = target.idle_w.value + rates.power[run.classes] * (target.busy_w.value - target.idle_w.value)
    return bits, seconds.sum(axis=-1), (seconds * power).sum(axis=-1) * 1e12


def _unmodelled(workload: Workload) -> tuple[Unmodelled, ...]:
    pairs = zip(workload.names, workload.kinds, workload.opaque, strict=True)
    reason = "control flow or a custom operator: its work is not known"
    return tuple(Unmodelled(name, kind, reason) for name, kind, opaque in pairs if opaque)


def _assumptions(workload: Workload, target: ProcessorTarget, run: Plan) -> tuple[str, ...]:
    said = [formula.assumption for formula in FORMULAS if formula is not UNFUSED or target.fuses == "nothing"]
    weighted = workload.weight_elements > 0
    narrow = weighted & (workload.weight_bits < run.value_bits)
    if np.any(narrow):
        said.append(
            f"P5: {target.runtime} computes on {target.value_bits}-bit values here; narrower weights save "
            + ("file, load and memory bytes, not operations" if target.weight_only_bits else "file and load bytes only")
        )
    if np.any(workload.activation_bits > run.value_bits):
        said.append(
            f"P9: the network runs in {target.runtime}'s own precision, {target.precision}, as if quantized by it; its "
            "accuracy then is not known from this"
        )
    said += _sparsity(workload, target, run)
    if np.any(run.weights_cached >= 1) and homes_of(target)[2] is not None:
        said.append("P7: the weights stay in the cache between inferences")
    return tuple(said)


def _sparsity(workload: Workload, target: ProcessorTarget, run: Plan) -> list[str]:
    """What zeros that no kernel skips gain, namely nothing; and how fast kernels for patterns are taken to be."""
    said = []
    idle = np.broadcast_to((workload.weight_elements > 0) & (workload.density < 1), run.sparse.shape) & ~run.sparse
    if np.any(idle):
        gains = run.break_even[run.break_even > 0]
        zeros = 1 - float(np.max(np.where(idle, workload.density, 0.0)))
        stored = np.unique(np.broadcast_to(workload.storage, idle.shape)[idle])
        patterns = sorted(name for name in stored if format_sizes(name))
        others = [name for name in run.formats if format_sizes(name) and name not in patterns]
        limit = (
            f"no kernel on this target gains above density {float(np.median(gains)):.2g}"
            if gains.size
            else ("no kernel on this target gains from it")
        )
        kind = " and ".join(patterns) or "unstructured"
        instead = f" (it has kernels for {' and '.join(others)})" if others else ""
        said.append(f"P6: {zeros:.0%} {kind} sparsity: {limit}; time unchanged{instead}")
    for place, name in enumerate(run.formats):
        if format_sizes(name) and np.any(run.executed == place):
            rate = next(kernel.relative_rate for kernel in target.sparse_kernels if kernel.format == name)
            said.append(
                f"P10: {name} kernels perform the products of stored weights at {rate.value:g} of the dense kernels' "
                f"rate ({rate.status}{f', {rate.low:g} to {rate.high:g}' if rate.low and rate.high else ''})"
            )
    return said
