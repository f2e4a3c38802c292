"""Layers of a network one after another on an Ethos-U: where tensors lie, which weights are staged, cycles.

Feature maps between layers stay in the staging memory when they fit it; the network's input and output lie
where `feature_maps_in` says. Weights that are read more than once, or whose transfer the layer before can
hide, are first copied to the staging memory, in slices of output channels: double buffered.
Source: the scheduling rules of ethos-u-vela 5.2.0 (Apache-2.0), simplified: no cascades over layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from ..target_ethos_u import EthosUMemory, EthosUTarget
from .blocks import SUBKERNEL, Block, Operation, choose_block
from .cycles import BIAS_BYTES, BRICK, bytes_per_cycle, operation_cycles, transfer_bytes

__all__ = ["LayerCost", "run_layers"]

SLICE_DEPTH = 16
STARTUP_CYCLES = 1000


@dataclass(frozen=True)
class LayerCost:
    """`npu_cycles` with visible weight transfers; `memory_cycles` and traffic in bytes by memory.

    `moved[memory][operand]` = (read, written); the layer takes the largest of all cycles, after
    `copy_cycles` in which the network's input is brought into bricks of 16 channels.
    """

    operation: Operation
    block: Block
    npu_cycles: float
    memory_cycles: dict[str, float]
    moved: dict[str, dict[str, tuple[float, float]]]
    slices: tuple[int, ...]
    weight_bytes: float
    copy_cycles: float = 0.0

    @property
    def cycles(self) -> float:
        return max(self.npu_cycles, *self.memory_cycles.values()) + self.copy_cycles

    @property
    def bound_by(self) -> str:
        slowest = max(self.memory_cycles, key=lambda name: self.memory_cycles[name])
        return slowest if self.memory_cycles[slowest] > self.npu_cycles else "compute"


@dataclass(frozen=True)
class _Place:
    """The memories of one layer's tensors, and whether they are in bricks of 16 channels."""

    inputs: EthosUMemory
    outputs: EthosUMemory
    weights: EthosUMemory
    staging: EthosUMemory
    bricks_in: bool
    bricks_out: bool


def _cycles(
    operation: Operation, block: Block, target: EthosUTarget, place: _Place, staged: bool, **ends: bool
) -> float:
    constants = place.staging if staged else place.weights
    return operation_cycles(
        operation, block, target, inputs_in=place.inputs, outputs_in=place.outputs, constants_in=constants,
        bricks_in=place.bricks_in, bricks_out=place.bricks_out, **ends,
    )  # fmt: skip


def _refetches(operation: Operation, block: Block) -> int:
    """Times the weights are read: once per block of rows and columns."""
    out = operation.outputs
    return -(-out[0] // min(out[0], block.outputs[0])) * -(-out[1] // min(out[1], block.outputs[1]))


def _copy_cycles(size: float, place: _Place, target: EthosUTarget) -> float:
    source = size / bytes_per_cycle(place.weights, target, "transfer") + place.weights.read_latency_cycles
    sink = size / bytes_per_cycle(place.staging, target, "write") + place.staging.write_latency_cycles
    return max(source, sink)


@dataclass(frozen=True)
class _Staged:
    slices: tuple[int, ...]
    cycles: float
    hidden_bytes: float


def _slices(
    depth: int, size: float, room: float, copy: float, slack: float, cycles: float, step: int
) -> tuple[int, ...]:
    """Ends of the slices of output channels: what the layer before hides, then what a slice hides of the next."""
    ratio = min(1.0, slack / copy, room / 2 / size)
    least = min(1.0, SLICE_DEPTH / depth)
    if 1 - ratio < least / 2:
        return (depth,)
    head = max(SLICE_DEPTH, int(depth * ratio) // step * step)
    if head >= depth:
        return (depth,)
    body = max(SLICE_DEPTH, int(depth * (cycles * head / depth) / copy))
    body = min(-(-body // step) * step, max(step, int(room / 2 / size * depth) // step * step))
    return (*range(head, depth, body), depth)


def _stage(
    operation: Operation, block: Block, target: EthosUTarget, place: _Place, size: float, slack: float, room: float,
    first: bool,
) -> _Staged | None:  # fmt: skip
    """Slices and cycles with weights staged; None where reading them in place is as good."""
    if place.weights is place.staging or not size:
        return None
    reads, depth = _refetches(operation, block), operation.outputs[2]
    read = bytes_per_cycle(place.weights, target, "weight")
    unmoved = (size / read + place.weights.read_latency_cycles) * reads
    near = bytes_per_cycle(place.staging, target, "weight")
    staged_read = (size / near + place.staging.read_latency_cycles) * reads
    copy = _copy_cycles(size, place, target)
    smallest = copy * min(depth, SLICE_DEPTH) / depth
    start = first and reads > 1 and (smallest < unmoved / 10 or smallest <= STARTUP_CYCLES)
    hides = not first and smallest < slack and reads > 1
    whole = _cycles(operation, block, target, place, False)
    many = depth // block.outputs[2] > 2
    if staged_read >= unmoved or not (start or hides or many or staged_read + max(copy - slack, 0) < unmoved):
        return None
    ends = _slices(depth, size, room, copy, slack, whole, min(depth, max(SLICE_DEPTH, block.outputs[2])))
    total, visible, free = 0.0, 0.0, slack if not first else 0.0
    for place_in, end in enumerate(ends):
        width = end - (ends[place_in - 1] if place_in else 0)
        part = replace(operation, outputs=(*operation.outputs[:2], width))
        cycles = _cycles(part, block, target, place, True, first=place_in == 0, last=place_in == len(ends) - 1)
        visible += max(0.0, _copy_cycles(size * width / depth, place, target) - free)
        total, free = total + cycles, cycles
    weighed = total + visible
    if whole > unmoved and visible / len(ends) < STARTUP_CYCLES:  # short waits are noise beside the MAC array
        weighed = total - (len(ends) * STARTUP_CYCLES / 2 if start and len(ends) > 1 else 0)
    before = max(whole, unmoved)
    if max(weighed, staged_read) > before or (reads == 1 and copy + staged_read > before):
        return None
    head = size * min(ends) / depth if not first else 0.0
    return _Staged(ends, total + visible, head)


def _moved(
    operation: Operation, block: Block, place: _Place, size: float, staged: _Staged | None
) -> dict[str, dict[str, tuple[float, float]]]:
    """Bytes on each memory's bus by operand, (read, written)."""
    out, inputs = operation.outputs, block.inputs
    clipped = [min(a, b) for a, b in zip(operation.inputs, inputs, strict=True)]
    blocks = [-(-o // min(o, b)) for o, b in zip(out, block.outputs, strict=True)]
    if operation.equal_depth:
        blocks[2] = 1
    channels = -(-operation.inputs[2] // BRICK) * BRICK if place.bricks_in else operation.inputs[2]
    repeats = prod(-(-k // SUBKERNEL) for k in operation.kernel)
    fetched = clipped[0] * clipped[1] * channels * repeats * prod(blocks)
    if operation.kind == "elementwise":
        fetched = 2 * prod(operation.inputs[:2]) * channels
    written = out[0] * out[1] * (-(-out[2] // BRICK) * BRICK if place.bricks_out else out[2])
    moved: dict[str, dict[str, tuple[float, float]]] = {}

    def add(memory: EthosUMemory, operand: str, read: float, write: float) -> None:
        before = moved.setdefault(memory.name, {}).get(operand, (0.0, 0.0))
        moved[memory.name][operand] = (before[0] + read, before[1] + write)

    depth = operation.inputs[2]
    add(place.inputs, "input", transfer_bytes(fetched, place.inputs, inputs, depth, place.bricks_in, True), 0.0)
    sent = transfer_bytes(written, place.outputs, block.outputs, out[2], place.bricks_out, False)
    add(place.outputs, "output", 0.0, sent)
    reads = _refetches(operation, block)
    if staged is not None:
        add(place.weights, "weight", size - staged.hidden_bytes, 0.0)
        add(place.staging, "weight", size * reads, size - staged.hidden_bytes)
    elif size:
        add(place.weights, "weight", size * reads, 0.0)
    return moved


CHANNELS = {"input": "input", "weight": "weight", "output": "write"}


def _memory_cycles(moved: dict[str, dict[str, tuple[float, float]]], target: EthosUTarget) -> dict[str, float]:
    """Bytes over bandwidth, all operands together; on U85 each channel by itself too."""
    cycles = {}
    for name, operands in moved.items():
        memory = target.memory(name)
        total = sum(read + write for read, write in operands.values()) / bytes_per_cycle(memory, target)
        alone = [
            (write if operand == "output" else read) / bytes_per_cycle(memory, target, CHANNELS[operand])
            for operand, (read, write) in operands.items()
        ]
        cycles[name] = max(total, *alone)
    return cycles


def _wants_bricks(operation: Operation, block: Block) -> bool:
    """Depth first, the array takes 32 channels or more of a pixel: only bricks feed it."""
    return operation.kind == "conv" and not block.part_kernel and operation.inputs[2] > BRICK


def _copied(operation: Operation, target: EthosUTarget, place: _Place) -> LayerCost:
    """The network's input copied to the staging memory in bricks, by a 1 x 1 pooling that changes nothing."""
    copy = Operation("pool", operation.inputs, operation.inputs, activation=False)
    place = replace(place, outputs=place.staging, bricks_out=True)
    block = choose_block(copy, target)
    deep = operation.inputs[2]  # whole pixels, so that the bursts are full
    block = replace(block, outputs=(*block.micro[:2], deep), inputs=(*block.micro[:2], deep))
    moved = _moved(copy, block, place, 0.0, None)
    return LayerCost(
        copy, block, _cycles(copy, block, target, place, False), _memory_cycles(moved, target), moved, (), 0.0
    )


def _add(a: dict[str, dict[str, tuple[float, float]]], b: dict[str, dict[str, tuple[float, float]]]) -> None:
    """Traffic of b into a."""
    for name, operands in b.items():
        for operand, (read, write) in operands.items():
            before = a.setdefault(name, {}).get(operand, (0.0, 0.0))
            a[name][operand] = (before[0] + read, before[1] + write)


def run_layers(operations: Sequence[Operation], weight_bytes: Sequence[float], target: EthosUTarget) -> list[LayerCost]:
    """Cycles and traffic of each layer in turn; `weight_bytes` are the streams', scales apart."""
    staging, home = target.memory(target.staging_in), target.memory(target.feature_maps_in)
    weights = target.memory(target.weights_in)
    assert staging.capacity_bits is not None
    capacity = staging.capacity_bits.value / 8
    costs: list[LayerCost] = []
    slack, near = 0.0, False
    for place_in, (operation, stream) in enumerate(zip(operations, weight_bytes, strict=True)):
        last = place_in == len(operations) - 1
        live = prod(operation.inputs) * near + prod(operation.outputs)
        keep = not last and live <= capacity
        place = _Place(
            staging if near else home, staging if keep else home, weights, staging,
            bricks_in=place_in > 0, bricks_out=not last,
        )  # fmt: skip
        block = choose_block(operation, target)
        copy = None
        if target.family == "u85" and place_in == 0 and home is not staging and _wants_bricks(operation, block):
            copy = _copied(operation, target, place)
            place = replace(place, inputs=staging, bricks_in=True)
        size = stream + (BIAS_BYTES * operation.outputs[2] if stream else 0)
        in_use = prod(operation.inputs) * (place.inputs is staging) + prod(operation.outputs) * (
            place.outputs is staging
        )
        whole = _cycles(operation, block, target, place, False)
        staged = _stage(operation, block, target, place, size, slack, max(capacity - in_use, 1.0), place_in == 0)
        moved = _moved(operation, block, place, size, staged)
        npu = whole if staged is None else staged.cycles
        slices = (operation.outputs[2],) if staged is None else staged.slices
        cycles = _memory_cycles(moved, target)
        if copy is not None:
            _add(moved, copy.moved)
        waited = copy.cycles if copy is not None else 0.0
        costs.append(LayerCost(operation, block, npu, cycles, moved, slices, stream, waited))
        slack, near = whole, keep
    return costs
