"""A Report in a file: HTML, PDF, Markdown, CSV (layers), JSON (the estimate documents) or a workbook."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...models.errors import InputError
from ...models.files import write_atomic
from .content import Block, Chart, Items, Preformatted, Report, Table, Text

__all__ = ["SUFFIXES", "render_csv", "render_json", "render_markdown", "write_report"]


def _md(text: str) -> str:
    """Plain text for Markdown: nothing in it is markup, HTML or a table's border."""
    line = " ".join(text.split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", line)


def _md_table(table: Table) -> str:
    rule = [":--" if place in table.left else "--:" for place in range(len(table.headers))]
    lines = [[_md(text) for text in table.headers], rule, *([_md(text) for text in row] for row in table.rows)]
    body = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return f"{_md(table.caption)}\n\n{body}" if table.caption else body


def _md_block(block: Block) -> str:
    if isinstance(block, Text):
        return {"warning": "> **Note:** "}.get(block.kind, "") + _md(block.text)
    if isinstance(block, Items):
        return "\n".join(f"- {_md(item)}" for item in block.items)
    if isinstance(block, Preformatted):
        return "\n".join(f"    {line}" for line in block.text.splitlines())
    return _md_table(block) if isinstance(block, Table) else ""


def render_markdown(report: Report) -> str:
    """Text and tables; charts are left out, their numbers are in the tables."""
    parts = [f"# {_md(report.title)}"]
    for section in report.sections:
        blocks = [_md_block(block) for block in section.blocks if not isinstance(block, Chart)]
        if blocks:
            parts += [f"{'#' * section.level} {_md(section.title)}", *blocks]
    return "\n\n".join(parts) + "\n"


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe in front; lists are joined."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return "" if value is None else value


def _flat(document: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {key: document[key] for key in ("model", "target", "batch")}
    for key, value in layer.items():
        if isinstance(value, Mapping):
            row |= {f"energy_{part}_pj": number for part, number in value.items()}
        else:
            row[key] = value
    return row


def render_csv(report: Report) -> str:
    """One row per layer of every estimate, units in the headers; an empty cell is not modelled."""
    rows = [_flat(document, layer) for document in report.documents for layer in document["layers"]]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    headers = list(dict.fromkeys(key for row in rows for key in row))
    writer.writerow(headers)
    writer.writerows([_cell(row.get(key)) for key in headers] for row in rows)
    return stream.getvalue()


def render_json(report: Report) -> str:
    """The estimate document, or {"estimates": [...]} where there are several."""
    documents = list(report.documents)
    whole = documents[0] if len(documents) == 1 else {"estimates": documents}
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _html(report: Report) -> str:
    from .page import render_html

    return render_html(report)


def _pdf(report: Report) -> bytes:
    from .pdf import render_pdf

    return render_pdf(report)


def _xlsx(report: Report) -> bytes:
    from .spreadsheet import render_xlsx

    return render_xlsx(report)


RENDERERS: Mapping[str, Callable[[Report], str | bytes]] = {
    ".html": _html,
    ".pdf": _pdf,
    ".md": render_markdown,
    ".csv": render_csv,
    ".json": render_json,
    ".xlsx": _xlsx,
}
SUFFIXES = tuple(RENDERERS)


def write_report(report: Report, path: str | os.PathLike[str]) -> None:
    """Write the report whole or not at all; the suffix says as what. Raises InputError for another suffix."""
    suffix = Path(path).suffix.lower()
    if suffix not in RENDERERS:
        raise InputError(
            "--output", Path(path).name, f"a name ending in {', '.join(SUFFIXES)}", "for example -o report.html"
        )
    made = RENDERERS[suffix](report)
    write_atomic(path, made.encode() if isinstance(made, str) else made)
