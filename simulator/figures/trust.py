"""Predictions over measurements, one mark each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from .frames import numbers
from .style import GRID, empty_figure, plain, target_styles, template

__all__ = ["validation_figure"]

TICKS = (0.25, 0.5, 0.7, 0.85, 1.0, 1.15, 1.5, 2.0, 4.0)
FAR_TICKS = (0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1000.0)  # where the rows reach beyond a factor of 8
ROW_PX = 46
MARKS = 60  # of one row of the figure: more would hide each other and keep a browser busy


def validation_figure(rows: pd.DataFrame) -> go.Figure:
    """Predicted over measured by target and metric, on a logarithmic axis; the band is 15 % to either side.

    `rows`: target, metric, case, measured, predicted, unit, error (the frame of `validate`). Of more than 60 marks of
    one target and metric 60 are drawn, evenly over their ranks, the outermost among them.
    """
    if not len(rows):
        return empty_figure("No measurements to compare with")
    rows = _thinned(rows)
    labels = [plain(f"{target}: {metric}") for target, metric in zip(rows["target"], rows["metric"], strict=True)]
    order = list(dict.fromkeys(labels))
    ratio = numbers(rows, "predicted") / numbers(rows, "measured")
    figure = go.Figure(layout={"template": template(), "height": 110 + ROW_PX * len(order), "showlegend": False})
    figure.add_vrect(x0=1 / 1.15, x1=1.15, fillcolor=GRID, opacity=0.6, line_width=0, layer="below")
    figure.add_vline(x=1, line={"color": "#57606A", "width": 1})
    styles = target_styles(rows["target"])
    for target, (colour, symbol) in styles.items():
        mine = np.flatnonzero((rows["target"] == target).to_numpy())
        texts = [
            f"{plain(rows['case'].iloc[i])}<br>measured {rows['measured'].iloc[i]:.4g} {plain(rows['unit'].iloc[i])}"
            f"<br>predicted {rows['predicted'].iloc[i]:.4g}<br>error {rows['error'].iloc[i]:.1%}"
            for i in mine
        ]
        figure.add_scatter(
            x=ratio[mine], y=[labels[i] for i in mine], mode="markers", name=plain(target), text=texts,
            marker={"color": colour, "symbol": symbol, "size": 9, "opacity": 0.65,
                    "line": {"color": "#FFFFFF", "width": 1}},
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    edge = 1.1 * max(2.0, float(ratio.max()), 1 / float(ratio.min()))
    shown = [tick for tick in (TICKS if edge < 8 else FAR_TICKS) if 1 / edge <= tick <= edge]
    figure.update_xaxes(
        type="log", range=[-np.log10(edge), np.log10(edge)], tickvals=shown, ticktext=[f"{t:g}" for t in shown],
        title={"text": "predicted over measured (grey: within 15 %)"},
    )  # fmt: skip
    figure.update_yaxes(categoryorder="array", categoryarray=order[::-1], ticksuffix="  ")
    return figure


def _thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """At most MARKS rows of each target and metric, evenly spaced in the order of predicted / measured."""
    ratio = numbers(rows, "predicted") / numbers(rows, "measured")
    kept = np.zeros(len(rows), bool)
    for places in rows.groupby(["target", "metric"], sort=False).indices.values():
        ranked = places[np.argsort(ratio[places], kind="stable")]
        kept[ranked[np.linspace(0, len(ranked) - 1, min(MARKS, len(ranked))).round().astype(int)]] = True
    return rows.loc[kept]
