"""Results of experiments as CSV files: those that ship, and those that a run writes line by line."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import InputError, OutputError
from ..files import write_atomic

__all__ = ["COLUMNS", "KEY", "read_results", "run_rows", "shipped_results"]

KEY: tuple[str, ...] = ("network", "method", "retrained", "point", "seed")
COLUMNS: tuple[str, ...] = (
    *KEY, "density", "bits", "bytes", "ratio", "speedup", "epochs", "error_pct", "validation_error_pct", "value",
    "dataset", "n", "split", "status", "source",
)  # fmt: skip
NUMBERS = {"retrained", "seed", "density", "bits", "bytes", "ratio", "speedup", "epochs", "error_pct",
           "validation_error_pct", "value", "n", "top5_error_pct"}  # fmt: skip
Row = dict[str, Any]


def shipped_results(name: str) -> list[Row]:
    """Rows of a shipped file, numbers as numbers, empty cells as None."""
    text = resources.files(str(__package__)).joinpath(f"results_{name.replace('-', '_')}.csv").read_text("utf-8")
    return [_typed(row) for row in csv.DictReader(text.splitlines())]


def read_results(path: Path, columns: tuple[str, ...] = COLUMNS) -> list[Row]:
    """Rows of a file that a run wrote; none where there is no file. Raises InputError for other columns."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != columns:
            raise InputError(str(path), f"columns {', '.join(reader.fieldnames or ())}", "a file that a run wrote",
                             "name another folder")  # fmt: skip
        rows = [row for row in reader if None not in row.values()]
    return [_typed(row) for row in rows]


def _typed(row: Mapping[str, str]) -> Row:
    return {key: (float(text) if text else None) if key in NUMBERS else text for key, text in row.items()}


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(int(row[name])) if name in NUMBERS else str(row[name]) for name in KEY)


def run_rows(
    path: Path, rows: Callable[[Callable[[Row], bool]], Iterator[Row]], fixed: Mapping[str, Any],
    columns: tuple[str, ...] = COLUMNS,
) -> Iterator[Row]:  # fmt: skip
    """Append to the file at `path` what `rows(todo)` yields, and pass it on.

    `todo(row)` says whether the row of that key is still missing: an interrupted run goes on where it was. A line
    that was cut short is dropped. `fixed` holds the columns that all rows share.
    """
    done = read_results(path, columns)
    keys = {_key(row) for row in done}
    kept = io.StringIO(newline="")
    writer = csv.DictWriter(kept, columns, restval="")
    writer.writeheader()
    writer.writerows(_plain(row) for row in done)
    write_atomic(path, kept.getvalue())  # whole lines only, and never fewer than there were
    try:
        with path.open("a", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, columns, restval="")
            for row in rows(lambda wanted: _key(wanted) not in keys):
                if _key(row) not in keys:
                    keys.add(_key(row))
                    writer.writerow(_plain({**row, **fixed}))
                    stream.flush()
                    yield row
    except OSError as error:
        raise OutputError(os.fspath(path), error.strerror or error, "name a folder that can be written") from error


def _plain(row: Mapping[str, Any]) -> Row:
    """Whole numbers without a point, others with up to six digits behind it."""
    def text(value: Any) -> Any:
        if isinstance(value, float):
            return int(value) if value.is_integer() else round(value, 6)
        return "" if value is None else value

    return {key: text(value) for key, value in row.items()}
