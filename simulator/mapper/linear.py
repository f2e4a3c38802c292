"""What a moved word costs, as coefficients: energy first, then the bits it adds to each limited bandwidth.

A row of costs is [energy pJ, cycles of resource 1, ...] of one mapping; it is linear in the words moved
between each pair of levels, which is what lets the search bound and evaluate many mappings at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .hierarchy import Hierarchy
from .machine import Machine

__all__ = ["Prices", "make_prices", "product"]

Array = NDArray[np.float64]
OUTPUT = 2
ONE_THREAD = 1 << 18


def product(left: Array, right: Array) -> Array:
    """left @ right in pieces that OpenBLAS computes on the calling thread.

    Above 2^18 multiplications it wakes its other threads, which costs more than such small products do.

    >>> product(np.ones((2, 3)), np.ones((3, 4))).tolist()
    [[3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 3.0, 3.0]]
    """
    step = max(1, ONE_THREAD // left.size)
    if right.shape[1] <= step:
        return left @ right
    out = np.empty((len(left), right.shape[1]))
    for start in range(0, right.shape[1], step):
        np.matmul(left, right[:, start : start + step], out=out[:, start : start + step])
    return out


@dataclass(frozen=True, eq=False)
class Prices:
    """`asked[pair]` and `arrived[pair]`: costs [1 + resource] per word that the level is asked for, or that
    arrives at the next one; `first[pair]`: what a first touch saves. Pairs are (operand, level, child).
    `per_instance[1 + resource]`: the level whose number of instances shares the work; -1 for energy.
    """

    names: tuple[str, ...]
    per_instance: tuple[int, ...]
    asked: dict[tuple[int, int, int], Array]
    arrived: dict[tuple[int, int, int], Array]
    first: dict[tuple[int, int, int], Array]


def _resources(hierarchy: Hierarchy, machine: Machine) -> list[tuple[str, int, str, float]]:
    """(name, level, kind, bits per cycle) of every limited bandwidth, in the order of charge(); a bus at the level
    outside it.
    """
    rows = []
    for level, name in enumerate(hierarchy.levels):
        for kind, limit in (
            ("read", machine.read_bandwidth),
            ("write", machine.write_bandwidth),
            ("read+write", machine.shared_bandwidth),
        ):
            if np.isfinite(limit[level]):
                rows.append((f"{name} {kind}", level, kind, float(limit[level])))
    for array, operand, level, child, outside in hierarchy.buses():
        limit = float(machine.bus_bandwidth[array, operand])
        if np.isfinite(limit):
            rows.append((hierarchy.bus_name(array, operand), outside, f"bus {operand} {level} {child}", limit))
    return rows


def make_prices(hierarchy: Hierarchy, machine: Machine) -> Prices:
    """Coefficients of a single machine (no variants)."""
    resources = _resources(hierarchy, machine)
    prices = Prices(
        tuple(name for name, *_ in resources), (-1, *(level for _, level, _, _ in resources)), {}, {}, {}
    )

    def row(level: int, operand: int, reads: int, writes: int) -> Array:
        bits = float(machine.word_bits[level, operand])
        pj = (reads * machine.read_pj[level] + writes * machine.write_pj[level]) * bits / machine.width_bits[level]
        moved = {"read": reads, "write": writes, "read+write": reads + writes}
        times = [moved.get(kind, 0) * bits / limit if at == level else 0.0 for _, at, kind, limit in resources]
        return np.array([pj, *times])

    for operand in range(3):
        for level, child in hierarchy.pairs(operand):
            key = (operand, level, child)
            output = operand == OUTPUT
            prices.asked[key] = row(level, operand, 1, 1 if output else 0)
            for place, (_, _, kind, limit) in enumerate(resources):
                if kind == f"bus {operand} {level} {child}":
                    prices.asked[key][1 + place] += float(machine.word_bits[level, operand]) / limit
            prices.first[key] = row(level, operand, 1 if output else 0, 0)
            arrived = row(child, operand, 0, 1) if child >= 0 else np.zeros(1 + len(resources))
            arrived[0] += _network_pj(hierarchy, machine, key)
            prices.arrived[key] = arrived
    return prices


def _network_pj(hierarchy: Hierarchy, machine: Machine, key: tuple[int, int, int]) -> float:
    """pJ of one word over every array network between two levels; partial sums go down and up."""
    operand, level, child = key
    end = hierarchy.place[child] if child >= 0 else len(hierarchy.blocks)
    total, seen = 0.0, set()
    for b, block in enumerate(hierarchy.blocks):
        if block.spatial and block.array not in seen and hierarchy.place[level] < b < end:
            seen.add(block.array)
            inside = min(sum(place < b for place in hierarchy.place), len(hierarchy.levels) - 1)
            ways = 2 if operand == OUTPUT and child >= 0 else 1
            total += ways * float(machine.word_bits[inside, operand]) * float(machine.transfer_pj_per_bit[block.array])
    return total
