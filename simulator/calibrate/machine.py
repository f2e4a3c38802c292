"""From probes to a target file: this machine as `picojoule estimate --target my_machine.toml` reads it."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from ...models.graph import Graph
from ...models.model import Model
from ..target_base import Constant
from ..target_processor import CurvePoint, Level, ProcessorTarget
from ..workload import Overrides, Workload, make_workload
from .clock import LOW_QUALITY_BUSY
from .corrections import Observation, fit_corrections
from .probes import CSR_DENSITY, Measured, layer_graph, probe_list, run_probes

__all__ = ["calibrate_machine", "cpu_name", "target_from_probes"]

IDLE_W_PER_THREAD = (2.0, 0.5, 10.0)  # value, low, high
BUSY_W_PER_THREAD = (12.0, 4.0, 30.0)
LIBRARIES = ("numpy", "scipy", "onnxruntime")


def cpu_name() -> str:
    """The processor's own name, or the architecture where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return (found[1] if found else platform.processor() or platform.machine()).strip()


def _clock_hz() -> Constant:
    """The highest clock that the system names; 1 GHz, assumed, where it names none (no time depends on it)."""
    for path, scale, pattern in (
        ("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", 1e3, r"(\d+)"),
        ("/proc/cpuinfo", 1e6, r"cpu MHz\s*:\s*([\d.]+)"),
    ):
        try:
            found = re.search(pattern, Path(path).read_text())
        except OSError:
            continue
        if found:
            return Constant(value=float(found[1]) * scale, source="system", status="published")
    return Constant(value=1e9, source="guess", status="assumed")


def _versions() -> str:
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)


def _bandwidth(reads: Sequence[Measured]) -> tuple[Constant, Constant, Constant]:
    """(DRAM bandwidth, cache bandwidth, effective cache) from the rates by working set.

    DRAM is the largest working set's rate. The effective last-level cache ends at the largest set that is still
    read faster than the geometric mean of that and the median rate of the sets of 256 KiB to 2 MiB (or of all
    but the largest, where none is that size): on a shared or virtual machine that is less than the data sheet says.
    """
    sizes = np.array([m.probe.size for m in reads], float)
    rates = np.array([m.probe.size * 8 / m.timing.seconds for m in reads])
    far = float(rates[-1])
    middle = (sizes >= 2**18) & (sizes <= 2**21)
    near = max(far, float(np.median(rates[middle] if middle.any() else rates[:-1])))
    inside = sizes[:-1][rates[:-1] >= np.sqrt(near * far)]
    effective = float(inside.max() if inside.size else sizes[0]) * 8

    def measured(value: float, note: str) -> Constant:
        return Constant(value=value, source="probe", status="measured", note=note)

    return (
        measured(far, f"reading {reads[-1].probe.what}"),
        measured(near, "median of the middle working sets"),
        measured(effective, "largest working set read at the cache's rate"),
    )


def _curve(reads: Sequence[Measured]) -> tuple[CurvePoint, ...]:
    """The rate of every working set, a smaller one never below a larger one: that would be the call, not the cache."""
    rates = np.maximum.accumulate([m.probe.size * 8 / m.timing.seconds for m in reads][::-1])[::-1]
    measured = (Constant(value=float(rate), source="probe", status="measured") for rate in rates)
    return tuple(
        CurvePoint(working_set_bits=read.probe.size * 8, bandwidth_bits_per_s=rate)
        for read, rate in zip(reads, measured, strict=True)
    )


def _watts(values: tuple[float, float, float], threads: int) -> Constant:
    value, low, high = (amount * threads for amount in values)
    return Constant(value=value, low=low, high=high, source="power", status="assumed",
                    note="modelled: no energy counter entered")  # fmt: skip


def target_from_probes(
    measured: Sequence[Measured], *, name: str = "my-machine", threads: int = 1,
    power_w: tuple[float, float] | None = None,
) -> ProcessorTarget:  # fmt: skip
    """The target that reproduces the probes: bandwidth, peaks and overhead as measured, classes by correction.

    `power_w` are idle and busy watts from an energy counter; without them the power is assumed, and says so.
    """
    reads = [m for m in measured if m.probe.kind == "read"]
    dram, cache, effective = _bandwidth(reads)
    peaks = {
        m.probe.what: Constant(value=m.probe.size**3 / m.timing.seconds, source="probe", status="measured",
                               note=f"product of {m.probe.size} x {m.probe.size} matrices")
        for m in measured if m.probe.kind == "matmul"
    }  # fmt: skip
    chain = [m.timing.seconds for m in measured if m.probe.kind == "chain"]
    busy = float(np.median([m.timing.busy for m in measured]))
    idle_w, busy_w = (_watts(IDLE_W_PER_THREAD, threads), _watts(BUSY_W_PER_THREAD, threads))
    if power_w:
        idle_w, busy_w = (Constant(value=w, source="counter", status="measured") for w in power_w)
    today = datetime.date.today().isoformat()
    target = ProcessorTarget(
        schema=1, name=name, title=f"{cpu_name()}, {threads} thread{'s' * (threads > 1)}, measured {today}",
        kind="cpu", family="cpu", runtime="onnxruntime, numpy and scipy", executes=("dense", "csr"),
        scope="processor packages (RAPL)" if power_w else "processor; power assumed, not measured",
        units=threads, clock_hz=_clock_hz(), precision="fp32", peak_macs_per_s=peaks,  # type: ignore[arg-type]
        memories=(
            Level(name="llc", component="sram", capacity_bits=effective, bandwidth_bits_per_s=cache),
            Level(name="dram", component="dram", bandwidth_bits_per_s=dram),
        ),
        bandwidth_curve=_curve(reads),
        idle_w=idle_w, busy_w=busy_w,
        overhead_s=Constant(value=chain[0], source="probe", status="measured") if chain else None,
        quality="low" if busy < LOW_QUALITY_BUSY else "good", busy_share=round(busy, 4),
        sources={
            "probe": f"least CPU time of repeated calls, {threads} thread(s), {today}, {cpu_name()}, {_versions()}, "
                     f"busy {busy:.2f}",
            "system": "as the operating system reports it",
            "power": "watts a thread of desktop and server processors, assumed; no energy counter could be read",
            "counter": "processor packages' energy counters (RAPL) while idle and under matrix products",
            "guess": "assumed; no time depends on it",
        },
        notes=() if busy >= LOW_QUALITY_BUSY else (
            f"low quality: the processor was ours for {busy:.0%} of the time; run calibrate again on a quiet machine",
        ),
    )  # fmt: skip
    rows = _observations(measured)
    return fit_corrections(target, rows, common=False, bandwidth=False, overhead=not chain).target if rows else target


def _observations(measured: Sequence[Measured]) -> list[Observation]:
    rows = [
        Observation(m.probe.what, _workload(layer_graph(m.probe.what)), m.timing.seconds)
        for m in measured if m.probe.kind == "layer"
    ]  # fmt: skip
    for m in measured:
        if m.probe.kind == "csr":
            side, columns = m.probe.size, int(m.probe.what)
            graph = layer_graph(f"gemm:M={columns},N={side},K={side}")
            workload = _workload(graph, Overrides(density=CSR_DENSITY, storage="csr"))
            rows.append(Observation(f"csr, {columns} columns", workload, m.timing.seconds))
    return rows


def _workload(graph: Graph, overrides: Overrides | None = None) -> Workload:
    return make_workload(Model(graph.name, graph), 1, overrides)


def calibrate_machine(
    *, threads: int = 1, name: str = "my-machine", progress: Callable[[str, int, int], None] | None = None,
    tiny: bool = False,
) -> ProcessorTarget:  # fmt: skip
    """Measure this machine (under a minute) and describe it as a target.

    `progress(probe, done, total)` hears of each probe. Energy counters are used where they may be read.
    """
    from .power import measured_power_w

    total = len(probe_list(tiny))
    measured = []
    for found in run_probes(threads, tiny=tiny):
        measured.append(found)
        if progress:
            progress(f"{found.probe.kind} {found.probe.what}", len(measured), total)
    return target_from_probes(measured, name=name, threads=threads, power_w=measured_power_w(tiny=tiny))


def default_threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
