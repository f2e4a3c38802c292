"""A report as a PDF to print: text and tables; charts are left out, their numbers are in the tables."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from ...models.errors import MissingExtraError
from .content import Block, Items, Preformatted, Report, Table, Text

__all__ = ["render_pdf"]

EPOCH = datetime.datetime(1980, 1, 1, tzinfo=datetime.timezone.utc)  # noqa: UP017 - no date: same inputs, same file
MARGIN_MM, SIZE_PT, SMALL_PT = 12.0, 9.0, 6.5
MANY_COLUMNS = 8  # beyond it a table is set small
MOST_SHOWN = 40  # characters that a column is made wide for
# Helvetica of every PDF reader has Latin-1 only.
PLAIN = str.maketrans({
    "–": "-", "—": "-", "−": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "…": "...", "≤": "<=", "≥": ">=", "→": "->",
    "≈": "~", "μ": "µ", "\u2009": " ", "\u202f": " ", "\u00a0": " ",
})  # fmt: skip
MM_PER_CHARACTER = 0.25  # of one point of type, generously


def _latin(text: str) -> str:
    """The text in Latin-1: what has no letter there is a question mark, control characters are spaces."""
    kept = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text.translate(PLAIN))
    return kept.encode("latin-1", "replace").decode("latin-1")


def render_pdf(report: Report) -> bytes:
    """A4, landscape, so that tables of layers fit. Raises MissingExtraError without the extra [report]."""
    try:
        import fpdf
    except ImportError as error:
        raise MissingExtraError("a .pdf report", "report") from error
    page = fpdf.FPDF(orientation="landscape", format="A4")
    page.set_title(_latin(report.title))
    page.set_creation_date(EPOCH)
    page.set_creator(f"picojoule {report.version}")
    page.set_margin(MARGIN_MM)
    page.set_auto_page_break(True, MARGIN_MM)
    page.add_page()
    _heading(page, report.title, 16)
    for section in report.sections:
        blocks = [block for block in section.blocks if isinstance(block, Text | Items | Preformatted | Table)]
        if blocks:
            _heading(page, section.title, 13 if section.level == 2 else 11)
        for block in blocks:
            _block(page, block)
    return bytes(page.output())


def _heading(page: Any, text: str, size: float) -> None:
    page.ln(2)
    page.set_font("Helvetica", "B", size)
    page.multi_cell(0, size * 0.5, _latin(text), new_x="LMARGIN", new_y="NEXT")
    page.ln(1)


def _lines(page: Any, text: str, family: str = "Helvetica", style: str = "") -> None:
    page.set_font(family, style, SIZE_PT)
    page.multi_cell(0, SIZE_PT * 0.5, _latin(text), new_x="LMARGIN", new_y="NEXT", align="L")
    page.ln(1)


def _block(page: Any, block: Block) -> None:
    if isinstance(block, Text):
        _lines(page, {"warning": "Note: "}.get(block.kind, "") + block.text, style="B" if block.kind == "lead" else "")
    elif isinstance(block, Items):
        for item in block.items:
            _lines(page, f"- {item}")
    elif isinstance(block, Preformatted):
        _lines(page, block.text, "Courier")
    elif isinstance(block, Table) and block.headers:
        _table(page, block)


def _widths(table: Table) -> Sequence[int]:
    """Columns in proportion to their longest word or text, up to a limit."""
    cells = [table.headers, *table.rows]
    return [
        max(4, min(MOST_SHOWN, max(len(row[column]) for row in cells if column < len(row))))
        for column in range(len(table.headers))
    ]


def _table(page: Any, table: Table) -> None:
    if table.caption:
        _lines(page, table.caption, style="B")
    size = SMALL_PT if len(table.headers) >= MANY_COLUMNS else SIZE_PT - 1
    page.set_font("Helvetica", "", size)
    columns = _widths(table)
    room = sum(columns) * size * MM_PER_CHARACTER + 3 * len(columns)
    aligned = ["LEFT" if place in table.left else "RIGHT" for place in range(len(table.headers))]
    with page.table(
        col_widths=columns, text_align=aligned, line_height=size * 0.5, borders_layout="HORIZONTAL_LINES",
        first_row_as_headings=True, padding=(0.5, 1.2), width=min(page.epw, room), align="LEFT",
    ) as drawn:  # fmt: skip
        for cells in (table.headers, *table.rows):
            row = drawn.row()
            for text in cells:
                row.cell(_latin(text))
    page.ln(2)
