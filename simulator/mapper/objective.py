"""What is best so far, and what can no longer become better: one rule for each objective."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.errors import InputError

__all__ = ["OBJECTIVES", "Incumbent"]

Array = NDArray[np.float64]
OBJECTIVES = ("energy", "latency", "edp", "pareto")
EQUAL = 1e-12  # sums in another order


class Incumbent:
    """The best (energy pJ, cycles) found, or for "pareto" all that no other one beats in both.

    Ties in the objective go to fewer cycles, or to less energy.

    >>> best = Incumbent("energy")
    >>> best.offer(np.array([5.0, 4.0]), np.array([1.0, 9.0]), ["a", "b"].__getitem__)
    >>> best.points
    [(4.0, 9.0, 'b')]
    >>> best.may_win(np.array([4.5, 3.9]), np.array([1.0, 1.0])).tolist()
    [False, True]
    """

    def __init__(self, objective: str) -> None:
        if objective not in OBJECTIVES:
            raise InputError("--objective", objective, f"one of {', '.join(OBJECTIVES)}")
        self.objective = objective
        self.points: list[tuple[float, float, Any]] = []

    def key(self, energy: Array, cycles: Array) -> tuple[Array, Array]:
        """(what is minimised first, what decides ties)."""
        if self.objective == "latency":
            return cycles, energy
        if self.objective == "edp":
            return energy * cycles, energy
        return energy, cycles

    def may_win(self, energy: Array, cycles: Array) -> NDArray[np.bool_]:
        """Where lower bounds of energy and cycles still allow something better."""
        if not self.points:
            return np.ones(np.broadcast_shapes(energy.shape, cycles.shape), bool)
        if self.objective == "pareto":
            limits = np.array([point[1] for point in self.points])
            best = np.array([point[0] for point in self.points])
            at = np.searchsorted(limits, cycles, side="right") - 1
            return (at < 0) | (best[np.maximum(at, 0)] > energy * (1 + EQUAL))
        main, tie = self.key(energy, cycles)
        best_main, best_tie = self.key(np.array(self.points[0][0]), np.array(self.points[0][1]))
        less = main < best_main * (1 - EQUAL)
        return less | ((main <= best_main * (1 + EQUAL)) & (tie < best_tie * (1 - EQUAL)))

    def offer(self, energy: Array, cycles: Array, describe: Any) -> None:
        """Take what is better; `describe(i)` is kept with point i."""
        if self.objective == "pareto":
            self._offer_all(energy, cycles, describe)
            return
        main, tie = self.key(energy, cycles)
        least = main.min()
        near = np.flatnonzero(main <= least * (1 + EQUAL))
        i = int(near[np.argmin(tie[near])])
        if self.may_win(energy[i : i + 1], cycles[i : i + 1])[0]:
            self.points = [(float(energy[i]), float(cycles[i]), describe(i))]

    def _offer_all(self, energy: Array, cycles: Array, describe: Any) -> None:
        some = np.flatnonzero(self.may_win(energy, cycles))
        rank = some[np.lexsort((energy[some], cycles[some]))]
        falling = np.minimum.accumulate(np.concatenate([[np.inf], energy[rank]]))
        better = rank[energy[rank] < falling[:-1] * (1 - EQUAL)]
        points = self.points + [(float(energy[i]), float(cycles[i]), describe(int(i))) for i in better]
        points.sort(key=lambda point: (point[1], point[0]))
        self.points = []
        for point in points:
            if not self.points or point[0] < self.points[-1][0] * (1 - EQUAL):
                self.points.append(point)

    def first_bound(self, energy: float, cycles: float) -> float:
        """The objective of a bound, as one number to compare with `value`."""
        return float(self.key(np.array(energy), np.array(cycles))[0])

    @property
    def value(self) -> float:
        """The objective of the best so far; for "pareto" the least energy."""
        if not self.points:
            return float("inf")
        if self.objective == "pareto":
            return min(point[0] for point in self.points)
        return self.first_bound(self.points[0][0], self.points[0][1])
