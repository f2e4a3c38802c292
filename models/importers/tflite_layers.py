"""How each TFLite operator becomes nodes of a Graph. A new operator is one entry in OPERATORS."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..graph import AttributeValue, Node, TensorSpec
from .tflite_draft import Call, Draft

__all__ = ["OPERATORS"]

Handler = Callable[[Draft, Call], None]
SAME = 0  # the other padding is VALID
IMAGE_AXES = (0, 2, 3, 1)  # where a file's axis of four lies in the Graph
TO_GRAPH, TO_FILE = (0, 3, 1, 2), (0, 2, 3, 1)


def _axis(draft: Draft, index: int, axis: int) -> int:
    """An axis of a file's tensor as the Graph counts."""
    rank = len(draft.raw_shape(index))
    axis %= rank
    return IMAGE_AXES[axis] if rank == 4 else axis


def _same(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """TensorFlow's SAME: ceil(size / stride) outputs, the odd row at the end."""
    total = max(0, (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
    return total // 2, total - total // 2


def _window(draft: Draft, call: Call, options: object, kernel: tuple[int, int], dilation: tuple[int, int]) -> dict:
    stride = (int(options.StrideH()), int(options.StrideW()))  # type: ignore[attr-defined]
    pads = (0, 0, 0, 0)
    if options.Padding() == SAME:  # type: ignore[attr-defined]
        rows, columns = draft.shape(call.inputs[0])[2:]
        top, left = _same(rows, kernel[0], stride[0], dilation[0]), _same(columns, kernel[1], stride[1], dilation[1])
        pads = (top[0], left[0], top[1], left[1])
    return {"strides": stride, "pads": pads}


def _bias(draft: Draft, call: Call, place: int) -> dict[str, str]:
    if len(call.inputs) <= place or call.inputs[place] < 0:
        return {}
    index = call.inputs[place]
    return {"bias": draft.bind(index, draft.raw_shape(index))}


def _conv(draft: Draft, call: Call) -> None:
    """Weights are outputs x rows x columns x inputs."""
    options, index = call.options("Conv2DOptions"), call.inputs[1]
    k, r, s, c = draft.raw_shape(index)
    dilation = (int(options.DilationHFactor()), int(options.DilationWFactor()))
    weight = draft.bind(index, (k, c, r, s), lambda values: values.transpose(TO_GRAPH))
    groups = max(1, draft.shape(call.inputs[0])[1] // c)
    attributes = _window(draft, call, options, (r, s), dilation) | {"dilations": dilation, "groups": groups}
    draft.add(call, "conv", [draft.name(call.inputs[0])], {"weight": weight, **_bias(draft, call, 2)}, attributes,
              activation=options.FusedActivationFunction())  # fmt: skip


def _depthwise(draft: Draft, call: Call) -> None:
    """Weights are 1 x rows x columns x channels."""
    options, index = call.options("DepthwiseConv2DOptions"), call.inputs[1]
    _, r, s, k = draft.raw_shape(index)
    dilation = (int(options.DilationHFactor()), int(options.DilationWFactor()))
    weight = draft.bind(index, (k, 1, r, s), lambda values: values.transpose(3, 0, 1, 2))
    attributes = _window(draft, call, options, (r, s), dilation)
    attributes |= {"dilations": dilation, "groups": draft.shape(call.inputs[0])[1]}
    draft.add(call, "conv", [draft.name(call.inputs[0])], {"weight": weight, **_bias(draft, call, 2)}, attributes,
              activation=options.FusedActivationFunction())  # fmt: skip


def _transpose_conv(draft: Draft, call: Call) -> None:
    """Inputs: output shape, weights (outputs x rows x columns x inputs), activation."""
    options, index = call.options("TransposeConvOptions"), call.inputs[1]
    k, r, s, c = draft.raw_shape(index)
    weight = draft.bind(index, (c, k, r, s), lambda values: values.transpose(3, 0, 1, 2))
    stride = (int(options.StrideH()), int(options.StrideW()))
    rows, columns = draft.shape(call.inputs[2])[2:]
    wanted = draft.shape(call.outputs[0])[2:]
    total = [(n - 1) * t + kernel - w for n, t, kernel, w in zip((rows, columns), stride, (r, s), wanted, strict=True)]
    extra = tuple(max(0, -size) for size in total)
    cut = [max(0, size) for size in total]
    pads = (cut[0] // 2, cut[1] // 2, cut[0] - cut[0] // 2, cut[1] - cut[1] // 2)
    attributes: dict[str, AttributeValue] = {"strides": stride, "pads": pads, "output_padding": extra}
    roles = {"weight": weight, **_bias(draft, call, 3)}
    draft.add(call, "conv_transpose", [draft.name(call.inputs[2])], roles, attributes)


def _fully_connected(draft: Draft, call: Call) -> None:
    """Weights are outputs x inputs; behind a flattened image their columns are put in the Graph's order."""
    options, index = call.options("FullyConnectedOptions"), call.inputs[1]
    outputs, inputs = draft.raw_shape(index)
    source = draft.name(call.inputs[0])
    image = draft.flattened.get(source)
    if len(draft.tensors[source].shape) == 4:
        image = draft.tensors[source].shape[1:]  # type: ignore[assignment]

    def turn(values: np.ndarray) -> np.ndarray:
        if image is None:
            return values
        channels, rows, columns = image
        return values.reshape(outputs, rows, columns, channels).transpose(TO_GRAPH).reshape(outputs, inputs)

    weight = draft.bind(index, (outputs, inputs), turn)
    if draft.tensors[source].shape[-1] != inputs or len(draft.tensors[source].shape) > 3:
        flat = f"{source}.flat_{call.place}"
        rows = draft.tensors[source].elements // inputs
        draft.nodes.append(Node(f"flatten_{call.place}", "reshape", (source,), flat, {}, {"shape": (rows, inputs)}))
        draft.tensors[flat] = TensorSpec((rows, inputs), draft.tensors[source].bits)
        source = flat
    draft.add(call, "gemm", [source], {"weight": weight, **_bias(draft, call, 2)},
              activation=options.FusedActivationFunction())  # fmt: skip


def _pool(op: str) -> Handler:
    def convert(draft: Draft, call: Call) -> None:
        options = call.options("Pool2DOptions")
        kernel = (int(options.FilterHeight()), int(options.FilterWidth()))
        attributes = {"kernel": kernel, **_window(draft, call, options, kernel, (1, 1))}
        draft.add(call, op, [draft.name(call.inputs[0])], None, attributes,
                  activation=options.FusedActivationFunction())  # fmt: skip

    return convert


def _plain(op: str, **attributes: AttributeValue) -> Handler:
    def convert(draft: Draft, call: Call) -> None:
        draft.add(call, op, [draft.name(call.inputs[0])], None, attributes)

    return convert


def _softmax(draft: Draft, call: Call) -> None:
    axis = _axis(draft, call.inputs[0], -1)
    draft.add(call, "softmax", [draft.name(call.inputs[0])], None, {"axis": axis})


def _binary(op: str, function: str = "", options: str = "") -> Handler:
    """Two activations, or one and a constant on either side."""

    def convert(draft: Draft, call: Call) -> None:
        left, right = call.inputs[:2]
        constant = next((i for i in (left, right) if draft.is_constant(i)), None)
        attributes: dict[str, AttributeValue] = {"function": function} if function else {}
        activation = call.options(options).FusedActivationFunction() if options else 0
        if constant is None:
            sources = [draft.name(left), draft.name(right)]
            draft.add(call, op, sources, None, attributes, activation=activation)
            return
        if constant == left and function:
            attributes["reverse"] = 1
        other = right if constant == left else left
        shape = draft.raw_shape(constant)
        image = len(draft.raw_shape(other)) == 4
        wide = (1,) * (4 - len(shape)) + shape if image else shape
        turned = tuple(wide[axis] for axis in TO_GRAPH) if image else shape
        operand = draft.bind(
            constant, turned, lambda values: values.reshape(wide).transpose(TO_GRAPH) if image else values
        )
        draft.add(call, op, [draft.name(other)], {"operand": operand}, attributes, activation=activation)

    return convert


def _reshape(draft: Draft, call: Call) -> None:
    """Flattening an image keeps the Graph's order and remembers it; other reshapes of images turn it back first."""
    source, before, after = draft.name(call.inputs[0]), draft.shape(call.inputs[0]), draft.shape(call.outputs[0])
    if before == after:
        draft.add(call, "identity", [source])
        return
    if len(before) == 4 and len(after) == 2 and after[0] == before[0]:
        draft.flattened[draft.add(call, "flatten", [source])] = (before[1], before[2], before[3])
        return
    if len(before) == 4 and before[1] > 1 and before[2] * before[3] > 1:
        source = _turned(draft, call, source, TO_FILE, "turned")
    if len(after) == 4:
        raw = draft.raw_shape(call.outputs[0])
        shaped = f"{draft.name(call.outputs[0])}.shaped"
        draft.nodes.append(Node(f"reshape_{call.place}.shaped", "reshape", (source,), shaped, {}, {"shape": raw}))
        draft.tensors[shaped] = TensorSpec(raw, draft.tensors[source].bits)
        draft.add(call, "transpose", [shaped], None, {"perm": TO_GRAPH})
        return
    draft.add(call, "reshape", [source], None, {"shape": after})


def _turned(draft: Draft, call: Call, source: str, order: tuple[int, ...], what: str) -> str:
    name = f"{source}.{what}_{call.place}"
    shape = tuple(draft.tensors[source].shape[axis] for axis in order)
    draft.nodes.append(Node(f"transpose_{call.place}.{what}", "transpose", (source,), name, {}, {"perm": order}))
    draft.tensors[name] = TensorSpec(shape, draft.tensors[source].bits)
    return name


def _concat(draft: Draft, call: Call) -> None:
    options = call.options("ConcatenationOptions")
    axis = _axis(draft, call.outputs[0], options.Axis())
    sources = [draft.name(index) for index in call.inputs]
    draft.add(call, "concat", sources, None, {"axis": axis}, activation=options.FusedActivationFunction())


def _pad(draft: Draft, call: Call) -> None:
    pairs = np.reshape(draft.integers(call.inputs[1]), (-1, 2))
    if len(pairs) == 4:
        pairs = pairs[list(TO_GRAPH)]
    attributes: dict[str, AttributeValue] = {"pads": (*map(int, pairs[:, 0]), *map(int, pairs[:, 1]))}
    draft.add(call, "pad", [draft.name(call.inputs[0])], None, attributes)


def _reduce(function: str) -> Handler:
    def convert(draft: Draft, call: Call) -> None:
        axes = tuple(sorted(_axis(draft, call.inputs[0], axis) for axis in draft.integers(call.inputs[1])))
        source, keep = draft.name(call.inputs[0]), int(call.options("ReducerOptions").KeepDims())
        if function == "Mean" and axes == (2, 3) and keep:
            draft.add(call, "global_average_pool", [source])
        else:
            draft.add(call, "reduce", [source], None, {"function": function, "axes": axes, "keepdims": keep})

    return convert


def _transpose(draft: Draft, call: Call) -> None:
    order = draft.integers(call.inputs[1])
    if len(order) == 4:  # file's order in, permuted, file's order out: as one permutation of the Graph's axes
        order = tuple(IMAGE_AXES[order[axis]] for axis in TO_GRAPH)
    draft.add(call, "transpose", [draft.name(call.inputs[0])], None, {"perm": order})


def _strided_slice(draft: Draft, call: Call) -> None:
    """Begins, ends and strides; masks that drop or add axes are left to an opaque node."""
    options, index = call.options("StridedSliceOptions"), call.inputs[0]
    begin, end, steps = (draft.integers(i) for i in call.inputs[1:4])
    rank = len(begin)
    if options.EllipsisMask() or options.NewAxisMask() or options.ShrinkAxisMask() or min(steps) < 1:
        draft.add(call, "opaque", [draft.name(index)], None, {"kind": call.kind, "shape": draft.shape(call.outputs[0])})
        return
    large = 2**31 - 1
    attributes: dict[str, AttributeValue] = {
        "starts": tuple(0 if options.BeginMask() >> i & 1 else begin[i] for i in range(rank)),
        "ends": tuple(large if options.EndMask() >> i & 1 else end[i] for i in range(rank)),
        "axes": tuple(_axis(draft, index, i) for i in range(rank)),
        "steps": tuple(steps),
    }
    draft.add(call, "slice", [draft.name(index)], None, attributes)


def _split(draft: Draft, call: Call) -> None:
    """Inputs: axis, activation."""
    index, axis = call.inputs[1], draft.integers(call.inputs[0])[0]
    where, start = _axis(draft, index, axis), 0
    for place, output in enumerate(call.outputs):
        size = draft.shape(output)[where]
        cut: dict[str, AttributeValue] = {"starts": (start,), "ends": (start + size,), "axes": (where,)}
        draft.add(call, "slice", [draft.name(index)], None, cut, index=output, suffix=str(place))
        start += size


def _resize(mode: str) -> Handler:
    def convert(draft: Draft, call: Call) -> None:
        attributes: dict[str, AttributeValue] = {"shape": draft.shape(call.outputs[0]), "mode": mode}
        if mode == "nearest":
            attributes |= {"coordinates": "asymmetric", "nearest": "floor"}
        draft.add(call, "resize", [draft.name(call.inputs[0])], None, attributes)

    return convert


def _embedding(draft: Draft, call: Call) -> None:
    """GATHER of rows of a constant table by computed indices."""
    table, indices = call.inputs[0], call.inputs[1]
    if not draft.is_constant(table):
        draft.add(call, "gather", [draft.name(table), draft.name(indices)], None,
                  {"axis": call.options("GatherOptions").Axis()})  # fmt: skip
        return
    bound = draft.bind(table, draft.raw_shape(table))
    draft.add(call, "gather", [draft.name(indices)], {"table": bound})


UNARY = {
    "ABS": "Abs", "CEIL": "Ceil", "COS": "Cos", "ELU": "Elu", "EXP": "Exp", "FLOOR": "Floor", "LOG": "Log",
    "LOG_SOFTMAX": "LogSoftmax", "NEG": "Neg", "ROUND": "Round", "SIN": "Sin", "SQRT": "Sqrt",
    "QUANTIZE": "QuantizeLinear",
}  # fmt: skip

OPERATORS: Mapping[str, Handler] = {
    "ADD": _binary("add", options="AddOptions"),
    "AVERAGE_POOL_2D": _pool("average_pool"),
    "CONCATENATION": _concat,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEQUANTIZE": _plain("identity"),
    "CAST": _plain("identity"),
    "DIV": _binary("binary", "Div", "DivOptions"),
    "EXPAND_DIMS": _reshape,
    "FULLY_CONNECTED": _fully_connected,
    "GATHER": _embedding,
    "GELU": _plain("gelu"),
    "HARD_SWISH": _plain("hard_swish"),
    "LEAKY_RELU": lambda d, c: _plain("leaky_relu", alpha=float(c.options("LeakyReluOptions").Alpha()))(d, c),
    "LOGISTIC": _plain("sigmoid"),
    "MAXIMUM": _binary("binary", "Max"),
    "MAX_POOL_2D": _pool("max_pool"),
    "MEAN": _reduce("Mean"),
    "MINIMUM": _binary("binary", "Min"),
    "MUL": _binary("multiply", options="MulOptions"),
    "PAD": _pad,
    "PADV2": _pad,
    "PRELU": _binary("binary", "PRelu"),
    "REDUCE_MAX": _reduce("Max"),
    "RELU": _plain("relu"),
    "RELU6": _plain("relu6"),
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize("linear"),
    "RESIZE_NEAREST_NEIGHBOR": _resize("nearest"),
    "SOFTMAX": _softmax,
    "SPLIT": _split,
    "SQUEEZE": _reshape,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _binary("binary", "Sub", "SubOptions"),
    "SUM": _reduce("Sum"),
    "TANH": _plain("tanh"),
    "TRANSPOSE": _transpose,
    "TRANSPOSE_CONV": _transpose_conv,
    **{kind: _plain("unary", function=function) for kind, function in UNARY.items()},
}
