"""The accuracy that was set as a goal, beside what is reached: each a set of rows, a median and a 90th percentile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..calibrate.cases_published import BEST_OF, CORES
from ..calibrate.published import read_rows
from .rows import error_of

__all__ = ["BARS", "Bar", "bar_rows"]

Row = dict[str, str]


@dataclass(frozen=True)
class Bar:
    """A goal over the rows of the out-of-fold table that `chosen` picks; errors are fractions."""

    name: str
    median: float
    p90: float
    chosen: Callable[[Row], bool]


@cache
def _best_runtimes() -> dict[tuple[str, str], str]:
    """The runtime with the lowest geometric mean on each board, by (board, metric)."""
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for row in read_rows("out_of_fold.csv"):
        if row["target"] in CORES:
            times = found.setdefault((row["target"], row["metric"]), {}).setdefault(row["dataset"], {})
            network = row["case"].split(",")[0]
            times[network] = min(times.get(network, np.inf), float(row["measured"]))
    best = {}
    for key, runtimes in found.items():
        whole = {name: times for name, times in runtimes.items() if len(times) == BEST_OF}
        best[key] = min(whole, key=lambda name: float(np.mean(np.log(list(whole[name].values())))))
    return best


def _eie(row: Row) -> bool:
    return row["dataset"].startswith("eie") and row["metric"] == "latency"


def _tiny(metric: str) -> Callable[[Row], bool]:
    def chosen(row: Row) -> bool:
        best = _best_runtimes().get((row["target"], metric))
        return row["target"] in CORES and row["metric"] == metric and row["dataset"] == best

    return chosen


def _kernels(mode: str) -> Callable[[Row], bool]:
    return lambda row: row["dataset"] == "deepbench" and row["mode"] == mode


BARS = (
    Bar("EIE Table IV, batch 1, calibrated", 0.13, 0.35, lambda row: _eie(row) and row["dataset"] == "eie 1"),
    Bar("EIE Table IV without mobile GPU batch 64, calibrated", 0.14, 0.40,
        lambda row: _eie(row) and (row["target"], row["dataset"]) != ("tegra-k1", "eie 64")),
    Bar("Deep Compression Tables 8 and 9, energy, calibrated", 0.20, 0.50,
        lambda row: row["dataset"] == "deep-compression"),
    Bar("DeepBench GEMM and convolution, datasheet", 0.30, 1.50, _kernels("datasheet")),
    Bar("DeepBench GEMM and convolution, calibrated", 0.15, 0.60, _kernels("calibrated")),
    Bar("timm networks on RTX 3090 and i9, calibrated", 0.15, 0.40,
        lambda row: row["dataset"] == "timm" and row["mode"] == "calibrated"),
    Bar("MLPerf Tiny, Cortex-M, best runtime, latency, datasheet", 0.20, 0.60, _tiny("latency")),
    Bar("MLPerf Tiny, Cortex-M, best runtime, energy, datasheet", 0.25, 0.60, _tiny("energy")),
)  # fmt: skip


def bar_rows() -> list[dict[str, Any]]:
    """One dict per goal: name, n, median, p90, the goals for both, and whether both are reached.

    >>> all(row["n"] >= 10 for row in bar_rows())
    True
    """
    rows = read_rows("out_of_fold.csv")
    out = []
    for bar in BARS:
        errors = np.array([error_of(float(r["predicted"]), float(r["measured"])) for r in rows if bar.chosen(r)])
        median, p90 = float(np.median(errors)), float(np.quantile(errors, 0.9))
        reached = median <= bar.median and p90 <= bar.p90
        out.append({"goal": bar.name, "n": len(errors), "median": median, "p90": p90, "median_goal": bar.median,
                    "p90_goal": bar.p90, "reached": reached})  # fmt: skip
    return out
