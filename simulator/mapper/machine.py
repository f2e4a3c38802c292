"""The numbers of an accelerator as arrays, for one precision; many variants of it on leading axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..accelerator import OPERANDS, AcceleratorTarget, Level, Mac
from ..sram_fit import sram_cost
from ..target_base import Constant

__all__ = ["Machine", "level_energy_pj", "mac_energy", "make_machine"]

Array = NDArray[np.float64]
UNLIMITED = np.inf


@dataclass(frozen=True, eq=False)
class Machine:
    """Levels on the last axis of `[..., level]`, operands after them in `word_bits[..., level, operand]`.

    `word_bits` are what one word takes as it is stored there, so that compressed operands have fewer;
    energies are per access of `width_bits`; bandwidths (bits per cycle, inf where unlimited) and
    capacities (bits, inf where unbounded, half if double buffered) are those of one instance.
    `transfer_pj_per_bit[..., array]` is per bit and PE; `bus_bandwidth[..., array, operand]` as the others.
    `issued` and `gated` are the shares of a layer's MACs that take a cycle and full energy, or a gated one's energy.
    """

    word_bits: Array
    capacity_bits: Array
    width_bits: Array
    read_pj: Array
    write_pj: Array
    read_bandwidth: Array
    write_bandwidth: Array
    shared_bandwidth: Array
    transfer_pj_per_bit: Array
    bus_bandwidth: Array
    mac_pj: Array
    gated_pj: Array
    macs_per_cycle: Array
    leakage_pj_per_cycle: Array
    issued: Array
    gated: Array
    clock_hz: float
    n_pe: int
    fill_drain: bool


def level_energy_pj(level: Level, node_nm: float | None, energy: str = "default") -> tuple[float, float, float]:
    """(pJ per read access, pJ per write access, leakage in W) of a level: given, else fitted, else 0."""
    fitted = (0.0, 0.0, 0.0)
    if level.energy_fit is not None and level.capacity_bits is not None and node_nm is not None:
        cost = sram_cost(level.energy_fit, level.capacity_bits.value, level.width_bits, node_nm)
        fitted = (cost.read_pj, cost.write_pj, cost.leakage_w)
    given = (level.read_pj, level.write_pj, level.leakage_w)
    chosen = [constant.at(energy) if constant else other for constant, other in zip(given, fitted, strict=True)]
    return chosen[0], chosen[1], chosen[2]


def mac_energy(mac: Mac, weight_bits: float, input_bits: float, energy: str = "default") -> tuple[float, int]:
    """(pJ of one MAC, MACs per cycle and PE) of the narrowest unit that takes both widths."""
    rows = [(mac.weight_bits, mac.input_bits, mac.energy_pj, mac.macs_per_cycle)]
    rows += [(p.weight_bits, p.input_bits, p.energy_pj, p.macs_per_cycle) for p in mac.precisions]
    fitting = [row for row in rows if row[0] >= weight_bits and row[1] >= input_bits]
    chosen = min(fitting, key=lambda row: row[0] * row[1]) if fitting else max(rows, key=lambda row: row[0] * row[1])
    return chosen[2].at(energy), chosen[3]


def _limits(constants: list[Constant | None], energy: str = "default") -> Array:
    return np.array([UNLIMITED if one is None else one.at(energy) for one in constants])


def make_machine(
    target: AcceleratorTarget,
    *,
    weight_bits: float | None = None,
    input_bits: float | None = None,
    output_bits: float | None = None,
    word_bits: ArrayLike | None = None,
    issued: float = 1.0,
    gated: float = 0.0,
    energy: str = "default",
) -> Machine:
    """Arrays of a target; widths left out are the MAC's own, `word_bits[level, operand]` overrides storage."""
    mac, levels, node = target.mac, target.levels, target.node_nm
    widths = (weight_bits or mac.weight_bits, input_bits or mac.input_bits, output_bits or mac.output_bits)
    stored = np.tile(np.asarray(widths, float), (len(levels), 1))
    if mac.accumulator_bits is not None:
        stored[1:, 2] = mac.accumulator_bits
    energies = [level_energy_pj(level, node.value if node else None, energy) for level in levels]
    mac_pj, rate = mac_energy(mac, widths[0], widths[1], energy)
    n_pe = int(np.prod([array.x * array.y for array in target.arrays], initial=1))
    above = [name for name, _, _ in target.blocks]
    copies = [
        np.prod([a.x * a.y for a in target.arrays if above.index(a.below) < above.index(level.name)], initial=1)
        for level in levels
    ]
    leakage_w = sum(one[2] * count for one, count in zip(energies, copies, strict=True))
    leakage_w += (mac.leakage_w.at(energy) if mac.leakage_w else 0.0) * n_pe
    halves = [2 if level.double_buffered else 1 for level in levels]
    return Machine(
        word_bits=stored if word_bits is None else np.asarray(word_bits, float),
        capacity_bits=_limits([level.capacity_bits for level in levels]) / halves,
        width_bits=np.array([level.width_bits for level in levels], float),
        read_pj=np.array([one[0] for one in energies]),
        write_pj=np.array([one[1] for one in energies]),
        read_bandwidth=_limits([level.read_bits_per_cycle for level in levels]),
        write_bandwidth=_limits([level.write_bits_per_cycle for level in levels]),
        shared_bandwidth=np.minimum(
            _limits([level.shared_bits_per_cycle for level in levels]),
            [level.ports * level.width_bits if level.ports else UNLIMITED for level in levels],
        ),
        transfer_pj_per_bit=np.array(
            [array.transfer_pj_per_bit.at(energy) if array.transfer_pj_per_bit else 0.0 for array in target.arrays]
        ),
        bus_bandwidth=np.array(
            [_limits([array.bits_per_cycle.get(operand) for operand in OPERANDS]) for array in target.arrays]
        ).reshape(len(target.arrays), len(OPERANDS)),
        mac_pj=np.asarray(mac_pj),
        gated_pj=np.asarray(mac.gated_pj.at(energy) if mac.gated_pj else 0.0),
        macs_per_cycle=np.asarray(float(rate)),
        leakage_pj_per_cycle=np.asarray(leakage_w * 1e12 / target.clock_hz.value),
        issued=np.asarray(float(issued)),
        gated=np.asarray(float(gated)),
        clock_hz=target.clock_hz.value,
        n_pe=n_pe,
        fill_drain=target.fill_drain == "tile",
    )
