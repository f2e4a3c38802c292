"""A report as an .xlsx workbook: totals, layers, and every table of the report, numbers as numbers."""

from __future__ import annotations

import datetime
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...models.errors import MissingExtraError
from .content import Report, Table

__all__ = ["render_xlsx"]

EPOCH = datetime.datetime(1980, 1, 1)  # the same inputs give the same file: it carries no date
WIDEST = 60


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    """Nested keys joined by underscores; lists as text."""
    if isinstance(value, Mapping):
        return {name: one for key, inner in value.items() for name, one in _flat(f"{prefix}{key}_", inner).items()}
    text = "; ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return {prefix.removesuffix("_"): text}


def _totals(report: Report) -> list[dict[str, Any]]:
    rows = []
    for document in report.documents:
        about = {key: part for key, part in document.items() if key not in ("layers", "totals")}
        rows.append(_flat("", about | document["totals"]))
    return rows


def _layers(report: Report) -> list[dict[str, Any]]:
    return [
        {key: document[key] for key in ("model", "target", "batch")} | _flat("", layer)
        for document in report.documents for layer in document["layers"]
    ]  # fmt: skip


def render_xlsx(report: Report) -> bytes:
    """The workbook: sheets "totals" and "layers" in base units, "tables" as the page shows them.

    Texts are never formulas or links. Raises MissingExtraError without the extra [report].
    """
    try:
        import xlsxwriter
    except ImportError as error:
        raise MissingExtraError("an .xlsx report", "report") from error
    stream = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    book = xlsxwriter.Workbook(stream, options)
    book.set_properties({"title": report.title, "comments": report.command, "created": EPOCH})
    bold, wrap = book.add_format({"bold": True}), book.add_format({"text_wrap": True, "valign": "top"})
    for name, rows in (("totals", _totals(report)), ("layers", _layers(report))):
        headers = list(dict.fromkeys(key for row in rows for key in row))
        _fill(book.add_worksheet(name), headers, [[row.get(key) for key in headers] for row in rows], bold)
    sheet, line = book.add_worksheet("tables"), 0
    sheet.set_column(0, 30, 18, wrap)
    for section in report.sections:
        for table in (block for block in section.blocks if isinstance(block, Table)):
            sheet.write_string(line, 0, table.caption or section.title, bold)
            for offset, cells in enumerate((table.headers, *table.rows), 1):
                for column, text in enumerate(cells):
                    sheet.write_string(line + offset, column, text, bold if offset == 1 else wrap)
            line += len(table.rows) + 3
    book.close()
    return stream.getvalue()


def _fill(sheet: Any, headers: Sequence[str], rows: Sequence[Sequence[Any]], bold: Any) -> None:
    """Headers that stay in sight, one row each, columns as wide as what they hold; what is not known is empty."""
    sheet.freeze_panes(1, 1)
    for column, header in enumerate(headers):
        sheet.write_string(0, column, header, bold)
        shown = [len(str(row[column])) for row in rows if not isinstance(row[column], float)]
        sheet.set_column(column, column, min(WIDEST, max([len(header), 8, *shown]) + 1))
    for place, row in enumerate(rows, 1):
        for column, value in enumerate(row):
            if isinstance(value, bool):
                sheet.write_boolean(place, column, value)
            elif isinstance(value, int | float) and math.isfinite(value):
                sheet.write_number(place, column, value)
            elif value is not None:
                sheet.write_string(place, column, str(value))
