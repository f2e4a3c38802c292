"""Shapes of operators that compute element by element, reduce, or only move data."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from .graph import Node
from .op_layers import Inputs, Parameters, broadcast, number, wrong

__all__ = [
    "any_shape", "broadcast_shape", "channel_shuffle_shape", "concat_shape", "flatten_shape", "gather_shape",
    "global_pool_shape", "image_shape", "normalized_shape", "pad_shape", "per_channel_shape", "reduce_shape",
    "reshape_shape", "same_shape", "slice_shape", "transpose_shape",
]  # fmt: skip

Shape = tuple[int, ...]


def _sizes(node: Node, name: str) -> Shape:
    value = node.attributes.get(name)
    if isinstance(value, int):
        value = (value,)
    if not isinstance(value, tuple):
        raise wrong(node, f"{name} = {value}", "whole numbers")
    return tuple(int(item) for item in value)


def _axis(node: Node, name: str, default: int, rank: int) -> int:
    axis = number(node, name, default)
    if not -rank <= axis < rank:
        raise wrong(node, f"{name} {axis}", f"an axis of {rank}")
    return axis % rank


def same_shape(node: Node, inputs: Inputs, _: Parameters) -> Shape:
    return inputs[0].shape


def image_shape(node: Node, inputs: Inputs, _: Parameters) -> Shape:
    """The same shape, of batch, channels and at least one more axis."""
    if len(inputs[0].shape) < 3:
        raise wrong(node, f"an input of shape {inputs[0].shape}", "batch, channels and spatial axes")
    return inputs[0].shape


def broadcast_shape(node: Node, inputs: Inputs, parameters: Parameters) -> Shape:
    """Activations and constant operands together, by numpy's rule."""
    return broadcast(node, *(spec.shape for spec in inputs), *(parameter.shape for parameter in parameters.values()))


def flatten_shape(node: Node, inputs: Inputs, _: Parameters) -> Shape:
    shape = inputs[0].shape
    return (shape[0], prod(shape[1:]))


def reshape_shape(node: Node, inputs: Inputs, _: Parameters) -> Shape:
    shape = _sizes(node, "shape")
    if prod(shape) != inputs[0].elements:
        raise wrong(node, f"{inputs[0].shape} as {shape}", "as many elements as before")
    return shape


def transpose_shape(node: Node, inputs: Inputs, _: Parameters) -> Shape:
    order, shape = _sizes(node, "perm"), inputs[0].shape
    if sorted(order) != list(range(len(shape))):
        raise wrong(node, f"perm {order}", f"an order of {len(shape)} axes")
    return tuple(shape[axis] for axis in order)


def concat_shape(node: Node, inputs: Inputs, _: Parameters) -> Shape:
    first = inputs[0].shape
    axis = _axis(node, "axis", 1, len(first))
    for spec in inputs:
        if len(spec.shape) != len(first) or any(
            a != b for place, (a, b) in enumerate(zip(first, spec.shape, strict=True)) if place != axis
        ):
            raise wrong(node, f"inputs {[item.shape for item in inputs]}", f"shapes that differ on axis {axis} only")
    return (*first[:axis], sum(spec.shape[axis] for spec in inputs), *first[axis + 1 :])


def slice_shape(node: Node, inputs: Inputs, _: Parameters) -> Shape:
    """`starts`, `ends`, `axes` and `steps` as in ONNX and Python; ends beyond the size are cut."""
    shape = list(inputs[0].shape)
    starts, ends, axes = (_sizes(node, name) for name in ("starts", "ends", "axes"))
    steps = _sizes(node, "steps") if "steps" in node.attributes else (1,) * len(axes)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise wrong(node, f"starts {starts}, ends {ends}, axes {axes}, steps {steps}", "one of each per axis")
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not -len(shape) <= axis < len(shape):
            raise wrong(node, f"axis {axis}", f"an axis of {tuple(shape)}")
        shape[axis] = len(range(*slice(start, end, step).indices(inputs[0].shape[axis])))
    if min(shape) < 1:
        raise wrong(node, f"{inputs[0].shape} cut to {tuple(shape)}", "something left")
    return tuple(shape)


def pad_shape(node: Node, inputs: Inputs, _: Parameters) -> Shape:
    """`pads`: begins of all axes, then ends; negative ones cut."""
    pads, shape = _sizes(node, "pads"), inputs[0].shape
    if len(pads) != 2 * len(shape):
        raise wrong(node, f"pads {pads}", f"{2 * len(shape)} numbers")
    return tuple(size + pads[i] + pads[i + len(shape)] for i, size in enumerate(shape))


def gather_shape(node: Node, inputs: Inputs, parameters: Parameters) -> Shape:
    """Rows of a table (parameter "table", an embedding) or slices of an activation, by an activation of indices."""
    if "table" in parameters:
        return (*inputs[0].shape, *parameters["table"].shape[1:])
    if "indices" in node.attributes:
        picked: Shape = _sizes(node, "picked")
    elif len(inputs) == 2:
        picked = inputs[1].shape
    else:
        raise wrong(node, f"{len(inputs)} inputs", "a table or an activation, and indices")
    shape = inputs[0].shape
    axis = _axis(node, "axis", 0, len(shape))
    return (*shape[:axis], *picked, *shape[axis + 1 :])


def reduce_shape(node: Node, inputs: Inputs, _: Parameters) -> Shape:
    """Without the axes in `axes`, or with size 1 there (`keepdims`)."""
    shape = inputs[0].shape
    axes = _sizes(node, "axes") if "axes" in node.attributes else tuple(range(len(shape)))
    if any(not -len(shape) <= axis < len(shape) for axis in axes):
        raise wrong(node, f"axes {axes}", f"axes of {shape}")
    gone = {axis % len(shape) for axis in axes}
    if number(node, "keepdims", 1):
        return tuple(1 if axis in gone else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in gone)


def global_pool_shape(node: Node, inputs: Inputs, _: Parameters) -> Shape:
    shape = inputs[0].shape
    if len(shape) < 3:
        raise wrong(node, f"an input of shape {shape}", "batch, channels and spatial axes")
    return (*shape[:2], *(1 for _ in shape[2:]))


def channel_shuffle_shape(node: Node, inputs: Inputs, _: Parameters) -> Shape:
    groups, shape = number(node, "groups", 1), inputs[0].shape
    if groups < 1 or len(shape) < 2 or shape[1] % groups:
        raise wrong(node, f"{groups} groups of {shape}", "groups that divide the channels")
    return shape


def per_channel_shape(node: Node, inputs: Inputs, parameters: Parameters) -> Shape:
    """y = scale x + bias by channel: running statistics are folded into both."""
    shape = inputs[0].shape
    if len(shape) < 2 or any(parameters[role].shape != (shape[1],) for role in ("scale", "bias")):
        raise wrong(node, f"an input of shape {shape}", "scale and bias with one element per channel")
    return shape


def normalized_shape(node: Node, inputs: Inputs, parameters: Parameters) -> Shape:
    """Statistics of each sample over the axes from `axis` on; scale and bias have their shape."""
    shape = inputs[0].shape
    axis = _axis(node, "axis", -1, len(shape))
    for role, parameter in parameters.items():
        if parameter.shape != shape[axis:]:
            raise wrong(node, f"{role} of shape {parameter.shape}", f"{shape[axis:]}")
    return shape


def any_shape(wanted: str) -> Callable[[Node, Inputs, Parameters], Shape]:
    """What the node's own `shape` says: for operators whose result's size the file gives."""

    def shape(node: Node, _inputs: Inputs, _parameters: Parameters) -> Shape:
        sizes = _sizes(node, "shape")
        if not sizes and wanted == "some":
            raise wrong(node, "no shape", "the shape of its output")
        return sizes

    return shape
