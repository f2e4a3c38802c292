"""build_report: models and targets in, a Report out; every number comes from the estimate documents."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd

from ...models.errors import InputError
from ...models.graph import Graph, Parameter
from ...models.model import Model
from ..cost import Cost
from ..document import estimate_document
from ..estimate import ModelLike, TargetLike, as_model, estimate, estimate_many
from ..figures import layer_graph_figure
from ..figures.frames import keep
from ..target import AccessEnergyTarget
from .content import Block, Chart, Preformatted, Report, Section, Table, Text
from .sections import comparison_section, front_section, memory_section, target_section, warnings
from .size import size_section
from .sources import formula_table, source_table
from .wording import error_sentence, verdict

__all__ = ["build_report"]

DRAWN_NODES = 80
PROVENANCE_LENGTH = 200  # characters; a whole recipe is better read with `picojoule inspect`


def dense_twin(model: Model, cost: Cost) -> Model | None:
    """The same network with every weight kept, in fp32; None for a model that keeps all of them already."""
    if not model.coded and float(cost.workload.weight_density) == 1:
        return None
    parameters = {name: Parameter(parameter.shape) for name, parameter in model.graph.parameters.items()}
    graph: Graph = replace(model.graph, parameters=parameters)
    name = graph.name if graph.name != model.name else f"{model.name} (dense)"
    return Model(name, graph)


def _models(model_or_models: ModelLike | Sequence[ModelLike]) -> list[Model]:
    single = isinstance(model_or_models, str | os.PathLike | Model | Graph)
    chosen = [model_or_models] if single else list(model_or_models)  # type: ignore[list-item, arg-type]
    if not chosen:
        raise InputError("report", "no model", "at least one model", "for example lenet-300-100@deep-compression")
    return _apart([as_model(item) for item in chosen])  # type: ignore[arg-type]


def _apart(models: Sequence[Model]) -> list[Model]:
    """Models of one name, such as two files made from one network, are numbered: rows and markers go by name."""
    seen: dict[str, int] = {}
    named = []
    for model in models:
        seen[model.name] = seen.get(model.name, 0) + 1
        count = seen[model.name]
        named.append(model if count == 1 else replace(model, name=f"{model.name} ({count})"))
    return named


def _version() -> str:
    try:
        return metadata.version("picojoule")
    except metadata.PackageNotFoundError:
        return "unknown"


def build_report(
    model_or_models: ModelLike | Sequence[ModelLike],
    targets: Sequence[TargetLike],
    *,
    exploration: Any = None,
    against: ModelLike | None = None,
    command: str = "",
    version: str | None = None,
    batch: int = 1,
    energy: str = "default",
    residency: str = "warm",
) -> Report:
    """A report of every model on every target, beside `against` (default: the dense network in fp32).

    `exploration` is a DataFrame of points, or an object that has one as `points`; `command` is what
    reproduces the report. The same inputs give the same report: it carries no date.
    """
    if isinstance(targets, str) or not targets:
        raise InputError("report: targets", targets or "none", "a list of targets", 'for example ["eie"]')
    models = _models(model_or_models)
    settings = {"batch": batch, "energy": energy, "residency": residency}
    version = version if version is not None else _version()
    width = len(targets)
    costs = estimate_many(models, targets, **settings)
    other = as_model(against) if against is not None else None
    if other is not None and other.name in {model.name for model in models}:
        other = replace(other, name=f"{other.name} (against)")
    twins = [other or dense_twin(model, costs[place * width]) for place, model in enumerate(models)]
    baselines: list[Cost | None] = []
    for twin in twins:
        baselines += estimate_many([twin], targets, **settings) if twin is not None else [None] * width
    documents = [estimate_document(cost, version) for cost in costs]
    others = [estimate_document(cost, version) if cost is not None else None for cost in baselines]
    pairs = list(zip(documents, others, strict=True))
    points = _points(exploration, {cost.target.name for cost in costs})
    sections = [
        _verdict_section(costs, documents, others),
        *_comparisons(models, costs, baselines, pairs),
        *(section for model in models if (section := size_section(model)) is not None),
        *([front_section(points)] if points is not None and len(points) else []),
        *_memory_sections(models, twins, costs[:width], batch, energy),
        *(section for c, d in zip(costs, documents, strict=True) for section in target_section(c, d)),
        *(_network_section(model, costs[place * width]) for place, model in enumerate(models)),
        *_source_sections(costs[:width]),
        _reproduce_section(command, version, models),
    ]
    title = f"{', '.join(model.name for model in models)}: what one inference costs"
    kept = [d for d in others if d is not None]
    kept_costs = [cost for cost in baselines if cost is not None]
    return Report(title, tuple(sections), (*costs, *kept_costs), (*documents, *kept), version, command)


def _comparisons(
    models: Sequence[Model],
    costs: Sequence[Cost],
    baselines: Sequence[Cost | None],
    pairs: Sequence[tuple[dict, dict | None]],
) -> list[Section]:
    """One section a model; its baseline comes first, so that the figure's ratios refer to it."""
    width = len(costs) // len(models)
    sections = []
    for place, model in enumerate(models):
        mine = slice(place * width, (place + 1) * width)
        title = "On each target" if len(models) == 1 else f"{model.name} on each target"
        both = [*(cost for cost in baselines[mine] if cost is not None), *costs[mine]]
        sections.append(comparison_section(title, both, pairs[mine]))
    return sections


def _points(exploration: Any, targets: set[str]) -> pd.DataFrame | None:
    if exploration is None:
        return None
    points = exploration if isinstance(exploration, pd.DataFrame) else exploration.points
    if "target" not in points:
        return points
    return keep(points, [target in targets for target in points["target"]])


def _verdict_section(costs: Sequence[Cost], documents: Sequence[dict], others: Sequence[dict | None]) -> Section:
    said = [Text(verdict(*each), "lead") for each in zip(documents, others, strict=True)]
    models = dict.fromkeys(document["model"] for document in documents)
    said += [Text(error_sentence(model, costs, documents), "lead") for model in models]
    return Section("Verdict", (*said, *warnings(documents), *_activation_note(documents, others)))


def _activation_note(documents: Sequence[dict], others: Sequence[dict | None]) -> list[Text]:
    """Where two sides of a comparison take different activations for granted, the reader is told."""
    bases: dict[str, str] = {}
    for document in (*documents, *others):
        if document is not None:
            bases[document["model"]] = document["activation_density_basis"]
    if len(set(bases.values())) < 2:
        return []
    said = "; ".join(f"{model}: {basis}" for model, basis in bases.items())
    return [
        Text(
            f"Fraction of activations that are not zero: {said}. On hardware that skips zero activations, part of the "
            "difference comes from that.",
            "note",
        )
    ]


def _memory_sections(
    models: Sequence[Model], twins: Sequence[Model | None], costs: Sequence[Cost], batch: int, energy: str
) -> list[Section]:
    """SRAM against DRAM, if a target is a view of energy per access."""
    found = []
    for cost in costs:
        if not isinstance(cost.target, AccessEnergyTarget):
            continue
        rows = []
        for model in dict.fromkeys([*(twin for twin in twins if twin is not None), *models]):
            for memory, residency in (("DRAM", "cold"), ("SRAM", "warm")):
                found_cost = estimate(model, cost.target, batch=batch, energy=energy, residency=residency)
                overflows = memory == "SRAM" and float(np.sum(found_cost.dram_bits)) > 0
                rows.append(("DRAM, too big" if overflows else memory, found_cost))
        found.append(memory_section(rows))
    return found


def _network_section(model: Model, cost: Cost) -> Section:
    nodes = len(model.graph.nodes)
    if nodes > DRAWN_NODES:
        return Section(f"The network {model.graph.name}", (Text(f"{nodes} operators, too many to draw here."),))
    rows = {row["name"]: row["energy_pj"] for row in cost.layer_rows()}
    caption = f"{nodes} operators, coloured by their energy on {cost.target.name}."
    return Section(f"The network {model.graph.name}", (Chart(layer_graph_figure(model.graph, rows), caption),))


def _source_sections(costs: Sequence[Cost]) -> list[Section]:
    parts = [Section("Sources", (Text("Every constant that the figures above rest on."),))]
    for cost in costs:
        parts.append(Section(cost.target.title, (source_table(cost), formula_table(cost)), 3))
    return parts


def _reproduce_section(command: str, version: str, models: Sequence[Model]) -> Section:
    rows = [
        (model.name, key, str(value))
        for model in models
        for key, value in sorted(model.provenance.items())
        if len(str(value)) <= PROVENANCE_LENGTH
    ]
    blocks: list[Block] = [Preformatted(command or "(not recorded)"), Text(f"picojoule {version}", "note")]
    if rows:
        headers = ("model", "made with", "value")
        blocks.append(Table(headers, tuple(rows), left=(0, 1, 2), caption="How the weights were made."))
    return Section("How to make this report again", tuple(blocks))
