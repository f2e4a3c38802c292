"""What layers read: which others feed them, with views and fused operators walked through; windows; the batch."""

from __future__ import annotations

from collections.abc import Sequence

from ..models.graph import Graph, Node

__all__ = ["NETWORK_INPUT", "described_batch", "row_sources", "sole_reader", "window_of"]

NETWORK_INPUT = -1


def row_sources(graph: Graph, nodes: Sequence[Node]) -> tuple[tuple[int, ...], ...]:
    """For each of `nodes` the places of those whose outputs it reads, in order; -1 for the network's input.

    Constants count for nothing.
    """
    places = {node.output: place for place, node in enumerate(nodes)}
    producer = {node.output: node for node in graph.nodes}
    found: dict[str, tuple[int, ...]] = dict.fromkeys(graph.inputs, (NETWORK_INPUT,))
    found.update({tensor: (place,) for tensor, place in places.items()})
    for node in graph:  # producers come first
        if node.output not in found:
            found[node.output] = _of(node, found)
    return tuple(_of(producer[node.output], found) for node in nodes)


def _of(node: Node, found: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(place for tensor in node.inputs for place in found.get(tensor, ())))


def sole_reader(sources: Sequence[Sequence[int]], place: int) -> int | None:
    """The one layer that reads what layer `place` makes; None where several do, or none.

    >>> sole_reader([(-1,), (0,), (0, 1)], 0), sole_reader([(-1,), (0,), (0, 1)], 1)
    (None, 2)
    """
    readers = [reader for reader, read in enumerate(sources) if place in read]
    return readers[0] if len(readers) == 1 else None


def described_batch(graph: Graph) -> int:
    """The batch that the network itself was written for: the first axis of its inputs, where they agree."""
    first = {graph.tensors[name].shape[0] for name in graph.inputs if len(graph.tensors[name].shape) > 1}
    return first.pop() if len(first) == 1 else 1


def window_of(node: Node) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """(window, strides) of a pool with a window of two axes, None for every other layer."""
    window, strides = node.attributes.get("kernel"), node.attributes.get("strides", (1, 1))
    if "pool" not in node.op or not isinstance(window, tuple) or not isinstance(strides, tuple):
        return None
    if len(window) != 2 or len(strides) != 2:
        return None
    return (int(window[0]), int(window[1])), (int(strides[0]), int(strides[1]))
