"""The terms of a cost in plain text: which formula, which numbers, from where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..models.errors import InputError
from .terms import Quantity, Term

__all__ = ["METRICS", "explain_terms", "format_si"]

METRICS = {"energy": ("energy_pj", "pJ"), "latency": ("latency_s", "s")}
PREFIXES = (
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
    (1e-12, "p"),
)


def format_si(value: float, unit: str) -> str:
    """Three significant digits with an SI prefix.

    >>> format_si(0.00001234, "s")
    '12.3 µs'
    """
    if value == 0 or not np.isfinite(value):
        return f"{value:g} {unit}"
    scale, prefix = next((pair for pair in PREFIXES if abs(value) >= pair[0] * 0.9995), PREFIXES[-1])
    return f"{value / scale:.3g} {prefix}{unit}"


def _shown(value: float, unit: str) -> str:
    if unit == "pJ":
        return format_si(value * 1e-12, "J")
    return format_si(value, unit) if unit in ("s", "Hz", "W") else f"{value:,.6g} {unit}".removesuffix(" 1")


def _at(value: np.ndarray | float, place: int | None) -> float:
    array = np.asarray(value, float)
    if array.ndim == 0:
        return float(array)
    return float(array[place]) if place is not None else float(array.sum())


def _input_line(quantity: Quantity, place: int | None) -> str:
    array = np.asarray(quantity.value, float)
    rate = quantity.source or quantity.unit in ("W", "Hz") or quantity.name.startswith(("efficiency", "scale"))
    if place is None and array.ndim and rate:
        low, high = float(array.min()), float(array.max())
        text = (
            _shown(low, quantity.unit)
            if low == high
            else f"{_shown(low, quantity.unit)} to {_shown(high, quantity.unit)} by layer"
        )
    else:
        text = _shown(_at(quantity.value, place), quantity.unit)
    origin = f"  [{quantity.source}, {quantity.status}]" if quantity.source else ""
    return f"      {quantity.name} = {text}{origin}"


def explain_terms(
    terms: Sequence[Term], names: Sequence[str], assumptions: Sequence[str], *, layer: str | None, metric: str
) -> str:
    """Plain text: one block per term (largest first), their sum, the assumptions they rest on."""
    if metric not in METRICS:
        raise InputError("--metric", metric, " or ".join(METRICS))
    if layer is not None and layer not in names:
        raise InputError("--layer", layer, f"one of {', '.join(names)}")
    place = list(names).index(layer) if layer is not None else None
    key, unit = METRICS[metric]
    chosen = sorted((t for t in terms if t.metric == key), key=lambda t: -abs(_at(t.value, place)))
    total = sum(_at(term.value, place) for term in chosen)
    lines = [f"{metric} of {layer or 'all layers'}: {_shown(total, unit)}" if chosen else f"{metric}: not modelled"]
    for term in chosen:
        value = _at(term.value, place)
        share = f" ({value / total:.1%})" if total else ""
        kind = "" if term.component == "time" else f" [{term.component}]"
        lines += [f"  {_shown(value, unit)}{share}{kind}  {term.formula.id}", f"    = {term.formula.equation}"]
        lines += [_input_line(quantity, place) for quantity in term.inputs]
        lines.append(f"      from {term.formula.source}; rests on {term.formula.assumption.partition(':')[0]}")
    return "\n".join([*lines, "assumptions", *(f"  {text}" for text in assumptions)])
