"""One mapping: loops by block as text, in a TOML file or a list, checked against a layer and a nest."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ...models.errors import InputError
from ...models.files import read_bytes
from ..accelerator import DIMS
from .hierarchy import Hierarchy
from .problem import DIM, Ints, Problem

__all__ = ["Mapping", "format_mapping", "parse_mapping", "read_mapping_file"]

FILE_LIMIT_BYTES = 1 << 20
LOOP = re.compile(r"([A-Z])(\d{1,12})")
NEXT = 'write blocks as "buffer: N4 P13", outermost loop first, and leave out loops of 1'


@dataclass(frozen=True, eq=False)
class Mapping:
    """Loops of one layer: `factors[block, dim]` and the order of each block's loops, outermost first."""

    factors: Ints
    orders: tuple[tuple[str, ...], ...]


def _block(hierarchy: Hierarchy, name: str, where: str) -> int:
    names = [block.name for block in hierarchy.blocks]
    found = [b for b, known in enumerate(names) if known == name.lower()]
    if not found:  # "between" for the one array's temporal loops between its axes
        found = [b for b, known in enumerate(names) if known.endswith(f"_{name.lower()}")]
    if len(found) != 1:
        raise InputError(where, name, f"a block: {', '.join(names)}", NEXT)
    return found[0]


def parse_mapping(lines: Sequence[str], hierarchy: Hierarchy, problem: Problem, where: str = "mapping") -> Mapping:
    """A Mapping from lines such as "buffer: N4 P13"; M is read as K. Raises InputError with the line.

    Loops of a dim must multiply to its bound; only the outermost spatial loop may be rounded up.
    """
    factors = np.ones((len(hierarchy.blocks), len(DIMS)), np.int64)
    orders: list[tuple[str, ...]] = [()] * len(hierarchy.blocks)
    for number, line in enumerate(lines):
        here = f"{where}[{number}]"
        name, colon, loops = line.partition(":") if isinstance(line, str) else ("", "", "")
        if not colon:
            raise InputError(here, line, "a block and its loops", NEXT)
        b = _block(hierarchy, name.strip(), here)
        for word in loops.split():
            match = LOOP.fullmatch(word)
            dim = {"M": "K"}.get(match[1], match[1]) if match else ""
            if match is None or dim not in DIM or int(match[2]) < 1:
                raise InputError(here, word, f"a dim among {' '.join(DIMS)} and its factor", NEXT)
            if dim in orders[b]:
                raise InputError(here, word, f"{dim} once in {name.strip()}", NEXT)
            factors[b, DIM[dim]] = min(int(match[2]), 1 << 40)
            orders[b] += (dim,)
    _check_bounds(factors, hierarchy, problem, where)
    _check_mesh(factors, hierarchy, where)
    return Mapping(factors, tuple(orders))


def _check_bounds(factors: Ints, hierarchy: Hierarchy, problem: Problem, where: str) -> None:
    for d, (dim, bound) in enumerate(zip(DIMS, problem.bounds, strict=True)):
        loops = [int(factor) for factor in factors[:, d]]
        if prod(loops) == bound:
            continue
        first = next((b for b in hierarchy.spatial if loops[b] > 1), 0)
        units, left = divmod(bound, prod(loops[first + 1 :]))
        if left or not hierarchy.blocks[first].spatial or -(-units // loops[first]) != prod(loops[:first]):
            got = f"loops of {' x '.join(str(loop) for loop in loops if loop > 1) or 1}"
            wanted = f"factors of {bound}, of which only the outermost spatial one may be rounded up"
            raise InputError(f"{where}: {dim}", got, wanted)


def _check_mesh(factors: Ints, hierarchy: Hierarchy, where: str) -> None:
    for b in hierarchy.spatial:
        used = int(factors[b].prod())
        if used > hierarchy.blocks[b].size:
            raise InputError(f"{where}: {hierarchy.blocks[b].name}", used, f"at most {hierarchy.blocks[b].size} PEs")


def format_mapping(mapping: Mapping, hierarchy: Hierarchy) -> list[str]:
    """The lines that parse_mapping reads, blocks without loops left out."""
    lines = []
    for b, block in enumerate(hierarchy.blocks):
        order = (*mapping.orders[b], *(dim for dim in DIMS if dim not in mapping.orders[b]))
        loops = [f"{dim}{mapping.factors[b, DIM[dim]]}" for dim in order if mapping.factors[b, DIM[dim]] > 1]
        if loops:
            lines.append(f"{block.name}: {' '.join(loops)}")
    return lines


def read_mapping_file(path: str, layer: str) -> list[str]:
    """The lines for `layer` in a TOML file: `mapping = [...]`, or `[layer.NAME]` tables that each have one."""
    try:
        document = tomllib.loads(read_bytes(path, limit_bytes=FILE_LIMIT_BYTES, what="a mapping in TOML").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(path, str(error), "a mapping in TOML", NEXT) from None
    layers = document.get("layer", {})
    table = layers.get(layer, document) if isinstance(layers, dict) else document
    lines = table.get("mapping") if isinstance(table, dict) else None
    if not isinstance(lines, list) or not lines:
        raise InputError(path, f"no mapping for layer {layer}", "mapping = [...] or [layer.NAME] with one", NEXT)
    return lines
