"""How each ONNX operator becomes nodes of a Graph. A new operator is one entry in OPERATORS.

Batch normalization is folded into the convolution or matrix product that feeds it alone (what every
deployment does); elsewhere it stays, as a `batch_normalization` node with one scale and one bias per
channel. Dropout is the identity at inference. Global average pooling is average pooling over the whole image.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..graph import AttributeValue, Parameter
from .onnx_draft import Bound, Call, Draft
from .onnx_file import Constant, finite_parameter
from .onnx_views import VIEWS, Converter

__all__ = ["OPERATORS"]


def _values(parameter: Parameter) -> NDArray[np.float32]:
    """A parameter's values without keeping a second copy of them."""
    assert parameter.source is not None
    return parameter.source() if callable(parameter.source) else parameter.source


def _same_pads(call: Call, size: int, kernel: int, stride: int, dilation: int, upper: bool) -> tuple[int, int]:
    """ONNX auto_pad SAME: ceil(size / stride) outputs; the odd one goes at the end (UPPER) or start (LOWER)."""
    if min(kernel, stride, dilation) < 1:
        raise call.wrong(f"kernel {kernel}, stride {stride}, dilation {dilation}", "positive numbers")
    total = max(0, (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
    return (total // 2, total - total // 2) if upper else (total - total // 2, total // 2)


def _window(draft: Draft, call: Call, kernel: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """strides, dilations and pads (top, left, bottom, right) of a two-dimensional window."""
    shape = draft.activation(call).shape
    if len(shape) != 4:
        raise call.wrong(f"an input of shape {shape}", "four axes: batch, channels, rows, columns")
    strides, dilations = call.integers("strides", 2) or (1, 1), call.integers("dilations", 2) or (1, 1)
    pads, auto = call.integers("pads", 4) or (0, 0, 0, 0), call.text("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        ends = [
            _same_pads(call, shape[2 + axis], kernel[axis], strides[axis], dilations[axis], auto == "SAME_UPPER")
            for axis in (0, 1)
        ]
        pads = (ends[0][0], ends[1][0], ends[0][1], ends[1][1])
    elif auto == "VALID":
        pads = (0, 0, 0, 0)
    elif auto != "NOTSET":
        raise call.wrong(f"auto_pad {auto}", "NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    return {"strides": strides, "dilations": dilations, "pads": pads}


def _conv(draft: Draft, call: Call) -> None:
    weight = draft.required_weight(call, 1, "weight")
    if len(weight.shape) != 4:
        raise call.wrong(f"a weight of shape {weight.shape}", "a two-dimensional convolution: K x C x R x S")
    kernel = call.integers("kernel_shape", 2) or weight.shape[2:]
    if kernel != weight.shape[2:]:
        raise call.wrong(f"kernel_shape {kernel}", f"the weight's {weight.shape[2:]}")
    window = _window(draft, call, kernel)
    attributes = {**window, "groups": call.integer("group", 1)}
    draft.emit(call, "conv", _layer_bindings(draft, call, weight), attributes)


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


def _per_channel(constant: Constant, channels: int, trailing: int) -> Constant | None:
    """`constant` as one value per channel where it broadcasts so, `trailing` axes from the end; else None."""
    shape = constant.shape
    if constant.elements not in (1, channels):
        return None
    if constant.elements > 1 and (len(shape) < trailing or shape[len(shape) - trailing] != channels):
        return None
    return constant.viewed((channels,), lambda values: np.broadcast_to(values.reshape(-1), (channels,)))


def _mat_mul(draft: Draft, call: Call) -> None:
    weight = draft.required_weight(call, 1, "weight")
    shape = draft.activation(call).shape
    if len(weight.shape) != 2 or len(shape) != 2:
        raise call.wrong(f"{shape} times {weight.shape}", "batch x input times a constant input x output")
    draft.emit(call, "gemm", {"weight": draft.bind(call.inputs[1], _transposed(weight), "gemm False 1.0")})


def _add(draft: Draft, call: Call) -> None:
    """Two activations of one shape, or a constant bias for the layer that feeds this one."""
    if draft.is_activation(call, 0) and draft.is_activation(call, 1):
        draft.emit(call, "add", inputs=2)
        return
    place = 0 if draft.is_activation(call, 0) else 1
    draft.activation(call, place)
    constant = draft.required_weight(call, 1 - place, "bias")
    feeder = draft.only_feeder(call.inputs[place], ("conv", "gemm"))
    if feeder is None:
        raise call.wrong("a constant added to an activation", "a bias right behind a convolution or matrix product")
    bindings = dict(draft.bindings[feeder.name])
    channels = bindings["weight"].parameter.shape[0]
    added = _per_channel(constant, channels, 3 if feeder.op == "conv" else 1)
    if added is None:
        raise call.wrong(f"a constant of shape {constant.shape}", f"one value for each of {channels} channels")
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
    kernel = call.integers("kernel_shape", 2)
    if kernel is None:
        raise call.wrong("no kernel_shape", "two whole numbers")
    attributes: dict[str, AttributeValue] = {"kernel": kernel, **_window(draft, call, kernel)}
    if attributes["pads"] == (0, 0, 0, 0):
        del attributes["pads"]
    if attributes["dilations"] == (1, 1):
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


def _global_average_pool(draft: Draft, call: Call) -> None:
    shape = draft.activation(call).shape
    if len(shape) != 4:
        raise call.wrong(f"an input of shape {shape}", "four axes: batch, channels, rows, columns")
    draft.emit(call, "average_pool", attributes={"kernel": shape[2:], "strides": (1, 1)})


def _softmax(draft: Draft, call: Call) -> None:
    rank = len(draft.activation(call).shape)
    axis = call.integer("axis", -1 if call.opset >= 13 else 1)
    if not -rank <= axis < rank or (call.opset < 13 and axis % rank != rank - 1):
        raise call.wrong(f"axis {axis} of {rank} axes in opset {call.opset}", "an axis of its input; below 13 the last")
    draft.emit(call, "softmax", attributes={} if axis == -1 else {"axis": axis})


def _plain(op: str) -> Converter:
    """An operator that takes one activation and no attributes of the file's."""
    return lambda draft, call: draft.emit(call, op)


OPERATORS: Mapping[str, Converter] = {
    "Add": _add,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Conv": _conv,
    "Dropout": _plain("identity"),
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "Identity": _plain("identity"),
    "MatMul": _mat_mul,
    "MaxPool": _max_pool,
    "Relu": _plain("relu"),
    "Softmax": _softmax,
    **VIEWS,
}
