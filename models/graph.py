"""A neural network as a frozen, directed acyclic graph of operators over named tensors.

A Graph knows shapes and bits, never joules. Activations carry their batch axis with the size the
network was described at (1 for every network made here); a cost multiplies it by `batch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from types import MappingProxyType

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from .errors import GraphError

__all__ = ["Graph", "Node", "Parameter", "TensorSpec"]

AttributeValue = int | float | str | bool | tuple[int, ...]


@dataclass(frozen=True)
class TensorSpec:
    """Shape and stored bits per element of an activation.

    >>> TensorSpec((1, 784)).elements
    784
    """

    shape: tuple[int, ...]
    bits: int = 32

    @property
    def elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, eq=False)
class Parameter:
    """A weight or bias: its shape, its bits per element, and its values where they are known.

    `source` is the array itself, a function that reads it when first asked (so that a large file
    is not read for its shapes alone), or None when only the shape is known.
    """

    shape: tuple[int, ...]
    bits: int = 32
    source: NDArray[np.float32] | Callable[[], NDArray[np.float32]] | None = None

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def known(self) -> bool:
        """Whether values exist (they may still have to be read)."""
        return self.source is not None

    @cached_property
    def values(self) -> NDArray[np.float32] | None:
        """Read-only float32 values of shape `shape`, or None."""
        if self.source is None:
            return None
        raw = self.source() if callable(self.source) else self.source
        array = np.array(raw, dtype=np.float32, order="C", copy=None)
        if array.shape != self.shape:
            raise GraphError("parameter values", f"shape {array.shape}", f"shape {self.shape}")
        array = array.view()
        array.flags.writeable = False
        return array


@dataclass(frozen=True)
class Node:
    """One operator: activations in by name, one activation out, parameters by role.

    `parameters` maps a role ("weight", "bias", "scale", ...) to a parameter's name.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))


@dataclass(frozen=True, eq=False)
class Graph:
    """Operators in an order in which they can run, and every tensor they touch.

    `tensors` holds the spec of each activation (inputs included) and `parameters` each weight and
    bias. Raises GraphError for duplicate names, missing tensors, a cycle or an impossible shape.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    tensors: Mapping[str, TensorSpec]
    parameters: Mapping[str, Parameter]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))
        self._check_names()
        self._check_shapes()
        order = {name: place for place, name in enumerate(self._topological_order())}
        object.__setattr__(self, "nodes", tuple(sorted(self.nodes, key=lambda n: order[n.name])))

    def _check_names(self) -> None:
        seen: set[str] = set()
        for node in self.nodes:
            if node.name in seen:
                raise GraphError(f"network {self.name}", f"two nodes named {node.name!r}", "unique names")
            seen.add(node.name)
        produced = [node.output for node in self.nodes]
        made = set(produced)
        if len(made) < len(produced) or made & set(self.inputs):
            raise GraphError(f"network {self.name}", "a tensor written twice", "one producer per tensor")
        known = made | set(self.inputs)
        for node in self.nodes:
            for tensor in node.inputs:
                if tensor not in known:
                    raise GraphError(f"node {node.name}", f"input {tensor!r}", "a tensor that some node produces")
            for role, parameter in node.parameters.items():
                if parameter not in self.parameters:
                    raise GraphError(f"node {node.name}", f"{role} {parameter!r}", "a parameter of the network")
        for tensor in (*self.outputs, *known):
            if tensor not in self.tensors or tensor not in known:
                raise GraphError(f"network {self.name}", f"tensor {tensor!r} without producer or shape", "both")

    def _check_shapes(self) -> None:
        for name, spec in (*self.tensors.items(), *self.parameters.items()):
            if any(size < 1 for size in spec.shape) or spec.bits < 1:
                raise GraphError(f"tensor {name}", f"shape {spec.shape}, {spec.bits} bits", "positive sizes")

    def _topological_order(self) -> list[str]:
        try:
            return list(nx.lexicographical_topological_sort(self.dag, key=self._place.__getitem__))
        except nx.NetworkXUnfeasible:
            cycle = " -> ".join(edge[0] for edge in nx.find_cycle(self.dag))
            raise GraphError(f"network {self.name}", f"a cycle: {cycle}", "an acyclic graph") from None

    @cached_property
    def _place(self) -> dict[str, int]:
        return {node.name: place for place, node in enumerate(self.nodes)}

    @cached_property
    def dag(self) -> nx.DiGraph:
        """Node names as vertices; an edge where one node reads what another writes."""
        producer = {node.output: node.name for node in self.nodes}
        graph = nx.DiGraph()
        graph.add_nodes_from(node.name for node in self.nodes)
        for node in self.nodes:
            graph.add_edges_from(
                (producer[tensor], node.name, {"tensor": tensor}) for tensor in node.inputs if tensor in producer
            )
        return graph

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    @property
    def parameter_count(self) -> int:
        """Weights and biases, all of them."""
        return sum(parameter.elements for parameter in self.parameters.values())

    @property
    def has_weights(self) -> bool:
        """Whether every parameter has values."""
        return all(parameter.known for parameter in self.parameters.values())

    def with_parameters(self, values: Mapping[str, NDArray[np.float32]]) -> Graph:
        """The same network with these values, by parameter name; others stay as they are."""
        unknown = sorted(set(values) - set(self.parameters))
        if unknown:
            raise GraphError(f"network {self.name}", f"parameter {unknown[0]!r}", "one of the network's parameters")
        parameters = dict(self.parameters)
        for name, array in values.items():
            if tuple(array.shape) != parameters[name].shape:
                raise GraphError(f"parameter {name}", f"shape {array.shape}", f"shape {parameters[name].shape}")
            parameters[name] = replace(parameters[name], source=array)
        return replace(self, parameters=parameters)
