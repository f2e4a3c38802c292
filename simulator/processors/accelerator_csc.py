"""PEs that compute on weights and inputs compressed by columns (Chen et al., Eyeriss v2, JETCAS 2019).

A PE holds, for each of its inputs, the column of weights that this input multiplies: one for each of its
filters. It takes a non-zero input, then the non-zero weights of its column, `macs_per_cycle` of them a
cycle; zero inputs and empty columns take no cycle. So a PE's part of the layer takes

    cycles = input density x sum over columns of ceil(non-zeros of the column / macs_per_cycle)

for each window, exactly from the mask and the mapping. PEs that work side by side wait for the slowest
part. A stored non-zero is its value and the number of zeros before it (`COUNT_BITS`); a column adds where
it starts (`ADDRESS_BITS`); runs longer than a count take a zero value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from ...models.loops import LoopBounds
from ..accelerator import DIMS, AcceleratorTarget
from ..mapper import Hierarchy, Machine, make_hierarchy, make_machine, make_problem, parse_mapping
from ..structure import WeightStructure
from .accelerator_zeros import Shares

__all__ = ["ASSUMPTIONS", "ColumnWork", "column_machine", "column_ratio", "column_work", "computes_on_columns"]

COUNT_BITS, WEIGHT_ADDRESS_BITS, INPUT_ADDRESS_BITS = 4, 7, 4
ASSUMPTIONS = (
    "X8: a PE takes a non-zero input, then the non-zero weights of its column two a cycle, by the real mask",
    "X9: PEs side by side wait for the one with most weights; zeros of the inputs are even over PEs",
    "X10: columns of non-zeros with counts and addresses, dense where that is shorter; the dense layer's mapping",
    "X11: a weight is read where its input is not zero, an input once for its column, a sum for each product",
)
INPUT_COLUMN = 16  # values of an input column at most: the scratchpad's
WEIGHT, INPUT, OUTPUT = 0, 1, 2
Array = NDArray[np.float64]


def computes_on_columns(target: AcceleratorTarget) -> bool:
    """Whether zeros of weights and inputs are both skipped, in columns."""
    skipping = {f.operand for f in target.sparse if f.saves == "skip" and f.format == "csc"}
    return skipping == {"weight", "input"}


def column_ratio(density: float, value_bits: float, column: int, address_bits: int) -> float:
    """Stored over dense bits of columns of `column` values at random places, at most 1 (dense where it is shorter).

    Each value and each padding zero takes value_bits + COUNT_BITS; a column its address.

    >>> round(column_ratio(0.25, 8, 32, 7), 4), column_ratio(0.9, 8, 32, 7)
    (0.4061, 1.0)
    """
    run = (1 - density) ** (2**COUNT_BITS)
    stored = density * (1 + run / max(1 - run, 1e-9)) * (value_bits + COUNT_BITS) + address_bits / column
    return min(1.0, stored / value_bits)


@dataclass(frozen=True)
class ColumnWork:
    """Of one layer's products, input zeros apart: `issued`, slots taken by non-zero weights, idle lanes of a column's
    last cycle included; `stretch`, how much longer the slowest PEs take than the mean; `filters` of a PE.
    """

    issued: float
    stretch: float
    filters: int


def column_work(mask: NDArray[np.bool_], factors: NDArray[np.int64], hierarchy: Hierarchy, lanes: int) -> ColumnWork:
    """Work of a mask [G, K, C, R, S] under a mapping's factors[block, dim].

    >>> from ..accelerator import AcceleratorTarget
    >>> from ..mapper.hierarchy import Block
    >>> blocks = (Block("dram", False), Block("pe_x", True, 2), Block("spad", False))
    >>> nest = Hierarchy(blocks, ("dram", "spad"), (0, 2), ())
    >>> mask = np.zeros((1, 6, 1, 1, 1), bool)     # two PEs of three filters
    >>> mask[0, :4] = True                          # 3 and 1 non-zeros: 2 cycles and 1
    >>> factors = np.ones((3, 8), int)
    >>> factors[1:, DIMS.index("K")] = 2, 3
    >>> column_work(mask, factors, nest, lanes=2)
    ColumnWork(issued=1.0, stretch=1.3333333333333333, filters=3)
    """
    inner = max(hierarchy.spatial, default=-1) + 1
    outside = [b for b in range(inner) if b not in hierarchy.spatial]
    sizes, roles = [], []
    for dim in "GKCRS":
        loops = factors[:, DIMS.index(dim)]
        for kind, blocks in (("time", outside), ("space", hierarchy.spatial), ("inside", range(inner, len(loops)))):
            sizes.append(prod(int(loops[b]) for b in blocks))
            roles.append(f"{dim} {kind}")
    whole = [prod(sizes[i : i + 3]) for i in range(0, len(sizes), 3)]
    padded = np.zeros(whole, bool)
    padded[tuple(slice(0, min(a, b)) for a, b in zip(mask.shape, whole, strict=True))] = mask[
        tuple(slice(0, b) for b in whole)
    ]
    parts = padded.reshape(sizes)  # neighbours lie in one PE, then in PEs side by side
    lane = roles.index("K inside")
    filters = sizes[lane]
    cycles = -(-parts.sum(axis=lane, keepdims=True, dtype=np.int32) // lanes)
    columns = tuple(i for i, role in enumerate(roles) if role.endswith("inside") and i != lane)
    by_part = cycles.sum(axis=columns, keepdims=True)
    slowest = by_part.max(axis=tuple(i for i, role in enumerate(roles) if role.endswith("space")))
    total = float(by_part.sum())
    copies = prod(size for size, role in zip(sizes, roles, strict=True) if role.endswith("space"))
    return ColumnWork(total * lanes / max(1, mask.size), float(slowest.sum()) * copies / max(total, 1.0), filters)


def column_machine(
    target: AcceleratorTarget,
    bounds: LoopBounds,
    mapping: Sequence[str],
    make: Callable[[], WeightStructure] | None,
    densities: tuple[float, float],
    widths: dict[str, float],
    energy: str,
) -> tuple[Machine, Shares, Array]:
    """(the machine as one layer's zeros leave it, shares of its products, touched[level, operand]).

    Words are compressed at the levels that a feature names. `touched` of the reads and updates remain in the PE's
    own scratchpads: a weight where its input is not zero, an input once for its column, a sum for each product.
    """
    problem, hierarchy = make_problem(bounds), make_hierarchy(target)
    factors = parse_mapping(mapping, hierarchy, problem).factors
    shape = (bounds.groups, bounds.K // bounds.groups, bounds.C, bounds.R, bounds.S)
    mask, density = np.ones(shape, bool), 1.0
    if make is not None:
        structure = make()
        density = structure.nonzeros / max(1, structure.elements)
        if structure.nonzeros < structure.elements:
            mask = np.zeros(structure.elements, bool)
            mask[structure.positions] = True
            mask = mask.reshape(shape)
    plain = make_machine(target, **widths, energy=energy)  # type: ignore[arg-type]
    work = column_work(mask, factors, hierarchy, round(float(plain.macs_per_cycle)))
    given, left = densities
    words = plain.word_bits.copy()
    for feature in target.sparse:
        for level in (hierarchy.levels.index(name) for name in feature.levels):
            if feature.operand == "weight":
                words[level, WEIGHT] *= column_ratio(density, words[level, WEIGHT], work.filters, WEIGHT_ADDRESS_BITS)
            else:
                words[level, INPUT] *= column_ratio(given, words[level, INPUT], INPUT_COLUMN, INPUT_ADDRESS_BITS)
                if target.levels[level].component == "dram":
                    words[level, OUTPUT] *= column_ratio(left, words[level, OUTPUT], INPUT_COLUMN, INPUT_ADDRESS_BITS)
    machine = make_machine(target, **widths, word_bits=words, issued=work.issued * given, energy=energy)  # type: ignore[arg-type]
    touched = np.ones_like(words)
    for operand, share in ((WEIGHT, given), (INPUT, 1 / work.filters), (OUTPUT, density * given)):
        last = hierarchy.keepers[operand][-1]
        if last:
            touched[last, operand] = share
    return machine, Shares(density * given, 0.0, work.stretch), touched
