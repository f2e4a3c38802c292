"""Plain-text tables and numbers for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .models.model import Model
from .simulator.cost import Cost
from .simulator.explain import format_si

__all__ = ["count", "energy", "estimate_text", "latency", "ledger_text", "size", "table"]


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], indent: str = "  ") -> str:
    """Columns padded to their widest cell; those with a number in them, first column aside, to the right.

    >>> print(table(["layer", "MACs"], [["ip1", "235,200"], ["ip3", "1,000"]], indent=""))
    layer     MACs
    -----  -------
    ip1    235,200
    ip3      1,000
    """
    cells = [[str(cell) for cell in row] for row in rows]
    places = range(len(headers))
    widths = [max(len(line[place]) for line in [list(headers), *cells]) for place in places]
    numeric = [place > 0 and any(row[place][:1].isdigit() for row in cells) for place in places]

    def line(row: Sequence[str]) -> str:
        parts = [row[i].rjust(widths[i]) if numeric[i] else row[i].ljust(widths[i]) for i in places]
        return indent + "  ".join(parts).rstrip()

    return "\n".join([line(headers), indent + "  ".join("-" * width for width in widths), *map(line, cells)])


def energy(pj: float | None) -> str:
    return "-" if pj is None else format_si(pj * 1e-12, "J")


def latency(seconds: float | None) -> str:
    return "-" if seconds is None else format_si(seconds, "s")


def size(amount: float | None) -> str:
    """Bytes with thousands separators."""
    return "-" if amount is None else f"{amount:,.0f} B"


def count(number: float) -> str:
    return f"{number:,.0f}"


def _headline(cost: Cost) -> list[str]:
    totals, w = cost.totals, cost.workload
    lines = [f"{w.model} on {cost.target.title}, batch {w.batch}"]
    left = len(w) - len(cost.unmodelled)
    if left == 0:
        return [*lines, f"  NOTHING MODELLED: none of its {len(w)} layers runs here, so nothing is known of its cost"]
    parts = [f"energy {energy(totals['energy_pj'])}", f"latency {latency(totals['latency_s'])}"]
    if cost.partial:
        parts[0] = f"PARTIAL, {left} of {len(w)} layers: {parts[0]}"
    if w.batch > 1:
        parts.append(f"per inference {energy(totals['energy_pj_per_inference'])}")
        parts.append(latency(totals["latency_s_per_inference"]))
    lines.append("  " + ", ".join(parts))
    interval = cost.intervals
    if interval:
        low, high = interval["energy_pj"]
        fast, slow = interval["latency_s"]
        lines.append(
            f"  {interval['level']:.0%} interval: {energy(low)} to {energy(high)}, {latency(fast)} to {latency(slow)}"
            f" ({interval['basis']})"
        )
    if not cost.fits:
        lines.append(f"  DOES NOT FIT: {size(float(cost.overflow_bits) / 8)} too many")
    return lines


def estimate_text(cost: Cost) -> str:
    """What `picojoule estimate` prints: totals, components, layers, what is left out, assumptions."""
    totals = cost.totals
    lines = _headline(cost)
    lines.append(
        f"  weights {size(totals['weight_bytes'])} at density {totals['weight_density']:.3g}, "
        f"DRAM traffic {size(totals['dram_bytes'])}, loaded once {size(totals['load_bytes'])}, "
        f"peak activations {size(totals['peak_activation_bytes'])}"
    )
    parts = {name: float(value.sum()) for name, value in cost.energy_by_component_pj().items()}
    if any(parts.values()):
        lines.append("  " + ", ".join(f"{name} {energy(value)}" for name, value in parts.items() if value))
    rows = []
    for row in cost.layer_rows():
        if row["modelled"]:
            shown = [energy(row["energy_pj"]), latency(row["latency_s"])]
        else:
            shown = ["unmodelled", "unmodelled"]
        rows.append(
            [
                row["name"],
                row["kind"],
                count(row["macs"]),
                count(row["macs_performed"]),
                *shown,
                size(row["weight_bytes"]),
                row["executed_as"] or "-",
                row["bound_by"] or "-",
            ]
        )
    headers = ["layer", "kind", "MACs", "performed", "energy", "latency", "weights", "runs as", "bound by"]
    lines.append(table(headers, rows))
    lines += [f"  NOT IN THE TOTALS: {u.layer} ({u.kind}): {u.reason}" for u in cost.unmodelled]
    lines.append(f"  weights: {cost.workload.basis}; activation density: {cost.workload.activation_basis}")
    lines += [f"  {text}" for text in cost.assumptions]
    return "\n".join(lines)


def ledger_text(model: Model) -> str:
    """Every byte of a `.pico` file by tensor and section."""
    rows: list[list[Any]] = [
        [row.tensor, row.section, count(row.entries) if row.entries else "-", size(row.bytes)] for row in model.ledger
    ]
    total = sum(row.bytes for row in model.ledger)
    rows.append(["total", "", "", size(total)])
    return table(["tensor", "section", "entries", "bytes"], rows)
