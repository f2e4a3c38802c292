"""Rows of mapped accelerators as `map_again` found them: a search takes seconds that a reader would wait for."""

from __future__ import annotations

import csv
from importlib import resources

from .rows import ValidationRow

__all__ = ["MAPPED", "TABLE", "mapped_rows"]

MAPPED = ("eyeriss", "eyeriss-v2")
TABLE = "mapped.csv"


def mapped_rows(target: str) -> list[ValidationRow]:
    """The target's rows as they ship.

    >>> {row.target for row in mapped_rows("eyeriss")}
    {'eyeriss'}
    """
    text = resources.files(str(__package__)).joinpath(TABLE).read_text("utf-8")
    return [_row(row) for row in csv.DictReader(text.splitlines()) if row["target"] == target]


def _row(row: dict[str, str]) -> ValidationRow:
    texts = {name: row[name] for name in ("target", "metric", "unit", "case", "mode", "protocol", "left_out", "status")}
    return ValidationRow(
        **texts, source=row["source"], measured=float(row["measured"]), predicted=float(row["predicted"]),
        in_fit=row["in_fit"] == "True",
    )  # fmt: skip
