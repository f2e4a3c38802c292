"""Rules of an accelerator that a type cannot say, each with the field it is about."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from ..models.ops import OPAQUE, OPS
from .accelerator import OPERANDS, AcceleratorTarget

__all__ = ["broken_accelerator_rules"]

Broken = tuple[str, object, str]
MAX_LEVELS, MAX_MESH = 8, 1 << 24
ACTIVATION_FORMATS = ("dense", "rlc", "bitmask", "relative")


def broken_accelerator_rules(target: AcceleratorTarget) -> Iterator[Broken]:
    """(field, got, wanted) for every rule that is broken."""
    yield from _names(target)
    yield from _levels(target)
    yield from _arrays(target)
    yield from _sparse(target)
    yield from _units(target)
    for name, space in target.mapspaces.items():
        yield from _mapspace(target, f"mapspaces.{name}", space)
    if target.mapspace not in target.mapspaces:
        yield "mapspace", target.mapspace, f"one of {', '.join(target.mapspaces) or 'none there'}"


def _names(target: AcceleratorTarget) -> Iterator[Broken]:
    names = [block for block, _, _ in target.blocks] + [array.name for array in target.arrays] + ["mac"]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield "levels, arrays", f"two blocks named {name!r}", "unique names of levels and arrays, none of them 'mac'"


def _levels(target: AcceleratorTarget) -> Iterator[Broken]:
    if not 1 <= len(target.levels) <= MAX_LEVELS:
        yield "levels", len(target.levels), f"1 to {MAX_LEVELS}"
        return
    for operand in OPERANDS:
        if operand not in target.levels[0].keeps:
            yield "levels[0].keeps", f"no {operand}", "all operands: the outermost level holds the whole layer"
    if target.levels[0].capacity_bits is not None:
        yield "levels[0].capacity_bits", target.levels[0].capacity_bits.value, "nothing: the outermost is unbounded"
    for place, level in enumerate(target.levels):
        field = f"levels[{place}]"
        if len(set(level.keeps)) < len(level.keeps):
            yield f"{field}.keeps", list(level.keeps), "each operand once"
        for form in level.formats:
            if form not in target.executes:
                yield f"{field}.formats", form, f"a format that the hardware decodes: {', '.join(target.executes)}"
        if level.energy_fit and (level.capacity_bits is None or target.node_nm is None):
            yield f"{field}.energy_fit", level.energy_fit, "capacity_bits of the level and node_nm to fit from"
        if level.resident_weights and (place != 1 or "weight" not in level.keeps or level.capacity_bits is None):
            wanted = "false, or true for the first level on the chip, where it keeps weights and has a capacity"
            yield f"{field}.resident_weights", True, wanted
        least = _least_bits(target, level)
        if place and level.capacity_bits is not None and level.capacity_bits.value < least:
            what = f"one word each of {', '.join(level.keeps)}" + ", twice" * level.double_buffered
            yield f"{field}.capacity_bits", level.capacity_bits.value, f"room for {what}: at least {least}"


def _least_bits(target: AcceleratorTarget, level: Any) -> int:
    """Bits of the smallest tiles that a level inside the outermost can hold."""
    mac = target.mac
    words = {"weight": mac.weight_bits, "input": mac.input_bits, "output": mac.accumulator_bits or mac.output_bits}
    return sum(words[operand] for operand in level.keeps) * (2 if level.double_buffered else 1)


def _arrays(target: AcceleratorTarget) -> Iterator[Broken]:
    known = [level.name for level in target.levels]
    for place, array in enumerate(target.arrays):
        if array.below not in known:
            yield f"arrays[{place}].below", array.below, f"a level: {', '.join(known)}"
    if prod(array.x * array.y for array in target.arrays) > MAX_MESH:
        yield "arrays", prod(array.x * array.y for array in target.arrays), f"at most {MAX_MESH} PEs in all"


def _sparse(target: AcceleratorTarget) -> Iterator[Broken]:
    known = [level.name for level in target.levels]
    for place, feature in enumerate(target.sparse):
        field = f"sparse[{place}]"
        if feature.format not in target.executes:
            yield f"{field}.format", feature.format, f"a format that the hardware decodes: {', '.join(target.executes)}"
        columns = feature.format == "csc" and any(f.format == "csc" and f.operand == "weight" for f in target.sparse)
        if feature.operand == "input" and not columns and not feature.format.startswith(ACTIVATION_FORMATS):
            wanted = "for inputs dense, rlc, bitmask or relativeN, or csc where weights are csc too"
            yield f"{field}.format", feature.format, wanted
        for name in feature.levels:
            if name not in known:
                yield f"{field}.levels", name, f"levels: {', '.join(known)}"
            elif feature.format not in target.level(name).formats:
                yield f"{field}.format", feature.format, f"a format of level {name}: {target.level(name).formats}"
        if (feature.saves == "n_m") != (feature.n is not None and feature.m is not None):
            yield f"{field}.n, m", f"n = {feature.n}, m = {feature.m}, saves {feature.saves}", "n and m with n_m only"
        elif feature.n is not None and feature.m is not None and feature.n >= feature.m:
            yield f"{field}.n", f"{feature.n} of {feature.m}", "n < m"
        both = [f.operand for f in target.sparse if f.saves in ("gate", "skip")]
        if feature.two_sided and (feature.saves not in ("gate", "skip") or len(set(both)) > 1):
            yield f"{field}.two_sided", "true", "gate or skip, and no feature of the other operand that does so too"
        if feature.saves == "gate" and target.mac.gated_pj is None:
            yield "mac.gated_pj", "nothing", f"a value, as {field} gates MACs"


def _units(target: AcceleratorTarget) -> Iterator[Broken]:
    runs = sorted(set(OPS) - {"conv", "gemm", "matmul", "conv_transpose", "einsum", "recurrent", OPAQUE})
    seen: set[str] = set()
    for place, unit in enumerate(target.units):
        for kind in unit.kinds:
            if kind not in runs:
                yield f"units[{place}].kinds", kind, f"a layer without weights: {', '.join(runs)}"
            elif kind in seen:
                yield f"units[{place}].kinds", kind, "each kind in one unit"
            seen.add(kind)
        if unit.elements_per_cycle.value <= 0:
            yield f"units[{place}].elements_per_cycle", unit.elements_per_cycle.value, "a positive number"


def _mapspace(target: AcceleratorTarget, field: str, space: Any) -> Iterator[Broken]:
    known = [name for name, _, _ in target.blocks]
    if space.preset is not None and not target.arrays:
        yield f"{field}.preset", space.preset, "an array to lay it out on"
    for name, rule in space.blocks.items():
        here = f"{field}.blocks.{name}"
        if name not in known:
            yield here, name, f"a block: {', '.join(known)}"
        both = sorted(set(rule.free) & set(rule.rest))
        if both:
            yield here, f"{', '.join(both)} both free and rest", "each dim once"
        named = (rule.order or "").split()
        missing = [dim for dim in (*rule.free, *rule.rest) if rule.order and dim not in named]
        if missing or len(set(named)) < len(named):
            yield f"{here}.order", rule.order, f"every free and rest dim once, also {', '.join(missing)}"
        if rule.order and rule.innermost:
            yield f"{here}.innermost", list(rule.innermost), "order or innermost, not both"
    for dim in {dim for rule in space.blocks.values() for dim in rule.rest}:
        places = [name for name, rule in space.blocks.items() if dim in rule.rest]
        if len(places) > 1:
            yield f"{field}.blocks", f"{dim} is the rest in {', '.join(places)}", "one block that takes the rest"
    for level, operand in space.bypass:
        kept = [one for one in target.levels[1:] if one.name == level and operand in one.keeps]
        if not kept:
            yield f"{field}.bypass", f"{level}, {operand}", "a level inside the outermost and an operand that it keeps"
