"""Where the non-zero weights of one layer lie: all that formats and sparse hardware need to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..models.errors import InputError

__all__ = ["WeightStructure", "random_blocks", "random_n_of_m", "random_structure", "structure_of"]

Ints = NDArray[np.int64]
BLOCK = 1 << 20  # elements drawn at a time


@dataclass(frozen=True, eq=False)
class WeightStructure:
    """Sorted flat positions of the non-zeros of a rows x columns matrix (outputs x inputs, C order).

    `basis` is "exact" for real weights, "statistical" for a uniform random mask of a given density.
    `code_histogram[i]` counts code i among the non-zeros (index 0 unused); None where values are unknown.
    A column is (input channel, kernel element), the latter fastest; `kernel` is how many of these a channel has.
    `values()` are the real weights [rows, columns], read when first asked for; None where unknown.
    """

    rows: int
    columns: int
    positions: Ints
    basis: str
    code_histogram: Ints | None = None
    kernel: int = 1
    values: Callable[[], NDArray[np.float32]] | None = None

    @property
    def elements(self) -> int:
        return self.rows * self.columns

    @property
    def nonzeros(self) -> int:
        return len(self.positions)

    @cached_property
    def zero_runs(self) -> Ints:
        """Zeros skipped before each non-zero of the flattened layer, shape [nonzeros]."""
        return np.diff(self.positions, prepend=np.int64(-1)) - 1

    def relative_pads(self, index_bits: int) -> int:
        """Padding entries of `relative{b}`: sum of floor(run / 2^b).

        >>> WeightStructure(1, 40, np.array([3, 39]), "exact").relative_pads(5)
        1
        """
        return int((self.zero_runs >> index_bits).sum())

    def relative_symbols(self, index_bits: int) -> Ints:
        """Histogram of the index stream of `relative{b}`, padding included, shape [2^b]."""
        histogram = np.bincount(self.zero_runs & (2**index_bits - 1), minlength=2**index_bits)
        histogram[-1] += self.relative_pads(index_bits)
        return histogram

    def interleaved_entries(self, n_pe: int, zero_run_bits: int, columns: Ints | None = None) -> Ints:
        """Entries of each column on each PE in EIE's format, padding included, shape [columns, n_pe].

        Row i lies on PE i mod n_pe; a run of zeros longer than 2^bits - 1 costs one padding entry for
        each 2^bits zeros, and restarts at every column (Han et al., ISCA 2016, section III-B).
        `columns` (sorted) keeps only these columns.

        >>> s = WeightStructure(23, 1, np.array([2, 3, 22]), "exact")
        >>> s.interleaved_entries(1, 4).tolist()
        [[4]]
        """
        if self.nonzeros == self.elements:  # no run of zeros anywhere: each PE holds its rows
            held = -(-(self.rows - np.arange(n_pe)) // n_pe)
            return np.tile(held, (self.columns if columns is None else len(columns), 1))
        row, column = np.divmod(self.positions, self.columns)
        count = self.columns
        if columns is not None:
            place = np.full(self.columns, -1)
            place[columns] = np.arange(len(columns))
            kept = place[column] >= 0
            row, column, count = row[kept], place[column[kept]], len(columns)
        local, pe = np.divmod(row, n_pe)
        per_pe = -(-self.rows // n_pe)
        cell, local = np.divmod(np.sort((column * n_pe + pe) * per_pe + local), per_pe)
        first = np.diff(cell, prepend=-1) != 0
        run = np.where(first, local, np.diff(local, prepend=0) - 1)
        weights = 1 + (run >> zero_run_bits)
        return np.bincount(cell, weights=weights, minlength=count * n_pe).astype(np.int64).reshape(count, n_pe)

    def largest_group(self, m: int) -> int:
        """Most non-zeros among m neighbouring input channels of one output and kernel element; 0 without any.

        >>> WeightStructure(1, 8, np.array([0, 3, 4]), "exact").largest_group(4)
        2
        """
        row, column = np.divmod(self.positions, self.columns)
        channel, element = np.divmod(column, self.kernel)
        per_row = -(-self.columns // self.kernel // m)
        group = (row * self.kernel + element) * per_row + channel // m
        return int(np.bincount(group).max(initial=0))

    def blocks(self, rows: int, columns: int) -> int:
        """Blocks of rows x columns that hold a non-zero.

        >>> WeightStructure(4, 4, np.array([0, 1, 15]), "exact").blocks(2, 2)
        2
        """
        row, column = np.divmod(self.positions, self.columns)
        return len(np.unique(row // rows * -(-self.columns // columns) + column // columns))

    def effectual_macs(self, active_columns: NDArray[np.bool_]) -> int:
        """Products whose weight and input are both non-zero, for one input vector."""
        return int(np.count_nonzero(active_columns[self.positions % self.columns]))


def structure_of(
    mask: NDArray[np.generic],
    code_histogram: Ints | None = None,
    kernel: int = 1,
    values: Callable[[], NDArray[np.float32]] | None = None,
) -> WeightStructure:
    """The structure of a real weight matrix [rows, columns]; non-zero entries count."""
    rows, columns = mask.shape
    return WeightStructure(rows, columns, np.flatnonzero(mask), "exact", code_histogram, kernel, values)


def random_structure(rows: int, columns: int, nonzeros: int, seed: int) -> WeightStructure:
    """A uniform random mask with exactly `nonzeros` ones.

    Gaps between ones are drawn geometrically at a slightly higher density, then the surplus is
    removed at random: given their number, the positions are uniform, and memory is O(nonzeros).

    >>> random_structure(100, 50, 400, seed=1).nonzeros
    400
    """
    elements = rows * columns
    if nonzeros >= elements:
        return WeightStructure(rows, columns, np.arange(elements), "statistical")
    rng = np.random.default_rng(seed)
    positions = np.empty(0, np.int64)
    surplus = 4 * np.sqrt(nonzeros) + 8
    while len(positions) < nonzeros:
        density = min(1.0, (nonzeros + surplus) / elements)
        draws = int(nonzeros + 2 * surplus)
        positions = np.cumsum(rng.geometric(density, draws)) - 1
        positions = positions[positions < elements]
        surplus *= 2
    keep = np.ones(len(positions), bool)
    keep[rng.choice(len(positions), len(positions) - nonzeros, replace=False)] = False
    return WeightStructure(rows, columns, positions[keep], "statistical")


def random_blocks(
    rows: int, columns: int, nonzeros: int, seed: int, high: int, wide: int, kernel: int = 1
) -> WeightStructure:
    """A random mask with exactly `nonzeros` ones in as few whole blocks of high x wide as hold them.

    Blocks are drawn uniformly; what the last of them has too much goes.

    >>> s = random_blocks(64, 64, 512, 1, 8, 8)
    >>> s.nonzeros, s.blocks(8, 8)
    (512, 8)
    """
    wide_blocks = -(-columns // wide)
    order = np.random.default_rng(seed).permutation(-(-rows // high) * wide_blocks)
    top, left = np.divmod(order, wide_blocks)
    sizes = np.minimum(high, rows - top * high) * np.minimum(wide, columns - left * wide)
    needed = int(np.searchsorted(np.cumsum(sizes), nonzeros)) + 1 if nonzeros else 0
    row = (top[:needed, None, None] * high + np.arange(high)[:, None])
    column = (left[:needed, None, None] * wide + np.arange(wide))
    inside = np.broadcast_to((row < rows) & (column < columns), (needed, high, wide))
    positions = np.broadcast_to(row * columns + column, inside.shape)[inside][:nonzeros]
    return WeightStructure(rows, columns, np.sort(positions), "statistical", None, kernel)


def random_n_of_m(
    rows: int, columns: int, nonzeros: int, seed: int, n: int, m: int, kernel: int = 1
) -> WeightStructure:
    """A random mask with exactly `nonzeros` ones, at most n of every m neighbouring input channels.

    Each group's places are drawn first; what is too much then goes at random. Raises InputError where groups of n do
    not hold `nonzeros`.

    >>> random_n_of_m(10, 16, 80, 1, 2, 4).largest_group(4)
    2
    """
    rng = np.random.default_rng(seed)
    lines, channels = rows * kernel, columns // kernel  # a line: all channels of one output and kernel element
    groups = -(-channels // m)
    step = max(1, BLOCK // (groups * m))
    parts = []
    for first in range(0, lines, step):
        line = np.arange(first, min(first + step, lines))[:, None, None]
        keys = rng.random((len(line), groups * m), np.float32)
        keys[:, channels:] = 2  # behind the last channel: chosen last, then dropped
        order = np.argsort(keys.reshape(len(line), groups, m), axis=2)[..., :n]
        channel = np.arange(groups)[:, None] * m + order
        row, element = np.divmod(line, kernel)
        parts.append((row * columns + channel * kernel + element)[channel < channels])
    positions = np.concatenate(parts)
    if nonzeros > len(positions):
        most = len(positions) / (rows * columns)
        raise InputError(f"nm{n}:{m}", f"a density of {nonzeros / (rows * columns):.3g}", f"at most {most:.3g}",
                         f"for example --density {most:.3g}")  # fmt: skip
    kept = rng.choice(len(positions), nonzeros, replace=False)
    return WeightStructure(rows, columns, np.sort(positions[kept]), "statistical", None, kernel)
