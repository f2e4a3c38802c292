"""Arm Ethos-U as a target: block cycles, compressed weight streams, staging; energy from assumed constants."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...models.compress.share import kmeans_1d
from ...models.loops import LoopBounds
from ...models.ops import ACTIVATIONS
from ..cost import Cost
from ..ethos_u.layer_cost import LayerCost
from ..ethos_u.network import run_layers
from ..ethos_u.operation import Operation, part_kernel_first
from ..ethos_u.weights import stream_bits
from ..structure import WeightStructure
from ..target import Constant, EthosUTarget
from ..terms import Formula, Quantity, Term, Traffic, Unmodelled
from ..workload import MASK_SEED, Workload
from .ethos_u_layers import fed_by, operation_of

__all__ = ["FORMULAS", "ethos_u_cost", "int8_weights"]

Array = NDArray[np.float64]
SOURCE = "performance model of Arm's compiler ethos-u-vela 5.2.0"
SPREAD, LARGEST = 30.0, 127
SAMPLE = 1 << 20

NPU = Formula(
    "ethos.npu_time",
    "max(MAC array, output stage, command issue) x blocks / clock, and weight transfers that nothing hides",
    SOURCE,
    "H1: int8 weights and activations whatever the file holds (one scale per output channel, one per layer where "
    "weights are shared); cycles as Arm's compiler estimates them",
)
MEMORY = Formula(
    "ethos.memory_time",
    "max over memories of (bytes on the bus / bandwidth) less the NPU's cycles, / clock",
    SOURCE,
    "H2: NPU and memories overlap within a layer; layers run one after another, none are cascaded",
)
MAC = Formula(
    "ethos.mac_energy",
    "products performed x energy per multiply-accumulate",
    "Horowitz, ISSCC 2014",
    "H3: Arm publishes no energies; assumed from 45 nm figures, never validated",
)
ACCESS = Formula(
    "ethos.access_energy",
    "bits on the bus x energy per bit",
    "assumed",
    "H4: one energy per bit read or written, for each memory",
)
STATIC = Formula("ethos.static_energy", "static power x time", "assumed", "H5: constant while the network runs")
FORMULAS = (NPU, MEMORY, MAC, ACCESS, STATIC)


def int8_weights(structure: WeightStructure, shared: int = 0, seed: int = MASK_SEED) -> NDArray[np.int64]:
    """Weights [rows, columns] as int8 codes: real ones scaled, unknown ones drawn at their mask.

    Weights that are multiples of one step keep their codes; shared ones take one scale for the layer (so that
    they stay as few), others one for each row. Unknown values are the tail of a normal distribution with a
    standard deviation of 30 codes that magnitude pruning leaves, by a fixed seed, clustered to `shared` values.
    """
    from scipy import stats  # slow to import, and needed here alone

    shape = (structure.rows, structure.columns)
    if structure.values is None:
        density = structure.nonzeros / max(1, structure.elements)
        rng = np.random.default_rng(seed)
        tail = stats.norm.isf(density / 2 * (1 - rng.random(structure.nonzeros)))
        drawn = (tail * SPREAD * rng.choice([-1, 1], structure.nonzeros)).clip(-LARGEST, LARGEST)
        if shared and len(drawn):
            levels = kmeans_1d(drawn, shared)
            drawn = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, drawn)]
        out = np.zeros(structure.elements, np.int64)
        rounded = drawn.round()
        out[structure.positions] = np.where(rounded == 0, 1, rounded)
        return out.reshape(shape)
    values = structure.values()
    whole = _codes(values)
    if whole is not None:
        return whole
    axis = None if structure.code_histogram is not None else 1
    scale = np.abs(values).max(axis=axis, keepdims=True, initial=0) / LARGEST
    return np.divide(values, scale, out=np.zeros(shape), where=scale > 0).round().astype(np.int64)


def _codes(values: NDArray[np.float32]) -> NDArray[np.int64] | None:
    """The codes of weights that are whole multiples of one step already, None for others."""
    sample = np.unique(np.abs(values[:1]))
    if len(sample) > LARGEST + 2 or len(sample) < 2:
        return None
    sizes = np.unique(np.abs(values))
    if len(sizes) > LARGEST + 2:
        return None
    trials = sizes / sizes[-1] * np.arange(1, LARGEST + 1)[:, None]
    whole = np.abs(trials - trials.round()).max(axis=1) < 1e-3
    if not whole.any():
        return None
    codes = (values * ((int(np.argmax(whole)) + 1) / sizes[-1])).round()
    return codes.astype(np.int64)


def _kcrs(weights: NDArray[np.int64], bounds: LoopBounds) -> NDArray[np.int64]:
    return weights.reshape(-1, bounds.C, bounds.R, bounds.S)


def _sampled(structure: WeightStructure) -> tuple[WeightStructure, float]:
    """(the first rows of a large layer, their share): a stream is predicted from at most a million weights."""
    rows = max(8, SAMPLE // max(1, structure.columns) // 8 * 8)
    if structure.rows <= rows:
        return structure, 1.0
    kept = structure.positions[: int(np.searchsorted(structure.positions, rows * structure.columns))]
    whole = structure.values
    values = None if whole is None else lambda: whole()[:rows]
    return replace(structure, rows=rows, positions=kept, values=values), rows / structure.rows


@dataclass(frozen=True)
class _Streams:
    """Predicted streams in bytes, so that layers that share weights, or are drawn alike, are coded once."""

    known: dict[Hashable, float]

    def bytes_of(self, make: Any, shared: int, operation: Operation, bounds: LoopBounds, target: EthosUTarget) -> float:
        part, deep = part_kernel_first(operation, target.family), operation.kind == "depthwise"
        asked: Hashable = (id(make), shared, part, deep)
        if asked not in self.known:
            structure, share = _sampled(make())
            drawn = structure.values is None and structure.nonzeros == structure.elements
            shape = ("drawn", structure.rows, bounds.C, bounds.R, bounds.S, shared, part, deep)
            key: Hashable = shape if drawn else ("own", id(make), shared, part, deep)
            if key not in self.known:
                weights = _kcrs(int8_weights(structure, shared), bounds)
                bits = stream_bits(weights, part, deep, 5 if target.family == "u85" else 4)
                self.known[key] = bits / 8
            self.known[asked] = self.known[key] / share
        return self.known[asked]


def _run(workload: Workload, target: EthosUTarget) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """(LayerCost by design and layer, which layers run)."""
    costs = np.empty(workload.structures.shape, object)
    ran = np.zeros(len(workload), bool)
    streams = _Streams({})
    entries = np.broadcast_to(workload.codebook_entries, costs.shape)
    for design in np.ndindex(costs.shape[:-1]):
        places: list[int] = []
        operations, sizes, sources = [], [], []
        for place in range(len(workload)):
            make = workload.structures[(*design, place)]
            fed = fed_by(workload, places, place)
            before = operations[fed[0]] if fed and fed[0] >= 0 else None
            operation = operation_of(workload, place, cast("Any", make), target, before)
            if operation is None:
                ran[place] |= workload.kinds[place] in ACTIVATIONS
                continue
            places.append(place)
            operations.append(operation)
            sources.append(fed)
            bounds = workload.bounds[place]
            shared = int(entries[(*design, place)])
            weighted = make is not None and bounds is not None
            sizes.append(streams.bytes_of(make, shared, operation, bounds, target) if weighted and bounds else 0.0)
        for place, cost in zip(places, run_layers(operations, sizes, target, sources), strict=True):
            costs[(*design, place)] = cost
            ran[place] = True
    return costs, ran


def _gather(costs: NDArray[np.object_], read: Callable[[LayerCost], float]) -> Array:
    return np.vectorize(lambda cost: read(cost) if cost is not None else 0.0, otypes=[float])(costs)


def _traffic(costs: NDArray[np.object_], target: EthosUTarget, repeats: int) -> tuple[Traffic, ...]:
    moves = []
    for memory in target.memories:
        for operand in ("weight", "input", "output"):

            def moved(cost: LayerCost, way: int, name: str = memory.name, what: str = operand) -> float:
                return cost.moved_by(name, what)[way]

            read, write = (8.0 * repeats * _gather(costs, partial(moved, way=way)) for way in (0, 1))
            if read.any() or write.any():
                moves.append(Traffic(memory.name, operand, read, write))
    return tuple(moves)


def _known(name: str, constant: Constant, unit: str, energy: str) -> Quantity:
    return Quantity(name, constant.at(energy), unit, constant.source, constant.status)


def _terms(
    target: EthosUTarget, npu: Array, total: Array, performed: Array, traffic: tuple[Traffic, ...], energy: str
) -> tuple[Term, ...]:
    clock = _known("clock", target.clock_hz, "Hz", "default")
    hertz = target.clock_hz.value
    cycles = (Quantity("npu", npu, "cycles"), Quantity("all", total, "cycles"), clock)
    power = target.static_power_w
    mac = target.mac_energy_pj
    products = (Quantity("products", performed, "1"), _known("mac_energy", mac, "pJ", energy))
    terms = [
        Term(NPU, "time", npu / hertz, (cycles[0], clock)),
        Term(MEMORY, "time", (total - npu) / hertz, cycles),
        Term(MAC, "mac", performed * mac.at(energy), products),
        Term(STATIC, "static", power.at(energy) * total / hertz * 1e12,
             (_known("static_power", power, "W", energy), Quantity("time", total / hertz, "s"))),
    ]  # fmt: skip
    for move in traffic:
        memory = target.memory(move.level)
        bits = move.read_bits + move.write_bits
        each = memory.access_pj_per_bit
        inputs = (
            Quantity(f"{move.operand}_bits", bits, "bit"),
            _known(f"{memory.name}_energy", each, "pJ/bit", energy),
        )
        terms.append(Term(ACCESS, memory.component, bits * each.at(energy), inputs))
    return tuple(terms)


def _unmodelled(workload: Workload, ran: NDArray[np.bool_], target: EthosUTarget) -> tuple[Unmodelled, ...]:
    reason = f"no rule for this kind of layer on {target.name}: it runs on the host or as several operations"
    pairs = zip(workload.names, workload.kinds, ran, strict=True)
    return tuple(Unmodelled(name, kind, reason) for name, kind, can in pairs if not can)


def ethos_u_cost(workload: Workload, target: EthosUTarget, *, energy: str) -> Cost:
    """Cost on an Ethos-U. Weights stay where `weights_in` says and are read in every inference."""
    costs, ran = _run(workload, target)
    repeats = workload.repeats
    batch = np.array([
        repeats * (bounds.N if bounds and kind == "conv" else 1)
        for bounds, kind in zip(workload.bounds, workload.kinds, strict=True)
    ], float)  # fmt: skip
    npu = batch * _gather(costs, lambda cost: cost.all_npu_cycles)
    total = batch * _gather(costs, lambda cost: cost.cycles)
    halves = _gather(costs, lambda cost: 0.5 if cost.operation.sparse else 1.0)
    performed = workload.macs * halves
    traffic = _traffic(costs, target, repeats)
    streams = 8.0 * _gather(costs, lambda cost: cost.weight_bytes)
    scales = np.array([80.0 * bounds.K if bounds else 0.0 for bounds in workload.bounds])
    stored = np.where(streams > 0, streams + scales, 0.0)
    bound = np.vectorize(lambda cost: cost.bound_by if cost is not None else "", otypes=["<U24"])(costs)
    staging = target.memory(target.staging_in).capacity_bits
    peak = float(workload.peak_activation_bits)
    room = staging.value if staging is not None and target.feature_maps_in == target.staging_in else np.inf
    over = np.full(stored.shape[:-1], max(0.0, peak - room) if np.isfinite(room) else 0.0)
    zero = np.zeros(stored.shape[:-1])
    return Cost(
        workload,
        target,
        _terms(target, npu, total, performed, traffic, energy),
        traffic,
        executed=np.where(ran & (streams > 0), "ethos-u stream", np.where(ran, "dense", "")),
        bound_by=bound,
        macs_performed=performed,
        macs_gated=np.zeros_like(performed),
        stored_bits=stored,
        load_bits=stored,
        overflow_bits=over,
        unmodelled=_unmodelled(workload, ran, target),
        assumptions=_assumptions(workload, target, costs),
        load_time_s=zero,
        load_energy_pj=zero,
    )


def _assumptions(workload: Workload, target: EthosUTarget, costs: NDArray[np.object_]) -> tuple[str, ...]:
    said = [formula.assumption for formula in FORMULAS]
    known = [make() for make in workload.structures.flat if make is not None]
    if any(structure.values is None for structure in known):
        said.append("H6: weights without values are drawn: the normal tail that pruning leaves, deviation 30 of 127")
    if workload.batch > 1:
        said.append("H7: a batch runs one inference after another")
    if target.sparse_2_of_4:
        layers: list[LayerCost | None] = costs.ravel().tolist()
        ran = [cost for cost in layers if cost is not None and cost.weight_bytes]
        fast = sum(cost.operation.sparse for cost in ran)
        said.append(
            "H8: weights with at most 2 non-zeros in every 4 input channels run at twice the rate, here "
            f"{fast} of {len(ran)} layers; zeros of the others only shorten the weight stream"
        )
    else:
        said.append("H8: zeros in weights shorten the weight stream and nothing else")
    if any(cost is not None and cost.block is None for cost in costs.ravel().tolist()):
        said.append("H10: a sum runs in the output stage of the layer before it; its cycles are that layer's")
    if any(kind in ACTIVATIONS for kind in workload.kinds):
        said.append("H9: activation functions run in the output stage of the layer before them")
    return tuple(said)
