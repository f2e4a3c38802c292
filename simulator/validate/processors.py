"""Processors against published times and energies: predictions that never saw their own measurement.

The table is written by `python -m picojoule.simulator.calibrate.refit`, because leaving out one device or shape after
another means hundreds of fits; tests fit some of the folds again.
"""

from __future__ import annotations

from ..calibrate.cases import SOURCES
from ..calibrate.cases_published import TINY_SOURCE
from ..calibrate.published import read_rows
from .rows import ValidationRow

__all__ = ["PROCESSORS", "processor_rows"]

TABLE = "out_of_fold.csv"
EIE_SOURCE = "Han et al., ISCA 2016, arXiv:1602.01528v2, Table IV"
ENERGY_SOURCE = "Han et al., ICLR 2016, arXiv:1510.00149v5, Tables 8 and 9"


def _source(dataset: str) -> str:
    if dataset.startswith("eie"):
        return EIE_SOURCE
    return {**SOURCES, "deep-compression": ENERGY_SOURCE}.get(dataset, TINY_SOURCE)


def _row(row: dict[str, str]) -> ValidationRow:
    energy = row["metric"] == "energy"
    return ValidationRow(
        target=row["target"], metric=row["metric"], unit="J" if energy else "s", case=row["case"],
        measured=float(row["measured"]), predicted=float(row["predicted"]), mode=row["mode"],
        protocol=row["protocol"], left_out=row["left_out"], in_fit=False,
        status="derived" if row["dataset"] == "deep-compression" else "published", source=_source(row["dataset"]),
    )  # fmt: skip


def _names() -> tuple[str, ...]:
    return tuple(dict.fromkeys(row["target"] for row in read_rows(TABLE)))


PROCESSORS = _names()


def processor_rows(name: str) -> list[ValidationRow]:
    """Every comparison of one target or board, latencies first."""
    rows = [_row(row) for row in read_rows(TABLE) if row["target"] == name]
    return sorted(rows, key=lambda row: row.metric != "latency")
