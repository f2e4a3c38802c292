"""One verb for every export: the suffix of the file says which."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import InputError
from ..files import write_atomic
from ..finite import check_finite_parameters
from ..graph import Graph
from ..model import Model
from .onnx import export_onnx
from .tensors import export_npz, export_safetensors

__all__ = ["EXPORTERS", "export_model"]

EXPORTERS: Mapping[str, Callable[[Graph], bytes]] = {
    ".onnx": export_onnx,
    ".safetensors": export_safetensors,
    ".npz": export_npz,
}


def export_model(model: Model, path: str | os.PathLike[str]) -> None:
    """Write `model` to `path` as its suffix says, whole or not at all.

    Shared weights are written decoded, as float32 values. Raises InputError for another suffix
    or a weight that is not finite, GraphError for a model without weights, OutputError where the file
    cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in EXPORTERS:
        raise InputError(str(path), f"suffix {suffix or '(none)'}", f"one of {', '.join(EXPORTERS)}",
                         "for example -o model.onnx")  # fmt: skip
    graph = _decoded(model)
    check_finite_parameters(graph)
    write_atomic(path, EXPORTERS[suffix](graph))


def _decoded(model: Model) -> Graph:
    """The graph with every shared tensor's values, whether or not its reader put them there."""
    missing = {n: t.values for n, t in model.coded.items() if not model.graph.parameters[n].known}
    return model.graph.with_parameters(missing) if missing else model.graph
