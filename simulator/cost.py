"""A Cost is a sum of terms: each names its formula, its inputs with units and sources, and a value.

`explain`, breakdowns, intervals and reports all read the terms; nothing is stored beside them that
could be derived from them. Arrays have the layers on the last axis, designs (if any) before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .explain import explain_terms
from .target import Interval, Target
from .terms import COMPONENTS, Term, Traffic, Unmodelled
from .workload import Workload

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cost"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cost:
    """What one batch costs on one target.

    `executed[l]` is the format that layer l's kernel reads; `bound_by[l]` the resource that sets its time.
    `stored_bits` are weights as they lie on this target, everything included; `load_bits` are moved once.
    `load_time_s`, `load_energy_pj` (paid once, when weights are decoded) and `overflow_bits` are by design.
    """

    workload: Workload
    target: Target
    terms: tuple[Term, ...]
    traffic: tuple[Traffic, ...]
    executed: NDArray[np.str_]
    bound_by: NDArray[np.str_]
    macs_performed: Array
    macs_gated: Array
    stored_bits: Array
    load_bits: Array
    overflow_bits: Array
    unmodelled: tuple[Unmodelled, ...]
    assumptions: tuple[str, ...]
    load_time_s: Array
    load_energy_pj: Array
    has_latency: bool = True
    interval: Interval | None = None

    def _sum(self, metric: str, component: str | None = None) -> Array:
        zero = np.zeros(self.macs_performed.shape)
        chosen = (t.value for t in self.terms if t.metric == metric and component in (None, t.component))
        return sum(chosen, zero)

    @property
    def energy_pj(self) -> Array:
        """Energy by layer, pJ per batch."""
        return self._sum("energy_pj")

    @property
    def latency_s(self) -> Array:
        """Time by layer, seconds per batch; zeros where the target has no clock (`has_latency`)."""
        return self._sum("latency_s")

    def energy_by_component_pj(self) -> Mapping[str, Array]:
        """Energy by component and layer."""
        return {component: self._sum("energy_pj", component) for component in COMPONENTS}

    def bits_by_level(self) -> Mapping[str, Array]:
        """Bits read and written by memory level and layer."""
        levels: dict[str, Array] = {}
        for move in self.traffic:
            levels[move.level] = levels.get(move.level, 0.0) + move.read_bits + move.write_bits
        return levels

    @property
    def dram_bits(self) -> Array:
        """Bits over the chip's edge in the steady state, by layer."""
        moved, none = self.bits_by_level(), np.zeros(self.macs_performed.shape)
        return sum((moved.get(level, none) for level in self.target.off_chip_levels), none)

    @property
    def fits(self) -> Any:
        """Whether the weights find room on the target, by design."""
        return self.overflow_bits == 0

    @property
    def partial(self) -> bool:
        return bool(self.unmodelled)

    @property
    def totals(self) -> dict[str, Any]:
        """Totals for one batch, by the names of the command line's JSON; numbers, or arrays by design."""
        w, batch = self.workload, self.workload.batch
        energy, latency = self.energy_pj.sum(axis=-1), self.latency_s.sum(axis=-1)
        known = self.has_latency
        out = {
            "energy_pj": energy,
            "latency_s": latency if known else None,
            "energy_pj_per_inference": energy / batch,
            "latency_s_per_inference": latency / batch if known else None,
            "macs": w.macs.sum(axis=-1),
            "macs_performed": self.macs_performed.sum(axis=-1),
            "macs_gated": self.macs_gated.sum(axis=-1),
            "weight_bytes": _bytes(self.stored_bits.sum(axis=-1)),
            "file_bytes": w.file_bytes,
            "dram_bytes": _bytes(self.dram_bits.sum(axis=-1)),
            "load_bytes": _bytes(self.load_bits.sum(axis=-1)),
            "load_latency_s": self.load_time_s if known else None,
            "load_energy_pj": self.load_energy_pj,
            "peak_activation_bytes": _bytes(w.peak_activation_bits),
            "weight_density": w.weight_density,
        }
        return {name: _plain(value) for name, value in out.items()}

    @property
    def intervals(self) -> dict[str, Any] | None:
        """Where a measurement falls with probability `level`: from residuals of the target, or of its family."""
        interval = self.interval or self.target.interval
        if interval is None or self.partial:
            return None
        energy, latency = self.energy_pj.sum(axis=-1), self.latency_s.sum(axis=-1)
        return {
            "energy_pj": [_plain(energy * ratio) for ratio in interval.energy_ratio],
            "latency_s": [_plain(latency * ratio) for ratio in interval.latency_ratio],
            "level": interval.level,
            "basis": interval.basis,
        }

    def layer_rows(self) -> list[dict[str, Any]]:
        """One dict per layer (a cost of one design only), by the names of the command line's JSON."""
        w, missing = self.workload, {layer.layer: layer.reason for layer in self.unmodelled}
        components = self.energy_by_component_pj()
        energy, latency, dram = self.energy_pj, self.latency_s, self.dram_bits
        rows = []
        for i, name in enumerate(w.names):
            modelled = name not in missing
            rows.append(
                {
                    "name": name,
                    "kind": w.kinds[i],
                    "modelled": modelled,
                    "macs": int(w.macs[i]),
                    "macs_performed": float(self.macs_performed[i]),
                    "energy_pj": float(energy[i]) if modelled else None,
                    "latency_s": float(latency[i]) if modelled and self.has_latency else None,
                    "energy_by_component_pj": {key: float(value[i]) for key, value in components.items()},
                    "weight_elements": int(w.weight_elements[i]),
                    "weight_density": float(w.density[i]),
                    "weight_bits": int(w.weight_bits[i]),
                    "weight_bytes": _bytes(self.stored_bits[i]),
                    "dram_bytes": _bytes(dram[i]),
                    "input_density": float(w.input_density[i]),
                    "stored_as": str(w.storage[i]),
                    "executed_as": str(self.executed[i]),
                    "bound_by": str(self.bound_by[i]) or None,
                }
            )
        return rows

    @property
    def layers(self) -> pd.DataFrame:
        """The layers as a DataFrame; energy by component in columns `energy_mac_pj`, `energy_sram_pj`, ..."""
        import pandas as pd

        flat = []
        for row in self.layer_rows():
            parts = row.pop("energy_by_component_pj")
            flat.append(row | {f"energy_{name}_pj": value for name, value in parts.items()})
        return pd.DataFrame(flat)

    def explain(self, layer: str | None = None, metric: str = "energy") -> str:
        """Every term in plain text: formula, inputs with units and sources, value."""
        return explain_terms(self.terms, self.workload.names, self.assumptions, layer=layer, metric=metric)


def _bytes(bits: Any) -> Any:
    """Whole bytes, rounded up."""
    rounded = np.ceil(np.asarray(bits, float) / 8).astype(np.int64)
    return int(rounded) if rounded.ndim == 0 else rounded


def _plain(value: Any) -> Any:
    """A Python number for a single design, the array for several."""
    if (isinstance(value, np.ndarray) and value.ndim == 0) or isinstance(value, np.generic):
        number = value.item()
        return int(number) if isinstance(number, float) and number.is_integer() and abs(number) < 2**53 else number
    return value
