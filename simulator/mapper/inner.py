"""The inner halves of mappings: everything from the outermost array inwards, each with its costs as a form.

The outer half (the loops of the levels outside the array) acts on the inner half's traffic only through a
few numbers: whether its loops reuse the weight, input or output tile of the array, and which window its
innermost relevant loop slides. So the costs of a whole mapping are

    costs = outer costs + form @ features,    features = [1, kept_weight, kept_input, kept_output, slides...]

with one form [1 + resource, feature] per inner half. Inner halves with the same tile share outer halves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..accelerator import DIMS
from .hierarchy import Hierarchy
from .linear import Prices
from .machine import Machine
from .mapspace import Space, chains, telling_orders
from .problem import DIM, RELEVANT, Ints, Problem
from .traffic import Nest, input_words, outer_steps, overlap_rows, shares, spread_tile, suffix_products, window_sum

__all__ = ["Inner", "cut_of", "fitting_halves", "inner_halves"]

Array = NDArray[np.float64]
WEIGHT, INPUT, OUTPUT = 0, 1, 2
FIRST = ("R", "S", "P", "Q", "G", "N", "C", "K")  # the order in which dims are combined: few choices first
FIXED_FEATURES = 4
SLACK = 1 + 1e-9


@dataclass(frozen=True, eq=False)
class Inner:
    """Inner halves that share their loop orders, sorted by tile.

    `factors[j, block, dim]` (blocks from the cut inwards), `tile[j, dim]` their product; halves of group g are
    rows `starts[g]` to `starts[g + 1]`. `form[j, 1 + resource, feature]`; `steps[j]` counts all temporal
    loops, the outer ones included; `fill_bits[j]` are the bits of first tiles kept inside.
    """

    orders: tuple[tuple[str, ...], ...]
    factors: Ints
    tile: Ints
    starts: Ints
    form: Array
    steps: Array
    first_tiles: Array


def cut_of(hierarchy: Hierarchy) -> int:
    """The first block of the inner half: the outermost array, or else all but the two outermost levels."""
    if hierarchy.spatial and hierarchy.spatial[0] > 0:
        return hierarchy.spatial[0]
    return min(2, len(hierarchy.blocks) - 1) if len(hierarchy.blocks) > 1 else 1


def windows_of(space: Space, cut: int) -> tuple[str, ...]:
    """Windows that the outer half can slide."""
    return tuple(w for w in "PQRS" if any(w in space.allowed[b] for b in range(cut)))


def _tile_bits(problem: Problem, held: Ints, hierarchy: Hierarchy, machine: Machine, level: int) -> Array:
    """Bits of the tiles of all operands that a level keeps, for tiles held[..., dim]."""
    held = np.minimum(held, problem.bounds)
    total = np.zeros(held.shape[:-1])
    n, g, k, c, p, q, r, s = (held[..., d].astype(float) for d in range(8))
    for operand in range(3):
        if level not in hierarchy.keepers[operand]:
            continue
        if operand == WEIGHT:
            words = g * k * c * r * s
        elif operand == OUTPUT:
            words = n * g * k * p * q
        else:
            rows = (p - 1) * problem.stride[0] + (r - 1) * problem.dilation[0] + 1
            words = n * g * c * rows * ((q - 1) * problem.stride[1] + (s - 1) * problem.dilation[1] + 1)
        total = total + words * machine.word_bits[level, operand]
    return total


def _fitting(problem: Problem, space: Space, hierarchy: Hierarchy, machine: Machine, cut: int) -> Ints:
    """All inner halves whose spatial loops fit the meshes and whose tiles fit every level: [j, block, dim]."""
    blocks = hierarchy.blocks
    n_inner = len(blocks) - cut
    found = np.ones((1, n_inner, len(DIMS)), np.int64)
    for dim in FIRST:
        bound = problem.bounds[DIM[dim]]
        places = [b for b in range(cut, len(blocks)) if dim in space.allowed[b]]
        limits = [(blocks[b].spatial, blocks[b].size if blocks[b].spatial else bound) for b in places]
        options = chains(bound, limits, ceil=space.ceil)
        if not any(dim in space.allowed[b] for b in range(cut)):
            options = [chain for chain in options if chain[0] == 1]
        if not options:
            return found[:0]
        column = np.ones((len(options), n_inner), np.int64)
        column[:, [b - cut for b in places]] = np.array([chain[1:] for chain in options], np.int64).reshape(
            len(options), len(places)
        )
        many = len(found)
        found = np.repeat(found, len(options), axis=0)
        found[:, :, DIM[dim]] = np.tile(column, (many, 1))
        found = found[_fits(problem, hierarchy, machine, cut, found)]
    return found


def _fits(problem: Problem, hierarchy: Hierarchy, machine: Machine, cut: int, found: Ints) -> NDArray[np.bool_]:
    good = np.ones(len(found), bool)
    for b in hierarchy.spatial:
        good &= found[:, b - cut].prod(axis=1) <= hierarchy.blocks[b].size
    held = np.ones((len(found), len(DIMS)), np.int64)
    for b in range(found.shape[1] - 1, -1, -1):
        held *= found[:, b]
        for level, place in enumerate(hierarchy.place):
            if max(cut, place) - cut == b and np.isfinite(machine.capacity_bits[level]):
                bits = _tile_bits(problem, held, hierarchy, machine, level)
                good &= bits <= machine.capacity_bits[level] * SLACK
    return good


def fitting_halves(problem: Problem, space: Space, hierarchy: Hierarchy, machine: Machine) -> tuple[Ints, Array]:
    """(inner halves that fit, [j, block, dim], sorted by tile; the steps of the whole nest that each leaves, [j])."""
    cut = cut_of(hierarchy)
    found = _fitting(problem, space, hierarchy, machine, cut)
    tile = found.prod(axis=1)
    rank = np.lexsort(tile.T[::-1])
    temporal = [b - cut for b in range(cut, len(hierarchy.blocks)) if not hierarchy.blocks[b].spatial]
    left = -(-np.asarray(problem.bounds) // tile)
    steps = found[:, temporal].prod(axis=(1, 2)) * left.prod(axis=1)
    return found[rank], steps[rank].astype(float)


def inner_halves(
    problem: Problem, space: Space, hierarchy: Hierarchy, machine: Machine, prices: Prices, found: Ints, steps: Array
) -> Iterator[Inner]:
    """Inner halves (of `fitting_halves`, or some of them) for every choice of telling loop orders inside."""
    cut = cut_of(hierarchy)
    if not len(found):
        return
    tile = found.prod(axis=1)
    changes = np.flatnonzero((np.diff(tile, axis=0) != 0).any(axis=1)) + 1
    starts = np.concatenate([[0], changes, [len(tile)]])
    temporal = [b for b in range(cut, len(hierarchy.blocks)) if not hierarchy.blocks[b].spatial]
    left = -(-np.asarray(problem.bounds) // tile)
    nest_factors = np.concatenate([np.ones((len(found), cut, len(DIMS)), np.int64), found], axis=1)
    nest_factors[:, 0] = left
    inside = suffix_products(nest_factors)
    for chosen in product(*(telling_orders(space, b, problem) for b in temporal)):
        orders: list[tuple[str, ...]] = [()] * len(hierarchy.blocks)
        for b, order in zip(temporal, chosen, strict=True):
            orders[b] = order
        nest = Nest(problem, hierarchy, nest_factors, tuple(orders), inside)
        form, first_tiles = _form(nest, prices, machine, cut, windows_of(space, cut))
        yield Inner(tuple(orders), found, tile, starts, form, steps, first_tiles)


def _form(nest: Nest, prices: Prices, machine: Machine, cut: int, windows: tuple[str, ...]) -> tuple[Array, Array]:
    hierarchy, problem = nest.hierarchy, nest.problem
    j, rows = len(nest.factors), len(prices.per_instance)
    form = np.zeros((j, rows, FIXED_FEATURES + 2 * len(windows)))
    first_tiles = np.zeros((j, 3))
    ones = np.ones(j, np.int64)
    used = [nest.spatial(OUTPUT, 0, p, relevant=True) * nest.spatial(OUTPUT, 0, p, relevant=False)
            for p in hierarchy.place]  # fmt: skip
    share = np.stack([1.0 / (ones if level < 0 else used[level]) for level in prices.per_instance], axis=1)
    for operand in range(3):
        for level, child in hierarchy.pairs(operand):
            start, end = hierarchy.place[level], hierarchy.place[child] if child >= 0 else len(hierarchy.blocks)
            key = (operand, level, child)
            if end < cut:
                continue  # both in the outer half
            if operand == OUTPUT:
                first = problem.words[OUTPUT] * nest.spatial(OUTPUT, 0, start, relevant=False)
                form[:, :, 0] -= first[:, None] * prices.first[key] * share
            asked, arrived = _pair_words(nest, operand, start, end, child, cut, windows)
            for words, price in ((asked, prices.asked[key]), (arrived, prices.arrived[key])):
                for r in np.flatnonzero(price):
                    form[:, r] += words * (price[r] * share[:, r])[:, None]
            if level == 0 and child >= 0:
                held = np.minimum(nest.inside[:, end], problem.bounds)
                bits = _operand_words(problem, held, operand) * used[child]
                first_tiles[:, operand] = np.minimum(bits, problem.words[operand])
    return form, first_tiles


def _operand_words(problem: Problem, held: Ints, operand: int) -> Array:
    n, g, k, c, p, q, r, s = (held[:, d].astype(float) for d in range(8))
    if operand == WEIGHT:
        return g * k * c * r * s
    if operand == OUTPUT:
        return n * g * k * p * q
    rows = (p - 1) * problem.stride[0] + (r - 1) * problem.dilation[0] + 1
    return n * g * c * rows * ((q - 1) * problem.stride[1] + (s - 1) * problem.dilation[1] + 1)


def _pair_words(
    nest: Nest, operand: int, start: int, end: int, child: int, cut: int, windows: tuple[str, ...]
) -> tuple[Array, Array]:
    """(asked, arrived) words of a pair as coefficients of the features: [j, feature]."""
    hierarchy, problem = nest.hierarchy, nest.problem
    between = [b for b in hierarchy.spatial if start < b < end]
    shared = np.ones((len(nest.factors), len(DIMS)), np.int64)
    for b in between:
        shared *= np.where(shares(nest, operand, b)[:, None], nest.factors[:, b], 1)
    same = ~RELEVANT[operand]
    spread = spread_tile(nest, start, end) if operand == INPUT else nest.inside[:, end]
    if child < 0:
        each = (-(-np.asarray(problem.bounds) // shared)[:, same]).prod(axis=1)
        constant = np.zeros((2, len(nest.factors), FIXED_FEATURES + 2 * len(windows)))
        words = problem.words[operand]
        if operand == INPUT:
            none = outer_steps(nest, operand, end, latch=False, stop=len(hierarchy.blocks))
            words = input_words(nest, spread, none)
        constant[0, :, 0] = words * each
        constant[1, :, 0] = problem.macs
        return constant[0], constant[1]
    copies = nest.spatial(operand, 0, end, relevant=False)
    arrived = _words(nest, operand, end, nest.inside[:, end], cut, windows) * copies[:, None]
    asked = _words(nest, operand, end, spread, cut, windows) * (copies // shared[:, same].prod(axis=1))[:, None]
    return asked, arrived


def _words(nest: Nest, operand: int, end: int, held: Ints, cut: int, windows: tuple[str, ...]) -> Array:
    """Words of one copy: where the inner loops settle the order, all outer irrelevant loops repeat them."""
    problem = nest.problem
    steps = outer_steps(nest, operand, end, latch=True, stop=cut)
    out = np.zeros((len(nest.factors), FIXED_FEATURES + 2 * len(windows)))
    same = ~RELEVANT[operand]
    repeats = nest.factors[:, 0, same].prod(axis=1)
    total = input_words(nest, held, steps) if operand == INPUT else problem.words[operand]
    total = (total * steps.kept).astype(float)
    out[:, 0] = np.where(steps.waiting, 0.0, total * repeats)
    out[:, 1 + operand] = np.where(steps.waiting, total, 0.0)
    if operand != INPUT:
        return out
    held = np.minimum(held, problem.bounds)
    count = -(-np.asarray(problem.bounds) // held)
    n, g, _, c, *_ = problem.bounds
    for place, window in enumerate(windows):
        d, across = DIM[window], "Q" if window in "PR" else "P"
        shift = nest.inside[:, cut, d]
        each = overlap_rows(problem, window, held, count, shift) * window_sum(problem, across, held, count)
        each = np.where(steps.waiting, n * g * c * each * steps.kept, 0).astype(float)
        out[:, FIXED_FEATURES + 2 * place] = -each * count[:, d]
        out[:, FIXED_FEATURES + 2 * place + 1] = each * (shift // held[:, d])
    return out
