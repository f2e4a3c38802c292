"""ONNX operators that move data and compute nothing: Transpose, Concat, Slice, Pad, Gather, Resize and their like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import floor

import numpy as np

from ..graph import AttributeValue
from .onnx_draft import Bound, Call, Draft

__all__ = ["MOVES"]

Converter = Callable[[Draft, Call], None]
INDEX_LIMIT = 1 << 16


def _transpose(draft: Draft, call: Call) -> None:
    rank = len(draft.activation(call).shape)
    order = call.integers("perm") or tuple(reversed(range(rank)))
    draft.emit(call, "transpose", attributes={"perm": order})


def _concat(draft: Draft, call: Call) -> None:
    """Activations and constants; with constant parts (a class token) it is a move that holds them as parameters."""
    names = tuple(name for name in call.inputs if name)
    if all(name in draft.tensors for name in names):
        draft.emit(call, "concat", attributes={"axis": call.integer("axis", 1)}, inputs=len(names))
        return
    sources = tuple(name for name in names if name in draft.tensors)
    constants = [(name, draft.constant(name)) for name in names if name not in draft.tensors]
    if not sources or any(constant is None for _, constant in constants):
        raise call.wrong(f"inputs {', '.join(names)}", "activations and constants")
    shape = list(draft.tensors[sources[0]].shape)
    axis = call.integer("axis", 1) % len(shape)
    shape[axis] = sum(
        draft.tensors[name].shape[axis] if name in draft.tensors else _size(draft, name, axis) for name in names
    )
    roles = {f"part{place}": draft.bind(name, constant) for place, (name, constant) in enumerate(constants) if constant}
    attributes: dict[str, AttributeValue] = {"function": call.kind, "shape": tuple(shape)}
    draft.place(call, "move", sources, call.outputs[0], roles, attributes)


def _size(draft: Draft, name: str, axis: int) -> int:
    constant = draft.constant(name)
    return constant.shape[axis] if constant is not None and axis < len(constant.shape) else 0


def _move(draft: Draft, call: Call, shape: tuple[int, ...], sources: tuple[str, ...] | None = None) -> None:
    """Data that lands in another shape, whatever the operator is called."""
    if sources is None:
        draft.activation(call)
        sources = call.inputs[:1]
    attributes: dict[str, AttributeValue] = {"function": call.kind, "shape": shape}
    if "blocksize" in call.attributes:
        attributes["blocksize"] = call.integer("blocksize", 1)
    draft.place(call, "move", sources, call.outputs[0], attributes=attributes)


def _split(draft: Draft, call: Call) -> None:
    """One slice for each output that somebody reads."""
    shape = draft.activation(call).shape
    axis = call.integer("axis", 0)
    if not -len(shape) <= axis < len(shape):
        raise call.wrong(f"axis {axis}", f"an axis of {shape}")
    sizes = draft.integers(call, 1) if call.opset >= 13 else call.integers("split")
    if not sizes:
        count = call.integer("num_outputs", len(call.outputs))
        each = -(-shape[axis] // max(1, count))
        sizes = tuple(min(each, shape[axis] - place * each) for place in range(count))
    if sum(sizes) != shape[axis] or len(sizes) != len(call.outputs) or min(sizes) < 1:
        raise call.wrong(f"parts {sizes} of {shape[axis]}", "parts that make up the axis, one per output")
    start = 0
    for place, (size, output) in enumerate(zip(sizes, call.outputs, strict=True)):
        if output:
            cut: dict[str, AttributeValue] = {"starts": (start,), "ends": (start + size,), "axes": (axis % len(shape),)}
            draft.place(call, "slice", call.inputs[:1], output, attributes=cut, name=str(place) if place else "")
        start += size


def _slice(draft: Draft, call: Call) -> None:
    """Bounds as attributes before opset 10, as constant inputs after."""
    rank = len(draft.activation(call).shape)
    if call.opset < 10:
        starts, ends, axes, steps = (call.integers(name) for name in ("starts", "ends", "axes", "steps"))
    else:
        starts, ends, axes, steps = (draft.integers(call, place) for place in (1, 2, 3, 4))
    if starts is None or ends is None:
        raise call.wrong("no starts or ends", "both as constants")
    axes = axes or tuple(range(len(starts)))
    large = 2**31 - 1  # ONNX writes "to the end" as the largest number
    attributes: dict[str, AttributeValue] = {
        "starts": tuple(max(-large, min(large, value)) for value in starts),
        "ends": tuple(max(-large, min(large, value)) for value in ends),
        "axes": tuple(axis % rank if -rank <= axis < rank else axis for axis in axes),
    }
    if steps and set(steps) != {1}:
        attributes["steps"] = steps
    draft.emit(call, "slice", attributes=attributes)


def _pad(draft: Draft, call: Call) -> None:
    rank = len(draft.activation(call).shape)
    pads = call.integers("pads") if call.opset < 11 else draft.integers(call, 1)
    axes = draft.integers(call, 3) if call.opset >= 18 else None
    if pads is None:
        raise call.wrong("no pads", "pads as constants")
    if axes is not None:
        wide = [0] * (2 * rank)
        for place, axis in enumerate(axes):
            wide[axis % rank], wide[axis % rank + rank] = pads[place], pads[place + len(axes)]
        pads = tuple(wide)
    attributes: dict[str, AttributeValue] = {"pads": pads}
    if call.text("mode", "constant") != "constant":
        attributes["mode"] = call.text("mode", "constant")
    elif call.opset < 11:
        attributes |= {"value": call.real("value", 0.0)} if "value" in call.attributes else {}
    elif (value := draft.constant(call.inputs[2]) if len(call.inputs) > 2 and call.inputs[2] else None) is not None:
        if value.elements != 1:
            raise call.wrong(f"{value.elements} values to pad with", "one")
        attributes["value"] = float(np.asarray(value.read(), np.float64).reshape(-1)[0])
    draft.emit(call, "pad", attributes=attributes)


def _gather(draft: Draft, call: Call) -> None:
    """Rows of a constant table by computed indices (an embedding), or parts of an activation by constant ones."""
    axis = call.integer("axis", 0)
    if draft.is_activation(call, 1) and not draft.is_activation(call, 0):
        table = draft.required_weight(call, 0, "table")
        if axis != 0:
            raise call.wrong(f"axis {axis} of a table", "axis 0")
        bindings = {"table": Bound(table.name, table.parameter())}
        draft.place(call, "gather", (call.inputs[1],), call.outputs[0], bindings, bits=min(32, table.bits))
        return
    draft.activation(call)
    if draft.is_activation(call, 1):
        draft.emit(call, "gather", attributes={"axis": axis}, inputs=2)
        return
    constant = draft.constant(call.inputs[1]) if len(call.inputs) > 1 else None
    if constant is None or constant.is_float or constant.elements > INDEX_LIMIT:
        raise call.wrong("indices that are not known", f"at most {INDEX_LIMIT} constant whole numbers")
    indices = tuple(int(value) for value in constant.read().reshape(-1))
    draft.emit(call, "gather", attributes={"axis": axis, "indices": indices, "picked": constant.shape})


def _unsqueeze(draft: Draft, call: Call) -> None:
    shape = draft.activation(call).shape
    given = call.integers("axes") if call.opset < 13 else draft.integers(call, 1)
    rank = len(shape) + len(given or ())
    axes = {axis % rank for axis in given or ()}
    if not given or len(axes) != len(given):
        raise call.wrong(f"axes {given}", "different axes")
    rest = iter(shape)
    wanted = tuple(1 if axis in axes else next(rest) for axis in range(rank))
    draft.emit(call, "reshape", attributes={"shape": wanted})


def _expand(draft: Draft, call: Call) -> None:
    shape, wanted = draft.activation(call).shape, draft.integers(call, 1)
    if wanted is None:
        raise call.wrong("no shape", "a constant shape as input 1")
    _move(draft, call, np.broadcast_shapes(shape, wanted))


def _tile(draft: Draft, call: Call) -> None:
    shape, repeats = draft.activation(call).shape, draft.integers(call, 1)
    if repeats is None or len(repeats) != len(shape):
        raise call.wrong(f"repeats {repeats}", f"{len(shape)} whole numbers")
    _move(draft, call, tuple(size * count for size, count in zip(shape, repeats, strict=True)))


def _blocks(draft: Draft, call: Call) -> None:
    """DepthToSpace and SpaceToDepth."""
    shape, block = draft.activation(call).shape, call.integer("blocksize", 1)
    if len(shape) != 4 or block < 1:
        raise call.wrong(f"blocks of {block} in {shape}", "four axes and a positive block")
    n, c, h, w = shape
    if call.kind == "DepthToSpace":
        _move(draft, call, (n, c // block**2, h * block, w * block))
    else:
        _move(draft, call, (n, c * block**2, h // block, w // block))


def _resize(draft: Draft, call: Call) -> None:
    """Sizes, or sizes times scales, rounded down; nearest moves data, interpolation is counted as a move as well."""
    shape = draft.activation(call).shape
    upsample = call.kind == "Upsample"
    place = 1 if upsample or call.opset < 11 else 2
    sizes = draft.integers(call, 3) if not upsample and call.opset >= 11 else None
    if sizes:
        out = sizes if len(sizes) == len(shape) else None
    else:
        scales = _scales(draft, call, place)
        out = tuple(floor(size * scale) for size, scale in zip(shape, scales, strict=False))
        out = out if len(scales) == len(shape) else None
    if out is None:
        raise call.wrong("sizes or scales of some axes", f"one for each of {len(shape)} axes")
    attributes: dict[str, AttributeValue] = {"shape": out, "mode": call.text("mode", "nearest")}
    asymmetric = "asymmetric" if call.opset < 11 else "half_pixel"
    attributes["coordinates"] = call.text("coordinate_transformation_mode", asymmetric)
    attributes["nearest"] = "floor" if call.opset < 11 else call.text("nearest_mode", "round_prefer_floor")
    draft.emit(call, "resize", attributes=attributes)


def _scales(draft: Draft, call: Call, place: int) -> list[float]:
    if call.kind == "Upsample" and "scales" in call.attributes:
        return [float(value) for value in call.attributes["scales"].floats][:16]
    constant = draft.weight(call, place, "scales")
    if constant is None or constant.elements > 16:
        raise call.wrong("no scales", "constant scales or sizes")
    return [float(value) for value in constant.read().reshape(-1)]


def _cast(draft: Draft, call: Call) -> None:
    draft.emit(call, "identity")


MOVES: Mapping[str, Converter] = {
    "Cast": _cast,
    "CastLike": _cast,
    "Concat": _concat,
    "DepthToSpace": _blocks,
    "Expand": _expand,
    "Gather": _gather,
    "Pad": _pad,
    "Resize": _resize,
    "Slice": _slice,
    "SpaceToDepth": _blocks,
    "Split": _split,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
}
