"""Which block of outputs an Ethos-U55 or U65 computes at once.

The block that moves the fewest inputs and weights per output among those whose inputs and accumulators, double
buffered, fit the shared memory; where equal, the first, unless a small one covers as much of the input.
Source: block rules of ethos-u-vela's regor, Ethos-U55 (Apache-2.0), 8 bits.
"""

from __future__ import annotations

from math import inf, prod

import numpy as np
from numpy.typing import NDArray

from ...models.errors import InputError
from ..target_ethos_u import EthosUTarget
from .operation import SUBKERNEL, Block, Operation, Shape, depths, part_kernel_first, round_up

__all__ = ["choose_block"]

Counts = NDArray[np.int64]
BANK_BYTES, OUTPUT_BANKS, ACCUMULATOR_BYTES, INPUT_STEP = 1024, 2, 4, 8
LARGEST = (32, 64, 128)


def _needed(operation: Operation, sizes: tuple[Counts, Counts], micro: Shape) -> tuple[Counts, Counts]:
    """Rows and columns of inputs for blocks of the given heights and widths, in whole microblocks."""
    return tuple(  # type: ignore[return-value]
        -(-((size - 1) * stride + min(span, SUBKERNEL)) // step) * step
        for size, stride, span, step in zip(sizes, operation.stride, operation.span, micro[:2], strict=True)
    )


def _fits(
    operation: Operation, target: EthosUTarget, outputs: Counts, inputs: Counts, held: int, depth: int
) -> NDArray[np.bool_]:
    """Two blocks of inputs, and two of 32-bit accumulators; a sum has two inputs and no accumulators."""
    room = target.shared_banks - target.reserved_banks - OUTPUT_BANKS

    def banks(size: Counts, granule: int) -> Counts:
        return -(-2 * -(-size // BANK_BYTES) // granule) * granule

    used = banks(inputs * round_up(held, 8), target.input_granule_banks)
    if operation.kind == "elementwise":
        return 2 * used <= room
    sums = banks(outputs * round_up(depth, 8) * ACCUMULATOR_BYTES, target.accumulator_granule_banks)
    return used + sums <= room


def _cost(operation: Operation, height: Counts, width: Counts, depth: int, area: Counts) -> NDArray[np.float32]:
    """Inputs and weights fetched per output, in the compiler's single precision, as ties decide."""
    one, out, channels = np.float32, operation.outputs, operation.inputs[2]
    if operation.kind == "elementwise":
        return one(prod(out)) / (height * width * depth).astype(one)
    full = -(-out[0] // height) * -(-out[1] // width)
    weighted = operation.kernel[0] * operation.kernel[1] * (operation.kind in ("conv", "depthwise"))
    weights = (weighted * channels * full).astype(one)
    share = (one(out[0]) / height.astype(one)) * (one(out[1]) / width.astype(one))
    inputs = (area * channels * operation.subkernels).astype(one) * share
    if operation.kind != "depthwise":
        weights = weights * (one(out[2]) / one(depth) * one(depth))
    if not operation.equal_depth:
        inputs = inputs * one(-(-out[2] // depth))
    return ((inputs + weights) / one(prod(out))).astype(one)


def choose_block(operation: Operation, target: EthosUTarget) -> Block:
    """The block that the compiler chooses for an Ethos-U55 or U65."""
    part, micro, out = part_kernel_first(operation, target.family), target.microblocks[0], operation.outputs
    ends = [round_up(min(o, m), s) for o, m, s in zip(out, LARGEST, micro, strict=True)]
    axes = (np.arange(s, e + 1, s) for s, e in zip(micro[:2], ends[:2], strict=True))
    height, width = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
    rows, columns = _needed(operation, (height, width), micro)
    fixed = round_up(min(operation.inputs[2], 16 if part else 32), INPUT_STEP)
    # A layer one row high runs as microblocks of one row: less to accumulate.
    flat = out[0] == 1 and operation.kernel[0] == 1 and micro[0] == 2
    tried = list(depths(out[2], ends[2], micro[2]))
    costs = []
    for depth in tried:
        held = depth if operation.equal_depth else fixed
        made = np.minimum(height, 1) if flat else height
        fits = _fits(operation, target, made * width, rows * columns, held, depth)
        cost = _cost(operation, made, width, depth, rows * columns)
        cost = np.where(prod(operation.inputs) < 2 * rows * columns * held, cost / np.float32(2), cost)
        costs.append(np.where(fits, cost, np.float32(inf)))
    every = np.stack(costs)
    if not np.isfinite(every).any():
        raise InputError(f"layer of {out} outputs", "no block that fits", f"room in the memory of {target.name}")
    ties = np.argwhere(every == every.min())
    best, covered = ties[0], inf
    for place in ties[1:]:
        at = place[1]
        if height[at] <= 4 and width[at] <= 4:
            high, wide = operation.inputs[:2]
            coverage = high * wide / (min(high, int(rows[at])) * min(wide, int(columns[at])))
            if coverage <= covered:
                best, covered = place, coverage
    depth, at = tried[best[0]], best[1]
    held = depth if operation.equal_depth else fixed
    return Block((int(height[at]), int(width[at]), depth), (int(rows[at]), int(columns[at]), held), micro, part)
