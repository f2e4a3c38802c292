"""Networks as bubbles: accuracy against work, time or energy, area by size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ...models.load import load_model
from ...models.ops import loop_bounds
from ...models.zoo.names import NETWORKS
from ...models.zoo.published import dense_point
from ..estimate import estimate
from .frames import keep, numbers
from .style import AXES, OKABE_ITO, Axis, empty_figure, log_axis, plain, template

__all__ = ["families_figure", "families_frame"]

GENERATIONS = (
    *(f"mobilenet-v{n}" for n in (1, 2, 3)), *(f"shufflenet-v{n}" for n in (1, 2)), "efficientnet-lite",
)  # fmt: skip
LARGEST_PX = 64  # diameter of the largest bubble
COLOURS = [name for key, name in OKABE_ITO.items() if key not in ("black", "yellow")]
SYMBOLS = ("circle", "square", "diamond", "triangle-up")


def _family(name: str) -> str:
    """
    >>> _family("mobilenet-v2-0.5-96"), _family("resnet-18"), _family("efficientnet-lite0")
    ('mobilenet-v2', 'resnet', 'efficientnet-lite')
    """
    return next((prefix for prefix in GENERATIONS if name.startswith(prefix)), name.split("-")[0])


def families_frame(target: str | None = None, dataset: str = "imagenet") -> pd.DataFrame:
    """Networks with a published accuracy: name, family, parameters, macs, size_bytes, top1_pct, status, source.

    With a target, also energy_pj and latency_s of one inference, NaN where the target leaves layers out.
    """
    rows: list[dict[str, Any]] = []
    for name, network in NETWORKS.items():
        point = dense_point(name)
        if network.dataset != dataset or point is None or point.top1_pct is None:
            continue
        model = load_model(name)
        graph = model.graph
        row: dict[str, Any] = {
            "name": name,
            "family": _family(name),
            "parameters": graph.parameter_count,
            "macs": sum(bounds.macs for node in graph if (bounds := loop_bounds(graph, node))),
            "size_bytes": 4 * graph.parameter_count,
            "top1_pct": point.top1_pct,
            "status": point.status,
            "source": point.source,
        }
        if target is not None:
            cost = estimate(model, target)
            totals = cost.totals
            row["energy_pj"] = np.nan if cost.partial else totals["energy_pj"]
            row["latency_s"] = np.nan if cost.partial or totals["latency_s"] is None else totals["latency_s"]
        rows.append(row)
    return pd.DataFrame(rows)


def families_figure(frame: pd.DataFrame, *, x: str = "macs") -> go.Figure:
    """One bubble a network: `x` (macs, parameters, energy_pj, latency_s) across, top-1 accuracy up, area by fp32 size.

    Networks without an `x` are left out and counted in the title of the axis.
    """
    if x not in frame or not len(frame):
        return empty_figure("No networks to compare")
    known = np.isfinite(numbers(frame, x)) & (numbers(frame, x) > 0)
    kept = keep(frame, known)
    if not len(kept):
        return empty_figure("This target leaves layers of every network out")
    axis = AXES.get(x, Axis(x.replace("_", " "), ""))
    figure = go.Figure(layout={"template": template(), "height": 520})
    unit = float(numbers(kept, "size_bytes").max()) / LARGEST_PX**2
    for place, (family, rows) in enumerate(kept.groupby("family", sort=True)):
        texts = [
            f"{plain(r['name'])}<br>{r['top1_pct']:.1f} % top-1 ({plain(r['status'])})<br>{r['macs'] / 1e6:,.0f} M MACs"
            f"<br>{r['parameters'] / 1e6:.2f} M parameters<br>{plain(r['source'], 60)}"
            for r in rows.to_dict("records")
        ]
        figure.add_scatter(
            x=numbers(rows, x) * axis.scale, y=numbers(rows, "top1_pct"), mode="markers", name=plain(family),
            text=texts,
            marker={
                "size": np.sqrt(numbers(rows, "size_bytes") / unit), "sizemin": 4, "opacity": 0.75,
                "color": COLOURS[place % len(COLOURS)], "symbol": SYMBOLS[place // len(COLOURS) % len(SYMBOLS)],
                "line": {"color": "#FFFFFF", "width": 1},
            },
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    left_out = len(frame) - len(kept)
    horizontal = log_axis(axis, numbers(kept, x) * axis.scale)
    if left_out:
        horizontal["title"] = {"text": f"{axis.label}; {left_out} networks have layers that are not modelled here"}
    return figure.update_layout(xaxis=horizontal, yaxis={"title": {"text": "Top-1 accuracy on ImageNet (%)"}})
