"""Figures of networks, rooflines, comparisons and validation, against the costs and measurements they draw."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest
from hypothesis import given
from hypothesis import strategies as st

import picojoule
from picojoule.models.build import GraphBuilder
from picojoule.models.graph import Graph
from picojoule.models.load import load_model
from picojoule.simulator import figures
from picojoule.simulator.cost import Cost
from picojoule.simulator.figures.network import layout
from picojoule.simulator.figures.style import times
from picojoule.simulator.ladder import size_ladder
from picojoule.simulator.target import DEFAULT_TARGETS

MODELS = ("lenet-300-100@deep-compression", "lenet-5@deep-compression")
PAIRS = [(model, target) for model in MODELS for target in list(DEFAULT_TARGETS)]
HOSTILE = '<img src=x onerror="alert(1)">'
PALETTE = {*figures.OKABE_ITO.values()}


@cache
def cost_of(model: str, target: str) -> Cost:
    return picojoule.estimate(model, target)


def document(figure: go.Figure) -> dict[str, Any]:
    return json.loads(str(plotly.io.to_json(figure)))


def residual() -> Graph:
    """Two convolutions, and a shortcut around them into an addition."""
    net = GraphBuilder("residual", (1, 4, 8, 8))
    first = net.conv("a", 4, 1)
    net.conv("b", 4, 3, pad=1)
    last = net.conv("c", 4, 3, pad=1)
    net.add("add", "sum", (first, last))
    net.relu("relu")
    return net.build()


def drawn(cost: Cost) -> Mapping[str, Callable[[], go.Figure]]:
    """Every public figure, from the real costs of one network on one target."""
    model = load_model(cost.workload.model)
    rows = {row["name"]: row["energy_pj"] for row in cost.layer_rows()}
    points = picojoule.explore(model.name, [cost.target.name], bits=[4], densities=[1.0]).points
    measured = picojoule.validate().frame()
    return {
        "comparison_figure": lambda: figures.comparison_figure(figures.comparison_frame([cost])),
        "front_figure": lambda: figures.front_figure(points),
        "fronts_figure": lambda: figures.fronts_figure(points),
        "layer_energy_figure": lambda: figures.layer_energy_figure(cost.layers),
        "layer_graph_figure": lambda: figures.layer_graph_figure(model.graph, rows),
        "roofline_figure": lambda: figures.roofline_figure(cost),
        "size_ladder_figure": lambda: figures.size_ladder_figure(size_ladder(model)),
        "sram_dram_figure": lambda: figures.sram_dram_figure(figures.memory_frame([("SRAM", cost)])),
        "traffic_figure": lambda: figures.traffic_figure(figures.traffic_frame(cost)),
        "validation_figure": lambda: figures.validation_figure(measured),
    }


@pytest.mark.parametrize(("model", "target"), [(MODELS[0], "eie"), (MODELS[1], "core-i7-5930k")])
def test_every_figure_is_a_pure_function(model: str, target: str) -> None:
    cost = cost_of(model, target)
    before = cost.layers
    makers = drawn(cost)
    assert set(makers) == {name for name in figures.__all__ if name.endswith("_figure")} - {"families_figure"}
    for name, make in makers.items():
        first = plotly.io.to_json(make())
        assert first == plotly.io.to_json(make()), name
        for trace in json.loads(str(first))["data"]:
            assert isinstance(trace.get("customdata", []), list), name
    pd.testing.assert_frame_equal(cost.layers, before)


def test_frames_are_left_as_they_were() -> None:
    costs = [cost_of(*pair) for pair in PAIRS]
    frames = [
        (figures.comparison_frame(costs), figures.comparison_figure),
        (figures.traffic_frame(costs[0]), figures.traffic_figure),
        (figures.roofline_frame(costs[0]), figures.roofline_figure),
        (figures.memory_frame([("SRAM", cost) for cost in costs]), figures.sram_dram_figure),
        (costs[0].layers, figures.layer_energy_figure),
        (picojoule.validate().frame(), figures.validation_figure),
        (figures.ladder_frame(size_ladder(load_model(MODELS[0]))), figures.size_ladder_figure),
    ]
    for frame, make in frames:
        before = frame.copy(deep=True)
        make(frame)
        pd.testing.assert_frame_equal(frame, before)


class TestComparison:
    """Dense against compressed on all shipped targets."""

    @pytest.fixture
    def costs(self) -> list[Cost]:
        return [cost_of(model, target) for model in ("lenet-300-100", MODELS[0]) for target in list(DEFAULT_TARGETS)]

    def test_markers_are_the_totals(self, costs: list[Cost]) -> None:
        figure = figures.comparison_figure(figures.comparison_frame(costs))
        for axis, key, scale in (("x", "energy_pj", 1e-12), ("x2", "latency_s", 1.0)):
            found = sorted(
                x
                for t in figure.data
                if t.xaxis == axis and t.mode == "markers"
                for x in np.asarray(t.x, float)
                if np.isfinite(x)
            )
            totals = [cost.totals[key] for cost in costs]
            assert found == pytest.approx(sorted(total * scale for total in totals if total is not None))
        assert figure.layout.xaxis.title.text.endswith("(J)")
        assert figure.layout.xaxis2.title.text.endswith("(s)")

    def test_ratios_refer_to_the_first_model(self, costs: list[Cost]) -> None:
        figure = figures.comparison_figure(figures.comparison_frame(costs))
        said = [note.text for note in figure.layout.annotations]
        half = len(costs) // 2
        for dense, ours in zip(costs[:half], costs[half:], strict=True):
            ratio = dense.totals["energy_pj"] / ours.totals["energy_pj"]
            assert (f"{times(ratio)} less" if ratio >= 1 else f"{times(1 / ratio)} more") in said

    def test_whiskers_are_the_intervals(self, costs: list[Cost]) -> None:
        figure = figures.comparison_figure(figures.comparison_frame(costs[4:]))
        trace = next(t for t in figure.data if t.xaxis == "x" and t.error_x.array is not None)
        x, up, down = (np.asarray(v, float) for v in (trace.x, trace.error_x.array, trace.error_x.arrayminus))
        for place, cost in enumerate(costs[4:]):
            low, high = (cost.intervals or {"energy_pj": [cost.totals["energy_pj"]] * 2})["energy_pj"]
            assert x[place] - down[place] == pytest.approx(low * 1e-12)
            assert x[place] + up[place] == pytest.approx(high * 1e-12)

    def test_colours_are_the_targets(self, costs: list[Cost]) -> None:
        figure = figures.comparison_figure(figures.comparison_frame(costs))
        used = {c for t in figure.data if isinstance(t.marker.color, tuple) for c in t.marker.color}
        assert used == set(figures.TARGET_COLOURS.values()) <= PALETTE

    def test_different_layers_left_out_are_not_compared(self) -> None:
        """LeNet-5 on EIE leaves the convolutions out, LeNet-300-100 nothing: a ratio of the two says nothing."""
        frame = figures.comparison_frame([cost_of(MODELS[0], "eie"), cost_of(MODELS[1], "eie")])
        said = [note.text for note in figures.comparison_figure(frame).layout.annotations]
        assert said == ["* without the layers that are not modelled"]

    def test_a_target_without_a_clock_says_so(self) -> None:
        frame = figures.comparison_frame([cost_of(MODELS[0], name) for name in ("generic-45nm", "eie")])
        assert "time is not modelled" in [n.text for n in figures.comparison_figure(frame).layout.annotations]


@pytest.mark.parametrize(("model", "target"), PAIRS)
def test_roofline_points_are_macs_over_time_and_over_bytes(model: str, target: str) -> None:
    cost = cost_of(model, target)
    figure = figures.roofline_figure(cost)
    if not cost.has_latency:
        assert not figure.data
        assert "without a clock" in figure.layout.annotations[0].text
        return
    busiest = np.max(list(cost.bits_by_level().values()), axis=0) / 8
    missing = {layer.layer for layer in cost.unmodelled}
    wanted = sorted(
        (cost.macs_performed[i] / busiest[i], cost.macs_performed[i] / cost.latency_s[i])
        for i, name in enumerate(cost.workload.names)
        if name not in missing and cost.macs_performed[i]
    )
    found = sorted(p for t in figure.data if "markers" in t.mode for p in zip(t.x, t.y, strict=True))
    assert [float(v) for p in found for v in p] == pytest.approx([float(v) for p in wanted for v in p])
    roof = figures.roofs_frame(cost).iloc[0]
    for intensity, speed in found:
        assert speed <= min(roof["macs_per_s"], intensity * roof["bytes_per_s"]) * (1 + 1e-9)
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == (
        "MACs performed per byte moved", "Speed (MAC/s)",
    )  # fmt: skip


def test_eies_roof_is_64_entries_a_cycle_at_800_mhz() -> None:
    """EIE (ISCA 2016): 64 PEs x 800 MHz = 51.2 G multiply-accumulates a second, its peak of 102 GOP/s."""
    assert figures.roofs_frame(cost_of(MODELS[0], "eie"))["macs_per_s"].tolist() == [51.2e9]


def test_layout_by_hand() -> None:
    """A diamond: its branches side by side, half a step to either side of where they part and join."""
    places = layout(nx.DiGraph([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]))
    assert places == {"a": (0.0, 0.0), "b": (-0.5, -1.0), "c": (0.5, -1.0), "d": (0.0, -2.0)}


@given(st.integers(1, 12), st.randoms(use_true_random=False))
def test_layout_of_random_dags(size: int, random: Any) -> None:
    """The depth of a node is the longest way to it, and no two nodes lie on each other."""
    dag = nx.DiGraph()
    dag.add_nodes_from(range(size))
    dag.add_edges_from((a, b) for b in range(size) for a in range(b) if random.random() < 0.3)
    depth: dict[int, int] = {}
    for node in range(size):
        depth[node] = max((depth[before] + 1 for before in dag.predecessors(node)), default=0)
    places = layout(dag)
    assert {node: -y for node, (_, y) in places.items()} == depth
    assert len(set(places.values())) == size


def test_shortcuts_bow_around_what_they_skip() -> None:
    """Of the edges a-b, b-c, c-sum, a-sum, sum-relu only a-sum skips a row; ends meet their nodes."""
    figure = figures.layer_graph_figure(residual(), {"a": 1.0, "b": 2.0, "c": None, "sum": 4.0})
    edges = {t.name: t for t in figure.data if t.mode == "lines"}
    assert np.isnan(np.asarray(edges["edges"].x)).sum() == 4
    assert np.isnan(np.asarray(edges["shortcuts"].x)).sum() == 1
    x, y = (np.asarray(v)[:-1] for v in (edges["shortcuts"].x, edges["shortcuts"].y))
    assert (x[0], y[0], x[-1], y[-1]) == pytest.approx((0, 0, 0, -3))
    assert (x[1:-1] < 0).all()


def test_nodes_show_their_energy_or_that_it_is_not_modelled() -> None:
    """1 pJ, 2 pJ and 4 pJ as colours in pJ; c is not modelled; the fused ReLU costs nothing of its own."""
    figure = figures.layer_graph_figure(residual(), {"a": 1.0, "b": 2.0, "c": None, "sum": 4.0})
    groups = {t.name: t for t in figure.data if "markers" in t.mode}
    assert [row[0] for row in groups["layers"].customdata] == ["a", "b", "sum"]
    assert list(groups["layers"].marker.color) == pytest.approx([1, 2, 4])
    assert groups["layers"].marker.colorbar.title.text == "Energy per batch (pJ)"
    assert "not modelled" in groups["not modelled"].text[0]
    assert [row[0] for row in groups["view, or fused into the layer before"].customdata] == ["relu"]


def test_validation_marks_are_predicted_over_measured() -> None:
    frame = picojoule.validate().frame()
    figure = figures.validation_figure(frame)
    found = sorted(float(x) for trace in figure.data for x in trace.x)
    wanted: list[float] = []
    for _, group in frame.groupby(["target", "metric"]):
        ratio = sorted(group["predicted"] / group["measured"])
        ranks = np.linspace(0, len(ratio) - 1, min(60, len(ratio))).round().astype(int)
        wanted += [ratio[rank] for rank in ranks]
    assert len(found) < len(frame)
    assert found == pytest.approx(sorted(wanted))
    assert {trace.marker.color for trace in figure.data} <= PALETTE
    low, high = figure.layout.xaxis.range
    assert low < np.log10(found[0])
    assert np.log10(found[-1]) < high


def test_nothing_to_draw_is_said() -> None:
    layers = figures.roofline_frame(cost_of(MODELS[0], "eie"))
    empty = [
        figures.comparison_figure(figures.comparison_frame([])),
        figures.roofline_figure(layers.iloc[:0]),
        figures.layer_graph_figure(Graph("none", (), (), (), {}, {}), {}),
        figures.validation_figure(picojoule.validate().frame().iloc[:0]),
    ]
    for figure, words in zip(empty, ("No costs", "No roofline", "No layers", "No measurements"), strict=True):
        assert not figure.data
        assert words in figure.layout.annotations[0].text


def test_names_are_text_not_markup() -> None:
    net = GraphBuilder("n", (1, 4))
    net.gemm(HOSTILE, 2)
    graph = figures.layer_graph_figure(net.build(), {HOSTILE: 1.0})
    assert not any("<img" in text for trace in graph.data if trace.text for text in trace.text)
    assert all("customdata[0]" not in trace.hovertemplate for trace in graph.data)  # the id, for clicks only
    cost = cost_of(MODELS[0], "eie")
    comparison = figures.comparison_frame([cost]).assign(model=HOSTILE, target=HOSTILE)
    roofline = figures.roofline_frame(cost).assign(name=HOSTILE, bound_by=HOSTILE)
    roofs = figures.roofs_frame(cost).assign(roof=HOSTILE)
    validation = picojoule.validate().frame().assign(target=HOSTILE, case=HOSTILE, unit=HOSTILE)
    for figure in (
        figures.comparison_figure(comparison),
        figures.roofline_figure(roofline, roofs),
        figures.validation_figure(validation),
    ):
        text = json.dumps(document(figure))
        assert "&lt;img" in text
        assert "<img" not in text
