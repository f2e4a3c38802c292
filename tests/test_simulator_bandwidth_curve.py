"""A bandwidth for every working set: bytes(level) / bandwidth(working set), as `picojoule calibrate` measures it.

Outside truth: the arithmetic by hand; a target without a curve is untouched.
"""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picojoule.models.errors import TargetError
from picojoule.models.load import load_model
from picojoule.simulator.calibrate.write import target_toml
from picojoule.simulator.processors.plan import plan
from picojoule.simulator.target import load_target
from picojoule.simulator.target_base import Constant
from picojoule.simulator.target_processor import CurvePoint
from picojoule.simulator.target_rules import check_rules
from picojoule.simulator.workload import make_workload

SIZES = (1 << 18, 1 << 22, 1 << 26, 1 << 30)  # bits: 32 KiB to 128 MiB
SPEEDS = (1.6e12, 8e11, 4e11, 1e11)


def _points(sizes=SIZES, speeds=SPEEDS):
    return tuple(
        CurvePoint(working_set_bits=size, bandwidth_bits_per_s=Constant(value=speed, source="mine", status="measured"))
        for size, speed in zip(sizes, speeds, strict=True)
    )


def _target(points=None):
    target = load_target("core-i7-5930k")
    sources = {**target.sources, "mine": "by hand"}
    return msgspec.structs.replace(target, bandwidth_curve=_points() if points is None else points, sources=sources)


def _memory_s(target, model, residency="warm"):
    run = plan(make_workload(load_model(model)), target, residency)
    return float(run.memory_s[0]), float(run.weight_bits[0] + run.activation_bits[0]), run


@pytest.mark.parametrize(("model", "speed"), [("gemm:M=1,N=64,K=64", 1.6e12), ("gemm:M=1,N=9216,K=9216", 1e11)])
def test_beyond_its_ends_the_curve_stays(model, speed):
    target = _target()
    seconds, bits, run = _memory_s(target, model)
    share = seconds * speed / bits  # the class's share of the bandwidth, whatever it is, but the same for both
    again, bits_again, _ = _memory_s(_target(_points(speeds=(speed, speed, speed, speed))), model)
    assert seconds == pytest.approx(again)
    assert bits == bits_again
    assert share == pytest.approx(1 / _bandwidth_share(run), rel=1e-9)


def _bandwidth_share(run):
    from picojoule.simulator.processors.rates import Rates

    return Rates.of(_target()).table.bandwidth[run.classes[0]]


def test_between_two_points_by_hand():
    """A working set of 2^24 bits lies halfway, in logarithms, between 2^22 and 2^26: sqrt(8e11 x 4e11) bit/s."""
    model = "gemm:M=1,N=1024,K=508"  # 1024 x 508 x 32 + (1024 + 508) x 32 bits, and no bias
    seconds, bits, run = _memory_s(_target(), model)
    rate = np.exp(np.interp(np.log(bits), np.log(SIZES), np.log(SPEEDS)))
    assert seconds * _bandwidth_share(run) == pytest.approx(bits / rate)
    assert rate == pytest.approx(np.sqrt(8e11 * 4e11), rel=0.01)


def test_cold_weights_come_from_memory():
    """Weights at the last speed, activations at that of their layer's working set."""
    seconds, _, run = _memory_s(_target(), "gemm:M=1,N=64,K=64", "cold")
    by_hand = run.weight_bits[0] / SPEEDS[-1] + run.activation_bits[0] / SPEEDS[0]
    assert seconds * _bandwidth_share(run) == pytest.approx(by_hand)


@given(st.integers(4, 3000), st.integers(4, 3000))
def test_a_faster_point_never_costs_more(rows, columns):
    model = f"gemm:M=1,N={rows},K={columns}"
    before, _, _ = _memory_s(_target(), model)
    faster = _points(speeds=(3.2e12, 1.6e12, 8e11, 1e11))
    assert _memory_s(_target(faster), model)[0] <= before * (1 + 1e-12)


def test_every_shipped_processor_but_calibrated_machines_keeps_its_two_bandwidths():
    """A curve of one cache's two speeds is not the cache's share: targets without a curve have None."""
    assert load_target("core-i7-5930k").bandwidth_curve == ()
    assert load_target("a100").bandwidth_curve == ()


def test_a_curve_survives_the_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(target_toml(_target(), "mine"), "utf-8")
    assert load_target(str(path)).bandwidth_curve == _points()


@pytest.mark.parametrize(
    ("points", "field"),
    [
        (_points(SIZES[:1], SPEEDS[:1]), "bandwidth_curve: got 1 points"),
        (_points((1 << 18, 1 << 18), SPEEDS[:2]), r"bandwidth_curve\[1\].working_set_bits"),
        (_points(SIZES[:2], (1e11, 2e11)), r"bandwidth_curve\[1\].bandwidth_bits_per_s"),
        (_points(SIZES[:2], (1e11, 0.0)), r"bandwidth_curve\[1\].bandwidth_bits_per_s"),
    ],
)
def test_a_curve_that_cannot_be_is_refused_with_its_place(points, field):
    with pytest.raises(TargetError, match=field):
        check_rules(_target(points), "mine")


def test_a_microcontroller_has_none():
    """Flash and SRAM hold different data: there is no one working set."""
    target = load_target("stm32l4r5")
    wrong = msgspec.structs.replace(target, bandwidth_curve=_points(), sources={**target.sources, "mine": "by hand"})
    with pytest.raises(TargetError, match="one home"):
        check_rules(wrong, "mine")
