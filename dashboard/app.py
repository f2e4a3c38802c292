"""create_app: the Dash application and its callbacks, each of a few lines."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from importlib import resources
from typing import Any

import pandas as pd
from dash import Dash, Input, Output, State, html, no_update

from ..models.errors import PicojouleError
from ..simulator.explore import Exploration
from ..simulator.explore.accuracy import ErrorTable
from ..simulator.figures import families_figure, families_frame, validation_figure
from ..simulator.figures.frames import keep
from ..simulator.validate import Validation, validate
from .designs import Choice, choice_of_design, cost_of, known_error, measure
from .layout import explore_page, frame, networks_page, trust_page
from .views import (
    design_figures,
    error_text,
    front_note,
    front_view,
    layer_rows,
    numbers,
    pinned_table,
    sized,
    validation_rows,
    validation_summary,
)

__all__ = ["create_app"]

CONTROLS = ("network", "target", "bits", "density", "storage")
ENERGY_VIEW = "generic-45nm"
PINS = 12
NEAR_PCT = 0.25


def create_app(found: Exploration) -> Dash:
    """The application over an Exploration; nothing listens yet, see `serve`.

    Raises InputError for an exploration without designs.
    """
    app = Dash(
        __name__,
        title="picojoule",
        update_title="",
        serve_locally=True,
        assets_folder=str(resources.files(str(__package__)).joinpath("assets")),
        suppress_callback_exceptions=True,
    )
    app.layout = frame()
    errors = ErrorTable()
    _pages(app, found)
    _front(app, found.points)
    _design(app, errors)
    _pins(app, errors)
    _families(app)
    _trust(app)
    return app


def _start(found: Exploration) -> Choice:
    """The smallest design of the front whose error is close to the least, on EIE if that was explored."""
    points = found.points
    target = "eie" if "eie" in set(points["target"]) else str(points["target"].iloc[0])
    wanted = (points["network"] == found.study.models[0]).to_numpy(bool) & (points["target"] == target).to_numpy(bool)
    front = keep(points, wanted & points["front"].to_numpy(bool))
    error = front["error_pct"].fillna(0)
    near = keep(front, error <= error.min() + NEAR_PCT)
    row = near.sort_values(["storage_bytes", "energy_pj"], kind="stable").iloc[0]
    chosen = choice_of_design(points, row["design"])
    assert chosen is not None
    return chosen


def _drawn(name: str) -> tuple[Output, Output]:
    """A figure and the height of its place."""
    return Output(name, "figure"), Output(name, "style")


def _pages(app: Dash, found: Exploration) -> None:
    start = _start(found)

    @app.callback(Output("page", "children"), Input("location", "pathname"))
    def page(pathname: str | None) -> html.Div:
        pages = {"/trust": trust_page, "/networks": networks_page}
        return pages[pathname]() if pathname in pages else explore_page(found, start)


def _front(app: Dash, points: pd.DataFrame) -> None:
    @app.callback(
        *_drawn("front"),
        Output("front-note", "children"),
        Input("across", "value"),
        *(Input(name, "value") for name in CONTROLS),
    )
    def front(across: str, *values: Any) -> tuple[Any, ...]:
        choice = Choice(*values)
        figure = front_view(points, choice.network, choice.target, across, _design_id(choice))
        return *sized(figure), front_note(points, choice.network, choice.target)

    @app.callback(
        Output("bits", "value"),
        Output("density", "value"),
        Output("storage", "value"),
        Input("front", "clickData"),
        prevent_initial_call=True,
    )
    def click(data: dict[str, Any] | None) -> tuple[Any, Any, Any]:
        marks = [point["customdata"] for point in (data or {}).get("points", ()) if point.get("customdata")]
        designs = [mark[0] for mark in marks if isinstance(mark, list)]
        chosen = next((c for design in designs if (c := choice_of_design(points, design))), None)
        return (chosen.bits, chosen.density_pct, chosen.storage) if chosen else (no_update, no_update, no_update)


def _design_id(choice: Choice) -> str:
    return f"{choice.network}/{choice.target}/b{choice.bits}/d{choice.density:g}/{choice.storage}"


def _design(app: Dash, errors: ErrorTable) -> None:
    @app.callback(
        Output("numbers", "children"),
        *(output for name in ("layers", "roofline", "network-graph", "traffic") for output in _drawn(name)),
        Output("layer-table", "children"),
        Output("assumptions", "children"),
        Output("command", "children"),
        *(Input(name, "value") for name in CONTROLS),
        Input("measured", "children"),
    )
    def design(*values: Any) -> tuple[Any, ...]:
        choice = Choice(*values[:-1])
        cost = cost_of(choice)
        said = [html.Li(text) for text in cost.assumptions]
        shown = numbers(cost, known_error(choice, errors))
        drawn = (part for figure in design_figures(choice) for part in sized(figure))
        return shown, *drawn, layer_rows(cost), said, choice.command

    @app.callback(
        Output("measured", "children"),
        Input("measure", "n_clicks"),
        *(State(name, "value") for name in CONTROLS),
        prevent_initial_call=True,
    )
    def measure_now(clicks: int, *values: Any) -> Any:
        if not clicks:
            return no_update
        try:
            row = measure(Choice(*values), errors)
        except PicojouleError as error:
            return str(error)
        return error_text(row) if row else "No weights or no data set: nothing to measure the error on."


def _pins(app: Dash, errors: ErrorTable) -> None:
    @app.callback(
        Output("pinned", "data"),
        Input("pin", "n_clicks"),
        State("pinned", "data"),
        *(State(name, "value") for name in CONTROLS),
        prevent_initial_call=True,
    )
    def pin(clicks: int, pinned: list[dict[str, Any]], *values: Any) -> Any:
        item = asdict(Choice(*values))
        return no_update if not clicks or item in pinned else [*pinned, item][-PINS:]

    @app.callback(Output("pinned", "data", allow_duplicate=True), Input("unpin", "n_clicks"), prevent_initial_call=True)
    def unpin(clicks: int) -> Any:
        return [] if clicks else no_update

    @app.callback(Output("pins", "children"), Input("pinned", "data"), Input("measured", "children"))
    def pins(pinned: list[dict[str, Any]], _measured: Any) -> Any:
        return pinned_table(pinned, [known_error(Choice(**item), errors) for item in pinned])


@cache
def _networks() -> pd.DataFrame:
    return families_frame(ENERGY_VIEW)


def _families(app: Dash) -> None:
    @app.callback(*_drawn("families"), Input("family-axis", "value"))
    def families(across: str) -> tuple[Any, ...]:
        return sized(families_figure(_networks(), x=across))


@cache
def _validation() -> Validation:
    return validate()


def _trust(app: Dash) -> None:
    @app.callback(
        *_drawn("trust-figure"),
        Output("trust-summary", "children"),
        Output("trust-table", "children"),
        Input("location", "pathname"),
    )
    def trust(pathname: str | None) -> tuple[Any, ...]:
        if pathname != "/trust":
            return (no_update,) * 4
        found = _validation()
        return *sized(validation_figure(found.frame())), validation_summary(found), validation_rows(found)
