"""A Graph as an ONNX file: opset 19, float32 weights, names kept, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError, InputError
from ..graph import Graph, Node, Parameter

if TYPE_CHECKING:
    import onnx

__all__ = ["EXPORTS", "OPSET", "export_onnx"]

OPSET = 19  # the first with dilated average pooling
IR_VERSION = 9
LIMIT_BYTES = 2**31 - 2**20  # protobuf refuses messages of 2 GiB

Attributes = dict[str, Any]
Export = Callable[[Node], tuple[str, Attributes]]


def _window(node: Node) -> Attributes:
    """The attributes a convolution and a pool share, defaults written out; single numbers become pairs."""
    attributes: Attributes = {}
    for name, default in (("strides", 1), ("dilations", 1)):
        value = node.attributes.get(name, default)
        attributes[name] = [value, value] if isinstance(value, int) else list(value)  # type: ignore[arg-type]
    attributes["pads"] = list(node.attributes.get("pads", (0, 0, 0, 0)))  # type: ignore[arg-type]
    return attributes


def _pool_window(node: Node) -> Attributes:
    kernel = node.attributes["kernel"]
    attributes = _window(node) | {"kernel_shape": [kernel, kernel] if isinstance(kernel, int) else list(kernel)}  # type: ignore[arg-type]
    return attributes | {"ceil_mode": int(bool(node.attributes.get("ceil_mode", 0)))}


def _conv(node: Node) -> tuple[str, Attributes]:
    return "Conv", _window(node) | {"group": int(node.attributes.get("groups", 1))}  # type: ignore[arg-type]


def _average_pool(node: Node) -> tuple[str, Attributes]:
    include = int(bool(node.attributes.get("count_include_pad", 0)))
    return "AveragePool", _pool_window(node) | {"count_include_pad": include}


def _softmax(node: Node) -> tuple[str, Attributes]:
    return "Softmax", {"axis": int(node.attributes.get("axis", -1))}  # type: ignore[arg-type]


EXPORTS: Mapping[str, Export] = {
    "conv": _conv,
    "gemm": lambda node: ("Gemm", {"transB": 1}),
    "max_pool": lambda node: ("MaxPool", _pool_window(node)),
    "average_pool": _average_pool,
    "relu": lambda node: ("Relu", {}),
    "softmax": _softmax,
    "identity": lambda node: ("Identity", {}),
    "flatten": lambda node: ("Flatten", {"axis": 1}),
    "add": lambda node: ("Add", {}),
    "batch_normalization": lambda node: ("BatchNormalization", {"epsilon": 0.0}),
}

ROLES: Mapping[str, tuple[str, ...]] = {"batch_normalization": ("scale", "bias", "mean", "variance")}
STATISTICS: Mapping[str, float] = {"mean": 0.0, "variance": 1.0}


def export_onnx(
    graph: Graph,
    *,
    dynamic_batch: bool = True,
    outputs: Sequence[str] | None = None,
    weights_as_inputs: bool = False,
) -> bytes:
    """The bytes of an ONNX file that computes what `graph` computes, in float32.

    Tensor, node and parameter names are kept. With `dynamic_batch` the first axis of every input and
    output is the symbol "batch" (which `import_onnx` reads as 1); without it, the size in the graph.
    `outputs` names the tensors to return instead of the graph's own (intermediate ones are allowed).
    `weights_as_inputs` lists parameters as inputs too, so that a runtime can replace them call by call;
    only then may their values be unknown. Raises GraphError for an operator without an ONNX form or a
    parameter without values, InputError above protobuf's 2 GiB.

    >>> from ..build import GraphBuilder
    >>> b = GraphBuilder("tiny", (1, 4))
    >>> _ = b.relu("relu")
    >>> len(export_onnx(b.build())) < 200
    True
    """
    from onnx import helper

    stored = sum(p.elements * 4 for p in graph.parameters.values() if p.known)
    if stored > LIMIT_BYTES:
        raise InputError(f"network {graph.name}", f"{stored} bytes of weights", f"at most {LIMIT_BYTES} in ONNX",
                         "export to .safetensors")  # fmt: skip
    chosen = list(graph.outputs if outputs is None else outputs)
    initializers = _initializers(graph, weights_as_inputs)
    proto = helper.make_graph(
        [_node_proto(node) for node in graph],
        graph.name,
        [_value_info(name, graph.tensors[name].shape, dynamic_batch) for name in graph.inputs],
        [_value_info(name, graph.tensors[name].shape, dynamic_batch) for name in chosen],
        initializers,
    )
    if weights_as_inputs:
        proto.input.extend(_value_info(name, p.shape, False) for name, p in graph.parameters.items())
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                              producer_name="picojoule")  # fmt: skip
    return model.SerializeToString(deterministic=True)


def _value_info(name: str, shape: tuple[int, ...], dynamic_batch: bool) -> onnx.ValueInfoProto:
    from onnx import TensorProto, helper

    dimensions: list[int | str] = list(shape)
    if dynamic_batch and dimensions:
        dimensions[0] = "batch"
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dimensions)


def _node_proto(node: Node) -> onnx.NodeProto:
    from onnx import helper

    if node.op not in EXPORTS:
        raise GraphError(f"node {node.name}", node.op, f"an operator among {', '.join(sorted(EXPORTS))}")
    kind, attributes = EXPORTS[node.op](node)
    roles = ROLES.get(node.op, ("weight", "bias"))
    parameters = [node.parameters.get(role, _statistic_name(node, role)) for role in roles]
    while parameters and not parameters[-1]:
        parameters.pop()
    return helper.make_node(kind, [*node.inputs, *parameters], [node.output], name=node.name, **attributes)


def _statistic_name(node: Node, role: str) -> str:
    """Folded statistics (mean 0, variance 1) that ONNX wants spelled out."""
    return f"{node.name}.{role}" if node.op in ROLES and role in STATISTICS else ""


def _initializers(graph: Graph, values_may_miss: bool) -> list[onnx.TensorProto]:
    tensors = []
    for name, parameter in graph.parameters.items():
        values = _values(graph, name, parameter, values_may_miss)
        if values is not None:
            tensors.append(_tensor_proto(name, values))
    for node in graph:
        for role in ROLES.get(node.op, ()):
            if name := _statistic_name(node, role):
                channels = graph.tensors[node.output].shape[1]
                tensors.append(_tensor_proto(name, np.full(channels, STATISTICS[role], np.float32)))
    return tensors


def _values(graph: Graph, name: str, parameter: Parameter, may_miss: bool) -> NDArray[np.float32] | None:
    values = parameter.values
    if values is None and not may_miss:
        raise GraphError(f"network {graph.name}", f"parameter {name} without values", "weights",
                         "export a .pico file or a NAME@VARIANT")  # fmt: skip
    return values


def _tensor_proto(name: str, values: NDArray[np.float32]) -> onnx.TensorProto:
    from onnx import TensorProto

    return TensorProto(
        name=name, dims=values.shape, data_type=TensorProto.FLOAT, raw_data=values.astype("<f4", copy=False).tobytes()
    )
