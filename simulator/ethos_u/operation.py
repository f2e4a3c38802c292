"""One layer as an Ethos-U sees it, and the block of outputs it computes at once. Shapes are (height, width, depth)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..target_ethos_u import EthosUTarget

__all__ = [
    "SUBKERNEL",
    "Block",
    "Operation",
    "Shape",
    "depths",
    "least_waste",
    "part_kernel_first",
    "round_up",
    "steps",
]

Shape = tuple[int, int, int]
SUBKERNEL = 8


def round_up(value: int, step: int) -> int:
    """The least multiple of `step` that is not below `value`.

    >>> round_up(17, 8)
    24
    """
    return -(-value // step) * step


def steps(total: Shape, step: Shape) -> Shape:
    """How many steps cover a shape, by axis.

    >>> steps((7, 8, 20), (2, 2, 8))
    (4, 4, 3)
    """
    return tuple(-(-t // s) for t, s in zip(total, step, strict=True))  # type: ignore[return-value]


def depths(out: int, last: int, micro: int) -> list[int]:
    """Block depths that are tried: multiples of 16 below the outputs' depth, microblocks from there on.

    >>> depths(40, 40, 8)
    [16, 32, 40]
    """
    found, depth = [], max(micro, min(last, 16))
    depth = round_up(depth, 16) if depth < out else depth
    while depth <= last:
        found.append(depth)
        depth += micro
        depth = round_up(depth, 16) if depth < out else depth
    return found


@dataclass(frozen=True)
class Operation:
    """One layer, batch 1. `kind`: what the NPU runs; a `copy` moves the network's input into the staging memory."""

    kind: Literal["conv", "depthwise", "gemm", "pool", "max_pool", "elementwise", "copy"]
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

    @property
    def subkernels(self) -> int:
        """Pieces of at most 8 x 8 that the kernel runs as, each reading the inputs again."""
        high, wide = (-(-k // SUBKERNEL) for k in self.kernel)
        return high * wide


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
        by_kernel = depth * positions / (round_up(depth, 8) * round_up(positions, 4))
        return depth <= 8 or by_kernel >= depth / round_up(depth, 32)
    step, least = (10, 4) if operation.sparse else (5, 2)
    rounded = positions // step * step + max(positions % step, least)
    by_kernel = depth / round_up(depth, 16) * positions / rounded
    return by_kernel >= depth / round_up(depth, 128 if operation.sparse else 64)


def least_waste(operation: Operation, target: EthosUTarget) -> Shape:
    """The first microblock with the least waste over the outputs; each kind of operation may have its own."""
    choices = target.microblocks
    if operation.kind == "elementwise":
        choices = target.elementwise_microblocks or choices
    elif operation.equal_depth:
        choices = target.wide_microblocks or choices

    def waste(micro: Shape) -> int:
        volume = 1
        for size, step in zip(operation.outputs, micro, strict=True):
            volume *= round_up(size, step)
        return volume

    return min(choices, key=waste)
