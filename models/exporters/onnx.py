"""A Graph as an ONNX file: opset 20, float32 weights, names kept, the same bytes every time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError, InputError
from ..graph import Graph, Parameter
from .onnx_integers import write_rounded
from .onnx_nodes import Writer

if TYPE_CHECKING:
    import onnx

__all__ = ["OPSET", "export_onnx"]

OPSET = 20  # the first with Gelu
IR_VERSION = 9
LIMIT_BYTES = 2**31 - 2**20  # protobuf refuses messages of 2 GiB

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
    writer = Writer(graph)
    for node in graph:
        write_rounded(writer, node)
    proto = helper.make_graph(
        writer.nodes,
        graph.name,
        [_value_info(name, graph.tensors[name].shape, dynamic_batch) for name in graph.inputs],
        [_value_info(name, graph.tensors[name].shape, dynamic_batch) for name in chosen],
        _initializers(graph, writer, weights_as_inputs),
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


def _initializers(graph: Graph, writer: Writer, values_may_miss: bool) -> list[onnx.TensorProto]:
    from onnx import numpy_helper

    tensors = []
    for name, parameter in graph.parameters.items():
        values = _values(graph, name, parameter, values_may_miss)
        if values is not None:
            tensors.append(_tensor_proto(name, values))
    return [*tensors, *(numpy_helper.from_array(values, name) for name, values in writer.constants.items())]


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
