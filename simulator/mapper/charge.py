"""Energy and cycles of access counts on a machine, over mappings and variants by broadcasting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .hierarchy import Hierarchy
from .machine import Machine
from .traffic import Counts

__all__ = ["Charge", "charge", "fits"]

Array = NDArray[np.float64]
OUTPUT = 2
ROUNDING = 1e-9  # so that 32.000000000000004 / 16 is not rounded up to 3


@dataclass(frozen=True, eq=False)
class Charge:
    """What mappings cost. Leading axes: those of the machine and the counts, broadcast; mappings last.

    `access_pj[..., m, level, operand]`, `transfer_pj[..., m, array]`, `mac_pj[...]` (issued and gated),
    `leakage_pj[..., m]`. `resource_cycles[..., m, resource]` by `resources`; the slowest is `cycles`, to
    which `fill_drain_cycles` are added.
    """

    access_pj: Array
    transfer_pj: Array
    mac_pj: Array
    leakage_pj: Array
    resources: tuple[str, ...]
    resource_cycles: Array
    fill_drain_cycles: Array

    @property
    def cycles(self) -> Array:
        return self.resource_cycles.max(axis=-1) + self.fill_drain_cycles

    @property
    def energy_pj(self) -> Array:
        moved = self.access_pj.sum(axis=(-2, -1)) + self.transfer_pj.sum(axis=-1)
        return moved + self.mac_pj[..., None] + self.leakage_pj

    def bound_by(self, index: int = 0) -> str:
        """The resource that sets the cycles of mapping `index` of a single machine."""
        return self.resources[int(np.argmax(self.resource_cycles[index]))]


def fits(counts: Counts, machine: Machine) -> NDArray[np.bool_]:
    """Whether the tiles of all operands that share a level find room in it, by mapping."""
    held = (counts.tile * machine.word_bits).sum(axis=-1)
    return (held <= machine.capacity_bits * (1 + ROUNDING)).all(axis=-1)


def charge(counts: Counts, hierarchy: Hierarchy, machine: Machine) -> Charge:
    """Energy and cycles of every mapping.

    energy = sum over levels and operands of (reads x read_pj + (updates + fills) x write_pj) x word bits /
    width bits, plus MACs, plus bits x PEs over the arrays' networks, plus leakage power x time. Fractions
    of an access count as such. cycles = max(steps, and for each level ceil(bits of one instance / its
    bandwidth), reads and writes apart and together; for each bus of an array ceil(bits asked for / its width)).
    """
    bits = machine.word_bits[..., None, :, :]
    width = machine.width_bits[..., None, :, None]
    written = counts.updates + counts.fills
    pj = counts.reads * machine.read_pj[..., None, :, None] + written * machine.write_pj[..., None, :, None]
    access = pj * (bits / width)
    transfer = _transfer_pj(counts, hierarchy, machine)
    mac = counts.macs * (machine.issued * machine.mac_pj + machine.gated * machine.gated_pj)
    used = counts.instances
    read_bits, write_bits = ((n * bits).sum(axis=-1) / used for n in (counts.reads, written))
    rows = [np.ceil(counts.steps * machine.issued[..., None] / machine.macs_per_cycle[..., None] - ROUNDING)]
    names = ["compute"]
    for level, name in enumerate(hierarchy.levels):
        for kind, moved, limit in (
            ("read", read_bits, machine.read_bandwidth),
            ("write", write_bits, machine.write_bandwidth),
            ("read+write", read_bits + write_bits, machine.shared_bandwidth),
        ):
            if np.isfinite(limit[..., level]).any():
                rows.append(np.ceil(moved[..., level] / limit[..., None, level] - ROUNDING))
                names.append(f"{name} {kind}")
    for array, operand, level, _, outside in hierarchy.buses():
        limit = machine.bus_bandwidth[..., array, operand]
        if np.isfinite(limit).any():
            asked = (counts.updates if operand == OUTPUT else counts.reads)[:, level, operand]
            moved = asked * machine.word_bits[..., None, level, operand] / used[:, outside]
            rows.append(np.ceil(moved / limit[..., None] - ROUNDING))
            names.append(hierarchy.bus_name(array, operand))
    cycles = np.stack(np.broadcast_arrays(*rows), axis=-1)
    extra = _fill_drain(counts, hierarchy, machine) if machine.fill_drain else np.zeros(cycles.shape[:-1])
    leakage = (cycles.max(axis=-1) + extra) * machine.leakage_pj_per_cycle[..., None]
    return Charge(access, transfer, np.asarray(mac, float), leakage, tuple(names), cycles, extra)


def _transfer_pj(counts: Counts, hierarchy: Hierarchy, machine: Machine) -> Array:
    """Bits over each array's network times its energy; both of its axes carry the same words, counted once."""
    parts = []
    for array in range(machine.transfer_pj_per_bit.shape[-1]):
        b = next(i for i, block in enumerate(hierarchy.blocks) if block.spatial and block.array == array)
        inside = min(sum(place < b for place in hierarchy.place), len(hierarchy.levels) - 1)
        bits = (counts.delivered[:, b] * machine.word_bits[..., None, inside, :]).sum(axis=-1)
        parts.append(bits * machine.transfer_pj_per_bit[..., None, array])
    return np.stack(parts, axis=-1) if parts else np.zeros((len(counts.steps), 0))


def _fill_drain(counts: Counts, hierarchy: Hierarchy, machine: Machine) -> Array:
    """Cycles to bring the first tiles of weights and inputs in and the last one of outputs out."""
    reading = np.minimum(machine.read_bandwidth, machine.shared_bandwidth)[..., 0]
    writing = np.minimum(machine.write_bandwidth, machine.shared_bandwidth)[..., 0]
    total = np.zeros(1)
    for operand, limit in ((0, reading), (1, reading), (2, writing)):
        kept = hierarchy.keepers[operand]
        if len(kept) > 1:
            words = np.minimum(counts.tile[:, kept[1], operand] * counts.instances[:, kept[1]],
                               counts.tile[:, 0, operand])  # fmt: skip
            total = total + words * machine.word_bits[..., None, 0, operand] / limit[..., None]
    return np.ceil(total - ROUNDING)
