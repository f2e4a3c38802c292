"""The published measurements that ship with the package, as typed rows (CSV files in `simulator/validate`)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

__all__ = ["Benchmark", "PublishedTime", "benchmarks", "energy_ratios", "published_times", "read_rows"]

BENCHMARKS = "eie_table3_benchmarks.csv"
TIMES = "eie_table4_walltime_us.csv"
POWERS = "dc_table8_9_time_power.csv"
BARS = "eie_fig6_fig7_bars.csv"
POWER_NAMES = {"AlexNet": "Alex", "VGG16": "VGG"}
POWER_SOURCE = "Han et al., ICLR 2016, arXiv:1510.00149v5, Tables 8 and 9"


@dataclass(frozen=True)
class Benchmark:
    """One layer of EIE's Table III: weight matrix rows x columns (outputs x inputs) and its densities."""

    layer: str
    rows: int
    columns: int
    weight_density: float
    activation_density: float

    @property
    def shape(self) -> str:
        """Layers of one shape are one fold: they are left out together.

        >>> benchmarks()["Alex-7"].shape == benchmarks()["VGG-7"].shape
        True
        """
        return f"{self.rows}x{self.columns}"


@dataclass(frozen=True)
class PublishedTime:
    """One time of EIE's Table IV, seconds per frame, with the platform's power where Table 9 has it, W."""

    platform: str
    batch: int
    matrix: str
    layer: str
    time_s: float
    power_w: float | None
    source: str


@cache
def read_rows(file: str) -> tuple[dict[str, str], ...]:
    """Rows of one of the CSV files, as they are.

    >>> read_rows(TIMES)[0]["time_us"]
    '7516.2'
    """
    folder = resources.files(str(__package__).rpartition(".")[0]).joinpath("validate")
    return tuple(csv.DictReader(folder.joinpath(file).read_text("utf-8").splitlines()))


@cache
def benchmarks() -> dict[str, Benchmark]:
    """The nine benchmarks of EIE by name.

    >>> benchmarks()["Alex-6"]
    Benchmark(layer='Alex-6', rows=4096, columns=9216, weight_density=0.09, activation_density=0.351)
    """
    return {
        row["layer"]: Benchmark(
            row["layer"],
            int(row["size_out"]),
            int(row["size_in"]),
            round(float(row["weight_pct"]) / 100, 6),
            round(float(row["act_pct"]) / 100, 6),
        )
        for row in read_rows(BENCHMARKS)
    }


def _powers() -> dict[tuple[str, int, str, str], float]:
    """W by (first word of the platform, batch, matrix, layer in EIE's naming)."""
    found = {}
    for row in read_rows(POWERS):
        network, layer = row["layer"].split(" FC")
        key = (row["platform"].split(" (")[0], int(row["batch"]), row["matrix"], f"{POWER_NAMES[network]}-{layer}")
        found[key] = float(row["power_W"])
    return found


@cache
def published_times(platform: str) -> tuple[PublishedTime, ...]:
    """Times of one platform, by its name in Table IV; powers by the same name without its first word.

    >>> rows = published_times("GPU Titan X")
    >>> len(rows), sum(row.power_w is not None for row in rows)
    (36, 24)
    """
    powers, name = _powers(), platform.split(" ", 1)[1]
    found = []
    for row in read_rows(TIMES):
        if row["platform"] != platform:
            continue
        key = (int(row["batch"]), row["matrix"], row["layer"])
        power = next((w for (who, *rest), w in powers.items() if who == name and tuple(rest) == key), None)
        found.append(PublishedTime(platform, *key, round(float(row["time_us"]) * 1e-6, 12), power, row["source"]))
    return tuple(found)


def energy_ratios(figure: str, series: str = "EIE") -> dict[str, float]:
    """Bars of EIE's Fig. 6 ("Fig6 speedup") or Fig. 7 ("Fig7 energy efficiency") over CPU dense, by layer.

    >>> energy_ratios("Fig7 energy efficiency")["Alex-6"]
    34522.0
    """
    rows = [row for row in read_rows(BARS) if row["figure"] == figure and row["series"] == series]
    return {row["layer"]: float(row["ratio_vs_cpu_dense"]) for row in rows}
