"""Weights where none can be had: seeded draws from Student's t with 5 degrees of freedom, one choice for every layer.

Trained weights are zero-centred with tails heavier than a Gaussian's; how heavy decides how few clusters k-means from
linear initialisation leaves to the bulk, and so the Huffman rate. Among the Gaussian, Laplace and t with 3 to 6
degrees of freedom, t5 comes nearest to the weight bits that Deep Compression prints over all 24 layers of its Tables 4
and 5 (docs/decisions/0022). It is chosen once, not by layer. Positions are independent: a uniform random mask.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ..compress.prune import weight_names
from ..graph import Graph

__all__ = ["FAMILY", "synthetic_layer", "with_synthetic_weights"]

FAMILY = "Student's t, 5 degrees of freedom"
CHUNK = 1 << 22


def synthetic_layer(shape: tuple[int, ...], layer: str, seed: int = 0) -> NDArray[np.float32]:
    """Independent draws of t5, float32 of `shape`, scaled to variance 5 / (3 fan in).

    t with 5 degrees of freedom is Z sqrt(5 / C) with C chi-squared of 5: twice the sum of two unit exponentials plus
    the square of a Gaussian; its variance is 5/3. The same seed and layer name give the same values.

    >>> w = synthetic_layer((100, 1000), "fc")
    >>> w.shape, w.dtype.name, bool(abs(float(w.std()) / (5 / 3000) ** 0.5 - 1) < 0.05)
    ((100, 1000), 'float32', True)
    """
    random = np.random.default_rng([seed, crc32(layer.encode())])
    values = np.empty(int(np.prod(shape)), np.float32)
    fan_in = values.size // shape[0]
    scale = np.float32(fan_in**-0.5)
    for start in range(0, values.size, CHUNK):
        part = values[start : start + CHUNK]
        spread = random.standard_exponential(len(part), np.float32)
        spread += random.standard_exponential(len(part), np.float32)
        spread *= np.float32(2)
        spread += np.square(random.standard_normal(len(part), np.float32))
        np.divide(np.float32(5), spread, out=spread)
        np.sqrt(spread, out=spread)
        random.standard_normal(len(part), np.float32, out=part)
        part *= spread
        part *= scale
    return values.reshape(shape)


def with_synthetic_weights(graph: Graph, seed: int = 0) -> Graph:
    """The network with synthetic weights in its convolutions and matrix products, made when first read; other
    parameters are zero, a normalisation's scale one."""
    parameters = dict(graph.parameters)
    layers = {name: layer for layer, name in weight_names(graph).items()}
    values = {}
    for name, parameter in parameters.items():
        if name in layers:
            values[name] = synthetic_layer(parameter.shape, layers[name], seed)
        else:
            fill = np.ones if name.endswith((".scale", ".variance")) else np.zeros
            values[name] = fill(parameter.shape, np.float32)
    return graph.with_parameters(values)
