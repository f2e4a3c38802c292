"""The cloud of designs and its Pareto front."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..explain import format_si
from .frames import keep, numbers
from .style import AXES, OKABE_ITO, Axis, empty_figure, log_axis, plain, target_styles, template

__all__ = ["DETAILS", "front_figure", "fronts_figure"]

BINS_X, BINS_Y = 72, 48
DENSITY_SCALE = [[0.0, "#EEF1F4"], [1.0, "#7D8794"]]
# What hovering tells, in this order behind the design's id; columns that a frame lacks are left out.
DETAILS = (
    "target", "network", "bits", "density", "format", "energy_pj", "latency_s", "storage_bytes", "error_pct", "fits",
)  # fmt: skip
HEIGHT = 460


def _shown(column: str, value: Any) -> str:
    """A value of a point as hover text."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return "not known"
    if isinstance(value, Iterable):
        return plain(", ".join(_shown(column, item) for item in value))
    axis = AXES.get(column, Axis(column, ""))
    if axis.unit in ("J", "s", "B"):
        return format_si(float(value) * axis.scale, axis.unit)
    return f"{float(value):.3g}" + (" %" if axis.unit == "%" else "")


def _identity(value: Any) -> Any:
    """A design's id as a plain Python value."""
    return value.item() if isinstance(value, np.generic) else value


def _customdata(rows: pd.DataFrame) -> list[list[Any]]:
    """Plain lists, the design's id first, then one HTML-escaped text per point."""
    columns = [name for name in DETAILS if name in rows]
    labels = {
        "energy_pj": "energy", "latency_s": "time", "error_pct": "error", "bits": "bits per weight",
        "storage_bytes": "file",
    }  # fmt: skip
    data = []
    identities: Iterable[Any] = rows["design"] if "design" in rows else rows.index  # noqa: SIM401
    for identity, values in zip(identities, rows[columns].itertuples(index=False, name=None), strict=True):
        lines = [f"{labels.get(n, n)}: {_shown(n, v)}" for n, v in zip(columns, values, strict=True)]
        data.append([_identity(identity), "<br>".join(lines)])
    return data


def _axis_of(column: str) -> Axis:
    return AXES.get(column, Axis(column, ""))


def _drawn(points: pd.DataFrame, column: str) -> np.ndarray:
    return numbers(points, column) * _axis_of(column).scale


def _edges(values: np.ndarray, bins: int, log: bool) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if log:
        return np.geomspace(low * 0.97, high * 1.03, bins + 1)
    pad = 0.02 * (high - low) or 0.5
    return np.linspace(low - pad, high + pad, bins + 1)


def _density(x: np.ndarray, y: np.ndarray, log_x: bool, log_y: bool) -> go.Heatmap:
    """How many designs lie where; empty cells stay white."""
    edges_x, edges_y = _edges(x, BINS_X, log_x), _edges(y, BINS_Y, log_y)
    counts, _, _ = np.histogram2d(x, y, bins=[edges_x, edges_y])
    shade = np.full(counts.T.shape, np.nan, np.float32)
    np.log10(counts.T, out=shade, where=counts.T > 0)
    return go.Heatmap(
        x=edges_x,
        y=edges_y,
        z=shade,
        customdata=counts.T.astype(int).tolist(),
        zmin=0,
        zmax=max(1.0, float(np.nanmax(shade))),
        colorscale=DENSITY_SCALE,
        showscale=False,
        name=f"all {len(x):,} designs",
        showlegend=False,
        hoverongaps=False,
        hovertemplate="%{customdata:,} designs here<extra></extra>",
    )


def _front_traces(front: pd.DataFrame, x: str, y: str) -> list[go.Scatter]:
    """Markers for each target (and network, if there are several), joined where they are the front of x and y alone.

    The front has more objectives than a plane has axes: a marker off the line is better in one not drawn.
    """
    keys = [name for name in ("target", "network") if name in front and (name == "target" or len(set(front[name])) > 1)]
    styles = target_styles(front["target"]) if "target" in front else {}
    groups: Iterable[tuple[Any, pd.DataFrame]] = front.groupby(keys, observed=True) if keys else [((), front)]
    traces = []
    for key, rows in groups:
        names = [str(part) for part in (key if isinstance(key, tuple) else (key,))]
        colour, symbol = styles.get(names[0] if names else "", (OKABE_ITO["vermillion"], "circle"))
        ordered = rows.sort_values([x, y], kind="stable")
        label = "Pareto front" + (f", {plain(', '.join(names))}" if names else "")
        drawn_x, drawn_y = _drawn(ordered, x), _drawn(ordered, y)
        corner = drawn_y < np.minimum.accumulate(np.concatenate(([np.inf], drawn_y[:-1])))
        traces.append(
            go.Scatter(
                x=drawn_x[corner], y=drawn_y[corner], mode="lines", showlegend=False, hoverinfo="skip", name=label,
                line={"color": colour, "width": 2, "shape": "hv"},
            )
        )  # fmt: skip
        traces.append(
            go.Scatter(
                x=drawn_x,
                y=drawn_y,
                mode="markers",
                name=label,
                marker={"color": colour, "symbol": symbol, "size": 8, "line": {"color": "#FFFFFF", "width": 1}},
                customdata=_customdata(ordered),
                hovertemplate=f"{label}<br>%{{customdata[1]}}<extra></extra>",
            )
        )
    return traces


def _selected_trace(points: pd.DataFrame, selected: Any, x: str, y: str) -> go.Scatter | None:
    found = keep(points, points.get("design", points.index) == selected)
    if not len(found):
        return None
    return go.Scatter(
        x=_drawn(found, x),
        y=_drawn(found, y),
        mode="markers",
        name="selected",
        marker={"symbol": "circle-open", "size": 18, "color": OKABE_ITO["black"], "line": {"width": 3}},
        customdata=_customdata(found),
        hovertemplate="selected<br>%{customdata[1]}<extra></extra>",
    )


def front_figure(
    points: pd.DataFrame,
    *,
    x: str = "energy_pj",
    y: str = "error_pct",
    selected: Any = None,
    log_x: bool = True,
    log_y: bool = True,
    individual: int = 2000,
) -> go.Figure:
    """All designs as a density, the Pareto front (rows whose `front` is true) as markers, `selected` ringed.

    A line joins the markers that nothing beats in x and y alone.
    Up to `individual` designs are drawn as one point each instead, to hover over and click.

    Axes are in unprefixed units (J, s, B; `style.AXES` has the factor), labels carry SI prefixes. Each
    marker's customdata is a plain list with the design's id first. Rows without an x or y (an error never
    measured) are left out and counted.
    """
    if not {x, y} <= set(points.columns) or not len(points):
        return empty_figure("No designs to show")
    drawn_x, drawn_y = _drawn(points, x), _drawn(points, y)
    usable = _usable(drawn_x, drawn_y, log_x)
    log_y = log_y and bool((drawn_y[usable] > 0).all())
    kept = keep(points, usable)
    if not len(kept):
        return empty_figure(f"No design has both {_axis_of(x).title.lower()} and {_axis_of(y).title.lower()}")
    figure = go.Figure(layout={"template": template(), "height": HEIGHT})
    if len(kept) <= individual:
        figure.add_trace(_each(kept, x, y))
    else:
        figure.add_trace(_density(drawn_x[usable], drawn_y[usable], log_x, log_y))
    front = keep(kept, kept["front"] if "front" in kept else np.zeros(len(kept)))
    if len(front):
        figure.add_traces(_front_traces(front, x, y))
    ring = _selected_trace(kept, selected, x, y) if selected is not None else None
    if ring is not None:
        figure.add_trace(ring)
    if log_x:
        horizontal = log_axis(_axis_of(x), drawn_x[usable], least_decades=0.45)
    else:
        horizontal = {
            "title": {"text": _axis_of(x).label}, "exponentformat": "SI", "ticksuffix": _axis_of(x).unit,
        }  # fmt: skip
    vertical = log_axis(_axis_of(y), drawn_y[usable]) | _finer() if log_y else {"title": {"text": _axis_of(y).label}}
    figure.update_layout(xaxis=horizontal, yaxis=vertical)
    left_out = len(points) - len(kept)
    if left_out:
        _note(figure, f"{left_out:,} of {len(points):,} designs have no value on an axis and are not shown")
    return figure


def _usable(drawn_x: np.ndarray, drawn_y: np.ndarray, log_x: bool = True) -> np.ndarray:
    return np.isfinite(drawn_x) & np.isfinite(drawn_y) & ((drawn_x > 0) | (not log_x))


def _usable_count(points: pd.DataFrame, x: str, y: str) -> int:
    return int(np.count_nonzero(_usable(_drawn(points, x), _drawn(points, y))))


def _panel_note(figure: go.Figure, place: int, text: str, alone: bool) -> None:
    """What a panel leaves out: in its middle where it has nothing else, else in its corner."""
    axis = "" if place == 0 else str(place + 1)
    corner = {"x": 0.5, "y": 0.5} if alone else {"x": 1, "y": 1, "xanchor": "right", "yanchor": "top"}
    figure.add_annotation(
        text=text, xref=f"x{axis} domain", yref=f"y{axis} domain", showarrow=False, font={"size": 11},
        bgcolor="rgba(255,255,255,0.8)", **corner,
    )  # fmt: skip


def _finer() -> dict[str, Any]:
    """Ticks at 1, 2 and 5 of each decade, without prefixes: errors in percent, not in milli-percent."""
    values = [step * 10.0**decade for decade in range(-3, 3) for step in (1, 2, 5)]
    labels = [f"{value:g}" for value in values]
    return {"tickmode": "array", "tickvals": values, "ticktext": labels, "ticksuffix": "", "minor": {"ticks": ""}}


def fronts_figure(points: pd.DataFrame, *, x: str = "energy_pj", y: str = "error_pct") -> go.Figure:
    """`front_figure` once for each network and target, side by side, each on its own scale."""
    keys = [name for name in ("network", "target") if name in points]
    groups = list(points.groupby(keys, sort=True, observed=True)) if keys else [((), points)]
    if len(groups) < 2 or not {x, y} <= set(points.columns) or not _usable_count(points, x, y):
        return front_figure(points, x=x, y=y)
    several = "network" in points and len(set(points["network"])) > 1
    labels: list[tuple[Any, ...]] = [key if isinstance(key, tuple) else (key,) for key, _ in groups]
    titles = [plain(", ".join(map(str, label if several else label[-1:])), 60) for label in labels]
    rows = -(-len(groups) // 2)
    figure = make_subplots(rows, 2, subplot_titles=titles, horizontal_spacing=0.1, vertical_spacing=0.26 / rows)
    for place, (_, mine) in enumerate(groups):
        row, column = place // 2 + 1, place % 2 + 1
        one = front_figure(mine, x=x, y=y, individual=0)
        for trace in cast("tuple[Any, ...]", one.data):
            figure.add_trace(trace.update(showlegend=False), row=row, col=column)
        figure.update_xaxes(one.layout.xaxis, row=row, col=column)  # pyright: ignore[reportAttributeAccessIssue]
        figure.update_yaxes(one.layout.yaxis, row=row, col=column)  # pyright: ignore[reportAttributeAccessIssue]
        left_out = len(mine) - _usable_count(mine, x, y)
        if left_out:
            _panel_note(figure, place, "no design has both values" if left_out == len(mine) else
                        f"{left_out:,} of {len(mine):,} lack a value", left_out == len(mine))  # fmt: skip
    return figure.update_layout(template=template(), height=60 + 340 * rows, showlegend=False)


def _each(points: pd.DataFrame, x: str, y: str) -> go.Scatter:
    return go.Scatter(
        x=_drawn(points, x).astype(np.float32),
        y=_drawn(points, y).astype(np.float32),
        mode="markers",
        name="designs",
        showlegend=False,
        marker={"size": 4, "color": "#57606A", "opacity": 0.5},
        customdata=_customdata(points),
        hovertemplate="%{customdata[1]}<extra></extra>",
    )


def _note(figure: go.Figure, text: str) -> None:
    figure.add_annotation(
        text=plain(text, 160),
        x=1,
        y=1,
        xref="paper",
        yref="paper",
        xanchor="right",
        yanchor="bottom",
        showarrow=False,
        font={"size": 11},
    )
