"""`picojoule map --sweep LEVEL`: the best mapping's energy against the size of one memory, access energies fitted."""

from __future__ import annotations

from typing import Any

from .commands import print_json
from .models.errors import InputError
from .models.ops import LoopBounds
from .simulator.accelerator import AcceleratorTarget
from .simulator.mapper import BufferPoint, buffer_sweep
from .text import count, energy, size, table

__all__ = ["print_sizes"]

DOUBLINGS = range(-4, 7)


def print_sizes(
    target: AcceleratorTarget, name: str, bounds: LoopBounds, level: str, objective: str, *, as_json: bool
) -> None:
    """A sixteenth to 64 times the level's capacity, one row each; energy falls, has a least value, and rises again."""
    kept = [one for one in target.levels[1:] if one.name == level and one.capacity_bits is not None]
    if not kept or kept[0].capacity_bits is None:
        bounded = [one.name for one in target.levels[1:] if one.capacity_bits is not None]
        raise InputError("--sweep", level, f"a level with a capacity: {', '.join(bounded)}")
    now = kept[0].capacity_bits.value
    points = buffer_sweep(bounds, target, level, [now * 2.0**i for i in DOUBLINGS], objective=objective)
    if not points:
        raise InputError("--sweep", level, f"a size from {now / 128:,.0f} to {now * 8:,.0f} B at which {name} fits")
    place = [one.name for one in target.levels].index(level)
    if as_json:
        print_json({"target": target.name, "layer": name, "level": level, "objective": objective,
                    "sizes": [_row(point, place) for point in points]})  # fmt: skip
        return
    least = min(points, key=lambda point: point.result.energy_pj)
    rows = [
        [size(p.capacity_bits / 8), energy(p.read_pj), energy(float(p.result.access_pj[0].sum())),
         energy(float(p.result.access_pj[place].sum())), energy(p.result.energy_pj), count(p.result.cycles),
         " ".join(["least"] * (p is least) + ["as described"] * (p.capacity_bits == now))]
        for p in points
    ]  # fmt: skip
    print(f"{target.title}\n{name}: energy of its best mapping by {objective} against the size of {level}")
    print(table(["size", "one read", target.levels[0].name, level, "energy", "cycles", ""], rows))
    print("  access energies by size from the fit to CACTI 7.0 (cacti-lstp), not from the target")


def _row(point: BufferPoint, place: int) -> dict[str, Any]:
    result = point.result
    return {
        "capacity_bytes": point.capacity_bits / 8,
        "read_pj": point.read_pj,
        "write_pj": point.write_pj,
        "energy_pj": result.energy_pj,
        "outermost_energy_pj": float(result.access_pj[0].sum()),
        "level_energy_pj": float(result.access_pj[place].sum()),
        "cycles": result.cycles,
        "mapping": list(result.mapping),
        "proven": result.proven,
    }
