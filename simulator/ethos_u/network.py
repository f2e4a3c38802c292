"""Layers of a network one after another on an Ethos-U: where tensors lie, which weights are staged, cycles.

Feature maps between layers stay in the staging memory when they fit it, in bricks of 16 channels; the network's input
and output lie where `feature_maps_in` says, all channels of a pixel together. The input is copied to the staging
memory first where its reads, not the array, hold the first layer up and the copy takes less than they save. A sum
behind the layer that made one of its operands runs in that layer's output stage (U85).
Source: the scheduler of ethos-u-vela's regor (Apache-2.0), without cascades; the rule of the input's copy is ours,
found on the compiler 5.2.0 (docs/decisions/0030).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod

import numpy as np

from ..sources import sole_reader
from ..target_ethos_u import EthosUMemory, EthosUTarget
from .cycles import BRICK, Reads, Tensor, array_cycles, bus_bytes, memory_cycles, read_cycles, write_cores
from .layer_cost import LayerCost, Moved
from .operation import Operation, Shape, round_up
from .staging import Costing, Staged, copy_cycles, costing, slice_bytes, stage

__all__ = ["run_layers"]


@dataclass(frozen=True)
class _Layer:
    """One operation of the schedule, its weight stream in bytes, and how the stream is staged."""

    cost: Costing
    stream: float
    staged: Staged | None

    @property
    def weights_bytes(self) -> float:
        return sum(self.staged.parts) if self.staged else 0.0


def _best_form(operation: Operation, cost: Callable[[Operation], Costing]) -> Costing:
    """The operation with 2:4 weights where these take no more cycles than dense ones."""
    found = cost(operation)
    if operation.sparse:
        other = cost(replace(operation, sparse=False))
        return other if found.array > other.array else found
    return found


def _size(shape: Shape, bricks: bool) -> int:
    return prod(shape[:2]) * (round_up(shape[2], BRICK) if bricks else shape[2])


class _Use:
    """Bytes by memory and channel, and by memory and operand.

    What a chained sum writes is moved but not `timed`, as the compiler's cycles leave it out, and so are weights
    that come while the layer before runs.
    """

    def __init__(self) -> None:
        self.channels: dict[str, dict[str, float]] = {}
        self.moved: Moved = {}

    def add(self, memory: EthosUMemory, channel: str, operand: str, size: float, timed: bool = True) -> None:
        if size:
            found = self.channels.setdefault(memory.name, {})
            found[channel] = found.get(channel, 0.0) + size * timed
            read, written = self.moved.setdefault(memory.name, {}).get(operand, (0.0, 0.0))
            wrote = channel == "write"
            self.moved[memory.name][operand] = (read + size * (not wrote), written + size * wrote)


def _traffic(layer: _Layer, target: EthosUTarget, given: Tensor, made: Tensor, other: Tensor | None) -> _Use:
    operation, block, use = layer.cost.operation, layer.cost.block, _Use()
    reads = Reads.of(operation, block, given.bricks)
    channel = "stream" if operation.kind == "elementwise" else "input"
    fetched = bus_bytes(reads.inputs, given, block.inputs, operation.inputs, read=True)
    use.add(given.memory, channel, "input", fetched)
    if other is not None:
        second = _size(operation.outputs, other.bricks)
        use.add(other.memory, "stream", "input", bus_bytes(second, other, block.inputs, operation.outputs, read=True))
    cores = write_cores(target)
    written = bus_bytes(_size(operation.outputs, made.bricks), made, block.outputs, operation.outputs, False, cores)
    use.add(made.memory, "write", "output", written, timed=not layer.cost.summed)
    source, near = target.memory(target.weights_in), target.memory(target.staging_in)
    scales = slice_bytes(layer.stream, operation.outputs[2], operation.outputs[2]) - layer.stream
    if layer.staged:
        early = min(layer.staged.sizes[0] if layer.staged.early else 0.0, layer.stream)
        for part, timed in ((early, False), (layer.stream - early, True)):
            use.add(source, "transfer", "weight", part, timed)
            use.add(near, "write", "weight", part, timed)
        use.add(near, "weight", "weight", layer.stream * reads.weights)
    else:
        use.add(source, "weight", "weight", layer.stream * reads.weights)
    use.add(source, "scale", "weight", scales * reads.weights)
    return use


def _cost(
    layer: _Layer, target: EthosUTarget, given: Tensor, made: Tensor, other: Tensor | None, slack: float
) -> LayerCost:
    """Cycles with every tensor in its final place; `slack` of the layer before hides the first weights."""
    cost, staged = layer.cost, layer.staged
    source, near = target.memory(target.weights_in), target.memory(target.staging_in)
    constants = near if staged else source
    sent = cost.made if cost.summed else made  # what goes on to a sum never leaves the output stage
    npu = array_cycles(cost.operation, cost.block, target, given, sent, constants, chained=cost.summed)
    if staged:
        wait = max(copy_cycles(target, source, near, staged.sizes[0]) - slack, 0.0)
        all_of_it = copy_cycles(target, source, near, sum(staged.sizes))
        npu = max(all_of_it - slack + staged.last_cycles, npu + wait)
    use = _traffic(layer, target, given, made, other)
    ends = staged.ends if staged else (cost.operation.outputs[2],)
    memories = memory_cycles(use.channels, target)
    return LayerCost(cost.operation, cost.block, npu, memories, use.moved, ends, layer.stream)


def _copied(first: Costing, target: EthosUTarget) -> LayerCost | None:
    """The copy of the network's input to the staging memory, where it pays."""
    near, home = target.memory(target.staging_in), first.given
    saved = first.inputs - read_cycles(near, target, first.reads.inputs, "input")
    if home.memory is near or first.array_bound or first.operation.kind == "elementwise":
        return None
    if near.capacity_bits is None or 8 * prod(first.operation.inputs) > near.capacity_bits.value:
        return None
    copy = Operation("copy", first.operation.inputs, first.operation.inputs, activation=False)
    made = Tensor(near, bricks=False)
    cost = costing(copy, target, home, made, 0.0)
    return _cost(_Layer(cost, 0.0, None), target, home, made, None, 0.0) if saved > cost.array else None


@dataclass(frozen=True)
class _Plan:
    """Which layers read what: places of the layers before, -1 for the network's input; `chained` sums."""

    operations: Sequence[Operation]
    sources: Sequence[tuple[int, ...]]
    chained: tuple[bool, ...]

    @classmethod
    def of(cls, operations: Sequence[Operation], sources: Sequence[tuple[int, ...]], chains: bool) -> _Plan:
        """A sum runs in the output stage of the layer before it where that feeds nothing else (U85)."""
        found: list[bool] = []
        for place, operation in enumerate(operations):
            before = operations[place - 1] if place else None
            starts = before is not None and before.kind in ("conv", "depthwise", "gemm", "elementwise")
            same = before is not None and before.outputs == operation.outputs
            fed = operation.kind == "elementwise" and sole_reader(sources, place - 1) == place
            found.append(chains and starts and same and fed and not (found and found[-1]))
        return cls(operations, sources, tuple(found))

    def summed(self, place: int) -> bool:
        return place + 1 < len(self.operations) and self.chained[place + 1]

    def end(self, place: int) -> int:
        """The layer whose outputs this one's output stage makes: itself or the sum behind it."""
        return place + self.summed(place)

    def readers(self, place: int) -> list[int]:
        return [reader for reader, read in enumerate(self.sources) if place in read]

    def bricks(self, place: int) -> bool:
        """Outputs lie in bricks if all that read them see the same width and depth."""
        readers, made = self.readers(place), self.operations[place].outputs
        return bool(readers) and all(self.operations[reader].inputs[1:] == made[1:] for reader in readers)

    def given(self, place: int) -> int:
        """The layer that makes the (first) input."""
        return self.sources[place][0] if self.sources[place] else -1

    def other(self, place: int) -> int | None:
        """The layer that makes the second operand of a sum, the chained one's included."""
        if self.summed(place):
            return next((source for source in self.sources[place + 1] if source != place), None)
        more = self.sources[place][1:] if self.operations[place].kind == "elementwise" else ()
        return more[0] if more else None


def _schedule(
    plan: _Plan, streams: Sequence[float], target: EthosUTarget, capacity: float
) -> tuple[list[_Layer | None], LayerCost | None]:
    """Layers with their weights staged or not, None for a sum that runs in the layer before; the input's copy."""
    home, near = target.memory(target.feature_maps_in), target.memory(target.staging_in)
    layers: list[_Layer | None] = []
    copy: LayerCost | None = None
    slack = 0.0
    for place, (operation, stream) in enumerate(zip(plan.operations, streams, strict=True)):
        if plan.chained[place]:
            layers.append(None)
            continue
        source, summed = plan.given(place), plan.summed(place)
        given = Tensor(home, source >= 0 and plan.bricks(source))
        made = Tensor(home, summed or plan.bricks(place))
        at = partial(costing, target=target, given=given, made=made, stream=stream, summed=summed)
        cost = _best_form(operation, at)
        if not place:
            copy = _copied(cost, target)
            if copy is not None:
                cost = costing(cost.operation, target, Tensor(near, bricks=False), made, stream, summed)
        staged = stage(
            cost, target, stream, room=capacity, slack=slack, first=place == 0 and copy is None,
            movable=source >= 0 and _size(operation.inputs, given.bricks) <= capacity,
        )  # fmt: skip
        layers.append(_Layer(cost, stream, staged))
        slack = staged.last_cycles if staged else cost.array
    return layers, copy


def _places(
    plan: _Plan, layers: Sequence[_Layer | None], target: EthosUTarget, capacity: float, copied: float
) -> dict[int, Tensor]:
    """Where each layer's outputs lie: in the staging memory if they fit it until their last reader, in order.

    `copied`: bytes of the network's input, where it was copied there for the first layer.
    """
    home, near = target.memory(target.feature_maps_in), target.memory(target.staging_in)
    used = np.array([layer.weights_bytes if layer else 0.0 for layer in layers])
    used[0] += copied
    found: dict[int, Tensor] = {}
    for place, layer in enumerate(layers):
        if layer is None:
            continue
        end = plan.end(place)
        readers, bricks = plan.readers(end), plan.bricks(end)
        size = _size(plan.operations[end].outputs, bricks)
        live = slice(place, max(readers, default=place) + 1)
        keep = bool(readers) and used[live].max() + size <= capacity
        if keep:
            used[live] += size
        found[end] = Tensor(near if keep else home, bricks)
    return found


def run_layers(
    operations: Sequence[Operation],
    weight_bytes: Sequence[float],
    target: EthosUTarget,
    sources: Sequence[tuple[int, ...]] | None = None,
) -> list[LayerCost]:
    """Cycles and traffic of each layer in turn; `weight_bytes` are the streams', scales apart.

    `sources`: the layers that each one reads, -1 for the network's input; one after another where not given.
    """
    if not operations:
        return []
    near, home = target.memory(target.staging_in), target.memory(target.feature_maps_in)
    assert near.capacity_bits is not None
    capacity = near.capacity_bits.value / 8
    read = sources if sources is not None else [(place - 1,) for place in range(len(operations))]
    plan = _Plan.of(operations, read, chains=target.family == "u85")
    layers, copy = _schedule(plan, weight_bytes, target, capacity)
    held = float(prod(operations[0].inputs)) if copy is not None else 0.0
    places = _places(plan, layers, target, capacity, held)
    places[-1] = Tensor(home, bricks=False)
    costs: list[LayerCost] = []
    slack = 0.0
    for place, (operation, layer) in enumerate(zip(operations, layers, strict=True)):
        if layer is None:
            costs.append(LayerCost(operation, None, 0.0, {}, {}, (), 0.0))
            continue
        copied = copy is not None and not place
        given = Tensor(near, bricks=False) if copied else places[plan.given(place)]
        second = plan.other(place)
        other = places[second] if second is not None else None
        found = _cost(layer, target, given, places[plan.end(place)], other, slack)
        costs.append(replace(found, copy=copy) if copied else found)
        slack = layer.staged.last_cycles if layer.staged else layer.cost.array
    return costs
