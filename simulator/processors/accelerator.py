"""Accelerators described by levels and arrays: each layer on its best mapping, zeros as the hardware uses them."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...models.errors import InputError
from ...models.loops import LoopBounds
from ..accelerator import OPERANDS, AcceleratorTarget
from ..cost import Cost
from ..mapper import best_mapping, evaluate_mapping, make_machine
from ..terms import COMPONENTS, Component, Formula, Quantity, Term, Traffic, Unmodelled
from ..workload import Workload
from .accelerator_chain import LayerOnChip, chain, stay_resident
from .accelerator_csc import ASSUMPTIONS as COLUMNS
from .accelerator_csc import column_machine, computes_on_columns
from .accelerator_formats import stored_words
from .accelerator_units import product_bounds, stream_layers
from .accelerator_zeros import Shares, shares_of, what_zeros_gain

__all__ = ["FORMULAS", "accelerator_cost", "map_layer"]

Array = NDArray[np.float64]
SOURCE = "loop analysis of the layer's best mapping (picojoule map)"
MAPPED = ("conv", "gemm", "matmul")
OBJECTIVE = "edp"

COMPUTE = Formula(
    "accelerator.compute_time",
    "steps of the mapping x share of MACs issued x imbalance / clock",
    SOURCE,
    "X1: one step a cycle on every PE; where zero weights are skipped, PEs wait for the slowest of the real mask",
)
MEMORY = Formula(
    "accelerator.memory_time",
    "(slowest resource less compute, fill and drain) / clock",
    SOURCE,
    "X2: resources overlap within a layer; layers run one after another",
)
ACCESS = Formula(
    "accelerator.access_energy",
    "reads x read energy + (updates + fills) x write energy, by level and operand",
    SOURCE,
    "X3: every layer runs its mapping of least energy x delay; zeros do not change the mapping",
)
MAC = Formula(
    "accelerator.mac_energy",
    "products performed x energy + products gated x gated energy",
    SOURCE,
    "X4: a gated product takes its cycle; a skipped one takes neither cycle nor energy",
)
NETWORK = Formula("accelerator.network_energy", "bits x PEs x energy per bit", SOURCE, "X3")
LEAKAGE = Formula("accelerator.leakage", "leakage power x time", SOURCE, "X5: leakage runs while the layer runs")
FORMULAS = (COMPUTE, MEMORY, ACCESS, MAC, NETWORK, LEAKAGE)


def map_layer(
    target: AcceleratorTarget, bounds: LoopBounds, *, input_density: float = 1.0, output_density: float = 1.0
) -> LayerOnChip:
    """One dense-weight layer with activations of known density."""
    shares = shares_of(target, None, bounds, input_density, make_machine(target).n_pe)
    widths = float(target.mac.weight_bits), float(target.mac.input_bits)
    return _layer(target, bounds, shares, (input_density, output_density), widths, "default", "layer")


def _layer(
    target: AcceleratorTarget,
    bounds: LoopBounds,
    shares: Shares,
    densities: tuple[float, float],
    widths: tuple[float, float],
    energy: str,
    where: str,
    make: Any = None,
) -> LayerOnChip:
    """The mapping of least energy x delay for dense operands, charged with what its zeros leave.

    `densities` of input and output shorten what a feature stores compressed; `widths` are the bits of
    weights and inputs.
    """
    weight, given = widths
    bits = {"weight_bits": weight, "input_bits": given, "output_bits": min(given, float(target.mac.output_bits))}
    found = best_mapping(bounds, target, OBJECTIVE, machine=make_machine(target, energy=energy, **bits), where=where)
    touched = np.ones((len(target.levels), len(OPERANDS)))
    extra_pj = np.zeros_like(touched)
    if computes_on_columns(target):
        machine, shares, touched = column_machine(target, bounds, found.mapping, make, densities, bits, energy)
    else:
        plain = make_machine(target, energy=energy, **bits).word_bits
        stored = stored_words(target, make, densities, plain, energy)
        extra_pj, issued = stored.extra_pj, shares.performed + shares.gated
        machine = make_machine(target, word_bits=plain * stored.ratio, issued=issued, energy=energy, **bits)
    result = evaluate_mapping(bounds, target, found.mapping, machine=machine, where=where)
    compute, words = float(result.resource_cycles[0]) * shares.stretch, result.word_bits
    reads, writes = result.reads * touched, result.updates * touched + result.fills
    read, write = reads * words, writes * words
    width = machine.width_bits[:, None]
    return LayerOnChip(
        result, machine, shares, read, write,
        read * (machine.read_pj[:, None] / width) + write * (machine.write_pj[:, None] / width)
        + (reads + writes) * extra_pj,
        compute, max(compute, float(result.resource_cycles.max())) + result.fill_drain_cycles,
        "compute" if compute >= result.resource_cycles.max() else result.bound_by.split(" ")[0],
        bits["output_bits"],
    )  # fmt: skip


def _widths(workload: Workload, target: AcceleratorTarget, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Bits of weights and inputs as computed: the MAC's, or the file's where narrower; codes of a codebook are not."""
    plain = (workload.codebook_entries == 0) & (workload.weight_bits > 0)
    weight = np.where(plain, np.minimum(workload.weight_bits, target.mac.weight_bits), target.mac.weight_bits)
    given = np.minimum(workload.activation_bits, target.mac.input_bits)
    return np.broadcast_to(weight, shape).astype(float), np.broadcast_to(given, shape).astype(float)


def _run(
    workload: Workload, target: AcceleratorTarget, energy: str, warm: bool
) -> tuple[NDArray[np.object_], dict[int, str], float, bool]:
    """(layers by design, why a layer does not run, off-chip bits saved and whether weights stay in the last design)."""
    parts = (workload.structures, workload.input_density, workload.weight_bits, workload.activation_bits)
    shape = np.broadcast_shapes(*(part.shape for part in parts), workload.codebook_entries.shape)
    made, missing, saved, stay = np.empty(shape, object), {}, 0.0, False
    density = np.broadcast_to(workload.input_density, shape)
    structures = np.broadcast_to(workload.structures, shape)
    widths = _widths(workload, target, shape)
    n_pe = make_machine(target).n_pe
    mapped = [
        i for i, (kind, b) in enumerate(zip(workload.kinds, workload.bounds, strict=True)) if b and kind in MAPPED
    ]
    for design in np.ndindex(shape[:-1]):
        layers: list[LayerOnChip | None] = []
        for place, (kind, bounds) in enumerate(zip(workload.kinds, workload.bounds, strict=True)):
            if bounds is None or kind not in MAPPED:
                missing[place] = "not a convolution or matrix product, and no unit of this target is described for it"
            if place in missing:
                layers.append(None)
                continue
            whole = product_bounds(kind, cast("LoopBounds", bounds), workload.output_shapes[place], workload.repeats)
            make = structures[(*design, place)]
            shares = shares_of(target, make, whole, float(density[(*design, place)]), n_pe)
            given = float(density[(*design, place)])
            left = next((float(density[(*design, i)]) for i in mapped if i > place), 1.0)
            try:
                where = f"layer {workload.names[place]}"
                at = tuple(float(one[(*design, place)]) for one in widths)
                layers.append(_layer(target, whole, shares, (given, left), at, energy, where, make))  # type: ignore[arg-type]
            except InputError as error:
                missing[place] = str(error)
                layers.append(None)
        layers, saved = chain(workload, layers, target)
        if warm:
            layers, stay = stay_resident(workload, layers, target)
        for place, layer in enumerate(layers):
            made[(*design, place)] = layer
    return made, missing, saved, stay


def _gather(layers: NDArray[np.object_], read: Any) -> Array:
    return np.vectorize(lambda layer: float(read(layer)) if layer is not None else 0.0, otypes=[float])(layers)


def _terms(target: AcceleratorTarget, layers: NDArray[np.object_], macs: Array, energy: str) -> tuple[Term, ...]:
    clock = Quantity("clock", target.clock_hz.value, "Hz", target.clock_hz.source, target.clock_hz.status)
    hertz, mac, extra = target.clock_hz.value, target.mac.energy_pj, target.extra_cycles_per_layer
    compute, cycles = _gather(layers, lambda x: x.compute_cycles), _gather(layers, lambda x: x.cycles)
    fixed = (cycles > 0) * (extra.value if extra else 0.0)
    performed, gated = (macs * _gather(layers, lambda x, n=n: getattr(x.shares, n)) for n in ("performed", "gated"))
    each, idle = (_gather(layers, lambda x, n=name: getattr(x.machine, n)) for name in ("mac_pj", "gated_pj"))
    mac_pj = performed * each + gated * idle
    products = (Quantity("performed", performed, "1"), Quantity("gated", gated, "1"),
                Quantity("mac_energy", mac.at(energy), "pJ", mac.source, mac.status))  # fmt: skip
    network = _gather(layers, lambda x: x.result.transfer_pj.sum())
    leakage = (cycles + fixed) * _gather(layers, lambda x: x.machine.leakage_pj_per_cycle)
    all_cycles = (Quantity("all", cycles, "cycles"), clock)
    terms = [
        Term(COMPUTE, "time", compute / hertz, (Quantity("compute", compute, "cycles"), clock)),
        Term(MEMORY, "time", (cycles - compute + fixed) / hertz, all_cycles),
        Term(MAC, "mac", mac_pj, products),
        Term(NETWORK, "noc", network, (Quantity("network", network, "pJ"),)),
        Term(LEAKAGE, "static", leakage, all_cycles),
    ]
    for place, level in enumerate(target.levels):
        component = cast("Component", level.component if level.component in COMPONENTS else "sram")
        for number, operand in enumerate(OPERANDS):
            pj = _gather(layers, lambda x, i=place, o=number: x.access_pj[i, o])
            if not pj.any():
                continue
            inputs = [Quantity(f"{level.name}_{operand}_{way}", _gather(layers, lambda x, i=place, o=number, w=way:
                      getattr(x, f"{w}_bits")[i, o]), "bit") for way in ("read", "write")]  # fmt: skip
            for way, constant in (("read", level.read_pj), ("write", level.write_pj)):
                if constant is not None:
                    unit = f"pJ per {level.width_bits} bit"
                    name = f"{level.name}_{way}_energy"
                    inputs.append(Quantity(name, constant.at(energy), unit, constant.source, constant.status))
            terms.append(Term(ACCESS, component, pj, tuple(inputs)))
    return tuple(terms)


def _traffic(target: AcceleratorTarget, layers: NDArray[np.object_]) -> tuple[Traffic, ...]:
    moves = []
    for place, level in enumerate(target.levels):
        for number, operand in enumerate(OPERANDS):
            if operand in level.keeps:
                read = _gather(layers, lambda x, i=place, o=number: x.read_bits[i, o])
                write = _gather(layers, lambda x, i=place, o=number: x.write_bits[i, o])
                moves.append(Traffic("dram" if level.component == "dram" else level.name, operand, read, write))
    return tuple(moves)


def accelerator_cost(workload: Workload, target: AcceleratorTarget, *, energy: str, residency: str = "warm") -> Cost:
    """Cost of convolutions and fully connected layers, each on its mapping of least energy x delay."""
    layers, missing, saved, stay = _run(workload, target, energy, residency == "warm")
    streamed = stream_layers(workload, target, layers.shape, energy)
    missing = {place: why for place, why in missing.items() if not streamed.ran[place]}
    ran = np.array([place not in missing for place in range(len(workload))])
    performed = workload.macs * _gather(layers, lambda x: x.shares.performed)
    word = _gather(layers, lambda x: x.result.word_bits[0, 0])
    stored = np.where(ran, workload.weight_elements * word + workload.bias_bits, 0.0)
    outermost = (f.format for f in target.sparse if f.operand == "weight" and target.levels[0].name in f.levels)
    form = next(outermost, "dense")
    coded = np.where(word < _widths(workload, target, word.shape)[0], form, "dense")
    loaded = np.where(ran, workload.storage_bits + workload.codebook_and_bias_bits, 0.0) + np.zeros(performed.shape)
    zero = np.zeros(performed.shape[:-1])
    bound = np.vectorize(lambda x: x.bound_by if x is not None else "", otypes=["<U24"])(layers)
    reasons = [Unmodelled(workload.names[i], workload.kinds[i], missing[i]) for i in sorted(missing)]
    return Cost(
        workload,
        target,
        (*_terms(target, layers, workload.macs, energy), *streamed.terms),
        (*_traffic(target, layers), *streamed.traffic),
        executed=np.where(ran & (workload.weight_elements > 0), coded, ""),
        bound_by=np.where(streamed.ran, streamed.bound_by, bound),
        macs_performed=performed,
        macs_gated=workload.macs * _gather(layers, lambda x: x.shares.gated),
        stored_bits=stored,
        load_bits=loaded,
        overflow_bits=zero,
        unmodelled=tuple(reasons),
        assumptions=(*_assumptions(workload, target, layers, saved, stay), *streamed.assumptions),
        load_time_s=zero,
        load_energy_pj=zero,
    )


def _assumptions(
    workload: Workload, target: AcceleratorTarget, layers: NDArray[np.object_], saved: float, resident: bool
) -> tuple[str, ...]:
    said = [f.assumption for f in (COMPUTE, MEMORY, ACCESS, MAC, LEAKAGE)]
    if zeros := what_zeros_gain(target, workload, layers):
        said.append(zeros)
    if computes_on_columns(target):
        said += COLUMNS
    coded = [f"{f.operand}: {f.format}" for f in target.sparse if f.format != "dense" and f.levels]
    if coded and not computes_on_columns(target):
        said.append(f"X12: stored compressed where that is shorter: {', '.join(coded)}")
    near = target.levels[min(1, len(target.levels) - 1)]
    stay = f"activations that fit {near.name} stay there between layers, {saved / 8:,.0f} B off the chip saved"
    if not {"input", "output"} <= set(near.keeps):
        stay = f"activations go off the chip between layers: {near.name} does not keep both inputs and outputs"
    said.append(f"X7: {stay}")
    kept = f"all weights fit {near.name} and stay there between batches"
    said.append(f"X15: {kept if resident else 'weights are read in every batch'}")
    return tuple(said)
