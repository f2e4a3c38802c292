"""A layer and a mapping as arrays: bounds by dim, factors by mapping, block and dim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...models.errors import InputError
from ...models.loops import LoopBounds
from ..accelerator import DIMS

__all__ = ["DIM", "RELEVANT", "SLIDING", "Ints", "Problem", "make_problem"]

Ints = NDArray[np.int64]
DIM = {name: place for place, name in enumerate(DIMS)}
# RELEVANT[operand][dim]: whether the operand's index depends on the loop
RELEVANT = np.array(
    [[name in dims for name in DIMS] for dims in ("GKCRS", "NGCPQRS", "NGKPQ")]
)
SLIDING = ("P", "Q", "R", "S")
LARGEST_MACS = 1 << 50


@dataclass(frozen=True)
class Problem:
    """`bounds` in the order of DIMS; K and C count the channels of one group."""

    bounds: tuple[int, ...]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)

    @property
    def macs(self) -> int:
        total = 1
        for bound in self.bounds:
            total *= bound
        return total

    def steps(self, window: str) -> int:
        """Rows (columns) that the input moves by when `window`, one of P, R, Q, S, steps by one."""
        sizes = self.dilation if window in "RS" else self.stride
        return sizes[0] if window in "PR" else sizes[1]

    @property
    def words(self) -> tuple[int, int, int]:
        """Words of weight, input (the bounding box of what the loops touch) and output.

        >>> Problem((1, 1, 8, 4, 5, 5, 3, 3)).words
        (288, 196, 200)
        """
        n, g, k, c, p, q, r, s = self.bounds
        rows = (p - 1) * self.stride[0] + (r - 1) * self.dilation[0] + 1
        columns = (q - 1) * self.stride[1] + (s - 1) * self.dilation[1] + 1
        return g * k * c * r * s, n * g * c * rows * columns, n * g * k * p * q

    @property
    def touched_inputs(self) -> int:
        """Input words that the loops touch: fewer than the bounding box where the stride skips rows or columns.

        >>> Problem((1, 1, 1, 2, 3, 1, 1, 1), stride=(2, 1)).touched_inputs
        6
        """
        n, g, _, c, p, q, r, s = self.bounds
        touched = n * g * c
        for slid, kernel, axis in ((p, r, 0), (q, s, 1)):
            at = np.add.outer(np.arange(slid) * self.stride[axis], np.arange(kernel) * self.dilation[axis])
            touched *= len(np.unique(at))
        return touched


def make_problem(bounds: LoopBounds) -> Problem:
    """The loops of one layer; raises InputError where their product is too large to count exactly."""
    if bounds.macs > LARGEST_MACS:
        raise InputError("layer", f"{bounds.macs} MACs", f"at most {LARGEST_MACS}", "map a smaller batch")
    g = bounds.groups
    sizes = (bounds.N, g, bounds.K // g, bounds.C, bounds.P, bounds.Q, bounds.R, bounds.S)
    return Problem(sizes, bounds.stride, bounds.dilation)
