"""Each operator of a Graph as ONNX nodes. A new operator is one entry in DIRECT or EMITTERS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError
from ..graph import Graph, Node
from ..op_layers import number

if TYPE_CHECKING:
    import onnx

__all__ = ["Writer", "exported_operators", "write_node"]

Attributes = dict[str, Any]


@dataclass
class Writer:
    """The nodes and the extra constants of one file."""

    graph: Graph
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)

    def emit(self, kind: str, inputs: Sequence[str], output: str, name: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=name, **attributes))
        return output

    def constant(self, node: Node, what: str, values: Any, dtype: Any = np.int64) -> str:
        """A constant input that belongs to one node."""
        name = f"{node.name}.{what}"
        self.constants[name] = np.array(values, dtype)
        return name

    def rank(self, node: Node) -> int:
        return len(self.graph.tensors[node.inputs[0]].shape)


def _listed(value: Any, count: int) -> list[int]:
    return [value] * count if isinstance(value, int) else list(value)


def _window(node: Node, axes: int) -> Attributes:
    """The attributes a convolution and a pool share, defaults written out; single numbers become lists."""
    get = node.attributes.get
    return {
        "strides": _listed(get("strides", 1), axes),
        "dilations": _listed(get("dilations", 1), axes),
        "pads": _listed(get("pads", 0), 2 * axes),
    }


def _pool_window(node: Node, axes: int) -> Attributes:
    kernel = {"kernel_shape": _listed(node.attributes["kernel"], axes)}
    return _window(node, axes) | kernel | {"ceil_mode": int(bool(node.attributes.get("ceil_mode", 0)))}


def _conv(node: Node, axes: int) -> Attributes:
    return _window(node, axes) | {"group": node.attributes.get("groups", 1)}


def _conv_transpose(node: Node, axes: int) -> Attributes:
    return _conv(node, axes) | {"output_padding": _listed(node.attributes.get("output_padding", 0), axes)}


def _average_pool(node: Node, axes: int) -> Attributes:
    return _pool_window(node, axes) | {"count_include_pad": int(bool(node.attributes.get("count_include_pad", 0)))}


def _kept(*names: str) -> Callable[[Node, int], Attributes]:
    """Attributes that ONNX has under the same name."""
    return lambda node, _axes: {name: node.attributes[name] for name in names if name in node.attributes}


def _local_response(node: Node, _axes: int) -> Attributes:
    defaults = {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    return {name: node.attributes.get(name, value) for name, value in defaults.items()}


# op -> (ONNX type, attributes, roles of its parameters in ONNX's order)
DIRECT: Mapping[str, tuple[str, Callable[[Node, int], Attributes], tuple[str, ...]]] = {
    "conv": ("Conv", _conv, ("weight", "bias")),
    "conv_transpose": ("ConvTranspose", _conv_transpose, ("weight", "bias")),
    "einsum": ("Einsum", _kept("equation"), ()),
    "max_pool": ("MaxPool", _pool_window, ()),
    "average_pool": ("AveragePool", _average_pool, ()),
    "global_average_pool": ("GlobalAveragePool", _kept(), ()),
    "global_max_pool": ("GlobalMaxPool", _kept(), ()),
    "relu": ("Relu", _kept(), ()),
    "leaky_relu": ("LeakyRelu", _kept("alpha"), ()),
    "sigmoid": ("Sigmoid", _kept(), ()),
    "tanh": ("Tanh", _kept(), ()),
    "hard_sigmoid": ("HardSigmoid", lambda n, _: {"alpha": n.attributes.get("alpha", 1 / 6), "beta": 0.5}, ()),
    "hard_swish": ("HardSwish", _kept(), ()),
    "gelu": ("Gelu", _kept("approximate"), ()),
    "identity": ("Identity", _kept(), ()),
    "flatten": ("Flatten", lambda _n, _: {"axis": 1}, ()),
    "transpose": ("Transpose", _kept("perm"), ()),
    "concat": ("Concat", lambda n, _: {"axis": n.attributes.get("axis", 1)}, ()),
    "add": ("Add", _kept(), ("operand",)),
    "multiply": ("Mul", _kept(), ("operand",)),
    "batch_normalization": ("BatchNormalization", lambda _n, _: {"epsilon": 0.0}, ("scale", "bias")),
    "instance_normalization": ("InstanceNormalization", _kept("epsilon"), ("scale", "bias")),
    "layer_normalization": ("LayerNormalization", _kept("axis", "epsilon"), ("scale", "bias")),
    "local_response_norm": ("LRN", _local_response, ()),
}


def _named(writer: Writer, node: Node, roles: tuple[str, ...]) -> list[str]:
    """Parameters by role, in order; what is missing at the end is left out, in between it is empty."""
    names = [node.parameters.get(role, "") for role in roles]
    while names and not names[-1]:
        names.pop()
    return names


def _direct(writer: Writer, node: Node) -> None:
    kind, attributes, roles = DIRECT[node.op]
    parameters = _named(writer, node, roles)
    if node.op == "batch_normalization":  # the statistics are folded into scale and bias: mean 0, variance 1
        channels = writer.graph.tensors[node.output].shape[1]
        parameters.append(writer.constant(node, "mean", np.zeros(channels), np.float32))
        parameters.append(writer.constant(node, "variance", np.ones(channels), np.float32))
    axes = max(1, writer.rank(node) - 2)
    writer.emit(kind, [*node.inputs, *parameters], node.output, node.name, **attributes(node, axes))


def _gemm(writer: Writer, node: Node) -> None:
    """Gemm where there are two axes; else the weight transposed, MatMul, and the bias added."""
    parameters = _named(writer, node, ("weight", "bias"))
    if writer.rank(node) == 2:
        writer.emit("Gemm", [node.inputs[0], *parameters], node.output, node.name, transB=1)
        return
    turned = writer.emit("Transpose", parameters[:1], f"{node.name}.turned", f"{node.name}.turned", perm=[1, 0])
    product = node.output if len(parameters) == 1 else f"{node.name}.product"
    writer.emit("MatMul", [node.inputs[0], turned], product, f"{node.name}.product")
    if len(parameters) == 2:
        writer.emit("Add", [product, parameters[1]], node.output, node.name)


def _matmul(writer: Writer, node: Node) -> None:
    """A product of two activations, times the number `scale` where it has one."""
    scale = node.attributes.get("scale", 1)
    if scale == 1:
        writer.emit("MatMul", node.inputs, node.output, node.name)
        return
    product = writer.emit("MatMul", node.inputs, f"{node.name}.product", f"{node.name}.product")
    writer.emit("Mul", [product, writer.constant(node, "scale", scale, np.float32)], node.output, node.name)


def _softmax(writer: Writer, node: Node) -> None:
    """`causal`: row i of the last two axes sees the columns up to i, counted from the last row and column."""
    source = node.inputs[0]
    if node.attributes.get("causal"):
        rows, columns = writer.graph.tensors[source].shape[-2:]
        mask = np.triu(np.full((rows, columns), -np.inf, np.float32), 1 + columns - rows)
        writer.constants[f"causal_{rows}x{columns}"] = mask  # one for all layers
        source = writer.emit("Add", [source, f"causal_{rows}x{columns}"], f"{node.name}.seen", f"{node.name}.seen")
    writer.emit("Softmax", [source], node.output, node.name, axis=node.attributes.get("axis", -1))


def _clip(writer: Writer, node: Node) -> None:
    low, high = (node.attributes.get(name) for name in ("low", "high"))
    if node.op == "relu6":
        low, high = 0.0, 6.0
    bounds = ["" if v is None else writer.constant(node, w, v, np.float32) for w, v in (("low", low), ("high", high))]
    while bounds and not bounds[-1]:
        bounds.pop()
    writer.emit("Clip", [node.inputs[0], *bounds], node.output, node.name)


def _swish(writer: Writer, node: Node) -> None:
    gate = writer.emit("Sigmoid", node.inputs, f"{node.name}.gate", f"{node.name}.gate")
    writer.emit("Mul", [node.inputs[0], gate], node.output, node.name)


def _function(writer: Writer, node: Node) -> None:
    """`unary` and `binary`: the ONNX type is their function; `order` says where constants stand among the inputs."""
    operands = [*node.inputs, *node.parameters.values()]
    order: Any = node.attributes.get("order", range(len(operands)))
    operands = [operands[place] for place in order]
    if node.attributes.get("reverse"):
        operands.reverse()
    settings = {name: value for name, value in node.attributes.items() if name not in ("function", "reverse", "order")}
    writer.emit(str(node.attributes["function"]), operands, node.output, node.name, **settings)


def _reshape(writer: Writer, node: Node) -> None:
    """The batch axis is copied where both shapes start with it, so that the file runs at any batch."""
    shape = list(writer.graph.tensors[node.output].shape)
    before = writer.graph.tensors[node.inputs[0]].shape
    if shape and before and shape[0] == before[0]:
        shape[0] = 0
    elif shape and before and before[0] == 1 and shape[0] % before[0] == 0:
        shape[0] = -1
    writer.emit("Reshape", [node.inputs[0], writer.constant(node, "shape", shape)], node.output, node.name)


def _slice(writer: Writer, node: Node) -> None:
    names = [name for name in ("starts", "ends", "axes", "steps") if name in node.attributes]
    inputs = [writer.constant(node, name, node.attributes[name]) for name in names]
    writer.emit("Slice", [node.inputs[0], *inputs], node.output, node.name)


def _pad(writer: Writer, node: Node) -> None:
    pads = writer.constant(node, "pads", node.attributes["pads"])
    value = writer.constant(node, "value", node.attributes.get("value", 0.0), np.float32)
    mode = str(node.attributes.get("mode", "constant"))
    inputs = [node.inputs[0], pads, *([value] if mode == "constant" else [])]
    writer.emit("Pad", inputs, node.output, node.name, mode=mode)


def _channel_shuffle(writer: Writer, node: Node) -> None:
    """ShuffleNet: channels as groups x rest, turned, flattened again."""
    shape, groups = writer.graph.tensors[node.output].shape, number(node, "groups", 1)
    split = writer.constant(node, "split", [0, groups, shape[1] // groups, *shape[2:]])
    joined = writer.constant(node, "joined", [0, *shape[1:]])
    writer.emit("Reshape", [node.inputs[0], split], f"{node.name}.groups", f"{node.name}.groups")
    order = [0, 2, 1, *range(3, len(shape) + 1)]
    writer.emit("Transpose", [f"{node.name}.groups"], f"{node.name}.turned", f"{node.name}.turned", perm=order)
    writer.emit("Reshape", [f"{node.name}.turned", joined], node.output, node.name)


def _reduce(writer: Writer, node: Node) -> None:
    inputs = list(node.inputs)
    if "axes" in node.attributes:
        inputs.append(writer.constant(node, "axes", node.attributes["axes"]))
    kind = f"Reduce{node.attributes.get('function', 'Mean')}"
    writer.emit(kind, inputs, node.output, node.name, keepdims=node.attributes.get("keepdims", 1))


def _resize(writer: Writer, node: Node) -> None:
    before, after = writer.graph.tensors[node.inputs[0]].shape, writer.graph.tensors[node.output].shape
    scales = [b / a for a, b in zip(before, after, strict=True)]
    inputs = [node.inputs[0], "", writer.constant(node, "scales", scales, np.float32)]
    writer.emit("Resize", inputs, node.output, node.name, mode=str(node.attributes.get("mode", "nearest")),
                coordinate_transformation_mode=str(node.attributes.get("coordinates", "half_pixel")),
                nearest_mode=str(node.attributes.get("nearest", "round_prefer_floor")))  # fmt: skip


def _move(writer: Writer, node: Node) -> None:
    """Expand, Tile and blocks; other moves exist in the file they came from alone."""
    before, after = writer.graph.tensors[node.inputs[0]].shape, writer.graph.tensors[node.output].shape
    function = str(node.attributes.get("function"))
    if function in ("DepthToSpace", "SpaceToDepth"):
        writer.emit(function, node.inputs, node.output, node.name, blocksize=node.attributes["blocksize"])
    elif function == "Expand":
        writer.emit("Expand", [node.inputs[0], writer.constant(node, "shape", after)], node.output, node.name)
    elif function == "Tile":
        repeats = [b // a for a, b in zip(before, after, strict=True)]
        writer.emit("Tile", [node.inputs[0], writer.constant(node, "repeats", repeats)], node.output, node.name)
    else:
        raise GraphError(f"node {node.name}", f"a move of kind {function}", "Expand, Tile, DepthToSpace, SpaceToDepth")


def _gather(writer: Writer, node: Node) -> None:
    if "table" in node.parameters:
        index = f"{node.name}.index"
        writer.emit("Cast", node.inputs, index, index, to=7)
        writer.emit("Gather", [node.parameters["table"], index], node.output, node.name)
        return
    if "indices" not in node.attributes:
        raise GraphError(f"node {node.name}", "indices that depend on data", "constant indices or a table")
    indices: Any = node.attributes["indices"]
    shape: Any = node.attributes["picked"]
    picked = np.reshape(indices, shape)
    inputs = [node.inputs[0], writer.constant(node, "indices", picked)]
    writer.emit("Gather", inputs, node.output, node.name, axis=node.attributes.get("axis", 0))


def _recurrent(writer: Writer, node: Node) -> None:
    """The one weight cut into ONNX's W and R; no initial state."""
    hidden, directions = number(node, "hidden", 1), number(node, "directions", 1)
    features = writer.graph.tensors[node.inputs[0]].shape[2]
    rows = writer.graph.parameters[node.parameters["weight"]].shape[0] // directions
    parts = []
    for what, start, end in (("w", 0, features), ("r", features, features + hidden)):
        ends = (("start", start), ("end", end), ("axis", 1))
        bounds = [writer.constant(node, f"{what}.{key}", [value]) for key, value in ends]
        cut = f"{node.name}.{what}.cut"
        writer.emit("Slice", [node.parameters["weight"], *bounds], cut, cut)
        shape = writer.constant(node, f"{what}.shape", [directions, rows, end - start])
        parts.append(writer.emit("Reshape", [cut, shape], f"{node.name}.{what}", f"{node.name}.{what}"))
    if "bias" in node.parameters:
        shape = writer.constant(node, "b.shape", [directions, 2 * rows])
        parts.append(writer.emit("Reshape", [node.parameters["bias"], shape], f"{node.name}.b", f"{node.name}.b"))
    attributes: Attributes = {"hidden_size": hidden, "direction": "bidirectional" if directions == 2 else "forward"}
    if node.attributes["cell"] == "gru":
        attributes["linear_before_reset"] = node.attributes.get("linear_before_reset", 0)
    writer.emit(str(node.attributes["cell"]).upper(), [node.inputs[0], *parts], node.output, node.name, **attributes)


EMITTERS: Mapping[str, Callable[[Writer, Node], None]] = {
    **dict.fromkeys(DIRECT, _direct),
    "binary": _function,
    "channel_shuffle": _channel_shuffle,
    "clip": _clip,
    "gather": _gather,
    "gemm": _gemm,
    "matmul": _matmul,
    "move": _move,
    "pad": _pad,
    "recurrent": _recurrent,
    "reduce": _reduce,
    "relu6": _clip,
    "reshape": _reshape,
    "resize": _resize,
    "slice": _slice,
    "softmax": _softmax,
    "swish": _swish,
    "unary": _function,
}


def exported_operators() -> list[str]:
    """Every operator that has an ONNX form."""
    return sorted(EMITTERS)


def write_node(writer: Writer, node: Node) -> None:
    """Append a node's ONNX form. Raises GraphError where it has none."""
    if node.op not in EMITTERS:
        raise GraphError(f"node {node.name}", node.op, f"an operator among {', '.join(exported_operators())}")
    EMITTERS[node.op](writer, node)
