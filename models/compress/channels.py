"""Which channels of a network can only be taken out together, and which must stay.

A channel made by a layer runs on through activations, normalizations, pools and views to the layers that read it. A
residual add joins the channels of its branches: number c of one goes with number c of the other. What reads channels
in a way that is not known here (a softmax, a grouped convolution, a reshape) keeps them all.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..graph import Graph, Node

__all__ = ["ChannelGroup", "Channels", "find_channels", "is_depthwise"]

# f(0) = 0: a channel that is 0 before is 0 behind
ZERO_STAYS = (
    "relu", "relu6", "leaky_relu", "tanh", "hard_swish", "swish", "gelu", "identity", "max_pool", "average_pool",
    "global_average_pool", "global_max_pool", "batch_normalization",
)  # fmt: skip


@dataclass(frozen=True)
class ChannelGroup:
    """Channels 0..size-1 that the layers `producers` all make; `fixed` says why they must stay, "" that they can go."""

    size: int
    producers: tuple[str, ...]
    fixed: str


@dataclass(frozen=True)
class Layout:
    """What axis 1 of a tensor holds: groups one behind the other, each channel `repeat` elements wide."""

    segments: tuple[int, ...]
    repeat: int = 1


@dataclass(eq=False)
class Channels:
    """Groups of channels by number, and where each tensor has them."""

    sizes: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)
    producers: dict[str, int] = field(default_factory=dict)
    layouts: dict[str, Layout] = field(default_factory=dict)

    def root(self, group: int) -> int:
        while self.parents[group] != group:
            group = self.parents[group]
        return group

    def groups(self) -> tuple[ChannelGroup, ...]:
        """Every group that some layer makes, in the order of the first such layer."""
        made: dict[int, list[str]] = {}
        for layer, group in self.producers.items():
            made.setdefault(self.root(group), []).append(layer)
        return tuple(ChannelGroup(self.sizes[g], tuple(layers), self.reasons.get(g, "")) for g, layers in made.items())

    def elements(self, tensor: str, kept: dict[int, NDArray[np.int64]]) -> NDArray[np.int64]:
        """Places on axis 1 of `tensor` that stay when of each group (by root) the channels `kept` do."""
        layout, start, parts = self.layouts[tensor], 0, []
        for segment in layout.segments:
            group = self.root(segment)
            stay = kept.get(group, np.arange(self.sizes[group]))
            parts.append(start + (stay[:, None] * layout.repeat + np.arange(layout.repeat)).ravel())
            start += self.sizes[group] * layout.repeat
        return np.concatenate(parts)

    def _new(self, size: int, fixed: str = "") -> Layout:
        number = len(self.sizes)
        self.sizes.append(size)
        self.parents.append(number)
        if fixed:
            self.reasons[number] = fixed
        return Layout((number,))

    def _fix(self, layout: Layout | None, why: str) -> None:
        for segment in layout.segments if layout else ():
            self.reasons.setdefault(self.root(segment), why)

    def _unite(self, one: Layout, other: Layout, why: str) -> None:
        """Channel c of one goes with channel c of the other; where they are cut differently, all stay."""
        same = one.repeat == other.repeat and [self.sizes[self.root(s)] for s in one.segments] == [
            self.sizes[self.root(s)] for s in other.segments
        ]
        if not same:
            self._fix(one, why)
            self._fix(other, why)
            return
        for left, right in zip(one.segments, other.segments, strict=True):
            a, b = sorted((self.root(left), self.root(right)))
            if a != b:
                self.parents[b] = a
                if b in self.reasons:
                    self.reasons.setdefault(a, self.reasons[b])


def is_depthwise(graph: Graph, node: Node) -> bool:
    """A convolution in as many groups as channels, one filter each.

    >>> from ..zoo import build_network
    >>> graph = build_network("mobilenet-v1")
    >>> sum(is_depthwise(graph, node) for node in graph if node.op == "conv")
    13
    """
    weight = graph.parameters[node.parameters["weight"]].shape
    return node.attributes.get("groups", 1) == weight[0] == graph.tensors[node.inputs[0]].shape[1] > 1


def find_channels(graph: Graph) -> Channels:
    """The groups of a network's channels.

    By hand: in LeNet-5 the channels of conv1, conv2 and ip1 can go, each on its own; those of ip2 are the answer.

    >>> from ..zoo import build_network
    >>> [(g.size, g.producers, g.fixed) for g in find_channels(build_network("lenet-5")).groups()][2:]
    [(500, ('ip1',), ''), (10, ('ip2',), 'the network returns them')]
    """
    channels = Channels()
    uses = Counter(name for node in graph for name in node.parameters.values())
    for name in graph.inputs:
        shape = graph.tensors[name].shape
        if len(shape) > 1:
            channels.layouts[name] = channels._new(shape[1], "they are the network's input")
    for node in graph:
        layout = _follow(channels, graph, node)
        shape = graph.tensors[node.output].shape
        if layout is None and len(shape) > 1:
            layout = channels._new(shape[1], f"{node.name} ({node.op}) makes them")
        if layout is not None:
            channels.layouts[node.output] = layout
        if any(uses[name] > 1 for name in node.parameters.values()):
            for tensor in (*node.inputs, node.output):
                channels._fix(channels.layouts.get(tensor), f"{node.name} shares its weights with another layer")
    for name in graph.outputs:
        channels._fix(channels.layouts.get(name), "the network returns them")
    return channels


def _follow(channels: Channels, graph: Graph, node: Node) -> Layout | None:
    """The layout behind a node, or None where its channels are its own and stay; fixes what it cannot follow."""
    inputs = [channels.layouts.get(name) for name in node.inputs]
    first = inputs[0] if inputs else None
    shape = graph.tensors[node.inputs[0]].shape if node.inputs else ()
    if first is not None:
        if node.op in ("conv", "gemm") and (made := _layer(channels, graph, node, first, shape)) is not None:
            return made
        if node.op in ZERO_STAYS or (node.op == "clip" and _holds_zero(node)):
            return first
        if node.op == "flatten":
            return Layout(first.segments, first.repeat * prod(shape[2:]))
        if node.op == "reduce" and _reduces_space(node, len(shape)):
            return first
        known = [layout for layout in inputs if layout is not None]
        if node.op in ("add", "multiply") and len(inputs) == 2 == len(known) and _same_width(graph, node):
            channels._unite(known[0], known[1], f"{node.name} ({node.op}) joins channels that are cut differently")
            return first
        alike = len(known) == len(inputs) and len({layout.repeat for layout in known}) == 1
        if node.op == "concat" and node.attributes.get("axis", 1) == 1 and alike:
            return Layout(tuple(s for layout in known for s in layout.segments), first.repeat)
    for layout in inputs:
        channels._fix(layout, f"{node.name} ({node.op}) reads them")
    return None


def _layer(channels: Channels, graph: Graph, node: Node, read: Layout, shape: tuple[int, ...]) -> Layout | None:
    """A layer's own new channels; those that a depthwise convolution passes on; None in other groups or axes."""
    outputs = graph.tensors[node.output].shape[1]
    if node.op == "conv" and is_depthwise(graph, node):
        return read if read.repeat == 1 else None
    if (node.op == "conv" and node.attributes.get("groups", 1) != 1) or (node.op == "gemm" and len(shape) != 2):
        return None
    made = channels._new(outputs)
    channels.producers[node.name] = made.segments[0]
    return made


def _holds_zero(node: Node) -> bool:
    low, high = node.attributes.get("low", 0.0), node.attributes.get("high", 0.0)
    return isinstance(low, int | float) and isinstance(high, int | float) and low <= 0 <= high


def _reduces_space(node: Node, rank: int) -> bool:
    axes = node.attributes.get("axes", ())
    listed = {axis % rank for axis in axes} if isinstance(axes, tuple) else set()
    return node.attributes.get("function") in ("Mean", "Sum", "Max") and bool(listed) and listed <= set(range(2, rank))


def _same_width(graph: Graph, node: Node) -> bool:
    one, other = (graph.tensors[name].shape for name in node.inputs)
    return len(one) == len(other) and one[1] == other[1] and not node.parameters
