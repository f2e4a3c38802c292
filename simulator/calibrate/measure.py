"""A real network on this machine beside its prediction."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..estimate import as_model, estimate
from ..target import Target
from .clock import LOW_QUALITY_BUSY, time_call
from .counters import find_counter
from .machine import cpu_name
from .runtime import file_call, graph_call

__all__ = ["Measurement", "measure_model"]

BUDGET_S = 2.0
ENERGY_S = 2.0


@dataclass(frozen=True)
class Measurement:
    """Seconds and pJ of one batch, measured here and predicted for `target`; None where nothing could be read."""

    model: str
    target: str
    machine: str
    batch: int
    threads: int
    measured_s: float
    predicted_s: float
    measured_pj: float | None
    predicted_pj: float
    busy: float
    samples: int
    interval_s: tuple[float, float] | None
    warnings: tuple[str, ...]

    @property
    def error(self) -> float | None:
        """max(p / m, m / p) - 1 of the time; None where nothing is modelled."""
        if not self.predicted_s:
            return None
        return max(self.predicted_s / self.measured_s, self.measured_s / self.predicted_s) - 1

    def document(self) -> dict[str, Any]:
        """The measurement for --json."""
        return {"schema": 1, **asdict(self), "error": self.error}


def measure_model(
    text: str, target: Target, *, threads: int = 1, batch: int = 1, budget_s: float = BUDGET_S,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Measurement:  # fmt: skip
    """Run a MODEL with onnxruntime: an ONNX file as it is, anything else exported with its own or random weights.

    The least CPU time over the threads counts, after a first call; see `clock.time_call`.
    """
    model = as_model(text, shapes)
    if text.endswith(".onnx") and batch == 1:
        call = file_call(text, {name: model.graph.tensors[name].shape for name in model.graph.inputs}, threads=threads)
    else:
        call = graph_call(model.graph, threads=threads, batch=batch)
    timing = time_call(call, budget_s=budget_s, threads=threads)
    predicted = estimate(model, target, batch=batch)
    totals = predicted.totals
    spread = (predicted.intervals or {}).get("latency_s")
    interval = (float(spread[0]), float(spread[1])) if spread else None
    measured_pj = _energy_pj(call, min(budget_s, ENERGY_S))
    return Measurement(
        model.name, target.name, cpu_name(), int(totals.get("batch", batch)), threads, timing.seconds,
        float(totals["latency_s"]), measured_pj, float(totals["energy_pj"]), timing.busy, timing.samples, interval,
        tuple(_warnings(timing.seconds, timing.busy, interval, measured_pj, target.name)),
    )  # fmt: skip


def _warnings(
    seconds: float, busy: float, interval: tuple[float, float] | None, measured_pj: float | None, target: str
) -> list[str]:
    said = []
    if busy < LOW_QUALITY_BUSY:
        said.append(f"the processor was ours for {busy:.0%} of the time: other work may have slowed its caches")
    if interval and not interval[0] <= seconds <= interval[1]:
        said.append(f"measured time lies outside the interval of {target}, {interval[0]:.3g} to {interval[1]:.3g} s")
    if measured_pj is None:
        said.append("energy is modelled only: no energy counter can be read here")
    return said


def _energy_pj(call: Callable[[], object], seconds: float) -> float | None:
    """pJ of one call by the packages' counter, whatever else ran included; None without a counter."""
    counter = find_counter()
    if counter is None:
        return None
    before, began, calls = counter.read_uj(), time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        call()
        calls += 1
    joules = counter.joules(before, counter.read_uj())
    return joules / calls * 1e12 if joules > 0 else None
