"""Peak memory of the activations: what must be alive at the same time while a network runs."""

from __future__ import annotations

from .graph import Graph
from .ops import ACTIVATIONS, VIEWS

__all__ = ["peak_activation_bits"]

IN_PLACE = (*VIEWS, *ACTIVATIONS, "batch_normalization")


def peak_activation_bits(graph: Graph, batch: int = 1) -> int:
    """Largest sum of live activations over the execution order, in bits, for `batch` inferences.

    A tensor lives from the node that writes it to the last node that reads it; views, activation functions and batch
    normalization reuse their input's memory when nothing else reads it. This is the tensor arena of a microcontroller.

    >>> from .zoo.lenet import lenet_300_100
    >>> peak_activation_bits(lenet_300_100()) // 8   # input and first hidden layer: (784 + 300) x 4 bytes
    4336
    """
    reads: dict[str, int] = dict.fromkeys(graph.outputs, 1)
    for node in graph:
        for tensor in node.inputs:
            reads[tensor] = reads.get(tensor, 0) + 1
    live = {name: graph.tensors[name].elements * graph.tensors[name].bits for name in graph.inputs}
    left = dict(reads)
    peak = sum(live.values())
    for node in graph:
        spec = graph.tensors[node.output]
        reuse = node.op in IN_PLACE and left.get(node.inputs[0]) == 1 and node.inputs[0] in live
        if reuse:
            live.pop(node.inputs[0])
        live[node.output] = spec.elements * spec.bits
        peak = max(peak, sum(live.values()))
        for tensor in node.inputs:
            left[tensor] = left.get(tensor, 1) - 1
            if left[tensor] == 0:
                live.pop(tensor, None)
        if left.get(node.output, 0) == 0:
            live.pop(node.output)
    return peak * batch
