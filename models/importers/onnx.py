"""ONNX files as Graphs: shapes, operators, and weights that are read when they are first asked for.

Only what leads to the outputs is read. Operators are entries in `onnx_layers.OPERATORS`; what depends on
constants alone is computed by `onnx_fold.FOLDERS`. Nothing in a file is run, and nothing outside its folder read.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FileFormatError, GraphError, InputError
from ..graph import Graph, TensorSpec
from .onnx_draft import Call, Draft
from .onnx_file import ELEMENT_LIMIT, FileTensors, as_text, read_onnx
from .onnx_fold import FOLDERS, fold
from .onnx_layers import OPERATORS
from .onnx_opaque import is_opaque, place_opaque
from .onnx_slim import RawPart

if TYPE_CHECKING:
    import onnx

__all__ = ["import_onnx", "supported_operators"]

# Bits of element types of activations; float64 and int64 are counted as 32 bits, as runtimes narrow them.
ELEMENT_BITS = {1: 32, 2: 8, 3: 8, 6: 32, 7: 32, 9: 8, 10: 16, 11: 32, 16: 16}
TOKENS, PIXELS = 128, 224  # sizes of open axes that nobody gave: a sequence, an image's side
LEAST_OPSET = 7  # before it, operators broadcast by attributes
DOMAINS = ("", "ai.onnx")


def supported_operators() -> list[str]:
    """ONNX operators that `import_onnx` reads; those in FOLDERS alone on constants only.

    >>> "Conv" in supported_operators()
    True
    """
    return sorted({"Constant", *OPERATORS, *FOLDERS})


def import_onnx(
    path: str | os.PathLike[str],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    warn: Callable[[str], None] = lambda _text: None,
) -> Graph:
    """The network in an ONNX file, named after the file; weights are read when first asked for.

    `shapes` gives the shapes of inputs with open dimensions by name; an open first axis is the batch and
    counts as 1. Another open axis gets a size that is common for its kind, and `warn` is told. Control flow and
    operators of other domains become `opaque` nodes. Raises InputError for a missing file, FileFormatError for a
    file that is damaged or not ONNX, GraphError for an unknown operator, a cycle, or shapes that disagree.
    """
    file = Path(path)
    try:
        model, parts = read_onnx(file)
        return _graph(model, parts, file, shapes or {}, warn)
    except UnicodeDecodeError:
        raise FileFormatError(str(file), "a name that is not text", "an ONNX file", "export it again") from None


def _graph(
    model: onnx.ModelProto, parts: Mapping[str, RawPart], file: Path, shapes: Mapping[str, tuple[int, ...]],
    warn: Callable[[str], None],
) -> Graph:  # fmt: skip
    proto = model.graph
    if proto.sparse_initializer:
        raise GraphError(str(file), "sparse initializers", "dense ones", "export with dense weights")
    initializers = {as_text(tensor.name): tensor for tensor in proto.initializer}
    inputs = [value for value in proto.input if as_text(value.name) not in initializers]
    outputs = tuple(as_text(value.name) for value in proto.output)
    calls = _needed(_calls(model, file.name), outputs)
    ordered = _ordered(calls, file.name)
    readers = Counter(name for call in calls for name in call.inputs)
    readers.update(outputs)
    draft = Draft(file.stem, FileTensors(str(file), file.parent, parts), readers, initializers)
    draft.tensors.update(_input_specs(inputs, shapes, file.name, warn))
    for call in ordered:
        _check_new(draft, call)
        if not fold(draft, call):
            _convert(draft, call, model)
    for name in outputs:
        if name not in draft.producers:
            where = f"{file.name}: output {name}"
            raise GraphError(where, "nothing that computes it from an input", "a node's output")
    return draft.finish(tuple(as_text(value.name) for value in inputs), outputs)


def _calls(model: onnx.ModelProto, file: str) -> list[Call]:
    """Nodes with unique names: their own, else their first output's, else a number behind it."""
    opset = next((entry.version for entry in model.opset_import if entry.domain in DOMAINS), None)
    if opset is None or opset < LEAST_OPSET:
        raise FileFormatError(file, f"opset {opset}", f"opset {LEAST_OPSET} or newer", "export the network again")
    calls: list[Call] = []
    taken: set[str] = set()
    for number, node in enumerate(model.graph.node):
        kind, domain = as_text(node.op_type), as_text(node.domain)
        kind = kind if domain in DOMAINS else f"{domain}.{kind}"
        reads, writes = (tuple(as_text(name) for name in names) for names in (node.input, node.output))
        name = as_text(node.name) or next(iter(writes), "") or f"node_{number}"
        if name in taken:
            name = f"{name}_{number}"
        if name in taken:
            raise FileFormatError(file, f"several nodes named {name}", "unique names")
        taken.add(name)
        attributes = {as_text(attribute.name): attribute for attribute in node.attribute}
        calls.append(Call(name, kind, reads, writes, attributes, file, opset))
    return calls


def _producers(calls: Sequence[Call]) -> dict[str, int]:
    """Which node writes each tensor, by place."""
    producers: dict[str, int] = {}
    for place, call in enumerate(calls):
        for name in call.outputs:
            if name and producers.setdefault(name, place) != place:
                raise call.wrong(f"tensor {name!r} written twice", "one producer per tensor")
    return producers


def _needed(calls: Sequence[Call], outputs: Sequence[str]) -> list[Call]:
    """The nodes that lead to the outputs, in the file's order."""
    producers = _producers(calls)
    wanted, seen = deque(outputs), set[int]()
    while wanted:
        place = producers.get(wanted.popleft())
        if place is not None and place not in seen:
            seen.add(place)
            wanted.extend(calls[place].inputs)
    return [calls[place] for place in sorted(seen)]


def _ordered(calls: Sequence[Call], file: str) -> list[Call]:
    """An order in which every node comes after those it reads. Raises GraphError naming a cycle."""
    producers = _producers(calls)
    reads = [{producers[name] for name in call.inputs if name in producers} for call in calls]
    followers: list[list[int]] = [[] for _ in calls]
    for place, sources in enumerate(reads):
        for source in sources:
            followers[source].append(place)
    missing = [len(sources) for sources in reads]
    ready = deque(place for place, count in enumerate(missing) if count == 0)
    order = []
    while ready:
        place = ready.popleft()
        order.append(calls[place])
        for follower in followers[place]:
            missing[follower] -= 1
            if missing[follower] == 0:
                ready.append(follower)
    if len(order) < len(calls):
        raise GraphError(file, f"a cycle: {_cycle(calls, reads, missing)}", "an acyclic graph")
    return order


def _cycle(calls: Sequence[Call], reads: Sequence[set[int]], missing: Sequence[int]) -> str:
    """One cycle among the nodes that never became ready: walking back from one must meet it."""
    place = next(place for place, count in enumerate(missing) if count)
    trail: dict[int, int] = {}
    while place not in trail:
        trail[place] = len(trail)
        place = min(source for source in reads[place] if missing[source])
    names = [calls[p].name for p, step in trail.items() if step >= trail[place]]
    return " -> ".join([*reversed(names), names[-1]])


def _input_specs(
    inputs: Sequence[onnx.ValueInfoProto], shapes: Mapping[str, tuple[int, ...]], file: str,
    warn: Callable[[str], None],
) -> dict[str, TensorSpec]:
    names = [as_text(value.name) for value in inputs]
    for name in shapes:
        if name not in names:
            raise InputError(f"--shape {name}", "no input of that name", f"one of {', '.join(names) or '(none)'}")
    if len(set(names)) < len(names) or "" in names:
        raise GraphError(file, "two inputs of one name", "unique names")
    specs = zip(names, inputs, strict=True)
    return {name: _input_spec(name, value, shapes.get(name), file, warn) for name, value in specs}


def _default_size(axis: int, rank: int, size: int | None) -> int | None:
    """A common size for an open axis: one image, 224 pixels a side, 128 tokens; None for a channel axis."""
    if size is not None or axis == 0:
        return size or 1
    if rank == 4 and axis >= 2:
        return PIXELS
    return TOKENS if rank == 2 or (rank == 3 and axis == 1) else None


def _input_spec(
    name: str, value: onnx.ValueInfoProto, given: tuple[int, ...] | None, file: str, warn: Callable[[str], None]
) -> TensorSpec:
    """The input's shape, open dimensions filled from `given`; the batch may stay open."""
    where = f"{file}: input {name}"
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or tensor.elem_type not in ELEMENT_BITS:
        raise GraphError(where, f"element type {tensor.elem_type}", "a tensor of floats or whole numbers")
    axes = tensor.shape.dim
    sizes: list[int | None] = [axis.dim_value if axis.dim_value > 0 else None for axis in axes]
    described = "x".join(str(size or as_text(axis.dim_param) or "?") for size, axis in zip(sizes, axes, strict=True))
    if given is not None:
        agree = len(given) == len(sizes) and all(s in (None, g) for s, g in zip(sizes, given, strict=True))
        if (sizes and not agree) or any(size < 1 for size in given):
            raise InputError(f"--shape {name}", "x".join(map(str, given)), described)
        sizes = list(given)
    else:
        filled = [_default_size(axis, len(sizes), size) for axis, size in enumerate(sizes)]
        if None not in filled and filled[1:] != sizes[1:]:
            chosen = "x".join(map(str, filled))
            warn(f"input {name} has open dimensions {described}: taken as {chosen}; say --shape {name}={chosen}")
        sizes = filled
    fixed = tuple(size for size in sizes if size is not None)
    if not sizes or len(fixed) < len(sizes):
        raise InputError(where, f"open dimensions {described or '(none given)'}", "a size for each",
                         f"use --shape {name}=1x3x224x224")  # fmt: skip
    spec = TensorSpec(fixed, ELEMENT_BITS[tensor.elem_type])
    if spec.elements > ELEMENT_LIMIT:
        raise GraphError(where, f"{spec.elements} elements", f"at most {ELEMENT_LIMIT}")
    return spec


def _check_new(draft: Draft, call: Call) -> None:
    """An output must not replace an input or a constant."""
    for name in call.outputs:
        if name and (name in draft.tensors or name in draft.constants or name in draft.initializers):
            raise call.wrong(f"tensor {name!r} written twice", "one producer per tensor")


def _convert(draft: Draft, call: Call, model: onnx.ModelProto) -> None:
    converter = OPERATORS.get(call.kind)
    if converter is not None:
        converter(draft, call)
    elif is_opaque(call):
        place_opaque(draft, call, model)
    else:
        raise call.wrong(f"operator {call.kind}", f"one of {', '.join(supported_operators())}",
                         "leave it out of the export, or ask for it")  # fmt: skip
