"""What a report is made of, before it is HTML or Markdown: sections of text, tables and charts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from ..cost import Cost

__all__ = ["Block", "Chart", "Items", "Preformatted", "Report", "Section", "Table", "Text"]


@dataclass(frozen=True)
class Text:
    """One paragraph of plain text."""

    text: str
    kind: Literal["plain", "lead", "note", "warning"] = "plain"


@dataclass(frozen=True)
class Items:
    """A list of plain texts."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Preformatted:
    """Text in which every space counts, such as a command."""

    text: str


@dataclass(frozen=True)
class Table:
    """Headers and rows of plain texts; the columns named in `left` hold words, the others numbers."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: tuple[int, ...] = (0,)
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Chart:
    """A figure and what to see in it."""

    figure: go.Figure
    caption: str


Block = Text | Items | Preformatted | Table | Chart


@dataclass(frozen=True)
class Section:
    """A heading with its blocks; `level` 2 or 3."""

    title: str
    blocks: tuple[Block, ...]
    level: int = 2


@dataclass(frozen=True, eq=False)
class Report:
    """A report, ready to be written; `documents` are the estimates behind it, `costs` in the same order."""

    title: str
    sections: tuple[Section, ...]
    costs: tuple[Cost, ...]
    documents: tuple[dict[str, Any], ...]
    version: str
    command: str
