"""The GPU path on a simulated device: an exact machine of stated rates and watts. It has not run on silicon."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from picojoule.cli import main
from picojoule.models.model import Model
from picojoule.simulator.calibrate.gpu import NOT_ON_SILICON, GpuProbe, calibrate_gpu, gpu_csv, gpu_probes, measure_gpu
from picojoule.simulator.calibrate.probes import layer_graph
from picojoule.simulator.calibrate.write import target_toml
from picojoule.simulator.estimate import estimate
from picojoule.simulator.target import parse_target
from picojoule.simulator.workload import make_workload

RATES = {"fp32": 10e12, "fp16": 80e12}
BYTES_PER_S = 1e12
IDLE_W, BUSY_W = 50.0, 250.0


class SimulatedGpu:
    """Computes at its rates, copies at its bandwidth, draws its watts; the clock moves only when it works."""

    name, software, units, clock_hz = "Simulated GPU", "simulation", 64, 1.5e9
    memory_bytes, cache_bytes, precisions = 16 << 30, 6 << 20, ("fp32", "fp16")

    def __init__(self, counter: bool = True) -> None:
        self._counter, self._mj = counter, 1e6

    def prepare(self, probe: GpuProbe) -> Callable[[], float]:
        if probe.kind == "copy":
            return lambda: 2 * int(probe.spec) / BYTES_PER_S
        graph = layer_graph(probe.spec)
        macs = float(make_workload(Model(graph.name, graph)).macs.sum())
        gain = 2 if probe.kind == "sparse24" else 1
        return lambda: macs / RATES[probe.precision] / gain

    def seconds(self, call: Callable[[], object]) -> float:
        return float(call())  # type: ignore[arg-type]

    def run_for(self, call: Callable[[], object] | None, seconds: float) -> tuple[int, float]:
        self._mj += 1e3 * seconds * (IDLE_W if call is None else BUSY_W)
        return (0 if call is None else round(seconds / self.seconds(call))), seconds

    def energy_mj(self) -> int | None:
        return round(self._mj) if self._counter else None


def test_times_and_energies_are_those_that_the_device_has():
    rows, idle_w = measure_gpu(SimulatedGpu())
    assert idle_w == pytest.approx(IDLE_W)
    by_probe = {row.probe: row for row in rows}
    product = by_probe[GpuProbe("gemm", "gemm:M=4096,N=4096,K=4096", "fp16")]
    assert product.latency_s == pytest.approx(4096**3 / 80e12)
    assert product.energy_pj == pytest.approx((BUSY_W - IDLE_W) * product.latency_s * 1e12)
    sparse = by_probe[GpuProbe("sparse24", "gemm:M=4096,N=4096,K=4096", "fp16")]
    assert sparse.latency_s == pytest.approx(product.latency_s / 2)
    assert len(rows) == len(gpu_probes(("fp32", "fp16")))


def test_the_target_has_the_devices_peaks_bandwidth_and_watts():
    target, rows = calibrate_gpu(SimulatedGpu(), name="sim")
    again = parse_target(target_toml(target, "x").encode(), "sim.toml")
    assert again.peak_macs_per_s["fp16"].value == pytest.approx(80e12)
    assert again.memories[-1].bandwidth_bits_per_s.value == pytest.approx(8e12)
    assert (again.idle_w.value, again.busy_w.value) == pytest.approx((IDLE_W, BUSY_W))
    assert again.idle_w.status == "measured"
    assert NOT_ON_SILICON in again.notes
    large = estimate("gemm:M=4096,N=4096,K=4096", again).totals["latency_s"]
    assert large == pytest.approx(4096**3 / 10e12, rel=0.3)
    assert gpu_csv(rows).count("\n") == len(rows) + 1


def test_without_a_counter_power_is_assumed_and_never_zero():
    target, rows = calibrate_gpu(SimulatedGpu(counter=False))
    assert all(row.energy_pj is None for row in rows)
    assert target.idle_w.status == target.busy_w.status == "assumed"
    assert "assumed" in target.scope
    assert estimate("gemm:M=64,N=64,K=64", target).totals["energy_pj"] > 0


def test_one_line_where_there_is_no_gpu(tmp_path, monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.fail("this machine has a GPU: run picojoule calibrate --gpu and remove the words about silicon")
    monkeypatch.chdir(tmp_path)
    assert main(["calibrate", "--gpu", "-o", "mine.toml"]) == 1
    assert "no NVIDIA GPU" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
