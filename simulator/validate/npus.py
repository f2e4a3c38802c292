"""GAP9 and Syntiant in MLPerf Tiny: measured NPUs, apart from every goal and fit."""

from __future__ import annotations

from ..calibrate.cases_published import TINY_SOURCE
from ..calibrate.published import read_rows
from ..estimate import estimate
from .rows import ValidationRow

__all__ = ["NPUS", "npu_rows"]

NPUS = ("gap9-240mhz", "gap9-370mhz", "syntiant-ndp9120-30mhz", "syntiant-ndp9120-98mhz")
TIMES = "no time is fitted; the class table is the microcontrollers', products a cycle are assumed"
ENERGIES = "power is the median of these rows' own: in the fit"


def npu_rows(name: str) -> list[ValidationRow]:
    """Latencies, then energies, of the four networks in their submissions.

    >>> [row.metric for row in npu_rows("gap9-370mhz")].count("latency")
    4
    """
    out = []
    for row in read_rows("mlperf_tiny.csv"):
        energy = row["mode"] == "energy"
        if row["board"] != name or (energy and not row["energy_uj"]):
            continue
        totals = estimate(row["benchmark"], name).totals
        out.append(ValidationRow(
            target=name, metric="energy" if energy else "latency", unit="J" if energy else "s",
            case=f"{row['benchmark']}, {row['runtime']}, {row['submitter']}",
            measured=float(row["energy_uj"]) * 1e-6 if energy else float(row["latency_ms"]) * 1e-3,
            predicted=totals["energy_pj"] * 1e-12 if energy else totals["latency_s"],
            mode="calibrated" if energy else "datasheet", protocol=ENERGIES if energy else TIMES,
            left_out="", in_fit=energy, status="published", source=TINY_SOURCE,
        ))  # fmt: skip
    return sorted(out, key=lambda row: row.metric != "latency")
