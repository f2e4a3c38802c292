"""Where a refit goes: class tables and their intervals, the targets' corrections and intervals, the table of rows.

Only the sections that a refit makes are written; every other byte of a target's file stays.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np

from .energies import power_shares
from .records import Record

__all__ = ["interval_text", "read_records", "ship", "with_section", "with_source"]

LEVEL = 0.8
WIDER = 1.25  # assumed: no energy was measured, and power adds its own error to the time's
FEW = 8  # measured energies below this number say nothing of a quantile
SOURCES = {
    "fit": "picojoule fit to this device's published times beside the class table, see simulator/calibrate/refit.py",
    "fit9": "median over the powers of Deep Compression, Table 9, what operations and accesses take apart",
}
ROWS = "out_of_fold.csv"


def with_section(text: str, name: str, lines: Sequence[str]) -> str:
    """A TOML text with the section replaced, or added at its end.

    >>> with_section("a = 1\\n\\n[old]\\nb = 2\\n\\n[next]\\nc = 3\\n", "old", ["b = 4"])
    'a = 1\\n\\n[old]\\nb = 4\\n\\n[next]\\nc = 3\\n'
    """
    section = f"[{name}]\n" + "".join(f"{line}\n" for line in lines)
    found = re.search(rf"^\[{re.escape(name)}\]\n(?:(?!\[|\n).*\n)*", text, re.MULTILINE)
    if found:
        return text[: found.start()] + section + text[found.end() :]
    return text.rstrip("\n") + "\n\n" + section


def with_source(text: str, name: str, value: str) -> str:
    """A TOML text whose [sources] has `name`, first where it is new."""
    if re.search(rf"^{name} = ", text, re.MULTILINE):
        return text
    return text.replace("[sources]\n", f'[sources]\n{name} = "{value}"\n', 1)


def _quantiles(ratios: Sequence[float]) -> tuple[float, float]:
    """Of measured over predicted, 1 always inside."""
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _pair(low: float, high: float) -> str:
    return f"[{min(low, 1):.3g}, {max(high, 1):.3g}]"


def interval_text(records: Sequence[Record], protocol: str) -> list[str]:
    """The lines of an [interval]; energies that nobody measured get the times' range, a quarter wider (assumed)."""
    times = [record.measured / record.predicted for record in records if record.metric == "latency"]
    energies = [record.measured / record.predicted for record in records if record.metric == "energy"]
    low, high = _quantiles(times)
    few = len(energies) < FEW
    energy = (low / WIDER, high * WIDER) if few else _quantiles(energies)
    said = f"; energy as latency, {WIDER - 1:.0%} wider".replace("%", " %") if few else f" and {len(energies)} energies"
    return [
        f"level = {LEVEL}", f"latency_ratio = {_pair(low, high)}", f"energy_ratio = {_pair(*energy)}",
        f"n = {len(times)}", f'basis = "measured over predicted in {len(times)} published times{said}, {protocol}"',
    ]  # fmt: skip


def _constant(name: str, value: float, source: str) -> str:
    return f'{name} = {{ value = {value:.4g}, source = "{source}", status = "derived" }}'


def target_text(text: str, target: str, corrections: Mapping[str, float], records: Sequence[Record]) -> str:
    """A target's file with what was fitted to its own measurements."""
    text = with_source(text, "fit", SOURCES["fit"])
    text = with_section(text, "corrections", [_constant(name, value, "fit") for name, value in corrections.items()])
    if any(record.metric == "energy" for record in records):
        shares = power_shares(target)[target]
        text = with_source(text, "fit9", SOURCES["fit9"])
        text = with_section(text, "power_share", [_constant(name, value, "fit9") for name, value in shares.items()])
    own = [record for record in records if record.mode == "calibrated"]
    return with_section(text, "interval", interval_text(own, own[0].protocol))


def table_with_intervals(
    text: str, families: Mapping[str, frozenset[tuple[str, str]]], records: Sequence[Record]
) -> str:
    """The class tables with an interval each: rows in datasheet mode that the family was fitted to.

    `families` holds the (target, case) of these rows.
    """
    for family, fitted in families.items():
        rows = [
            record for record in records
            if record.mode == "datasheet" and ((record.target, record.case) in fitted or record.metric == "energy")
            and any(record.target == target for target, _ in fitted)
        ]  # fmt: skip
        text = with_section(text, f"{family}.interval", interval_text(rows, rows[0].protocol))
    return text


def read_records(path: Path) -> list[Record]:
    """The table of out-of-fold rows, as `ship` writes it."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Record(**{**row, "measured": float(row["measured"]), "predicted": float(row["predicted"])})
            for row in csv.DictReader(file)
        ]  # fmt: skip


def ship(
    simulator: Path, tables: str, families: Mapping[str, frozenset[tuple[str, str]]],
    corrections: Mapping[str, Mapping[str, float]], records: Sequence[Record],
) -> None:  # fmt: skip
    """Write a refit into the folder `simulator` of a checkout: tables/, targets/, validate/."""
    (simulator / "tables" / "processor_classes.toml").write_text(
        table_with_intervals(tables, families, records), "utf-8"
    )
    for target, values in corrections.items():
        path = simulator / "targets" / f"{target}.toml"
        own = [record for record in records if record.target == target]
        path.write_text(target_text(path.read_text("utf-8"), target, values, own), "utf-8")
    with (simulator / "validate" / ROWS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Record.__dataclass_fields__)
        writer.writerows(astuple(record) for record in records)
