"""NPU cycles of one layer on an Ethos-U, memories aside.

Per block of outputs three engines run side by side: the MAC array, the output stage, the command issue

    mac     = sum over 8 x 8 subkernels of max(weight cycles, steps per microblock) x kernel steps x microblocks
    output  = max(cycles per element x elements, 10 depth x latency / 256 for scales and biases)
    issue   = (block transfers + mac + output) / 4

and the layer takes max(mac, output, issue) x blocks plus the first or last of the other engine.
Source: the performance model of ethos-u-vela 5.2.0 for U55, U65 and U85 (Apache-2.0), int8.
"""

from __future__ import annotations

from math import ceil, prod

from ..target_ethos_u import EthosUMemory, EthosUTarget
from .blocks import SUBKERNEL, Block, Operation, Shape

__all__ = ["bytes_per_cycle", "operation_cycles", "transfer_bytes"]

PIPELINE_DELAY = 2
BRICK = 16
BIAS_BYTES = 10
BIAS_BEAT = 256


def bytes_per_cycle(memory: EthosUMemory, target: EthosUTarget, channel: str = "") -> float:
    """Bandwidth in bytes per NPU cycle; on U85 also what the reads in flight of a channel allow.

    min(bandwidth, burst x reads in flight / latency x 0.8), reads in flight = min(buffer / burst, 0.8 reads x ports).
    """
    peak = memory.bandwidth_bits_per_s.value / 8 / target.clock_hz.value
    if target.family != "u85" or not channel:
        return peak
    if channel == "write":
        in_flight, latency = 0.8 * memory.max_writes * memory.ports, memory.write_latency_cycles
    else:
        beats = target.read_buffer_beats[channel] / max(memory.burst_bytes // BRICK, 1)  # type: ignore[index]
        in_flight, latency = min(beats, 0.8 * memory.max_reads * memory.ports), memory.read_latency_cycles
    return min(peak, 0.8 * memory.burst_bytes * in_flight / latency) if latency and in_flight else peak


def transfer_bytes(size: float, memory: EthosUMemory, block: Shape, depth: int, bricks: bool, read: bool) -> float:
    """Bytes on the bus for `size` bytes: bursts that a block's rows do not fill go partly unused.

    `bricks`: 16 channels lie together (between layers); otherwise all channels of a pixel do (network in, out).
    """
    if bricks:
        burst = BRICK * block[1]
    elif read:
        burst = block[2] * (block[1] if depth == block[2] else 1)
    elif block[2] <= BRICK and depth == block[2]:
        burst = block[1] * block[2]
    else:
        burst = min(64, BRICK, block[2])
    return size * memory.burst_bytes / max(1, min(memory.burst_bytes, burst))


def _clipped(a: Shape, b: Shape) -> Shape:
    return tuple(min(x, y) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def _steps(total: Shape, step: Shape) -> tuple[int, int, int]:
    return tuple(-(-t // s) for t, s in zip(total, step, strict=True))  # type: ignore[return-value]


def _mac_cycles(operation: Operation, block: Block, outputs: Shape, micro: Shape, target: EthosUTarget) -> float:
    """MAC cycles of one block."""
    high, wide, deep = _steps(outputs, micro)
    area = high * wide
    cores = target.cores if target.family == "u85" else 1
    weight_cycles = 32 * micro[2] // (8 * cores)
    input_depth = min(operation.inputs[2], block.inputs[2])
    total = 0.0
    for top in range(0, operation.kernel[0], SUBKERNEL):
        for left in range(0, operation.kernel[1], SUBKERNEL):
            size = min(operation.kernel[0] - top, SUBKERNEL) * min(operation.kernel[1] - left, SUBKERNEL)
            quads = -(-size // 4)
            if operation.kind in ("pool", "max_pool"):
                steps, cycles = 1, max(4, size) * area * deep * 4
            elif operation.kind == "depthwise":
                steps, cycles = quads, max(weight_cycles, 4 * area) * quads * deep
            elif block.part_kernel:
                steps = quads
                cycles = max(weight_cycles, 4 * area) * quads * deep * -(-input_depth // 8)
            else:
                steps = size
                each = input_depth // 8 * area if target.family == "u85" else 4 * area
                cycles = max(weight_cycles, each) * size * deep
            if operation.sparse and not operation.equal_depth:
                cycles = cycles // 2
            delay = 0
            if area == 1:
                delay = PIPELINE_DELAY * (steps if deep == 1 else max(0, steps - 1) * deep)
            if operation.kind == "conv" and block.part_kernel:
                delay *= -(-input_depth // 8)
            total += cycles + delay
    if not operation.equal_depth:
        total *= -(-operation.inputs[2] // input_depth)
    return total / (1 if target.family == "u85" else target.cores)


def _output_cycles_per_element(operation: Operation, target: EthosUTarget) -> float:
    base = target.output_cycles_per_element.value
    if operation.kind == "elementwise":
        base = target.add_cycles_per_element.value
    elif operation.kind == "max_pool":
        base = target.max_pool_cycles_per_element.value
    return max(base, target.activation_cycles_per_element.value) if operation.activation else base


def operation_cycles(
    operation: Operation,
    block: Block,
    target: EthosUTarget,
    *,
    inputs_in: EthosUMemory,
    outputs_in: EthosUMemory,
    constants_in: EthosUMemory,
    bricks_in: bool = True,
    bricks_out: bool = True,
    first: bool = True,
    last: bool = True,
) -> float:
    """Cycles of a layer with its feature maps and constants in the given memories.

    `first` and `last` (U85) add the block transfers that nothing hides at the two ends of a layer.
    """
    micro, outputs = block.micro, _clipped(operation.outputs, block.outputs)
    flat = micro[0] == 2 and operation.outputs[0] == 1 and operation.outputs[1] % 2 == 0 and operation.kernel[0] == 1
    if target.family != "u85" and flat and operation.kind in ("conv", "gemm"):
        micro, outputs = (1, 4, micro[2]), (1, *outputs[1:])
    inputs = _clipped(operation.inputs, block.inputs)
    read = inputs_in.read_latency_cycles + transfer_bytes(
        prod(inputs), inputs_in, block.inputs, operation.inputs[2], bricks_in, True
    ) / bytes_per_cycle(inputs_in, target)
    write = outputs_in.write_latency_cycles + transfer_bytes(
        prod(outputs), outputs_in, block.outputs, operation.outputs[2], bricks_out, False
    ) / bytes_per_cycle(outputs_in, target)
    per_element = _output_cycles_per_element(operation, target)
    if operation.kind == "elementwise":
        elements = prod(operation.outputs[:2]) * ceil(operation.outputs[2] / BRICK) * BRICK
        issue = (max(read, write) if target.family == "u85" else read + write) / prod(block.outputs)
        return max(per_element, (issue + per_element) / 4) * elements
    mac = _mac_cycles(operation, block, outputs, micro, target)
    output = ceil(per_element * prod(outputs))
    if operation.kind in ("conv", "depthwise", "gemm"):
        output = max(output, BIAS_BYTES * outputs[2] * constants_in.read_latency_cycles / BIAS_BEAT)
    if target.family == "u85":
        return _u85_total(operation, outputs, micro, mac, output, read, write, first, last)
    issue = (read + write + mac + output) / 4
    blocks = prod(_steps(operation.outputs, micro)) / prod(_steps(outputs, micro))
    slow, fast = sorted((max(mac, issue), max(output, issue)), reverse=True)
    return slow * blocks + fast


def _u85_total(
    operation: Operation, outputs: Shape, micro: Shape, mac: float, output: float, read: float, write: float,
    first: bool, last: bool,
) -> float:  # fmt: skip
    """Blocks counted in fractions by their microblocks; transfers of neighbouring blocks overlap."""
    blocks = prod(_steps(operation.outputs, micro)) / prod(_steps(outputs, micro))
    issue = ((abs(write - read) if blocks > 1 else 0.0) + mac + output) / 4
    mac, output = max(mac, issue), max(output, issue)
    total = mac * blocks + (output if last else 0) if mac > output else output * blocks + mac
    return total + (write if last else 0) + (read if first else 0)
