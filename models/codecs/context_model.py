"""The probabilities of `context`: whole-number counts of what was coded before, a piece of a column at a time.

**Rows.** How many non-zeros each row has, one after the other, as the difference from the row before; so rows sorted by
it cost about a bit each. Rows are then taken in falling order of their counts.
**Mask.** Column after column; a row with r of its ones left and c columns to go has a one here with r / c on average
(with r = 0 or r = c it needs no bits). The column's own factor is what it showed in the pieces before this one (4, 8,
16, ... rows), with the factor of its neighbours (to the left; on a grid also above) worth two expected ones. The
product, in thirds of an octave, and the number of neighbouring ones on the grid choose a pair of counts: how often this
was followed by 0 and by 1. Their ratio is the probability: a wrong assumption above costs bits, never correctness.
**Values.** The code minus 1, its bits from the highest on, each with counts of its own for what went before it and for
the weighted sum of the neighbours' halves of the codebook (below or above: the sign, where the codebook is sorted).

Nothing here is a float: the reader has exactly the writer's probabilities. Matrices are rows x columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .range_coder import SCALE, SCALE_BITS, Coder

__all__ = ["code_mask", "code_row_counts", "code_values"]

Ints = NDArray[np.int64]

FIRST_PIECE = 4
LEVELS = 40  # thirds of an octave below probability 1
LEVEL_TOPS = np.array([(1048576, 832255, 660561)[k % 3] >> k // 3 for k in range(LEVELS)])  # 2^20 2^(-k / 3)
LEVEL_MIDDLES = np.array([(934175, 741455, 588493)[k % 3] >> k // 3 for k in range(LEVELS)])  # 2^20 2^(-(k + 1/2) / 3)
ONE = 1 << 8  # an observation, in counts
LEVEL_WEIGHT = 6 * ONE  # what a level's own probability counts at the start
BIT_START = 102  # 0.4 observations of 0 and of 1
FACTOR_BITS = 12
FACTOR_ONE = 1 << FACTOR_BITS
PRIOR_ONES = 2 << SCALE_BITS
COLUMN_ONES = 3 * SCALE // 10  # steadies the factor that a column passes on
RECENT = 6  # columns behind whose mean factor the next one is expected, without a grid
MOST_NEIGHBOURS, STRONGEST = 3, 3
TREE_BITS = 8  # bits of a code with counts of their own; further ones cost a bit each


def _pieces(length: int) -> Iterator[slice]:
    start, size = 0, FIRST_PIECE
    while start < length:
        yield slice(start, min(start + size, length))
        start, size = start + size, 2 * size


def _ones(counts: Ints) -> Ints:
    """Probability of a 1 over 2^20 from counts [..., 2] of 0 and 1."""
    return (counts[..., 1] << SCALE_BITS) // (counts[..., 0] + counts[..., 1])


@dataclass
class _Bits:
    """Single decisions, each with counts of its own, by key."""

    coder: Coder
    counts: dict[tuple[int, ...], list[int]] = field(default_factory=dict)

    def code(self, bit: bool, *key: int) -> bool:
        counts = self.counts.setdefault(key, [BIT_START, BIT_START])
        ones = np.array([(counts[1] << SCALE_BITS) // (counts[0] + counts[1])])
        got = bool(self.coder.code(np.array([bit]), ones)[0])
        counts[got] += ONE
        return got

    def number(self, value: int, limit: int, *key: int) -> int:
        """0 to `limit`, as Elias's gamma code: the bits of value + 1, their number in unary first."""
        value += 1
        length = 1
        while 1 << length <= limit + 1 and self.code(value >> length > 0, *key, 0, length):
            length += 1
        got = 1
        for place in range(length - 2, -1, -1):
            got = 2 * got + self.code(bool(value >> place & 1), *key, 1, length, length - place)
        return got - 1


def code_row_counts(coder: Coder, counts: Ints, columns: int) -> Ints:
    """The number of non-zeros of each row, 0 to `columns`, shape [rows]."""
    bits, got, last, still = _Bits(coder), np.zeros(len(counts), np.int64), 0, 0
    for row, count in enumerate(int(count) for count in counts):
        edge = 0 if last == 0 else 1 if last == columns else 2
        if bits.code(count != last, 0, edge, still):
            still, rises = 0, bits.code(count > last, 1, edge)
            room = columns - last if rises else last
            step = 1 + bits.number(abs(count - last) - 1, max(0, room - 1), 2, edge)
            last = min(columns, max(0, last + step if rises else last - step))
        else:
            still = min(3, still + 1)
        got[row] = last
    return got


def _around(column: int, grid: int) -> list[int]:
    """Columns coded before this one that touch it on a grid `grid` wide: left, above, above right, above left."""
    if not grid:
        return []
    y, x = divmod(column, grid)
    wanted = ((0, -1), (-1, 0), (-1, 1), (-1, -1))
    return [(y + dy) * grid + x + dx if y + dy >= 0 and 0 <= x + dx < grid else -1 for dy, dx in wanted]


def _expected_factor(factors: list[int], around: list[int]) -> int:
    """A column's likely density over the average one, times 2^12, from those coded before."""
    if around:
        near = [factors[column] if column >= 0 else 0 for column in around]
        return ((2 * near[0] + 2 * near[1] + near[2] + near[3]) * 218 // 6 + 13 * FACTOR_ONE) >> 8
    recent = factors[-RECENT:] or [FACTOR_ONE]
    return (sum(recent) // len(recent) * 205 + 51 * FACTOR_ONE) >> 8


def code_mask(coder: Coder, mask: NDArray[np.bool_], row_counts: Ints, grid: int) -> NDArray[np.bool_]:
    """Where the non-zeros are. `row_counts` fall; a grid `grid` columns wide gives neighbours above, 0 none."""
    rows, columns = mask.shape
    got, left = np.zeros((columns, rows), bool), row_counts.copy()
    counts = np.zeros((LEVELS, MOST_NEIGHBOURS + 1, 2), np.int64)
    counts[..., 1] = (LEVEL_WEIGHT * LEVEL_MIDDLES >> SCALE_BITS)[:, None] + 1
    counts[..., 0] = LEVEL_WEIGHT - counts[..., 1]
    flat, factors, rising = counts.reshape(-1, 2), [], LEVEL_TOPS[::-1].copy()
    for column in range(columns):
        around = _around(column, grid)
        got[column] = left == columns - column
        live = np.flatnonzero((left > 0) & ~got[column])
        share = (left[live] << SCALE_BITS) // (columns - column)
        near = np.zeros(len(live), np.int64)
        for other in around:
            if other >= 0:
                near += got[other, live]
        near = np.minimum(near, MOST_NEIGHBOURS)
        expected, seen, past = _expected_factor(factors, around), 0, 0
        wanted = mask[live, column]
        for piece in _pieces(len(live)):
            factor = (PRIOR_ONES * expected + (seen << SCALE_BITS + FACTOR_BITS)) // (PRIOR_ONES + past)
            likely = share[piece] * min(factor, SCALE) >> FACTOR_BITS
            level = np.maximum(LEVELS - np.searchsorted(rising, likely, side="right"), 1) - 1
            place = level * (MOST_NEIGHBOURS + 1) + near[piece]
            bits = coder.code(wanted[piece], _ones(flat[place]))
            got[column, live[piece]] = bits
            np.add.at(flat, (place, bits.astype(np.int64)), ONE)
            seen, past = seen + int(np.count_nonzero(bits)), past + int(share[piece].sum())
        factors.append(((seen << SCALE_BITS + FACTOR_BITS) + COLUMN_ONES * FACTOR_ONE) // (past + COLUMN_ONES))
        left -= got[column]
    return got.T


def code_values(
    coder: Coder, codes: NDArray[np.uint16], mask: NDArray[np.bool_], grid: int, symbols: int, split: int
) -> NDArray[np.uint16]:
    """The codes where `mask` is set, 1 to symbols - 1; those up to `split` make the lower half of the codebook."""
    width = max(0, symbols - 2).bit_length()
    got = np.zeros(mask.shape[::-1], np.uint16)
    half = np.zeros(mask.shape[::-1], np.int8)
    counts = np.full(((2 * STRONGEST + 1) << min(width, TREE_BITS), 2), BIT_START, np.int64)
    for column in np.flatnonzero(mask.any(axis=0)):
        rows = np.flatnonzero(mask[:, column])
        near = np.zeros(len(rows), np.int64)
        for weight, other in zip((2, 2, 1, 1), _around(int(column), grid), strict=False):
            if other >= 0:
                near += weight * half[other, rows]
        context = np.clip(near, -STRONGEST, STRONGEST) + STRONGEST
        wanted = codes[rows, column].astype(np.int64) - 1
        for piece in _pieces(len(rows)):
            got[column, rows[piece]] = 1 + _code_tree(coder, wanted[piece], context[piece], counts, width)
        half[column, rows] = np.where(got[column, rows] <= split, -1, 1)
    return got.T


def _code_tree(coder: Coder, wanted: Ints, context: Ints, counts: Ints, width: int) -> Ints:
    """Numbers of `width` bits, the highest first; `counts` by context and by the bits before."""
    value, top = np.zeros(len(wanted), np.int64), min(width, TREE_BITS)
    for place in range(width):
        bit = (wanted >> width - 1 - place & 1).astype(bool)
        if place < top:
            node = (context << top) + (1 << place) - 1 + value
            bit = coder.code(bit, _ones(counts[node]))
            np.add.at(counts, (node, bit.astype(np.int64)), ONE)
        else:
            bit = coder.code(bit, np.full(len(bit), SCALE // 2))
        value = 2 * value + bit
    return value
