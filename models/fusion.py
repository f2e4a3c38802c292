"""Which operators of a graph run inside the layer that feeds them, as every deployment does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set

from .graph import Graph
from .ops import ACTIVATIONS

__all__ = ["folded_biases", "fused_behind", "fused_nodes"]

NORMALIZABLE = ("conv", "conv_transpose", "gemm")  # layers whose weights take in a batch normalization


def fused_nodes(graph: Graph) -> set[str]:
    """Names of activations behind a layer or pooling, and of batch normalizations behind a layer, that alone read it.

    A batch normalization y = a (W x + b) + c is the layer (a W) x + (a b + c) at inference (Jacob et al., CVPR 2018,
    section 3.2), so it costs nothing of its own; before a convolution, as in DenseNet, it stays.

    >>> from .zoo import build_network
    >>> graph = build_network("resnet-18")
    >>> {node.op for node in graph if node.name in fused_nodes(graph)} == {"batch_normalization", "relu"}
    True
    """
    readers = Counter(graph.outputs)
    readers.update(tensor for node in graph for tensor in node.inputs)
    producer = {node.output: node for node in graph}
    fused = set()
    for node in graph:
        feeder = producer.get(node.inputs[0]) if node.inputs else None
        if feeder is None or readers[node.inputs[0]] != 1:
            continue
        activated = node.op in ACTIVATIONS and (feeder.parameters or feeder.op.endswith("pool"))
        if activated or (node.op == "batch_normalization" and feeder.op in NORMALIZABLE):
            fused.add(node.name)
    return fused


def folded_biases(graph: Graph, fused: Set[str]) -> dict[str, int]:
    """Biases by layer that a layer without its own gets from the batch normalization folded into it.

    >>> from .zoo import build_network
    >>> graph = build_network("resnet-18")
    >>> folded_biases(graph, fused_nodes(graph))["stem.conv"]
    64
    """
    producer = {node.output: node for node in graph}
    normalized = [node for node in graph if node.name in fused and node.op == "batch_normalization"]
    return {
        producer[node.inputs[0]].name: graph.parameters[node.parameters["bias"]].elements
        for node in normalized
        if "bias" not in producer[node.inputs[0]].parameters
    }


def fused_behind(graph: Graph, fused: Set[str]) -> dict[str, int]:
    """How many operators run inside each layer: what a runtime that does not fuse starts a kernel for.

    >>> from .zoo import build_network
    >>> graph = build_network("resnet-18")
    >>> fused_behind(graph, fused_nodes(graph))["stem.conv"]  # its batch normalization and its relu
    2
    """
    producer = {node.output: node for node in graph}
    counts: Counter[str] = Counter()
    for node in graph:
        if node.name not in fused:
            continue
        feeder = producer[node.inputs[0]]
        while feeder.name in fused:
            feeder = producer[feeder.inputs[0]]
        counts[feeder.name] += 1
    return dict(counts)
