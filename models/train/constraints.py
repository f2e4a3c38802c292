"""What a recipe asks of some layers from the first training step on: the weights of an expander graph."""

from __future__ import annotations

import math

import torch

from ..compress.fixed_masks import expander_encodings, expander_masks
from ..compress.prune import by_layer, weight_names
from ..compress.recipe import Recipe
from ..compress.stage_settings import ExpanderMasks
from ..graph import Graph
from .state import State

__all__ = ["constrain", "constrained", "constrained_layers", "encodings"]


def constrained(recipe: Recipe) -> bool:
    """Whether some layers are: then even known weights are trained first, under the constraint."""
    return isinstance(recipe.expander, ExpanderMasks)


def constrained_layers(graph: Graph, recipe: Recipe) -> set[str]:
    """The layers whose structure is set from the start, and which no later stage prunes."""
    return set(by_layer(graph, recipe.expander.degree)) if isinstance(recipe.expander, ExpanderMasks) else set()


@torch.no_grad()
def constrain(state: State, graph: Graph, recipe: Recipe, seed: int) -> None:
    """Set the masks; weights drawn at random grow by sqrt(inputs / degree), so that sums keep their variance."""
    if not isinstance(recipe.expander, ExpanderMasks):
        return
    for name, mask in expander_masks(graph, recipe.expander, seed).items():
        state.masks[name] = torch.from_numpy(mask).float()
        if not graph.parameters[name].known:
            state.weights[name].mul_(math.sqrt(mask.size / mask.sum()))
    state.apply_masks()


def encodings(graph: Graph, recipe: Recipe, seed: int) -> dict[str, str]:
    """How each layer's codes are stored, by parameter name."""
    found = dict.fromkeys(weight_names(graph).values(), recipe.encode.format)
    if isinstance(recipe.expander, ExpanderMasks):
        found |= expander_encodings(graph, recipe.expander, seed, recipe.encode.format)
    return found
