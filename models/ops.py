"""What each operator computes: its output shape, its loop bounds, its multiply-accumulates.

A new operator is one entry in OPS (and one in exporters/onnx.py, if it can be run on data).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from .graph import Graph, Node, Parameter, TensorSpec
from .loops import LoopBounds
from .op_layers import (
    conv_bounds,
    conv_shape,
    conv_transpose_bounds,
    conv_transpose_shape,
    einsum_bounds,
    einsum_shape,
    gemm_bounds,
    gemm_shape,
    matmul_bounds,
    matmul_shape,
    pool_shape,
    recurrent_bounds,
    recurrent_shape,
    wrong,
)
from .op_moves import (
    any_shape,
    broadcast_shape,
    channel_shuffle_shape,
    concat_shape,
    flatten_shape,
    gather_shape,
    global_pool_shape,
    image_shape,
    normalized_shape,
    pad_shape,
    per_channel_shape,
    reduce_shape,
    reshape_shape,
    same_shape,
    slice_shape,
    transpose_shape,
)

__all__ = [
    "ACTIVATIONS", "OPAQUE", "OPS", "VIEWS", "LoopBounds", "Operator", "infer_output", "loop_bounds",
    "weight_matrix_shape",
]  # fmt: skip

Inputs = tuple[TensorSpec, ...]
Parameters = Mapping[str, Parameter]


@dataclass(frozen=True)
class Operator:
    """Output shape from inputs and parameters; loop bounds where it multiplies and accumulates."""

    shape: Callable[[Node, Inputs, Parameters], tuple[int, ...]]
    bounds: Callable[[Node, Inputs, TensorSpec, Parameters], LoopBounds] | None = None


# Elementwise functions that every runtime computes inside the layer that feeds them.
ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "hard_sigmoid", "hard_swish", "swish", "gelu", "clip",
)  # fmt: skip
# The same elements in the same order: nothing is computed and nothing moves.
VIEWS = ("flatten", "identity", "reshape")
# A control-flow or custom operator: its shape is known, its work is not.
OPAQUE = "opaque"

OPS: Mapping[str, Operator] = {
    # layers
    "conv": Operator(conv_shape, conv_bounds),
    "conv_transpose": Operator(conv_transpose_shape, conv_transpose_bounds),
    "gemm": Operator(gemm_shape, gemm_bounds),
    "matmul": Operator(matmul_shape, matmul_bounds),
    "einsum": Operator(einsum_shape, einsum_bounds),
    "recurrent": Operator(recurrent_shape, recurrent_bounds),
    # windows
    "max_pool": Operator(pool_shape),
    "average_pool": Operator(pool_shape),
    "global_average_pool": Operator(global_pool_shape),
    "global_max_pool": Operator(global_pool_shape),
    # element by element; `unary` and `binary` name their function
    **{name: Operator(same_shape) for name in ACTIVATIONS},
    "softmax": Operator(same_shape),  # over `axis`; `causal` hides the columns after each row's own
    "unary": Operator(same_shape),
    "add": Operator(broadcast_shape),
    "multiply": Operator(broadcast_shape),
    "binary": Operator(broadcast_shape),
    # normalization
    "batch_normalization": Operator(per_channel_shape),
    "layer_normalization": Operator(normalized_shape),
    "instance_normalization": Operator(per_channel_shape),
    "group_normalization": Operator(per_channel_shape),
    "local_response_norm": Operator(image_shape),
    # reduction
    "reduce": Operator(reduce_shape),
    # data movement
    "identity": Operator(same_shape),
    "flatten": Operator(flatten_shape),
    "reshape": Operator(reshape_shape),
    "transpose": Operator(transpose_shape),
    "concat": Operator(concat_shape),
    "slice": Operator(slice_shape),
    "pad": Operator(pad_shape),
    "gather": Operator(gather_shape),
    "channel_shuffle": Operator(channel_shuffle_shape),
    "resize": Operator(any_shape("some")),
    "move": Operator(any_shape("some")),
    OPAQUE: Operator(any_shape("some")),
}


def infer_output(node: Node, inputs: Inputs, parameters: Parameters) -> tuple[int, ...]:
    """Output shape of `node`; `parameters` by role. Raises GraphError where shapes disagree."""
    if node.op not in OPS:
        raise wrong(node, node.op, f"an operator among {', '.join(sorted(OPS))}")
    return OPS[node.op].shape(node, inputs, parameters)


def loop_bounds(graph: Graph, node: Node) -> LoopBounds | None:
    """Loop bounds of a node that multiplies and accumulates, else None."""
    operator = OPS[node.op]
    if operator.bounds is None:
        return None
    inputs = tuple(graph.tensors[name] for name in node.inputs)
    parameters = {role: graph.parameters[name] for role, name in node.parameters.items()}
    return operator.bounds(node, inputs, graph.tensors[node.output], parameters)


def weight_matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows x columns under which a weight tensor is stored: outputs x everything else.

    >>> weight_matrix_shape((50, 20, 5, 5))
    (50, 500)
    """
    return shape[0], prod(shape[1:])
