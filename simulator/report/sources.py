"""Every constant that a cost used, with its value, source and status, read off the terms."""

from __future__ import annotations

from ..cost import Cost
from ..explain import format_si
from ..target import Constant, ProcessorTarget
from ..terms import Quantity
from .content import Table

__all__ = ["formula_table", "source_table"]


def _value(low: float, high: float, unit: str) -> str:
    def shown(value: float) -> str:
        if unit == "pJ":
            return format_si(value * 1e-12, "J")
        if unit == "pJ/bit":
            return format_si(value * 1e-12, "J/bit")
        return format_si(value, unit) if unit != "1" else f"{value:.4g}"

    return shown(low) if low == high else f"{shown(low)} to {shown(high)}, by layer"


def _range(quantity: Quantity) -> tuple[float, float]:
    import numpy as np

    values = np.asarray(quantity.value, float)
    return float(values.min()), float(values.max())


def _roofs(target: ProcessorTarget) -> list[tuple[str, float, str, Constant]]:
    """The ceilings inside the `compute` and `memory` times, and what measurements of the device changed."""
    peaks = [*target.peak_macs_per_s.items(), *((f"matrix_{k}", v) for k, v in target.matrix_macs_per_s.items())]
    roofs = [(f"peak_{name}", constant.value, "MAC/s", constant) for name, constant in peaks]
    roofs += [(f"correction_{name}", constant.value, "1", constant) for name, constant in target.corrections.items()]
    for memory in target.memories:
        if memory.bandwidth_bits_per_s is not None:
            constant = memory.bandwidth_bits_per_s
            roofs.append((f"{memory.name}_bandwidth", constant.value, "bit/s", constant))
    return roofs


def source_table(cost: Cost) -> Table:
    """One row per constant: name, value, status, source, the formulas that use it."""
    rows: dict[tuple[str, str, str, str], set[str]] = {}
    sources = cost.target.sources
    for term in cost.terms:
        for quantity in term.inputs:
            if quantity.source:
                value = _value(*_range(quantity), quantity.unit)
                source = sources.get(quantity.source, quantity.source)
                rows.setdefault((quantity.name, value, quantity.status, source), set()).add(term.formula.id)
    if isinstance(cost.target, ProcessorTarget):
        for name, number, unit, constant in _roofs(cost.target):
            key = (name, _value(number, number, unit), constant.status, sources.get(constant.source, constant.source))
            rows.setdefault(key, set()).add("processor.bound")
    body = tuple((*key, ", ".join(sorted(used))) for key, used in sorted(rows.items()))
    return Table(("constant", "value", "status", "source", "used in"), body, left=(0, 2, 3, 4))


def formula_table(cost: Cost) -> Table:
    """One row per formula: its id, the equation, where it comes from."""
    formulas = {term.formula.id: term.formula for term in cost.terms}
    body = tuple((f.id, f.equation, f.source) for _, f in sorted(formulas.items()))
    return Table(("formula", "equation", "source"), body, left=(0, 1, 2))
