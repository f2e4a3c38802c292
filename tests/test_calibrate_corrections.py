"""Correction factors: what made up measurements hide is found again, and little data moves little."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from picojoule.cli import main
from picojoule.models.errors import InputError
from picojoule.simulator.calibrate.corrections import (
    Observation,
    fit_corrections,
    interval_of,
    leave_one_out,
    predict,
    with_factors,
)  # fmt: skip
from picojoule.simulator.calibrate.measured import read_measured
from picojoule.simulator.estimate import as_model, estimate
from picojoule.simulator.target import load_target
from picojoule.simulator.target_processor import CLASSES
from picojoule.simulator.workload import make_workload

TARGET = load_target("rtx-3090")
SPECS = (
    "gemm:M=64,N=1024,K=1024", "gemm:M=512,N=2048,K=2048", "gemm:M=1,N=4096,K=4096",
    "conv:N=8,K=256,C=256,H=28,W=28,R=3,S=3,pad=1", "conv:N=8,K=64,C=64,H=112,W=112,R=3,S=3,pad=1",
)  # fmt: skip
WORKLOADS = {spec: make_workload(as_model(spec)) for spec in SPECS}


def _rows(hidden, energy: bool = False) -> list[Observation]:
    """What a device with the hidden factors would measure."""
    truth = with_factors(TARGET, hidden, 0)
    rows = [Observation(spec, WORKLOADS[spec]) for spec in SPECS]
    found = [predict(truth, row) for row in rows]
    return [
        replace(row, latency_s=seconds, energy_pj=pj if energy else None)
        for row, (seconds, pj) in zip(rows, found, strict=True)
    ]


@settings(max_examples=5, deadline=None)
@given(rate=st.floats(0.3, 3.0), power=st.floats(0.4, 2.5))
def test_hidden_factors_are_found_again(rate, power):
    hidden = dict.fromkeys(CLASSES, rate) | {"power": power}
    fit = fit_corrections(TARGET, _rows(hidden, energy=True))
    for row in _rows(hidden, energy=True):
        seconds, pj = predict(fit.target, row)
        assert seconds == pytest.approx(row.latency_s, rel=0.1)
        assert pj == pytest.approx(row.energy_pj, rel=0.15)


def test_without_a_gap_nothing_moves():
    fit = fit_corrections(TARGET, _rows({}))
    assert all(factor == pytest.approx(1, abs=1e-3) for factor in fit.factors.values())


def test_one_row_moves_the_common_rate_and_stays_sensible():
    row = _rows(dict.fromkeys(CLASSES, 0.5))[1]
    fit = fit_corrections(TARGET, [row])
    assert all(0.2 < factor < 2 for factor in fit.factors.values())
    assert predict(fit.target, row)[0] == pytest.approx(row.latency_s, rel=0.1)
    other = _rows(dict.fromkeys(CLASSES, 0.5))[3]
    assert predict(fit.target, other)[0] == pytest.approx(other.latency_s, rel=0.5)


def test_an_outlier_pulls_less_than_it_would_by_squares():
    rows = _rows({})
    rows[1] = replace(rows[1], latency_s=rows[1].latency_s * 50)
    fitted = fit_corrections(TARGET, rows).target
    others = [predict(fitted, row)[0] / row.latency_s for place, row in enumerate(rows) if place != 1]
    assert all(0.4 < ratio < 2.5 for ratio in others)


def test_the_row_left_out_is_not_seen():
    rows = _rows({})
    spoiled = [*rows[:-1], replace(rows[-1], latency_s=1e6)]
    assert leave_one_out(TARGET, rows)[-1] == leave_one_out(TARGET, spoiled)[-1]


def test_an_interval_needs_five_measurements():
    rows = _rows({})
    predicted = [predict(TARGET, row) for row in rows]
    assert interval_of(rows[:4], predicted[:4]) is None
    assert interval_of(rows, predicted).latency_ratio == pytest.approx((1, 1))


def test_a_csv_in_milliseconds_calibrates_a_target(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [f'"{spec}",{1e3 * row.latency_s!r},{row.energy_pj / 1e9!r}'
             for spec, row in zip(SPECS, _rows(dict.fromkeys(CLASSES, 0.5), energy=True), strict=True)]  # fmt: skip
    (tmp_path / "m.csv").write_text("model,latency_ms,energy_mj\n" + "\n".join(lines) + "\n")
    assert main(["calibrate", "--from", "m.csv", "--target", "rtx-3090", "-o", "mine.toml", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["n"] == 5
    assert max(row["error_left_out"] for row in document["rows"] if row["metric"] == "latency_s") < 0.5
    mine = load_target("mine.toml")
    assert (mine.name, mine.mode, mine.interval.n) == ("mine", "calibrated", 5)
    cost = estimate(SPECS[1], "mine.toml")
    assert cost.totals["latency_s"] == pytest.approx(estimate(SPECS[1], TARGET).totals["latency_s"] * 2, rel=0.2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "0 measurements"),
        ("model,latency_s\n", "0 measurements"),
        ("model,seconds\nlenet-5,1\n", "line 1: got seconds"),
        ("model,latency_s,latency_s\nlenet-5,1,1\n", "a column twice"),
        ("model,latency_s,latency_ms\nlenet-5,1,1\n", "one unit"),
        ("latency_s\n1\n", "a header of model"),
        ("model,batch\nlenet-5,1\n", "a header of model"),
        ("model,latency_s\nlenet-5,-1\n", "line 2, latency_s: got -1"),
        ("model,latency_s\nlenet-5,nan\n", "line 2, latency_s: got nan"),
        ("model,latency_s\nlenet-5,1e999\n", "line 2, latency_s: got 1e999"),
        ("model,latency_s\nlenet-5\n", "line 2: got 1 cells"),
        ("model,latency_s\n,1\n", "line 2, model: got nothing"),
        ("model,latency_s\nlenet-5,\n", "line 2: got no latency"),
        ("model,latency_s\nlenet-6,1\n", "line 2: got MODEL: got lenet-6"),
        ("model,latency_s,batch\nlenet-5,1,two\n", "line 2, batch: got two"),
        ("model,latency_s,batch\nlenet-5,1,99999999999\n", "--batch"),
        ("model,latency_s,density\nlenet-5,1,7\n", "--density"),
        ("model,latency_s\n" + "lenet-5,1\n" * 1001, "1001 measurements"),
        ('model,latency_s\n"lenet-5,1\n', "CSV"),
        ("x" * (1 << 20) + "xx", "bytes"),
    ],
)
def test_bad_measurements_are_refused_with_line_and_column(text, said, tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        read_measured(str(path))
