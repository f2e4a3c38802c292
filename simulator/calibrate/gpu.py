"""What `picojoule calibrate --gpu` measures on a GPU: products, convolutions, 2:4 weights, copies, energy.

Everything goes through a `Device`; `gpu_torch.py` has the real one. The whole path is tested on a simulated
device; it has not yet run on silicon, and the files it writes say so until somebody's has.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ...models.model import Model
from ..target_base import Constant
from ..target_processor import Level, ProcessorTarget
from ..workload import Overrides, make_workload
from .corrections import Observation, fit_corrections
from .probes import layer_graph

__all__ = ["Device", "GpuProbe", "GpuRow", "calibrate_gpu", "gpu_csv", "gpu_probes", "gpu_target", "measure_gpu"]

Kind = Literal["gemm", "conv", "sparse24", "copy"]
ENERGY_S = 2.5  # of each energy loop: NVML's counter moves every 20 to 100 ms
IDLE_S = 2.0
NOT_ON_SILICON = "this path is tested on a simulated device and has not run on silicon: compare before you believe it"
SIZES = (1024, 2048, 4096, 8192)
CONVS = (
    "conv:N=32,K=64,C=3,H=224,W=224,R=7,S=7,stride=2,pad=3", "conv:N=32,K=64,C=64,H=56,W=56,R=3,S=3,pad=1",
    "conv:N=32,K=256,C=256,H=14,W=14,R=3,S=3,pad=1", "conv:N=32,K=256,C=64,H=56,W=56,R=1,S=1",
    "conv:N=32,K=144,C=144,H=56,W=56,R=3,S=3,pad=1,groups=144",
)  # fmt: skip
NARROW = ("gemm:M=1,N=8192,K=8192", "gemm:M=64,N=1000,K=4096")  # a vector, and too few columns for every unit
COPY_BYTES = 1 << 30


class Device(Protocol):
    """One GPU. `seconds` is the device time of one call by its own events, `energy_mj` a counter since some moment."""

    name: str
    software: str
    units: int
    clock_hz: float
    memory_bytes: int
    cache_bytes: int
    precisions: tuple[str, ...]

    def prepare(self, probe: GpuProbe) -> Callable[[], object]:
        """A call that starts the probe's kernel once."""
        ...

    def seconds(self, call: Callable[[], object]) -> float: ...

    def run_for(self, call: Callable[[], object] | None, seconds: float) -> tuple[int, float]:
        """(calls, wall seconds) of a loop of about `seconds`; None waits instead."""
        ...

    def energy_mj(self) -> int | None:
        """Millijoules; None where the device has no counter."""
        ...


@dataclass(frozen=True)
class GpuProbe:
    """`spec` is a MODEL string of one layer, or for a copy its bytes; `precision` what the operands are."""

    kind: Kind
    spec: str
    precision: str


@dataclass(frozen=True)
class GpuRow:
    """A probe with its device time, and its energy above idle where a counter could be read."""

    probe: GpuProbe
    latency_s: float
    energy_pj: float | None
    power_w: float | None


def gpu_probes(precisions: Sequence[str]) -> tuple[GpuProbe, ...]:
    """Products, convolutions and matrix-vector products in every precision, 2:4 in fp16, copies."""
    found = [GpuProbe("copy", str(COPY_BYTES), "fp32")]
    for precision in precisions:
        found += [GpuProbe("gemm", f"gemm:M={n},N={n},K={n}", precision) for n in SIZES]
        found += [GpuProbe("gemm", spec, precision) for spec in NARROW]
        found += [GpuProbe("conv", spec, precision) for spec in CONVS]
    if "fp16" in precisions:
        found += [GpuProbe("sparse24", f"gemm:M={n},N={n},K={n}", "fp16") for n in SIZES[1:]]
    return tuple(found)


def measure_gpu(
    device: Device, progress: Callable[[str, int, int], None] | None = None
) -> tuple[list[GpuRow], float | None]:
    """(rows, idle watts): device time of every probe, energy = counter over a loop / calls, idle power subtracted."""
    idle_w = _power(device, None)
    probes = gpu_probes(device.precisions)
    rows = []
    for place, probe in enumerate(probes, 1):
        call = device.prepare(probe)
        seconds = device.seconds(call)
        power = _power(device, call) if idle_w is not None else None
        energy = None if power is None or idle_w is None else max(0.0, power - idle_w) * seconds * 1e12
        rows.append(GpuRow(probe, seconds, energy, power))
        if progress:
            progress(f"{probe.kind} {probe.precision}", place, len(probes))
    return rows, idle_w


def _power(device: Device, call: Callable[[], object] | None) -> float | None:
    """Mean watts over a loop of calls, or over a pause; None without a counter."""
    before = device.energy_mj()
    _, wall = device.run_for(call, IDLE_S if call is None else ENERGY_S)
    after = device.energy_mj()
    return None if before is None or after is None else (after - before) * 1e-3 / wall


def _rate(row: GpuRow) -> float:
    """MAC/s."""
    model = layer_graph(row.probe.spec)
    return float(make_workload(Model(model.name, model)).macs.sum()) / row.latency_s


def gpu_target(
    device: Device, rows: Sequence[GpuRow], idle_w: float | None, *, name: str = "my-gpu"
) -> ProcessorTarget:
    """The target that reproduces the rows; power is assumed, and says so, where no counter could be read."""
    note = f"device events on {device.name}, {device.software}; {NOT_ON_SILICON}"

    def measured(value: float) -> Constant:
        return Constant(value=value, source="probe", status="measured")

    best: dict[str, float] = {}
    for row in rows:
        if row.probe.kind == "gemm":
            best[row.probe.precision] = max(best.get(row.probe.precision, 0.0), _rate(row))
    copies = [2 * 8 * int(row.probe.spec) / row.latency_s for row in rows if row.probe.kind == "copy"]
    powers = [row.power_w for row in rows if row.power_w]
    precision = "fp32" if "fp32" in best else min(best)
    idle = Constant(value=30.0, low=10.0, high=80.0, source="power", status="assumed")
    busy = Constant(value=300.0, low=75.0, high=700.0, source="power", status="assumed")
    if idle_w and powers:
        idle = Constant(value=idle_w, source="counter", status="measured")
        busy = Constant(value=max(idle_w, *powers), source="counter", status="measured")
    target = ProcessorTarget(
        schema=1, name=name, title=f"{device.name}, {device.software}", kind="gpu", family="gpu",
        runtime=device.software, scope="board (NVML)" if idle_w is not None else "board; power assumed, not measured",
        executes=("dense",), units=device.units, clock_hz=measured(device.clock_hz), precision=precision,  # type: ignore[arg-type]
        peak_macs_per_s={name: measured(rate) for name, rate in best.items()},  # type: ignore[misc]
        memories=(
            Level(name="l2", component="sram", capacity_bits=measured(8.0 * device.cache_bytes)),
            Level(name="dram", component="dram", capacity_bits=measured(8.0 * device.memory_bytes),
                  bandwidth_bits_per_s=measured(max(copies))),
        ),
        sources={
            "probe": note,
            "counter": "NVML total energy counter over loops of 2 to 5 s; the idle power is that of a pause",
            "power": "a board's idle and rated power, assumed: no energy counter could be read",
        },
        notes=(NOT_ON_SILICON,), idle_w=idle, busy_w=busy,
    )  # fmt: skip
    observations = [_observation(row) for row in rows if row.probe.kind in ("gemm", "conv")]
    return fit_corrections(target, observations, common=False, bandwidth=False).target


def _observation(row: GpuRow) -> Observation:
    bits = {"fp64": None, "fp32": None, "tf32": None, "fp16": 16, "bf16": 16, "int8": 8}.get(row.probe.precision)
    graph = layer_graph(row.probe.spec)
    workload = make_workload(Model(graph.name, graph), 1, Overrides(bits=bits, activation_bits=bits))
    return Observation(f"{row.probe.spec}, {row.probe.precision}", workload, row.latency_s)


def calibrate_gpu(
    device: Device, *, name: str = "my-gpu", progress: Callable[[str, int, int], None] | None = None
) -> tuple[ProcessorTarget, list[GpuRow]]:
    """Measure a GPU and describe it; the rows are what the target was made from."""
    rows, idle_w = measure_gpu(device, progress)
    return gpu_target(device, rows, idle_w, name=name), rows


def gpu_csv(rows: Sequence[GpuRow]) -> str:
    """The rows as CSV: kind, spec, precision, latency_s, energy_pj above idle, power_w; empty where not measured."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(("kind", "spec", "precision", "latency_s", "energy_pj", "power_w"))
    for row in rows:
        numbers = [f"{value:.6g}" if value is not None else "" for value in (row.latency_s, row.energy_pj, row.power_w)]
        out.writerow((row.probe.kind, row.probe.spec, row.probe.precision, *numbers))
    return text.getvalue()
