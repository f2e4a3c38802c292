"""Speed against arithmetic intensity (Williams et al., CACM 2009), layer by layer, under the target's roof."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ..explain import format_si
from .frames import numbers, roofline_frame, roofs_frame
from .style import INK, OKABE_ITO, Axis, empty_figure, log_axis, plain, template

if TYPE_CHECKING:
    from ..cost import Cost

__all__ = ["roofline_figure"]

INTENSITY = Axis("MACs performed per byte moved", "")
SPEED = Axis("Speed", "MAC/s")
BOUND_COLOURS = {"compute": OKABE_ITO["blue"], "overhead": OKABE_ITO["orange"]}


def roofline_figure(cost_or_frame: Cost | pd.DataFrame, roofs: pd.DataFrame | None = None) -> go.Figure:
    """Layers as points (MACs performed per byte moved, MACs per second) below the target's ceilings.

    Takes a Cost, or `roofline_frame` and `roofs_frame` of one. A target without a clock has no speed.
    """
    if isinstance(cost_or_frame, pd.DataFrame):
        frame, ceilings = cost_or_frame, roofs if roofs is not None else pd.DataFrame()
    elif not cost_or_frame.has_latency:
        return empty_figure(
            f"No roofline: {cost_or_frame.target.name} is a view without a clock",
            ["It gives the energy of operations and accesses, not their time."],
        )
    else:
        frame, ceilings = roofline_frame(cost_or_frame), roofs_frame(cost_or_frame)
    if not len(frame):
        return empty_figure("No roofline: no layer with MACs and traffic is modelled")
    figure = go.Figure(layout={"template": template(), "height": 420})
    x = numbers(frame, "intensity_mac_per_byte")
    y = numbers(frame, "macs_per_s")
    span_x, span_y = _add_roofs(figure, ceilings, x)
    _add_layers(figure, frame, x, y)
    figure.update_layout(
        xaxis=log_axis(INTENSITY, [*x, *span_x]) | {"minexponent": 4},
        yaxis=log_axis(SPEED, [float(y.min()) / 2, *y, *span_y]) | {"ticksuffix": ""},
    )
    return figure


def _add_roofs(figure: go.Figure, roofs: pd.DataFrame, x: np.ndarray) -> tuple[list[float], list[float]]:
    """Draw min(peak, intensity x bandwidth); returns what the axes have to show of it."""
    seen_x: list[float] = []
    seen_y: list[float] = []
    for row in roofs.to_dict("records"):
        peak, bandwidth = float(row["macs_per_s"]), float(row["bytes_per_s"])
        ridge = peak / bandwidth if np.isfinite(bandwidth) else float(x.min())
        low, high = min(float(x.min()), ridge) / 2, max(float(x.max()), ridge) * 2
        line_x = np.array([low, ridge, high]) if np.isfinite(bandwidth) else np.array([low, high])
        line_y = np.minimum(peak, line_x * bandwidth) if np.isfinite(bandwidth) else np.full(2, peak)
        label = plain(row["roof"])
        figure.add_scatter(
            x=line_x,
            y=line_y,
            mode="lines",
            name=label,
            line={"color": INK, "width": 2},
            hovertemplate=f"{label}: {format_si(peak, 'MAC/s')}"
            + (f", {format_si(bandwidth, 'B/s')}" if np.isfinite(bandwidth) else "")
            + "<extra></extra>",
        )
        seen_x += [low, high]
        seen_y += [float(line_y.min()), peak * 1.4]
    return seen_x, seen_y


def _add_layers(figure: go.Figure, frame: pd.DataFrame, x: np.ndarray, y: np.ndarray) -> None:
    """One trace per resource that sets the time, so that the legend says which."""
    for bound, place in frame.groupby("bound_by", sort=True).groups.items():
        rows = frame.index.get_indexer(place)
        names = [plain(name, 24) for name in frame["name"].iloc[rows]]
        label = {"compute": "set by compute", "overhead": "set by overhead"}.get(str(bound), f"set by {bound}")
        figure.add_scatter(
            x=x[rows],
            y=y[rows],
            mode="markers+text" if len(frame) <= 12 else "markers",
            text=names,
            textposition="bottom center",
            cliponaxis=False,
            name=plain(label),
            marker={
                "size": 11,
                "color": BOUND_COLOURS.get(str(bound), OKABE_ITO["vermillion"]),
                "line": {"color": "#FFFFFF", "width": 1},
            },
            customdata=[
                [name, format_si(speed, "MAC/s"), f"{intensity:.3g}"]
                for name, speed, intensity in zip(names, y[rows], x[rows], strict=True)
            ],
            hovertemplate="%{customdata[0]}<br>%{customdata[1]}<br>%{customdata[2]} MAC per byte<extra></extra>",
        )
