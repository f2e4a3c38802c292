"""Costs of layers looked up instead of computed: millions of designs a second once every choice has been costed.

A layer's time and energy on a processor depend on its own choice alone (bits, density, format) as long as residency
does not change, so a design's total is a sum of table entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..target_processor import ProcessorTarget
from ..workload import Workload
from .processor import processor_cost

__all__ = ["LayerTable", "layer_table"]

Array = NDArray[np.float64]
CHUNK = 1 << 14


@dataclass(frozen=True, eq=False)
class LayerTable:
    """`latency_s` and `energy_pj`, shape [layers, choices]."""

    latency_s: Array
    energy_pj: Array

    def totals(self, choices: NDArray[np.integer]) -> tuple[Array, Array]:
        """(seconds, pJ) of every design; `choices[design, layer]` indexes the choices.

        >>> table = LayerTable(np.array([[1.0, 2.0], [10.0, 20.0]]), np.array([[3.0, 4.0], [30.0, 40.0]]))
        >>> [total.tolist() for total in table.totals(np.array([[0, 0], [1, 0]]))]
        [[11.0, 12.0], [33.0, 34.0]]
        """
        layers, count = self.latency_s.shape
        start = np.arange(layers, dtype=np.int64) * count
        latency, energy = np.zeros(len(choices)), np.zeros(len(choices))
        for first in range(0, len(choices), CHUNK):
            part = choices[first : first + CHUNK]
            for layer in range(layers):
                place = part[:, layer] + start[layer]
                latency[first : first + CHUNK] += self.latency_s.reshape(-1).take(place)
                energy[first : first + CHUNK] += self.energy_pj.reshape(-1).take(place)
        return latency, energy


def layer_table(
    choices: Sequence[Workload], target: ProcessorTarget, *, energy: str = "default", residency: str = "cold"
) -> LayerTable:
    """The costs of the same layers under each choice; `residency="cold"` keeps layers independent of each other."""
    costs = [processor_cost(workload, target, energy=energy, residency=residency) for workload in choices]
    return LayerTable(
        np.stack([cost.latency_s for cost in costs], axis=1), np.stack([cost.energy_pj for cost in costs], axis=1)
    )
