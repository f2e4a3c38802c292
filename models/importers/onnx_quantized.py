"""Quantized graphs: QDQ pairs, QLinear and Integer operators, packed n-bit weights; bits as they are stored.

An activation between DequantizeLinear and an operator lies in memory as the integers it came from, so its
TensorSpec keeps their bits. Weights are dequantized when they are read and keep the bits of their integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .onnx_draft import Bound, Call, Draft
from .onnx_file import Constant
from .onnx_windows import conv_attributes

__all__ = ["QUANTIZED", "dequantized"]

PACKED_BITS = (2, 4, 8)


def dequantized(call: Call, values: Constant, scale: Constant, zero: Constant | None, axis: int) -> Constant:
    """(q - zero) x scale, per tensor or along `axis`, unread; the bits stay those of q.

    Raises GraphError where sizes disagree.
    """
    channels = scale.elements
    rank = len(values.shape)
    if channels > 1 and (not -rank <= axis < rank or values.shape[axis] != channels):
        raise call.wrong(f"{channels} scales for shape {values.shape} on axis {axis}", "one per channel, or one")
    wide = [1] * rank
    if channels > 1:
        wide[axis] = channels

    def change(stored: NDArray) -> NDArray[np.float32]:
        low = zero.read().astype(np.float32).reshape(wide) if zero is not None else np.float32(0)
        factor = scale.read().astype(np.float32).reshape(wide)
        return ((stored.astype(np.float32) - low) * factor).astype(np.float32)

    if zero is not None and zero.elements != channels:
        raise call.wrong(f"{zero.elements} zero points for {channels} scales", "as many")
    return replace(values.viewed(values.shape, change), is_float=True)


def _optional(draft: Draft, call: Call, place: int) -> Constant | None:
    name = call.inputs[place] if len(call.inputs) > place else ""
    if not name:
        return None
    found = draft.constant(name)
    if found is None:
        raise call.wrong(f"{name!r}, which depends on the data", f"a constant as input {place}")
    return found


def _needed(draft: Draft, call: Call, place: int, what: str) -> Constant:
    found = _optional(draft, call, place)
    if found is None or found.elements == 0:
        raise call.wrong(f"no {what}", f"a constant {what} as input {place}")
    return found


def _quantize(draft: Draft, call: Call) -> None:
    """float to integers of the zero point's type: 8 bits where none is given."""
    draft.activation(call)
    zero = _optional(draft, call, 2)
    bits = zero.bits if zero is not None else 8
    draft.place(call, "unary", call.inputs[:1], call.outputs[0], attributes={"function": call.kind}, bits=bits)


def _dynamic_quantize(draft: Draft, call: Call) -> None:
    draft.activation(call)
    draft.place(call, "unary", call.inputs[:1], call.outputs[0], attributes={"function": call.kind}, bits=8)
    for place, output in enumerate(call.outputs[1:3], 1):
        if output:
            draft.place(call, "reduce", call.inputs[:1], output, attributes={"function": "Max", "keepdims": 0},
                        name=str(place))  # fmt: skip


def _dequantize(draft: Draft, call: Call) -> None:
    """Of an activation: a view that keeps the integers' bits."""
    draft.emit(call, "identity")


def _layer_weight(draft: Draft, call: Call, places: tuple[int, int, int], axis: int) -> Constant:
    values, scale = _needed(draft, call, places[0], "weight"), _needed(draft, call, places[1], "weight scale")
    return dequantized(call, values, scale, _optional(draft, call, places[2]), axis)


def _bias(draft: Draft, call: Call, place: int, scales: tuple[int, int]) -> Bound | None:
    """int32 sums in units of input scale x weight scale."""
    bias = _optional(draft, call, place)
    if bias is None:
        return None
    first, second = (_needed(draft, call, scale, "scale") for scale in scales)

    def change(stored: NDArray) -> NDArray[np.float32]:
        return (stored * first.read().reshape(-1) * second.read().reshape(-1)).astype(np.float32)

    return Bound(bias.name, replace(bias.viewed(bias.shape, change), is_float=True).parameter())


def _qlinear_conv(draft: Draft, call: Call) -> None:
    """x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias."""
    weight = _layer_weight(draft, call, (3, 4, 5), 0)
    bindings = {"weight": draft.bind(call.inputs[3], weight, "dequantized")}
    bias = _bias(draft, call, 8, (1, 4))
    if bias is not None:
        bindings["bias"] = bias
    draft.emit(call, "conv", bindings, conv_attributes(draft, call, weight))


def _qlinear_matmul(draft: Draft, call: Call) -> None:
    """a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero."""
    _matmul(draft, call, 3, _layer_weight(draft, call, (3, 4, 5), -1) if not draft.is_activation(call, 3) else None)


def _matmul(draft: Draft, call: Call, place: int, weight: Constant | None) -> None:
    draft.activation(call)
    if weight is None:
        draft.place(call, "matmul", (call.inputs[0], call.inputs[place]), call.outputs[0])
        return
    if len(weight.shape) != 2:
        raise call.wrong(f"a weight of shape {weight.shape}", "two axes")
    turned = weight.viewed(weight.shape[::-1], lambda values: values.T)
    bindings = {"weight": draft.bind(call.inputs[place], turned, "dequantized and turned")}
    draft.place(call, "gemm", call.inputs[:1], call.outputs[0], bindings)


def _unscaled(draft: Draft, call: Call, zero_place: int) -> Constant:
    """Integers as they are, minus their zero point: the scale comes later in the graph."""
    values, zero = _needed(draft, call, 1, "weight"), _optional(draft, call, zero_place)
    one = Constant(f"{call.name}.one", (1,), 32, True, lambda: np.ones(1, np.float32))
    if zero is not None and zero.elements > 1:
        raise call.wrong(f"{zero.elements} zero points", "one")
    return dequantized(call, values, one, zero, 0)


def _conv_integer(draft: Draft, call: Call) -> None:
    weight = _unscaled(draft, call, 3)
    bindings = {"weight": draft.bind(call.inputs[1], weight, "unscaled")}
    draft.emit(call, "conv", bindings, conv_attributes(draft, call, weight))


def _matmul_integer(draft: Draft, call: Call) -> None:
    _matmul(draft, call, 1, _unscaled(draft, call, 3) if not draft.is_activation(call, 1) else None)


def _matmul_nbits(draft: Draft, call: Call) -> None:
    """com.microsoft: weights packed in blocks of `block_size` along K, one scale (and zero point) a block."""
    outputs, inputs = call.integer("N", 0), call.integer("K", 0)
    bits, block = call.integer("bits", 4), call.integer("block_size", 32)
    packed, scales = _needed(draft, call, 1, "weight"), _needed(draft, call, 2, "scales")
    zeros = _optional(draft, call, 3)
    blocks = -(-inputs // max(1, block))
    right = bits in PACKED_BITS and packed.elements == outputs * blocks * block * bits // 8
    if not right or scales.elements != outputs * blocks or outputs < 1 or inputs < 1:
        raise call.wrong(f"{packed.elements} bytes for {outputs} x {inputs} weights of {bits} bits", "whole blocks")

    def unpack(stored: NDArray, count: int) -> NDArray[np.float32]:
        shifts = np.arange(0, 8, bits, dtype=np.uint8)
        codes = (stored.reshape(-1, 1).astype(np.uint8) >> shifts) & np.uint8(2**bits - 1)
        return codes.reshape(outputs, -1)[:, :count].astype(np.float32)

    def change(stored: NDArray) -> NDArray[np.float32]:
        codes = unpack(stored, blocks * block).reshape(outputs, blocks, block)
        low = np.full((outputs, blocks), 2.0 ** (bits - 1), np.float32)
        if zeros is not None:
            given = zeros.read()
            low = given.reshape(outputs, -1).astype(np.float32) if zeros.is_float else unpack(given, blocks)
        factor = scales.read().astype(np.float32).reshape(outputs, blocks)
        return ((codes - low[..., None]) * factor[..., None]).reshape(outputs, -1)[:, :inputs]

    weight = replace(packed.viewed((outputs, inputs), change), is_float=True, bits=bits)
    draft.emit(call, "gemm", {"weight": draft.bind(call.inputs[1], weight, "unpacked")})


QUANTIZED: Mapping[str, Callable[[Draft, Call], None]] = {
    "ConvInteger": _conv_integer,
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "MatMulInteger": _matmul_integer,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
    "QuantizeLinear": _quantize,
    "com.microsoft.MatMulNBits": _matmul_nbits,
}
