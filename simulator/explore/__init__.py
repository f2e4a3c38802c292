"""Exploration: bits x density x format x target, measured errors, the exact Pareto front."""

from .best import best
from .pareto import OBJECTIVES, pareto, pareto_mask
from .read import read_exploration
from .run import Exploration, explore, run_study
from .study import Study, read_study

__all__ = [
    "OBJECTIVES",
    "Exploration",
    "Study",
    "best",
    "explore",
    "pareto",
    "pareto_mask",
    "read_exploration",
    "read_study",
    "run_study",
]
