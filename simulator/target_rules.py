"""Rules of a target that a type cannot say: every one is checked when the file is read, none later."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec

from ..models.errors import InputError, TargetError
from .accelerator_rules import broken_accelerator_rules
from .formats import format_sizes, parse_format
from .target_ethos_u import ethos_u_rules
from .target_processor import WEIGHTED_KERNELS
from .target_systolic import systolic_rules

__all__ = ["broken_rules", "check_rules"]

Broken = tuple[str, object, str]
SMALL_COUNT = 1 << 20
OPERANDS = ("weight", "activation")


def _constants(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every number with a source in the target, and where it stands."""
    if type(node).__name__ == "Constant":
        yield path, node
    elif isinstance(node, msgspec.Struct):
        for name in node.__struct_fields__:
            yield from _constants(getattr(node, name), f"{path}.{name}" if path else name)
    elif isinstance(node, dict):
        for name, value in node.items():
            yield from _constants(value, f"{path}.{name}")
    elif isinstance(node, tuple):
        for place, value in enumerate(node):
            yield from _constants(value, f"{path}[{place}]")


def _numbers(target: Any) -> Iterator[Broken]:
    for path, constant in _constants(target):
        if constant.source not in target.sources:
            yield f"{path}.source", constant.source, f"a key of [sources]: {', '.join(target.sources)}"
        low, high = constant.low or constant.value, constant.high or constant.value
        if not low <= constant.value <= high < float("inf"):
            yield path, f"{low}, {constant.value}, {high}", "low <= value <= high, finite"
    if target.interval is not None:
        for name in ("latency_ratio", "energy_ratio"):
            low, high = getattr(target.interval, name)
            if not low <= high < float("inf"):
                yield f"interval.{name}", f"{low}, {high}", "low <= high, finite"


def _names(target: Any) -> Iterator[Broken]:
    for field in ("memories", "kernels"):
        names = [item.name for item in getattr(target, field, ())]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield field, f"two entries named {name!r}", "unique names"


def _formats(target: Any) -> Iterator[Broken]:
    """Sizes in a format's name are those of a format that exists: the pattern of the field cannot say so."""
    for place, name in enumerate(getattr(target, "executes", ())):
        try:
            parse_format(name)
        except InputError:
            yield f"executes[{place}]", name, "a format: nmN:M with N below M, M up to 16; blocks up to 64x64"


def _memories(target: Any, *, access: bool) -> Iterator[Broken]:
    """Both a level on the chip and one off it, as the model asks for each once."""
    for component in ("sram", "dram"):
        found = [memory for memory in target.memories if memory.component == component]
        if len(found) != 1:
            yield "memories", f"{len(found)} with component {component}", "one"
        elif access and found[0].access_pj_per_bit is None:
            yield f"memories: {found[0].name}.access_pj_per_bit", "nothing", "a value"
        elif not access and component == "dram" and found[0].bandwidth_bits_per_s is None:
            yield f"memories: {found[0].name}.bandwidth_bits_per_s", "nothing", "a value"


def _processor(target: Any) -> Iterator[Broken]:
    for operand in OPERANDS:
        if not any(operand in level.holds for level in target.memories):
            yield "memories", f"none that holds {operand}s", "a place for weights and one for activations"
    if not target.peak_macs_per_s:
        yield "peak_macs_per_s", "none", "the peak of at least one precision"
    known = {*target.peak_macs_per_s, *target.matrix_macs_per_s}
    if target.precision not in known:
        yield "precision", target.precision, f"a precision with a peak: {', '.join(sorted(known))}"
    if target.busy_w.value < target.idle_w.value:
        yield "busy_w", target.busy_w.value, f"at least idle_w, {target.idle_w.value}"
    yield from _curve(target)
    for place, kernel in enumerate(target.sparse_kernels):
        path = f"sparse_kernels[{place}]"
        if format_sizes(kernel.format) is None and kernel.format != "csr":
            yield f"{path}.format", kernel.format, "csr, nmN:M or blockRxC: weights that a kernel can skip"
        elif kernel.format != "csr" and kernel.format not in target.executes:
            yield f"{path}.format", kernel.format, f"one of executes: {', '.join(target.executes)}"
        if not kernel.kernels or not set(kernel.kernels) <= set(WEIGHTED_KERNELS):
            yield f"{path}.kernels", sorted(kernel.kernels), f"some of {', '.join(WEIGHTED_KERNELS)}"
        if not 0 < kernel.relative_rate.value <= 1:
            yield f"{path}.relative_rate", kernel.relative_rate.value, "above 0, at most 1: the dense kernel's rate"
    if target.units > SMALL_COUNT or target.index_bits > 64:
        yield "units, index_bits", f"{target.units}, {target.index_bits}", f"at most {SMALL_COUNT} and 64"


def _curve(target: Any) -> Iterator[Broken]:
    points = target.bandwidth_curve
    homes = {next((m.name for m in reversed(target.memories) if operand in m.holds), "") for operand in OPERANDS}
    if points and (len(points) < 2 or len(homes) > 1):
        yield "bandwidth_curve", f"{len(points)} points, {len(homes)} homes of data", "two points or more, one home"
    for place, (before, after) in enumerate(pairwise(points), 1):
        if after.working_set_bits <= before.working_set_bits:
            yield f"bandwidth_curve[{place}].working_set_bits", after.working_set_bits, "more than the one before"
        if after.bandwidth_bits_per_s.value <= 0:
            yield f"bandwidth_curve[{place}].bandwidth_bits_per_s", after.bandwidth_bits_per_s.value, "above 0"
        if after.bandwidth_bits_per_s.value > before.bandwidth_bits_per_s.value:
            got = after.bandwidth_bits_per_s.value
            yield f"bandwidth_curve[{place}].bandwidth_bits_per_s", got, "at most the one before"


def _eie(target: Any) -> Iterator[Broken]:
    if set(target.power_w) != set(target.power_component):
        yield "power_component", sorted(target.power_component), f"the names of the powers: {sorted(target.power_w)}"
    if target.pointer_memory_bits_per_pe.value < 2 * target.pointer_bits:
        yield "pointer_bits", target.pointer_bits, "room for two in pointer_memory_bits_per_pe"
    limits = {"n_pe": SMALL_COUNT, "fifo_depth": SMALL_COUNT, "max_codes": 1 << 16, "zero_run_bits": 16}
    for name, most in limits.items():
        if getattr(target, name) > most:
            yield name, getattr(target, name), f"at most {most}"


def _access_energy(target: Any) -> Iterator[Broken]:
    yield from _memories(target, access=True)
    for name in ("mac_energies", "add_energies"):
        widths = [entry.bits for entry in getattr(target, name)]
        if not widths or len(set(widths)) < len(widths):
            yield name, f"widths {widths}", "at least one, each number of bits once"


def broken_rules(target: Any) -> Iterator[Broken]:
    """(field, got, wanted) for every rule that a target breaks."""
    yield from _numbers(target)
    yield from _names(target)
    yield from _formats(target)
    models = {
        "ProcessorTarget": _processor, "EieTarget": _eie, "AccessEnergyTarget": _access_energy,
        "AcceleratorTarget": broken_accelerator_rules, "EthosUTarget": ethos_u_rules,
        "SystolicTarget": systolic_rules,
    }  # fmt: skip
    yield from models[type(target).__name__](target)


def check_rules(target: Any, where: str) -> None:
    """Raises TargetError for the first rule that is broken."""
    for field, got, wanted in broken_rules(target):
        raise TargetError(f"{where}: {field}", got, wanted)
