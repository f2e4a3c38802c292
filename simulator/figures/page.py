"""Figures and tables as one HTML file that needs nothing from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.io import to_html

from .style import FONT, config

__all__ = ["figures_page"]

STYLE = f"body {{ font: 15px/1.5 {FONT}; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1F2328 }}"
STYLE += " pre { overflow-x: auto; font-size: 13px } figcaption { color: #57606A }"


def figures_page(title: str, figures: Sequence[tuple[go.Figure, str]], text: str = "") -> str:
    """A page with figures and their captions, and plain text (a printed table) below. plotly.js is inside.

    >>> figures_page("a < b", []).count("a &lt; b")
    2
    """
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>",
    ]
    for place, (figure, caption) in enumerate(figures):
        drawn = to_html(figure, config(), full_html=False, include_plotlyjs=place == 0)
        parts.append(f"<figure>{drawn}<figcaption>{html.escape(caption)}</figcaption></figure>")
    if text:
        parts.append(f"<pre>{html.escape(text)}</pre>")
    return "\n".join([*parts, "</body></html>\n"])
