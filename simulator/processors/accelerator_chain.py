"""A layer's counts on a mapped chip, and what stays there: activations between layers, weights between batches."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..accelerator import OPERANDS, AcceleratorTarget
from ..mapper import Machine, MappingResult
from ..sources import sole_reader
from ..workload import Workload
from .accelerator_zeros import Shares

__all__ = ["LayerOnChip", "chain", "stay_resident"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LayerOnChip:
    """One layer's counts in bits and pJ: [level, operand]."""

    result: MappingResult
    machine: Machine
    shares: Shares
    read_bits: Array
    write_bits: Array
    access_pj: Array
    compute_cycles: float
    cycles: float
    bound_by: str
    output_bits: float

    @property
    def off_chip_bits(self) -> float:
        """Bits over the outermost level's edge, read and written."""
        return float(self.read_bits[0].sum() + self.write_bits[0].sum())

    @property
    def mac_energy_pj(self) -> float:
        """MACs performed and gated."""
        machine, shares = self.machine, self.shares
        return self.result.macs * float(shares.performed * machine.mac_pj + shares.gated * machine.gated_pj)

    @property
    def chip_energy_pj(self) -> float:
        """Everything but the outermost level."""
        moved = float(self.access_pj[1:].sum() + self.result.transfer_pj.sum())
        return moved + self.mac_energy_pj + self.cycles * float(self.machine.leakage_pj_per_cycle)


def _outer_cycles(layer: LayerOnChip, read_bits: Array, write_bits: Array) -> dict[str, float]:
    """Cycles of the outermost level's ports."""
    m, read, write = layer.machine, read_bits[0].sum(), write_bits[0].sum()
    limits = {"read": m.read_bandwidth[0], "write": m.write_bandwidth[0], "read+write": m.shared_bandwidth[0]}
    moved = {"read": read, "write": write, "read+write": read + write}
    return {kind: float(np.ceil(moved[kind] / limit)) for kind, limit in limits.items() if np.isfinite(limit)}


def _kept(layer: LayerOnChip, operand: str) -> LayerOnChip:
    """The layer with its input taken from, its output left in, or its weights kept in the first level on the chip."""
    place = OPERANDS.index(operand)  # type: ignore[arg-type]
    read, write, energy = layer.read_bits.copy(), layer.write_bits.copy(), layer.access_pj.copy()
    for array in (read, write, energy):
        array[0, place] = 0.0
    if operand == "weight":  # and never written there again
        energy[1, place] -= write[1, place] * float(layer.machine.write_pj[1]) / float(layer.machine.width_bits[1])
        write[1, place] = 0.0
    outer = layer.result.levels[0]
    cycles = {"compute": layer.compute_cycles}
    for name, value in zip(layer.result.resources[1:], layer.result.resource_cycles[1:], strict=True):
        cycles[name] = float(value)
    cycles |= {f"{outer} {kind}": value for kind, value in _outer_cycles(layer, read, write).items()}
    slowest = max(cycles, key=lambda name: cycles[name])
    total = cycles[slowest] + layer.result.fill_drain_cycles
    return replace(layer, read_bits=read, write_bits=write, access_pj=energy, cycles=total,
                   bound_by=slowest.split(" ")[0])  # fmt: skip


def _room(layer: LayerOnChip, operand: str) -> float:
    """Bits of the first on-chip level that the layer's other tiles leave."""
    tile = layer.result.tile[1] * layer.result.word_bits[1]
    return float(layer.machine.capacity_bits[1] - tile.sum() + tile[OPERANDS.index(operand)])  # type: ignore[arg-type]


def chain(
    workload: Workload, layers: list[LayerOnChip | None], target: AcceleratorTarget
) -> tuple[list[LayerOnChip | None], float]:
    """Activations that fit the first on-chip level and go to the next layer only stay there; off-chip bits saved."""
    out, saved = list(layers), 0.0
    keeps = target.levels[1].keeps if len(target.levels) > 1 else ()
    if not {"input", "output"} <= set(keeps):
        return out, saved
    for place in range(len(out) - 1):
        first, second = out[place], out[place + 1]
        alone = sole_reader(workload.sources, place) == place + 1
        if first is None or second is None or not alone:
            continue
        if workload.output_elements[place] != workload.input_elements[place + 1]:  # a sum's other operand
            continue
        bits = float(workload.output_elements[place] * first.output_bits)
        spilled = first.read_bits[0, 2] > 0
        if spilled or bits > min(_room(first, "output"), _room(second, "input")):
            continue
        saved += float(first.write_bits[0, 2] + second.read_bits[0, 1])
        out[place], out[place + 1] = _kept(first, "output"), _kept(second, "input")
    return out, saved


def stay_resident(
    workload: Workload, layers: list[LayerOnChip | None], target: AcceleratorTarget
) -> tuple[list[LayerOnChip | None], bool]:
    """Weights of all layers kept in the first level on the chip between batches, if they fit it; whether they do.

    They have to fit beside the largest tiles of inputs and outputs of any layer.
    """
    if len(target.levels) < 2 or not target.levels[1].resident_weights:
        return layers, False
    ran = [(place, layer) for place, layer in enumerate(layers) if layer is not None]
    weight = OPERANDS.index("weight")
    weights = sum(float(workload.weight_elements[place] * layer.result.word_bits[1, weight]) for place, layer in ran)
    others = [layer.result.tile[1] * layer.result.word_bits[1] for _, layer in ran]
    largest = max((float(tile.sum() - tile[weight]) for tile in others), default=0.0)
    if not ran or any(workload.weight_elements[place] == 0 for place, _ in ran):
        return layers, False
    if weights + largest > min(float(layer.machine.capacity_bits[1]) for _, layer in ran):
        return layers, False
    return [layer if layer is None else _kept(layer, "weight") for layer in layers], True
