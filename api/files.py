"""Commands that write files: compress, inspect (reads), export."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .commands import parse_shapes, print_json
from .models.compress.baselines import BASELINES, baseline_bytes
from .models.errors import InputError, OutputError
from .models.graph import Graph, Node
from .models.load import load_model
from .models.memory import peak_activation_bits
from .models.model import Model
from .models.ops import loop_bounds
from .progress import StageBar
from .text import count, ledger_text, size, table

__all__ = ["StageBar", "check_output", "compress", "export", "inspect"]

UNSHARED_BITS = 32  # --bits 32: values stay as they are


def check_output(path: str) -> None:
    """Find out before a long run that its result could not be written."""
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        raise OutputError(path, "its folder does not exist", f"make it first: mkdir -p {folder.name}")
    if Path(path).is_dir():
        raise OutputError(path, "it is a folder", "name a file inside it")


def compress(arguments: argparse.Namespace) -> int | None:
    if arguments.sweep:
        from .sweep import run_sweep

        return run_sweep(arguments)
    if arguments.output is None:
        print("picojoule compress: error: the following arguments are required: -o/--output", file=sys.stderr)
        return 2
    from .models.compress.run import compress as run_compression

    if not arguments.output.endswith(".pico"):
        raise InputError("--output", arguments.output, "a file ending in .pico", "for example -o x.pico")
    check_output(arguments.output)
    settings = _post_training(arguments)
    source = load_model(arguments.model, shapes=parse_shapes(arguments.shape), weights=arguments.weights)
    bar = StageBar()
    try:
        model = run_compression(
            source, arguments.recipe, seed=arguments.seed, output=arguments.output, progress=bar, data=arguments.data,
            post_training=settings,
        )  # fmt: skip
    finally:
        bar.close()
    print(_summary(model))
    changed = model.provenance.get("class_changed_pct")
    if changed is not None:
        before = model.provenance.get("dense_error_pct")
        was = "" if before is None else f"; {float(before):.2f} % error before"
        print(f"  {float(changed):.2f} % of {model.provenance['data_samples']:,} inputs change their class{was}")
    print(ledger_text(model))
    _print_baselines(baseline_bytes(model))
    return None


def _post_training(arguments: argparse.Namespace) -> Any:
    """Settings of a run without training where one of them is given, else None."""
    from .models.compress.post_training import DEFAULT_BITS, SMALLEST, PostTraining

    given = (arguments.bits, arguments.density, arguments.format, arguments.prune, arguments.share)
    if all(value is None for value in given):
        return None
    if arguments.density is not None and ":" in (arguments.prune or ""):
        raise InputError("--density", f"{arguments.density} beside --prune {arguments.prune}", "one of the two")
    bits: Any = DEFAULT_BITS if arguments.bits is None else _by_layer("--bits", arguments.bits, int)
    return PostTraining(
        density=None if arguments.density is None else _by_layer("--density", arguments.density, float),
        bits=None if bits == UNSHARED_BITS else bits,
        encoding=arguments.format or SMALLEST,
        prune=arguments.prune or "magnitude",
        share=arguments.share or "kmeans",
    )


def _by_layer(flag: str, text: str, kind: Callable[[str], Any]) -> Any:
    """One value, or values by layer or pattern: `8`, `conv*=8,fc*=5`."""
    try:
        if "=" not in text:
            return kind(text)
        pairs = [part.split("=", 1) for part in text.split(",")]
        return {name.strip(): kind(value) for name, value in pairs}
    except ValueError:
        raise InputError(flag, text, "a number, or NAME=NUMBER,...", f"for example {flag} 'conv*=1,fc*=1'") from None


def _summary(model: Model) -> str:
    accuracy = model.accuracy
    error = (
        f", {accuracy.error_pct:.2f} % error on the {accuracy.n:,} {accuracy.split} images of {accuracy.dataset}"
        if accuracy
        else ""
    )
    return f"{model.name}: {size(model.file_bytes)}{error}"


def inspect(arguments: argparse.Namespace) -> None:
    model = load_model(arguments.model, shapes=parse_shapes(arguments.shape), weights=arguments.weights)
    if arguments.json:
        print_json(_document(model))
        return
    print(_summary(model) if model.file_bytes else model.name)
    document = _document(model)
    print(
        f"  {count(document['parameters'])} parameters, {count(document['macs'])} MACs, "
        f"peak activations {size(document['peak_activation_bytes'])}"
    )
    rows = []
    for layer in document["layers"]:
        density = "-" if layer["weight_density"] is None else f"{layer['weight_density']:.3g}"
        rows.append(
            [
                layer["name"],
                layer["kind"],
                "x".join(map(str, layer["output_shape"])),
                count(layer["macs"]),
                count(layer["parameters"]),
                density,
            ]
        )
    print(table(["layer", "kind", "output", "MACs", "parameters", "density"], rows))
    if model.ledger:
        print(ledger_text(model))
        _print_baselines(document["baselines"])
    for key, value in model.provenance.items():
        print(f"  {key}: {value}")


def _print_baselines(found: Mapping[str, int | None]) -> None:
    for key, value in found.items():
        text = "not in this build of Arrow" if value is None else size(value)
        print(f"  for comparison, {BASELINES[key]}: {text}")


def _document(model: Model) -> dict[str, Any]:
    graph, layers = model.graph, []
    for node in graph:
        bounds = loop_bounds(graph, node)
        weight = node.parameters.get("weight")
        density = None
        if weight in model.coded:
            density = model.coded[weight].nonzeros / graph.parameters[weight].elements
        layers.append(
            {
                "name": node.name,
                "kind": node.op,
                "output_shape": list(graph.tensors[node.output].shape),
                "macs": bounds.macs if bounds else 0,
                "loop_bounds": asdict(bounds) if bounds else None,
                **_bytes_moved(graph, node, bounds.macs if bounds else 0),
                "parameters": sum(graph.parameters[name].elements for name in node.parameters.values()),
                "weight_density": density,
                "encoding": model.coded[weight].encoding if weight in model.coded else None,
                "code_bits": model.coded[weight].code_bits if weight in model.coded else None,
                "input_density": model.activation_density.get(node.name),
            }
        )
    accuracy = model.accuracy
    return {
        "schema": 1,
        "model": model.name,
        "parameters": graph.parameter_count,
        "macs": sum(layer["macs"] for layer in layers),
        "peak_activation_bytes": -(-peak_activation_bits(graph) // 8),
        "file_bytes": model.file_bytes,
        "error_pct": {
            "value": accuracy.error_pct,
            "dataset": accuracy.dataset,
            "n": accuracy.n,
            "split": accuracy.split,
            "status": accuracy.status,
        }
        if accuracy
        else None,
        "layers": layers,
        "baselines": dict(baseline_bytes(model)) if model.ledger else {},
        "ledger": [
            {"tensor": r.tensor, "section": r.section, "entries": r.entries, "bytes": r.bytes} for r in model.ledger
        ],
        "provenance": dict(model.provenance),
        "warnings": list(model.warnings),
    }


def _bytes_moved(graph: Graph, node: Node, macs: int) -> dict[str, Any]:
    """Bytes of weights, inputs and outputs as described, and MACs for each of them (arithmetic intensity)."""
    weights = sum(graph.parameters[name].elements * graph.parameters[name].bits for name in node.parameters.values())
    inputs = sum(graph.tensors[name].elements * graph.tensors[name].bits for name in node.inputs)
    outputs = graph.tensors[node.output].elements * graph.tensors[node.output].bits
    moved = (weights + inputs + outputs) / 8
    return {
        "weight_bytes": -(-weights // 8),
        "input_bytes": -(-inputs // 8),
        "output_bytes": -(-outputs // 8),
        "macs_per_byte": macs / moved if moved else 0.0,
    }


def export(arguments: argparse.Namespace) -> None:
    from .models.exporters import export_model

    check_output(arguments.output)
    export_model(load_model(arguments.model), arguments.output)
    print(f"{arguments.output}: {size(Path(arguments.output).stat().st_size)}")
