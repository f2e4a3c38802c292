"""Commands that read and print: networks, targets, estimate, explain, check, validate."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import __version__
from .models.errors import BudgetExceededError, InputError
from .models.load import load_model
from .models.model import Model
from .simulator.cost import Cost
from .simulator.document import estimate_document
from .simulator.estimate import estimate_many
from .text import count, energy, estimate_text, latency, size, table

__all__ = [
    "check",
    "estimate",
    "explain",
    "networks",
    "parse_quantity",
    "print_json",
    "run_estimates",
    "targets",
    "validate",
]

UNITS = {
    "energy": {"pJ": 1.0, "nJ": 1e3, "uJ": 1e6, "µJ": 1e6, "mJ": 1e9, "J": 1e12},
    "latency": {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0},
    "size": {"B": 1.0, "kB": 1e3, "KB": 1e3, "KiB": 1024.0, "MB": 1e6, "MiB": 1024.0**2, "GB": 1e9, "GiB": 1024.0**3},
    "error": {"": 1.0, "%": 1.0},
}
EXAMPLES = {"energy": "5mJ", "latency": "20ms", "size": "1MiB", "error": "2"}


def print_json(document: object) -> None:
    """One document on standard output."""
    print(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))


def parse_quantity(text: str, kind: str, where: str) -> float:
    """A number with a unit, in house units: pJ, seconds, bytes, percent.

    >>> parse_quantity("5mJ", "energy", "--max")
    5000000000.0
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)\s*([^\d\s]*)\s*", text)
    if not match or match[2] not in UNITS[kind] or float(match[1]) == 0:
        known = ", ".join(unit for unit in UNITS[kind] if unit)
        raise InputError(where, text, f"a positive number with a unit among {known}", f"for example {EXAMPLES[kind]}")
    return float(match[1]) * UNITS[kind][match[2]]


def parse_shapes(items: list[str]) -> dict[str, tuple[int, ...]]:
    """Shapes by input name from NAME=1x3x224x224.

    >>> parse_shapes(["data=1x3x8x8"])
    {'data': (1, 3, 8, 8)}
    """
    shapes = {}
    for item in items:
        name, _, text = item.partition("=")
        if not name or not re.fullmatch(r"[1-9]\d{0,8}(x[1-9]\d{0,8})*", text):
            raise InputError("--shape", item, "NAME=1x3x224x224", "name the input as the file does")
        shapes[name] = tuple(int(part) for part in text.split("x"))
    return shapes


def run_estimates(arguments: argparse.Namespace, *models: str) -> list[Cost]:
    """Costs of the command line's models on its targets, models outermost; warnings go to standard error."""
    shapes = parse_shapes(arguments.shape)
    loaded = [load_model(model, shapes=shapes, weights=arguments.weights) for model in models]
    if arguments.data:
        loaded = [with_measured_activations(model, arguments.data) for model in loaded]
    for text in dict.fromkeys(text for model in loaded for text in model.warnings):
        print(f"picojoule: warning: {text}", file=sys.stderr)
    return estimate_many(
        loaded,
        [name.strip() for name in arguments.target.split(",")],
        batch=arguments.batch,
        bits=arguments.bits,
        density=arguments.density,
        act_density=arguments.act_density,
        format=arguments.format,
        energy=arguments.energy,
        residency=arguments.residency,
        strict=arguments.strict,
    )


def with_measured_activations(model: Model, path: str) -> Model:
    """The model with densities of its activations measured on the inputs in an npz file: `x`, or the only array."""
    from .models.importers.state_dict import read_weights
    from .models.run import measure_activation_density

    arrays = read_weights(path)
    images = arrays.get("x", next(iter(arrays.values())) if len(arrays) == 1 else None)
    if images is None:
        got = f"arrays {', '.join(arrays) or '(none)'}"
        raise InputError(path, got, "one named x", "numpy.savez('data.npz', x=inputs)")
    if not model.graph.has_weights:
        got = f"{model.name} without weights"
        raise InputError("--data", got, "a network with weights", "name a file, or say --weights")
    density = measure_activation_density(model.graph, images)
    return replace(model, activation_density=density, activation_basis=f"measured on {len(images)} inputs")


def _documents(costs: list[Cost], layer: str | None) -> dict[str, Any]:
    documents = [estimate_document(cost, __version__) for cost in costs]
    for document in documents:
        document["layers"] = _only_layer(document["layers"], layer)
    return documents[0] if len(documents) == 1 else {"estimates": documents}


def _only_layer(rows: list[dict[str, Any]], layer: str | None) -> list[dict[str, Any]]:
    if layer is None:
        return rows
    chosen = [row for row in rows if row["name"] == layer]
    if not chosen:
        raise InputError("--layer", layer, f"one of {', '.join(row['name'] for row in rows)}")
    return chosen


def estimate(arguments: argparse.Namespace) -> None:
    models = [arguments.model, *([arguments.against] if arguments.against else [])]
    costs = run_estimates(arguments, *models)
    if arguments.json:
        print_json(_documents(costs, arguments.layer))
        return
    for cost in costs:
        _only_layer(cost.layer_rows(), arguments.layer)
        print(estimate_text(cost) if arguments.layer is None else cost.explain(arguments.layer), end="\n\n")
    if arguments.against:
        print(_against(costs))


def _ratio(first: float | None, second: float | None) -> str:
    return f"{second / first:.2f}x" if first and second else "-"


def _against(costs: list[Cost]) -> str:
    half = len(costs) // 2
    rows = []
    for ours, theirs in zip(costs[:half], costs[half:], strict=True):
        a, b = ours.totals, theirs.totals
        rows.append(
            [
                ours.target.name,
                _ratio(a["energy_pj"], b["energy_pj"]),
                _ratio(a["latency_s"], b["latency_s"]),
                _ratio(a["weight_bytes"], b["weight_bytes"]),
            ]
        )
    first, second = costs[0].workload.model, costs[half].workload.model
    return f"{second} over {first}\n" + table(["target", "energy", "latency", "weights"], rows)


def explain(arguments: argparse.Namespace) -> None:
    costs = run_estimates(arguments, arguments.model)
    if arguments.json:
        print_json(
            [_explained(cost, arguments) for cost in costs] if len(costs) > 1 else _explained(costs[0], arguments)
        )
        return
    for cost in costs:
        print(f"{cost.workload.model} on {cost.target.title}")
        print(cost.explain(arguments.layer, arguments.metric), end="\n\n")
        print("\n".join(["sources", *(f"  {key}: {text}" for key, text in cost.target.sources.items())]))


def _explained(cost: Cost, arguments: argparse.Namespace) -> dict[str, Any]:
    key = {"energy": "energy_pj", "latency": "latency_s"}[arguments.metric]
    names = [row["name"] for row in _only_layer(cost.layer_rows(), arguments.layer)]
    places = [cost.workload.names.index(name) for name in names]
    terms = [
        {
            "formula": term.formula.id,
            "equation": term.formula.equation,
            "source": term.formula.source,
            "assumption": term.formula.assumption,
            "component": term.component,
            key: [float(term.value[place]) for place in places],
            "inputs": [
                {
                    "name": q.name,
                    "unit": q.unit,
                    "source": cost.target.sources.get(q.source),
                    "status": q.status or None,
                    "value": _values(q.value, places),
                }
                for q in term.inputs
            ],
        }
        for term in cost.terms
        if term.metric == key
    ]
    return {"schema": 1, "model": cost.workload.model, "target": cost.target.name, "layers": names, "terms": terms}


def _values(value: Any, places: list[int]) -> float | list[float]:
    return [float(value[place]) for place in places] if getattr(value, "ndim", 0) else float(value)


def check(arguments: argparse.Namespace) -> None:
    costs = run_estimates(arguments, arguments.model)
    rows: list[dict[str, Any]] = []
    for cost in costs:
        totals = cost.totals
        for item in arguments.max:
            kind, _, text = item.partition("=")
            if kind not in ("energy", "latency", "size"):
                raise InputError("--max", item, "energy=..., latency=... or size=...", "for example --max energy=5mJ")
            limit = parse_quantity(text, kind, f"--max {kind}")
            value = totals[{"energy": "energy_pj", "latency": "latency_s", "size": "weight_bytes"}[kind]]
            if value is None:
                raise InputError(f"--max {kind}", cost.target.name, "a target that models it", "leave this budget out")
            rows.append(
                {"target": cost.target.name, "budget": kind, "value": value, "limit": limit, "ok": value <= limit}
            )
        rows.append(
            {
                "target": cost.target.name,
                "budget": "fits",
                "value": float(cost.overflow_bits) / 8,
                "limit": 0.0,
                "ok": bool(cost.fits),
            }
        )
        if cost.partial:
            rows.append(
                {
                    "target": cost.target.name,
                    "budget": "complete",
                    "value": len(cost.unmodelled),
                    "limit": 0,
                    "ok": not arguments.strict,
                }
            )
    if arguments.json:
        print_json({"schema": 1, "model": arguments.model, "rows": rows, "ok": all(row["ok"] for row in rows)})
    else:
        show: Mapping[str, Any] = {"energy": energy, "latency": latency, "size": size, "fits": size, "complete": count}
        print(
            table(
                ["target", "budget", "value", "limit", ""],
                [
                    [
                        r["target"],
                        r["budget"],
                        show[r["budget"]](r["value"]),
                        show[r["budget"]](r["limit"]),
                        "ok" if r["ok"] else "EXCEEDED",
                    ]
                    for r in rows
                ],
            )
        )
    over = [row for row in rows if not row["ok"]]
    if over:
        said = [f"{row['budget']} on {row['target']} {_of(row)}" for row in over]
        raise BudgetExceededError(f"{arguments.model}: over budget: {', '.join(said)}")


def _of(row: Mapping[str, Any]) -> str:
    show: Mapping[str, Any] = {"energy": energy, "latency": latency, "size": size, "fits": size, "complete": count}
    return f"is {show[row['budget']](row['value'])} of {show[row['budget']](row['limit'])}"


def networks(arguments: argparse.Namespace) -> None:
    from .front import networks as list_networks

    rows = list_networks()
    if arguments.json:
        print_json({"schema": 1, "networks": rows})
        return
    print(
        table(
            ["network", "parameters", "MACs", "file", "error", "top-1", "data"],
            [
                [
                    r["name"],
                    count(r["parameters"]),
                    count(r["macs"]),
                    size(r["file_bytes"]),
                    f"{r['error_pct']:.2f} %" if r["error_pct"] is not None else "-",
                    f"{r['top1_pct']:.1f} %" if r["top1_pct"] is not None else "-",
                    r["dataset"],
                ]
                for r in rows
            ],
        )
    )


def targets(arguments: argparse.Namespace) -> None:
    from .front import targets as list_targets

    if arguments.action == "new":
        _new_target(arguments.file, arguments.kind)
        return
    rows = list_targets()
    if arguments.json:
        print_json({"schema": 1, "targets": rows})
        return
    columns = ("name", "kind", "mode", "runtime", "title")
    cells = [[r[column] or "" for column in columns] for r in rows]
    print(table(["target", "kind", "mode", "runtime", "what it is"], cells))


def _new_target(path: str | None, kind: str) -> None:
    """Write a commented template; never over a file that is there."""
    from .models.files import write_atomic
    from .simulator.target import target_template

    if path is None or not path.endswith(".toml"):
        raise InputError("targets new", path or "no file", "a file ending in .toml", "picojoule targets new mine.toml")
    if Path(path).exists():
        raise InputError(path, "a file that is there", "a new one", "name another file; nothing was changed")
    write_atomic(path, target_template(path, kind))
    print(f"{path}: every field is explained in it; try: picojoule estimate gemm:M=1,N=4096,K=9216 --target {path}")


def validate(arguments: argparse.Namespace) -> None:
    from .simulator.validate import validate as run_validation

    result = run_validation(arguments.target)
    if arguments.json:
        print_json(result.document())
        return
    print(result.text(rows=arguments.target is not None))
