"""What each operator computes: its output shape, its loop bounds, its multiply-accumulates.

A new operator is one entry in OPS. Loop bounds use the field's names: batch N, output channels K,
input channels per group C, output rows and columns P Q, kernel rows and columns R S, groups G.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from .errors import GraphError
from .graph import Graph, Node, Parameter, TensorSpec

__all__ = ["OPS", "LoopBounds", "Operator", "infer_output", "loop_bounds", "weight_matrix_shape"]


@dataclass(frozen=True)
class LoopBounds:
    """The seven loops of a convolution; a matrix product has P = Q = R = S = 1.

    K counts the output channels of all groups, C the input channels of one group, so that
    `macs = N K C P Q R S` (products of the dense layer, zero padding counted, bias not).

    >>> LoopBounds(N=1, K=20, C=1, P=24, Q=24, R=5, S=5).macs
    288000
    """

    N: int = 1
    K: int = 1
    C: int = 1
    P: int = 1
    Q: int = 1
    R: int = 1
    S: int = 1
    groups: int = 1
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)

    @property
    def macs(self) -> int:
        return self.N * self.K * self.C * self.P * self.Q * self.R * self.S

    @property
    def weight_elements(self) -> int:
        return self.K * self.C * self.R * self.S


@dataclass(frozen=True)
class Operator:
    """Output shape from inputs and parameters; loop bounds where it multiplies and accumulates."""

    shape: Callable[[Node, tuple[TensorSpec, ...], Mapping[str, Parameter]], tuple[int, ...]]
    bounds: Callable[[Node, tuple[TensorSpec, ...], TensorSpec, Mapping[str, Parameter]], LoopBounds] | None = None


def _wrong(node: Node, got: object, wanted: str) -> GraphError:
    return GraphError(f"node {node.name} ({node.op})", got, wanted)


def _pair(node: Node, name: str, default: int) -> tuple[int, int]:
    value = node.attributes.get(name, (default, default))
    if isinstance(value, int):
        value = (value, value)
    if not isinstance(value, tuple) or len(value) != 2:
        raise _wrong(node, f"{name} = {value}", "two whole numbers")
    return int(value[0]), int(value[1])


def _pads(node: Node) -> tuple[int, int, int, int]:
    """Top, left, bottom, right, as ONNX orders them."""
    value = node.attributes.get("pads", (0, 0, 0, 0))
    if not isinstance(value, tuple) or len(value) != 4 or min(value) < 0:
        raise _wrong(node, f"pads = {value}", "four whole numbers of at least 0")
    return value  # type: ignore[return-value]


def _window_output(node: Node, size: tuple[int, int], kernel: tuple[int, int]) -> tuple[int, int]:
    """floor((size + pads - dilation (kernel - 1) - 1) / stride) + 1, by axis."""
    stride, dilation, pads = _pair(node, "strides", 1), _pair(node, "dilations", 1), _pads(node)
    if min(*stride, *dilation, *kernel) < 1:
        raise _wrong(node, f"strides {stride}, dilations {dilation}, kernel {kernel}", "positive numbers")
    out = []
    for axis in (0, 1):
        span = size[axis] + pads[axis] + pads[axis + 2] - dilation[axis] * (kernel[axis] - 1) - 1
        if span < 0:
            raise _wrong(node, f"a {kernel} window over a {size} input", "a window that fits its input")
        steps = span // stride[axis]
        if node.attributes.get("ceil_mode") and span % stride[axis]:
            # One more, cut off at the edge, unless it would start in the padding (ONNX MaxPool-22, PyTorch).
            steps += (steps + 1) * stride[axis] < size[axis] + pads[axis]
        out.append(steps + 1)
    return out[0], out[1]


def _image(node: Node, spec: TensorSpec) -> tuple[int, int, int, int]:
    if len(spec.shape) != 4:
        raise _wrong(node, f"an input of shape {spec.shape}", "four axes: batch, channels, rows, columns")
    return spec.shape  # type: ignore[return-value]


def _conv_shape(node: Node, inputs: tuple[TensorSpec, ...], parameters: Mapping[str, Parameter]) -> tuple[int, ...]:
    batch, channels, rows, columns = _image(node, inputs[0])
    weight = parameters["weight"].shape
    groups = int(node.attributes.get("groups", 1))  # type: ignore[arg-type]
    if len(weight) != 4 or groups < 1 or weight[1] * groups != channels or weight[0] % groups:
        raise _wrong(node, f"weight {weight} in {groups} groups on {channels} channels", "channels that agree")
    _check_bias(node, parameters, weight[0])
    return (batch, weight[0], *_window_output(node, (rows, columns), (weight[2], weight[3])))


def _check_bias(node: Node, parameters: Mapping[str, Parameter], size: int) -> None:
    if "bias" in parameters and parameters["bias"].elements != size:
        raise _wrong(node, f"a bias of {parameters['bias'].elements}", f"{size} elements")


def _conv_bounds(
    node: Node, inputs: tuple[TensorSpec, ...], output: TensorSpec, parameters: Mapping[str, Parameter]
) -> LoopBounds:
    weight, out = parameters["weight"].shape, output.shape
    return LoopBounds(
        N=out[0], K=out[1], C=weight[1], P=out[2], Q=out[3], R=weight[2], S=weight[3],
        groups=int(node.attributes.get("groups", 1)),  # type: ignore[arg-type]
        stride=_pair(node, "strides", 1), dilation=_pair(node, "dilations", 1),
    )  # fmt: skip


def _gemm_shape(node: Node, inputs: tuple[TensorSpec, ...], parameters: Mapping[str, Parameter]) -> tuple[int, ...]:
    """Weights are K x C (output by input), as PyTorch and the exported ONNX keep them."""
    weight, shape = parameters["weight"].shape, inputs[0].shape
    if len(weight) != 2 or len(shape) != 2 or shape[1] != weight[1]:
        raise _wrong(node, f"weight {weight} (out x in) on an input {shape}", "a batch x in input that agrees")
    _check_bias(node, parameters, weight[0])
    return (shape[0], weight[0])


def _gemm_bounds(
    node: Node, inputs: tuple[TensorSpec, ...], output: TensorSpec, parameters: Mapping[str, Parameter]
) -> LoopBounds:
    weight = parameters["weight"].shape
    return LoopBounds(N=output.shape[0], K=weight[0], C=weight[1])


def _pool_shape(node: Node, inputs: tuple[TensorSpec, ...], _: Mapping[str, Parameter]) -> tuple[int, ...]:
    batch, channels, rows, columns = _image(node, inputs[0])
    return (batch, channels, *_window_output(node, (rows, columns), _pair(node, "kernel", 1)))


def _same_shape(node: Node, inputs: tuple[TensorSpec, ...], _: Mapping[str, Parameter]) -> tuple[int, ...]:
    return inputs[0].shape


def _flatten_shape(node: Node, inputs: tuple[TensorSpec, ...], _: Mapping[str, Parameter]) -> tuple[int, ...]:
    shape = inputs[0].shape
    return (shape[0], prod(shape[1:]))


def _add_shape(node: Node, inputs: tuple[TensorSpec, ...], _: Mapping[str, Parameter]) -> tuple[int, ...]:
    if len(inputs) != 2 or inputs[0].shape != inputs[1].shape:
        raise _wrong(node, f"inputs {[spec.shape for spec in inputs]}", "two inputs of one shape")
    return inputs[0].shape


def _batch_normalization_shape(
    node: Node, inputs: tuple[TensorSpec, ...], parameters: Mapping[str, Parameter]
) -> tuple[int, ...]:
    """y = scale x + bias by channel: the running statistics are folded into both on import."""
    shape = inputs[0].shape
    if len(shape) < 2 or any(parameters[role].shape != (shape[1],) for role in ("scale", "bias")):
        raise _wrong(node, f"an input of shape {shape}", "scale and bias with one element per channel")
    return shape


OPS: Mapping[str, Operator] = {
    "conv": Operator(_conv_shape, _conv_bounds),
    "gemm": Operator(_gemm_shape, _gemm_bounds),
    "max_pool": Operator(_pool_shape),
    "average_pool": Operator(_pool_shape),
    "relu": Operator(_same_shape),
    "softmax": Operator(_same_shape),
    "identity": Operator(_same_shape),
    "flatten": Operator(_flatten_shape),
    "add": Operator(_add_shape),
    "batch_normalization": Operator(_batch_normalization_shape),
}


def infer_output(node: Node, inputs: tuple[TensorSpec, ...], parameters: Mapping[str, Parameter]) -> tuple[int, ...]:
    """Output shape of `node`; `parameters` by role. Raises GraphError where shapes disagree."""
    if node.op not in OPS:
        raise _wrong(node, node.op, f"an operator among {', '.join(sorted(OPS))}")
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
