"""What is shown of a design: numbers with full precision in their tooltips, tables, figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from dash import html

from ..simulator.cost import Cost
from ..simulator.explain import format_si
from ..simulator.explore.accuracy import Measured, binomial_interval
from ..simulator.figures import (
    front_figure,
    layer_energy_figure,
    layer_graph_figure,
    roofline_figure,
    traffic_figure,
    traffic_frame,
)
from ..simulator.figures.frames import keep
from ..simulator.validate import Validation, ValidationRow
from .designs import Choice, cost_of, model_of

__all__ = [
    "design_figures",
    "error_text",
    "front_note",
    "front_view",
    "layer_rows",
    "numbers",
    "pinned_table",
    "sized",
    "table",
    "validation_rows",
    "validation_summary",
]

WORST = 10  # rows of one line of the summary; picojoule validate prints all


def _si(value: float | None, unit: str, scale: float = 1.0) -> str:
    return "not modelled" if value is None else format_si(value * scale, unit)


def error_text(row: Measured | None) -> str:
    """A measured error with its 95 % interval, or that there is none."""
    if row is None:
        return "not measured"
    low, high = binomial_interval(row.wrong, row.n)
    return f"{row.error_pct:.2f} % (95 %: {100 * float(low):.2f} to {100 * float(high):.2f} %)"


def _number(name: str, label: str, shown: str, exact: Any, remark: str = "") -> html.Div:
    """One figure; `exact` is the value of `picojoule estimate --json`, readable as data-value."""
    precise: Any = {"data-value": str(exact)}
    value = html.Dd([html.Span(shown, id=f"number-{name}", title=str(exact), **precise)])
    return html.Div([html.Dt(label), value, html.Dd(remark, className="note")])


def numbers(cost: Cost, error: Measured | None) -> html.Dl:
    """The totals of a design."""
    totals, intervals = cost.totals, cost.intervals
    remarks = {"energy_pj": "", "latency_s": ""}
    if intervals:
        for key, unit, scale in (("energy_pj", "J", 1e-12), ("latency_s", "s", 1.0)):
            low, high = intervals[key]
            remarks[key] = f"{intervals['level']:.0%}: {_si(low, unit, scale)} to {_si(high, unit, scale)}"
    missing = ", ".join(layer.layer for layer in cost.unmodelled)
    if missing:
        remarks["energy_pj"] = f"without {missing}: not modelled here"
    fits = "fits" if bool(cost.fits) else f"DOES NOT FIT: {_si(float(cost.overflow_bits) / 8, 'B')} too many"
    time = totals["latency_s"]
    validation, shown_error = "press the button below", "not measured"
    if error:
        shown_error, spread = error_text(error).split(" (", 1)
        validation = f"{spread.rstrip(')')}; {error.n:,} {error.split} images, not retrained"
    decoding = "not in energy or time"
    if totals["load_latency_s"]:
        decoding = f"{_si(totals['load_energy_pj'], 'J', 1e-12)} and {_si(totals['load_latency_s'], 's')} to decode"
    return html.Dl(
        [
            _number("energy_pj", "Energy", _si(totals["energy_pj"], "J", 1e-12), totals["energy_pj"],
                    remarks["energy_pj"]),
            _number("latency_s", "Time", _si(time, "s"), time, remarks["latency_s"]),
            _number("error_pct", "Error", shown_error, error.error_pct if error else None, validation),
            _number("weight_bytes", "Weights on the target", _si(totals["weight_bytes"], "B"),
                    totals["weight_bytes"], fits),
            _number("load_bytes", "Loaded once", _si(totals["load_bytes"], "B"), totals["load_bytes"], decoding),
            _number("dram_bytes", "DRAM traffic", _si(totals["dram_bytes"], "B"), totals["dram_bytes"]),
            _number("weight_density", "Weights kept", f"{100 * totals['weight_density']:.3g} %",
                    totals["weight_density"]),
        ],
        className="numbers",
    )  # fmt: skip


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], words: Sequence[int] = ()) -> html.Table:
    """A plain table; the first column names the row, the columns in `words` hold text, the others numbers."""
    kinds = ["words" if place == 0 or place in words else "number" for place in range(len(headers))]
    head = [html.Th(text, scope="col", className=kind) for text, kind in zip(headers, kinds, strict=True)]
    body = []
    for row in rows:
        cells = [html.Td(cell, className=kind) for cell, kind in zip(row[1:], kinds[1:], strict=True)]
        body.append(html.Tr([html.Th(row[0], scope="row", className="words"), *cells]))
    return html.Table([html.Thead(html.Tr(head)), html.Tbody(body)])


def layer_rows(cost: Cost) -> html.Table:
    """One row per layer, as `picojoule estimate` prints it."""
    rows = []
    for row in cost.layer_rows():
        known = row["modelled"]
        rows.append(
            [
                row["name"],
                row["kind"],
                f"{row['macs']:,}",
                f"{row['macs_performed']:,.0f}" if known else "–",
                _si(row["energy_pj"], "J", 1e-12),
                _si(row["latency_s"], "s"),
                _si(row["weight_bytes"], "B") if known else "–",
                f"{100 * row['weight_density']:.3g} %" if row["weight_elements"] else "–",
                row["executed_as"] or "–",
                row["bound_by"] or "–",
            ]
        )
    headers = ("layer", "kind", "MACs", "performed", "energy", "time", "weights", "kept", "runs as", "time set by")
    return table(headers, rows, (1, 8, 9))


def design_figures(choice: Choice) -> tuple[go.Figure, go.Figure, go.Figure, go.Figure]:
    """Energy by layer, roofline, network, traffic."""
    cost = cost_of(choice)
    energies = {row["name"]: row["energy_pj"] for row in cost.layer_rows()}
    graph = layer_graph_figure(model_of(choice.network).graph, energies)
    return (
        layer_energy_figure(cost.layers), roofline_figure(cost), graph, traffic_figure(traffic_frame(cost)),
    )  # fmt: skip


def sized(figure: go.Figure) -> tuple[go.Figure, dict[str, str]]:
    """A figure and the style of its place: as wide as there is room, as high as the figure asks."""
    height: Any = figure.layout.height  # pyright: ignore[reportAttributeAccessIssue]
    return figure.update_layout(height=None, autosize=True), {"height": f"{height}px"}


def _shown(points: pd.DataFrame, network: str, target: str) -> pd.DataFrame:
    kept = (points["network"] == network).to_numpy(bool) & (points["target"] == target).to_numpy(bool)
    return keep(points, kept)


def front_view(points: pd.DataFrame, network: str, target: str, across: str, selected: str | None) -> go.Figure:
    """The designs of one network on one target: a density, the front, the selected one ringed."""
    figure = front_figure(_shown(points, network, target), x=across, selected=selected, individual=0)
    return figure.update_layout(uirevision=f"{network}/{target}/{across}", clickmode="event")


def front_note(points: pd.DataFrame, network: str, target: str) -> str:
    """How many designs there are, how many nothing beats, and what is missing from all of them."""
    mine = _shown(points, network, target)
    on_front = np.count_nonzero(mine["front"].to_numpy(bool))
    said = f"{len(mine):,} designs, {on_front:,} on the front of error, energy, time and file size. "
    if len(mine) and bool(mine["partial"].iloc[0]):
        said += "Layers that this target cannot run are not counted. "
    return said + "Click a mark to see that design."


def pinned_table(pinned: Sequence[dict[str, Any]], errors: Sequence[Measured | None]) -> html.Div | html.Table:
    """Pinned designs side by side."""
    if not pinned:
        return html.Div("Nothing is pinned: press Pin to keep a design here and compare others with it.")
    rows = []
    for item, error in zip(pinned, errors, strict=True):
        choice = Choice(**item)
        totals = cost_of(choice).totals
        rows.append(
            [
                choice.network, choice.target, choice.bits, f"{choice.density_pct:g} %", choice.storage,
                error_text(error), _si(totals["energy_pj"], "J", 1e-12), _si(totals["latency_s"], "s"),
                _si(totals["weight_bytes"], "B"),
            ]
        )  # fmt: skip
    headers = ("network", "target", "bits", "kept", "stored as", "error", "energy", "time", "weights on target")
    return table(headers, rows, (1, 4))


def validation_summary(found: Validation) -> html.Table:
    """Errors by target and metric."""
    rows = [
        [
            row["target"], row["metric"], row["mode"], row["n"],
            *(f"{row[key]:.1%}" for key in ("median", "p90", "worst")), row["within_10_pct"], row["within_15_pct"],
        ]
        for row in found.summary()
    ]  # fmt: skip
    headers = ("target", "metric", "mode", "n", "median error", "90th percentile", "worst", "<= 10 %", "<= 15 %")
    return table(headers, rows, (1, 2))


def validation_rows(found: Validation) -> html.Table:
    """Published figures beside their predictions: of each target, metric and mode the worst."""
    groups: dict[tuple[str, str, str], list[ValidationRow]] = {}
    for row in found.rows:
        groups.setdefault((row.target, row.metric, row.mode), []).append(row)
    shown = [row for group in groups.values() for row in sorted(group, key=lambda row: -row.error)[:WORST]]
    rows = [
        [
            row.target, row.metric, row.case, _si(row.measured, row.unit), _si(row.predicted, row.unit),
            f"{row.error:.1%}", row.source,
        ]
        for row in shown
    ]  # fmt: skip
    return table(("target", "metric", "case", "measured", "predicted", "error", "source"), rows, (1, 2, 6))
