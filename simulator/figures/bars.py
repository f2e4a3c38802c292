"""Figures of bars: energy by layer, traffic by level, the size ladder, SRAM against DRAM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ..explain import format_si
from ..terms import COMPONENTS
from .frames import ladder_frame, numbers
from .style import (
    COMPONENT_COLOURS,
    COMPONENT_NAMES,
    OKABE_ITO,
    OPERAND_COLOURS,
    UNMODELLED,
    empty_figure,
    plain,
    template,
    times,
    unit_for,
)

if TYPE_CHECKING:
    from ..ladder import Rung

__all__ = ["layer_energy_figure", "size_ladder_figure", "sram_dram_figure", "traffic_figure"]

ROW_PX, FRAME_PX = 30, 150
LABEL = 26


def _rows_axis(labels: list[str]) -> dict[str, Any]:
    """A vertical axis of rows, the first on top, from escaped labels; beneath they are numbers, so any name will do."""
    places = list(range(len(labels)))
    return {
        "tickmode": "array",
        "tickvals": places,
        "ticktext": [f"{label}\u00a0" for label in labels],
        "range": [len(labels) - 0.5, -0.5],
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
    }


def _stack(figure: go.Figure, frame: pd.DataFrame, unit_scale: float, names: list[str]) -> None:
    """One trace per component that is not zero everywhere; pJ become `unit_scale` joules."""
    rows = np.arange(len(frame))
    for component in COMPONENTS:
        column = f"energy_{component}_pj"
        if column not in frame or not np.nansum(np.abs(numbers(frame, column))):
            continue
        values = numbers(frame, column)
        shown = [[name, format_si(value * 1e-12, "J")] for name, value in zip(names, values, strict=True)]
        figure.add_bar(
            y=rows,
            x=values * 1e-12 / unit_scale,
            orientation="h",
            name=COMPONENT_NAMES[component],
            marker={"color": COMPONENT_COLOURS[component], "line": {"color": "#FFFFFF", "width": 1}},
            customdata=shown,
            hovertemplate=f"%{{customdata[0]}}<br>{COMPONENT_NAMES[component]}: %{{customdata[1]}}<extra></extra>",
        )


def _totals(figure: go.Figure, values: np.ndarray, texts: list[str]) -> None:
    """Text at the end of each bar, in the same units as the axis."""
    figure.add_scatter(
        y=np.arange(len(values)),
        x=values,
        mode="text",
        text=[f" {text}" if text else "" for text in texts],
        textposition="middle right",
        cliponaxis=False,
        showlegend=False,
        hoverinfo="skip",
        name="totals",
    )


def layer_energy_figure(layers: pd.DataFrame) -> go.Figure:
    """Energy per batch of each layer, stacked by component: from `Cost.layers`.

    A layer that the target cannot run has a hatched row across the whole plot instead of a bar.
    """
    if not len(layers):
        return empty_figure("No layers")
    modelled = np.asarray(layers["modelled"], bool) if "modelled" in layers else np.ones(len(layers), bool)
    frame = layers.copy()
    parts = [name for name in (f"energy_{c}_pj" for c in COMPONENTS) if name in frame]
    frame.loc[~modelled, parts] = np.nan
    totals = np.asarray(frame[parts].sum(axis=1, min_count=1), float)
    names = [plain(name) for name in frame["name"]]
    largest = float(np.nanmax(totals)) if modelled.any() else 0.0
    unit = unit_for(largest * 1e-12, "J")
    figure = go.Figure(layout={"template": template(), "barmode": "stack", "height": FRAME_PX + ROW_PX * len(frame)})
    _stack(figure, frame, unit.scale, names)
    shown = totals * 1e-12 / unit.scale
    _totals(figure, shown, ["" if np.isnan(v) else format_si(v * 1e-12, "J") for v in totals])
    if not modelled.all():
        _unmodelled_rows(figure, np.flatnonzero(~modelled), [names[place] for place in np.flatnonzero(~modelled)])
    top = largest * 1e-12 / unit.scale or 1.0
    figure.update_yaxes(_rows_axis([plain(name, LABEL) for name in frame["name"]]))
    figure.update_layout(xaxis={"title": {"text": f"Energy per batch ({unit.name})"}, "range": [0, top * 1.28]})
    return figure


def _unmodelled_rows(figure: go.Figure, rows: np.ndarray, names: list[str]) -> None:
    """Hatched bands on an axis of their own, so that their length is nobody's energy."""
    figure.add_bar(
        y=rows,
        x=np.ones(len(rows)),
        xaxis="x2",
        orientation="h",
        name="not modelled (not in the totals)",
        marker={
            "color": "#F3F4F6",
            "line": {"color": UNMODELLED, "width": 1},
            "pattern": {"shape": "/", "fgcolor": UNMODELLED, "size": 6, "solidity": 0.2},
        },
        customdata=[[name] for name in names],
        hovertemplate="%{customdata[0]}<br>not modelled: not in the totals, not free<extra></extra>",
    )
    figure.update_layout(xaxis2={"overlaying": "x", "range": [0, 1], "visible": False, "fixedrange": True})
    for row in rows:
        figure.add_annotation(
            x=0.5, xref="paper", y=int(row), text="not modelled", showarrow=False, bgcolor="#FFFFFF", borderpad=2
        )


def traffic_figure(by_level: pd.DataFrame | Mapping[str, float]) -> go.Figure:
    """Bytes per batch by memory level and operand: from `traffic_frame`, or {level: bytes} of a document."""
    if isinstance(by_level, Mapping):
        rows = [{"level": k, "operand": "all", "read_bytes": v, "write_bytes": 0.0} for k, v in by_level.items()]
        by_level = pd.DataFrame(rows, columns=["level", "operand", "read_bytes", "write_bytes"])
    frame = by_level.assign(bytes=numbers(by_level, "read_bytes") + numbers(by_level, "write_bytes"))
    levels = list(dict.fromkeys(frame["level"]))
    level_of = np.array([levels.index(level) for level in frame["level"]], int)
    sums = np.bincount(level_of, numbers(frame, "bytes"), len(levels))
    if not sums.any():
        return empty_figure("No bytes move between memory levels")
    unit = unit_for(float(sums.max()), "B")
    figure = go.Figure(layout={"template": template(), "barmode": "stack", "height": FRAME_PX + 44 * len(levels)})
    for operand, rows in frame.groupby("operand", sort=False):
        shown = [
            [plain(level), format_si(read, "B"), format_si(write, "B")]
            for level, read, write in zip(rows["level"], rows["read_bytes"], rows["write_bytes"], strict=True)
        ]
        label = {"all": "all operands"}.get(str(operand), f"{operand}s")
        figure.add_bar(
            y=np.array([levels.index(level) for level in rows["level"]]),
            x=numbers(rows, "bytes") / unit.scale,
            orientation="h",
            name=label,
            marker={
                "color": OPERAND_COLOURS.get(str(operand), OKABE_ITO["blue"]),
                "line": {"color": "#57606A", "width": 0.5},
            },
            customdata=shown,
            hovertemplate=(
                f"%{{customdata[0]}}, {label}<br>read %{{customdata[1]}}<br>written %{{customdata[2]}}<extra></extra>"
            ),
        )
    _totals(figure, sums / unit.scale, [format_si(value, "B") if value else "nothing" for value in sums])
    figure.update_yaxes(_rows_axis([plain(level, LABEL) for level in levels]))
    figure.update_layout(
        xaxis={"title": {"text": f"Bytes moved per batch ({unit.name})"}, "range": [0, sums.max() / unit.scale * 1.28]}
    )
    return figure


def size_ladder_figure(ladder: pd.DataFrame | Iterable[Rung]) -> go.Figure:
    """Bytes of all parameters after each step, beside the paper's where it printed them; ratios as labels."""
    frame = ladder if isinstance(ladder, pd.DataFrame) else ladder_frame(ladder)
    if not len(frame):
        return empty_figure("No size ladder: the weights are not compressed")
    ours = numbers(frame, "bytes")
    papers = numbers(frame, "paper_bytes")
    unit = unit_for(float(np.nanmax(np.r_[ours, papers])), "B")
    has_paper = bool(np.isfinite(papers).any())
    figure = go.Figure(layout={"template": template(), "height": FRAME_PX + 56 * len(frame), "barmode": "overlay"})
    sets = [("this model", ours, frame["ratio"], OKABE_ITO["blue"], -0.19 if has_paper else 0.0)]
    if has_paper:
        sets.append(("Han et al., ICLR 2016", papers, numbers(frame, "paper_ratio"), OKABE_ITO["orange"], 0.19))
    for name, values, ratios, colour, shift in sets:
        texts = [
            "" if np.isnan(v) else f"{format_si(v, 'B')}  ({times(r)})" for v, r in zip(values, ratios, strict=True)
        ]
        figure.add_bar(
            y=np.arange(len(frame)) + shift,
            x=values / unit.scale,
            width=0.34 if has_paper else 0.6,
            orientation="h",
            name=name,
            marker={"color": colour},
            text=texts,
            textposition="outside",
            cliponaxis=False,
            customdata=[[plain(step), plain(how, 120)] for step, how in zip(frame["step"], frame["how"], strict=True)],
            hovertemplate=f"%{{customdata[0]}}, {name}<br>%{{text}}<br>%{{customdata[1]}}<extra></extra>",
        )
    figure.update_yaxes(_rows_axis([plain(step, LABEL) for step in frame["step"]]))
    top = float(np.nanmax(np.r_[ours, papers])) / unit.scale
    figure.update_layout(xaxis={"title": {"text": f"Bytes of all parameters ({unit.name})"}, "range": [0, top * 1.35]})
    return figure


def sram_dram_figure(rows: pd.DataFrame) -> go.Figure:
    """The same networks with weights read from DRAM and from SRAM, by component: from `memory_frame`."""
    if not len(rows):
        return empty_figure("No costs to compare")
    totals = numbers(rows, "energy_pj")
    unit = unit_for(float(totals.max()) * 1e-12, "J")
    pairs = list(zip(rows["model"], rows["memory"], strict=True))
    names = [f"{plain(model)}, weights from {plain(memory)}" for model, memory in pairs]
    figure = go.Figure(
        layout={"template": template(), "barmode": "stack", "height": FRAME_PX + 56 * len(rows), "bargap": 0.55}
    )
    _stack(figure, rows, unit.scale, names)
    least = float(totals.min())
    texts = [f"{format_si(v * 1e-12, 'J')}  ({times(v / least)})" if least else format_si(0, "J") for v in totals]
    _totals(figure, totals * 1e-12 / unit.scale, texts)
    for row, (model, memory) in enumerate(pairs):
        label = f"{plain(model, 32)}, from {plain(memory, 12)}"  # as long as a phone is wide
        figure.add_annotation(
            text=label, x=0, y=row - 0.4, xanchor="left", showarrow=False, font={"size": 12}, xshift=2, borderpad=0
        )
    figure.update_yaxes(_rows_axis([""] * len(rows)))
    top = float(totals.max()) * 1e-12 / unit.scale or 1.0
    figure.update_layout(xaxis={"title": {"text": f"Energy per batch ({unit.name})"}, "range": [0, top * 1.55]})
    return figure
