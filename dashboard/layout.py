"""The pages: what stands where. Contents come from views.py, answers to the user from app.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from ..simulator.explore import Exploration
from ..simulator.figures import AXES, config
from .designs import Choice

__all__ = ["FRONT_AXES", "explore_page", "frame", "networks_page", "trust_page"]

PAGES = (("Explore", "/"), ("Networks", "/networks"), ("How far to trust it", "/trust"))
FRONT_AXES = ("energy_pj", "latency_s", "storage_bytes", "weight_bytes")
BIT_MARKS = {bits: str(bits) for bits in (1, 2, 3, 4, 5, 6, 7, 8)}
DENSITY_MARKS = {0.5: "0.5 %", 20: "20 %", 40: "40 %", 60: "60 %", 80: "80 %", 100: "100 %"}


def frame() -> html.Div:
    """The title, the links, and the place of the page."""
    return html.Div(
        [
            html.Header(
                [
                    html.H1("picojoule"),
                    html.Nav([dcc.Link(text, href=href) for text, href in PAGES]),
                ]
            ),
            dcc.Location(id="location"),
            dcc.Store(id="pinned", data=[]),
            html.Main(id="page"),
        ]
    )


def _labelled(label: str, control: Any, name: str) -> html.Div:
    return html.Div([html.Label(label, htmlFor=name, id=f"{name}-label"), control], className="control")


def _dropdown(label: str, name: str, options: Sequence[tuple[str, str]], value: str) -> html.Div:
    items = [{"label": text, "value": key} for key, text in options]
    control = dcc.Dropdown(id=name, options=items, value=value, clearable=False, searchable=False)
    return _labelled(label, control, name)


def _plot(name: str) -> dcc.Graph:
    settings: Any = config()
    return dcc.Graph(id=name, config=settings, responsive=True, style={"height": "300px"})


def _graph(name: str, title: str) -> html.Section:
    return html.Section(
        [html.H2(title), _plot(name)], className="card", id=f"{name}-card"
    )


def _front_controls(found: Exploration, start: Choice) -> html.Div:
    networks = [(name, name) for name in found.study.models]
    targets = [(name, name) for name in dict.fromkeys(found.points["target"])]
    axes = [(name, AXES[name].title) for name in FRONT_AXES]
    return html.Div(
        [
            _dropdown("Network", "network", networks, start.network),
            _dropdown("Target", "target", targets, start.target),
            _dropdown("Across", "across", axes, "energy_pj"),
        ],
        className="controls",
    )


def _design_controls(found: Exploration, start: Choice) -> html.Div:
    bits = dcc.Slider(
        id="bits", min=1, max=8, step=1, marks=BIT_MARKS, value=start.bits, updatemode="drag", included=False
    )
    density = dcc.Slider(
        id="density", min=0.5, max=100, step=0.1, marks=DENSITY_MARKS, value=start.density_pct, updatemode="drag"
    )
    formats = [(name, name) for name in found.study.formats]
    return html.Div(
        [
            _labelled("Bits per weight", bits, "bits"),
            _labelled("Weights kept in a layer, at most (%)", density, "density"),
            _dropdown("Stored as", "storage", formats, start.storage),
        ],
        className="sliders",
    )


def explore_page(found: Exploration, start: Choice) -> html.Div:
    """The front on the left, one design on the right, what it is made of below."""
    design = html.Section(
        [
            html.H2("This design"),
            _design_controls(found, start),
            html.Div(id="numbers", role="status"),
            html.Div(
                [
                    html.Button("Measure the error", id="measure", n_clicks=0),
                    html.Button("Pin", id="pin", n_clicks=0),
                    html.Button("Unpin all", id="unpin", n_clicks=0),
                ],
                className="buttons",
            ),
            html.Div(id="measured", role="status"),
            html.H3("The same on the command line"),
            html.Pre(id="command"),
        ],
        className="card",
    )
    front = html.Section(
        [
            html.H2("Every design explored"),
            _front_controls(found, start),
            _plot("front"),
            html.P(id="front-note", className="note"),
        ],
        className="card",
    )
    return html.Div(
        [
            html.Div([front, design], className="two"),
            html.Section([html.H2("Pinned designs"), html.Div(id="pins")], className="card"),
            html.Div(
                [
                    html.Div([_graph("layers", "Energy by layer"), _graph("roofline", "Roofline")]),
                    html.Div([_graph("network-graph", "The network"), _graph("traffic", "Traffic by level")]),
                ],
                className="two",
            ),
            html.Section([html.H2("Layers"), html.Div(id="layer-table")], className="card"),
            html.Section([html.H2("Assumptions"), html.Ul(id="assumptions")], className="card"),
        ]
    )


def networks_page() -> html.Div:
    """Published accuracy of the networks that have a name, against work, size or energy."""
    axes = [("macs", "Multiply-accumulates"), ("parameters", "Parameters"), ("energy_pj", "Energy, 45 nm view")]
    return html.Div(
        html.Section(
            [
                html.H2("Networks"),
                html.Div([_dropdown("Across", "family-axis", axes, "macs")], className="controls"),
                dcc.Loading(_plot("families")),
                html.P(
                    "Area is the size of the fp32 weights. Accuracies are published ones; hover for their source.",
                    className="note",
                ),
            ],
            className="card",
        )
    )


def trust_page() -> html.Div:
    """Predicted beside measured; filled in when asked for, as it takes seconds."""
    return html.Div(
        [
            html.Section(
                [
                    html.H2("Predicted over measured"),
                    dcc.Loading(_plot("trust-figure")),
                    html.P(
                        "Each mark is one published measurement; of more than 60 in a row, 60 are drawn, evenly over "
                        "their ranks. Predictions of processors are out of fold: datasheet leaves out the device, "
                        "calibrated the row's shape and its twins, or its network.",
                        className="note",
                    ),
                ],
                className="card",
            ),
            html.Section([html.H2("In sum"), dcc.Loading(html.Div(id="trust-summary"))], className="card"),
            html.Details(
                [html.Summary("Row by row, the ten worst of each line above"), html.Div(id="trust-table")],
                className="card",
            ),
        ]
    )
