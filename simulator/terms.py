"""The pieces a cost is made of: formulas, quantities with units and sources, terms, traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["COMPONENTS", "Component", "Formula", "Quantity", "Term", "Traffic", "Unmodelled"]

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
