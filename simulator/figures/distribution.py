"""How often each symbol of a stream occurs: the shape that an entropy coder lives on."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .frames import keep, numbers
from .style import OKABE_ITO, empty_figure, plain, template

__all__ = ["distribution_figure"]

TITLES = {"codes": "Codes of shared weights (0: padding)", "gaps": "Gaps between weights"}


def distribution_figure(frame: pd.DataFrame) -> go.Figure:
    """Two histograms side by side from rows of layer, stream ("codes" or "gaps"), symbol, count."""
    streams = [stream for stream in TITLES if stream in set(frame["stream"])] if len(frame) else []
    if not streams:
        return empty_figure("No stream to count")
    figure = make_subplots(1, len(streams), subplot_titles=[TITLES[stream] for stream in streams])
    figure.update_layout(template=template(), height=360, showlegend=False)
    for place, stream in enumerate(streams, 1):
        rows = keep(frame, frame["stream"].to_numpy() == stream)
        figure.add_bar(
            x=numbers(rows, "symbol"), y=numbers(rows, "count"), marker={"color": OKABE_ITO["blue"]},
            name=plain(stream), hovertemplate="%{x}: %{y:,}<extra></extra>", row=1, col=place,
        )  # fmt: skip
    figure.update_yaxes(title={"text": "Entries"}, col=1)
    return figure
