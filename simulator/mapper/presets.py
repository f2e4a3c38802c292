"""Readable dataflows as rules by block: which dims an array's axes take and which loops stay innermost."""

from __future__ import annotations

from collections.abc import Mapping

from ..accelerator import AcceleratorTarget, BlockRule, Dim
from .hierarchy import Hierarchy

__all__ = ["preset_rules"]

EVERY: tuple[Dim, ...] = ("N", "G", "K", "C", "P", "Q", "R", "S")
# By preset: dims along x, along y, and the loops kept innermost in the level that feeds the array
LAYOUT: dict[str, tuple[tuple[Dim, ...], tuple[Dim, ...], tuple[Dim, ...]]] = {
    "weight-stationary": (("K",), ("C", "R", "S"), ("N", "P", "Q")),
    "output-stationary": (("K",), ("N", "P", "Q"), ("C", "R", "S")),
    "input-stationary": (("N", "P", "Q"), ("C", "R", "S"), ("K",)),
    "row-stationary": (("Q", "K"), ("S", "C", "K"), ()),
}


def preset_rules(preset: str | None, target: AcceleratorTarget, hierarchy: Hierarchy) -> Mapping[str, BlockRule]:
    """Rules of a preset, by block; empty without one.

    Weight stationary (TPU v1, NVDLA): weights stay in the PEs while N, P and Q pass. Output stationary: the
    partial sums stay while C, R and S pass. Input stationary: inputs stay while K passes. Row stationary
    (Chen et al., ISCA 2016): a PE convolves a row of the kernel with a row of the input, R in the PE, S along y,
    Q along x, with K and C beside them. Groups and what else is left loop in the levels outside the array.
    """
    if preset is None or not target.arrays:
        return {}
    array = target.arrays[-1]
    x, y, innermost = LAYOUT[preset]
    first = next(b for b, block in enumerate(hierarchy.blocks) if block.name == f"{array.name}_x")
    rules = {f"{array.name}_x": BlockRule(free=x), f"{array.name}_y": BlockRule(free=y)}
    for b in range(first):
        block = hierarchy.blocks[b]
        if not block.spatial and block.name in hierarchy.levels:
            feeds = hierarchy.levels.index(block.name) == hierarchy.levels.index(array.below)
            rules[block.name] = BlockRule(free=EVERY, innermost=innermost if feeds else ())
    if preset == "row-stationary":
        inner = [level for level in hierarchy.levels if hierarchy.place[hierarchy.levels.index(level)] > first]
        for level in inner:
            keeps = target.level(level).keeps
            dims: tuple[Dim, ...] = ("N",)
            if "weight" in keeps:
                dims = ("R", "C", "N")
            elif "output" in keeps:
                dims = ("K", "N")
            rules[level] = BlockRule(free=dims, order=" ".join(dims))
    return rules
