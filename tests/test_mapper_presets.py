"""Dataflow presets on shipped accelerators: the best mapping keeps to their axes and to their innermost loops."""

from __future__ import annotations

import msgspec
import pytest

from picojoule.models.loops import LoopBounds
from picojoule.simulator.accelerator import AcceleratorTarget, Mapspace
from picojoule.simulator.mapper import best_mapping, make_hierarchy, make_problem, parse_mapping
from picojoule.simulator.mapper.problem import DIM
from picojoule.simulator.target import load_target

LAYER = LoopBounds(N=2, K=16, C=16, P=8, Q=8, R=3, S=3)
# preset: dims along x, along y, and those kept innermost in the level that feeds the array
LAYOUT = {
    "weight-stationary": ("K", "CRS", "NPQ"),
    "output-stationary": ("K", "NPQ", "CRS"),
    "input-stationary": ("NPQ", "CRS", "K"),
}


def with_preset(name: str, preset: str) -> AcceleratorTarget:
    target = load_target(name)
    assert isinstance(target, AcceleratorTarget)
    spaces = {"chosen": Mapspace(preset=preset, ceil=True)}  # type: ignore[arg-type]
    return msgspec.structs.replace(target, mapspaces=spaces, mapspace="chosen")


@pytest.mark.parametrize("preset", LAYOUT)
@pytest.mark.parametrize("name", ["tensor-core-2-4", "nvdla-small", "nvdla-full", "tpu-v1"])
def test_the_best_mapping_obeys_its_preset(name: str, preset: str) -> None:
    """Only the preset's dims on the array; at the feeding level no other loop inside the ones kept innermost."""
    target = with_preset(name, preset)
    hierarchy, problem = make_hierarchy(target), make_problem(LAYER)
    found = best_mapping(LAYER, target, "edp")
    assert found.proven
    mapping = parse_mapping(found.mapping, hierarchy, problem)
    names = [block.name for block in hierarchy.blocks]
    array = target.arrays[-1]
    for axis, dims in zip("xy", LAYOUT[preset], strict=False):
        loops = mapping.factors[names.index(f"{array.name}_{axis}")]
        assert {dim for dim, d in DIM.items() if loops[d] > 1} <= set(dims)
    feeding = names.index(array.below)
    inner = set(LAYOUT[preset][2])
    order = [dim for dim in mapping.orders[feeding] if mapping.factors[feeding, DIM[dim]] > 1]
    seen = [dim in inner for dim in order]
    assert seen == sorted(seen), (order, inner)


@pytest.mark.parametrize("name", ["tensor-core-2-4", "tpu-v1", "nvdla-small", "nvdla-full"])
def test_shipped_presets_are_those_of_their_makers(name: str) -> None:
    target = load_target(name)
    assert isinstance(target, AcceleratorTarget)
    wanted = "output-stationary" if name == "tensor-core-2-4" else "weight-stationary"
    assert target.mapspaces[target.mapspace].preset == wanted
