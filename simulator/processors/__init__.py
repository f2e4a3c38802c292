"""One cost model a file; `cost(workload, target)` picks by the target's type."""

from .dispatch import cost

__all__ = ["cost"]
