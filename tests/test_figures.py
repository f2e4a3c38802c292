"""Figures of bars and the small functions they share, against the costs they draw and cases worked out by hand."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest
from hypothesis import given
from hypothesis import strategies as st

import picojoule
from picojoule.models.load import load_model
from picojoule.simulator import figures
from picojoule.simulator.cost import Cost
from picojoule.simulator.figures.style import (
    Axis,
    Unit,
    empty_figure,
    log_axis,
    plain,
    short,
    target_styles,
    text_colour,
    times,
    unit_for,
)
from picojoule.simulator.ladder import size_ladder
from picojoule.simulator.target import DEFAULT_TARGETS

MODELS = ("lenet-300-100@deep-compression", "lenet-5@deep-compression")
PAIRS = [(model, target) for model in MODELS for target in list(DEFAULT_TARGETS)]
SCALES = {"p": 1e-12, "n": 1e-9, "µ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
HOSTILE = '<img src=x onerror="alert(1)">&amp;\u202e\n<b>'


@cache
def cost_of(model: str, target: str) -> Cost:
    return picojoule.estimate(model, target)


def scale_of(axis: Any, unit: str) -> float:
    """What one unit of a linear axis is worth, from its title: "... (µJ)" is 1e-6."""
    found = re.search(rf"\((\D?){unit}\)$", axis.title.text)
    assert found, axis.title.text
    return SCALES[found[1]]


def bars(figure: go.Figure) -> list[Any]:
    return [trace for trace in figure.data if trace.type == "bar" and trace.xaxis is None]


def stacked(figure: go.Figure, rows: int) -> np.ndarray:
    """Length of each row's stack, in the axis's unit."""
    sums = np.zeros(rows)
    for trace in bars(figure):
        np.add.at(sums, np.asarray(trace.y, int), np.nan_to_num(np.asarray(trace.x, float)))
    return sums


def strings(node: Any) -> Iterator[str]:
    """Every text in the JSON of a figure, the look that all figures share left out."""
    if isinstance(node, dict):
        yield from (text for key, value in node.items() if key != "template" for text in strings(value))
    elif isinstance(node, list):
        yield from (text for value in node for text in strings(value))
    elif isinstance(node, str):
        yield node


def document(figure: go.Figure) -> dict[str, Any]:
    return json.loads(str(plotly.io.to_json(figure)))


def says(figure: go.Figure, words: str) -> bool:
    """Whether a figure is empty but for a text with these words."""
    return not figure.data and any(words in note.text for note in figure.layout.annotations)


def test_colours_are_okabe_and_itos() -> None:
    """Okabe and Ito 2008, the RGB values of their palette."""
    published = [(0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178),
                 (213, 94, 0), (204, 121, 167)]  # fmt: skip
    palette = {"#{:02X}{:02X}{:02X}".format(*rgb) for rgb in published}
    assert set(figures.OKABE_ITO.values()) == palette
    for used in (figures.COMPONENT_COLOURS, figures.TARGET_COLOURS):
        assert set(used.values()) <= palette
        assert len(set(used.values())) == len(used)
    styles = target_styles([*DEFAULT_TARGETS, "one.toml", "two.toml"])
    assert {colour for colour, _ in styles.values()} <= palette
    assert len(set(styles.values())) == len(styles)


def test_config_uploads_nothing() -> None:
    assert figures.config()["showSendToCloud"] is False
    assert figures.config()["displaylogo"] is False
    json.dumps(figures.config(), allow_nan=False)


@pytest.mark.parametrize(
    ("largest", "unit", "wanted"),
    [(9.3e-7, "J", Unit("nJ", 1e-9)), (1.0, "J", Unit("J", 1.0)), (0.99, "s", Unit("ms", 1e-3)),
     (1234.0, "B", Unit("kB", 1e3)), (2.5e13, "B", Unit("TB", 1e12)), (3e-13, "J", Unit("pJ", 1e-12)),
     (-2e-6, "J", Unit("µJ", 1e-6)), (0.0, "J", Unit("J", 1.0)), (float("inf"), "J", Unit("J", 1.0))],
)  # fmt: skip
def test_unit_for_by_hand(largest: float, unit: str, wanted: Unit) -> None:
    assert unit_for(largest, unit) == wanted


@given(st.floats(1e-12, 9e14))
def test_unit_for_leaves_one_to_a_thousand(largest: float) -> None:
    assert 0.9995 <= largest / unit_for(largest, "J").scale < 1000


@pytest.mark.parametrize(
    ("ratio", "wanted"),
    [(1, "1×"), (0.5, "0.5×"), (39.53, "39.5×"), (99.96, "100×"), (1161.4, "1,161×"), (2e6, "2,000,000×")],
)
def test_times_by_hand(ratio: float, wanted: str) -> None:
    assert times(ratio) == wanted


@given(st.text(), st.integers(1, 60))
def test_short_and_plain_keep_one_safe_line(text: str, limit: int) -> None:
    line = short(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
    assert not set("<>") & set(plain(text, limit))
    assert html.unescape(plain(text, limit)) == line


def test_short_by_hand() -> None:
    """At 9 characters: the first 4, an ellipsis, the last 4."""
    assert short("abcdefghijkl", 9) == "abcd…ijkl"
    assert short("abcdefghi", 9) == "abcdefghi"
    assert short("a\tb\x00\nc", 9) == "a b c"


def test_log_axis_by_hand() -> None:
    """1 to 1000 is 3 decades, padded by 6 % = 0.18 of a decade; 1 to 2 is 0.301, padded to 0.8 in all."""
    wide = log_axis(Axis("Energy", "J"), [1.0, 1000.0, 0.0, -5.0, float("nan"), float("inf")])
    assert wide["range"] == pytest.approx([-0.18, 3.18])
    assert (wide["dtick"], wide["ticksuffix"], wide["title"]["text"]) == (1, "J", "Energy (J)")
    narrow = log_axis(Axis("Energy", "J"), [1.0, 2.0])
    assert narrow["range"][1] - narrow["range"][0] == pytest.approx(0.8)
    assert dict(zip(narrow["tickvals"], narrow["ticktext"], strict=True))[2.0] == "2 J"
    assert "range" not in log_axis(Axis("Energy", "J"), [0.0])
    assert log_axis(Axis("Products", ""))["title"]["text"] == "Products"


@given(st.lists(st.floats(1e-12, 1e12), min_size=1))
def test_log_axis_shows_every_value(values: list[float]) -> None:
    low, high = log_axis(Axis("Energy", "J"), values)["range"]
    assert low < np.log10(min(values))
    assert np.log10(max(values)) < high


def contrast(one: str, other: str) -> float:
    """WCAG 2.1: (lighter + 0.05) / (darker + 0.05) of relative luminances."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@given(st.integers(0, 0xFFFFFF).map("#{:06X}".format))
def test_text_stands_out(background: str) -> None:
    assert contrast(text_colour(background), background) >= 4.5


@pytest.mark.parametrize(("model", "target"), PAIRS)
def test_layer_energy_bars_sum_to_each_layers_energy(model: str, target: str) -> None:
    cost = cost_of(model, target)
    figure = figures.layer_energy_figure(cost.layers)
    rows = cost.layer_rows()
    scale = scale_of(figure.layout.xaxis, "J")
    wanted = [(row["energy_pj"] or 0.0) * 1e-12 / scale for row in rows]
    assert stacked(figure, len(rows)) == pytest.approx(wanted, rel=1e-9)
    assert [text.strip("\u00a0") for text in figure.layout.yaxis.ticktext] == [row["name"] for row in rows]
    drawn = {trace.marker.color for trace in bars(figure)}
    assert drawn <= set(figures.COMPONENT_COLOURS.values())
    missing = {layer.layer for layer in cost.unmodelled}
    hatched = [trace for trace in figure.data if trace.name.startswith("not modelled")]
    assert {row[0] for trace in hatched for row in trace.customdata} == missing
    labels = [note for note in figure.layout.annotations if note.text == "not modelled"]
    assert {rows[note.y]["name"] for note in labels} == missing


def test_convolutions_on_eie_are_shown_as_not_modelled() -> None:
    """EIE (ISCA 2016) runs fully connected layers; LeNet-5's convolutions have no energy there, and are not free."""
    layers = cost_of(MODELS[1], "eie").layers
    found = document(figures.layer_energy_figure(layers))
    hatched = next(trace for trace in found["data"] if trace["name"].startswith("not modelled"))
    assert {"conv1", "conv2"} <= {row[0] for row in hatched["customdata"]}
    one = layers.loc[~layers["modelled"]]
    assert all(trace["name"] != "arithmetic (mac)" for trace in document(figures.layer_energy_figure(one))["data"])


@pytest.mark.parametrize(("model", "target"), PAIRS)
def test_traffic_bars_sum_to_the_bytes_of_each_level(model: str, target: str) -> None:
    cost = cost_of(model, target)
    figure = figures.traffic_figure(figures.traffic_frame(cost))
    levels = [text.strip("\u00a0") for text in figure.layout.yaxis.ticktext]
    scale = scale_of(figure.layout.xaxis, "B")
    wanted = {name: float(bits.sum()) / 8 / scale for name, bits in cost.bits_by_level().items()}
    assert dict(zip(levels, stacked(figure, len(levels)), strict=True)) == pytest.approx(wanted, rel=1e-9)
    plainly = figures.traffic_figure({name: float(b.sum()) / 8 for name, b in cost.bits_by_level().items()})
    assert stacked(plainly, len(levels)) == pytest.approx(stacked(figure, len(levels)), rel=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_size_ladder_bars_are_its_rungs(model: str) -> None:
    ladder = size_ladder(load_model(model))
    figure = figures.size_ladder_figure(ladder)
    scale = scale_of(figure.layout.xaxis, "B")
    ours, paper = bars(figure)
    assert np.asarray(ours.x) * scale == pytest.approx([rung.bytes for rung in ladder])
    printed = [np.nan if rung.paper_bytes is None else rung.paper_bytes for rung in ladder]
    assert np.asarray(paper.x) * scale == pytest.approx(printed, nan_ok=True)
    assert all(times(rung.ratio) in text for rung, text in zip(ladder, ours.text, strict=True))


def test_weights_from_dram_cost_what_the_cold_estimate_says() -> None:
    cold, warm = (picojoule.estimate(MODELS[0], "generic-45nm", residency=name) for name in ("cold", "warm"))
    figure = figures.sram_dram_figure(figures.memory_frame([("DRAM", cold), ("SRAM", warm)]))
    scale = scale_of(figure.layout.xaxis, "J")
    wanted = [cost.totals["energy_pj"] * 1e-12 / scale for cost in (cold, warm)]
    assert stacked(figure, 2) == pytest.approx(wanted, rel=1e-9)
    assert {trace.marker.color for trace in bars(figure)} <= set(figures.COMPONENT_COLOURS.values())


def test_nothing_to_draw_is_said() -> None:
    layers = cost_of(MODELS[0], "eie").layers
    assert says(figures.layer_energy_figure(layers.iloc[:0]), "No layers")
    assert says(figures.traffic_figure({}), "No bytes")
    assert says(figures.traffic_figure({"dram": 0.0}), "No bytes")
    assert says(figures.size_ladder_figure([]), "No size ladder")
    assert says(figures.sram_dram_figure(figures.memory_frame([])), "No costs")
    assert says(empty_figure("<b>", ["a"]), "&lt;b&gt;")


def test_names_are_text_not_markup() -> None:
    """plotly.js reads tags in labels: a layer's name from a file must not become one."""
    layers = cost_of(MODELS[1], "eie").layers.assign(name=[f"{HOSTILE}{n}" for n in range(6)])
    drawn = [figures.layer_energy_figure(layers), figures.traffic_figure({HOSTILE: 3.0})]
    ladder = pd.DataFrame({"step": [HOSTILE], "bytes": [2.0], "ratio": [1.0], "paper_bytes": [None],
                           "paper_ratio": [None], "how": [HOSTILE]})  # fmt: skip
    memory = figures.memory_frame([("DRAM", cost_of(MODELS[0], "generic-45nm"))]).assign(model=HOSTILE)
    for figure in (*drawn, figures.size_ladder_figure(ladder), figures.sram_dram_figure(memory)):
        texts = list(strings(document(figure)))
        assert any("&lt;img" in text for text in texts)
        assert not any("<img" in text or "\u202e" in text for text in texts)
