"""Bits of the compressed weight stream that an Ethos-U reads.

Weights are walked in the order of the MAC array (8 output by 8 input channels innermost), padded to what
it takes at once, and coded losslessly: values as Golomb-Rice codes of either their folded magnitude
(2w, or -2w - 1 where negative, less an offset) or their place in a palette of at most 32 values, in fixed
length where that is shorter; where it pays, zeros are left out and the runs between non-zeros coded,
Golomb-Rice too. The real encoder changes its parameters along the stream; here one set serves a layer.
Source: the weight stream as the public encoder in ethos-u-vela 5.2.0 (Apache-2.0) writes it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["golomb_bits", "stream_bits", "traverse"]

Ints = NDArray[np.integer]
PALETTE, MAX_OFFSET, VALUE_BITS, MAX_DIVISOR_BITS = 32, 31, 8, 6
ALIGNMENT_BITS = 128
SHIFT = 256


def traverse(weights: Ints, part_kernel: bool, depthwise: bool = False, positions_at_once: int = 4) -> Ints:
    """Weights [K, C, R, S] in stream order, zeros of padding included.

    Depth first takes 32 input channels of one kernel position, part kernel 8 channels of 4 positions (U85: 5),
    depthwise as many positions of one channel.
    """
    k, c, r, s = weights.shape
    flat = weights.reshape(k, c, r * s)
    by_position = part_kernel or depthwise
    channels = 1 if depthwise else 8 if part_kernel else 32
    flat = np.pad(flat, ((0, -k % 8), (0, -c % channels), (0, -(r * s) % positions_at_once if by_position else 0)))
    rows, columns, positions = flat.shape
    inner = min(8, channels)
    cells = flat.reshape(rows // 8, 8, columns // inner, inner, positions)
    return cells.transpose(0, 2, 4, 1, 3).reshape(-1)


def golomb_bits(symbols: Ints, counts: Ints | None = None) -> int:
    """Golomb-Rice with the best divisor 2^d, d < 6: sum of (symbol >> d) + 1 + d; each symbol `counts` times.

    >>> golomb_bits(np.array([0, 1, 2, 9])), golomb_bits(np.array([0, 9]), np.array([3, 1]))
    (13, 12)
    """
    each = np.ones(len(symbols), np.int64) if counts is None else counts
    whole = int(each.sum())
    return min(int(((symbols >> d) * each).sum()) + whole * (1 + d) for d in range(MAX_DIVISOR_BITS))


def _value_bits(values: Ints, counts: Ints) -> int:
    """The shortest of the folded magnitudes, the palette by falling frequency, and fixed length; by histogram."""
    if not len(values):
        return 0
    whole = int(counts.sum())
    folded = np.where(values >= 0, 2 * values, -2 * values - 1)
    choices = [golomb_bits(folded - min(MAX_OFFSET, int(folded.min())), counts), whole * VALUE_BITS]
    if len(values) <= PALETTE:
        choices += [
            golomb_bits(np.arange(len(counts)), -np.sort(-counts)),
            whole * max(1, (len(values) - 1).bit_length()),
        ]
    return min(choices)


def stream_bits(
    weights: NDArray[np.generic], part_kernel: bool = False, depthwise: bool = False, positions_at_once: int = 4
) -> int:
    """Predicted bits of one layer's stream; weights [K, C, R, S] as integers of at most 8 bits.

    >>> stream_bits(np.zeros((8, 32, 1, 1), int))
    128
    """
    walked = traverse(np.asarray(weights).astype(np.int16), part_kernel, depthwise, positions_at_once)
    counts = np.bincount(walked + SHIFT)
    values = np.flatnonzero(counts)
    counts, values = counts[values], values - SHIFT
    body = values != 0
    runs = np.bincount(np.diff(np.flatnonzero(walked), prepend=-1, append=len(walked)) - 1)
    lengths = np.flatnonzero(runs)
    bits = min(
        _value_bits(values, counts), _value_bits(values[body], counts[body]) + golomb_bits(lengths, runs[lengths])
    )
    return -(-bits // ALIGNMENT_BITS) * ALIGNMENT_BITS
