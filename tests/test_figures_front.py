"""The figure of designs and their Pareto front, against the rows it draws and a front found by brute force."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import picojoule
from picojoule.simulator.figures import OKABE_ITO, TARGET_COLOURS, front_figure, fronts_figure
from picojoule.simulator.target import DEFAULT_TARGETS

MODEL = "lenet-300-100@deep-compression"
HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture(scope="module")
def points() -> pd.DataFrame:
    """Two widths, two densities, every format, every shipped target."""
    return picojoule.explore(MODEL, list(DEFAULT_TARGETS), bits=[2, 4], densities=[0.05, 1.0]).points


def document(figure: go.Figure) -> dict[str, Any]:
    return json.loads(str(plotly.io.to_json(figure)))


def traces(figure: go.Figure, kind: str, name: str = "") -> list[Any]:
    return [t for t in figure.data if kind in (t.type, getattr(t, "mode", "")) and (t.name or "").startswith(name)]


def identities(found: list[Any]) -> list[Any]:
    return [row[0] for trace in found for row in trace.customdata]


def plane_front(pairs: list[tuple[float, float]]) -> set[tuple[float, float]]:
    """Pairs that no other pair is at most in both and below in one."""
    kept = set(pairs)
    return {a for a in kept if not any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in kept)}


def table(energies: list[float], errors: list[float], front: list[bool] | None = None) -> pd.DataFrame:
    frame = pd.DataFrame({"energy_pj": energies, "error_pct": errors})
    return frame if front is None else frame.assign(front=front)


@pytest.mark.parametrize("individual", [0, 2000])
def test_markers_of_the_front_are_the_rows_marked_front(points: pd.DataFrame, individual: int) -> None:
    figure = front_figure(points, individual=individual)
    markers = traces(figure, "markers", "Pareto front")
    assert sorted(identities(markers)) == sorted(points.loc[points["front"], "design"])
    place = points.set_index("design")
    for trace in markers:
        target = str(trace.name).removeprefix("Pareto front, ")
        assert trace.marker.color == TARGET_COLOURS[target]
        ids = [row[0] for row in trace.customdata]
        assert np.asarray(trace.x) == pytest.approx(place.loc[ids, "energy_pj"].to_numpy() * 1e-12)
        assert np.asarray(trace.y) == pytest.approx(place.loc[ids, "error_pct"].to_numpy())


def test_the_line_is_the_front_of_the_two_axes(points: pd.DataFrame) -> None:
    """Among every design of a target, not among the marked ones alone."""
    lines = traces(front_figure(points), "lines", "Pareto front")
    assert len(lines) == len(list(DEFAULT_TARGETS))
    for line in lines:
        mine = points[points["target"] == str(line.name).removeprefix("Pareto front, ")]
        pairs = list(zip(mine["energy_pj"].to_numpy() * 1e-12, mine["error_pct"].to_numpy(), strict=True))
        assert set(zip(line.x, line.y, strict=True)) == plane_front(pairs)
        assert list(line.x) == sorted(line.x)
        assert line.line.shape == "hv"


def test_the_line_by_hand() -> None:
    """(1, 5), (2, 3), (4, 1) beat (2, 4), (3, 3) and (5, 1)."""
    frame = table([3, 1, 2, 4, 2, 5], [3, 5, 3, 1, 4, 1], [True] * 6)
    line = traces(front_figure(frame), "lines")[0]
    assert [(round(x * 1e12), y) for x, y in zip(line.x, line.y, strict=True)] == [(1, 5), (2, 3), (4, 1)]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.floats(1e-3, 1e15), st.floats(0, 100)), min_size=1, max_size=60),
    st.booleans(),
    st.booleans(),
)
def test_density_counts_every_design_once(pairs: list[tuple[float, float]], log_x: bool, log_y: bool) -> None:
    frame = table([x for x, _ in pairs], [y for _, y in pairs])
    figure = front_figure(frame, individual=0, log_x=log_x, log_y=log_y)
    assert np.sum(figure.data[0].customdata) == len(pairs)


def test_density_of_the_exploration(points: pd.DataFrame) -> None:
    figure = front_figure(points, individual=0)
    heat = traces(figure, "heatmap")[0]
    assert np.sum(heat.customdata) == len(points)
    assert f"{len(points):,} designs" in heat.name
    shade = np.asarray(heat.z, float)
    assert (np.isnan(shade) == (np.asarray(heat.customdata) == 0)).all()


def test_each_design_is_one_point_where_there_are_few(points: pd.DataFrame) -> None:
    figure = front_figure(points, individual=len(points))
    assert identities(traces(figure, "markers", "designs")) == list(points["design"])
    assert not traces(figure, "heatmap")


def test_the_ring_is_where_the_selected_design_is(points: pd.DataFrame) -> None:
    row = points.iloc[17]
    ring = traces(front_figure(points, selected=row["design"]), "markers", "selected")[0]
    assert list(ring.x) == [pytest.approx(row["energy_pj"] * 1e-12)]
    assert list(ring.y) == [pytest.approx(row["error_pct"])]
    assert ring.marker.color == OKABE_ITO["black"]
    assert identities([ring]) == [row["design"]]
    assert not traces(front_figure(points, selected="no such design"), "markers", "selected")


def test_designs_without_a_value_are_left_out_and_counted(points: pd.DataFrame) -> None:
    """The 45 nm view has no clock, so none of its designs has a time."""
    figure = front_figure(points, x="latency_s")
    clockless = int((points["target"] == "generic-45nm").sum())
    assert any(f"{clockless} of {len(points)} designs" in note.text for note in figure.layout.annotations)
    assert len(identities(traces(figure, "markers", "designs"))) == len(points) - clockless


def test_an_error_of_zero_is_drawn_on_a_linear_axis() -> None:
    figure = front_figure(table([1.0, 2.0], [0.0, 3.0]))
    assert figure.layout.yaxis.type != "log"
    assert list(figure.data[0].y) == [0.0, 3.0]


def test_axis_titles_carry_units(points: pd.DataFrame) -> None:
    wanted = {"energy_pj": "(J)", "latency_s": "(s)", "storage_bytes": "(B)", "weight_bytes": "(B)"}
    for column, unit in wanted.items():
        figure = front_figure(points[points["target"] == "titan-x"], x=column)
        assert figure.layout.xaxis.title.text.endswith(unit)
        assert figure.layout.yaxis.title.text.endswith("(%)")


@pytest.mark.parametrize("individual", [0, 2000])
def test_customdata_are_plain_lists_of_plain_values(points: pd.DataFrame, individual: int) -> None:
    """plotly.js hands customdata back on a click; a typed array would lose the design's id."""
    chosen = points["design"].iloc[0]
    for trace in document(front_figure(points, selected=chosen, individual=individual))["data"]:
        for row in trace.get("customdata", []):
            assert isinstance(row, list)
            assert all(isinstance(value, str | int) for value in row)


def test_the_figure_is_a_pure_function(points: pd.DataFrame) -> None:
    before = points.copy(deep=True)
    for make in (front_figure, fronts_figure):
        assert plotly.io.to_json(make(points)) == plotly.io.to_json(make(points))
    pd.testing.assert_frame_equal(points, before)


def test_nothing_to_draw_is_said(points: pd.DataFrame) -> None:
    empty = {
        "No designs to show": (points.iloc[:0], points.drop(columns="energy_pj")),
        "No design has both": (points.assign(error_pct=np.nan),),
    }
    for words, frames in empty.items():
        for frame in frames:
            for figure in (front_figure(frame), fronts_figure(frame)):
                assert not figure.data
                assert any(words in note.text for note in figure.layout.annotations)


def test_names_are_text_not_markup(points: pd.DataFrame) -> None:
    frame = points.assign(network=HOSTILE, format=HOSTILE)
    other = points.assign(network="b", target=HOSTILE)
    for figure in (front_figure(frame), fronts_figure(pd.concat([frame, other], ignore_index=True))):
        text = str(plotly.io.to_json(figure)).replace("\\u003c", "<")
        assert "&lt;img" in text
        assert "<img" not in text


class TestFacets:
    """One panel for each network and target, each on its own scale."""

    def test_a_panel_for_each_target(self, points: pd.DataFrame) -> None:
        figure = fronts_figure(points)
        titles = [note.text for note in figure.layout.annotations]
        assert titles == list(DEFAULT_TARGETS)
        heats = traces(figure, "heatmap")
        sizes = points.groupby("target").size()
        assert [int(np.sum(heat.customdata)) for heat in heats] == [sizes[target] for target in titles]
        assert len({heat.xaxis for heat in heats}) == len(titles)

    def test_panels_hold_what_single_figures_hold(self, points: pd.DataFrame) -> None:
        figure = fronts_figure(points)
        for place, target in enumerate(list(DEFAULT_TARGETS)):
            axis = "x" if place == 0 else f"x{place + 1}"
            panel = [trace for trace in figure.data if trace.xaxis == axis]
            single = front_figure(points[points["target"] == target], individual=0)
            assert len(panel) == len(single.data)
            for mine, alone in zip(panel, single.data, strict=True):
                assert np.array_equal(np.asarray(mine.x), np.asarray(alone.x))
            assert figure.layout["xaxis" + axis[1:]].range == single.layout.xaxis.range

    def test_a_panel_without_values_says_so(self, points: pd.DataFrame) -> None:
        """Two of titan-x's errors unknown, all of eie's: its panel is empty, and nobody takes that for no designs."""
        unknown = (points["target"] == "eie") | points["design"].isin(
            points.loc[points["target"] == "titan-x", "design"].iloc[:2]
        )
        figure = fronts_figure(points.assign(error_pct=points["error_pct"].mask(unknown)))
        said = {note.xref: note.text for note in figure.layout.annotations if "domain" in str(note.xref)}
        last = (points["target"] == "titan-x").sum()
        assert said == {"x2 domain": "no design has both values", "x4 domain": f"2 of {last} lack a value"}

    def test_networks_are_named_where_there_are_several(self, points: pd.DataFrame) -> None:
        eie = points[points["target"] == "eie"]
        figure = fronts_figure(pd.concat([eie, eie.assign(network="b")], ignore_index=True))
        assert {note.text for note in figure.layout.annotations} == {f"{MODEL}, eie", "b, eie"}

    def test_one_group_is_one_front(self, points: pd.DataFrame) -> None:
        eie = points[points["target"] == "eie"]
        assert plotly.io.to_json(fronts_figure(eie)) == plotly.io.to_json(front_figure(eie))
