"""`picojoule calibrate` and `measure` on this very machine: small probes, real libraries, real files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from picojoule.cli import main
from picojoule.models.build import GraphBuilder
from picojoule.models.exporters.onnx import export_onnx
from picojoule.models.load import load_model
from picojoule.simulator.calibrate.clock import Timing, time_call
from picojoule.simulator.calibrate.counters import RaplCounter, find_counter
from picojoule.simulator.calibrate.machine import calibrate_machine, target_from_probes
from picojoule.simulator.calibrate.measure import measure_model
from picojoule.simulator.calibrate.power import measured_power_w
from picojoule.simulator.calibrate.probes import Measured, Probe, probe_list, run_probe
from picojoule.simulator.calibrate.runtime import with_random_weights
from picojoule.simulator.calibrate.write import target_toml
from picojoule.simulator.estimate import estimate
from picojoule.simulator.target import load_target, parse_target

TINY = "gemm:M=8,N=64,K=64"


@pytest.fixture(scope="module")
def target():
    return calibrate_machine(tiny=True)


def test_a_busy_loop_keeps_the_processor_and_a_pause_does_not():
    def spin() -> None:
        end = time.process_time() + 0.005
        while time.process_time() < end:
            pass

    timing = time_call(spin, budget_s=0.05)
    assert timing.seconds == pytest.approx(0.005, rel=0.2)
    assert time_call(lambda: time.sleep(0.01), budget_s=0.05).busy < 0.2


def test_every_kind_of_probe_runs_and_takes_time():
    measured = [run_probe(probe, budget_s=0.005) for probe in probe_list(tiny=True)]
    assert {m.probe.kind for m in measured} == {"read", "matmul", "layer", "chain", "csr"}
    assert all(0 < m.timing.seconds < 1 and 0 < m.timing.busy <= 1 for m in measured)


def test_the_measured_target_reads_back_and_estimates_a_network(target, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(target_toml(target, "measured"))
    again = load_target(str(path))
    assert again.peak_macs_per_s["fp32"].value == pytest.approx(target.peak_macs_per_s["fp32"].value, rel=1e-5)
    assert again.mode == "calibrated"
    assert all(constant.status == "measured" for constant in again.corrections.values())
    assert 0 < estimate("mobilenet-v2", str(path)).totals["latency_s"] < 60


def test_power_is_assumed_and_said_so_where_no_counter_can_be_read(target):
    if find_counter() is None:
        assert target.idle_w.status == "assumed"
        assert "assumed" in target.scope
    assert estimate(TINY, target).totals["energy_pj"] > 0


def _by_hand(busy: float) -> list[Measured]:
    """A machine of 10 GB/s memory, 40 GB/s cache of 1 MiB, 20 GMAC/s."""
    def timing(seconds: float) -> Timing:
        return Timing(seconds, busy, 3)

    reads = [(2**18, 40e9), (2**20, 40e9), (2**22, 10e9), (2**25, 10e9)]
    return [
        *(Measured(Probe("read", f"{size} B", size), timing(size / rate)) for size, rate in reads),
        Measured(Probe("matmul", "fp32", 100), timing(1e6 / 20e9)),
    ]


def test_bandwidth_peak_and_effective_cache_by_hand():
    target = target_from_probes(_by_hand(busy=1.0))
    cache, dram = target.memories
    assert cache.capacity_bits.value == 8 * 2**20
    assert cache.bandwidth_bits_per_s.value == pytest.approx(320e9)
    assert dram.bandwidth_bits_per_s.value == pytest.approx(80e9)
    assert target.peak_macs_per_s["fp32"].value == pytest.approx(20e9)


@pytest.mark.parametrize(("busy", "quality"), [(0.79, "low"), (0.81, "good")])
def test_a_machine_that_others_used_is_marked_low(busy, quality):
    target = target_from_probes(_by_hand(busy))
    assert (target.quality, target.busy_share) == (quality, busy)
    assert bool(target.notes) == (quality == "low")
    assert parse_target(target_toml(target, "x").encode(), "x.toml").quality == quality


def test_a_layer_probe_moves_its_class_and_no_other():
    slow = estimate(TINY, target_from_probes(_by_hand(1.0))).totals["latency_s"] * 3
    target = target_from_probes([*_by_hand(1.0), Measured(Probe("layer", TINY), Timing(slow, 1.0, 3))])
    assert set(target.corrections) <= {"gemm", "overhead"}
    assert estimate(TINY, target).totals["latency_s"] == pytest.approx(slow, rel=0.1)


def test_rapl_counts_every_package_once_and_survives_a_wrap(tmp_path):
    for zone, used in (("intel-rapl:0", 90), ("intel-rapl:0:0", 5), ("intel-rapl:1", 10)):
        folder = tmp_path / zone
        folder.mkdir()
        (folder / "energy_uj").write_text(str(used))
        (folder / "max_energy_range_uj").write_text("100")
    counter = find_counter(tmp_path)
    assert counter.read_uj() == (90, 10)
    assert counter.joules((90, 10), (20, 15)) == pytest.approx(35e-6)
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    assert find_counter(tmp_path) is None


def test_a_counter_that_stands_still_gives_no_watts(tmp_path):
    (tmp_path / "energy_uj").write_text("7")
    assert measured_power_w(RaplCounter((tmp_path / "energy_uj",), (100,)), tiny=True) is None


def test_random_weights_keep_what_is_known():
    graph = load_model("lenet-300-100@deep-compression").graph
    assert with_random_weights(graph) is graph
    drawn = with_random_weights(load_model("lenet-5").graph)
    assert all(parameter.known for parameter in drawn.parameters.values())
    values = drawn.parameters["ip1.weight"].values
    assert np.std(values) == pytest.approx(800**-0.5, rel=0.02)


def test_measure_runs_a_network_and_an_onnx_file(tmp_path, capsys):
    found = measure_model("lenet-5", load_target("rtx-3090"), budget_s=0.02)
    ratio = found.predicted_s / found.measured_s
    assert found.error == pytest.approx(max(ratio, 1 / ratio) - 1)
    b = GraphBuilder("mine", (1, 3, 8, 8))
    b.conv("conv", 4, 3)
    path = tmp_path / "mine.onnx"
    path.write_bytes(export_onnx(with_random_weights(b.build())))
    assert main(["measure", str(path), "--target", "rtx-3090", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["measured_s"] > 0
    assert document["predicted_pj"] > 0
    assert document["measured_pj"] is None or document["measured_pj"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["calibrate", "-o", "x.json"], ".toml"),
        (["calibrate", "-o", "nowhere/x.toml"], "folder does not exist"),
        (["calibrate", "-o", "x.toml", "--threads", "0"], "--threads: got 0"),
        (["calibrate", "-o", "x.toml", "--target", "rtx-3090"], "--from FILE.csv"),
        (["calibrate", "-o", "x.toml", "--from", "no.csv", "--target", "rtx-3090"], "no such file"),
        (["calibrate", "-o", "x.toml", "--from", "no.csv"], "no --target"),
        (["calibrate", "-o", "x.toml", "--from", "no.csv", "--gpu"], "one of them"),
        (["calibrate", "-o", "x.toml", "--from", "no.csv", "--target", "eie"], "only those have correction factors"),
        (["measure", "no.onnx", "--target", "rtx-3090"], "no such file"),
        (["measure", "lenet-5", "--target", "nothing"], "--target"),
    ],
)
def test_one_line_for_what_cannot_be(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert said in printed.err
    assert not printed.out
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_calibration_leaves_no_file(tmp_path):
    command = [sys.executable, "-m", "picojoule", "calibrate", "-o", "mine.toml"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
                          start_new_session=True) as child:  # fmt: skip
        assert child.stderr is not None
        begun = child.stderr.read(len("\rcalibrate"))  # its progress bar: the first probe has been measured
        os.killpg(child.pid, signal.SIGINT)
        _, error = child.communicate(timeout=60)
    assert begun == b"\rcalibrate"
    assert child.returncode == 130
    assert b"Traceback" not in error
    assert list(Path(tmp_path).iterdir()) == []
