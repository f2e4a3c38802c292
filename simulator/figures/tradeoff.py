"""Accuracy against what compression buys: one line a method, bars one deviation over seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from .frames import keep, numbers
from .style import OKABE_ITO, Axis, empty_figure, log_axis, plain, template, times

__all__ = ["tradeoff_figure"]

COLOURS = [OKABE_ITO[name] for name in ("blue", "vermillion", "bluish green", "reddish purple", "orange", "sky blue",
                                        "black")]  # fmt: skip
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "triangle-down")
AXES = {
    "ratio": Axis("Compression ratio, dense fp32 bytes over bytes", ""),
    "speedup": Axis("Theoretical speed-up, multiply-adds over those left", ""),
    "bits": Axis("Bits per weight", "bit"),
}


def tradeoff_figure(curve: pd.DataFrame, x: str = "ratio", largest_error_pct: float | None = None) -> go.Figure:
    """Top-1 accuracy against `x` ("ratio", "speedup" on a logarithmic axis, "bits" on a linear one).

    `curve`: method, point, retrained, ratio, speedup or bits, error_pct, error_sd_pct, seeds (see
    `models.literature.sweep.curve`). Points as they come from pruning or sharing are dashed, retrained ones are solid.
    The method "dense" becomes a line across. `largest_error_pct` cuts the axis.
    """
    frame = keep(curve, np.isfinite(numbers(curve, x))) if x in curve else curve.head(0)
    if not len(frame):
        return empty_figure("Nothing was measured")
    methods = frame["method"].astype(str).to_numpy()
    dense, rest = keep(frame, methods == "dense"), keep(frame, methods != "dense")
    figure = go.Figure(layout={"template": template(), "height": 460})
    kinds = numbers(rest, "retrained")
    several = len(np.unique(kinds)) > 1
    for place, name in enumerate(dict.fromkeys(rest["method"])):
        for retrained in (1, 0):
            chosen = keep(rest, (rest["method"].to_numpy() == name) & (kinds == retrained))
            if len(chosen):
                chosen = chosen.iloc[np.argsort(numbers(chosen, x), kind="stable")]
                how = "" if not several else (", retrained" if retrained else ", as it is")
                figure.add_scatter(**_line(chosen, x, plain(f"{name}{how}"), place, bool(retrained)))
    if len(dense):
        across = 100 - float(numbers(dense, "error_pct").mean())
        figure.add_hline(y=across, line={"color": "#57606A", "width": 1, "dash": "dot"}, annotation_text="dense",
                         annotation_position="bottom left")  # fmt: skip
    axis = AXES[x]
    if x == "bits":
        figure.update_xaxes(title={"text": axis.label}, dtick=1)
    else:
        figure.update_xaxes(**log_axis(axis, numbers(rest, x)))
    figure.update_yaxes(title={"text": "Top-1 accuracy, test split (%)"})
    if largest_error_pct is not None:
        best = 100 - float(numbers(frame, "error_pct").min())
        figure.update_yaxes(range=[100 - largest_error_pct, best + 0.04 * largest_error_pct])
    return figure


def _line(rows: pd.DataFrame, x: str, name: str, place: int, solid: bool) -> dict[str, Any]:
    accuracy, spread = 100 - numbers(rows, "error_pct"), numbers(rows, "error_sd_pct")
    texts = [
        f"{plain(point)}<br>{value:.2f} ± {sd:.2f} % over {int(seeds)} seeds, {times(float(ratio))} smaller"
        for point, value, sd, seeds, ratio in zip(
            rows["point"], accuracy, spread, rows["seeds"], rows["ratio"], strict=True)
    ]  # fmt: skip
    colour = COLOURS[place % len(COLOURS)]
    return {
        "x": numbers(rows, x), "y": accuracy.astype(np.float32), "name": name, "mode": "lines+markers", "text": texts,
        "hovertemplate": "%{text}<extra>%{fullData.name}</extra>",
        "line": {"color": colour, "width": 2, "dash": "solid" if solid else "dash"},
        "marker": {"color": colour, "size": 8, "symbol": SYMBOLS[place % len(SYMBOLS)]},
        "error_y": {"type": "data", "array": spread, "thickness": 1, "width": 3},
    }  # fmt: skip
