"""EIE against its own paper: Table IV times, Table V power and throughput, Fig. 7 energies. Nothing is fitted."""

from __future__ import annotations

from functools import cache

import numpy as np

from ..calibrate.published import Benchmark, benchmarks, energy_ratios, published_times
from ..eie import layer_cycles
from ..processors.eie_chip import columns_per_batch
from ..structure import random_structure
from ..target import EieTarget, load_target
from .rows import ValidationRow

__all__ = ["SEEDS", "eie_rows", "predict_times"]

SEEDS = 20
PLATFORM = "EIE 64PE 800MHz"
CPU = "CPU Core i7-5930k"
PROTOCOL = f"random masks at Table III's densities, mean of {SEEDS} fixed seeds"
TABLE_V = "Han et al., ISCA 2016, arXiv:1602.01528v2, Table V"
TEXT = "Han et al., ISCA 2016, arXiv:1602.01528v2, Fig. 7 (0.600 W)"
FIG7 = "Han et al., ISCA 2016, Fig. 7 over Han et al., ICLR 2016, Tables 8 and 9 (CPU dense)"


def _work(layer: Benchmark, target: EieTarget, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Entries on each PE of the active columns of one random mask, and which columns these are."""
    count = round(layer.activation_density * layer.columns)
    rng = np.random.default_rng([seed, layer.rows, layer.columns])
    active = np.sort(rng.choice(layer.columns, count, replace=False))
    mask = random_structure(layer.rows, count, round(layer.weight_density * layer.rows * count), seed)
    return mask.interleaved_entries(target.n_pe, target.zero_run_bits), active


@cache
def predict_times(seeds: int = SEEDS) -> dict[str, tuple[float, float]]:
    """(balanced, actual) seconds of EIE's nine benchmarks, means over random masks.

    Balanced is the paper's "theoretical" time: entries with padding / (64 PEs x clock).
    """
    target = load_target("eie")
    assert isinstance(target, EieTarget)
    out = {}
    for name, layer in benchmarks().items():
        work, active = zip(*(_work(layer, target, seed) for seed in range(seeds)), strict=True)
        cycles, performed = layer_cycles(
            work, active, fifo_depth=target.fifo_depth, columns_per_batch=columns_per_batch(target)
        )
        clock = target.clock_hz.value
        out[name] = (float(performed.mean()) / target.n_pe / clock, float(cycles.mean()) / clock)
    return out


def _row(
    metric: str, unit: str, case: str, measured: float, predicted: float, status: str, source: str
) -> ValidationRow:
    return ValidationRow(
        "eie", metric, unit, case, measured, predicted, "datasheet", PROTOCOL, "everything", False, status, source
    )


def _time_rows() -> list[ValidationRow]:
    times = predict_times()
    rows = []
    for published in published_times(PLATFORM):
        actual = published.matrix == "actual"
        metric = "latency" if actual else "balanced latency"
        predicted = times[published.layer][1 if actual else 0]
        rows.append(_row(metric, "s", published.layer, published.time_s, predicted, "published", published.source))
    return rows


def _energy_rows(power_w: float) -> list[ValidationRow]:
    """Fig. 7: the energy of EIE is the CPU's dense energy over the bar."""
    bars = energy_ratios("Fig7 energy efficiency")
    dense = {t.layer: t for t in published_times(CPU) if t.batch == 1 and t.matrix == "dense" and t.power_w}
    actual = {t.layer: t.time_s for t in published_times(PLATFORM) if t.matrix == "actual"}
    rows = []
    for layer, published in dense.items():
        measured = published.time_s * (published.power_w or 0.0) / bars[layer]
        predicted = power_w * predict_times()[layer][1]
        rows.append(_row("energy, Fig. 7", "J", layer, measured, predicted, "derived", FIG7))
        rows.append(
            _row("energy at the published time", "J", layer, measured, power_w * actual[layer], "derived", FIG7)
        )
    return rows


def eie_rows() -> list[ValidationRow]:
    """Every comparison of the target `eie`."""
    target = load_target("eie")
    assert isinstance(target, EieTarget)
    power_w = sum(target.power_w.values())
    frames = 1 / predict_times()["Alex-7"][1]
    return [
        *_time_rows(),
        _row("power", "W", "Fig. 7", 0.600, power_w, "published", TEXT),
        _row("power", "W", "Table V", 0.59, power_w, "published", TABLE_V),
        _row("throughput", "1/s", "FC7 of AlexNet", 81967.0, frames, "published", TABLE_V),
        *_energy_rows(power_w),
    ]
