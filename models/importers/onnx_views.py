"""ONNX operators that keep every element and its place: Reshape, Flatten, Squeeze; and Shape, a constant here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import numpy as np

from .onnx_draft import Call, Draft
from .onnx_file import Constant

__all__ = ["VIEWS", "Converter", "view_shape"]

Converter = Callable[[Draft, Call], None]


def view_shape(
    call: Call, shape: tuple[int, ...], wanted: tuple[int, ...], zero_copies: bool = True
) -> tuple[int, ...]:
    """The shape that ONNX Reshape gives: -1 is inferred, 0 copies the input's size on that axis."""
    sizes = list(wanted)
    for axis, size in enumerate(sizes):
        if size == 0 and zero_copies:
            if axis >= len(shape):
                raise call.wrong(f"a reshape of {shape} to {wanted}", "a 0 only where the input has that axis")
            sizes[axis] = shape[axis]
    known = prod(size for size in sizes if size != -1)
    if sizes.count(-1) == 1 and known > 0 and prod(shape) % known == 0:
        sizes[sizes.index(-1)] = prod(shape) // known
    if any(size < 0 for size in sizes) or prod(sizes) != prod(shape):
        raise call.wrong(f"a reshape of {shape} to {wanted}", "as many elements as before")
    return tuple(sizes)


def _emit_view(draft: Draft, call: Call, shape: tuple[int, ...]) -> None:
    """A reshape that keeps the order of elements: nothing to do, or a flatten to batch x features."""
    before = draft.activation(call).shape
    if shape == before:
        draft.emit(call, "identity")
    elif len(shape) == 2 and shape[0] == before[0]:
        draft.emit(call, "flatten")
    else:
        draft.emit(call, "reshape", attributes={"shape": shape})


def _reshape(draft: Draft, call: Call) -> None:
    wanted = draft.integers(call, 1)
    if wanted is None:
        raise call.wrong("no shape", "a constant shape as input 1")
    zero_copies = not call.integer("allowzero", 0)
    _emit_view(draft, call, view_shape(call, draft.activation(call).shape, wanted, zero_copies))


def _flatten(draft: Draft, call: Call) -> None:
    shape, axis = draft.activation(call).shape, call.integer("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise call.wrong(f"axis {axis}", f"an axis of {shape}")
    if (axis + len(shape) if axis < 0 else axis) == 1:
        draft.emit(call, "flatten")
        return
    axis = axis + len(shape) if axis < 0 else axis
    _emit_view(draft, call, (prod(shape[:axis]), prod(shape[axis:])))


def _squeeze(draft: Draft, call: Call) -> None:
    shape = draft.activation(call).shape
    axes = draft.integers(call, 1) if call.opset >= 13 else call.integers("axes")
    chosen = [axis for axis, size in enumerate(shape) if size == 1] if axes is None else list(axes)
    if any(not -len(shape) <= axis < len(shape) or shape[axis] != 1 for axis in chosen):
        raise call.wrong(f"axes {axes} of {shape}", "axes of size 1")
    gone = {axis % len(shape) for axis in chosen}
    _emit_view(draft, call, tuple(size for axis, size in enumerate(shape) if axis not in gone))


def _shape(draft: Draft, call: Call) -> None:
    """Sizes are known once the inputs' are: the shape of an activation is a constant."""
    shape = draft.activation(call).shape
    part = shape[slice(call.integer("start", 0), call.integer("end", len(shape)))]
    values = np.array(part, np.int64)
    draft.constants[call.outputs[0]] = Constant(call.outputs[0], (len(part),), 64, False, lambda: values)


VIEWS: Mapping[str, Converter] = {"Flatten": _flatten, "Reshape": _reshape, "Shape": _shape, "Squeeze": _squeeze}
