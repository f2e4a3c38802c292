"""The runs behind Figures 6 to 8: one row for every point, written as it is measured, resumable.

Sizes count weights with their indices and codebooks, biases not; `ratio` is over the same weights in fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..build import GraphBuilder
from ..compress.masks import prune_mask
from ..compress.prune import by_layer, weight_names
from ..compress.share import INITS
from ..graph import Graph
from ..model import CodedTensor
from .lab import DENSE_EPOCHS, INDEX_BITS, Lab, Values, coded_bytes, pruned_bytes, share_all

__all__ = ["EXPERIMENTS", "PAPER_DENSITY", "factored", "prune_values", "pruned_values", "training_epochs"]

Row = dict[str, Any]
Todo = Callable[[Row], bool]
PAPER_DENSITY = {
    "lenet-300-100": {"ip1": 0.08, "ip2": 0.09, "ip3": 0.26},
    "lenet-5": {"conv1": 0.66, "conv2": 0.12, "ip1": 0.08, "ip2": 0.19},
}
DENSITIES = (0.4, 0.2, 0.12, 0.08, 0.05, 0.03, 0.02, 0.01)
PRUNE_EPOCHS = 2  # gradual, then as many under the last masks
QUARTER = 0.25  # of an epoch: enough for 32 centroids


def prune_values(graph: Graph, values: Values, density: float | Mapping[str, float], method: str, seed: int) -> Values:
    """Magnitude or random pruning without training."""
    wanted = by_layer(graph, density)
    pruned = dict(values)
    for place, (layer, name) in enumerate(weight_names(graph).items()):
        if layer in wanted:
            mask = prune_mask(values[name], wanted[layer], method, seed * 1000 + place, layer)
            pruned[name] = np.where(mask, values[name], np.float32(0))
    return pruned


def pruned_values(lab: Lab, density: float | Mapping[str, float], method: str = "magnitude") -> Values:
    """Pruned gradually and retrained: PRUNE_EPOCHS each. One density leaves the last layer at three times as much."""
    from ..train.fit import Pruning

    layers = list(weight_names(lab.graph))
    if not isinstance(density, Mapping):
        density = dict.fromkeys(layers[:-1], density) | {layers[-1]: min(1.0, 3 * density)}
    pruning = Pruning(density, PRUNE_EPOCHS, method)
    return lab.fit(lab.with_values(lab.dense), 2 * PRUNE_EPOCHS, "prune", pruning=pruning).values


def _fine_tuned(lab: Lab, values: Values, coded: Mapping[str, CodedTensor], part: float = 1.0) -> Any:
    """Centroids and biases trained for one epoch, or a part of it."""
    graph = lab.with_values({**values, **{name: tensor.values for name, tensor in coded.items()}})
    return lab.fit(graph, 1, "share", part, coded=coded)


def _weights(lab: Lab, values: Values) -> list[Any]:
    return [values[name] for name in weight_names(lab.graph).values()]


def _row(lab: Lab, method: str, retrained: bool, point: str, size: int, values: Values, **more: Any) -> Row:
    dense = sum(4 * array.size for array in _weights(lab, lab.dense))
    return {
        "network": lab.network, "method": method, "retrained": int(retrained), "point": point, "seed": lab.seed,
        "bytes": size, "ratio": round(dense / size, 4), "epochs": training_epochs(lab.network, method, retrained),
        **lab.errors_pct(values), **more,
    }  # fmt: skip


def training_epochs(network: str, method: str, retrained: bool) -> float:
    """Epochs of a row behind the dense network's; in Figures 7 and 8 behind the pruned network's.

    >>> training_epochs("lenet-5", "pruning + quantization", True), training_epochs("lenet-5", "linear", True)
    (5, 0.25)
    """
    if not retrained:
        return 0
    if method == "dense":
        return DENSE_EPOCHS[network]
    if method in INITS:
        return QUARTER
    return {"quantization": 1, "pruning": 2 * PRUNE_EPOCHS, "SVD": 2 * PRUNE_EPOCHS}.get(method, 2 * PRUNE_EPOCHS + 1)


def factored(graph: Graph, values: Values, rank: int) -> tuple[Graph, Values, int]:
    """(graph, values, bytes) of a fully connected network with every wide layer W (n x m) as U V of `rank`.

    U V is the truncated SVD. A layer stays whole where n m <= rank (n + m). Bytes are fp32.
    Only chains of flatten, gemm and relu.
    """
    net = GraphBuilder(graph.name, graph.tensors[graph.inputs[0]].shape)
    found: dict[str, Any] = {}
    size = 0
    for node in graph:
        if node.op != "gemm":
            net.add(node.op, node.name)
            continue
        weight, bias = values[f"{node.name}.weight"], values[f"{node.name}.bias"]
        n, m = weight.shape
        if n * m <= rank * (n + m):
            net.gemm(node.name, n)
            found |= {f"{node.name}.weight": weight}
            size += 4 * n * m
        else:
            u, s, v = np.linalg.svd(weight.astype(np.float64), full_matrices=False)
            root = np.sqrt(s[:rank])
            net.gemm(f"{node.name}_v", rank, bias=False)
            net.gemm(node.name, n)
            found |= {f"{node.name}_v.weight": (root[:, None] * v[:rank]).astype(np.float32),
                      f"{node.name}.weight": (u[:, :rank] * root).astype(np.float32)}  # fmt: skip
            size += 4 * rank * (n + m)
        found |= {f"{node.name}.bias": bias}
    return net.build(), found, size


def _key(lab: Lab, method: str, retrained: bool, point: str) -> Row:
    return {"network": lab.network, "method": method, "retrained": int(retrained), "point": point, "seed": lab.seed}


def methods(lab: Lab, todo: Todo) -> Iterator[Row]:
    """Figure 6: pruning, quantization, both, and SVD, each as it is and retrained."""
    if todo(_key(lab, "dense", True, "fp32")):
        size = sum(4 * array.size for array in _weights(lab, lab.dense))
        yield _row(lab, "dense", True, "fp32", size, lab.dense, density=1.0, bits=32)
    yield from _pruning_points(lab, todo)
    for bits in (8, 6, 5, 4, 3, 2, 1):
        for retrained in (False, True):
            if todo(_key(lab, "quantization", retrained, f"{bits} bits")):
                coded = share_all(lab.graph, lab.dense, bits)
                values = {**lab.dense, **{name: tensor.values for name, tensor in coded.items()}}
                if retrained:
                    fitted = _fine_tuned(lab, lab.dense, coded)
                    values, coded = fitted.values, fitted.coded
                size = coded_bytes(coded.values(), "dense")
                yield _row(lab, "quantization", retrained, f"{bits} bits", size, values, density=1.0, bits=bits)
    for rank in (100, 50, 30, 20, 14, 10, 7, 4, 2):
        for retrained in (False, True):
            if todo(_key(lab, "SVD", retrained, f"rank {rank}")):
                graph, values, size = factored(lab.graph, lab.dense, rank)
                if retrained:
                    values = lab.fit(graph.with_parameters(values), 2 * PRUNE_EPOCHS, "prune").values
                row = _row(lab, "SVD", retrained, f"rank {rank}", size, lab.dense, density=1.0, bits=32)
                yield row | lab.errors_pct(values, graph)


def _pruning_points(lab: Lab, todo: Todo) -> Iterator[Row]:
    for density in DENSITIES:
        point = f"density {density:g}"
        if todo(_key(lab, "pruning", False, point)):
            layers = list(weight_names(lab.graph))
            by = dict.fromkeys(layers[:-1], density) | {layers[-1]: min(1.0, 3 * density)}
            values = prune_values(lab.graph, lab.dense, by, "magnitude", lab.seed)
            size = pruned_bytes(_weights(lab, values))
            yield _row(lab, "pruning", False, point, size, values, density=density, bits=32)
        combined = ("pruning + quantization", "pruning + quantization + Huffman")
        if any(todo(_key(lab, method, True, point)) for method in ("pruning", *combined)):
            values = pruned_values(lab, density)
            size = pruned_bytes(_weights(lab, values))
            yield _row(lab, "pruning", True, point, size, values, density=density, bits=32)
            fitted = _fine_tuned(lab, values, share_all(lab.graph, values, INDEX_BITS))
            for method, ending in zip(combined, ("", "+huffman"), strict=True):
                size = coded_bytes(fitted.coded.values(), f"relative{INDEX_BITS}{ending}")
                yield _row(lab, method, True, point, size, fitted.values, density=density, bits=INDEX_BITS)


def bits_by_kind(lab: Lab, todo: Todo) -> Iterator[Row]:
    """Figure 7: bits of convolutions, of fully connected layers, of all, before and after pruning, as they are."""
    layers = list(weight_names(lab.graph))
    kinds = {"conv": [x for x in layers if x.startswith("conv")], "fc": [x for x in layers if x.startswith("ip")],
             "all": layers}  # fmt: skip
    pruned: Values | None = None
    for method in ("unpruned", "pruned"):
        for kind, chosen in kinds.items():
            for bits in (8, 6, 5, 4, 3, 2, 1):
                point = f"{bits} bits"
                if not chosen or not todo(_key(lab, f"{method} {kind}", False, point)):
                    continue
                if method == "pruned" and pruned is None:
                    pruned = pruned_values(lab, PAPER_DENSITY[lab.network])
                start = lab.dense if pruned is None else pruned
                coded = share_all(lab.graph, start, dict.fromkeys(chosen, bits))
                values = {**start, **{name: tensor.values for name, tensor in coded.items()}}
                size = coded_bytes(coded.values(), "dense" if method == "unpruned" else f"relative{INDEX_BITS}")
                yield _row(lab, f"{method} {kind}", False, point, size, values, bits=bits)


def initialisations(lab: Lab, todo: Todo) -> Iterator[Row]:
    """Figure 8: where k-means starts, on the pruned network, before and after a quarter epoch of fine-tuning."""
    pruned: Values | None = None
    for init in INITS:
        for bits in (8, 7, 6, 5, 4, 3, 2):
            for retrained in (False, True):
                if not todo(_key(lab, init, retrained, f"{bits} bits")):
                    continue
                pruned = pruned if pruned is not None else pruned_values(lab, PAPER_DENSITY[lab.network])
                coded = share_all(lab.graph, pruned, bits, init=init, seed=lab.seed)
                values = {**pruned, **{name: tensor.values for name, tensor in coded.items()}}
                if retrained:
                    fitted = _fine_tuned(lab, pruned, coded, QUARTER)
                    values, coded = fitted.values, fitted.coded
                size = coded_bytes(coded.values(), f"relative{INDEX_BITS}+huffman")
                yield _row(lab, init, retrained, f"{bits} bits", size, values, bits=bits)


# figure: (networks, what runs for each network and seed)
EXPERIMENTS: Mapping[str, tuple[tuple[str, ...], Callable[[Lab, Todo], Iterator[Row]]]] = {
    "figure-6": (("lenet-300-100",), methods),
    "figure-7": (("lenet-5",), bits_by_kind),
    "figure-8": (("lenet-300-100",), initialisations),
}
