"""Bubbles of networks: what is drawn is what is published and computed."""

from __future__ import annotations

import numpy as np
import pytest

from picojoule.models.zoo import build_network
from picojoule.simulator.estimate import estimate
from picojoule.simulator.figures import families_figure, families_frame


def test_the_frame_is_what_is_published() -> None:
    frame = families_frame("generic-45nm").set_index("name")
    row = frame.loc["resnet-50"]
    assert (row["top1_pct"], row["parameters"], row["family"]) == (76.13, 25_557_032, "resnet")
    assert row["energy_pj"] == pytest.approx(estimate("resnet-50", "generic-45nm").totals["energy_pj"])
    assert len(frame) > 40
    assert "lenet-5" not in frame.index


def test_targets_that_leave_layers_out_say_nothing() -> None:
    frame = families_frame("eie")
    assert frame["latency_s"].isna().all()
    assert "layers of every network out" in families_figure(frame, x="latency_s").layout.annotations[0].text


@pytest.mark.parametrize("x", ["macs", "parameters"])
def test_bubbles_are_the_rows(x: str) -> None:
    """Area is proportional to the size in bytes; every network is one bubble."""
    frame = families_frame()
    figure = families_figure(frame, x=x)
    drawn = sorted((float(a), float(b)) for trace in figure.data for a, b in zip(trace.x, trace.y, strict=True))
    assert drawn == sorted(zip(frame[x].astype(float), frame["top1_pct"], strict=True))
    resnet = next(trace for trace in figure.data if trace.name == "resnet")
    areas = np.sort(np.asarray(resnet.marker.size, float) ** 2)
    sizes = sorted(build_network(f"resnet-{d}").parameter_count for d in (18, 34, 50, 101, 152))
    np.testing.assert_allclose(areas / areas[0], np.array(sizes) / sizes[0], rtol=1e-6)


def test_nothing_to_draw() -> None:
    frame = families_frame()
    assert "No networks" in families_figure(frame.iloc[:0]).layout.annotations[0].text
