"""Mappings of layers on accelerators: access counts, cycles, energy, and the search for the best one."""

from .charge import Charge, charge
from .hierarchy import Hierarchy, make_hierarchy
from .machine import Machine, make_machine
from .mapping import parse_mapping, read_mapping_file
from .mapspace import make_space, space_size
from .objective import OBJECTIVES
from .problem import Problem, make_problem
from .result import FrontPoint, MappingResult, best_mapping, evaluate_mapping
from .search import search
from .sweep import BufferPoint, buffer_sweep
from .traffic import Counts, count_accesses

__all__ = [
    "OBJECTIVES", "BufferPoint", "Charge", "Counts", "FrontPoint", "Hierarchy", "Machine", "MappingResult", "Problem",
    "best_mapping", "buffer_sweep", "charge", "count_accesses", "evaluate_mapping", "make_hierarchy", "make_machine",
    "make_problem", "make_space", "parse_mapping", "read_mapping_file", "search", "space_size",
]  # fmt: skip
