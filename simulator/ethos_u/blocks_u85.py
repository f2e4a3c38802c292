"""Which block of outputs an Ethos-U85 computes at once.

Convolutions, fully connected layers and copies: the block that moves the fewest inputs and weights per output among
those whose inputs and accumulators, double buffered, fit. Depthwise layers and pools: the block whose area has the
aspect of the outputs and covers most of them, with room to fetch one more row. Sums: a whole output buffer.
Source: block rules of ethos-u-vela's regor, Ethos-U85 (Apache-2.0), 8 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, prod, sqrt

import numpy as np
from numpy.typing import NDArray

from ...models.errors import InputError
from ..target_ethos_u import EthosUTarget
from .operation import SUBKERNEL, Block, Operation, Shape, depths, least_waste, part_kernel_first, round_up

__all__ = ["choose_block"]

Floats = NDArray[np.float32]
LARGEST = (128, 128, 1024)
BRICK, ACCUMULATOR_BYTES, RETRIES = 16, 4, 25


@dataclass(frozen=True)
class _Tried:
    """`cost[area]` of blocks of `depth` outputs; `held` input channels, in whole `unit`s of the input memory."""

    cost: Floats
    depth: int
    held: int
    unit: Shape


def _unit(target: EthosUTarget, micro: Shape, depth: int) -> Shape:
    """What the input memory is allocated in for blocks of `depth` channels."""
    high, wide, bricks = target.input_units["x".join(map(str, micro))][(depth > BRICK) + (depth > 2 * BRICK)]
    return high, wide, BRICK * bricks


def _needed(operation: Operation, area: tuple[int, int], unit: Shape, depth: int) -> Shape:
    """Inputs that a block of `area` outputs reads, in whole allocation units."""
    sides = (
        round_up((size - 1) * stride + min(span, SUBKERNEL), step)
        for size, stride, span, step in zip(area, operation.stride, operation.span, unit[:2], strict=True)
    )
    return (*sides, round_up(depth, unit[2]))  # type: ignore[return-value]


def _input_depth(operation: Operation, target: EthosUTarget, micro: Shape, part: bool) -> int:
    if part:
        return BRICK
    if target.macs_per_cycle <= 256 and micro[2] == BRICK and not operation.sparse:
        return 2 * BRICK
    return 128 if operation.sparse else 64


def _search(operation: Operation, target: EthosUTarget, micro: Shape, part: bool) -> Block:
    """The block of least traffic; where equal, the first, unless a small one covers as much of the input."""
    out, step = operation.outputs, (*micro[:2], max(micro[2], BRICK))
    ends = [round_up(max(min(o, m), s), u) for o, m, s, u in zip(out, LARGEST, step, micro, strict=True)]
    high, wide = (np.arange(s, e + 1, s) for s, e in zip(step[:2], ends[:2], strict=True))
    height, width = (axis.ravel() for axis in np.meshgrid(high, wide, indexing="ij"))
    fixed = _input_depth(operation, target, micro, part)
    found: list[_Tried] = []
    for buffers in (2, 1):  # one at a time where two do not fit
        for depth in depths(out[2], ends[2], micro[2]):
            held = depth if operation.equal_depth else fixed
            unit = _unit(target, micro, held)
            rows, columns = (
                -(-((size - 1) * stride + min(span, SUBKERNEL)) // each) * each
                for size, stride, span, each in zip(
                    (height, width), operation.stride, operation.span, unit[:2], strict=True
                )
            )
            stored = round_up(depth if operation.equal_depth else min(held, operation.inputs[2]), unit[2])
            sums = height * width * round_up(depth, BRICK) * ACCUMULATOR_BYTES
            fits = (buffers * rows * columns * stored <= target.input_ram_bytes) & (
                buffers * sums <= target.accumulator_ram_bytes
            )
            cost = _cost(operation, height, width, depth, rows * columns)
            whole = rows * columns * round_up(held, unit[2])
            cost = np.where(prod(operation.inputs) < 2 * whole, cost / np.float32(2), cost)
            found.append(_Tried(np.where(fits, cost, np.float32(inf)), depth, held, unit))
        if any(np.isfinite(tried.cost).any() for tried in found):
            return _least(operation, found, height, width, micro, part)
        found.clear()
    raise InputError(f"layer of {out} outputs", "no block that fits", f"room in the memory of {target.name}")


def _cost(
    operation: Operation, height: NDArray[np.int64], width: NDArray[np.int64], depth: int, area: NDArray[np.int64]
) -> Floats:
    """Inputs and weights fetched per output, in the compiler's single precision, as ties decide."""
    one, out, channels = np.float32, operation.outputs, operation.inputs[2]
    if operation.kind == "gemm":
        return one(1) / (height * width).astype(one)
    full = -(-out[0] // height) * -(-out[1] // width)
    weighted = operation.kernel[0] * operation.kernel[1] * (operation.kind == "conv")
    weights = one(weighted * channels) * full.astype(one)
    share = (one(out[0]) / height.astype(one)) * (one(out[1]) / width.astype(one))
    inputs = area.astype(one) * one(channels) * one(operation.subkernels) * share
    if not operation.equal_depth:
        weights = weights * (one(out[2]) / one(depth) * one(depth))
        inputs = inputs * one(-(-out[2] // depth))
    return ((inputs + weights) / one(prod(out))).astype(one)


def _least(
    operation: Operation,
    found: list[_Tried],
    height: NDArray[np.int64],
    width: NDArray[np.int64],
    micro: Shape,
    part: bool,
) -> Block:
    costs = np.stack([tried.cost for tried in found])
    ties = np.argwhere(costs == costs.min())
    best, covered = ties[0], inf
    for place in ties[1:]:
        if height[place[1]] <= 4 and width[place[1]] <= 4:
            area = (int(height[place[1]]), int(width[place[1]]))
            read = _needed(operation, area, found[place[0]].unit, 1)[:2]
            coverage = prod(i / min(i, r) for i, r in zip(operation.inputs[:2], read, strict=True))
            if coverage <= covered:
                best, covered = place, coverage
    tried = found[best[0]]
    outputs = int(height[best[1]]), int(width[best[1]]), tried.depth
    inputs = (*_needed(operation, outputs[:2], tried.unit, tried.held)[:2], tried.held)
    return Block(outputs, inputs, micro, part)


def _best_tile(size: int, granule: int, tile: int) -> int:
    """The tile at or below `tile` with the largest last piece."""
    if size % tile == 0:
        return tile
    half = max(round_up(size // (size // tile + 1), granule), granule)
    best, rest = tile, size % tile
    for trial in range(tile, max(half - 2 * granule, (half + 1) // 2, granule) - 1, -granule):
        left = size % trial or trial
        if left > rest:
            best, rest = trial, left
    return best


def _tile(size: int, granule: int, tile: int) -> int:
    if size % tile == 0:
        return tile
    return max(round_up(size // (size // tile + 1), granule), granule)


def _area(aspect: float, room: int, granule: tuple[int, int]) -> tuple[int, int]:
    """Height and width of `aspect` in `room` outputs."""
    wide = sqrt(room / aspect)
    high = wide * aspect
    if high < 1:
        wide, high = wide * high, 1.0
    elif wide < 1:
        high, wide = high * wide, 1.0
    return tuple(max(int(x), g) // g * g for x, g in zip((high, wide), granule, strict=True))  # type: ignore[return-value]


def _fit_at(
    operation: Operation, target: EthosUTarget, micro: Shape, out: Shape, limit: Shape, depth: int
) -> tuple[int, int] | None:
    """Height and width of the largest block of `depth` whose inputs and accumulators fit once."""
    room = target.accumulator_ram_bytes // ACCUMULATOR_BYTES
    unit, least = _unit(target, micro, depth), micro[0] * micro[1] * BRICK
    volume = prod(round_up(i, u) for i, u in zip(operation.inputs, unit, strict=True))
    fit, before, retries = room, -1, RETRIES
    while True:
        high, wide = _area(out[0] / out[1], fit // depth, micro[:2])
        high, wide = min(high, limit[0]), min(wide, limit[1])
        cells = high * wide
        if wide < out[1]:
            wide = _best_tile(out[1], micro[1], wide)
        high = max(cells // wide // micro[0] * micro[0], micro[0])
        used = wide * high * depth
        sums = room / used
        inputs = target.input_ram_bytes / min(prod(_needed(operation, (high, wide), unit, depth)), volume)
        if sums >= 1 and inputs >= 1:
            return high, wide
        retries -= used == before
        if used == before and retries <= 0:
            inputs = 0.9
        before = used
        if inputs < 1 < sums:
            fit = min(fit, used)
        smaller = int(fit // least * min(inputs, sums)) * least
        smaller = fit - least if smaller == fit else smaller
        if smaller < least:
            return None
        fit = smaller


def _by_area(operation: Operation, target: EthosUTarget, micro: Shape) -> Block:
    """Depthwise layers and pools: height, width and depth by aspect and coverage, then with one more row to fetch."""
    granule = (*micro[:2], BRICK)
    out: Shape = tuple(round_up(o, g) for o, g in zip(operation.outputs, granule, strict=True))  # type: ignore[assignment]
    limit: Shape = tuple(map(min, out, LARGEST))  # type: ignore[assignment]
    room = target.accumulator_ram_bytes // ACCUMULATOR_BYTES
    deepest = min(max(target.macs_per_cycle, room // (micro[0] * micro[1] * BRICK)), limit[2])
    by_depth = operation.span == (1, 1)
    whole = out[1] * out[2] if by_depth else out[0] * out[1]
    best, chosen = inf, None
    for depth in range(BRICK, deepest + 1, BRICK):
        area = _fit_at(operation, target, micro, out, limit, depth)
        if area is None:
            break
        brick = _unit(target, micro, depth)[2]
        waste = 1 + (brick - (depth % brick or brick)) / brick / 10
        fit = 1 + abs(1 - limit[2] / depth) / 10
        metric = (1 + abs(1 - whole / (area[1] * (depth if by_depth else area[0])))) * fit * waste
        if metric < best:
            best, chosen = metric, (*area, depth)
            if all(a >= o for a, o in zip(chosen, out, strict=True)):
                chosen = out
                break
    if chosen is None:
        raise InputError(f"layer of {out} outputs", "no block that fits", f"room in the memory of {target.name}")
    return _with_a_row_more(operation, target, micro, chosen, out)


def _with_a_row_more(operation: Operation, target: EthosUTarget, micro: Shape, chosen: Shape, out: Shape) -> Block:
    (high, wide, depth), force = chosen, 0
    while True:
        unit = _unit(target, micro, depth)
        needed = _needed(operation, (high, wide), unit, depth)
        row = prod(_needed(operation, (micro[0], wide), unit, depth))
        one = wide >= out[1] and high >= out[0] and depth >= out[2]
        if one or target.input_ram_bytes - prod(needed) >= row:
            return Block((high, wide, depth), needed, micro, part_kernel=False)
        if (high != out[0] or force & 2) and high > micro[0]:
            high -= micro[0]
        elif (depth > wide or force & 1) and depth > unit[2]:
            depth -= unit[2]
        elif (wide != out[1] or force & 4) and wide > micro[1]:
            wide -= micro[1]
        elif force != 7:
            force = force << 1 | 1
        elif depth > BRICK:
            depth = max(depth // 2, BRICK)
        else:
            return Block((high, wide, depth), needed, micro, part_kernel=False)


def _buffered(operation: Operation, target: EthosUTarget, micro: Shape) -> Block:
    """Sums: rows tiled, and depth as far as the output buffer goes."""
    granule = (*micro[:2], BRICK)
    out = [round_up(o, g) for o, g in zip(operation.outputs, granule, strict=True)]
    limit = [min(o, m) for o, m in zip(out, LARGEST, strict=True)]
    units = target.output_ram_bytes // BRICK
    high = _tile(out[0], granule[0], limit[0])
    wanted = max(_tile(out[1], granule[1], min(units, limit[1])), granule[1])
    more = min(units // wanted, limit[2] // BRICK)
    wide, depth = (units // more, BRICK * more) if more >= 2 else (units, BRICK)
    outputs: Shape = (round_up(high, granule[0]), round_up(wide, granule[1]), round_up(depth, BRICK))
    return Block(outputs, outputs, micro, part_kernel=False)


def choose_block(operation: Operation, target: EthosUTarget) -> Block:
    """The block that the compiler chooses for an Ethos-U85."""
    micro = least_waste(operation, target)
    if operation.kind == "elementwise":
        return _buffered(operation, target, micro)
    if operation.kind in ("depthwise", "pool", "max_pool"):
        return _by_area(operation, target, micro)
    return _search(operation, target, micro, part_kernel_first(operation, target.family))
