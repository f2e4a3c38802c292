"""What papers report of networks that have a name: accuracy, size, bits. Every row says where it was read.

`status` is "published" where the figure was read in the source's text, "recalled" where it was not, and
"derived" where it is arithmetic on published figures. `metric` keeps ratios of stored bytes and ratios of
non-zeros apart: the two are never comparable.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["OperatingPoint", "dense_point", "published"]

FILE = "published.csv"


@dataclass(frozen=True)
class OperatingPoint:
    """One row: a network as one source compressed and measured it; None where the source says nothing."""

    network: str
    method: str
    weight_bits: int | None
    activation_bits: int | None
    kept_pct: float | None
    metric: str
    top1_pct: float | None
    top5_pct: float | None
    parameters: int | None
    macs: int | None
    size_bytes: int | None
    status: str
    source: str


def _number(text: str, kind: Callable[[str], Any]) -> Any:
    return kind(text) if text else None


@cache
def _rows() -> tuple[OperatingPoint, ...]:
    text = resources.files(str(__package__)).joinpath(FILE).read_text("utf-8")
    whole = ("weight_bits", "activation_bits", "parameters", "macs", "size_bytes")
    real = ("kept_pct", "top1_pct", "top5_pct")
    found = []
    for row in csv.DictReader(io.StringIO(text)):
        values: dict[str, Any] = dict(row)
        values |= {name: _number(row[name], int) for name in whole}
        values |= {name: _number(row[name], float) for name in real}
        found.append(OperatingPoint(**values))
    return tuple(found)


def published(network: str | None = None) -> tuple[OperatingPoint, ...]:
    """Every operating point, or one network's.

    >>> [p.size_bytes for p in published("alexnet") if p.method == "Pruning+Quantization+Huffman"]
    [6900000]
    """
    return tuple(row for row in _rows() if network in (None, row.network))


def dense_point(network: str) -> OperatingPoint | None:
    """The fp32 network's published accuracy: the first row that was read in its source."""
    dense = [row for row in published(network) if row.method.startswith(("fp32", "Baseline")) and row.top1_pct]
    return min(dense, key=lambda row: row.status != "published", default=None)
