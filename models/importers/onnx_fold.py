"""Nodes whose inputs are all constants: computed shapes, and weights behind views. One entry in FOLDERS each.

Views (Identity, Transpose, Reshape...) stay lazy at any size; arithmetic is done on small constants only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .onnx_draft import Call, Draft
from .onnx_file import TYPES, Constant, integers_of
from .onnx_quantized import dequantized
from .onnx_views import view_shape

__all__ = ["FOLDERS", "constant_node", "fold"]

FILL_LIMIT = 2**32  # elements of a constant that is never read whole
FILL_LIMIT_SMALL = 1 << 16
SMALL = 4096  # elements of a constant that arithmetic is done on
Array = NDArray[Any]
Folder = Callable[[Draft, Call, list[Constant]], Constant]


def fold(draft: Draft, call: Call) -> bool:
    """Make the call's output a constant if it can be one; False where it depends on the data."""
    if call.kind == "Constant":
        draft.constants[_output(call)] = constant_node(draft, call)
        return True
    if call.kind not in FOLDERS or not call.inputs:
        return False
    found = [draft.constant(name) for name in call.inputs if name]
    constants = [constant for constant in found if constant is not None]
    if len(constants) != len(found) or not constants:
        return False
    draft.constants[_output(call)] = FOLDERS[call.kind](draft, call, constants)
    return True


def _output(call: Call) -> str:
    if not call.outputs or not call.outputs[0]:
        raise call.wrong("no output", "one output")
    return call.outputs[0]


def constant_node(draft: Draft, call: Call) -> Constant:
    """The tensor or the numbers written in a Constant node."""
    name = _output(call)
    tensor = call.tensor("value")
    if tensor is not None:
        return draft.files.constant(tensor, name)
    integers = call.integers("value_ints")
    if integers is not None:
        return _fixed(name, np.array(integers, np.int64))
    if "value_int" in call.attributes:
        return _fixed(name, np.array(call.integer("value_int", 0), np.int64))
    if "value_float" in call.attributes:
        return _fixed(name, np.array(call.real("value_float", 0.0), np.float32))
    got = ", ".join(sorted(call.attributes)) or "(none)"
    raise call.wrong(f"attributes {got}", "a value that is a tensor or numbers")


def _fixed(name: str, values: Array) -> Constant:
    is_float = values.dtype.kind == "f"
    return Constant(name, values.shape, values.dtype.itemsize * 8, is_float, lambda: values)


def _small(call: Call, constants: list[Constant]) -> list[Array]:
    for constant in constants:
        if constant.elements > SMALL:
            raise call.wrong(f"{constant.elements} constant elements", f"at most {SMALL} to compute with")
    return [constant.read() for constant in constants]


def _axes(call: Call, constants: list[Constant], rank: int) -> list[int] | None:
    """Axes from the attribute (before opset 13) or the second input, made positive."""
    if call.opset >= 13:
        axes = [int(value) for value in _small(call, constants[1:2])[0].reshape(-1)] if len(constants) > 1 else None
    else:
        found = call.integers("axes")
        axes = None if found is None else list(found)
    if axes is not None and any(not -rank <= axis < rank for axis in axes):
        raise call.wrong(f"axes {axes}", f"axes of {rank}")
    return None if axes is None else [axis % rank for axis in axes]


def _view(constant: Constant, shape: tuple[int, ...]) -> Constant:
    return constant.viewed(shape, lambda values: values.reshape(shape))


def _identity(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
    return constants[0]


def _transpose(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
    rank = len(constants[0].shape)
    order = call.integers("perm") or tuple(reversed(range(rank)))
    if sorted(order) != list(range(rank)):
        raise call.wrong(f"perm {order}", f"an order of {rank} axes")
    shape = tuple(constants[0].shape[axis] for axis in order)
    return constants[0].viewed(shape, lambda values: values.transpose(order))


def _reshape(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
    wanted = draft.integers(call, 1) or ()
    return _view(constants[0], view_shape(call, constants[0].shape, wanted, not call.integer("allowzero", 0)))


def _squeeze(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
    shape = constants[0].shape
    axes = _axes(call, constants, max(1, len(shape)))
    chosen = [axis for axis, size in enumerate(shape) if size == 1] if axes is None else axes
    if any(axis >= len(shape) or shape[axis] != 1 for axis in chosen):
        raise call.wrong(f"axes {axes} of {shape}", "axes of size 1")
    return _view(constants[0], tuple(size for axis, size in enumerate(shape) if axis not in chosen))


def _unsqueeze(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
    given = call.integers("axes") if call.opset < 13 else draft.integers(call, 1)
    rank = len(constants[0].shape) + len(given or ())
    axes = {axis % rank for axis in given or ()}
    if len(axes) != len(given or ()) or rank > 16:
        raise call.wrong(f"axes {given}", "different axes")
    rest = iter(constants[0].shape)
    return _view(constants[0], tuple(1 if axis in axes else next(rest) for axis in range(rank)))


def _cast(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
    kind = TYPES.get(call.integer("to", 0))
    if kind is None or kind.bfloat:
        raise call.wrong(f"a cast to type {call.integer('to', 0)}", "a type among float, float16, int")
    dtype = np.dtype(kind.stored)

    def cast(values: Array) -> Array:
        with np.errstate(all="ignore"):
            return values.astype(dtype)

    constant = constants[0].viewed(constants[0].shape, cast)
    return replace(constant, bits=kind.bits, is_float=dtype.kind == "f")


def _gather(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
    if len(constants) == 2 and len(constants[0].shape) > 1:
        return _gather_rows(call, constants[0], constants[1])
    if len(constants) != 2 or len(constants[0].shape) != 1 or call.integer("axis", 0) not in (0, -1):
        raise call.wrong(f"shapes {[constant.shape for constant in constants]}", "a gather from a list of sizes")
    values, places = _small(call, constants)
    chosen = np.asarray(integers_of(constants[1], call.where), np.int64).reshape(places.shape)
    if chosen.size and not -len(values) <= chosen.min() <= chosen.max() < len(values):
        raise call.wrong(f"indices beyond {len(values)} values", "indices inside")
    return _fixed(call.outputs[0], np.asarray(values[chosen]))


def _gather_rows(call: Call, table: Constant, indices: Constant) -> Constant:
    """Rows of a constant table by constant indices: positions of an embedding."""
    places = np.asarray(integers_of(indices, call.where, 1 << 16), np.int64).reshape(indices.shape)
    axis = call.integer("axis", 0)
    if axis != 0 or (places.size and not -table.shape[0] <= places.min() <= places.max() < table.shape[0]):
        raise call.wrong(f"axis {axis} or indices beyond {table.shape[0]} rows", "rows of the table")
    return table.viewed((*places.shape, *table.shape[1:]), lambda values: values[places])


def _constant_of_shape(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
    """A tensor of one value, filled in when it is read."""
    shape = integers_of(constants[0], call.where)
    if len(shape) > 16 or any(size < 0 for size in shape) or prod(shape) > FILL_LIMIT:
        raise call.wrong(f"shape {shape}", f"at most 16 axes and {FILL_LIMIT} elements")
    proto = call.tensor("value")
    if proto is None:
        value = np.zeros(1, np.float32)
    else:
        found = draft.files.constant(proto, _output(call))
        if found.elements != 1:
            raise call.wrong(f"{found.elements} values", "one")
        value = found.read().reshape(1)
    return Constant(_output(call), shape, value.dtype.itemsize * 8, value.dtype.kind == "f",
                    lambda: np.broadcast_to(value, shape))  # fmt: skip


def _dequantize(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
    return dequantized(call, constants[0], constants[1], constants[2] if len(constants) > 2 else None,
                       call.integer("axis", 1))  # fmt: skip


def _numpy(function: Callable[..., Array]) -> Folder:
    """A function of small constants, elementwise with broadcasting."""

    def compute(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
        values = _small(call, constants)
        with np.errstate(all="ignore"):
            result = np.asarray(function(*values))
        if result.size > SMALL:
            raise call.wrong(f"{result.size} values", f"at most {SMALL}")
        return _fixed(_output(call), result.astype(np.float32) if result.dtype == np.float64 else result)

    return compute


def _range(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
    if len(constants) != 3:
        raise call.wrong(f"{len(constants)} inputs", "start, limit and delta")
    start, limit, delta = (float(values.reshape(-1)[0]) for values in _small(call, constants))
    if not delta or not (limit - start) / delta <= FILL_LIMIT_SMALL:
        raise call.wrong(f"a range from {start} to {limit} by {delta}", f"at most {FILL_LIMIT_SMALL} values")
    values = np.arange(start, limit, delta).astype(constants[0].read().dtype)
    return _fixed(_output(call), values)


def _expand(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
    shape = np.broadcast_shapes(constants[0].shape, integers_of(constants[1], call.where)[:16])
    if prod(shape) > FILL_LIMIT:
        raise call.wrong(f"shape {shape}", f"at most {FILL_LIMIT} elements")
    return constants[0].viewed(shape, lambda values: np.broadcast_to(values, shape))


def _concat(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
    if any(len(constant.shape) != 1 for constant in constants) or call.integer("axis", 0) not in (0, -1):
        raise call.wrong(f"shapes {[constant.shape for constant in constants]}", "lists of sizes")
    if len({constant.is_float for constant in constants}) > 1 or sum(c.elements for c in constants) > SMALL:
        raise call.wrong("different types or too many values", f"one type and at most {SMALL} values")
    return _fixed(call.outputs[0], np.concatenate(_small(call, constants)))


def _slice(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
    bounds = [int(constant.read().reshape(-1)[0]) for constant in constants[1:] if constant.shape == (1,)
              and not constant.is_float]  # fmt: skip
    complete = "" not in call.inputs and len(bounds) == len(constants) - 1 and 2 <= len(bounds) <= 4
    if not complete or len(constants[0].shape) != 1:
        raise call.wrong(f"shapes {[constant.shape for constant in constants]}", "one range of a list of sizes")
    start, end, axis, step = (*bounds, *(0, 1)[len(bounds) - 2 :])
    if axis not in (0, -1) or step == 0:
        raise call.wrong(f"axis {axis}, step {step}", "axis 0 and a step that is not 0")
    return _fixed(call.outputs[0], _small(call, constants[:1])[0][slice(start, end, step)])


def _shape(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
    shape = constants[0].shape
    part = shape[slice(call.integer("start", 0), call.integer("end", len(shape)))]
    return _fixed(call.outputs[0], np.array(part, np.int64))


def _arithmetic(function: Callable[[Array, Array], Array]) -> Folder:
    """Whole numbers wrap around as ONNX's int64 does and division cuts towards zero; floats as numpy has them."""

    def compute(draft: Draft, call: Call, constants: list[Constant]) -> Constant:
        if len(constants) == 2 and all(constant.is_float for constant in constants):
            return _numpy(np.divide if call.kind == "Div" else function)(draft, call, constants)
        if len(constants) != 2 or any(constant.is_float for constant in constants):
            raise call.wrong("constants of two kinds", "two small constants of whole numbers, or of floats")
        left, right = (np.atleast_1d(values.astype(np.int64)) for values in _small(call, constants))
        rank = max(len(constant.shape) for constant in constants)
        if not left.size or not right.size or (left.size != right.size and 1 not in (left.size, right.size)):
            raise call.wrong(f"shapes {left.shape} and {right.shape}", "one shape, or a single number")
        if call.kind == "Div" and not right.all():
            raise call.wrong("a division by 0", "a divisor")
        shape = (left if left.size >= right.size else right).shape
        with np.errstate(all="ignore"):
            result = np.asarray(function(left.reshape(-1), right.reshape(-1))).astype(np.int64).reshape(shape)
        return _fixed(call.outputs[0], result.reshape(()) if rank == 0 else result)

    return compute


FOLDERS: Mapping[str, Folder] = {
    "Add": _arithmetic(np.add),
    "Cast": _cast,
    "Ceil": _numpy(np.ceil),
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "DequantizeLinear": _dequantize,
    "Equal": _numpy(np.equal),
    "Expand": _expand,
    "Floor": _numpy(np.floor),
    "Max": _numpy(lambda *values: functools.reduce(np.maximum, values)),
    "Min": _numpy(lambda *values: functools.reduce(np.minimum, values)),
    "Neg": _numpy(np.negative),
    "Pow": _numpy(lambda base, power: np.power(base.astype(np.float64), power)),
    "Range": _range,
    "Sqrt": _numpy(np.sqrt),
    "Where": _numpy(np.where),
    "Div": _arithmetic(lambda left, right: np.trunc(np.divide(left, right))),
    "Dropout": _identity,
    "Gather": _gather,
    "Identity": _identity,
    "Mul": _arithmetic(np.multiply),
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": _arithmetic(np.subtract),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
