"""Dense against compressed on several targets: energy and time, with intervals where a target has them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..explain import format_si
from .frames import keep, numbers
from .style import AXES, INK, Axis, empty_figure, log_axis, plain, target_styles, template, times

__all__ = ["comparison_figure"]

PANELS = (("energy_pj", "energy_low_pj", "energy_high_pj"), ("latency_s", "latency_low_s", "latency_high_s"))
SYMBOLS = ("circle-open", "circle", "diamond-open", "diamond", "square-open", "square")
ROW_PX = 34


def comparison_figure(rows: pd.DataFrame) -> go.Figure:
    """Energy above time, one line per target, one marker per model: from `comparison_frame`.

    The first model of `rows` is the open marker that the ratios refer to; whiskers are intervals.
    """
    if not len(rows):
        return empty_figure("No costs to compare")
    targets, models = list(dict.fromkeys(rows["target"])), list(dict.fromkeys(rows["model"]))
    figure = make_subplots(rows=2, cols=1, vertical_spacing=0.0)
    figure.update_layout(template=template(), height=280 + 2 * ROW_PX * (len(targets) + 1))
    for place, (value, low, high) in enumerate(PANELS, 1):
        _links(figure, rows, targets, models, value, place)
        for model in models:
            _markers(figure, rows, targets, models, model, (value, low, high), place)
        axis = AXES[value]
        seen = [numbers(rows, name) for name in (value, low, high) if name in rows]
        drawn = np.concatenate(seen) * axis.scale
        figure.update_xaxes(_wide(log_axis(Axis(axis.title, axis.unit), drawn)), row=place, col=1)
        _missing(figure, rows, targets, value, place)
    ticks = [f"{plain(t, 22)}{' *' if _partial(rows, t) else ''}" for t in targets]
    figure.update_yaxes(
        tickmode="array", tickvals=list(range(len(targets))), ticktext=ticks, range=[len(targets) - 0.4, -0.6]
    )
    figure.update_yaxes(zeroline=False, ticks="")
    figure.update_layout(yaxis={"domain": [0.6, 1]}, yaxis2={"domain": [0, 0.4]}, margin={"b": 80})
    if any(_partial(rows, target) for target in targets):
        figure.add_annotation(
            text="* without the layers that are not modelled",
            x=1, y=0, xref="paper", yref="paper", xanchor="right", yshift=-62, showarrow=False, font={"size": 12},
        )  # fmt: skip
    return figure


def _partial(rows: pd.DataFrame, target: str) -> bool:
    return "partial" in rows and bool(rows.loc[rows["target"] == target, "partial"].any())


def _wide(settings: dict) -> dict:
    """Room for the ratios at the right-hand end."""
    if "range" in settings:
        low, high = settings["range"]
        settings["range"] = [low, high + 0.12 * (high - low)]
    return settings


def _links(figure: go.Figure, rows: pd.DataFrame, targets: list, models: list, value: str, place: int) -> None:
    """A line from the first model to the last on each target, and the ratio between the two."""
    if len(models) < 2:
        return
    scale = AXES[value].scale
    for row, target in enumerate(targets):
        mine = keep(rows, rows["target"] == target)
        if "unmodelled" in mine and len(set(mine["unmodelled"])) > 1:
            continue  # the two leave out different layers, so their ratio says nothing
        found = dict(zip(mine["model"], numbers(mine, value) * scale, strict=True))
        first, last = found.get(models[0], np.nan), found.get(models[-1], np.nan)
        if not (np.isfinite(first) and np.isfinite(last) and first > 0 and last > 0):
            continue
        figure.add_scatter(
            x=[first, last], y=[row, row], mode="lines", line={"color": "#8C959F", "width": 2},
            showlegend=False, hoverinfo="skip", row=place, col=1,
        )  # fmt: skip
        ratio = first / last
        text = f"{times(ratio)} less" if ratio >= 1 else f"{times(1 / ratio)} more"
        figure.add_annotation(
            x=np.log10(np.sqrt(first * last)), y=row, text=text, showarrow=False, yshift=11, font={"size": 12},
            row=place, col=1,
        )  # fmt: skip


def _markers(
    figure: go.Figure,
    rows: pd.DataFrame,
    targets: list,
    models: list,
    model: str,
    columns: tuple[str, str, str],
    place: int,
) -> None:
    value, low, high = columns
    axis, styles = AXES[value], target_styles(targets)
    mine = keep(rows, (rows["model"] == model) & np.isfinite(numbers(rows, value)))
    drawn = numbers(mine, value) * axis.scale
    whiskers = None
    if low in mine and np.isfinite(numbers(mine, low)).any():
        whiskers = {
            "type": "data", "symmetric": False, "color": INK, "thickness": 1.5, "width": 5,
            "array": np.nan_to_num(numbers(mine, high) * axis.scale - drawn),
            "arrayminus": np.nan_to_num(drawn - numbers(mine, low) * axis.scale),
        }  # fmt: skip
    name, symbol = plain(model, 40), SYMBOLS[models.index(model) % len(SYMBOLS)]
    colours = [styles[target][0] for target in mine["target"]]
    if place == 1:
        neutral = {"symbol": symbol, "size": 12, "color": INK, "line": {"width": 2.5, "color": INK}}
        figure.add_scatter(x=[None], y=[None], mode="markers", name=name, legendgroup=name, marker=neutral)
    figure.add_scatter(
        x=drawn,
        y=[targets.index(target) for target in mine["target"]],
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=False,
        error_x=whiskers,
        marker={
            "symbol": symbol,
            "size": 12,
            "color": colours,
            "line": {"width": 2.5, "color": colours},
        },
        customdata=[[plain(t), format_si(v, axis.unit)] for t, v in zip(mine["target"], drawn, strict=True)],
        hovertemplate=f"{name} on %{{customdata[0]}}<br>%{{customdata[1]}}<extra></extra>",
        row=place,
        col=1,
    )


def _missing(figure: go.Figure, rows: pd.DataFrame, targets: list, value: str, place: int) -> None:
    for row, target in enumerate(targets):
        if not np.isfinite(numbers(keep(rows, rows["target"] == target), value)).any():
            axis = "" if place == 1 else str(place)
            text = "energy is not modelled" if value == "energy_pj" else "time is not modelled"
            figure.add_annotation(
                text=text, x=0.5, xref=f"x{axis} domain", y=row, yref=f"y{axis}",
                showarrow=False, font={"color": "#57606A"},
            )  # fmt: skip
    if not np.isfinite(numbers(rows, value)).any():
        figure.update_xaxes(showticklabels=False, showgrid=False, ticks="", minor={"ticks": ""}, row=place, col=1)
