"""From costs to the tables that figures draw: one row per thing drawn, units in the column names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..target import AcceleratorTarget, EieTarget, EthosUTarget, ProcessorTarget, SystolicTarget
from ..terms import COMPONENTS

if TYPE_CHECKING:
    from ..cost import Cost
    from ..ladder import Rung

__all__ = [
    "comparison_frame",
    "keep",
    "ladder_frame",
    "memory_frame",
    "numbers",
    "roofline_frame",
    "roofs_frame",
    "traffic_frame",
]


def numbers(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """A column as float64, NaN where there is nothing."""
    return np.asarray(frame[column], float)


def keep(frame: pd.DataFrame, mask: ArrayLike) -> pd.DataFrame:
    """The rows where `mask` is true."""
    return cast(pd.DataFrame, frame.loc[np.asarray(mask, bool)])


def traffic_frame(cost: Cost) -> pd.DataFrame:
    """Bytes per batch by memory level and operand: level, operand, read_bytes, write_bytes."""
    moved: dict[tuple[str, str], list[float]] = {}
    for move in cost.traffic:
        sums = moved.setdefault((move.level, move.operand), [0.0, 0.0])
        sums[0] += float(np.sum(move.read_bits)) / 8
        sums[1] += float(np.sum(move.write_bits)) / 8
    rows = [[*key, *sums] for key, sums in moved.items()]
    return pd.DataFrame(rows, columns=["level", "operand", "read_bytes", "write_bytes"])


def ladder_frame(ladder: Iterable[Rung]) -> pd.DataFrame:
    """The rungs of `size_ladder`: step, bytes, ratio, paper_bytes, paper_ratio, how."""
    names = ("step", "bytes", "ratio", "paper_bytes", "paper_ratio", "how")
    return pd.DataFrame([{name: getattr(rung, name) for name in names} for rung in ladder], columns=list(names))


def comparison_frame(costs: Sequence[Cost]) -> pd.DataFrame:
    """One row per cost: model, target, energy and time per batch, and their intervals (NaN: not modelled, none)."""
    rows = []
    for cost in costs:
        totals, intervals = cost.totals, cost.intervals or {}
        energy = intervals.get("energy_pj") or [np.nan, np.nan]
        latency = intervals.get("latency_s") or [np.nan, np.nan]
        known = len(cost.unmodelled) < len(cost.workload)
        rows.append(
            {
                "model": cost.workload.model,
                "target": cost.target.name,
                "energy_pj": totals["energy_pj"] if known else np.nan,
                "energy_low_pj": energy[0],
                "energy_high_pj": energy[1],
                "latency_s": totals["latency_s"] if known and cost.has_latency else np.nan,
                "latency_low_s": latency[0],
                "latency_high_s": latency[1],
                "level": intervals.get("level", np.nan),
                "partial": cost.partial,
                "unmodelled": ", ".join(sorted(layer.layer for layer in cost.unmodelled)),
                "fits": bool(cost.fits),
            }
        )
    return pd.DataFrame(rows)


def memory_frame(costs: Sequence[tuple[str, Cost]]) -> pd.DataFrame:
    """(memory, cost) pairs, such as ("DRAM", cold), ("SRAM", warm): model, memory, energy in all and by component."""
    rows = []
    for memory, cost in costs:
        parts = {f"energy_{name}_pj": float(v.sum()) for name, v in cost.energy_by_component_pj().items()}
        row: dict[str, Any] = {"model": cost.workload.model, "memory": memory, "energy_pj": cost.totals["energy_pj"]}
        rows.append(row | parts)
    columns = ["model", "memory", "energy_pj", *(f"energy_{name}_pj" for name in COMPONENTS)]
    return pd.DataFrame(rows, columns=columns)


def roofline_frame(cost: Cost) -> pd.DataFrame:
    """Modelled layers: name, macs_performed, moved_bytes, intensity_mac_per_byte, macs_per_s, bound_by.

    `moved_bytes` is what passes the busiest memory level. Empty where the target has no clock.
    """
    columns = ["name", "macs_performed", "moved_bytes", "intensity_mac_per_byte", "macs_per_s", "bound_by"]
    latency = cost.latency_s
    levels = list(cost.bits_by_level().values())
    moved = np.max(levels, axis=0) / 8 if levels else np.zeros_like(latency)
    missing = {layer.layer for layer in cost.unmodelled}
    rows = []
    for place, name in enumerate(cost.workload.names):
        performed = float(cost.macs_performed[place])
        if not cost.has_latency or name in missing or not (performed and latency[place] and moved[place]):
            continue
        intensity, speed = performed / float(moved[place]), performed / float(latency[place])
        rows.append([name, performed, float(moved[place]), intensity, speed, str(cost.bound_by[place])])
    return pd.DataFrame(rows, columns=columns)


def roofs_frame(cost: Cost) -> pd.DataFrame:
    """The target's ceilings: roof, macs_per_s, bytes_per_s (infinite where memory sets no limit)."""
    columns = ["roof", "macs_per_s", "bytes_per_s"]
    target = cost.target
    if isinstance(target, ProcessorTarget):
        rates = [m.bandwidth_bits_per_s.value / 8 for m in target.memories if m.bandwidth_bits_per_s]
        peaks = target.matrix_macs_per_s.get(target.precision) or target.peak_macs_per_s.get(target.precision)
        peak = peaks.value if peaks else max(each.value for each in target.peak_macs_per_s.values())
        return pd.DataFrame([[f"{target.name}: peak and memory", peak, min(rates, default=np.inf)]], columns=columns)
    if isinstance(target, EieTarget):
        rate = target.n_pe * target.clock_hz.value
        return pd.DataFrame([[f"{target.n_pe} entries a cycle", rate, np.inf]], columns=columns)
    if isinstance(target, EthosUTarget):
        rates = [m.bandwidth_bits_per_s.value / 8 for m in target.memories]
        peak = target.peak_macs_per_s * (2 if target.sparse_2_of_4 else 1)
        return pd.DataFrame([[f"{target.name}: peak and fastest memory", peak, max(rates)]], columns=columns)
    if isinstance(target, SystolicTarget):
        peak = target.rows * target.columns * target.clock_hz.value
        return pd.DataFrame([[f"{target.rows} x {target.columns} MACs a cycle", peak, np.inf]], columns=columns)
    if isinstance(target, AcceleratorTarget):
        pes = prod(array.x * array.y for array in target.arrays)
        rows = [[f"{pes} PEs", pes * target.mac.macs_per_cycle * target.clock_hz.value, np.inf]]
        return pd.DataFrame(rows, columns=columns)
    return pd.DataFrame(columns=columns)
