"""`picojoule map`: the best mapping of each layer on an accelerator, or a given one, with everything counted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from . import __version__
from .buffer_sizes import print_sizes
from .commands import parse_shapes, print_json
from .models.errors import InputError
from .models.load import load_model
from .models.ops import LoopBounds
from .simulator.accelerator import DIMS, OPERANDS, AcceleratorTarget
from .simulator.estimate import parse_bits
from .simulator.mapper import MappingResult, best_mapping, evaluate_mapping, make_machine, read_mapping_file
from .simulator.target import load_target
from .simulator.workload import make_workload
from .text import count, energy, latency, table

__all__ = ["map"]

Layers = list[tuple[str, str, LoopBounds]]


def map(arguments: argparse.Namespace) -> None:  # noqa: A001 - the command's name
    target = load_target(arguments.target)
    if not isinstance(target, AcceleratorTarget):
        raise InputError("--target", target.name, "an accelerator with memory levels, whose mapping is free",
                         "for the cost on this one: picojoule estimate")  # fmt: skip
    layers, unmapped = _layers(arguments)
    if arguments.sweep is not None:
        if len(layers) > 1 or arguments.objective == "pareto":
            raise InputError("--sweep", f"{len(layers)} layers, {arguments.objective}", "one --layer and one objective",
                             f"for example --layer {layers[0][0]}")  # fmt: skip
        print_sizes(target, layers[0][0], layers[0][2], arguments.sweep, arguments.objective, as_json=arguments.json)
        return
    results = _map_layers(arguments, target, layers)
    if arguments.json:
        print_json(_document(arguments, target, layers, results, unmapped))
    else:
        print(_text(target, layers, results, unmapped))


def _layers(arguments: argparse.Namespace) -> tuple[Layers, list[dict[str, str]]]:
    """(layers that multiply, what is left out and why), the batch in their N."""
    model = load_model(arguments.model, shapes=parse_shapes(arguments.shape))
    workload = make_workload(model, arguments.batch)
    named = list(zip(workload.names, workload.kinds, workload.bounds, strict=True))
    if arguments.layer is not None:
        named = [row for row in named if row[0] == arguments.layer]
        if not named:
            raise InputError("--layer", arguments.layer, f"one of {', '.join(workload.names)}")
    layers = [(name, kind, replace(b, N=b.N * workload.repeats)) for name, kind, b in named if b is not None]
    if not layers:
        raise InputError("MODEL", arguments.model, "at least one layer that multiplies", "see: picojoule inspect")
    reason = "multiplies nothing: no loops to map"
    return layers, [{"layer": name, "kind": kind, "reason": reason} for name, kind, b in named if b is None]


def _map_layers(arguments: argparse.Namespace, target: AcceleratorTarget, layers: Layers) -> list[MappingResult]:
    weight_bits, input_bits = parse_bits(arguments.bits)
    machine = make_machine(target, weight_bits=weight_bits, input_bits=input_bits, output_bits=input_bits)
    results = []
    for name, _, bounds in layers:
        if arguments.mapping:
            lines = read_mapping_file(arguments.mapping, name)
            results.append(
                evaluate_mapping(bounds, target, lines, machine=machine, where=f"{arguments.mapping}: {name}")
            )
            continue
        if len(layers) > 1:
            print(f"picojoule: mapping {name}", file=sys.stderr)
        share = None if arguments.budget is None else arguments.budget / len(layers)
        found = best_mapping(bounds, target, arguments.objective, mapspace=arguments.mapspace, machine=machine,
                             budget_s=share, where=f"layer {name}")  # fmt: skip
        results.append(found)
    return results


def _document(arguments: argparse.Namespace, target: AcceleratorTarget, layers: Layers,
              results: Sequence[MappingResult], unmapped: list[dict[str, str]]) -> dict[str, Any]:  # fmt: skip
    clock = target.clock_hz.value
    cycles = _whole(sum(result.cycles for result in results))
    return {
        "schema": 1,
        "version": __version__,
        "model": arguments.model,
        "target": target.name,
        "batch": arguments.batch,
        "objective": results[0].objective,
        "mapspace": results[0].mapspace or None,
        "totals": {
            "energy_pj": sum(result.energy_pj for result in results),
            "cycles": cycles,
            "latency_s": cycles / clock,
            "macs": sum(result.macs for result in results),
            "proven": all(result.proven for result in results),
        },
        "layers": [
            {"name": name, "kind": kind} | _layer_document(bounds, result, clock)
            for (name, kind, bounds), result in zip(layers, results, strict=True)
        ],
        "unmodelled": unmapped,
    }


def _layer_document(bounds: LoopBounds, result: MappingResult, clock_hz: float) -> dict[str, Any]:
    return {
        "bounds": dict(zip(DIMS, result.problem.bounds, strict=True))
        | {"stride": list(bounds.stride), "dilation": list(bounds.dilation)},
        "mapping": list(result.mapping),
        "macs": result.macs,
        "energy_pj": result.energy_pj,
        "cycles": _whole(result.cycles),
        "latency_s": result.cycles / clock_hz,
        "utilization": result.utilization,
        "bound_by": result.bound_by,
        "cycles_by_resource": {
            name: _whole(cycles) for name, cycles in zip(result.resources, result.resource_cycles, strict=True)
        }
        | {"fill and drain": _whole(result.fill_drain_cycles)},
        "energy_by_part_pj": {
            **{level: float(pj) for level, pj in zip(result.levels, result.access_pj.sum(axis=1), strict=True)},
            "network": float(result.transfer_pj.sum()),
            "mac": result.mac_pj,
            "leakage": result.leakage_pj,
        },
        "levels": list(_level_rows(result)),
        "mapspace_size": result.mapspace_size,
        "evaluated": result.evaluated,
        "pruned": result.pruned,
        "proven": result.proven,
        "gap": result.gap if result.bound > 0 else None,
        "front": [
            {"energy_pj": point.energy_pj, "cycles": _whole(point.cycles), "mapping": list(point.mapping)}
            for point in result.front
        ],
    }


def _level_rows(result: MappingResult) -> list[dict[str, Any]]:
    rows = []
    for place, level in enumerate(result.levels):
        for o, operand in enumerate(OPERANDS):
            if not result.tile[place, o]:
                continue
            used = int(result.instances[place])
            moved = {"reads": result.reads, "updates": result.updates, "fills": result.fills}
            words = {name: int(array[place, o]) for name, array in moved.items()}
            words["writes"] = words["updates"] + words["fills"]
            rows.append(
                {"level": level, "operand": operand, "instances": used, "tile_words": int(result.tile[place, o]),
                 "word_bits": float(result.word_bits[place, o])}
                | {f"{name}_words": number for name, number in words.items()}
                | {f"{name}_words_per_instance": _each(number, used) for name, number in words.items()}
                | {"energy_pj": float(result.access_pj[place, o])}
            )  # fmt: skip
    return rows


def _whole(number: float) -> int | float:
    return int(number) if float(number).is_integer() else float(number)


def _each(words: int, instances: int) -> int | float:
    """Words of one instance; a mean where instances differ."""
    return words // instances if words % instances == 0 else words / instances


def _text(target: AcceleratorTarget, layers: Layers, results: Sequence[MappingResult],
          unmapped: list[dict[str, str]]) -> str:  # fmt: skip
    lines = [target.title]
    for (name, kind, _), result in zip(layers, results, strict=True):
        lines.append(f"\n{name} ({kind}), {count(result.macs)} MACs")
        lines += [f"  {line}" for line in result.mapping]
        time_s = result.cycles / target.clock_hz.value
        lines.append(
            f"  energy {energy(result.energy_pj)}, {count(result.cycles)} cycles ({latency(time_s)}) bound by "
            f"{result.bound_by}, {result.utilization:.0%} of the MACs used"
        )
        lines.append(_searched(result))
        rows = [
            [row["level"], row["operand"], count(row["tile_words"]), count(row["instances"]), count(row["reads_words"]),
             count(row["updates_words"]), count(row["fills_words"]), energy(row["energy_pj"])]
            for row in _level_rows(result)
        ]  # fmt: skip
        lines.append(table(["level", "operand", "tile", "instances", "reads", "updates", "fills", "energy"], rows))
        other = f"  MACs {energy(result.mac_pj)}"
        other += f", network {energy(float(result.transfer_pj.sum()))}" if result.transfer_pj.any() else ""
        lines.append(other + (f", leakage {energy(result.leakage_pj)}" if result.leakage_pj else ""))
        cycles = zip(result.resources, result.resource_cycles, strict=True)
        lines.append("  cycles: " + ", ".join(f"{name} {count(number)}" for name, number in cycles))
        if len(result.front) > 1:
            shown = [[energy(point.energy_pj), count(point.cycles), "; ".join(point.mapping)] for point in result.front]
            lines.append(table(["energy", "cycles", "mapping"], shown))
    if len(results) > 1:
        total = sum(result.cycles for result in results)
        lines.append(
            f"\nall layers: energy {energy(sum(result.energy_pj for result in results))}, {count(total)} cycles "
            f"({latency(total / target.clock_hz.value)})"
        )
    lines += [f"  NOT MAPPED: {row['layer']} ({row['kind']}): {row['reason']}" for row in unmapped]
    lines.append("  tiles in words of one instance; reads, updates and fills in words of all instances")
    return "\n".join(lines)


def _searched(result: MappingResult) -> str:
    if result.objective == "given":
        return "  the mapping given"
    proof = "proven the best" if result.proven else f"NOT proven: at most {result.gap:.1%} above the best"
    return (
        f"  {proof} by {result.objective} of {count(result.mapspace_size)} mappings in mapspace {result.mapspace}: "
        f"{count(result.evaluated)} evaluated, {count(result.pruned)} pruned"
    )
