"""What a systolic array moves between DRAM and its buffers: the cheaper order of folds, tile by tile.

A product M x K times K x N is done in folds (systolic.py). An operand is read once if its buffer holds it
whole; else once if it holds the slice that all folds of the inner loop share, and the folds are walked so
that this slice changes in the outer loop; else again for every fold of the other axis. Sums over K that do
not fit the output buffer are written out and read back between the folds. Of the two orders of the folds,
rows outer or columns outer, the one that moves fewer bits is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from ..models.loops import LoopBounds
from .mapper.problem import make_problem

__all__ = ["Moved", "Product", "Room", "off_chip", "product_of"]


@dataclass(frozen=True)
class Product:
    """`count` equal products M x K times K x N; a convolution's K runs over channels, then kernel elements.

    `input_words` are the different words behind the M x K inputs of one product (a window's rows overlap);
    `kernel` the elements of K that share a channel; `row` the outputs of one image row, `image` its rows, `shape` how
    an output row's window lies: (kernel rows, row step, kernel columns, column step, words of an input row).
    """

    m: int
    k: int
    n: int
    count: int = 1
    input_words: int = 0
    kernel: int = 1
    row: int = 1
    image: int = 1
    shape: tuple[int, int, int, int, int] = (1, 1, 1, 1, 1)

    @property
    def channels(self) -> int:
        return self.k // self.kernel

    def channels_touched(self, fold: int) -> list[int]:
        """Channels that each slice of `fold` of the K elements reads.

        >>> Product(4, 18, 8, kernel=9).channels_touched(16)
        [2, 1]
        """
        starts = range(0, self.k, fold)
        return [(min(s + fold, self.k) - 1) // self.kernel - s // self.kernel + 1 for s in starts]

    def band_words(self, positions: int) -> int:
        """Different input words behind `positions` outputs in a row, all channels, at most positions x K.

        >>> Product(196, 9, 8, input_words=256, kernel=9, row=14, image=14, shape=(3, 1, 3, 1, 16)).band_words(14)
        48
        """
        positions = min(positions, self.m)
        r, down, s, across, wide = self.shape
        spanned = 1 if positions <= self.row and self.row % positions == 0 else ceil((positions - 1) / self.row) + 1
        columns = wide if spanned > 1 else min(wide, (positions - 1) * across + s)
        edges = ceil((spanned - 1) / self.image)  # between images, where no row is shared
        words = self.channels * ((spanned - 1) * down + r + edges * max(0, r - down)) * columns
        return min(words, positions * self.k, self.input_words)


def product_of(bounds: LoopBounds) -> Product:
    """A convolution or fully connected layer as matrix products, one per group.

    >>> product_of(LoopBounds(N=2, K=8, C=4, P=5, Q=5, R=3, S=3))
    Product(m=50, k=36, n=8, count=1, input_words=392, kernel=9, row=5, image=5, shape=(3, 1, 3, 1, 7))
    """
    b = bounds
    words = make_problem(bounds).touched_inputs // b.groups
    tall, wide = (b.R - 1) * b.dilation[0] + 1, (b.S - 1) * b.dilation[1] + 1
    row = (b.Q - 1) * b.stride[1] + wide
    shape = (tall, b.stride[0], wide, b.stride[1], row)
    return Product(b.N * b.P * b.Q, b.C * b.R * b.S, b.K // b.groups, b.groups, words, b.R * b.S, b.Q, b.P, shape)


@dataclass(frozen=True)
class Room:
    """Words that the buffers hold at once: weights, inputs, partial sums."""

    weight: float
    input: float
    output: float


@dataclass(frozen=True)
class Moved:
    """Words over the chip's edge in one order of the folds: operands read, partial sums written and read, outputs."""

    order: str
    weight: int
    input: int
    spilled: int
    output: int

    def bits(self, weight_bits: int, input_bits: int, sum_bits: int, output_bits: int) -> int:
        return (self.weight * weight_bits + self.input * input_bits + 2 * self.spilled * sum_bits
                + self.output * output_bits)  # fmt: skip


def off_chip(product: Product, rows: int, columns: int, dataflow: str, room: Room, widths: tuple[int, int, int, int]
             ) -> Moved:  # fmt: skip
    """The cheaper order of the folds; `widths` are bits of weights, inputs, partial sums, outputs; all products.

    >>> off_chip(Product(10, 16, 8, input_words=160), 8, 8, "weight_stationary", Room(64, 80, 80), (8, 8, 32, 8))
    Moved(order='columns outer', weight=128, input=160, spilled=0, output=80)
    """
    orders = {"weight_stationary": _weights_stay, "output_stationary": _outputs_stay, "input_stationary": _inputs_stay}
    found = orders[dataflow](product, rows, columns, room)
    best = min(found, key=lambda moved: moved.bits(*widths))
    count = product.count
    return Moved(best.order, best.weight * count, best.input * count, best.spilled * count, best.output * count)


def _channel_sweep(p: Product, rows: int) -> tuple[int, int]:
    """(input words of all K slices one after another, of the largest slice); a channel cut in two is read twice."""
    each = p.input_words / p.channels
    wide = (min(rows, p.k - start) for start in range(0, p.k, rows))
    words = [min(ceil(channels * each), p.m * k) for channels, k in zip(p.channels_touched(rows), wide, strict=True)]
    return sum(words), max(words)


def _weights_stay(p: Product, rows: int, columns: int, room: Room) -> list[Moved]:
    down, across = ceil(p.k / rows), ceil(p.n / columns)
    sweep, largest = _channel_sweep(p, rows)
    outputs, weights = p.m * p.n, p.k * p.n
    whole = p.input_words <= room.input
    found = []
    slice_sums = p.m * min(columns, p.n)
    for order, inputs, sums in (
        ("columns outer", p.input_words if whole else across * sweep, slice_sums),
        ("rows outer", p.input_words if whole else sweep * (1 if largest <= room.input else across), outputs),
    ):
        spilled = 0 if sums <= room.output else (down - 1) * outputs
        found.append(Moved(order, weights, inputs, spilled, outputs))
    return found


def _inputs_stay(p: Product, rows: int, columns: int, room: Room) -> list[Moved]:
    down, across = ceil(p.k / rows), ceil(p.m / columns)
    outputs, weights = p.m * p.n, p.k * p.n
    band = p.band_words(columns)
    again = min(across * band, p.m * p.k)
    touched = p.channels_touched(rows)
    slices = sum(touched) / p.channels
    whole = p.input_words <= room.input
    found = []
    for order in ("columns outer", "rows outer"):
        if order == "columns outer":
            inputs = p.input_words if whole or band <= room.input else min(round(again * slices), p.m * p.k)
            read = weights if weights <= room.weight else across * weights
            sums = p.n * min(columns, p.m)
        else:
            held = band * max(touched) / p.channels <= room.input
            inputs = p.input_words if whole else round((p.input_words if held else again) * slices)
            inputs = min(inputs, p.m * p.k)
            read = weights if min(rows, p.k) * p.n <= room.weight or weights <= room.weight else across * weights
            sums = outputs
        spilled = 0 if sums <= room.output else (down - 1) * outputs
        found.append(Moved(order, read, inputs, spilled, outputs))
    return found


def _outputs_stay(p: Product, rows: int, columns: int, room: Room) -> list[Moved]:
    down, across = ceil(p.m / rows), ceil(p.n / columns)
    outputs, weights = p.m * p.n, p.k * p.n
    band = p.band_words(rows)
    again = min(down * band, p.m * p.k)
    whole, slides = p.input_words <= room.input, band <= room.input
    all_weights, slice_weights = weights <= room.weight, p.k * min(columns, p.n) <= room.weight
    rows_outer = p.input_words if whole or slides else across * again
    columns_outer = p.input_words if whole else across * (p.input_words if slides else again)
    return [
        Moved("rows outer", weights if all_weights else down * weights, rows_outer, 0, outputs),
        Moved("columns outer", weights if all_weights or slice_weights else down * weights, columns_outer, 0, outputs),
    ]
