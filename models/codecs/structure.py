"""A network's structure in a file's header: a zoo network's name where that says it all."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import FileFormatError, GraphError
from ..graph import AttributeValue, Graph, Node, Parameter, TensorSpec
from ..ops import infer_output
from ..zoo import NETWORKS, build_network
from .checks import damaged
from .header import Attribute, GraphRecord, NodeRecord, TensorRecord

__all__ = ["check_operators", "graph_from_record", "graph_record", "same_structure"]


def same_structure(one: Graph, other: Graph) -> bool:
    """Whether two graphs differ in nothing but the parameters' values.

    >>> same_structure(build_network("lenet-5"), build_network("lenet-5"))
    True
    """
    return (
        (one.name, one.inputs, one.outputs, one.nodes) == (other.name, other.inputs, other.outputs, other.nodes)
        and dict(one.tensors) == dict(other.tensors)
        and {name: (p.shape, p.bits) for name, p in one.parameters.items()}
        == {name: (p.shape, p.bits) for name, p in other.parameters.items()}
    )


def graph_record(graph: Graph) -> str | GraphRecord:
    """What the header says of a graph: the name of an equal zoo network, or everything."""
    if graph.name in NETWORKS and same_structure(graph, build_network(graph.name)):
        return graph.name
    return GraphRecord(
        graph.name,
        list(graph.inputs),
        list(graph.outputs),
        [TensorRecord(name, spec.bits, list(spec.shape)) for name, spec in graph.tensors.items()],
        [_node_record(node) for node in graph.nodes],
        [TensorRecord(name, spec.bits, list(spec.shape)) for name, spec in graph.parameters.items()],
    )


def _node_record(node: Node) -> NodeRecord:
    attributes: dict[str, Attribute] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in node.attributes.items()
    }
    return NodeRecord(node.name, node.op, list(node.inputs), node.output, dict(node.parameters), attributes)


def graph_from_record(record: str | GraphRecord, where: str) -> Graph:
    """The graph, without values. Raises FileFormatError for an unknown name or an impossible network."""
    if isinstance(record, str):
        if record not in NETWORKS:
            raise FileFormatError(
                where, f"network {record!r}", f"one of {', '.join(sorted(NETWORKS))}", "update picojoule"
            )
        return build_network(record)
    _check_unique(where, "tensor", (tensor.name for tensor in record.tensors))
    _check_unique(where, "parameter", (tensor.name for tensor in record.parameters))
    try:
        graph = Graph(
            record.name,
            tuple(record.inputs),
            tuple(record.outputs),
            tuple(_node(node) for node in record.nodes),
            {tensor.name: TensorSpec(tuple(tensor.shape), tensor.bits) for tensor in record.tensors},
            {tensor.name: Parameter(tuple(tensor.shape), tensor.bits) for tensor in record.parameters},
        )
        check_operators(graph)
    except GraphError as error:
        raise damaged(f"{where}: network", error, "a sound network") from error
    return graph


def _node(record: NodeRecord) -> Node:
    attributes: dict[str, AttributeValue] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in record.attributes.items()
    }
    return Node(record.name, record.op, tuple(record.inputs), record.output, record.parameters, attributes)


def check_operators(graph: Graph) -> None:
    """Every operator gives its output the shape that the graph says; otherwise GraphError."""
    for node in graph:
        inputs = tuple(graph.tensors[name] for name in node.inputs)
        parameters = {role: graph.parameters[name] for role, name in node.parameters.items()}
        try:
            shape = infer_output(node, inputs, parameters)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise GraphError(f"node {node.name}", error, f"what a {node.op} needs") from error
        if tuple(shape) != graph.tensors[node.output].shape:
            raise GraphError(f"node {node.name}", f"output {graph.tensors[node.output].shape}", f"{tuple(shape)}")


def _check_unique(where: str, kind: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise damaged(where, f"two {kind}s named {name!r}", "unique names")
        seen.add(name)
