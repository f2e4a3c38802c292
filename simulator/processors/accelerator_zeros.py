"""What zeros of weights and inputs save on an accelerator with sparse features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.loops import LoopBounds
from ..accelerator import AcceleratorTarget, Sparse
from ..sparse import detect_n_of_m, imbalance, pe_work
from ..structure import WeightStructure
from ..workload import Workload

__all__ = ["Shares", "shares_of", "what_zeros_gain"]


@dataclass(frozen=True)
class Shares:
    """Of a layer's products: performed, gated; `stretch` of the cycles by imbalance; `n_m`: has the pattern."""

    performed: float = 1.0
    gated: float = 0.0
    stretch: float = 1.0
    n_m: bool = False


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
        found = pattern.n <= feature.n
        return Shares(feature.n / feature.m if found else 1.0, n_m=found)
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
    performed, gated, stretch, n_m = 1.0, 0.0, 1.0, False
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
            n_m |= share.n_m
    return Shares(performed, gated, stretch, n_m)


def what_zeros_gain(target: AcceleratorTarget, workload: Workload, layers: NDArray[np.object_]) -> str:
    """The assumption X6 in words: which zeros save what here, from which masks, and which gain nothing."""
    said: list[str] = []
    weighted = workload.weight_elements > 0
    zeros = 1 - workload.weight_nonzeros[..., weighted].sum() / max(1.0, np.broadcast_to(
        workload.weight_elements, workload.weight_nonzeros.shape)[..., weighted].sum())  # fmt: skip
    basis = "by their real masks" if workload.basis == "exact" else "by uniform random masks (statistical)"
    features = [f for f in target.sparse if f.saves != "nothing"]
    for feature in features:
        both = ", where either operand is zero" if feature.two_sided else ""
        if feature.saves == "n_m":
            ran = [layer for layer in layers[..., weighted].ravel() if layer is not None]
            have = sum(layer.shares.n_m for layer in ran)
            rest = "; zeros of the others gain nothing in cycles" if have < len(ran) else ""
            said.append(f"{feature.n}:{feature.m} weights in {have} of {len(ran)} layers {basis}{rest}")
        elif feature.operand == "weight":
            said.append(f"weight zeros: {feature.saves} {basis}{both}")
        else:
            said.append(f"input zeros: {feature.saves}, their density {workload.activation_basis}{both}")
    if zeros > 0 and not any(feature.operand == "weight" or feature.two_sided for feature in features):
        said.append(f"{zeros:.0%} of the weights are zero and gain nothing in cycles: they are multiplied like others")
    return f"X6: {'; '.join(said)}" if said else ""
