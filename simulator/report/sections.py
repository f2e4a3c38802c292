"""The sections of a report that speak of one model on one target, or of several targets side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..cost import Cost
from ..figures import (
    comparison_figure,
    comparison_frame,
    fronts_figure,
    layer_energy_figure,
    memory_frame,
    roofline_figure,
    sram_dram_figure,
    traffic_figure,
    traffic_frame,
)
from ..figures.frames import keep, numbers
from ..target import ProcessorTarget
from .content import Block, Chart, Items, Section, Table, Text
from .wording import any_modelled, bytes_text, energy_text, interval_texts, percent, ratio_text, time_text

__all__ = ["comparison_section", "front_section", "layer_table", "memory_section", "target_section", "warnings"]

Document = Mapping[str, Any]
FRONT_ROWS = 8


def warnings(documents: Sequence[Document]) -> list[Text]:
    """What must not be overlooked: layers that are not modelled, networks that do not fit."""
    said = []
    for document in documents:
        name = f"{document['model']} on {document['target']}"
        if document["partial"]:
            reasons: dict[str, list[str]] = {}
            for layer in document["unmodelled"]:
                reasons.setdefault(layer["reason"], []).append(f"{layer['layer']} ({layer['kind']})")
            listed = "; ".join(f"{', '.join(layers)}: {reason}" for reason, layers in reasons.items())
            said.append(Text(f"Not modelled, and in no total: {name}. {listed}.", "warning"))
        if not document["fits"]:
            over = bytes_text(document["overflow_bytes"])
            said.append(Text(f"Does not fit: {name} is {over} larger than the memory for weights.", "warning"))
    return said


def _pair_row(document: Document, other: Document | None) -> tuple[str, ...]:
    totals = document["totals"]
    base = other["totals"] if other else {"energy_pj": None, "latency_s": None}
    same = other is None or {u["layer"] for u in document["unmodelled"]} == {u["layer"] for u in other["unmodelled"]}
    energy, time = interval_texts(document)
    return (
        document["target"] + (" (partial)" if document["partial"] else ""),
        document["model"],
        energy_text(totals["energy_pj"] if any_modelled(document) else None),
        energy,
        ratio_text(totals["energy_pj"], base["energy_pj"], "energy") if same else "",
        time_text(totals["latency_s"] if any_modelled(document) else None),
        time,
        ratio_text(totals["latency_s"], base["latency_s"], "time") if same else "",
        bytes_text(totals["weight_bytes"]),
        percent(totals["weight_density"]),
    )


def comparison_section(title: str, costs: Sequence[Cost], pairs: Sequence[tuple[Document, Document | None]]) -> Section:
    """One model on every target, beside the network it is compared with; `costs` of that network first."""
    headers = (
        "target", "model", "energy per batch", "interval", "against", "time per batch", "interval", "against",
        "weights on target", "weights kept",
    )  # fmt: skip
    rows: list[tuple[str, ...]] = []
    for document, other in pairs:
        if other is not None:
            rows.append(_pair_row(other, None))
        rows.append(_pair_row(document, other))
    kept = [place for place in range(len(headers)) if place < 2 or any(row[place] for row in rows)]
    table = Table(
        tuple(headers[place] for place in kept),
        tuple(dict.fromkeys(tuple(row[place] for place in kept) for row in rows)),
        left=(0, 1),
    )
    blocks: list[Block] = [
        Chart(
            comparison_figure(comparison_frame(costs)),
            "Energy and time of one batch on each target, logarithmic: what lies further left costs less. "
            "Whiskers, where there are any, are the intervals of the table.",
        ),
        table,
    ]
    return Section(title, tuple(blocks))


def memory_section(costs: Sequence[tuple[str, Cost]]) -> Section:
    """The same networks with weights from DRAM and from SRAM, on the 45 nm view."""
    target = costs[0][1].target
    caption = (
        "Arithmetic and memory accesses only. A network that is small enough to stay on the chip "
        "pays for reading its weights from SRAM instead of DRAM."
    )
    source = "; ".join(target.sources.values())
    rows = tuple((cost.workload.model, memory, energy_text(cost.totals["energy_pj"])) for memory, cost in costs)
    return Section(
        f"From DRAM and from SRAM ({target.title})",
        (
            Chart(sram_dram_figure(memory_frame(costs)), caption),
            Table(("model", "weights from", "energy per batch"), rows, left=(0, 1)),
            Text(f"Source: {source}.", "note"),
        ),
    )


def front_section(points: pd.DataFrame) -> Section:
    """The explored designs and those that nothing beats in both error and energy."""
    front = keep(points, points["front"])
    caption = (
        f"{len(points):,} designs, {len(front):,} of them on the Pareto front: no other design of the same network and "
        "target is at least as good in error, energy, time and file size, and better in one. Errors are measured on "
        "the validation split, without retraining; those of the front also on the test split, which chose nothing."
    )
    blocks: list[Block] = [Chart(fronts_figure(points), caption)]
    if "storage_bytes" in points and "target" in points:
        one = keep(points, points["target"] == points["target"].iloc[0])
        sizes = "The same weights by what they take in the file, whatever the target."
        blocks.append(Chart(fronts_figure(one, x="storage_bytes"), sizes))
    several = "network" in points and len(set(points["network"])) > 1
    names = [name for name in ("target", "bits", "density", "format") if name in points]
    names = ["network", *names] if several else names
    if len(front):
        shown = front.assign(order=numbers(front, "error_pct")).sort_values(
            [*(["target"] if "target" in front else []), "order", "energy_pj"], kind="stable"
        )
        keys = [name for name in ("network", "target") if name in shown]
        shown = shown.groupby(keys, observed=True).head(FRONT_ROWS) if keys else shown.head(FRONT_ROWS)
        blocks.append(_front_table(pd.DataFrame(shown), names, len(shown) < len(front)))
    return Section("Designs explored", tuple(blocks))


def _percentage(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.2f} %"


def _front_table(front: pd.DataFrame, names: list[str], shortened: bool) -> Table:
    rows = []
    for row in front.to_dict("records"):
        described = [f"{row[n]:.3g}" if isinstance(row[n], float) else str(row[n]) for n in names]
        time = row.get("latency_s")
        rows.append(
            (
                *described,
                *(_percentage(row.get(name)) for name in ("error_pct", "test_error_pct")),
                energy_text(row["energy_pj"]),
                time_text(None if time is None or time != time else time),
                bytes_text(row.get("storage_bytes")),
                bytes_text(row.get("weight_bytes")),
            )
        )
    caption = f"The {FRONT_ROWS} designs of least error on each target's front." if shortened else "The front."
    headers = (*names, "error, validation", "error, test", "energy", "time", "file", "weights on target")
    left = tuple(place for place, name in enumerate(names) if name in ("network", "target", "format"))
    return Table(headers, tuple(rows), left=left, caption=caption)


def layer_table(document: Document) -> Table:
    """One row per layer, by the estimate document."""
    total = document["totals"]["energy_pj"]
    rows = []
    for layer in document["layers"]:
        modelled, weights = layer["energy_pj"] is not None, layer["weight_elements"] > 0
        share = percent(layer["energy_pj"] / total) if modelled and total else "–"
        rows.append(
            (
                layer["name"],
                layer["kind"],
                f"{layer['macs']:,}",
                f"{layer['macs_performed']:,.0f}" if modelled else "not modelled",
                energy_text(layer["energy_pj"]),
                share,
                time_text(layer["latency_s"]),
                f"{layer['weight_elements']:,}" if weights else "–",
                percent(layer["weight_density"]) if weights else "–",
                str(layer["weight_bits"]) if weights else "–",
                bytes_text(layer["weight_bytes"]) if modelled and weights else "–",
                percent(layer["input_density"]),
                layer["executed_as"] or "–",
                layer["bound_by"] or "–",
            )
        )
    headers = (
        "layer", "kind", "MACs, dense", "MACs performed", "energy", "share", "time", "weights", "kept",
        "bits per weight", "stored on target", "inputs not 0", "executed as", "time set by",
    )  # fmt: skip
    return Table(headers, tuple(rows), left=(0, 1, 12, 13), caption="Per batch; every layer of the network.")


def component_table(document: Document) -> Table:
    """The numbers behind the stacked bars; a component that is zero everywhere is left out."""
    sums = document["energy_by_component_pj"]
    parts = [name for name in sums if sums[name]]
    rows = [
        (layer["name"], *(energy_text(layer["energy_by_component_pj"][part]) for part in parts))
        if layer["energy_pj"] is not None
        else (layer["name"], *("not modelled" for _ in parts))
        for layer in document["layers"]
    ]
    rows.append(("all", *(energy_text(sums[part]) for part in parts)))
    return Table(("layer", *parts), tuple(rows), caption="Energy per batch by component.")


def traffic_table(cost: Cost) -> Table:
    """Bytes per batch by memory level and operand."""
    rows = [
        (row["level"], row["operand"], bytes_text(row["read_bytes"]), bytes_text(row["write_bytes"]))
        for row in traffic_frame(cost).to_dict("records")
    ]
    return Table(("level", "operand", "read", "written"), tuple(rows), left=(0, 1), caption="Traffic per batch.")


def _key_numbers(document: Document) -> Table:
    totals = document["totals"]
    energy, time = interval_texts(document)
    some = any_modelled(document)
    rows = [
        ("energy per batch", energy_text(totals["energy_pj"] if some else None), energy),
        ("time per batch", time_text(totals["latency_s"] if some else None), time),
        ("MACs, dense", f"{totals['macs']:,}", "for the whole batch, zero padding counted"),
        ("MACs performed", f"{totals['macs_performed']:,.0f}", "padding of the format included"),
        ("weights on this target", bytes_text(totals["weight_bytes"]), "indices, pointers, codebooks, biases included"),
        ("file", bytes_text(totals["file_bytes"]), "the .pico on disk"),
        ("loaded once", bytes_text(totals["load_bytes"]), _load_text(totals)),
        ("DRAM traffic per batch", bytes_text(totals["dram_bytes"]), "read and written, steady state"),
        ("largest activations", bytes_text(totals["peak_activation_bytes"]), "alive at the same time"),
        ("weights kept", percent(totals["weight_density"]), f"weight positions: {document['basis']}"),
    ]
    return Table(("quantity", "value", "remark"), tuple(r for r in rows if r[1] != "–"), left=(0, 2))


def _load_text(totals: Mapping[str, Any]) -> str:
    if not totals["load_energy_pj"]:
        return "not in energy or time"
    time = f" and {time_text(totals['load_latency_s'])}" if totals["load_latency_s"] else ""
    return f"decoding takes {energy_text(totals['load_energy_pj'])}{time}, not in the figures above"


def target_section(cost: Cost, document: Document) -> list[Section]:
    """Everything about one model on one target, in sections of the third level."""
    interval = document["intervals"]
    basis = (
        f"Measurements fall inside an interval with a probability of {percent(interval['level'])}: {interval['basis']}."
        if interval
        else "No interval: this target has no set of measurements to take one from, or layers are missing."
    )
    split = ""
    if isinstance(cost.target, ProcessorTarget):
        split = " At most the total has been measured on this target; its split over components is assumed."
    name = f"{document['model']} on {cost.target.title}"
    blocks: list[Block] = [Text(f"Counted: {document['scope']}."), *warnings([document]), _key_numbers(document)]
    blocks.append(Text(basis, "note"))
    charts: list[Block] = [
        Chart(layer_energy_figure(cost.layers), f"Energy of each layer by component.{split}"),
        layer_table(document),
        *([component_table(document)] if any_modelled(document) else []),
        Chart(traffic_figure(traffic_frame(cost)), "Bytes read and written at each memory level."),
        *([traffic_table(cost)] if cost.traffic else []),
    ]
    if cost.has_latency:
        caption = "Speed of each layer against its arithmetic intensity, under the ceiling of the hardware."
        charts.append(Chart(roofline_figure(cost), caption))
    assumptions: tuple[Block, ...] = (Items(tuple(document["assumptions"])),)
    notes = tuple(cost.target.notes)
    if notes:
        assumptions = (*assumptions, Text("Notes of the target: " + " ".join(notes), "note"))
    return [
        Section(name, tuple(blocks)),
        Section("By layer and memory level", tuple(charts), 3),
        Section("Assumptions", assumptions, 3),
    ]
