"""One cost model a file; `cost(workload, target)` picks by the target's type."""

from .dispatch import ENERGY_LEVELS, RESIDENCIES, cost

__all__ = ["ENERGY_LEVELS", "RESIDENCIES", "cost"]
