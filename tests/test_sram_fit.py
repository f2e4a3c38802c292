"""The power laws of SRAM energy are the least-squares fit of the CACTI runs in tests/data, and as good as they say."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from picojoule.simulator.sram_fit import FITS, sram_cost

RUNS = Path(__file__).parent / "data" / "cacti" / "sram.csv"
COLUMNS = {"read_pj": "read_pJ_per_access", "write_pj": "write_pJ_per_access", "leakage_mw": "leakage_mW",
           "area_mm2": "area_mm2"}  # fmt: skip


def runs(cell: str) -> list[dict[str, str]]:
    lines = [line for line in RUNS.read_text("utf-8").splitlines() if not line.startswith("#")]
    return [row for row in csv.DictReader(lines) if row["cell"] == cell.replace("cacti", "itrs")]


@pytest.mark.parametrize("fit", FITS)
def test_coefficients_are_the_least_squares_fit_of_the_runs(fit: str) -> None:
    rows = runs(fit)
    assert len(rows) == 66
    names = ("size_bytes", "width_bits", "tech_nm")
    size, width, node = (np.array([float(row[name]) for row in rows]) for name in names)
    where = np.stack([np.ones(len(rows)), np.log(size / 1024), np.log(width / 64), np.log(node / 45)], axis=1)
    for name, column in COLUMNS.items():
        known = np.log([float(row[column]) for row in rows])
        solved, *_ = np.linalg.lstsq(where, known, rcond=None)
        assert FITS[fit][name] == pytest.approx(tuple(solved), abs=6e-5)
    ratios = [
        float(row["read_pJ_per_access"])
        / sram_cost(fit, 8 * float(row["size_bytes"]), float(row["width_bits"]), float(row["tech_nm"])).read_pj
        for row in rows
    ]
    assert 0.76 < np.quantile(ratios, 0.1) < np.quantile(ratios, 0.9) < 1.32


def test_energy_grows_with_size_width_and_node() -> None:
    small = sram_cost("cacti-lstp", 8 * 8192, 64, 45)
    assert sram_cost("cacti-lstp", 8 * 65536, 64, 45).read_pj > small.read_pj
    assert sram_cost("cacti-lstp", 8 * 8192, 128, 45).read_pj > small.read_pj
    assert sram_cost("cacti-lstp", 8 * 8192, 64, 65).read_pj > small.read_pj
