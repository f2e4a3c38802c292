"""Shapes and loops of the layers that multiply and accumulate, and of windows (pooling)."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from .errors import GraphError
from .graph import Node, Parameter, TensorSpec
from .loops import LoopBounds

__all__ = [
    "Inputs", "Parameters", "broadcast", "conv_bounds", "conv_shape", "conv_transpose_bounds", "conv_transpose_shape",
    "einsum_bounds", "einsum_shape", "gemm_bounds", "gemm_shape", "matmul_bounds", "matmul_shape", "number",
    "pool_shape", "recurrent_bounds", "recurrent_shape", "wrong",
]  # fmt: skip

Inputs = tuple[TensorSpec, ...]
Parameters = Mapping[str, Parameter]
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def wrong(node: Node, got: object, wanted: str) -> GraphError:
    return GraphError(f"node {node.name} ({node.op})", got, wanted)


def number(node: Node, name: str, default: int) -> int:
    """A whole-number attribute."""
    value = node.attributes.get(name, default)
    if not isinstance(value, int):
        raise wrong(node, f"{name} = {value}", "a whole number")
    return int(value)


def _sizes(node: Node, name: str, default: int, axes: int) -> tuple[int, ...]:
    value = node.attributes.get(name, default)
    if isinstance(value, int):
        value = (value,) * axes
    if not isinstance(value, tuple) or len(value) != axes:
        raise wrong(node, f"{name} = {value}", f"{axes} whole numbers")
    return tuple(int(size) for size in value)


def _pads(node: Node, axes: int) -> tuple[int, ...]:
    """Begins of all axes, then ends, as ONNX orders them: top, left, bottom, right in two dimensions."""
    value = node.attributes.get("pads", (0,) * (2 * axes))
    if not isinstance(value, tuple) or len(value) != 2 * axes or min(value) < 0:
        raise wrong(node, f"pads = {value}", f"{2 * axes} whole numbers of at least 0")
    return value


def _window_output(node: Node, size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...]:
    """floor((size + pads - dilation (kernel - 1) - 1) / stride) + 1, by axis."""
    axes = len(size)
    stride, dilation, pads = _sizes(node, "strides", 1, axes), _sizes(node, "dilations", 1, axes), _pads(node, axes)
    if min(*stride, *dilation, *kernel) < 1:
        raise wrong(node, f"strides {stride}, dilations {dilation}, kernel {kernel}", "positive numbers")
    out = []
    for axis in range(axes):
        span = size[axis] + pads[axis] + pads[axis + axes] - dilation[axis] * (kernel[axis] - 1) - 1
        if span < 0:
            raise wrong(node, f"a {kernel} window over a {size} input", "a window that fits its input")
        steps = span // stride[axis]
        if node.attributes.get("ceil_mode") and span % stride[axis]:
            # One more, cut off at the edge, unless it would start in the padding (ONNX MaxPool-22, PyTorch).
            steps += (steps + 1) * stride[axis] < size[axis] + pads[axis]
        out.append(steps + 1)
    return tuple(out)


def _image(node: Node, spec: TensorSpec) -> tuple[int, int, tuple[int, ...]]:
    """Batch, channels and one to three spatial sizes."""
    if not 3 <= len(spec.shape) <= 5:
        raise wrong(node, f"an input of shape {spec.shape}", "batch, channels and one to three spatial axes")
    return spec.shape[0], spec.shape[1], spec.shape[2:]


def _check_bias(node: Node, parameters: Parameters, size: int) -> None:
    if "bias" in parameters and parameters["bias"].elements != size:
        raise wrong(node, f"a bias of {parameters['bias'].elements}", f"{size} elements")


def _folded(sizes: tuple[int, ...]) -> tuple[int, int]:
    """One to three spatial sizes as two: the last, and the product of the others."""
    return prod(sizes[:-1]), sizes[-1]


def _two(sizes: tuple[int, ...]) -> tuple[int, int]:
    return (1, *sizes)[-2], sizes[-1]


def conv_shape(node: Node, inputs: Inputs, parameters: Parameters) -> tuple[int, ...]:
    """Weights are K x C/groups x kernel."""
    batch, channels, size = _image(node, inputs[0])
    weight = parameters["weight"].shape
    groups = number(node, "groups", 1)
    agree = len(weight) == len(size) + 2 and groups >= 1 and weight[1] * groups == channels and not weight[0] % groups
    if not agree:
        raise wrong(node, f"weight {weight} in {groups} groups on {channels} channels", "channels that agree")
    _check_bias(node, parameters, weight[0])
    return (batch, weight[0], *_window_output(node, size, weight[2:]))


def conv_bounds(node: Node, inputs: Inputs, output: TensorSpec, parameters: Parameters) -> LoopBounds:
    weight, out = parameters["weight"].shape, output.shape
    axes = len(out) - 2
    rows, columns = _folded(out[2:])
    kernel = _folded(weight[2:])
    return LoopBounds(
        N=out[0], K=out[1], C=weight[1], P=rows, Q=columns, R=kernel[0], S=kernel[1],
        groups=number(node, "groups", 1),
        stride=_two(_sizes(node, "strides", 1, axes)), dilation=_two(_sizes(node, "dilations", 1, axes)),
    )  # fmt: skip


def conv_transpose_shape(node: Node, inputs: Inputs, parameters: Parameters) -> tuple[int, ...]:
    """Weights are C x K/groups x kernel; (size - 1) stride - pads + dilation (kernel - 1) + 1 + output padding."""
    batch, channels, size = _image(node, inputs[0])
    weight, groups, axes = parameters["weight"].shape, number(node, "groups", 1), len(size)
    if len(weight) != axes + 2 or groups < 1 or weight[0] != channels or channels % groups:
        raise wrong(node, f"weight {weight} in {groups} groups on {channels} channels", "channels that agree")
    _check_bias(node, parameters, weight[1] * groups)
    stride, dilation, pads = _sizes(node, "strides", 1, axes), _sizes(node, "dilations", 1, axes), _pads(node, axes)
    extra = _sizes(node, "output_padding", 0, axes)
    out = tuple(
        (size[i] - 1) * stride[i] - pads[i] - pads[i + axes] + dilation[i] * (weight[2 + i] - 1) + 1 + extra[i]
        for i in range(axes)
    )
    return (batch, weight[1] * groups, *out)


def conv_transpose_bounds(node: Node, inputs: Inputs, output: TensorSpec, parameters: Parameters) -> LoopBounds:
    weight, (batch, channels, size) = parameters["weight"].shape, _image(node, inputs[0])
    groups, axes = number(node, "groups", 1), len(size)
    rows, columns = _folded(size)
    kernel = _folded(weight[2:])
    return LoopBounds(
        N=batch, K=output.shape[1], C=channels // groups, P=rows, Q=columns, R=kernel[0], S=kernel[1], groups=groups,
        stride=_two(_sizes(node, "strides", 1, axes)), dilation=_two(_sizes(node, "dilations", 1, axes)),
    )  # fmt: skip


def gemm_shape(node: Node, inputs: Inputs, parameters: Parameters) -> tuple[int, ...]:
    """Weights are K x C (output by input), as PyTorch keeps them; the input may have more axes before C."""
    weight, shape = parameters["weight"].shape, inputs[0].shape
    if len(weight) != 2 or len(shape) < 2 or shape[-1] != weight[1]:
        raise wrong(node, f"weight {weight} (out x in) on an input {shape}", "a batch x in input that agrees")
    _check_bias(node, parameters, weight[0])
    return (*shape[:-1], weight[0])


def gemm_bounds(node: Node, inputs: Inputs, output: TensorSpec, parameters: Parameters) -> LoopBounds:
    weight = parameters["weight"].shape
    return LoopBounds(N=prod(output.shape[:-1]), K=weight[0], C=weight[1])


def matmul_shape(node: Node, inputs: Inputs, _: Parameters) -> tuple[int, ...]:
    """Two activations, ... x M x C times ... x C x K; axes before broadcast. `scale` multiplies the product."""
    if len(inputs) != 2 or min(len(spec.shape) for spec in inputs) < 2:
        raise wrong(node, f"inputs {[spec.shape for spec in inputs]}", "two inputs of at least two axes")
    left, right = inputs[0].shape, inputs[1].shape
    if left[-1] != right[-2]:
        raise wrong(node, f"{left} times {right}", "inner sizes that agree")
    return (*broadcast(node, left[:-2], right[:-2]), left[-2], right[-1])


def broadcast(node: Node, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape by numpy's rule: sizes agree or are 1, from the last axis."""
    rank = max(map(len, shapes))
    out = []
    for sizes in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True):
        wide = {size for size in sizes if size != 1}
        if len(wide) > 1:
            raise wrong(node, f"shapes {shapes}", "shapes that broadcast")
        out.append(wide.pop() if wide else 1)
    return tuple(out)


def matmul_bounds(node: Node, inputs: Inputs, output: TensorSpec, _: Parameters) -> LoopBounds:
    """Every product of the batch of matrices: N counts the batch and its rows."""
    return LoopBounds(N=prod(output.shape[:-1]), K=output.shape[-1], C=inputs[0].shape[-1])


def recurrent_shape(node: Node, inputs: Inputs, parameters: Parameters) -> tuple[int, ...]:
    """Sequence x batch x features in, sequence x directions x batch x hidden out.

    One weight holds both matrices: directions gates hidden x (features + hidden).
    """
    cell, hidden, directions = node.attributes.get("cell"), number(node, "hidden", 0), number(node, "directions", 1)
    if cell not in GATES or hidden < 1 or directions not in (1, 2) or len(inputs[0].shape) != 3:
        raise wrong(node, f"cell {cell}, hidden {hidden}, input {inputs[0].shape}", "lstm, gru or rnn on three axes")
    steps, batch, features = inputs[0].shape
    wanted = (directions * GATES[str(cell)] * hidden, features + hidden)
    if parameters["weight"].shape != wanted:
        raise wrong(node, f"weight {parameters['weight'].shape}", f"{wanted}")
    return (steps, directions, batch, hidden)


def recurrent_bounds(node: Node, inputs: Inputs, output: TensorSpec, parameters: Parameters) -> LoopBounds:
    weight = parameters["weight"].shape
    return LoopBounds(N=inputs[0].shape[0] * inputs[0].shape[1], K=weight[0], C=weight[1])


def _einsum(node: Node, inputs: Inputs) -> tuple[dict[str, int], str]:
    """Size of every index, and the output's indices."""
    text = str(node.attributes.get("equation", "")).replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if not arrow or "." in text or len(terms) != len(inputs):
        raise wrong(node, f"equation {text!r}", "indices of every input, ->, indices of the output")
    sizes: dict[str, int] = {}
    for term, spec in zip(terms, inputs, strict=True):
        if len(term) != len(spec.shape):
            raise wrong(node, f"{term!r} for an input {spec.shape}", "one index per axis")
        for index, size in zip(term, spec.shape, strict=True):
            if sizes.setdefault(index, size) != size:
                raise wrong(node, f"index {index!r} of sizes {sizes[index]} and {size}", "one size per index")
    if not set(right) <= set(sizes):
        raise wrong(node, f"output {right!r}", "indices of the inputs")
    return sizes, right


def einsum_shape(node: Node, inputs: Inputs, _: Parameters) -> tuple[int, ...]:
    sizes, right = _einsum(node, inputs)
    return tuple(sizes[index] for index in right)


def einsum_bounds(node: Node, inputs: Inputs, output: TensorSpec, _: Parameters) -> LoopBounds:
    """The product of all index sizes; C is that of the indices summed over."""
    sizes, right = _einsum(node, inputs)
    return LoopBounds(N=prod(output.shape), C=prod(size for index, size in sizes.items() if index not in right))


def pool_shape(node: Node, inputs: Inputs, _: Parameters) -> tuple[int, ...]:
    batch, channels, size = _image(node, inputs[0])
    return (batch, channels, *_window_output(node, size, _sizes(node, "kernel", 1, len(size))))
