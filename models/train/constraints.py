"""What a recipe asks of some layers from the first training step on: expander graphs, hashed weights."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace

import numpy as np
import torch
from msgspec import UNSET

from ..compress.constraints import count_sketch, expander_encodings, expander_masks, sketch_buckets
from ..compress.prune import by_layer, weight_names
from ..compress.recipe import Recipe
from ..compress.stage_settings import ExpanderMasks, SketchedWeights
from ..graph import Graph
from ..model import CodedTensor
from ..patterns import layer_seed
from .state import State

__all__ = ["constrain", "constrained", "constrained_layers", "encodings"]


def constrained(recipe: Recipe) -> bool:
    """Whether some layers are: then even known weights are trained first, under the constraint."""
    return recipe.expander is not UNSET or recipe.sketch is not UNSET


def constrained_layers(graph: Graph, recipe: Recipe) -> set[str]:
    """The layers whose structure is set from the start, and which no later stage prunes."""
    tables = []
    if isinstance(recipe.expander, ExpanderMasks):
        tables.append(recipe.expander.degree)
    if isinstance(recipe.sketch, SketchedWeights):
        tables.append(recipe.sketch.values)
    return {layer for table in tables for layer in by_layer(graph, table)}


@torch.no_grad()
def constrain(state: State, graph: Graph, recipe: Recipe, seed: int) -> None:
    """Set the masks, codes and codebooks.

    Weights that are drawn at random keep the variance of their sums: masked ones grow by sqrt(inputs / degree); hashed
    values are drawn as the layer's weights would be.
    """
    if isinstance(recipe.expander, ExpanderMasks):
        for name, mask in expander_masks(graph, recipe.expander, seed).items():
            state.masks[name] = torch.from_numpy(mask).float()
            if not graph.parameters[name].known:
                state.weights[name].mul_(math.sqrt(mask.size / mask.sum()))
        state.apply_masks()
    if isinstance(recipe.sketch, SketchedWeights):
        names = weight_names(graph)
        for layer, buckets in sketch_buckets(graph, recipe.sketch).items():
            state.set_codes(names[layer], _sketched(state, graph, names[layer], buckets, seed, layer))
        state.rebuild_shared()


def _sketched(state: State, graph: Graph, name: str, buckets: int, seed: int, layer: str) -> CodedTensor:
    values = state.values(name)
    sketch = count_sketch(values, buckets, layer_seed(seed, layer), f"tensor {name}")
    if graph.parameters[name].known:
        return sketch
    bound = math.sqrt(3 / math.prod(values.shape[1:]))
    random = np.random.default_rng([seed, 0, zlib.crc32(layer.encode())])
    half = random.uniform(-bound, bound, buckets).astype(np.float32)
    return replace(sketch, codebook=np.concatenate((np.zeros(1, np.float32), half, -half)))


def encodings(graph: Graph, recipe: Recipe, seed: int) -> dict[str, str]:
    """How each layer's codes are stored, by parameter name."""
    names = weight_names(graph)
    found = dict.fromkeys(names.values(), recipe.encode.format)
    if isinstance(recipe.expander, ExpanderMasks):
        found |= expander_encodings(graph, recipe.expander, seed, recipe.encode.format)
    if isinstance(recipe.sketch, SketchedWeights):
        layers = by_layer(graph, recipe.sketch.values)
        found |= {names[layer]: f"hashed@{layer_seed(seed, layer)}" for layer in layers}
    return found
