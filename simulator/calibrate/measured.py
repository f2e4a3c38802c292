"""A user's own measurements from a CSV file, checked line by line."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from typing import Any

from ...models.errors import InputError, PicojouleError
from ...models.files import read_bytes
from ..estimate import as_model, parse_bits, recompress
from ..workload import Overrides, make_workload
from .corrections import Observation

__all__ = ["COLUMNS", "read_measured"]

LIMIT_BYTES = 1 << 20
LIMIT_ROWS = 1000
LATENCY = {"latency_s": 1.0, "latency_ms": 1e-3, "latency_us": 1e-6}
ENERGY = {"energy_pj": 1.0, "energy_uj": 1e6, "energy_mj": 1e9, "energy_j": 1e12}
SETTINGS: dict[str, Callable[[str], Any]] = {"batch": int, "bits": str, "density": float, "format": str}
COLUMNS = ("model", *SETTINGS, *LATENCY, *ENERGY)
WANTED = f"a header of model, latency_s and/or energy_pj, among {', '.join(COLUMNS)}"


def read_measured(path: str) -> list[Observation]:
    """The rows of a CSV file with columns `model` and one of the latencies, of the energies, or both.

    Latencies and energies are of one batch, their unit in the column's name; `batch` (1 where it is left out),
    `bits`, `density` and `format` mean what the options of `picojoule estimate` mean. Raises InputError with the
    line and the column.
    """
    content = read_bytes(path, limit_bytes=LIMIT_BYTES, what="measurements (CSV)")
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, error, "a CSV file in UTF-8") from error
    rows = [(number, line) for number, line in enumerate(lines, 1) if any(cell.strip() for cell in line)]
    if len(rows) < 2:
        raise InputError(path, f"{max(0, len(rows) - 1)} measurements", "at least 1 below the header")
    if len(rows) > LIMIT_ROWS + 1:
        raise InputError(path, f"{len(rows) - 1} measurements", f"at most {LIMIT_ROWS}")
    header = [cell.strip() for cell in rows[0][1]]
    _check_header(path, header)
    return [_observation(path, number, header, line) for number, line in rows[1:]]


def _check_header(path: str, header: list[str]) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or len(set(header)) < len(header):
        raise InputError(f"{path}: line 1", unknown[0] if unknown else "a column twice", WANTED)
    for units in (LATENCY, ENERGY):
        if sum(name in units for name in header) > 1:
            got = ", ".join(name for name in header if name in units)
            raise InputError(f"{path}: line 1", got, "one unit for each quantity")
    if "model" not in header or not any(name in LATENCY or name in ENERGY for name in header):
        raise InputError(f"{path}: line 1", ", ".join(header), WANTED)


def _observation(path: str, number: int, header: list[str], line: list[str]) -> Observation:
    where = f"{path}: line {number}"
    if len(line) != len(header):
        raise InputError(where, f"{len(line)} cells", f"{len(header)}, as the header has")
    cells = {name: cell.strip() for name, cell in zip(header, line, strict=True) if cell.strip()}
    if "model" not in cells:
        raise InputError(f"{where}, model", "nothing", "a network's name, a file or a layer written out")
    amounts: dict[str, float] = {}
    for quantity, units in (("latency_s", LATENCY), ("energy_pj", ENERGY)):
        for name in units.keys() & cells.keys():
            amounts[quantity] = _positive(f"{where}, {name}", cells[name]) * units[name]
    if not amounts:
        raise InputError(where, "no latency and no energy", "at least one of them")
    settings = {name: _setting(f"{where}, {name}", kind, cells[name]) for name, kind in SETTINGS.items()
                if name in cells}  # fmt: skip
    try:
        weight_bits, activation_bits = parse_bits(settings.get("bits"))
        asked = Overrides(weight_bits, activation_bits, settings.get("density"), None, settings.get("format"))
        model, rest = recompress(as_model(cells["model"]), asked)
        workload = make_workload(model, settings.get("batch", 1), rest)
    except PicojouleError as error:
        raise InputError(where, error, "a model and settings that picojoule estimate takes") from error
    return Observation(f"{cells['model']} (line {number})", workload, **amounts)


def _positive(where: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (0 < value < math.inf):
        raise InputError(where, text, "a finite number above 0")
    return value


def _setting(where: str, kind: Callable[[str], Any], text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise InputError(where, text, "a whole number" if kind is int else "a number") from None
