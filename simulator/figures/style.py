"""One look for every figure: Okabe-Ito colours with fixed meanings, units on every axis, no chart junk."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from ..explain import format_si

__all__ = [
    "AXES",
    "COMPONENT_COLOURS",
    "COMPONENT_NAMES",
    "OKABE_ITO",
    "OPERAND_COLOURS",
    "TARGET_COLOURS",
    "TARGET_SYMBOLS",
    "UNMODELLED",
    "Axis",
    "Unit",
    "config",
    "empty_figure",
    "log_axis",
    "plain",
    "short",
    "target_styles",
    "template",
    "text_colour",
    "times",
    "unit_for",
]

# Okabe and Ito, "Color Universal Design", 2008: told apart with every common form of colour vision.
OKABE_ITO: Mapping[str, str] = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky blue": "#56B4E9",
    "bluish green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "reddish purple": "#CC79A7",
}
COMPONENT_COLOURS: Mapping[str, str] = {
    "mac": OKABE_ITO["blue"],
    "sram": OKABE_ITO["sky blue"],
    "dram": OKABE_ITO["vermillion"],
    "noc": OKABE_ITO["reddish purple"],
    "static": OKABE_ITO["orange"],
}
COMPONENT_NAMES: Mapping[str, str] = {
    "mac": "arithmetic (mac)",
    "sram": "on-chip memory (sram)",
    "dram": "DRAM (dram)",
    "noc": "moving data on chip (noc)",
    "static": "rest of the platform (static)",
}
OPERAND_COLOURS: Mapping[str, str] = {
    "weight": OKABE_ITO["bluish green"],
    "input": OKABE_ITO["yellow"],
    "output": OKABE_ITO["sky blue"],
}
TARGET_COLOURS: Mapping[str, str] = {
    "core-i7-5930k": OKABE_ITO["blue"],
    "eie": OKABE_ITO["bluish green"],
    "generic-45nm": OKABE_ITO["reddish purple"],
    "titan-x": OKABE_ITO["vermillion"],
}
TARGET_SYMBOLS: Mapping[str, str] = {
    "core-i7-5930k": "square",
    "eie": "circle",
    "generic-45nm": "triangle-up",
    "titan-x": "diamond",
}
OTHER_COLOURS = tuple(OKABE_ITO[name] for name in ("orange", "sky blue", "black", "vermillion", "blue"))
OTHER_SYMBOLS = ("cross", "pentagon", "star", "hexagon", "triangle-down")
UNMODELLED = "#8A8A8A"
INK, GRID, PAPER = "#1F2328", "#E3E6EA", "#FFFFFF"
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


@dataclass(frozen=True)
class Axis:
    """How a column is drawn: `value x scale` is in `unit`, which carries no prefix."""

    title: str
    unit: str
    scale: float = 1.0

    @property
    def label(self) -> str:
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True)
class Unit:
    """A prefixed unit for a linear axis: `value in the unprefixed unit / scale` is what is drawn."""

    name: str
    scale: float


AXES: Mapping[str, Axis] = {
    "energy_pj": Axis("Energy per batch", "J", 1e-12),
    "energy_pj_per_inference": Axis("Energy per inference", "J", 1e-12),
    "latency_s": Axis("Time per batch", "s"),
    "latency_s_per_inference": Axis("Time per inference", "s"),
    "weight_bytes": Axis("Weights as stored on the target", "B"),
    "file_bytes": Axis("File", "B"),
    "storage_bytes": Axis("Weights in the file", "B"),
    "load_bytes": Axis("Loaded once", "B"),
    "dram_bytes": Axis("DRAM traffic per batch", "B"),
    "macs": Axis("Multiply-accumulates, dense", ""),
    "macs_performed": Axis("Multiply-accumulates performed", ""),
    "error_pct": Axis("Classification error, validation split", "%"),
    "test_error_pct": Axis("Classification error, test split", "%"),
    "density": Axis("Weights kept", "fraction"),
    "bits": Axis("Bits per weight", "bit"),
}


def config() -> dict[str, Any]:
    """What plotly.js is told besides the figure: no upload button, no logo, fits its container."""
    return {
        "displaylogo": False,
        "showSendToCloud": False,
        "responsive": True,
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
        "toImageButtonOptions": {"format": "svg", "filename": "picojoule"},
    }


def template() -> go.layout.Template:
    """Light background, dark text of 13 px, thin grid, the legend above the plot."""
    axis = {
        "gridcolor": GRID,
        "linecolor": "#8C959F",
        "zerolinecolor": "#8C959F",
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "#8C959F",
        "automargin": True,
        "title": {"standoff": 10, "font": {"size": 13}},
        "exponentformat": "none",
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": INK},
            "paper_bgcolor": PAPER,
            "plot_bgcolor": PAPER,
            "colorway": list(OKABE_ITO.values()),
            "xaxis": axis,
            "yaxis": axis,
            "margin": {"l": 60, "r": 20, "t": 30, "b": 50},
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1.02,
                "yanchor": "bottom",
                "traceorder": "normal",
            },
            "hoverlabel": {"align": "left", "bgcolor": PAPER, "font": {"color": INK, "family": FONT}},
            "hovermode": "closest",
            "bargap": 0.3,
            "modebar": {"orientation": "v", "bgcolor": "rgba(255,255,255,0)"},
        }
    )


def plain(text: object, limit: int = 80) -> str:
    """Text that plotly.js shows as it is: its tags and entities escaped, one line, at most `limit` characters.

    >>> plain("<b>ip1</b>")
    '&lt;b&gt;ip1&lt;/b&gt;'
    """
    return html.escape(short(text, limit), quote=False)


def short(text: object, limit: int) -> str:
    """One line of at most `limit` characters, the middle left out; control characters become spaces.

    >>> short("features.denseblock4.denselayer16.conv2", 20)
    'features.d…r16.conv2'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    if len(line) <= limit:
        return line
    head = limit // 2
    return f"{line[:head]}…{line[len(line) - (limit - head - 1) :]}"


def times(ratio: float) -> str:
    """A ratio with three significant digits and no exponent.

    >>> times(1161.4), times(39.53)
    ('1,161×', '39.5×')
    """
    return f"{ratio:,.0f}×" if ratio >= 100 else f"{ratio:.3g}×"


def unit_for(largest: float, unit: str) -> Unit:
    """The SI prefix that puts `largest` between 1 and 1000.

    >>> unit_for(9.3e-7, "J")
    Unit(name='nJ', scale=1e-09)
    """
    size = abs(largest) if math.isfinite(largest) else 0.0
    if size == 0:
        return Unit(unit, 1.0)
    scale, prefix = next((pair for pair in PREFIXES if size >= pair[0] * 0.9995), (1e-12, "p"))
    return Unit(prefix + unit, scale)


def log_axis(axis: Axis, values: Iterable[float] = (), least_decades: float = 0.8) -> dict[str, Any]:
    """Settings of a logarithmic axis in SI prefixes, labelled at 1, 2 and 5 where few decades show.

    `values` are in the axis's unit; with them the range is a little wider than theirs, and at least
    `least_decades`, so that small differences look small.
    """
    finite = [value for value in values if math.isfinite(value) and value > 0]
    settings: dict[str, Any] = {
        "type": "log",
        "title": {"text": axis.label},
        "exponentformat": "SI",
        "minexponent": 0 if axis.unit else 3,
        "ticksuffix": axis.unit,
        "minor": {"ticks": "outside", "ticklen": 2},
    }
    if finite:
        low, high = math.log10(min(finite)), math.log10(max(finite))
        pad = max(0.06 * (high - low), 0.12, (least_decades - (high - low)) / 2)
        settings["range"] = [low - pad, high + pad]
        settings |= {"dtick": 1} if high - low > 1.3 else _steps(low, high, axis.unit)
    return settings


def _steps(low: float, high: float, unit: str) -> dict[str, Any]:
    """Ticks at 1, 2 and 5 of the decades around 10^low to 10^high, or closer where the range is a third of a decade."""
    steps = (1, 2, 5) if high - low > 0.35 else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    values = [step * 10.0**decade for decade in range(math.floor(low) - 1, math.ceil(high) + 1) for step in steps]
    labels = [format_si(value, unit) if unit else f"{value:g}" for value in values]
    return {"tickmode": "array", "tickvals": values, "ticktext": labels, "tickangle": 0}


def target_styles(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """(colour, marker symbol) by target: fixed for shipped targets, in order of name for others."""
    styles = {}
    others = 0
    for name in sorted(set(names)):
        if name in TARGET_COLOURS:
            styles[name] = (TARGET_COLOURS[name], TARGET_SYMBOLS[name])
        else:
            styles[name] = (OTHER_COLOURS[others % len(OTHER_COLOURS)], OTHER_SYMBOLS[others % len(OTHER_SYMBOLS)])
            others += 1
    return styles


def text_colour(background: str) -> str:
    """Black or white, whichever stands out more against a #RRGGBB background.

    >>> text_colour("#0072B2"), text_colour("#F0E442")
    ('#FFFFFF', '#000000')
    """
    channels = [int(background[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "#FFFFFF" if luminance < 0.179 else "#000000"


def empty_figure(reason: str, lines: Sequence[str] = ()) -> go.Figure:
    """A figure that says why there is nothing to draw."""
    text = "<br>".join([f"<b>{plain(reason, 200)}</b>", *(plain(line, 200) for line in lines)])
    figure = go.Figure(layout={"template": template(), "height": 200})
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    figure.add_annotation(text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
    return figure
