"""Which weights an Ethos-U's compiler copies to the staging memory first, in slices of output channels.

Weights are copied where the reads that this saves are worth the transfers that nothing hides: the first slice hides
behind the layer before, each further one behind the slice before it. Decided as if feature maps lay where the
network's input does, since the compiler places those afterwards.
Source: the scheduler of ethos-u-vela's regor (Apache-2.0), without cascades.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..target_ethos_u import EthosUMemory, EthosUTarget
from .blocks import choose_block
from .cycles import BIAS_BYTES, Reads, Tensor, array_cycles, channel_rate, read_cycles
from .operation import Block, Operation, round_up

__all__ = ["Costing", "Staged", "copy_cycles", "costing", "slice_bytes", "stage"]

SPLIT_DEPTH, STARTUP_CYCLES, LEAST_FILL = 16, 1000, 0.3


@dataclass(frozen=True)
class Costing:
    """Cycles of one operation alone, nothing staged: of the array, and of reading all inputs and all weights.

    `given` and `made`: where its feature maps lie; `summed`: a sum follows in the output stage.
    """

    operation: Operation
    block: Block
    given: Tensor
    made: Tensor
    summed: bool
    array: float
    inputs: float
    weights: float
    reads: Reads

    @property
    def array_bound(self) -> bool:
        return self.array > self.inputs and self.array > self.weights

    def part(self, target: EthosUTarget, depth: int, constants: EthosUMemory, *, first: bool, last: bool) -> float:
        """Cycles of a slice of `depth` output channels."""
        sliced = replace(self.operation, outputs=(*self.operation.outputs[:2], depth))
        return array_cycles(
            sliced, self.block, target, self.given, self.made, constants, chained=self.summed, first=first, last=last
        )


@dataclass(frozen=True)
class Staged:
    """Ends of the slices, their sizes, the buffers they need, and cycles of the last one; `early`: one layer before."""

    ends: tuple[int, ...]
    sizes: tuple[float, ...]
    parts: tuple[float, float]
    last_cycles: float
    early: bool


def slice_bytes(stream: float, depth: int, width: int) -> float:
    """Bytes of a slice of `width` output channels: its share of the stream, and scales and biases in 16 bytes."""
    return stream * width / depth + round_up(BIAS_BYTES * width, 16) if stream else 0.0


def copy_cycles(target: EthosUTarget, source: EthosUMemory, sink: EthosUMemory, size: float) -> float:
    """Cycles of a transfer between memories."""
    read = int(size / channel_rate(source, target, "transfer")) + source.read_latency_cycles
    return max(read, int(size / channel_rate(sink, target, "write")) + sink.write_latency_cycles)


def costing(
    operation: Operation, target: EthosUTarget, given: Tensor, made: Tensor, stream: float, summed: bool = False
) -> Costing:
    """Cycles with the weights where they are stored."""
    source, block = target.memory(target.weights_in), choose_block(operation, target)
    reads = Reads.of(operation, block, given.bricks)
    size = slice_bytes(stream, operation.outputs[2], operation.outputs[2])
    weights = read_cycles(source, target, size, "weight") * reads.weights if stream else 0.0
    channel = "stream" if operation.kind == "elementwise" else "input"
    return Costing(
        operation, block, given, made, summed,
        array_cycles(operation, block, target, given, made, source, chained=summed),
        read_cycles(given.memory, target, reads.inputs, channel), weights, reads,
    )  # fmt: skip


@dataclass(frozen=True)
class _Plan:
    """What the choice of slices looks at; cycles and bytes."""

    cost: Costing
    target: EthosUTarget
    stream: float
    room: float
    slack: float
    first: bool

    @property
    def source(self) -> EthosUMemory:
        return self.target.memory(self.target.weights_in)

    @property
    def near(self) -> EthosUMemory:
        return self.target.memory(self.target.staging_in)

    @property
    def depth(self) -> int:
        return self.cost.operation.outputs[2]

    @property
    def size(self) -> float:
        return slice_bytes(self.stream, self.depth, self.depth)

    @property
    def transfer(self) -> float:
        return copy_cycles(self.target, self.source, self.near, self.size)

    @property
    def smallest(self) -> float:
        return int(self.transfer * min(self.depth, SPLIT_DEPTH) / self.depth)

    @property
    def unmoved(self) -> float:
        return self.cost.weights

    @property
    def buffered(self) -> float:
        return read_cycles(self.near, self.target, self.size, "weight") * self.cost.reads.weights

    @property
    def starts(self) -> bool:
        """Whether a network's first layer waits for its first weights: where that wait is short."""
        short = self.smallest < self.unmoved / 10 or self.smallest <= STARTUP_CYCLES
        return self.first and self.cost.reads.weights > 1 and short

    @property
    def array_bound(self) -> bool:
        return self.cost.array > self.unmoved


def _worth_a_try(plan: _Plan) -> bool:
    if plan.source is plan.near or not plan.stream or plan.buffered >= plan.unmoved:
        return False
    whole = plan.buffered + max(plan.transfer - plan.slack, 0)
    hides = not plan.first and plan.smallest < plan.slack and plan.cost.reads.weights > 1
    return plan.starts or whole < plan.unmoved or plan.depth // plan.cost.block.outputs[2] > 2 or hides


def _head_share(plan: _Plan) -> float:
    """Share of the channels whose weights come first: as many as the layer before hides."""
    least = min(SPLIT_DEPTH / plan.depth, 1.0)
    half = min(plan.room / 2 / plan.size, 1.0)
    hidden = min(plan.slack / plan.transfer, 1.0)
    share = 1.0 if 1 - hidden // least * least < least / 2 else hidden
    if plan.array_bound and 0.5 < share < 1:
        share = min(max(round_up(int(plan.depth * 0.5), SPLIT_DEPTH) / plan.depth, 0.5), 1.0)
    return min(max(share, least), half)


def _ends(plan: _Plan) -> tuple[int, ...] | None:
    """Ends of the slices; None where they would leave the array idle."""
    share, depth = _head_share(plan), plan.depth
    least, wanted = max(SPLIT_DEPTH, plan.cost.block.micro[2]), plan.cost.block.outputs[2]
    if share >= 1:
        return (depth,)
    head = max(int(depth * share) // least * least, SPLIT_DEPTH)
    if head >= depth:
        return (depth,)
    cycles = plan.cost.part(plan.target, head, plan.near, first=True, last=False)
    body = round_up(max(int(depth * cycles / plan.transfer), SPLIT_DEPTH), wanted)
    if int(body / depth * plan.size) > plan.room / 2:
        body = int(plan.room / 2 / plan.size * depth)
    while True:
        step = wanted if body > wanted else least
        body = max(body // step * step, least)
        ends = (*range(head, depth, body), depth)
        largest = max(slice_bytes(plan.stream, depth, b - a) for a, b in zip((0, *ends), ends, strict=False))
        if largest <= plan.room / 2 or (head == SPLIT_DEPTH and body == least):
            break
        if body > head:
            body = round_up(body // 2, least)
        else:
            head = round_up(head // 2, SPLIT_DEPTH)
    idle = len(ends) > 2 and body / round_up(body, wanted) < LEAST_FILL
    return None if idle and plan.array_bound else ends


def _run(
    plan: _Plan, ends: tuple[int, ...], sizes: tuple[float, ...], slack: float, double: bool
) -> tuple[float, float, float]:
    """(cycles of all slices, of the transfers that nothing hides, of the last slice)."""
    total = visible = cycles = 0.0
    for place, (start, end) in enumerate(zip((0, *ends), ends, strict=False)):
        cycles = plan.cost.part(plan.target, end - start, plan.near, first=not place, last=place == len(ends) - 1)
        visible += max(0.0, copy_cycles(plan.target, plan.source, plan.near, sizes[place]) - slack)
        total, slack = total + cycles, cycles if double else 0.0
    return total, visible, cycles


def stage(
    cost: Costing, target: EthosUTarget, stream: float, *, room: float, slack: float, first: bool, movable: bool
) -> Staged | None:
    """Slices of weights through the staging memory; None where reading them in place is as good.

    `room` in bytes; `slack`: cycles of the layer before; `movable`: whether the inputs will lie in the staging memory.
    """
    plan = _Plan(cost, target, stream, room, slack, first)
    ends = _ends(plan) if _worth_a_try(plan) else None
    if ends is None:
        return None
    sizes = tuple(slice_bytes(stream, plan.depth, b - a) for a, b in zip((0, *ends), ends, strict=False))
    parts = (max(sizes[::2]), max(sizes[1::2], default=0.0))
    double = sum(parts) <= room and len(ends) > 1
    if not double:
        parts = (min(plan.size, max(sizes)), 0.0)
    if sum(parts) > room:
        return None
    early = not first and parts[0] < room
    usable = slack if early else STARTUP_CYCLES if plan.starts else 0.0
    total, visible, last = _run(plan, ends, sizes, usable, double)
    inputs = cost.inputs
    if movable:
        inputs = read_cycles(plan.near, target, cost.reads.inputs, "input")
    before = max(cost.array, cost.weights, inputs)
    weights = read_cycles(plan.near, target, sum(sizes), "weight") * cost.reads.weights
    after = max(total + visible, weights, inputs)
    if plan.array_bound:  # short waits are noise beside the array
        slowest = after
        if int(visible / len(ends)) < STARTUP_CYCLES:
            after -= visible
        if len(ends) > 1 and slowest == total + visible and after == total + visible and plan.starts:
            after -= len(ends) * STARTUP_CYCLES / 2
    if before < after or (cost.reads.weights == 1 and plan.transfer + weights > before):
        return None
    return Staged(ends, sizes, parts, last, early)
