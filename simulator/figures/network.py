"""A network as a drawing: one row per step of execution, shortcuts bowed around what they skip."""

from __future__ import annotations

from collections.abc import Mapping

import networkx as nx
import numpy as np
import plotly.graph_objects as go

from ...models.graph import Graph
from ..explain import format_si
from .style import INK, UNMODELLED, empty_figure, plain, template, unit_for

__all__ = ["layer_graph_figure", "layout"]

STEP_PX, FRAME_PX = 46, 150
SCALE = [[0.0, "#DCEBF5"], [0.5, "#56B4E9"], [1.0, "#004B76"]]
CURVE_POINTS = 16


def layout(dag: nx.DiGraph) -> dict[str, tuple[float, float]]:
    """(x, y) of every node: y = -(its topological generation), x by where its predecessors stand.

    >>> layout(nx.DiGraph([("a", "b"), ("b", "c"), ("a", "c")]))
    {'a': (0.0, 0.0), 'b': (0.0, -1.0), 'c': (0.0, -2.0)}
    """
    places: dict[str, tuple[float, float]] = {}
    for depth, generation in enumerate(nx.topological_generations(dag)):
        wanted = {node: float(np.mean([places[p][0] for p in dag.predecessors(node)] or [0.0])) for node in generation}
        ordered = sorted(generation, key=lambda node: wanted[node])
        if len(ordered) == 1:
            places[ordered[0]] = (round(wanted[ordered[0]] * 2) / 2, 0.0 - depth)
            continue
        middle = float(np.mean(list(wanted.values())))
        for place, node in enumerate(ordered):
            places[node] = (middle + place - (len(ordered) - 1) / 2, 0.0 - depth)
    return places


def _bow(start: tuple[float, float], end: tuple[float, float], width: float) -> tuple[np.ndarray, np.ndarray]:
    """A quadratic curve from start to end, bowed by `width` to the left, or to the right from a right-hand branch."""
    t = np.linspace(0, 1, CURVE_POINTS)
    aside = max(start[0], end[0]) + 2 * width if start[0] > 0 else min(start[0], end[0]) - 2 * width
    middle = (aside, (start[1] + end[1]) / 2)
    weights = ((1 - t) ** 2, 2 * t * (1 - t), t**2)
    return tuple(  # type: ignore[return-value]
        sum(weight * point[axis] for weight, point in zip(weights, (start, middle, end), strict=True))
        for axis in (0, 1)
    )


def _edges(figure: go.Figure, dag: nx.DiGraph, places: Mapping[str, tuple[float, float]]) -> None:
    straight: tuple[list, list] = ([], [])
    bowed: tuple[list, list] = ([], [])
    for source, sink in dag.edges:
        start, end = places[source], places[sink]
        skips = start[1] - end[1] > 1.5
        xs, ys = (
            _bow(start, end, 0.3 + 0.06 * (start[1] - end[1])) if skips else ([start[0], end[0]], [start[1], end[1]])
        )
        into = bowed if skips else straight
        into[0].extend([*xs, np.nan])
        into[1].extend([*ys, np.nan])
    for (xs, ys), name, dash in ((straight, "edges", "solid"), (bowed, "shortcuts", "dot")):
        if xs:
            figure.add_scatter(
                x=np.array(xs), y=np.array(ys), mode="lines", name=name, hoverinfo="skip", showlegend=False,
                line={"color": "#8C959F", "width": 1.8, "dash": dash},
            )  # fmt: skip


def layer_graph_figure(graph: Graph, energy_by_node: Mapping[str, float | None]) -> go.Figure:
    """The network from top to bottom, nodes coloured by their energy in pJ per batch.

    None marks a layer that is not modelled (grey, crossed, labelled); a node that is missing from
    `energy_by_node` costs nothing of its own, being a view or fused into its producer (small and white).
    """
    if not graph.nodes:
        return empty_figure("No layers")
    places = layout(graph.dag)
    depth = 1 - min(y for _, y in places.values())
    figure = go.Figure(layout={"template": template(), "height": int(FRAME_PX + STEP_PX * depth)})
    _edges(figure, graph.dag, places)
    known = {name: energy for name, energy in energy_by_node.items() if energy is not None}
    groups = (
        ("layers", [n.name for n in graph if n.name in known]),
        ("not modelled", [n.name for n in graph if n.name in energy_by_node and n.name not in known]),
        ("view, or fused into the layer before", [n.name for n in graph if n.name not in energy_by_node]),
    )
    operators = {node.name: node.op for node in graph}
    for label, names in groups:
        if names:
            _nodes(figure, label, names, operators, known, places)
    left = min(x for x, _ in places.values())
    right = max(x for x, _ in places.values())
    figure.update_xaxes(visible=False, range=[left - (2.2 if left < 0 else 1.0), right + 2.2])
    figure.update_yaxes(visible=False, range=[0.5 - depth - 0.1, 0.6])
    return figure


def _labelled(places: Mapping[str, tuple[float, float]]) -> set[str]:
    """Nodes with room for a label: the outermost two of a row; the others say theirs when hovered over."""
    rows: dict[float, list[str]] = {}
    for name, (_, y) in places.items():
        rows.setdefault(y, []).append(name)
    found = set()
    for names in rows.values():
        across = sorted(names, key=lambda name: places[name][0])
        found |= {across[0], across[-1]}
    return found


def _nodes(
    figure: go.Figure,
    label: str,
    names: list[str],
    operators: Mapping[str, str],
    known: Mapping[str, float],
    places: Mapping[str, tuple[float, float]],
) -> None:
    labelled = _labelled(places)
    energies = {name: format_si(known[name] * 1e-12, "J") for name in names if name in known}
    said = [energies.get(name, label if label == "not modelled" else "") for name in names]
    figure.add_scatter(
        x=[places[name][0] for name in names],
        y=[places[name][1] for name in names],
        mode="markers+text",
        name=label,
        marker=_marker(label, [known.get(name, 0.0) for name in names]),
        text=[
            f"  <b>{plain(name, 20)}</b>  <br>  {plain(operators[name], 18)}{', ' * bool(text)}{text}  "
            if name in labelled
            else ""
            for name, text in zip(names, said, strict=True)
        ],
        textposition=["middle left" if places[name][0] < 0 else "middle right" for name in names],
        textfont={"size": 12, "color": INK},
        cliponaxis=False,
        showlegend=label != "layers",
        customdata=[[name, plain(name), plain(operators[name]), text] for name, text in zip(names, said, strict=True)],
        hovertemplate=f"%{{customdata[1]}}<br>%{{customdata[2]}}<br>%{{customdata[3]}}<extra>{label}</extra>",
    )


def _marker(label: str, energies_pj: list[float]) -> dict:
    if label == "not modelled":
        return {"symbol": "square-x-open", "size": 17, "color": UNMODELLED, "line": {"width": 2}}
    if label != "layers":
        return {"symbol": "circle", "size": 9, "color": "#FFFFFF", "line": {"color": "#8C959F", "width": 1.5}}
    unit = unit_for(max(energies_pj) * 1e-12, "J")
    return {
        "symbol": "square",
        "size": 18,
        "color": np.array(energies_pj) * 1e-12 / unit.scale,
        "cmin": 0,
        "cmax": max(energies_pj) * 1e-12 / unit.scale or 1.0,
        "colorscale": SCALE,
        "line": {"color": INK, "width": 1},
        "colorbar": {
            "title": {"text": f"Energy per batch ({unit.name})", "side": "bottom", "font": {"size": 13}},
            "orientation": "h",
            "thickness": 12,
            "len": 0.8,
            "y": 0,
            "yanchor": "top",
            "outlinewidth": 0,
        },
    }
