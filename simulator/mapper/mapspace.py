"""Which mappings a search may choose from: factors by dim and block, loop orders by block, and how many there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from math import factorial

from ...models.errors import InputError
from ..accelerator import DIMS, AcceleratorTarget, BlockRule, Mapspace
from .hierarchy import Hierarchy, make_hierarchy
from .presets import preset_rules
from .problem import Problem

__all__ = ["Space", "all_orders", "chains", "divisors", "make_space", "space_size", "telling_orders"]

# Loops that do not index the weight, the input, the output
REUSED = (("N", "P", "Q"), ("K",), ("C", "R", "S"))


@dataclass(frozen=True)
class Space:
    """`allowed[b]`: dims that may loop in block b; `orders[b]`: a fixed order, outermost first, or None.

    `innermost[b]`: dims kept inside the others; `hierarchies`: one for each choice of bypasses.
    """

    name: str
    hierarchies: tuple[Hierarchy, ...]
    allowed: tuple[tuple[str, ...], ...]
    orders: tuple[tuple[str, ...] | None, ...]
    innermost: tuple[tuple[str, ...], ...]
    ceil: bool

    @property
    def hierarchy(self) -> Hierarchy:
        return self.hierarchies[0]


def make_space(target: AcceleratorTarget, name: str | None = None) -> Space:
    """The mapspace of a target by name, its default where none is given. Raises InputError for another name."""
    name = name or target.mapspace
    if name not in target.mapspaces:
        raise InputError("--mapspace", name, f"one of {', '.join(target.mapspaces)}")
    chosen = target.mapspaces[name]
    hierarchy = make_hierarchy(target)
    rules = dict(preset_rules(chosen.preset, target, hierarchy)) | chosen.blocks
    found = [rules.get(block.name, BlockRule()) for block in hierarchy.blocks]
    return Space(
        name,
        tuple(hierarchy.without(skipped) for skipped in _bypasses(chosen)),
        tuple(tuple(dim for dim in DIMS if dim in rule.free or dim in rule.rest) for rule in found),
        tuple(tuple(rule.order.split()) if rule.order else None for rule in found),
        tuple(rule.innermost for rule in found),
        chosen.ceil,
    )


def _bypasses(space: Mapspace) -> Iterator[tuple[tuple[str, str], ...]]:
    for chosen in product((False, True), repeat=len(space.bypass)):
        yield tuple(pair for pair, taken in zip(space.bypass, chosen, strict=True) if taken)


def divisors(number: int) -> tuple[int, ...]:
    """
    >>> divisors(12)
    (1, 2, 3, 4, 6, 12)
    """
    small = [i for i in range(1, int(number**0.5) + 1) if number % i == 0]
    return tuple(sorted({*small, *(number // i for i in small)}))


def rounded(units: int, most: int) -> tuple[int, ...]:
    """Spatial factors up to `most` that are the least for the steps they leave.

    >>> rounded(10, 8)
    (1, 2, 3, 4, 5)
    """
    return tuple(sorted({-(-units // -(-units // s)) for s in range(1, min(units, most) + 1)}))


def chains(bound: int, spaces: Sequence[tuple[bool, int]], *, ceil: bool) -> list[tuple[int, ...]]:
    """Factors of `bound` for blocks given as (spatial?, most), outermost first, what remains put in front.

    Perfect factors, except that with `ceil` the outermost spatial factor above 1 may be rounded up: what
    is left outside it is then the number of steps.

    >>> chains(4, [(True, 2), (False, 9)], ceil=False)
    [(4, 1, 1), (2, 2, 1), (2, 1, 2), (1, 2, 2), (1, 1, 4)]
    >>> chains(5, [(True, 3)], ceil=True)
    [(5, 1), (3, 2), (2, 3)]
    """
    found: list[tuple[bool, tuple[int, ...]]] = [(False, (bound,))]
    for spatial, most in reversed(spaces):
        longer = []
        for done, (left, *rest) in found:
            options = [s for s in divisors(left) if s <= most and not (done and spatial and s > 1)]
            longer += [(done, (left // s, s, *rest)) for s in options]
            if spatial and ceil and not done:
                longer += [(True, (-(-left // s), s, *rest)) for s in rounded(left, most) if left % s]
        found = longer
    return [chain for _, chain in found]


def all_orders(space: Space, b: int) -> list[tuple[str, ...]]:
    """Every order that block b allows."""
    fixed = space.orders[b]
    if fixed is not None:
        return [fixed]
    inside = [dim for dim in space.allowed[b] if dim in space.innermost[b]]
    outside = [dim for dim in space.allowed[b] if dim not in space.innermost[b]]
    return [(*o, *i) for o in permutations(outside) for i in permutations(inside)]


def telling_orders(space: Space, b: int, problem: Problem) -> list[tuple[str, ...]]:
    """Orders of block b of which one is at least as good as any other, whatever the factors are; loops of 1 left out.

    The innermost loops are reused by the one operand that they do not index; more of them inside never
    costs more. Among them, or next to them for the input's, the innermost window decides which one
    slides. So: all loops that one operand reuses innermost, for each operand, with each window first.
    """
    fixed = space.orders[b]
    loops = [dim for dim, bound in zip(DIMS, problem.bounds, strict=True) if bound > 1]
    if fixed is not None:
        return [tuple(dim for dim in fixed if dim in loops)]
    dims = [dim for dim in space.allowed[b] if dim in loops]
    found: list[tuple[str, ...]] = []
    for reused in REUSED:
        for window in "PQRS":
            if window not in reused and reused != ("K",):
                continue  # the innermost loop is one of the run, and relevant to the input
            run = sorted((dim for dim in dims if dim in reused), key=lambda dim: (dim == window, dim in "PQRS"))
            rest = sorted((dim for dim in dims if dim not in reused), key=lambda dim: (dim == window, dim in "PQRS"))
            order = (*rest, *run)
            inner = [dim for dim in order if dim in space.innermost[b]]
            order = (*(dim for dim in order if dim not in space.innermost[b]), *inner)
            if order not in found:
                found.append(order)
    return found


def space_size(space: Space, problem: Problem) -> int:
    """Factorisations times orders of the loops above 1, bypasses included, before capacity and mesh are checked."""
    hierarchy = space.hierarchy
    free = [b for b, block in enumerate(hierarchy.blocks) if not block.spatial and space.orders[b] is None]
    states: dict[tuple[int, ...], int] = {(0,) * (2 * len(free)): 1}
    for dim, bound in zip(DIMS, problem.bounds, strict=True):
        places = [b for b, dims in enumerate(space.allowed) if dim in dims]
        found: dict[tuple[int, ...], int] = {}
        for chain in _complete_chains(bound, places, space):
            key = [0] * (2 * len(free))
            for b, factor in zip(places, chain, strict=True):
                if factor > 1 and b in free:
                    key[2 * free.index(b) + (dim in space.innermost[b])] = 1
            found[tuple(key)] = found.get(tuple(key), 0) + 1
        merged: dict[tuple[int, ...], int] = {}
        for old, many in states.items():
            for key, more in found.items():
                new = tuple(a + b for a, b in zip(old, key, strict=True))
                merged[new] = merged.get(new, 0) + many * more
        states = merged
    total = 0
    for key, many in states.items():
        for loops in key:
            many *= factorial(loops)
        total += many
    return total * len(space.hierarchies)


def _complete_chains(bound: int, places: list[int], space: Space) -> list[tuple[int, ...]]:
    """Factors for all the blocks a dim may loop in, with nothing left over."""
    blocks = space.hierarchy.blocks
    limits = [(blocks[b].spatial, blocks[b].size if blocks[b].spatial else bound) for b in places]
    return [chain[1:] for chain in chains(bound, limits, ceil=space.ceil) if chain[0] == 1]
