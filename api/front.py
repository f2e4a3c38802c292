"""The small verbs of the Python front door: load, networks, targets, compress, export."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .models.compress.run import compress
from .models.exporters import export_model as export
from .models.importers.torch_export import import_torch
from .models.load import load_model, model_names
from .models.model import Model
from .models.ops import loop_bounds
from .models.zoo import NETWORKS
from .models.zoo.published import dense_point, published
from .simulator.target import load_target, target_names

__all__ = ["compress", "export", "from_onnx", "from_torch", "load", "networks", "targets"]


def load(
    model: str | os.PathLike[str],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> Model:
    """A Model from a name, a `.onnx`, `.tflite` or `.pico` file, or a layer written out.

    `weights` is a file of weights for it: .safetensors, .npz, or a PyTorch state dict.

    >>> load("lenet-5").graph.parameter_count
    431080
    """
    return load_model(os.fspath(model), shapes=shapes, weights=weights)


def from_onnx(path: str | os.PathLike[str], shapes: Mapping[str, tuple[int, ...]] | None = None) -> Model:
    """A Model from an ONNX file; `shapes` fixes symbolic dimensions by input name."""
    return load_model(os.fspath(path), shapes=shapes)


def from_torch(module: Any, example_inputs: Sequence[Any], name: str | None = None) -> Model:
    """A Model from a torch.nn.Module, traced by torch.export on `example_inputs`; weights included (extra [train])."""
    graph = import_torch(module, example_inputs, name)
    return Model(graph.name, graph)


def networks() -> list[dict[str, Any]]:
    """Every network and shipped variant: parameters, MACs, data set, source, and what is known of its weights.

    >>> [row["parameters"] for row in networks() if row["name"] == "lenet-300-100"]
    [266610]
    """
    rows = []
    for name in model_names():
        model = load_model(name)
        base = NETWORKS.get(name.partition("@")[0])
        bounds = [found for node in model.graph if (found := loop_bounds(model.graph, node))]
        rows.append(
            {
                "name": name,
                "parameters": model.graph.parameter_count,
                "macs": sum(found.macs for found in bounds),
                "layers": len(bounds),
                "dataset": base.dataset if base else None,
                "file_bytes": model.file_bytes,
                "error_pct": model.accuracy.error_pct if model.accuracy else None,
                "source": base.source if base else None,
                **_published(name),
            }
        )
    return rows


def _published(name: str) -> dict[str, Any]:
    """Published accuracy of the dense network, and every operating point that papers report."""
    dense = dense_point(name)
    return {
        "top1_pct": dense.top1_pct if dense else None,
        "top5_pct": dense.top5_pct if dense else None,
        "accuracy_source": dense.source if dense else None,
        "accuracy_status": dense.status if dense else None,
        "operating_points": [asdict(point) for point in published(name)],
    }


def targets() -> list[dict[str, Any]]:
    """Every shipped target: name, kind, runtime, mode, what its energy covers, the formats its kernels execute.

    `mode` is "calibrated" where measurements of the very device entered, "datasheet" where none did.

    >>> sorted({row["mode"] for row in targets() if row["kind"] == "gpu"})
    ['calibrated', 'datasheet']
    >>> [row["scope"] for row in targets() if row["name"] == "eie"]
    ['chip: 64 PEs and the non-zero detection tree; all weights in SRAM, no DRAM']
    """
    rows = []
    for name in target_names():
        target = load_target(name)
        rows.append(
            {
                "name": name,
                "title": target.title,
                "kind": target.kind,
                "runtime": getattr(target, "runtime", None),
                "mode": getattr(target, "mode", None),
                "aliases": list(target.aliases),
                "scope": target.scope,
                "executes": list(target.executes),
                "sources": dict(target.sources),
            }
        )
    return rows
