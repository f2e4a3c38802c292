"""Classification error with torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..compress.prune import known_values
from ..data.mnist import Split
from ..graph import Graph
from .network import Parameters, torch_forward
from .state import arrange, fixed_arithmetic, image_layout

__all__ = ["activation_density", "error_pct"]

BATCH = 1000


def own_weights(graph: Graph) -> dict[str, Tensor]:
    """Copies of a graph's own values. Raises InputError where one is only a shape."""
    return {name: torch.from_numpy(np.array(known_values(graph, name))) for name in graph.parameters}


@torch.no_grad()
def error_pct(graph: Graph, split: Split, weights: Parameters | None = None) -> float:
    """100 x wrong / n of a network on a split, with these weights or else its own (all known)."""
    weights = own_weights(graph) if weights is None else weights
    forward, layout = torch_forward(graph), image_layout(graph)
    wrong = 0
    with fixed_arithmetic():
        for start in range(0, len(split), BATCH):
            images = torch.from_numpy(split.images[start : start + BATCH]).clone()
            predicted = forward(arrange(images, layout), weights).argmax(1).numpy()
            wrong += int(np.count_nonzero(predicted != split.labels[start : start + BATCH]))
    return 100.0 * wrong / len(split)


@torch.no_grad()
def activation_density(graph: Graph, split: Split) -> dict[str, float]:
    """Non-zeros over elements of what each layer with weights reads, by node name, over a split.

    The same definition as `run.measure_activation_density`, whose numbers differ by rounding at most.
    """
    layers = {node.name for node in graph if "weight" in node.parameters}
    nonzeros, elements = dict.fromkeys(layers, 0), dict.fromkeys(layers, 0)

    def count(layer: str, x: Tensor) -> Tensor:
        if layer in layers:
            nonzeros[layer] += int(torch.count_nonzero(x))
            elements[layer] += x.numel()
        return x

    forward, layout, weights = torch_forward(graph), image_layout(graph), own_weights(graph)
    with fixed_arithmetic():
        for start in range(0, len(split), BATCH):
            images = torch.from_numpy(split.images[start : start + BATCH]).clone()
            forward(arrange(images, layout), weights, count)
    return {node.name: nonzeros[node.name] / elements[node.name] for node in graph if node.name in layers}
