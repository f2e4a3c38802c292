"""Layers that are small before they are trained: expander masks, hashed weights, and how their codes are stored.

Hashed weights: Chen et al., *Compressing Neural Networks with the Hashing Trick*, ICML 2015. As a sketch of given
weights (CountSketch: Charikar, Chen and Farach-Colton, 2002) each value is the mean of sign x weight over its bucket,
which is the least squared error.
"""

from __future__ import annotations

import numpy as np
from msgspec import UnsetType
from numpy.typing import NDArray

from ..codecs.bitpack import width_of
from ..codecs.hashed import hashed_codes
from ..errors import InputError, RecipeError
from ..graph import Graph
from ..model import CodedTensor
from ..patterns import expander_mask, hashed_buckets, layer_seed
from .prune import by_layer, check_finite, kept_count, weight_names
from .stage_settings import ExpanderMasks, SketchedWeights

__all__ = ["check_constraints", "count_sketch", "expander_encodings", "expander_masks", "sketch_buckets"]

CHANGES_SHAPES = ("structured", "low_rank")
MOST_BUCKETS = (1 << 15) - 1  # both signs of each, and zero, in 16 bits


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


def sketch_buckets(graph: Graph, settings: SketchedWeights) -> dict[str, int]:
    """Values of each sketched layer, by layer: round(fraction x weights), at least 1.

    >>> from ..zoo import build_network
    >>> sketch_buckets(build_network("lenet-300-100"), SketchedWeights(values={"ip1": 0.125}))
    {'ip1': 29400}
    """
    names = weight_names(graph)
    return {
        layer: max(1, kept_count(graph.parameters[names[layer]].elements, fraction))
        for layer, fraction in by_layer(graph, settings.values).items()
    }


def count_sketch(values: NDArray[np.float32], buckets: int, seed: int, where: str = "weights") -> CodedTensor:
    """The hashed weights nearest to `values`: value b = mean of sign x weight over the weights of bucket b.

    By hand: with one bucket and signs - - +, weights 1, 2, 6 have the mean (-1 - 2 + 6) / 3 = 1.

    >>> count_sketch(np.array([[1.0, 2.0, 6.0]], np.float32), 1, 1).values.tolist()
    [[-1.0, -1.0, 1.0]]
    """
    check_finite(values, where)
    if not 1 <= buckets <= MOST_BUCKETS:
        raise InputError(f"{where}: sketch.values", f"{buckets} values", f"1 to {MOST_BUCKETS} values of one layer")
    bucket, minus = hashed_buckets(values.shape, buckets, seed)
    signed = np.where(minus, -values, values).astype(np.float64)
    total = np.bincount(bucket.ravel(), weights=signed.ravel(), minlength=buckets)
    count = np.bincount(bucket.ravel(), minlength=buckets)
    half = (total / np.maximum(count, 1)).astype(np.float32)
    codebook = np.concatenate((np.zeros(1, np.float32), half, -half))
    codes = hashed_codes(values.shape, buckets, seed)
    return CodedTensor(codes, codebook, width_of(2 * buckets), f"hashed@{seed}", "mirrored")


def check_constraints(
    recipe: str, graph: Graph, expander: ExpanderMasks | UnsetType, sketch: SketchedWeights | UnsetType,
    stages: tuple[str, ...],
) -> None:  # fmt: skip
    """Raise RecipeError for a degree above a layer's inputs, too many values, a layer that is in both, or a stage that
    changes shapes."""
    where = f"recipe {recipe}: "
    degrees = {} if isinstance(expander, UnsetType) else by_layer(graph, expander.degree)
    buckets = {} if isinstance(sketch, UnsetType) else sketch_buckets(graph, sketch)
    shapes = [stage for stage in stages if stage in CHANGES_SHAPES]
    if shapes and (degrees or buckets):
        first = "expander" if degrees else "sketch"
        raise RecipeError(f"{where}{first}", f"[{shapes[0]}], which changes shapes", "one of the two")
    names = weight_names(graph)
    for layer, degree in degrees.items():
        inputs = graph.parameters[names[layer]].shape[1]
        if degree > inputs:
            raise RecipeError(f"{where}expander.degree.{layer}", degree, f"at most its {inputs} inputs")
    for layer, count in buckets.items():
        if count > MOST_BUCKETS:
            got = f"{count} values"
            raise RecipeError(f"{where}sketch.values.{layer}", got, f"at most {MOST_BUCKETS} values of one layer")
        if layer in degrees:
            raise RecipeError(f"{where}sketch.values.{layer}", "a layer of [expander]", "one of the two")
