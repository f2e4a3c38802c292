"""Which block of outputs an Ethos-U computes at once.

The block is the one that moves the fewest inputs and weights per output among those whose inputs and
accumulators, double buffered, fit the internal memory. Shapes are (height, width, depth).
Source: block rules as ethos-u-vela 5.2.0 states them (Apache-2.0); the search here is an array over all
candidate blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...models.errors import InputError
from ..target_ethos_u import EthosUTarget

__all__ = ["Block", "Operation", "choose_block", "part_kernel_first"]

Shape = tuple[int, int, int]
Floats = NDArray[np.float64]
BANK_BYTES, OUTPUT_BANKS, ACCUMULATOR_BYTES, SUBKERNEL, DEPTH_STEP = 1024, 2, 4, 8, 16
LARGEST = {"u55": (32, 64, 128), "u65": (32, 64, 128), "u85": (128, 128, 1024)}


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


@dataclass(frozen=True)
class Operation:
    """One layer as the NPU sees it, batch 1. `kind`: conv, depthwise, gemm, pool, max_pool or elementwise."""

    kind: Literal["conv", "depthwise", "gemm", "pool", "max_pool", "elementwise"]
    inputs: Shape
    outputs: Shape
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    sparse: bool = False
    activation: bool = True

    @property
    def equal_depth(self) -> bool:
        """Whether output channel c reads input channel c only."""
        return self.kind not in ("conv", "gemm")

    @property
    def span(self) -> tuple[int, int]:
        """Rows and columns that a dilated kernel covers."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))  # type: ignore[return-value]


@dataclass(frozen=True)
class Block:
    """Outputs computed at once, the inputs they need, the microblock that the array computes in a step."""

    outputs: Shape
    inputs: Shape
    micro: Shape
    part_kernel: bool


def part_kernel_first(operation: Operation, family: str) -> bool:
    """Whether kernel positions or input channels fill the dot products better."""
    depth, positions = operation.inputs[2], operation.kernel[0] * operation.kernel[1]
    if operation.kind != "conv":
        return False
    if family != "u85":
        by_kernel = depth * positions / (_up(depth, 8) * _up(positions, 4))
        return depth <= 8 or by_kernel > depth / _up(depth, 32)
    step, least = (10, 4) if operation.sparse else (5, 2)
    rounded = positions // step * step + max(positions % step, least)
    by_kernel = depth / _up(depth, 16) * positions / rounded
    return by_kernel >= depth / _up(depth, 128 if operation.sparse else 64)


def _microblock(operation: Operation, target: EthosUTarget) -> Shape:
    """The first with the least waste over the outputs; depthwise and pooling may have their own."""
    wide = operation.equal_depth and target.wide_microblocks
    choices = target.wide_microblocks if wide else target.microblocks

    def waste(micro: Shape) -> int:
        volume = 1
        for size, step in zip(operation.outputs, micro, strict=True):
            volume *= _up(size, step)
        return volume

    return min(choices, key=waste)


def _input_depth(operation: Operation, target: EthosUTarget, micro: Shape, part: bool) -> int:
    """Input channels in a block: what one traversal takes, or what the layer has."""
    if target.family != "u85":
        return _up(min(operation.inputs[2], 16 if part else 32), 8)
    if part:
        return 16
    if operation.sparse:
        return 128
    return 32 if target.macs_per_cycle <= 256 and micro[2] == DEPTH_STEP else 64


def _fits(
    target: EthosUTarget, height: Floats, width: Floats, depth: Floats, input_bytes: Floats, buffers: int = 2
) -> NDArray[np.bool_]:
    """`buffers` blocks of inputs and as many of 32-bit accumulators."""
    outputs = height * width * np.ceil(depth / (16 if target.family == "u85" else 8)) * (
        16 if target.family == "u85" else 8
    ) * ACCUMULATOR_BYTES  # fmt: skip
    if target.family == "u85":
        return (buffers * input_bytes <= target.input_ram_bytes) & (buffers * outputs <= target.accumulator_ram_bytes)

    def banks(size: Floats, granule: int) -> Floats:
        return np.ceil(buffers * np.ceil(size / BANK_BYTES) / granule) * granule

    room = target.shared_banks - target.reserved_banks - OUTPUT_BANKS
    used = banks(input_bytes, target.input_granule_banks) + banks(outputs, target.accumulator_granule_banks)
    return used <= room


def choose_block(operation: Operation, target: EthosUTarget) -> Block:
    """The block of least traffic per output; the first in order of depth, height, width where equal."""
    part = part_kernel_first(operation, target.family)
    micro = _microblock(operation, target)
    out, largest = operation.outputs, LARGEST[target.family]
    step = (micro[0], micro[1], max(micro[2], DEPTH_STEP) if out[2] > micro[2] else micro[2])
    axes = [np.arange(s, _up(min(o, m), s) + 1, s).astype(float) for o, m, s in zip(out, largest, step, strict=True)]
    depth, height, width = np.meshgrid(axes[2], axes[0], axes[1], indexing="ij")
    need = [
        (size - 1) * stride + min(span, SUBKERNEL)
        for size, stride, span in zip((height, width), operation.stride, operation.span, strict=True)
    ]
    # A layer one row high with an even width runs as microblocks of one row.
    flat = out[0] == 1 and operation.kernel[0] == 1 and micro[0] == 2
    rows = np.ceil(need[0] / micro[0]) * micro[0]
    columns = np.ceil(need[1] / micro[1]) * micro[1]
    input_depth = depth if operation.equal_depth else np.full_like(depth, _input_depth(operation, target, micro, part))
    held = input_depth
    if target.family == "u85" and not operation.equal_depth:
        held = np.minimum(input_depth, _up(operation.inputs[2], 16))
    held_bytes = rows * columns * np.ceil(held / 8) * 8
    for buffers in (2, 1):  # one at a time where two do not fit, without overlap of load and compute
        fits = _fits(target, np.minimum(height, 1) if flat else height, width, depth, held_bytes, buffers)
        if fits.any():
            break
    else:
        raise InputError(f"layer of {out} outputs", "no block that fits", f"room in the memory of {target.name}")
    cost = _traffic(operation, height, width, depth, rows * columns)
    small = np.prod(operation.inputs) < 2 * rows * columns * input_depth
    cost = np.where(fits, np.where(small, cost / 2, cost), np.inf)
    best = int(np.argmin(cost.reshape(-1)))
    chosen = tuple(int(axis.reshape(-1)[best]) for axis in (height, width, depth))
    inputs = tuple(int(axis.reshape(-1)[best]) for axis in (rows, columns, input_depth))
    return Block(chosen, inputs, micro, part)  # type: ignore[arg-type]


def _traffic(operation: Operation, height: Floats, width: Floats, depth: Floats, input_area: Floats) -> Floats:
    """Inputs and weights fetched per output."""
    out, channels = operation.outputs, operation.inputs[2]
    if operation.kind == "elementwise":
        return np.maximum(np.prod(out) / (height * width * depth), 1)
    repeats = [-(-span // SUBKERNEL) for span in operation.span]
    full = np.ceil(out[0] / height) * np.ceil(out[1] / width)
    weights = operation.kernel[0] * operation.kernel[1] * channels * full * (operation.kind in ("conv", "depthwise"))
    inputs = input_area * channels * repeats[0] * repeats[1] * (out[0] / height) * (out[1] / width)
    if not operation.equal_depth:
        weights = weights * out[2]
        inputs = inputs * np.ceil(out[2] / depth)
    return (inputs + weights) / np.prod(out)
