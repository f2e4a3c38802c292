"""A PyTorch module as a Graph, through torch.export (extra [train]); weights included.

Every call of the exported program becomes nodes of its own; what is not known here becomes an `opaque` node with
the shape that PyTorch computed, so that it is named and never free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import GraphError, InputError, MissingExtraError
from ..graph import AttributeValue, Graph, Parameter, TensorSpec
from ..ops import OPAQUE
from .torch_draft import BITS, Draft, arguments, numbers, shape_of

__all__ = ["import_torch"]

UNARY = {
    "relu": "relu", "relu_": "relu", "sigmoid": "sigmoid", "tanh": "tanh", "silu": "swish", "silu_": "swish",
    "hardswish": "hard_swish", "hardswish_": "hard_swish", "hardsigmoid": "hard_sigmoid",
    "hardsigmoid_": "hard_sigmoid",
    "relu6": "relu6", "relu6_": "relu6", "dropout": "identity", "dropout_": "identity", "contiguous": "identity",
    "clone": "identity", "detach": "identity", "alias": "identity", "_to_copy": "identity", "to": "identity",
}  # fmt: skip
FUNCTIONS = {
    "exp": "Exp", "sqrt": "Sqrt", "erf": "Erf", "log": "Log", "neg": "Neg", "abs": "Abs", "reciprocal": "Reciprocal",
}  # fmt: skip
BINARY = {"sub": "Sub", "div": "Div", "pow": "Pow", "maximum": "Max", "minimum": "Min"}


def _conv(draft: Draft, call: Any, axes: int) -> None:
    a = arguments(call, "x weight bias stride padding dilation groups")
    stride, dilation = numbers(a["stride"] or 1, axes), numbers(a["dilation"] or 1, axes)
    weight = draft.bind(a["weight"])
    padding = a["padding"] if a["padding"] is not None else 0
    if isinstance(padding, str):
        kernel = draft.parameters[weight].shape[2:]
        total = [dilation[i] * (kernel[i] - 1) if padding == "same" else 0 for i in range(axes)]
        pads = (*(size // 2 for size in total), *(size - size // 2 for size in total))
    else:
        pads = numbers(padding, axes) * 2
    roles = {"weight": weight} | ({"bias": draft.bind(a["bias"])} if a["bias"] is not None else {})
    attributes = {"strides": stride, "pads": pads, "dilations": dilation, "groups": a["groups"] or 1}
    draft.add(call, "conv", [draft.source(a["x"])], roles, attributes)


def _linear(draft: Draft, call: Any) -> None:
    a = arguments(call, "x weight bias")
    roles = {"weight": draft.bind(a["weight"])} | ({"bias": draft.bind(a["bias"])} if a["bias"] is not None else {})
    draft.add(call, "gemm", [draft.source(a["x"])], roles)


def _batch_norm(draft: Draft, call: Any) -> None:
    """Running statistics folded into one scale and one bias per channel."""
    a = arguments(call, "x weight bias mean var training momentum eps cudnn")
    mean, var = draft.array(a["mean"]), draft.array(a["var"])
    gamma = draft.array(a["weight"]) if a["weight"] is not None else np.ones_like(mean)
    beta = draft.array(a["bias"]) if a["bias"] is not None else np.zeros_like(mean)
    scale = (gamma / np.sqrt(var.astype(np.float64) + a["eps"])).astype(np.float32)
    roles = {"scale": draft.bind(a["weight"] if a["weight"] is not None else a["mean"], scale, ".folded")}
    roles["bias"] = draft.bind(a["bias"] if a["bias"] is not None else a["var"], beta - mean * scale, ".folded")
    draft.add(call, "batch_normalization", [draft.source(a["x"])], roles)


def _layer_norm(draft: Draft, call: Any) -> None:
    a = arguments(call, "x shape weight bias eps cudnn")
    roles = {role: draft.bind(a[key]) for role, key in (("scale", "weight"), ("bias", "bias")) if a[key] is not None}
    attributes: dict[str, AttributeValue] = {"axis": -len(a["shape"]), "epsilon": float(a["eps"] or 1e-5)}
    draft.add(call, "layer_normalization", [draft.source(a["x"])], roles, attributes)


def _pool(draft: Draft, call: Any, op: str) -> None:
    tail = "dilation ceil" if op == "max_pool" else "ceil include divisor"
    a = arguments(call, f"x kernel stride padding {tail}")
    axes = len(shape_of(call)) - 2
    kernel = numbers(a["kernel"], axes)
    attributes: dict[str, AttributeValue] = {"kernel": kernel, "strides": numbers(a["stride"] or kernel, axes)}
    attributes["pads"] = numbers(a["padding"] or 0, axes) * 2
    if op == "max_pool":
        attributes["dilations"] = numbers(a["dilation"] or 1, axes)
    elif a["include"] is None or a["include"]:
        attributes["count_include_pad"] = 1
    if a["ceil"]:
        attributes["ceil_mode"] = 1
    draft.add(call, op, [draft.source(a["x"])], None, attributes)


def _elementwise(draft: Draft, call: Any, op: str, attributes: Mapping[str, AttributeValue] | None = None) -> None:
    """Two activations, or one with a parameter or a number."""
    left, right = call.args[0], call.args[1]
    sides = [side for side in (left, right) if hasattr(side, "name") and not draft.is_constant(side)]
    extra = dict(attributes or {})
    if len(sides) == 2:
        draft.add(call, op, [draft.source(side) for side in sides], None, extra)
        return
    constant = right if sides and sides[0] is left else left
    if constant is left and op == "binary":
        extra["reverse"] = 1
    if hasattr(constant, "name"):
        operand = draft.bind(constant)
    else:
        operand = f"{call.name}.operand"
        draft.parameters[operand] = Parameter((), 32, np.array(constant, np.float32))
    draft.add(call, op, [draft.source(sides[0])], {"operand": operand}, extra)


def _attention(draft: Draft, call: Any) -> None:
    """scaled_dot_product_attention: scores with their scale, a causal or an added mask, softmax, context."""
    a = arguments(call, "query key value attn_mask dropout_p is_causal scale enable_gqa")
    query, key, value = (draft.source(a[side]) for side in ("query", "key", "value"))
    rank = len(draft.tensors[key].shape)
    order = (*range(rank - 2), rank - 1, rank - 2)
    turned = draft.add(call, "transpose", [key], None, {"perm": order}, f"{call.name}.turned")
    scale = float(a["scale"] or draft.tensors[query].shape[-1] ** -0.5)
    scores = draft.add(call, "matmul", [query, turned], None, {"scale": scale}, f"{call.name}.scores")
    mask = a["attn_mask"]
    if mask is not None:
        if not str(getattr(mask.meta.get("val"), "dtype", "")).startswith("torch.float"):
            raise GraphError(f"node {call.name}", "a mask that is not added", "a mask of floats", "pass 0 and -inf")
        operand = {"operand": draft.bind(mask)} if draft.is_constant(mask) else {}
        sources = [scores] if operand else [scores, draft.source(mask)]
        scores = draft.add(call, "add", sources, operand, None, f"{call.name}.masked")
    attributes: dict[str, AttributeValue] = {"axis": -1}
    if a["is_causal"]:
        attributes["causal"] = 1
    weights = draft.add(call, "softmax", [scores], None, attributes, f"{call.name}.softmax")
    draft.add(call, "matmul", [weights, value])


def _reshape(draft: Draft, call: Any) -> None:
    source, shape = draft.source(call.args[0]), shape_of(call)
    before = draft.tensors[source].shape
    if shape == before:
        draft.add(call, "identity", [source])
    elif len(shape) == 2 and shape[0] == before[0]:
        draft.add(call, "flatten", [source])
    else:
        draft.add(call, "reshape", [source], None, {"shape": shape})


def _slice(draft: Draft, call: Any) -> None:
    a = arguments(call, "x dim start end step")
    shape, large = draft.tensors[draft.source(a["x"])].shape, 2**31 - 1
    axis = (a["dim"] or 0) % len(shape)
    end = min(large, a["end"] if a["end"] is not None else large)
    attributes: dict[str, AttributeValue] = {"starts": (a["start"] or 0,), "ends": (end,), "axes": (axis,)}
    draft.add(call, "slice", [draft.source(a["x"])], None, attributes | {"steps": (a["step"] or 1,)})


def _select(draft: Draft, call: Any) -> None:
    """One index of an axis, which goes."""
    source, axis, index = draft.source(call.args[0]), call.args[1], call.args[2]
    shape = draft.tensors[source].shape
    start = index % shape[axis]
    attributes: dict[str, AttributeValue] = {"starts": (start,), "ends": (start + 1,), "axes": (axis % len(shape),)}
    cut = draft.add(call, "slice", [source], None, attributes, f"{call.name}.cut")
    draft.add(call, "reshape", [cut], None, {"shape": shape_of(call)})


def _split(draft: Draft, call: Any) -> None:
    """Chunks are taken apart by getitem."""
    source = draft.source(call.args[0])
    axis = (call.args[2] if len(call.args) > 2 else call.kwargs.get("dim", 0)) % len(draft.tensors[source].shape)
    start = 0
    for place, part in enumerate(call.meta["val"]):
        size = int(part.shape[axis])
        attributes: dict[str, AttributeValue] = {"starts": (start,), "ends": (start + size,), "axes": (axis,)}
        draft.add(call, "slice", [source], None, attributes, f"{call.name}.{place}")
        start += size


def _permute(draft: Draft, call: Any, kind: str) -> None:
    source = draft.source(call.args[0])
    rank = len(draft.tensors[source].shape)
    if kind == "permute":
        order = tuple(int(axis) % rank for axis in call.args[1])
    else:
        first, second = (0, 1) if kind == "t" else (axis % rank for axis in call.args[1:3])
        listed = list(range(rank))
        listed[first], listed[second] = listed[second], listed[first]
        order = tuple(listed)
    draft.add(call, "transpose", [source], None, {"perm": order})


def _mean(draft: Draft, call: Any) -> None:
    axes = tuple(int(axis) for axis in call.args[1])
    keep = int(call.args[2] if len(call.args) > 2 else call.kwargs.get("keepdim", False))
    draft.add(call, "reduce", [draft.source(call.args[0])], None, {"function": "Mean", "axes": axes, "keepdims": keep})


def _adaptive_pool(draft: Draft, call: Any) -> None:
    if set(numbers(call.args[1], 1)) != {1}:
        _opaque(draft, call)
    else:
        draft.add(call, "global_average_pool", [draft.source(call.args[0])])


def _softmax(draft: Draft, call: Any) -> None:
    draft.add(call, "softmax", [draft.source(call.args[0])], None, {"axis": int(call.args[1])})


def _embedding(draft: Draft, call: Any) -> None:
    draft.add(call, "gather", [draft.source(call.args[1])], {"table": draft.bind(call.args[0])})


def _hardtanh(draft: Draft, call: Any) -> None:
    a = arguments(call, "x low high")
    low, high = (-1.0 if a["low"] is None else float(a["low"])), (1.0 if a["high"] is None else float(a["high"]))
    if (low, high) == (0.0, 6.0):
        draft.add(call, "relu6", [draft.source(a["x"])])
    else:
        draft.add(call, "clip", [draft.source(a["x"])], None, {"low": low, "high": high})


def _gelu(draft: Draft, call: Any) -> None:
    approximate = str(call.kwargs.get("approximate", "none"))
    draft.add(call, "gelu", [draft.source(call.args[0])], None, {"approximate": approximate})


def _leaky_relu(draft: Draft, call: Any) -> None:
    alpha = float(call.args[1]) if len(call.args) > 1 else 0.01
    draft.add(call, "leaky_relu", [draft.source(call.args[0])], None, {"alpha": alpha})


def _opaque(draft: Draft, call: Any) -> None:
    """Named, shaped, and not modelled."""
    sources = [draft.source(value) for value in call.all_input_nodes if not draft.is_constant(value)]
    if not sources or not hasattr(call.meta.get("val"), "shape"):
        raise GraphError(f"node {call.name}", f"operator {call.target}", "one that turns activations into a tensor")
    draft.add(call, OPAQUE, sources, None, {"kind": str(call.target), "shape": shape_of(call)})


HANDLERS: Mapping[str, Callable[[Draft, Any], object]] = {
    **{f"conv{axes}d": lambda d, c, axes=axes: _conv(d, c, axes) for axes in (1, 2, 3)},
    **{f"max_pool{axes}d": lambda d, c: _pool(d, c, "max_pool") for axes in (1, 2, 3)},
    **{f"avg_pool{axes}d": lambda d, c: _pool(d, c, "average_pool") for axes in (1, 2, 3)},
    **{name: lambda d, c, op=op: d.add(c, op, [d.source(c.args[0])]) and None for name, op in UNARY.items()},
    **{
        name: lambda d, c, f=function: d.add(c, "unary", [d.source(c.args[0])], None, {"function": f}) and None
        for name, function in FUNCTIONS.items()
    },
    **{name: lambda d, c, f=kind: _elementwise(d, c, "binary", {"function": f}) for name, kind in BINARY.items()},
    "add": lambda d, c: _elementwise(d, c, "add"),
    "add_": lambda d, c: _elementwise(d, c, "add"),
    "mul": lambda d, c: _elementwise(d, c, "multiply"),
    "mul_": lambda d, c: _elementwise(d, c, "multiply"),
    "linear": _linear,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "matmul": lambda d, c: d.add(c, "matmul", [d.source(side) for side in c.args[:2]]),
    "bmm": lambda d, c: d.add(c, "matmul", [d.source(side) for side in c.args[:2]]),
    "scaled_dot_product_attention": _attention,
    "gelu": _gelu,
    "leaky_relu": _leaky_relu,
    "hardtanh": _hardtanh,
    "hardtanh_": _hardtanh,
    "clamp": _hardtanh,
    "softmax": _softmax,
    "adaptive_avg_pool2d": _adaptive_pool,
    "adaptive_avg_pool1d": _adaptive_pool,
    "mean": _mean,
    "cat": lambda d, c: d.add(
        c, "concat", [d.source(side) for side in c.args[0]], None, {"axis": int(c.args[1]) if len(c.args) > 1 else 0}
    )
   ,
    **dict.fromkeys(("flatten", "view", "reshape", "unsqueeze", "squeeze", "_unsafe_view", "unflatten"), _reshape),
    **{kind: lambda d, c, kind=kind: _permute(d, c, kind) for kind in ("permute", "transpose", "t")},
    "slice": _slice,
    "select": _select,
    **dict.fromkeys(("split", "chunk", "split_with_sizes", "unbind"), _split),
    "embedding": _embedding,
}


def import_torch(module: Any, example_inputs: Sequence[Any], name: str | None = None) -> Graph:
    """The Graph of a torch.nn.Module, traced by torch.export in evaluation mode on `example_inputs`.

    Shapes are those of the example; parameters keep the module's names and values. Raises MissingExtraError without
    PyTorch, InputError for something that is no module or that torch.export refuses.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("reading a PyTorch module", "train") from error
    if not isinstance(module, torch.nn.Module):
        raise InputError("from_torch", type(module).__name__, "a torch.nn.Module", "pass the module itself")
    if isinstance(example_inputs, torch.Tensor):
        example_inputs = (example_inputs,)
    training = module.training
    try:
        program = torch.export.export(module.eval(), tuple(example_inputs))
    except Exception as error:
        raise InputError("from_torch", error, "a module that torch.export can trace on the example") from error
    finally:
        module.train(training)
    return _graph(program, name or type(module).__name__.lower())


def _graph(program: Any, name: str) -> Graph:
    signature = program.graph_signature
    homes = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    homes |= signature.inputs_to_lifted_tensor_constants
    stored = {**program.state_dict, **program.constants}
    draft = Draft(name, {key: stored[home] for key, home in homes.items()}, names=dict(homes))
    inputs: list[str] = []
    outputs: tuple[str, ...] = ()
    for call in program.graph.nodes:
        if call.op == "placeholder":
            if call.name not in draft.constants and hasattr(call.meta.get("val"), "shape"):
                draft.tensors[call.name] = TensorSpec(shape_of(call), BITS.get(str(call.meta["val"].dtype), 32))
                inputs.append(call.name)
        elif call.op == "output":
            outputs = tuple(draft.source(value) for value in call.args[0] if hasattr(value, "name"))
        else:
            _convert(draft, call)
    return Graph(name, tuple(inputs), outputs, tuple(draft.nodes), draft.tensors, draft.parameters)


def _convert(draft: Draft, call: Any) -> None:
    if getattr(call.target, "__name__", "") == "getitem":
        draft.alias[call.name] = f"{draft.source(call.args[0])}.{call.args[1]}"
        return
    kind = str(call.target).split(".")[1] if str(call.target).startswith("aten.") else ""
    HANDLERS.get(kind, _opaque)(draft, call)
