"""Which layers feed which, with views and fused operators walked through."""

from __future__ import annotations

from collections.abc import Sequence

from ..models.graph import Graph, Node

__all__ = ["NETWORK_INPUT", "row_sources", "sole_reader"]

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
