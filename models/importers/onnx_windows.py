"""Windows of convolutions and poolings: strides, dilations and padding, auto_pad worked out."""

from __future__ import annotations

from ..graph import AttributeValue
from .onnx_draft import Call, Draft
from .onnx_file import Constant

__all__ = ["conv_attributes", "window"]


def _same_pads(call: Call, size: int, kernel: int, stride: int, dilation: int, upper: bool) -> tuple[int, int]:
    """ONNX auto_pad SAME: ceil(size / stride) outputs; the odd one goes at the end (UPPER) or start (LOWER)."""
    if min(kernel, stride, dilation) < 1:
        raise call.wrong(f"kernel {kernel}, stride {stride}, dilation {dilation}", "positive numbers")
    total = max(0, (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
    return (total // 2, total - total // 2) if upper else (total - total // 2, total // 2)


def window(draft: Draft, call: Call, kernel: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """strides, dilations and pads (begins of all axes, then ends) of a window of one to three dimensions."""
    shape, axes = draft.activation(call).shape, len(kernel)
    if len(shape) != axes + 2 or not 1 <= axes <= 3:
        raise call.wrong(f"an input of shape {shape}", f"batch, channels and {axes} more axes")
    ones = (1,) * axes
    strides, dilations = call.integers("strides", axes) or ones, call.integers("dilations", axes) or ones
    pads, auto = call.integers("pads", 2 * axes) or (0,) * (2 * axes), call.text("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        ends = [
            _same_pads(call, shape[2 + axis], kernel[axis], strides[axis], dilations[axis], auto == "SAME_UPPER")
            for axis in range(axes)
        ]
        pads = (*(begin for begin, _ in ends), *(end for _, end in ends))
    elif auto == "VALID":
        pads = (0,) * (2 * axes)
    elif auto != "NOTSET":
        raise call.wrong(f"auto_pad {auto}", "NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    return {"strides": strides, "dilations": dilations, "pads": pads}


def conv_attributes(draft: Draft, call: Call, weight: Constant) -> dict[str, AttributeValue]:
    """strides, dilations, pads and groups of a convolution by a K x C x kernel weight."""
    if not 3 <= len(weight.shape) <= 5:
        raise call.wrong(f"a weight of shape {weight.shape}", "a convolution of one to three dimensions")
    kernel = call.integers("kernel_shape", len(weight.shape) - 2) or weight.shape[2:]
    if kernel != weight.shape[2:]:
        raise call.wrong(f"kernel_shape {kernel}", f"the weight's {weight.shape[2:]}")
    return {**window(draft, call, kernel), "groups": call.integer("group", 1)}
