"""A Cost is a sum of terms: each names its formula, its inputs with units and sources, and a value.

`explain`, breakdowns, intervals and reports all read the terms; nothing is stored beside them that
could be derived from them. Arrays have the layers on the last axis, designs (if any) before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .target import Target
from .workload import Workload

__all__ = ["COMPONENTS", "Cost", "Formula", "Quantity", "Term", "Traffic", "Unmodelled"]

Array = NDArray[np.float64]
Component = Literal["mac", "sram", "dram", "noc", "static", "time"]
COMPONENTS: tuple[Component, ...] = ("mac", "sram", "dram", "noc", "static")


@dataclass(frozen=True)
class Formula:
    """An equation by id: what `explain` prints, where it comes from, which assumption it rests on."""

    id: str
    equation: str
    source: str
    assumption: str


@dataclass(frozen=True, eq=False)
class Quantity:
    """A named input of a term; `source` and `status` are set for constants of the target."""

    name: str
    value: Array | float
    unit: str
    source: str = ""
    status: str = ""


@dataclass(frozen=True, eq=False)
class Term:
    """One addend: energy in pJ by component, or time in seconds (component "time")."""

    formula: Formula
    component: Component
    value: Array
    inputs: tuple[Quantity, ...]

    @property
    def metric(self) -> str:
        return "latency_s" if self.component == "time" else "energy_pj"


@dataclass(frozen=True, eq=False)
class Traffic:
    """Bits that one operand moves to and from one memory level, per batch."""

    level: str
    operand: Literal["weight", "input", "output"]
    read_bits: Array
    write_bits: Array


@dataclass(frozen=True)
class Unmodelled:
    """A layer whose cost is not in the totals, and why."""

    layer: str
    kind: str
    reason: str


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
        return self.bits_by_level().get("dram", np.zeros(self.macs_performed.shape))

    @property
    def fits(self) -> NDArray[np.bool_]:
        """Whether the weights find room on the target, by design."""
        return np.asarray(self.overflow_bits == 0)

    @property
    def partial(self) -> bool:
        return bool(self.unmodelled)
