"""How each ONNX operator becomes nodes of a Graph. A new operator is one entry in OPERATORS.

Batch normalization is folded into the convolution or matrix product that feeds it alone (what every
deployment does); elsewhere it stays, as a `batch_normalization` node with one scale and one bias per
channel. Dropout is the identity at inference.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..graph import AttributeValue, Parameter
from .onnx_draft import Bound, Call, Draft
from .onnx_elementwise import ELEMENTWISE
from .onnx_file import Constant, finite_parameter
from .onnx_moves import MOVES
from .onnx_quantized import QUANTIZED
from .onnx_recurrent import RECURRENT
from .onnx_views import VIEWS, Converter
from .onnx_windows import conv_attributes, window

__all__ = ["OPERATORS"]


def _values(parameter: Parameter) -> NDArray[np.float32]:
    """A parameter's values without keeping a second copy of them."""
    assert parameter.source is not None
    return parameter.source() if callable(parameter.source) else parameter.source


def _conv(draft: Draft, call: Call) -> None:
    if draft.is_activation(call, 1):  # a weight that is computed: its products are counted, its values are not known
        _computed_weight(draft, call)
        return
    weight = draft.required_weight(call, 1, "weight")
    draft.emit(call, "conv", _layer_bindings(draft, call, weight), conv_attributes(draft, call, weight))


def _computed_weight(draft: Draft, call: Call) -> None:
    raise call.wrong(f"a weight {call.inputs[1]!r} that is computed", "a constant weight", "export with fixed weights")


def _conv_transpose(draft: Draft, call: Call) -> None:
    """Weights C x K/groups x kernel; SAME padding makes the output stride times the input."""
    weight = draft.required_weight(call, 1, "weight")
    shape, axes = draft.activation(call).shape, len(weight.shape) - 2
    if not 1 <= axes <= 3 or len(shape) != axes + 2:
        raise call.wrong(f"weight {weight.shape} on {shape}", "a convolution of one to three dimensions")
    ones = (1,) * axes
    strides, dilations = call.integers("strides", axes) or ones, call.integers("dilations", axes) or ones
    pads = call.integers("pads", 2 * axes) or (0,) * (2 * axes)
    extra = call.integers("output_padding", axes) or (0,) * axes
    spans = [dilations[i] * (weight.shape[2 + i] - 1) + 1 for i in range(axes)]
    wanted = call.integers("output_shape", axes)
    if call.text("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER"):
        wanted = tuple(shape[2 + i] * strides[i] for i in range(axes))
    if wanted is not None:
        total = [(shape[2 + i] - 1) * strides[i] + extra[i] + spans[i] - wanted[i] for i in range(axes)]
        if min(total) < 0:
            raise call.wrong(f"an output of {wanted}", "one that padding can reach")
        pads = (*(size // 2 for size in total), *(size - size // 2 for size in total))
    attributes: dict[str, AttributeValue] = {
        "strides": strides, "dilations": dilations, "pads": pads, "groups": call.integer("group", 1),
    }  # fmt: skip
    if any(extra):
        attributes["output_padding"] = extra
    draft.emit(call, "conv_transpose", _layer_bindings(draft, call, weight), attributes)


def _layer_bindings(draft: Draft, call: Call, weight: Constant) -> dict[str, Bound]:
    bindings = {"weight": draft.bind(call.inputs[1], weight)}
    bias = draft.weight(call, 2, "bias")
    if bias is not None:
        bindings["bias"] = draft.bind(call.inputs[2], bias)
    return bindings


def _scaled(constant: Constant, factor: float) -> Constant:
    return constant if factor == 1 else constant.viewed(constant.shape, lambda values: values * np.float32(factor))


def _transposed(constant: Constant) -> Constant:
    return constant.viewed(constant.shape[::-1], lambda values: values.T)


def _gemm(draft: Draft, call: Call) -> None:
    """Y = alpha A B + beta C, alpha folded into the weight and beta into the bias."""
    if draft.is_activation(call, 0) and draft.is_activation(call, 1):
        _gemm_of_activations(draft, call)
        return
    if call.integer("transA", 0):
        raise call.wrong("transA = 1", "transA = 0: batch x input")
    weight = draft.required_weight(call, 1, "weight")
    if len(weight.shape) != 2:
        raise call.wrong(f"a weight of shape {weight.shape}", "two axes")
    alpha, beta, transposed = call.real("alpha", 1.0), call.real("beta", 1.0), call.integer("transB", 0)
    stored = _scaled(weight if transposed else _transposed(weight), alpha)
    bindings = {"weight": draft.bind(call.inputs[1], stored, f"gemm {bool(transposed)} {alpha}")}
    bias = draft.weight(call, 2, "bias")
    if bias is not None and beta != 0:
        per_channel = _per_channel(bias, stored.shape[0], 1)
        if per_channel is None:
            raise call.wrong(f"a bias of shape {bias.shape}", f"one value for each of {stored.shape[0]} outputs")
        bindings["bias"] = draft.bind(call.inputs[2], _scaled(per_channel, beta), f"gemm {beta} {stored.shape[0]}")
    draft.emit(call, "gemm", bindings)


def _gemm_of_activations(draft: Draft, call: Call) -> None:
    """Both factors computed: transposed where asked, multiplied, C added; alpha and beta must be 1."""
    if call.real("alpha", 1.0) != 1 or (len(call.inputs) > 2 and call.real("beta", 1.0) != 1):
        raise call.wrong("alpha or beta other than 1 on activations", "1")
    sides = []
    for place, flag in enumerate(("transA", "transB")):
        name = call.inputs[place]
        if call.integer(flag, 0):
            name = draft.place(call, "transpose", (name,), f"{call.name}.{flag}", None, {"perm": (1, 0)}, name=flag)
        sides.append(name)
    added = call.inputs[2] if len(call.inputs) > 2 else ""
    product = draft.place(call, "matmul", (sides[0], sides[1]), f"{call.name}.product" if added else call.outputs[0])
    if added in draft.tensors:
        draft.place(call, "add", (product, added), call.outputs[0], name="add")
    elif added:
        bias = draft.required_weight(call, 2, "bias")
        draft.place(call, "add", (product,), call.outputs[0], {"operand": draft.bind(added, bias)}, name="add")


def _per_channel(constant: Constant, channels: int, trailing: int) -> Constant | None:
    """`constant` as one value per channel where it broadcasts so, `trailing` axes from the end; else None."""
    shape = constant.shape
    if constant.elements not in (1, channels):
        return None
    if constant.elements > 1 and (len(shape) < trailing or shape[len(shape) - trailing] != channels):
        return None
    return constant.viewed((channels,), lambda values: np.broadcast_to(values.reshape(-1), (channels,)))


def _mat_mul(draft: Draft, call: Call) -> None:
    """An activation times a constant matrix, or two activations, batched."""
    draft_inputs = [draft.is_activation(call, place) for place in (0, 1)]
    if all(draft_inputs):
        draft.emit(call, "matmul", inputs=2)
        return
    if not draft_inputs[0]:
        raise call.wrong(f"the constant {call.inputs[0]!r} on the left" if call.inputs else "no inputs",
                         "an activation times a matrix")  # fmt: skip
    weight = draft.required_weight(call, 1, "weight")
    shape = draft.activation(call).shape
    if len(weight.shape) != 2 or len(shape) < 2:
        raise call.wrong(f"{shape} times {weight.shape}", "batch x input times a constant input x output")
    draft.emit(call, "gemm", {"weight": draft.bind(call.inputs[1], _transposed(weight), "gemm False 1.0")})


def _einsum(draft: Draft, call: Call) -> None:
    count = len(call.inputs)
    draft.emit(call, "einsum", attributes={"equation": call.text("equation", "").replace(" ", "")}, inputs=count)


def _add(draft: Draft, call: Call) -> None:
    """Two activations; a constant bias for the layer that feeds this one; any other constant as an operand."""
    if draft.is_activation(call, 0) and draft.is_activation(call, 1):
        draft.emit(call, "add", inputs=2)
        return
    place = 0 if draft.is_activation(call, 0) else 1
    draft.activation(call, place)
    constant = draft.constant(call.inputs[1 - place])
    if constant is None or constant.elements == 0:
        raise call.wrong(f"no tensor {call.inputs[1 - place]!r}", "an output of a node that picojoule reads")
    if not constant.is_float or not _absorbed_bias(draft, call, place, constant):
        draft.place(call, "add", (call.inputs[place],), call.outputs[0],
                    {"operand": draft.bind(call.inputs[1 - place], constant)})  # fmt: skip


def _absorbed_bias(draft: Draft, call: Call, place: int, constant: Constant) -> bool:
    """Whether the constant became the bias of a convolution or matrix product that nothing else reads."""
    feeder = draft.only_feeder(call.inputs[place], ("conv", "gemm"))
    if feeder is None:
        return False
    bindings = dict(draft.bindings[feeder.name])
    channels = bindings["weight"].parameter.shape[0]
    spatial = len(draft.tensors[feeder.output].shape) - 2
    added = _per_channel(constant, channels, spatial + 1 if feeder.op == "conv" else 1)
    if added is None:
        return False
    if "bias" in bindings:
        before, after = bindings["bias"].parameter, added.parameter()
        name = bindings["bias"].name
        total = finite_parameter(
            name, (channels,), before.bits, lambda: _values(before).reshape(-1) + _values(after)
        )
        bindings["bias"] = Bound(name, total)
    else:
        bindings["bias"] = draft.bind(call.inputs[1 - place], added, f"gemm 1.0 {channels}")
    draft.absorb(feeder, call, bindings)
    return True


def _batch_normalization(draft: Draft, call: Call) -> None:
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta (Ioffe and Szegedy, ICML 2015), as scale x + shift."""
    if call.integer("training_mode", 0) or len([name for name in call.outputs if name]) > 1:
        raise call.wrong("a training mode", "inference mode", "export with model.eval()")
    draft.activation(call)
    roles = ("scale", "bias", "mean", "variance")
    constants = [draft.required_weight(call, place, what) for place, what in enumerate(roles, 1)]
    channels = constants[0].elements
    if any(constant.shape != (channels,) for constant in constants):
        raise call.wrong(f"shapes {[constant.shape for constant in constants]}", "one value per channel in each")
    scale, shift = _folded_statistics(call, constants)
    bits = min(32, constants[0].bits)
    scale_bound = Bound(constants[0].name, Parameter((channels,), bits, scale))
    shift_bound = Bound(constants[1].name, Parameter((channels,), bits, shift))
    feeder = draft.only_feeder(call.inputs[0], ("conv", "gemm"))
    if feeder is None or draft.bindings[feeder.name]["weight"].parameter.shape[0] != channels:
        draft.emit(call, "batch_normalization", {"scale": scale_bound, "bias": shift_bound})
    else:
        draft.absorb(feeder, call, _normalised(draft.bindings[feeder.name], scale, shift, shift_bound))


def _folded_statistics(call: Call, constants: list[Constant]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    with np.errstate(all="ignore"):
        gamma, beta, mean, variance = (constant.read().astype(np.float64).reshape(-1) for constant in constants)
        scale = gamma / np.sqrt(variance + call.real("epsilon", 1e-5))
        pair = scale.astype(np.float32), (beta - mean * scale).astype(np.float32)
    if not all(np.isfinite(values).all() for values in pair):
        raise call.wrong("a variance below 0 or values that are not finite", "finite statistics")
    return pair


def _normalised(
    bindings: Mapping[str, Bound], scale: NDArray[np.float32], shift: NDArray[np.float32], shift_bound: Bound
) -> dict[str, Bound]:
    """Weights times the scale of their output channel; bias b becomes scale b + shift."""
    weight = bindings["weight"]
    axes = (-1,) + (1,) * (len(weight.parameter.shape) - 1)
    source = weight.parameter
    scaled = finite_parameter(
        weight.name, source.shape, source.bits, lambda: _values(source) * scale.reshape(axes)
    )
    bias = shift_bound
    if "bias" in bindings:
        name, old = bindings["bias"].name, bindings["bias"].parameter
        moved = finite_parameter(
            name, shift.shape, old.bits, lambda: _values(old).reshape(-1) * scale + shift
        )
        bias = Bound(name, moved)
    return {"weight": Bound(weight.name, scaled), "bias": bias}


def _pool_attributes(draft: Draft, call: Call) -> dict[str, AttributeValue]:
    """Attributes that only repeat a default are left out, as in the networks made here."""
    kernel = call.integers("kernel_shape")
    if not kernel:
        raise call.wrong("no kernel_shape", "whole numbers")
    attributes: dict[str, AttributeValue] = {"kernel": kernel, **window(draft, call, kernel)}
    if not any(attributes["pads"]):  # type: ignore[arg-type]
        del attributes["pads"]
    if set(attributes["dilations"]) == {1}:  # type: ignore[arg-type]
        del attributes["dilations"]
    if call.integer("ceil_mode", 0):
        attributes["ceil_mode"] = 1
    return attributes


def _max_pool(draft: Draft, call: Call) -> None:
    draft.emit(call, "max_pool", attributes=_pool_attributes(draft, call))


def _average_pool(draft: Draft, call: Call) -> None:
    attributes = _pool_attributes(draft, call)
    if call.integer("count_include_pad", 0):
        attributes["count_include_pad"] = 1
    draft.emit(call, "average_pool", attributes=attributes)


def _softmax(draft: Draft, call: Call) -> None:
    shape = draft.activation(call).shape
    rank = len(shape)
    axis = call.integer("axis", -1 if call.opset >= 13 else 1)
    if not -rank <= axis < rank:
        raise call.wrong(f"axis {axis} of {rank} axes", "an axis of its input")
    if call.opset < 13 and prod(shape[axis % rank + 1 :]) != 1:  # before 13 all axes from `axis` on are one
        draft.emit(call, "unary", attributes={"function": "SoftmaxFlattened"})
        return
    draft.emit(call, "softmax", attributes={} if axis == -1 else {"axis": axis})


def _plain(op: str) -> Converter:
    """An operator that takes one activation and no attributes of the file's."""
    return lambda draft, call: draft.emit(call, op)


OPERATORS: Mapping[str, Converter] = {
    "Add": _add,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Dropout": _plain("identity"),
    "Einsum": _einsum,
    "Gemm": _gemm,
    "GlobalAveragePool": _plain("global_average_pool"),
    "Identity": _plain("identity"),
    "MatMul": _mat_mul,
    "MaxPool": _max_pool,
    "Relu": _plain("relu"),
    "Softmax": _softmax,
    **ELEMENTWISE,
    **MOVES,
    **QUANTIZED,
    **RECURRENT,
    **VIEWS,
}
