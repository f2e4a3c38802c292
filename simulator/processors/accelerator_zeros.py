"""What zeros of weights and inputs save on an accelerator with sparse features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...models.loops import LoopBounds
from ..accelerator import AcceleratorTarget, Sparse
from ..sparse import detect_n_of_m, imbalance, pe_work
from ..structure import WeightStructure

__all__ = ["Shares", "shares_of"]


@dataclass(frozen=True)
class Shares:
    """Of a layer's products: performed, gated; `stretch` of the cycles by imbalance; `exact` from real masks."""

    performed: float = 1.0
    gated: float = 0.0
    stretch: float = 1.0


def _weight_saving(feature: Sparse, structure: WeightStructure | None, bounds: LoopBounds, n_pe: int) -> Shares:
    if structure is None or not structure.elements:
        return Shares()
    density = structure.nonzeros / structure.elements
    if feature.saves == "gate":
        return Shares(density, 1 - density)
    mask = np.zeros(structure.elements, bool)
    mask[structure.positions] = True
    if feature.saves == "n_m":
        assert feature.n is not None
        assert feature.m is not None
        pattern = detect_n_of_m(mask.reshape(bounds.K, bounds.C, bounds.R, bounds.S), feature.m)
        return Shares(feature.n / feature.m if pattern.n <= feature.n else 1.0)
    rows = min(n_pe, structure.rows)
    return Shares(density, 0.0, imbalance(pe_work(mask.reshape(structure.rows, -1), rows)))


def _other_side(feature: Sparse, make: Any, input_density: float) -> Shares:
    """What a two-sided feature saves where the operand that it does not name is zero."""
    if not feature.two_sided:
        return Shares()
    density = input_density
    if feature.operand == "input":
        structure = make() if make is not None else None
        density = structure.nonzeros / structure.elements if structure is not None and structure.elements else 1.0
    return Shares(density, 1 - density if feature.saves == "gate" else 0.0)


def shares_of(target: AcceleratorTarget, make: Any, bounds: LoopBounds, input_density: float, n_pe: int) -> Shares:
    """Features multiply: independent zeros in weights and inputs."""
    performed, gated, stretch = 1.0, 0.0, 1.0
    for feature in target.sparse:
        if feature.saves == "nothing" or (feature.saves == "skip" and feature.format == "csc"):
            continue  # columns: accelerator_csc.py, once the mapping is known
        if feature.operand == "weight":
            one = _weight_saving(feature, make() if make is not None else None, bounds, n_pe)
        elif feature.saves == "gate":
            one = Shares(input_density, 1 - input_density)
        else:
            one = Shares(input_density)
        for share in (one, _other_side(feature, make, input_density)):
            gated = gated * (share.performed + share.gated) + performed * share.gated
            performed *= share.performed
            stretch *= share.stretch
    return Shares(performed, gated, stretch)
