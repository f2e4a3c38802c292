"""A plain R x C systolic array: one dataflow, a buffer for each operand, DRAM behind them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from .sram_fit import SramCost, sram_cost
from .systolic import DATAFLOWS
from .target_base import Constant, Count, Struct, TargetBase

__all__ = ["SystolicBuffer", "SystolicDram", "SystolicTarget", "systolic_rules"]

LARGEST_EDGE = 1 << 14
OPERANDS = ("weight", "input", "output")


class SystolicBuffer(Struct, frozen=True, kw_only=True):
    """The on-chip memory of one operand. Energies are per access of `width_bits`.

    What is left out comes from `energy_fit` (capacity, width, node); with neither it is 0.
    """

    capacity_bits: Constant
    width_bits: Count
    read_pj: Constant | None = None
    write_pj: Constant | None = None
    leakage_w: Constant | None = None
    energy_fit: Literal["cacti-hp", "cacti-lstp"] | None = None

    def cost(self, node_nm: float | None, energy: str) -> SramCost:
        """pJ per read and write access and watts: given, else fitted, else 0."""
        fitted = SramCost(0.0, 0.0, 0.0, 0.0)
        if self.energy_fit is not None and node_nm is not None:
            fitted = sram_cost(self.energy_fit, self.capacity_bits.value, self.width_bits, node_nm)
        pairs = ((self.read_pj, fitted.read_pj), (self.write_pj, fitted.write_pj), (self.leakage_w, fitted.leakage_w))
        read, write, leakage = (given.at(energy) if given else other for given, other in pairs)
        return SramCost(read, write, leakage, fitted.area_mm2)


class SystolicDram(Struct, frozen=True, kw_only=True):
    """The memory outside; reads and writes share `bits_per_cycle`."""

    bits_per_cycle: Constant
    access_pj_per_bit: Constant


class SystolicTarget(TargetBase, frozen=True, kw_only=True, tag_field="model", tag="systolic"):
    """`rows` x `columns` PEs that pass operands to their neighbours; see systolic.py for the dataflows.

    Partial sums are `accumulator_bits` wide until the last fold, outputs `output_bits`. `register_pj_per_bit` is
    one bit into a PE's pipeline register. With `double_buffered` half of each buffer is filled while the array
    works from the other; without it the array waits for DRAM. Words are never narrower than the array's:
    a network of fewer bits is padded.
    """

    rows: Count
    columns: Count
    dataflow: str
    clock_hz: Constant
    weight_bits: Count
    input_bits: Count
    output_bits: Count
    accumulator_bits: Count
    mac_energy_pj: Constant
    register_pj_per_bit: Constant
    pe_leakage_w: Constant | None = None
    double_buffered: bool = True
    buffers: dict[Literal["weight", "input", "output"], SystolicBuffer]
    dram: SystolicDram

    def room_words(self, operand: str) -> float:
        """Words of an operand that its buffer holds at once; partial sums for outputs."""
        bits = {"weight": self.weight_bits, "input": self.input_bits, "output": self.accumulator_bits}[operand]
        return self.buffers[operand].capacity_bits.value / (2 if self.double_buffered else 1) / bits  # type: ignore[index]


def systolic_rules(target: Any) -> Iterator[tuple[str, object, str]]:
    """(field, got, wanted) for what a type cannot say."""
    if target.dataflow.replace("-", "_") not in DATAFLOWS:
        yield "dataflow", target.dataflow, f"one of {', '.join(name.replace('_', '-') for name in DATAFLOWS)}"
    if set(target.executes) != {"dense"}:
        yield "executes", ", ".join(target.executes), "dense alone: the array decodes nothing"
    for name in ("rows", "columns"):
        if getattr(target, name) > LARGEST_EDGE:
            yield name, getattr(target, name), f"at most {LARGEST_EDGE}"
    missing = [operand for operand in OPERANDS if operand not in target.buffers]
    if missing:
        yield "buffers", f"none for {', '.join(missing)}", "one each for weight, input and output"
    for operand, buffer in target.buffers.items():
        if buffer.energy_fit and target.node_nm is None:
            yield f"buffers.{operand}.energy_fit", buffer.energy_fit, "node_nm to fit from"
    if missing:
        return
    edges = {"weight": target.columns, "input": target.rows, "output": target.columns}
    for operand, edge in edges.items():
        if target.room_words(operand) < edge:
            held = target.buffers[operand].capacity_bits.value
            need = f"at least {edge * held / target.room_words(operand):.0f}: a word for each PE along its edge"
            yield f"buffers.{operand}.capacity_bits", held, need + ", twice" * target.double_buffered
    if target.accumulator_bits < target.output_bits:
        yield "accumulator_bits", target.accumulator_bits, f"at least output_bits, {target.output_bits}"
