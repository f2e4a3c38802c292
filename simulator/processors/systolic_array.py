"""A plain systolic array as a target: SCALE-Sim's cycles, traffic and energy of buffers and DRAM."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...models.errors import InputError
from ...models.loops import LoopBounds
from ..cost import Cost
from ..systolic import systolic_cycles, systolic_folds, systolic_traffic_words
from ..systolic_traffic import Moved, Product, Room, off_chip, product_of
from ..target import SystolicTarget
from ..terms import Formula, Quantity, Term, Traffic, Unmodelled
from ..workload import Workload

__all__ = ["FORMULAS", "OnArray", "systolic_cost", "systolic_layer"]

Array = NDArray[np.float64]
SOURCE = "closed forms of simulator/systolic.py, equal to SCALE-Sim 3.0.0"
RUNS = ("conv", "gemm", "matmul")
OPERANDS = ("weight", "input", "output")

COMPUTE = Formula(
    "systolic.compute_time",
    "groups x (folds x (streamed + load + rows + columns - 2) - 1) / clock",
    SOURCE,
    "S1: every fold fills and drains the array before the next; convolutions run as matrix products, group by group",
)
MEMORY = Formula(
    "systolic.memory_time",
    "(DRAM cycles that the array does not hide) / clock",
    "DRAM bits / bits per cycle",
    "S2: with double buffers DRAM and array overlap in a layer, else they take turns; buffers keep up with the array",
)
ACCESS = Formula(
    "systolic.access_energy",
    "reads x read energy + writes x write energy, by buffer",
    SOURCE,
    "S3: words are as wide as the array's whatever the file holds; zeros are multiplied like any other value",
)
DRAM = Formula(
    "systolic.dram_energy",
    "bits x energy per bit",
    "simulator/systolic_traffic.py",
    "S4: the cheaper of two orders of the folds; activations go to DRAM and back between layers",
)
MAC = Formula("systolic.mac_energy", "products x energy per multiply-accumulate", SOURCE, "S3")
REGISTERS = Formula(
    "systolic.register_energy",
    "bits into pipeline registers x energy per bit",
    SOURCE,
    "S5: PEs without work do not switch; a word that is loaded or drained passes half of the rows on average",
)
LEAKAGE = Formula(
    "systolic.leakage",
    "leakage power x time",
    "energy_fit or the target",
    "S6: buffers and PEs leak while a layer runs",
)
FORMULAS = (COMPUTE, MEMORY, ACCESS, DRAM, MAC, REGISTERS, LEAKAGE)


@dataclass(frozen=True)
class OnArray:
    """One layer on the array: cycles, and bits by operand (weight, input, output) at the buffers and in DRAM."""

    product: Product
    moved: Moved
    folds: float
    compute_cycles: float
    dram_cycles: float
    cycles: float
    buffer_read: tuple[float, float, float]
    buffer_write: tuple[float, float, float]
    dram_read: tuple[float, float, float]
    dram_write: tuple[float, float, float]
    register_bits: float

    @property
    def bound_by(self) -> str:
        return "dram" if self.dram_cycles > self.compute_cycles else "compute"


def systolic_layer(target: SystolicTarget, product: Product) -> OnArray:
    """Counts of `product.count` products one after another.

    >>> from ..target import load_target
    >>> done = systolic_layer(load_target("systolic-32x32-ws"), Product(49, 64, 10, input_words=49 * 64))
    >>> done.compute_cycles, done.folds, done.dram_read
    (285.0, 2.0, (5120.0, 25088.0, 0.0))
    """
    flow = target.dataflow.replace("-", "_")
    m, k, n, count = product.m, product.k, product.n, product.count
    size = (target.rows, target.columns, flow)
    w, i, a, o = target.weight_bits, target.input_bits, target.accumulator_bits, target.output_bits
    room = Room(*(target.room_words(operand) for operand in OPERANDS))
    moved = off_chip(product, *size, room, (w, i, a, o))
    words = {name: count * float(value) for name, value in systolic_traffic_words(m, k, n, *size).items()}
    folds = count * float(systolic_folds(m, k, n, *size))
    outputs = count * m * n
    sums = words["output"] - outputs  # unfinished ones, each written once and read back once
    spilled = moved.spilled * a
    dram_read = (float(moved.weight * w), float(moved.input * i), float(spilled))
    dram_write = (0.0, 0.0, float(spilled + outputs * o))
    buffer_read = (words["weight"] * w, words["input"] * i, sums * a + dram_write[2])
    buffer_write = (dram_read[0], dram_read[1], sums * a + outputs * o + spilled)
    compute = count * float(systolic_cycles(m, k, n, *size))
    dram = ceil((sum(dram_read) + sum(dram_write)) / target.dram.bits_per_cycle.value)
    cycles = max(compute, dram) if target.double_buffered else compute + dram
    return OnArray(product, moved, folds, compute, dram, cycles, buffer_read, buffer_write, dram_read, dram_write,
                   _register_bits(target, product, words))  # fmt: skip


def _register_bits(target: SystolicTarget, product: Product, words: dict[str, float]) -> float:
    """Bits into PE registers: what passes or accumulates for every product, and what is loaded or drained."""
    each = {
        "weight-stationary": target.input_bits + target.accumulator_bits,
        "input-stationary": target.weight_bits + target.accumulator_bits,
        "output-stationary": target.weight_bits + target.input_bits + target.accumulator_bits,
    }[target.dataflow]
    shifted = {
        "weight-stationary": words["weight"] * target.weight_bits,
        "input-stationary": words["input"] * target.input_bits,
        "output-stationary": words["output"] * target.accumulator_bits,
    }[target.dataflow]
    products = float(product.count) * product.m * product.k * product.n
    return products * each + shifted * (target.rows + 1) / 2


def _product(workload: Workload, place: int) -> Product | str:
    """The products of one layer, or why it does not run."""
    kind, bounds = workload.kinds[place], cast("LoopBounds | None", workload.bounds[place])
    if bounds is None or kind not in RUNS:
        return "the array only multiplies matrices"
    if kind == "matmul":
        *outer, m, n = workload.output_shapes[place]
        return Product(m, bounds.C, n, prod(outer) * workload.repeats, m * bounds.C)
    try:
        return product_of(replace(bounds, N=bounds.N * workload.repeats))
    except InputError as error:
        return str(error)


def systolic_cost(workload: Workload, target: SystolicTarget, *, energy: str) -> Cost:
    """Energy, time and traffic of every layer that is a matrix product."""
    found = [_product(workload, place) for place in range(len(workload))]
    layers = [systolic_layer(target, one) if isinstance(one, Product) else None for one in found]
    missing = [Unmodelled(workload.names[i], workload.kinds[i], one) for i, one in enumerate(found)
               if isinstance(one, str)]  # fmt: skip
    designs = np.broadcast_shapes(workload.structures.shape, workload.weight_bits.shape, workload.input_density.shape)
    zero = np.zeros(designs)
    ran = np.array([layer is not None for layer in layers])
    weights = workload.weight_elements * target.weight_bits + workload.bias_bits
    loaded = workload.storage_bits + workload.codebook_and_bias_bits
    bound = np.array([layer.bound_by if layer else "" for layer in layers], dtype="<U24")
    return Cost(
        workload,
        target,
        _terms(workload, target, layers, energy, zero),
        _traffic(layers, zero),
        executed=np.broadcast_to(np.where(ran & (workload.weight_elements > 0), "dense", ""), designs),
        bound_by=np.broadcast_to(bound, designs),
        macs_performed=np.where(ran, workload.macs, 0.0) + zero,
        macs_gated=zero,
        stored_bits=np.where(ran, weights, 0.0) + zero,
        load_bits=np.where(ran, loaded, 0.0) + zero,
        overflow_bits=np.zeros(designs[:-1]),
        unmodelled=tuple(missing),
        assumptions=tuple(f.assumption for f in FORMULAS if ":" in f.assumption),
        load_time_s=np.zeros(designs[:-1]),
        load_energy_pj=np.zeros(designs[:-1]),
    )


def _gather(layers: list[OnArray | None], read: Any, zero: Array) -> Array:
    return np.array([float(read(layer)) if layer is not None else 0.0 for layer in layers]) + zero


def _traffic(layers: list[OnArray | None], zero: Array) -> tuple[Traffic, ...]:
    moves = []
    for o, operand in enumerate(OPERANDS):
        for level, where in ((f"{operand}_buffer", "buffer"), ("dram", "dram")):
            read = _gather(layers, lambda x, o=o, n=f"{where}_read": getattr(x, n)[o], zero)
            write = _gather(layers, lambda x, o=o, n=f"{where}_write": getattr(x, n)[o], zero)
            moves.append(Traffic(level, operand, read, write))  # type: ignore[arg-type]
    return tuple(moves)


def _terms(workload: Workload, target: SystolicTarget, layers: list[OnArray | None], energy: str, zero: Array
           ) -> tuple[Term, ...]:  # fmt: skip
    hertz, mac, register, dram = target.clock_hz, target.mac_energy_pj, target.register_pj_per_bit, target.dram
    clock = Quantity("clock", hertz.value, "Hz", hertz.source, hertz.status)
    compute, folds = _gather(layers, lambda x: x.compute_cycles, zero), _gather(layers, lambda x: x.folds, zero)
    cycles, off = _gather(layers, lambda x: x.cycles, zero), _gather(layers, lambda x: x.dram_cycles, zero)
    macs = np.where([layer is not None for layer in layers], workload.macs, 0.0) + zero
    bits = _gather(layers, lambda x: sum(x.dram_read) + sum(x.dram_write), zero)
    registers = _gather(layers, lambda x: x.register_bits, zero)
    rate, each = dram.bits_per_cycle, dram.access_pj_per_bit
    node = target.node_nm.value if target.node_nm else None
    costs = {operand: target.buffers[operand].cost(node, energy) for operand in OPERANDS}
    pes = target.rows * target.columns * (target.pe_leakage_w.at(energy) if target.pe_leakage_w else 0.0)
    leakage = sum(cost.leakage_w for cost in costs.values()) + pes
    terms = [
        Term(COMPUTE, "time", compute / hertz.value, (
            Quantity("folds", folds, "1"), Quantity("compute", compute, "cycles"), clock)),
        Term(MEMORY, "time", (cycles - compute) / hertz.value, (
            Quantity("dram", off, "cycles"), Quantity("dram_rate", rate.value, "bit/cycle", rate.source, rate.status),
            clock)),
        Term(MAC, "mac", macs * mac.at(energy), (
            Quantity("products", macs, "1"), Quantity("mac_energy", mac.at(energy), "pJ", mac.source, mac.status))),
        Term(REGISTERS, "noc", registers * register.at(energy), (
            Quantity("register_bits", registers, "bit"),
            Quantity("register_energy", register.at(energy), "pJ/bit", register.source, register.status))),
        Term(DRAM, "dram", bits * each.at(energy), (
            Quantity("dram_bits", bits, "bit"),
            Quantity("dram_energy", each.at(energy), "pJ/bit", each.source, each.status))),
        Term(LEAKAGE, "static", leakage * cycles / hertz.value * 1e12, (
            Quantity("leakage", leakage, "W"), Quantity("all", cycles, "cycles"), clock)),
    ]  # fmt: skip
    return (*terms, *(_access(target, layers, operand, costs[operand], zero) for operand in OPERANDS))


def _access(target: SystolicTarget, layers: list[OnArray | None], operand: str, cost: Any, zero: Array) -> Term:
    """Reads and writes of one buffer, in bits over its width."""
    o, buffer = OPERANDS.index(operand), target.buffers[operand]  # type: ignore[index]
    read = _gather(layers, lambda x: x.buffer_read[o], zero)
    write = _gather(layers, lambda x: x.buffer_write[o], zero)
    unit, inputs = f"pJ per {buffer.width_bits} bit", []
    for way, given, value in (("read", buffer.read_pj, cost.read_pj), ("write", buffer.write_pj, cost.write_pj)):
        origin = (given.source, given.status) if given else (buffer.energy_fit or "left out", "derived")
        inputs.append(Quantity(f"{operand}_{way}_energy", value, unit, *origin))
    bits = (Quantity(f"{operand}_read", read, "bit"), Quantity(f"{operand}_write", write, "bit"))
    pj = (read * cost.read_pj + write * cost.write_pj) / buffer.width_bits
    return Term(ACCESS, "sram", pj, (*bits, *inputs))
