"""A Report as one HTML file: nothing is fetched, nothing but its own two scripts may run."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from functools import cache

import plotly.io
from plotly.offline import get_plotlyjs

from ..figures import config
from .content import Block, Chart, Items, Preformatted, Report, Section, Table, Text
from .css import CSS

__all__ = ["render_html"]

WIDE = 9  # columns from which on a table is set smaller
SHORT = 18  # characters of a cell that are kept on one line
UNIT = re.compile(r"(?<=\d) (?=(?:[pnµmkMGT]?[JsB]|%)(?!\w))")  # a number and its unit stay together

# Draws every chart from the JSON beside it; fits charts to the paper before printing and back afterwards.
SCRIPT = """
"use strict";
(function () {
  var config = JSON.parse(document.getElementById("config").textContent);
  var charts = Array.prototype.slice.call(document.querySelectorAll(".chart"));
  charts.forEach(function (chart) {
    var figure = JSON.parse(document.getElementById(chart.id + "-data").textContent);
    chart.textContent = "";
    Plotly.newPlot(chart, figure.data, figure.layout, config);
  });
  window.addEventListener("beforeprint", function () {
    charts.forEach(function (chart) { Plotly.relayout(chart, { width: 700, autosize: false }); });
  });
  window.addEventListener("afterprint", function () {
    charts.forEach(function (chart) { Plotly.relayout(chart, { width: null, autosize: true }); });
  });
})();
"""


def _e(text: str) -> str:
    return html.escape(text, quote=True)


def _json_for_html(text: str) -> str:
    """JSON that cannot end the script element it stands in."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _hash(script: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"


@cache
def _plotly() -> tuple[str, str]:
    """plotly.js, its first line break included so that the hash covers what the browser sees, and the hash."""
    script = "\n" + get_plotlyjs().replace("\r\n", "\n").replace("</script", "<\\/script") + "\n"
    return script, _hash(script)


def _table(table: Table) -> str:
    def cell(tag: str, place: int, text: str) -> str:
        classes = ["words"] if place in table.left else []
        if tag == "td" and text == "not modelled":
            classes.append("unknown")
        if tag == "td" and len(text) <= SHORT:
            classes.append("short")
        name = f' class="{" ".join(classes)}"' if classes else ""
        return f"<{tag}{name}{' scope=col' if tag == 'th' else ''}>{_e(text)}</{tag}>"

    head = "".join(cell("th", place, text) for place, text in enumerate(table.headers))
    body = "\n".join(
        "<tr>" + "".join(cell("td", place, text) for place, text in enumerate(row)) + "</tr>" for row in table.rows
    )
    caption = f"<caption>{_e(table.caption)}</caption>" if table.caption else ""
    kind = ' class="wide"' if len(table.headers) > WIDE else ""
    return (
        f'<div class="scroll" tabindex="0"><table{kind}>{caption}\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _chart(chart: Chart, name: str) -> str:
    figure = _json_for_html(plotly.io.to_json(chart.figure, engine="json") or "{}")
    height = int(chart.figure.layout.height or 400)
    side_by_side = any(axis.domain and axis.domain[0] > 0 for axis in chart.figure.select_xaxes())
    return (
        f'<figure><div class="frame"{" tabindex=0" * side_by_side}><div class="chart{" panels" * side_by_side}" '
        f'id="{name}" role="img" '
        f'aria-label="{_e(chart.caption)}" style="min-height:{height}px">'
        "This chart needs JavaScript; its numbers are in the tables.</div></div>\n"
        f'<script type="application/json" id="{name}-data">{figure}</script>\n'
        f"<figcaption>{_e(chart.caption)}</figcaption></figure>"
    )


def _block(block: Block, name: str) -> str:
    if isinstance(block, Text):
        text = UNIT.sub("\u00a0", block.text)
        return f'<p class="{block.kind}">{_e(text)}</p>'
    if isinstance(block, Items):
        return "<ul>" + "".join(f"<li>{_e(item)}</li>" for item in block.items) + "</ul>"
    if isinstance(block, Preformatted):
        return f"<pre>{_e(block.text)}</pre>"
    if isinstance(block, Table):
        return _table(block)
    return _chart(block, name)


def _section(section: Section, number: int) -> str:
    blocks = "\n".join(_block(block, f"chart-{number}-{place}") for place, block in enumerate(section.blocks))
    return f'<h{section.level} id="s{number}">{_e(section.title)}</h{section.level}>\n{blocks}'


def _contents(sections: tuple[Section, ...]) -> str:
    items = [f'<li><a href="#s{n}">{_e(s.title)}</a></li>' for n, s in enumerate(sections) if s.level == 2]
    return f'<nav aria-label="Contents"><ol>{"".join(items)}</ol></nav>'


def render_html(report: Report) -> str:
    """The whole page; the same report gives the same bytes."""
    plotly_script, plotly_hash = _plotly()
    policy = (
        f"default-src 'none'; script-src {plotly_hash} {_hash(SCRIPT)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    first, *others = (_section(section, number) for number, section in enumerate(report.sections))
    settings = _json_for_html(json.dumps(config(), sort_keys=True))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="picojoule {_e(report.version)}">
<meta name="referrer" content="no-referrer">
<title>{_e(report.title)}</title>
<link rel="icon" href="data:,">
<style>{CSS}</style>
</head>
<body>
<main>
<h1>{_e(report.title)}</h1>
{first}
{_contents(report.sections)}
{chr(10).join(others)}
</main>
<script type="application/json" id="config">{settings}</script>
<script>{plotly_script}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""
