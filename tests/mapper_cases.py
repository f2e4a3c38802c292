"""Random small layers, nests, mapspaces and machines for the mapper's tests, from one seed each."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np

from picojoule.simulator.mapper.machine import Machine, make_machine
from picojoule.simulator.mapper.mapspace import Space, make_space
from picojoule.simulator.mapper.problem import Problem
from picojoule.simulator.target import load_target

EYERISS_168 = load_target("eyeriss-168")
LOOPS = ("N", "K", "C", "P", "Q", "R", "S")


def random_problem(random: Random, most: int = 6) -> Problem:
    small = [bound for bound in (1, 2, 3, 4, 5, 6) if bound <= most]
    n, g = random.choice([1, 2]), random.choice([1, 1, 1, 2])
    k, c, p, q = (random.choice(small) for _ in range(4))
    r, s = random.choice([1, 2, 3]), random.choice([1, 2, 3])
    stride = random.choice([1, 1, 2, 3])
    return Problem((n, g, k, c, p, q, r, s), (stride, random.choice([1, stride])), (random.choice([1, 1, 2]), 1))


def random_space(random: Random, wide: int = 4) -> Space:
    """Eyeriss-168's levels around a small mesh with other dims allowed in other places, and bypasses or none."""
    space = make_space(EYERISS_168, "b")
    allowed: list[tuple[str, ...]] = []
    for name in (block.name for block in space.hierarchy.blocks):
        number = {"dram": wide, "shared_glb": wide - 1, "spatial_x": 2, "spatial_y": 2, "spatial_between": 0}
        dims = random.sample(LOOPS, number.get(name, 1))
        if name == "dram":
            dims.append("G")
        if name == "weights_spad":
            dims += [dim for dim in LOOPS if not any(dim in other for other in allowed) and dim not in dims]
        allowed.append(tuple(dims))
    orders = [None if place < 2 else dims for place, dims in enumerate(allowed)]
    hierarchy = replace(space.hierarchy, blocks=tuple(
        replace(block, size=random.choice([2, 3, 5]), multicast=random.choice(["any", "axis", "none"]),
                halo=random.random() < 0.3, reduces=random.random() < 0.7) if block.spatial else block
        for block in space.hierarchy.blocks
    ))  # fmt: skip
    skipped = random.choice([[], [("shared_glb", "input")], [("psum_spad", "output"), ("ifmap_spad", "input")]])
    nests = (hierarchy, hierarchy.without(skipped)) if skipped else (hierarchy,)
    return replace(space, allowed=tuple(allowed), orders=tuple(orders), innermost=((),) * len(allowed),
                   ceil=random.random() < 0.5, hierarchies=nests)  # fmt: skip


def random_machine(random: Random) -> Machine:
    machine = make_machine(EYERISS_168)
    capacity = machine.capacity_bits.copy()
    capacity[1:] = 16 * np.array([random.choice([20, 40, 100, 300]), *random.choices([8, 30, 100], k=3)])
    bandwidth = machine.read_bandwidth.copy()
    bandwidth[:2] = random.choice([4, 16, 64]), random.choice([16, 64])
    return replace(
        machine, capacity_bits=capacity, read_bandwidth=bandwidth, transfer_pj_per_bit=np.array([0.05]),
        leakage_pj_per_cycle=np.asarray(random.choice([0.0, 30.0])), fill_drain=random.random() < 0.5,
        bus_bandwidth=np.array([random.choices([np.inf, 16.0, 64.0], k=3)]),
    )  # fmt: skip
