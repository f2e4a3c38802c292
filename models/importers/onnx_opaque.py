"""Control flow and operators of other domains: their results have shapes, their work is not known.

They become `opaque` nodes, which every estimate names in `unmodelled` and none counts as free. A name that is no
operator of ONNX at all is an error instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .onnx_draft import Call, Draft
from .onnx_file import as_text

if TYPE_CHECKING:
    import onnx

__all__ = ["is_opaque", "place_opaque"]


def is_opaque(call: Call) -> bool:
    """Whether ONNX, or another domain, defines the operator."""
    from onnx import defs

    return "." in call.kind or defs.has(call.kind)


def place_opaque(draft: Draft, call: Call, model: onnx.ModelProto) -> None:
    """One node for each output. Raises GraphError where the file does not say an output's shape."""
    shapes = _known_shapes(model)
    sources = tuple(name for name in call.inputs if name in draft.tensors)
    if not sources:
        raise call.wrong("no input that depends on the network's inputs", "an activation")
    for place, output in enumerate(name for name in call.outputs if name):
        shape = shapes.get(output)
        if shape is None:
            raise call.wrong(f"an output {output!r} of unknown shape", "its shape in the file",
                             "export with shape inference, or leave it out")  # fmt: skip
        attributes = {"kind": call.kind, "shape": shape}
        draft.place(call, "opaque", sources, output, attributes=attributes, name=str(place) if place else "")


def _known_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """What the file says of its tensors, and what ONNX infers where it says nothing; the batch may be open."""
    from onnx import shape_inference

    values = [*model.graph.value_info, *model.graph.output]
    try:
        inferred = shape_inference.infer_shapes(model)
        values = [*inferred.graph.value_info, *values]
    except (shape_inference.InferenceError, RuntimeError, ValueError):  # the file may still say its shapes
        pass
    found = {}
    for value in values:
        axes = value.type.tensor_type.shape.dim
        sizes = [axis.dim_value or (1 if place == 0 else 0) for place, axis in enumerate(axes)]
        if value.type.tensor_type.HasField("shape") and all(size > 0 for size in sizes):
            found[as_text(value.name)] = tuple(sizes)
    return found
