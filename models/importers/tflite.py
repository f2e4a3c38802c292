"""TensorFlow Lite files as Graphs (extra [tflite]): shapes, operators, bits, and real weights.

TFLite keeps images as batch, rows, columns, channels; a Graph as batch, channels, rows, columns. Tensors of four axes
are turned on the way in, weights with them; where an image is flattened for a fully connected layer, the weight's
columns are put in the Graph's order instead, so that nothing moves that does not move in the file.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import FileFormatError, GraphError, MissingExtraError
from ..files import read_bytes
from ..graph import Graph
from .tflite_draft import Call, Draft
from .tflite_layers import OPERATORS

__all__ = ["import_tflite"]

FILE_LIMIT_BYTES = 1 << 31
OPERATOR_LIMIT = 100_000
MAGIC = b"TFL3"


def _package() -> Any:
    try:
        import tflite
    except ImportError as error:
        raise MissingExtraError("reading a .tflite file", "tflite") from error
    return tflite


def import_tflite(path: str | os.PathLike[str], shapes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """The network in a .tflite file, named after the file; weights are dequantized when first asked for.

    Open dimensions count as 1. Custom operators and control flow become `opaque` nodes. Raises InputError for a
    missing file, FileFormatError for a damaged one, GraphError for shapes that disagree, MissingExtraError without
    the package `tflite`.
    """
    file = Path(path)
    content = read_bytes(file, limit_bytes=FILE_LIMIT_BYTES, what="a TFLite file")
    if len(content) < 8 or content[4:8] != MAGIC:
        raise FileFormatError(str(file), f"{len(content)} bytes without the mark TFL3", "a .tflite file",
                              "convert again")  # fmt: skip
    if shapes:
        raise GraphError(str(file), f"--shape {next(iter(shapes))}", "the shapes in the file", "leave --shape out")
    package = _package()
    try:
        return _graph(package, content, file)
    except (struct.error, IndexError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise FileFormatError(str(file), f"damaged: {error}", "a sound .tflite file", "convert again") from error


def _graph(package: Any, content: bytes, file: Path) -> Graph:
    model = package.Model.GetRootAsModel(content, 0)
    if model.SubgraphsLength() < 1:
        raise FileFormatError(str(file), "no subgraph", "a network", "convert again")
    network = model.Subgraphs(0)
    if network.OperatorsLength() > OPERATOR_LIMIT:
        raise FileFormatError(str(file), f"{network.OperatorsLength()} operators", f"at most {OPERATOR_LIMIT}")
    draft = Draft(package, model, network, content, file)
    names = {value: key for key, value in vars(package.BuiltinOperator).items() if isinstance(value, int)}
    for place in range(network.OperatorsLength()):
        operator = network.Operators(place)
        code = model.OperatorCodes(operator.OpcodeIndex())
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = names.get(builtin, f"BUILTIN_{builtin}")
        if kind == "CUSTOM":
            kind = f"CUSTOM:{(code.CustomCode() or b'?').decode('utf-8', 'replace')}"
        _convert(draft, Call(kind, operator, place, draft))
    inputs = tuple(draft.name(int(index)) for index in network.InputsAsNumpy())
    outputs = tuple(draft.name(int(index)) for index in network.OutputsAsNumpy())
    return Graph(file.stem, inputs, outputs, tuple(draft.nodes), draft.tensors, draft.parameters)


def _convert(draft: Draft, call: Call) -> None:
    handler: Callable[[Draft, Call], None] | None = OPERATORS.get(call.kind)
    if handler is not None:
        handler(draft, call)
        return
    for place, index in enumerate(call.outputs):
        sources = [draft.name(i) for i in call.inputs if i >= 0 and not draft.is_constant(i)]
        if not sources:
            raise call.wrong("no input that depends on the network's inputs", "an activation")
        attributes = {"kind": call.kind, "shape": draft.shape(index)}
        draft.add(call, "opaque", sources, None, attributes, index=index, suffix=str(place) if place else "")
