"""Cycles of one operation on an Ethos-U, and the bytes and cycles of its memories.

Per block of outputs three engines run side by side: the MAC array, the output stage, the command issue

    mac     = sum over 8 x 8 subkernels of max(weight cycles, steps per microblock) x kernel steps x microblocks
    output  = max(cycles per element x elements, 10 depth x latency / 256 for scales and biases)
    issue   = (|write - read| of a block + mac + output) / 4

and the operation takes max(mac, output, issue) x blocks, the other engine once, and a block's read and write. A memory
takes its bytes over its bandwidth, or what the reads in flight of its busiest channel allow, whichever is longer.
Source: the performance model of ethos-u-vela's regor for the Ethos-U55, U65 and U85 (Apache-2.0), 8 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, prod

from ..target_ethos_u import EthosUMemory, EthosUTarget
from .operation import SUBKERNEL, Block, Operation, Shape, round_up, steps

__all__ = [
    "BIAS_BYTES",
    "BRICK",
    "Reads",
    "Tensor",
    "array_cycles",
    "bus_bytes",
    "channel_rate",
    "memory_cycles",
    "read_cycles",
    "write_cores",
]

BRICK, BIAS_BYTES, BIAS_BEAT = 16, 10, 256
USABLE = 0.8


@dataclass(frozen=True)
class Tensor:
    """Where a feature map lies; in bricks 16 channels of a pixel lie together, otherwise all of them."""

    memory: EthosUMemory
    bricks: bool


def channel_rate(memory: EthosUMemory, target: EthosUTarget, channel: str = "") -> float:
    """Bytes per cycle; on U85 min(bandwidth, 0.8 burst x reads in flight / latency), reads in flight by channel."""
    peak = memory.bandwidth_bits_per_s.value / 8 / target.clock_hz.value
    if target.family != "u85" or not channel:
        return peak
    if channel == "write":
        in_flight, latency = USABLE * memory.max_writes * memory.ports, memory.write_latency_cycles
    else:
        beats = target.read_buffer_beats[channel] / max(memory.burst_bytes // 16, 1)  # type: ignore[index]
        in_flight, latency = min(beats, USABLE * memory.max_reads * memory.ports), memory.read_latency_cycles
    return min(peak, USABLE * memory.burst_bytes * in_flight / latency) if latency and in_flight else peak


def read_cycles(memory: EthosUMemory, target: EthosUTarget, size: float, channel: str) -> float:
    """Cycles in which one channel reads `size` bytes, latency once."""
    return int(size / channel_rate(memory, target, channel)) + memory.read_latency_cycles


def bus_bytes(size: float, place: Tensor, block: Shape, shape: Shape, read: bool, cores: int = 1) -> int:
    """Bytes on the bus for `size` bytes: bursts that a block's rows do not fill go partly unused.

    `cores` that write side by side (U65), each 16 channels.
    """
    _, wide, deep = block
    if place.bricks:
        burst = wide * deep if BRICK * shape[1] == deep else BRICK * wide * (1 if read else cores)
    elif read:
        burst = wide * deep if shape[2] == deep else deep
    else:
        burst = wide * deep if deep <= BRICK and shape[2] == deep else min(64, BRICK * cores, deep)
    return int(size * place.memory.burst_bytes / max(1, min(place.memory.burst_bytes, burst)))


def write_cores(target: EthosUTarget) -> int:
    """Cores that write bursts together."""
    return target.cores if target.family == "u65" else 1


def _one_row(operation: Operation, block: Block, target: EthosUTarget) -> Block:
    """Layers one row high and of even width run on microblocks of 1 x 4 where the array has 2 x 2 (U55, U65)."""
    flat = operation.outputs[0] == 1 and operation.outputs[1] % 2 == 0 and operation.kernel[0] == 1
    if target.family == "u85" or block.micro[0] != 2 or not flat or operation.kind not in ("conv", "gemm"):
        return block
    return replace(block, micro=(1, 4, block.micro[2]))


def _clipped(a: Shape, b: Shape) -> Shape:
    return tuple(min(x, y) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def _block_cycles(operation: Operation, block: Block, outputs: Shape, target: EthosUTarget) -> float:
    """MAC cycles of one block."""
    u85 = target.family == "u85"
    high, wide, deep = steps(outputs, block.micro)
    area = high * wide
    weight_cycles = 32 * block.micro[2] // (8 * (target.cores if u85 else 1))
    input_depth = min(operation.inputs[2], block.inputs[2])
    total = 0.0
    for top in range(0, operation.kernel[0], SUBKERNEL):
        for left in range(0, operation.kernel[1], SUBKERNEL):
            size = min(operation.kernel[0] - top, SUBKERNEL) * min(operation.kernel[1] - left, SUBKERNEL)
            quads = -(-size // 4)
            if operation.kind in ("pool", "max_pool", "copy"):
                count, cycles = 1, max(4, size) * area * deep * (1 if target.macs_per_cycle == 32 else 4)
            elif operation.kind == "depthwise":
                count, cycles = quads, max(weight_cycles, 4 * area) * quads * deep
            elif block.part_kernel:
                count, cycles = quads, max(weight_cycles, 4 * area) * quads * deep * -(-input_depth // 8)
            else:
                each = input_depth // 8 * area if u85 else 4 * area
                count, cycles = size, max(weight_cycles, each) * size * deep
            delay = 0
            if area == 1:
                delay = (3 if target.macs_per_cycle == 32 else 2) * (count if deep == 1 else max(0, count - 1) * deep)
            if operation.kind == "conv" and block.part_kernel:
                delay *= -(-input_depth // 8)
            total += (cycles // 2 if operation.sparse and not operation.equal_depth else cycles) + delay
    total *= 1 if operation.equal_depth else -(-operation.inputs[2] // input_depth)
    return total if u85 else total // target.cores


def _output_rate(operation: Operation, target: EthosUTarget, chained: bool) -> float:
    base = target.output_cycles_per_element.value
    if target.family != "u85":
        own = {"elementwise": target.add_cycles_per_element, "max_pool": target.max_pool_cycles_per_element}
        base = own.get(operation.kind, target.output_cycles_per_element).value
    one = max(base, target.activation_cycles_per_element.value) if operation.activation else base
    return one + base if chained else one


def _block_transfers(
    operation: Operation, block: Block, target: EthosUTarget, given: Tensor, made: Tensor
) -> list[int]:
    cycles = []
    for place, shape, each, read in (
        (given, operation.inputs, block.inputs, True), (made, operation.outputs, block.outputs, False)
    ):  # fmt: skip
        latency = place.memory.read_latency_cycles if read else place.memory.write_latency_cycles
        size = bus_bytes(prod(_clipped(shape, each)), place, each, shape, read, write_cores(target))
        cycles.append(latency + int(size / channel_rate(place.memory, target)))
    return cycles


def array_cycles(
    operation: Operation,
    block: Block,
    target: EthosUTarget,
    given: Tensor,
    made: Tensor,
    constants: EthosUMemory,
    *,
    chained: bool = False,
    first: bool = True,
    last: bool = True,
) -> float:
    """Cycles of the NPU with feature maps and constants in the given places.

    `first` and `last` add the block transfers that nothing hides at the two ends; `chained`: a sum follows in the
    output stage.
    """
    read, write = _block_transfers(operation, block, target, given, made)
    rate = _output_rate(operation, target, chained)
    if operation.kind == "elementwise":
        deep = round_up(operation.outputs[2], BRICK) if made.bricks else operation.outputs[2]
        elements = prod(operation.outputs[:2]) * deep
        issue = (max(read, write) / prod(block.outputs) + rate) / 4
        return int(max(ceil(issue * elements), ceil(rate * elements)))
    block, outputs = _one_row(operation, block, target), _clipped(operation.outputs, block.outputs)
    blocks = prod(steps(operation.outputs, block.micro)) / prod(steps(outputs, block.micro))
    mac = _block_cycles(operation, block, outputs, target)
    output: float = ceil(rate * prod(outputs))
    if operation.kind in ("conv", "depthwise", "gemm"):
        output = max(output, BIAS_BYTES * outputs[2] * constants.read_latency_cycles / BIAS_BEAT)
    issue = ((abs(write - read) if blocks > 1 else 0) + mac + output) / 4
    mac, output = max(mac, issue), max(output, issue)
    total = int(mac * blocks) + (output if last else 0) if mac > output else output * blocks + mac
    return int(total + (write if last else 0) + (read if first else 0))


@dataclass(frozen=True)
class Reads:
    """Feature map elements that an operation reads, and how often it reads its weights."""

    inputs: int
    weights: int

    @classmethod
    def of(cls, operation: Operation, block: Block, bricks: bool) -> Reads:
        """Counts blocks: each reads its inputs whole, once for each 8 x 8 subkernel."""
        deep = round_up(operation.inputs[2], BRICK) if bricks else operation.inputs[2]
        if operation.kind == "elementwise":
            return cls(prod(operation.inputs[:2]) * deep, 0)
        area = prod(_clipped(operation.inputs, block.inputs)[:2])
        high, wide, depths = steps(operation.outputs, _clipped(operation.outputs, block.outputs))
        blocks = high * wide * (1 if operation.equal_depth else depths)
        weighted = operation.kind in ("conv", "depthwise", "gemm")
        return cls(area * deep * operation.subkernels * blocks, high * wide if weighted else 0)


def memory_cycles(used: Mapping[str, Mapping[str, float]], target: EthosUTarget) -> dict[str, float]:
    """Cycles by memory from bytes by memory and channel: all bytes over the bandwidth, or the slowest channel."""
    cycles: dict[str, float] = {}
    for name, channels in used.items():
        memory = target.memory(name)
        alone = [int(size / channel_rate(memory, target, channel)) for channel, size in channels.items()]
        cycles[name] = max(int(sum(channels.values()) / channel_rate(memory, target)), *alone)
    return cycles
