"""Magnitude pruning: which weights of a layer stay, and how many at each step of a gradual schedule.

Han, Pool, Tran, Dally, *Learning both Weights and Connections*, NIPS 2015, section 3: the smallest
weights go, layer by layer. Zhu and Gupta, *To prune, or not to prune*, 2017, equation 1: they go gradually.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..graph import Graph

__all__ = [
    "by_layer",
    "check_finite",
    "cubic_density",
    "kept_count",
    "known_values",
    "magnitude_mask",
    "prune_graph",
    "round_density",
    "round_of",
    "weight_names",
]

Number = TypeVar("Number", int, float)
FACTOR = re.compile(r"\.(in|core)$")


def kept_count(elements: int, density: float) -> int:
    """Weights that stay: round(density * elements), halves to even.

    >>> kept_count(235_200, 0.08)
    18816
    """
    if not 0 <= density <= 1:
        raise InputError("density", density, "a fraction in 0..1")
    return round(density * elements)


def magnitude_mask(values: ArrayLike, density: float, *, where: str = "weights") -> NDArray[np.bool_]:
    """True at the `kept_count(size, density)` largest magnitudes of `values`; same shape.

    Among equal magnitudes the first in memory order (C order) stay, so that the mask depends on
    nothing but the values. Raises InputError (`where` names the tensor) for a value that is not finite.

    >>> magnitude_mask([[0.1, -0.5], [0.5, 0.2]], 0.5).tolist()
    [[False, True], [True, False]]
    """
    magnitude = np.abs(np.asarray(values, dtype=np.float32))
    check_finite(magnitude, where)
    keep = kept_count(magnitude.size, density)
    if keep == 0:
        return np.zeros(magnitude.shape, dtype=bool)
    flat = magnitude.ravel()
    threshold = np.partition(flat, flat.size - keep)[flat.size - keep]
    mask = flat > threshold
    ties = np.flatnonzero(flat == threshold)
    mask[ties[: keep - np.count_nonzero(mask)]] = True
    return mask.reshape(magnitude.shape)


def check_finite(values: NDArray[np.float32], where: str) -> None:
    """Raise InputError where a weight is NaN or infinite."""
    finite = np.isfinite(values)
    if not finite.all():
        bad = int(values.size - np.count_nonzero(finite))
        raise InputError(where, f"{bad} of {values.size} values NaN or infinite", "finite weights")


def cubic_density(final: float, step: float, steps: float, *, initial: float = 1.0) -> float:
    """Density after `step` of `steps` of a gradual schedule (Zhu and Gupta 2017, equation 1).

    density(t) = final + (initial - final) (1 - t/T)^3: fast while weights are redundant, then slower.

    >>> [round(cubic_density(0.08, t, 4), 3) for t in range(5)]
    [1.0, 0.468, 0.195, 0.094, 0.08]
    """
    left = 1 - min(max(step / steps, 0.0), 1.0) if steps > 0 else 0.0
    return final + (initial - final) * left**3


def round_of(step: float, steps: float, rounds: int) -> int:
    """Number, from 1, of the round that a step falls into when `steps` are divided into equal rounds."""
    return min(rounds, int(step * rounds / steps) + 1) if steps > 0 else rounds


def round_density(final: float, step: float, steps: float, rounds: int) -> float:
    """Density after the cut that opens each of `rounds` rounds of pruning and retraining (Han et al. 2015, 3.4).

    density = final^(k / rounds) in round k: every round takes the same share of what is left. One round is one-shot
    pruning.

    >>> [round_density(0.25, t, 4, 2) for t in range(5)], round_density(0.25, 0, 4, 1)
    ([0.5, 0.5, 0.25, 0.25, 0.25], 0.25)
    """
    return final ** (round_of(step, steps, rounds) / rounds)


def weight_names(graph: Graph) -> dict[str, str]:
    """Layer name -> name of its weight parameter, for convolutions and matrix products, in order.

    A weight that several layers share is listed once, under the first of them. Biases and scales
    are not weights here: they stay as they are.
    """
    names: dict[str, str] = {}
    for node in graph:
        parameter = node.parameters.get("weight")
        if node.op in ("conv", "gemm") and parameter is not None and parameter not in names.values():
            names[node.name] = parameter
    return names


def _matching(layer: str, patterns: Mapping[str, Number]) -> str | None:
    whole = FACTOR.sub("", layer)
    if layer in patterns or whole in patterns:
        return layer if layer in patterns else whole
    return next((p for name in (layer, whole) for p in patterns if fnmatchcase(name, p)), None)


def by_layer(graph: Graph, setting: Number | Mapping[str, Number] | None) -> dict[str, Number]:
    """One value per layer of `weight_names(graph)`, from one value for all or from patterns.

    A mapping's keys are layer names or shell patterns (`ip*`); a layer's own name goes before
    patterns, and patterns count in the order written. A layer that nothing matches is left out. The
    factors of a layer that was split (`ip1.in`, see `low_rank`) follow the layer where they are not named.
    Raises InputError for a key that matches no layer.
    """
    layers = list(weight_names(graph))
    if setting is None:
        return {}
    if not isinstance(setting, Mapping):
        return dict.fromkeys(layers, setting)
    for pattern in setting:
        if not any(fnmatchcase(layer, pattern) for layer in layers):
            raise InputError(f"layer {pattern}", "no such layer", f"a layer or pattern among {', '.join(layers)}")
    chosen = {}
    for layer in layers:
        pattern = _matching(layer, setting)
        if pattern is not None:
            chosen[layer] = setting[pattern]
    return chosen


def prune_graph(graph: Graph, density: float | Mapping[str, float]) -> Graph:
    """The same network with every layer's smallest weights set to 0 (no training).

    `density`: one fraction for all layers, or by layer name or pattern (see `by_layer`).
    Raises InputError where the graph has no weights or one of them is not finite.
    """
    wanted = by_layer(graph, density)
    pruned = {}
    for layer, name in weight_names(graph).items():
        if layer in wanted:
            values = known_values(graph, name)
            pruned[name] = np.where(
                magnitude_mask(values, wanted[layer], where=f"tensor {name}"), values, np.float32(0)
            )
    return graph.with_parameters(pruned)


def known_values(graph: Graph, name: str) -> NDArray[np.float32]:
    """Values of a parameter; raises InputError where only its shape is known."""
    values = graph.parameters[name].values
    if values is None:
        raise InputError(f"tensor {name}", "a shape without values", "weights",
                         "name a file of weights, or a recipe that trains")  # fmt: skip
    return values
