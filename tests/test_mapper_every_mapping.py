"""Mapspace B of Eyeriss-168 counted out: every factorisation in every loop order, by formulas written down here alone.

Nothing of the mapper is used but its answer. The counts follow the conventions of Timeloop's nest analysis for this one
nest, level by level; energies are the artifact's. conv5 has 4.8 x 10^8 mappings, conv3 7.8 x 10^8.
"""

from __future__ import annotations

from itertools import permutations, product
from math import factorial

import numpy as np
import pytest

from picojoule.models.loops import LoopBounds
from picojoule.simulator.accelerator import AcceleratorTarget
from picojoule.simulator.mapper import best_mapping
from picojoule.simulator.target import load_target

Floats = np.ndarray
# pJ of one 16-bit word
DRAM, GLB_READ, GLB_WRITE, MAC = 512 * 16 / 64, 49.1739 / 4, 37.1554 / 4, 2.20035
IFMAP, WEIGHT_READ, WEIGHT_WRITE, PSUM = 0.19652, 0.71011, 1.13063, 0.25281
GLB_WORDS, IFMAP_WORDS, WEIGHT_WORDS, PSUM_WORDS = 51_200, 12, 224, 24
X, Y = 14, 12
# dims that may loop in DRAM and in the buffer, as bits of a pattern
OUTER = "QNKCP"
CHUNK = 200_000


def ways(number: int, most: tuple[int, ...]) -> np.ndarray:
    """All tuples of factors with this product, each at most `most`: [way, place]."""
    if len(most) == 1:
        return np.array([[number]]) if number <= most[0] else np.zeros((0, 1), int)
    rows = [
        np.hstack([np.full((len(rest), 1), first), rest])
        for first in range(1, min(number, most[0]) + 1)
        if number % first == 0 and len(rest := ways(number // first, most[1:]))
    ]
    return np.vstack(rows) if rows else np.zeros((0, len(most)), int)


def factorisations(n: int, k: int, c: int, p: int, q: int) -> list[np.ndarray]:
    """Ways by dim: N d g ifmap weights psum, K d g x y psum, C d g y weights, P d g, Q d g x."""
    free = 1 << 30
    return [
        ways(n, (free,) * 5), ways(k, (free, free, X, Y, free)), ways(c, (free, free, Y, free)),
        ways(p, (free, free)), ways(q, (free, free, X)),
    ]  # fmt: skip


def mapspace_size(options: list[np.ndarray]) -> int:
    """Factorisations times orders of the loops above 1 in DRAM and in the buffer."""
    counted = {(0, 0): 1}
    for found in options:
        more: dict[tuple[int, int], int] = {}
        for way in found:
            for (d, g), many in counted.items():
                key = (d + int(way[0] > 1), g + int(way[1] > 1))
                more[key] = more.get(key, 0) + many
        counted = more
    return sum(many * factorial(d) * factorial(g) for (d, g), many in counted.items())


def kept(order: tuple[str, ...], loops: dict[str, Floats], same: str, waiting: np.ndarray) -> tuple[Floats, np.ndarray]:
    """(product of the loops of `same` that have another loop above 1 inside them, whether none has been met yet)."""
    total = np.ones(len(waiting))
    for dim in reversed(order):
        if dim in same:
            total *= np.where(waiting, 1, loops[dim])
        else:
            waiting = waiting & (loops[dim] == 1)
    return total, waiting


def first_other(orders: tuple[tuple[str, ...], ...]) -> tuple[int, str]:
    """(block counted from the inside, dim) of the innermost loop that is not K's; all loops given are above 1."""
    for place, order in enumerate(orders):
        for dim in reversed(order):
            if dim != "K":
                return place, dim
    return -1, ""


def energy(w: dict[str, Floats], d_order: tuple[str, ...], g_order: tuple[str, ...], sizes: dict[str, int]) -> Floats:
    """pJ of one layer, by loops w["K d"], ... (arrays over factorisations)."""
    n, k, c, p, q = (sizes[dim] for dim in "NKCPQ")
    macs, weights, outputs = n * k * c * p * q * 9, k * c * 9, n * k * p * q
    d, g = ({dim: w[f"{dim} {level}"] for dim in OUTER} for level in "dg")
    none = np.ones(len(d["K"]), bool)
    # weights: DRAM to the PEs past the buffer; N, P, Q repeat them (N of the ifmap pad lies outside the weight pad)
    inner = none  # N of the ifmap pad does not index weights and is dropped while nothing inside it does
    of_g, inner = kept(g_order, g, "NPQ", inner)
    of_d, _ = kept(d_order, d, "NPQ", inner)
    times = of_g * of_d
    total = weights * times * (DRAM + w["Q x"] * WEIGHT_WRITE) + macs * WEIGHT_READ
    # outputs: pads inside R, C and N of the weight pad and N of the ifmap pad
    met = w["N w"] > 1
    inside = np.where(met, w["C w"] * 3, 1.0)
    of_g, waiting = kept(g_order, g, "C", ~(met | (w["N i"] > 1)))
    of_d, _ = kept(d_order, d, "C", waiting)
    asked = outputs * inside * of_g * of_d
    spread = w["C y"] * 3
    total += macs * PSUM + (macs - outputs * spread) * PSUM + asked * spread * PSUM
    total += asked * GLB_WRITE + (asked - outputs) * GLB_READ
    of_d, _ = kept(d_order, d, "C", none)
    total += outputs * of_d * (DRAM + GLB_WRITE) + (outputs * of_d - outputs) * DRAM
    # inputs: PE by PE a column of three rows, then the buffer's window
    of_g, waiting = kept(g_order, g, "K", none)
    of_d, _ = kept(d_order, d, "K", waiting)
    rows, columns = np.full(len(none), 3.0 * p), 3.0 * q
    block, dim = first_other((g_order, d_order))
    if dim == "P":
        step = np.ones(len(none)) if block == 0 else g["P"]
        loop = g["P"] if block == 0 else d["P"]
        rows = rows - (p - p / loop) * np.maximum(3 - step, 0)
    asked = n * c * rows * columns * of_g * of_d
    total += macs * IFMAP + asked * (GLB_READ + w["K x"] * w["K y"] * IFMAP)
    of_d, _ = kept(d_order, d, "K", none)
    rows, columns = d["P"] * (g["P"] + 2), d["Q"] * (g["Q"] * w["Q x"] + 2)
    held = rows * columns
    _, dim = first_other((d_order,))
    held = held - {"P": 2 * (d["P"] - 1) * columns, "Q": 2 * (d["Q"] - 1) * rows}.get(dim, 0)
    total += n * c * held * of_d * (DRAM + GLB_WRITE)
    return total + macs * MAC


def least_energy(bounds: LoopBounds) -> tuple[float, int]:
    """(pJ of the best mapping, mappings costed) over everything that fits."""
    sizes = {dim: getattr(bounds, dim) for dim in "NKCPQ"}
    options = factorisations(*(sizes[dim] for dim in "NKCPQ"))
    places = (("N", "dgiwp"), ("K", "dgxyp"), ("C", "dgyw"), ("P", "dg"), ("Q", "dgx"))
    names = [f"{dim} {place}" for dim, at in places for place in at]
    shape, best, costed = tuple(len(found) for found in options), np.inf, 0
    for start in range(0, int(np.prod(shape)), CHUNK):
        at = np.unravel_index(np.arange(start, min(start + CHUNK, int(np.prod(shape)))), shape)
        columns = np.hstack([found[i] for found, i in zip(options, at, strict=True)]).T.astype(float)
        w = dict(zip(names, columns, strict=True))
        images, channels = w["N i"] * w["N w"] * w["N p"], w["C w"]
        inside_k, inside_n = w["K g"] * w["K x"] * w["K y"] * w["K p"], w["N g"] * images
        window = inside_n * w["C g"] * w["C y"] * channels * (w["P g"] + 2) * (w["Q g"] * w["Q x"] + 2)
        fits = (w["Q x"] * w["K x"] <= X) & (w["C y"] * w["K y"] * 3 <= Y) & (images * channels * 3 <= IFMAP_WORDS)
        fits &= (3 * channels * w["K p"] <= WEIGHT_WORDS) & (w["K p"] * w["N p"] <= PSUM_WORDS)
        fits &= window + inside_n * inside_k * w["P g"] * w["Q g"] * w["Q x"] <= GLB_WORDS
        w = {name: column[fits] for name, column in w.items()}
        patterns = sum((w[f"{dim} {level}"] > 1).astype(int) << (i + 5 * (level == "g"))
                       for i, dim in enumerate(OUTER) for level in "dg")  # fmt: skip
        for pattern in np.unique(patterns):
            chosen = patterns == pattern
            some = {name: column[chosen] for name, column in w.items()}
            loops = [[dim for i, dim in enumerate(OUTER) if pattern >> (i + shift) & 1] for shift in (0, 5)]
            for d_order, g_order in product(permutations(loops[0]), permutations(loops[1])):
                best = min(best, float(energy(some, d_order, g_order, sizes).min()))
                costed += int(chosen.sum())
    return best, costed


def check(bounds: LoopBounds) -> None:
    target = load_target("eyeriss-168")
    assert isinstance(target, AcceleratorTarget)
    found = best_mapping(bounds, target, "energy", mapspace="b")
    assert found.proven
    options = factorisations(*(getattr(bounds, dim) for dim in "NKCPQ"))
    assert found.mapspace_size == mapspace_size(options)
    best, costed = least_energy(bounds)
    assert found.energy_pj == pytest.approx(best, rel=1e-9)
    assert 1_000 < costed <= found.mapspace_size


@pytest.mark.parametrize("bounds", [
    LoopBounds(N=4, K=8, C=6, P=13, Q=13, R=3, S=3), LoopBounds(N=2, K=12, C=4, P=6, Q=6, R=3, S=3),
    LoopBounds(N=1, K=16, C=16, P=4, Q=8, R=3, S=3),
])  # fmt: skip
def test_the_optimum_of_every_mapping_of_a_small_layer(bounds: LoopBounds) -> None:
    check(bounds)


@pytest.mark.slow
@pytest.mark.parametrize(("k", "c"), [(256, 192), (384, 256)])
def test_the_optimum_of_every_mapping_of_alexnet(k: int, c: int) -> None:
    """conv5 and conv3 at batch 4: minutes each."""
    check(LoopBounds(N=4, K=k, C=c, P=13, Q=13, R=3, S=3))
