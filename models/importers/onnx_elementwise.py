"""ONNX operators that compute element by element or reduce: activations, arithmetic, normalization, reduction."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ..graph import AttributeValue, Parameter
from .onnx_draft import Bound, Call, Draft

__all__ = ["ELEMENTWISE"]

Converter = Callable[[Draft, Call], None]

# ONNX type -> (op, attributes kept under their own name with their default)
NAMED: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "LeakyRelu": ("leaky_relu", {"alpha": 0.01}),
    "Sigmoid": ("sigmoid", {}),
    "Tanh": ("tanh", {}),
    "HardSigmoid": ("hard_sigmoid", {"alpha": 0.2}),
    "HardSwish": ("hard_swish", {}),
    "Gelu": ("gelu", {}),
    "GlobalMaxPool": ("global_max_pool", {}),
}
# Functions without a name of their own in models/ops.py: one input, or several with broadcasting.
UNARY = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Cos", "Cosh", "Elu", "Erf", "Exp",
    "Floor", "Hardmax", "IsInf", "IsNaN", "Log", "LogSoftmax", "LpNormalization", "MeanVarianceNormalization", "Mish",
    "Neg", "Not", "Reciprocal", "Round", "Selu", "Shrink", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan",
    "ThresholdedRelu", "CumSum", "BitwiseNot",
)  # fmt: skip
BINARY = (
    "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual", "Less",
    "LessOrEqual", "Max", "Mean", "Min", "Mod", "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor",
)  # fmt: skip
REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
AXES_AS_INPUT = {"ReduceSum": 13}  # the others since opset 18


def _named(draft: Draft, call: Call) -> None:
    op, defaults = NAMED[call.kind]
    attributes: dict[str, AttributeValue] = {name: call.real(name, value) for name, value in defaults.items()}
    if call.kind == "Gelu" and call.text("approximate", "none") != "none":
        attributes["approximate"] = call.text("approximate", "none")
    draft.emit(call, op, attributes=attributes)


def _unary(draft: Draft, call: Call) -> None:
    kept: dict[str, AttributeValue] = {"function": call.kind}
    for name, attribute in call.attributes.items():
        if attribute.type == 1:
            kept[name] = call.real(name, 0.0)
        elif attribute.type == 2:
            kept[name] = call.integer(name, 0)
    draft.place(call, "unary", (_activation(draft, call),), call.outputs[0], attributes=kept)


def _activation(draft: Draft, call: Call) -> str:
    draft.activation(call)
    return call.inputs[0]


def _binary(draft: Draft, call: Call) -> None:
    """Several activations, or one and a constant on either side."""
    sources, bindings = _whole_operands(draft, call)
    if call.kind == "PRelu" and "operand" in bindings:
        bindings = {"operand": _per_channel_slope(draft, call, sources[0], bindings["operand"])}
    op = {"Mul": "multiply", "Add": "add"}.get(call.kind, "binary")
    attributes: dict[str, AttributeValue] = {} if op != "binary" else {"function": call.kind}
    if op == "binary" and bindings and len(call.inputs) > 1 and call.inputs[0] not in draft.tensors:
        attributes["reverse"] = 1
    order = _order(draft, call)
    if op == "binary" and "reverse" not in attributes and order != tuple(range(len(order))):
        attributes["order"] = order
    if len(sources) == 1 and not bindings:
        draft.place(call, "identity", sources, call.outputs[0])
        return
    draft.place(call, op, sources, call.outputs[0], bindings, attributes)


def _per_channel_slope(draft: Draft, call: Call, source: str, slope: Bound) -> Bound:
    """One slope per channel, as exporters write it, in the shape that broadcasts over the other axes."""
    shape, channels = draft.tensors[source].shape, slope.parameter.elements
    if slope.parameter.shape != (channels,) or len(shape) < 3 or channels in (1, shape[-1]) or channels != shape[1]:
        return slope
    wide = (channels, *(1 for _ in shape[2:]))
    values = slope.parameter.source
    return Bound(slope.name, Parameter(wide, slope.parameter.bits, lambda: _read(values).reshape(wide)))


def _read(source: object) -> NDArray[np.float32]:
    return np.asarray(source() if callable(source) else source, np.float32)


def _whole_operands(draft: Draft, call: Call) -> tuple[tuple[str, ...], dict[str, Bound]]:
    """Activations in order, and every constant: roles "operand", "operand1", ... (Where and Max take several)."""
    constants = [name for name in call.inputs if name and name not in draft.tensors]
    found = {name: draft.constant(name) for name in constants}
    if len(constants) < 2 or any(constant is None for constant in found.values()):
        return draft.operands(call)
    sources = tuple(name for name in call.inputs if name in draft.tensors)
    roles = ("operand", *(f"operand{place}" for place in range(1, len(found))))
    pairs = zip(roles, found.items(), strict=True)
    bound = {role: draft.bind(name, constant) for role, (name, constant) in pairs if constant}
    return sources, bound


def _order(draft: Draft, call: Call) -> tuple[int, ...]:
    """For each input of the call its place among the activations followed by the constants."""
    names = [name for name in call.inputs if name]
    ranked = [name for name in names if name in draft.tensors]
    ranked += list(dict.fromkeys(name for name in names if name not in draft.tensors))
    return tuple(ranked.index(name) for name in names)


def _clip(draft: Draft, call: Call) -> None:
    """Bounds as attributes before opset 11, as inputs after; 0 to 6 is relu6."""
    bounds: dict[str, AttributeValue] = {}
    for place, (old, new) in enumerate((("min", "low"), ("max", "high")), 1):
        if call.opset < 11:
            if old in call.attributes:
                bounds[new] = call.real(old, 0.0)
        elif len(call.inputs) > place and call.inputs[place]:
            constant = draft.constant(call.inputs[place])
            if constant is None or constant.elements != 1:
                raise call.wrong(f"a {old} that is computed", "a constant bound")
            bounds[new] = float(np.asarray(constant.read(), np.float64).reshape(-1)[0])
    if bounds == {"low": 0.0, "high": 6.0}:
        draft.emit(call, "relu6")
    else:
        draft.emit(call, "clip", attributes=bounds)


def _local_response(draft: Draft, call: Call) -> None:
    defaults = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    attributes: dict[str, AttributeValue] = {name: call.real(name, value) for name, value in defaults.items()}
    draft.emit(call, "local_response_norm", attributes={"size": call.integer("size", 5), **attributes})


def _normalization(op: str) -> Converter:
    """Layer, instance and group normalization: statistics of the data itself, constant scale and bias."""

    def convert(draft: Draft, call: Call) -> None:
        attributes: dict[str, AttributeValue] = {"epsilon": call.real("epsilon", 1e-5)}
        if op == "layer_normalization":
            attributes["axis"] = call.integer("axis", -1)
        if op == "group_normalization":
            attributes["groups"] = call.integer("num_groups", 1)
        bindings = {}
        for place, role in ((1, "scale"), (2, "bias")):
            constant = draft.weight(call, place, role)
            if constant is not None:
                bindings[role] = draft.bind(call.inputs[place], constant)
        draft.emit(call, op, bindings, attributes)

    return convert


def _reduce(draft: Draft, call: Call) -> None:
    as_input = call.opset >= AXES_AS_INPUT.get(call.kind, 18)
    axes = draft.integers(call, 1) if as_input else call.integers("axes")
    attributes: dict[str, AttributeValue] = {
        "function": call.kind.removeprefix("Reduce"),
        "keepdims": call.integer("keepdims", 1),
    }
    if axes:
        attributes["axes"] = axes
    elif call.integer("noop_with_empty_axes", 0):
        draft.emit(call, "identity")
        return
    draft.emit(call, "reduce", attributes=attributes)


def _arg_reduce(draft: Draft, call: Call) -> None:
    attributes = {"function": call.kind, "axes": (call.integer("axis", 0),), "keepdims": call.integer("keepdims", 1)}
    draft.emit(call, "reduce", attributes=attributes)


ELEMENTWISE: Mapping[str, Converter] = {
    **dict.fromkeys(NAMED, _named),
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys((*BINARY, "Mul"), _binary),
    **dict.fromkeys(REDUCTIONS, _reduce),
    "ArgMax": _arg_reduce,
    "ArgMin": _arg_reduce,
    "Clip": _clip,
    "GroupNormalization": _normalization("group_normalization"),
    "InstanceNormalization": _normalization("instance_normalization"),
    "LRN": _local_response,
    "LayerNormalization": _normalization("layer_normalization"),
}
