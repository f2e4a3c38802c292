"""Loop orders of one block that are the same to the counts, so that each is costed once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..accelerator import DIMS
from .problem import DIM, RELEVANT, SLIDING, Ints

__all__ = ["distinct_orders", "loop_pattern"]

INPUT = 1


def _effect(order: Sequence[str]) -> tuple[tuple[frozenset[str], str], ...]:
    """By operand: the loops that it does not index at the inner end, and the window its first other loop slides.

    This is all that traffic.outer_steps reads off the loops of a block, whatever stands around it.
    """
    found = []
    for operand in range(3):
        run, window = set(), ""
        for dim in reversed(order):
            if RELEVANT[operand, DIM[dim]]:
                window = dim if operand == INPUT and dim in SLIDING else "other"
                break
            run.add(dim)
        found.append((frozenset(run), window))
    return tuple(found)


@lru_cache(1024)
def distinct_orders(orders: tuple[tuple[str, ...], ...]) -> NDArray[np.bool_]:
    """[order, pattern]: whether an order is the first of its effect among loops above 1; see loop_pattern.

    >>> table = distinct_orders((("K", "C"), ("C", "K")))
    >>> table[:, 0].tolist(), table[:, loop_pattern(np.array([[1], [1], [2], [2]] + 4 * [[1]]))[0]].tolist()
    ([True, False], [True, True])
    """
    table = np.zeros((len(orders), 1 << len(DIMS)), bool)
    loops = {DIM[dim] for order in orders for dim in order}
    for chosen in product((0, 1), repeat=len(loops)):
        pattern = sum(bit << d for bit, d in zip(chosen, loops, strict=True))
        seen = set()
        for place, order in enumerate(orders):
            effect = _effect([dim for dim in order if pattern >> DIM[dim] & 1])
            table[place, pattern] = effect not in seen
            seen.add(effect)
    return table


def loop_pattern(factors: Ints) -> Ints:
    """Which loops of a block are above 1, as bits: factors[dim, k] -> [k]."""
    return ((factors > 1) << np.arange(len(DIMS))[:, None]).sum(axis=0)
