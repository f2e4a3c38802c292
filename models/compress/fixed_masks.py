"""Layers that are sparse before they are trained: expander masks by layer, and how their codes are stored."""

from __future__ import annotations

import numpy as np
from msgspec import UnsetType
from numpy.typing import NDArray

from ..errors import RecipeError
from ..graph import Graph
from ..patterns import expander_mask, layer_seed
from .prune import by_layer, weight_names
from .stage_settings import ExpanderMasks

__all__ = ["check_masks", "expander_encodings", "expander_masks"]

CHANGES_SHAPES = ("structured", "low_rank")


def expander_masks(graph: Graph, settings: ExpanderMasks, seed: int) -> dict[str, NDArray[np.bool_]]:
    """True where a weight exists, by parameter name; each layer's graph is drawn by `layer_seed(seed, layer)`.

    >>> from ..zoo import build_network
    >>> masks = expander_masks(build_network("lenet-300-100"), ExpanderMasks(degree={"ip1": 64}), 0)
    >>> {name: int(mask.sum()) for name, mask in masks.items()}
    {'ip1.weight': 19200}
    """
    names = weight_names(graph)
    degrees = by_layer(graph, settings.degree)
    return {
        names[layer]: expander_mask(graph.parameters[names[layer]].shape, degree, layer_seed(seed, layer))
        for layer, degree in degrees.items()
    }


def expander_encodings(graph: Graph, settings: ExpanderMasks, seed: int, encoding: str) -> dict[str, str]:
    """The encoding of each such layer's codes by parameter name, entropy coded where `encoding` is."""
    names, coded = weight_names(graph), "+huffman" if encoding.endswith("+huffman") else ""
    degrees = by_layer(graph, settings.degree)
    return {names[layer]: f"expander{degree}@{layer_seed(seed, layer)}{coded}" for layer, degree in degrees.items()}


def check_masks(recipe: str, graph: Graph, settings: ExpanderMasks | UnsetType, stages: tuple[str, ...]) -> None:
    """Raise RecipeError for a degree above a layer's inputs, a grouped layer, or a stage that changes shapes."""
    if isinstance(settings, UnsetType):
        return
    shapes = [stage for stage in stages if stage in CHANGES_SHAPES]
    if shapes:
        raise RecipeError(f"recipe {recipe}: expander", f"[{shapes[0]}], which changes shapes", "one of the two")
    names = weight_names(graph)
    for layer, degree in by_layer(graph, settings.degree).items():
        inputs = graph.parameters[names[layer]].shape[1]
        if degree > inputs:
            wanted = f"at most its {inputs} inputs"
            raise RecipeError(f"recipe {recipe}: expander.degree.{layer}", degree, wanted)
