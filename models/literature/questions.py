"""The runs behind `picojoule paper rethinking` and `picojoule paper theory`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..compress.constraints import count_sketch
from ..compress.prune import magnitude_mask, weight_names
from ..compress.structured import shrink
from ..graph import Graph, Node
from ..model import CodedTensor
from ..ops import loop_bounds
from ..patterns import expander_mask, layer_seed
from ..run import Runner
from .bounds import best_k_error, kept_for_error, low_rank, patch_energy, smallest, svd, svd_tail
from .experiments import PRUNE_EPOCHS, pruned_values
from .lab import DENSE_EPOCHS, Lab, Values, pruned_bytes

__all__ = ["BUDGETS", "EPSILONS", "equal_bytes", "hashed", "output_error", "rethinking", "signed_hashed"]

Row = dict[str, Any]
Todo = Callable[[Row], bool]
SMALL: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "lenet-5": {"4-10-50": {"conv1": 0.2, "conv2": 0.2, "ip1": 0.1}},
    "lenet-300-100": {"60-30": {"ip1": 0.2, "ip2": 0.3}, "30-20": {"ip1": 0.1, "ip2": 0.2}},
}
EPSILONS = (0.01, 0.05, 0.1, 0.2)
GAP_BITS = 8  # 5 bits would hold more padding than weights at 1 %
BUDGETS = (1 / 16, 1 / 64)  # bytes over those of the dense fp32 weights
IMAGES = 200


def _key(lab: Lab, method: str, point: str) -> Row:
    return {"network": lab.network, "method": method, "retrained": 1, "point": point, "seed": lab.seed}


def _macs(graph: Graph) -> int:
    return sum(bounds.macs for node in graph if (bounds := loop_bounds(graph, node)))


def rethinking(lab: Lab, todo: Todo) -> Iterator[Row]:
    """Channels pruned by L1 norm and fine-tuned, beside the same small network from random weights (Liu et al. 2019).

    Fine-tuning and scratch-E take as many epochs as the dense network did; scratch-B twice as many: the small network
    costs less than half, and Liu et al. stop at twice. All with the learning rate and dropout of the recipe's prune
    stage: the dense network's dropout would be too much for a small one.
    """
    epochs, dense_size = DENSE_EPOCHS[lab.network], 4 * lab.graph.parameter_count
    if todo(_key(lab, "dense", "all channels")):
        yield {**_key(lab, "dense", "all channels"), "bytes": dense_size, "ratio": 1.0, "speedup": 1.0,
               "epochs": epochs, **lab.errors_pct(lab.dense)}  # fmt: skip
    for point, keep in SMALL[lab.network].items():
        pruned = shrink(lab.with_values(lab.dense), keep).graph
        blank = shrink(lab.graph, keep).graph
        plans = (
            ("fine-tuned", pruned, epochs), ("scratch-E", blank, epochs), ("scratch-B", blank, 2 * epochs),
            ("pruned, not fine-tuned", pruned, 0),
        )  # fmt: skip
        for method, graph, length in plans:
            if todo(_key(lab, method, point)):
                values = lab.fit(graph, length, "prune", draw=1).values
                size = 4 * graph.parameter_count
                yield {**_key(lab, method, point), "bytes": size, "ratio": dense_size / size, "epochs": length,
                       "speedup": _macs(lab.graph) / _macs(graph), **lab.errors_pct(values, graph)}  # fmt: skip


# --- sketches and expander masks against magnitude pruning -------------------------------------------------


def hashed(shape: tuple[int, ...], buckets: int, seed: int, _: str = "") -> CodedTensor:
    """A layer whose weights are drawn at random from `buckets` trained values, without signs.

    The places come from the seed, so that only the values are stored. Starting values: uniform, variance 1 / fan in.
    """
    random = np.random.default_rng([seed, *shape])
    codes = random.integers(1, buckets + 1, shape).astype(np.uint16)
    book = np.concatenate(([0.0], _uniform(random, shape, buckets))).astype(np.float32)
    return CodedTensor(codes, book, 16, "dense")


def signed_hashed(shape: tuple[int, ...], buckets: int, seed: int, layer: str) -> CodedTensor:
    """The same with a sign by weight, which keeps sums over a bucket unbiased (Chen et al., HashedNets, ICML 2015).

    Places and signs are those of the format `hashed@SEED`, a CountSketch (Charikar, Chen and Farach-Colton, 2002).
    """
    half = _uniform(np.random.default_rng([seed, *shape]), shape, buckets)
    sketch = count_sketch(np.zeros(shape, np.float32), buckets, layer_seed(seed, layer), f"layer {layer}")
    return replace(sketch, codebook=np.concatenate((np.zeros(1, np.float32), half, -half)))


def _uniform(random: np.random.Generator, shape: tuple[int, ...], count: int) -> np.ndarray:
    bound = math.sqrt(3 / math.prod(shape[1:]))
    return random.uniform(-bound, bound, count).astype(np.float32)


HASHED = {"hashed weights": hashed, "signed hashed weights": signed_hashed}


def equal_bytes(lab: Lab, todo: Todo) -> Iterator[Row]:
    """Fully connected layers at the same bytes: magnitude pruning, random pruning, expander masks, hashed weights.

    fp32 values throughout. Pruned layers store 8-bit gaps with padding, the others nothing but values. Networks trained
    from scratch get as many epochs as dense training, pruning and retraining have together.
    """
    names = weight_names(lab.graph)
    dense_bytes = sum(4 * lab.graph.parameters[name].elements for name in names.values())
    epochs = DENSE_EPOCHS[lab.network] + 2 * PRUNE_EPOCHS
    for budget in BUDGETS:
        point = f"1/{round(1 / budget)}"
        for method in ("magnitude", "random"):
            if todo(_key(lab, f"{method} pruning", point)):
                values = pruned_values(lab, _density_for(lab, budget), method)
                size = pruned_bytes((values[name] for name in names.values()), GAP_BITS)
                yield _equal_row(lab, f"{method} pruning", point, size, dense_bytes, epochs, values)
        density = _last_denser(lab, budget)
        if todo(_key(lab, "expander mask", point)):
            masks = {}
            for layer, name in names.items():
                shape = lab.graph.parameters[name].shape
                degree = max(1, round(density[layer] * shape[1]))
                masks[name] = expander_mask(shape, degree, layer_seed(lab.seed, layer))
            fitted = lab.fit(lab.graph, epochs, "prune", draw=2, masks=masks)
            size = 4 * sum(int(mask.sum()) for mask in masks.values())
            yield _equal_row(lab, "expander mask", point, size, dense_bytes, epochs, fitted.values)
        for draw, (method, make) in enumerate(HASHED.items(), 3):
            if todo(_key(lab, method, point)):
                coded = {}
                for layer, name in names.items():
                    shape = lab.graph.parameters[name].shape
                    coded[name] = make(shape, max(1, round(density[layer] * math.prod(shape))), lab.seed, layer)
                fitted = lab.fit(lab.graph, epochs, "prune", draw=draw, coded=coded)
                size = sum(tensor.codebook_bits for tensor in coded.values()) // 8
                yield _equal_row(lab, method, point, size, dense_bytes, epochs, fitted.values)


def _last_denser(lab: Lab, density: float) -> dict[str, float]:
    layers = list(weight_names(lab.graph))
    return {layer: density * (3 if layer == layers[-1] else 1) for layer in layers}


def _density_for(lab: Lab, budget: float) -> dict[str, float]:
    """Densities at which entries of 32 + GAP_BITS bits, a random mask's padding included, fill `budget`."""
    low, high = 1e-6, 1.0
    for _ in range(40):
        density = (low + high) / 2
        entries = density / (1 - (1 - density) ** 2**GAP_BITS)
        low, high = (density, high) if entries * (32 + GAP_BITS) / 32 < budget else (low, density)
    return _last_denser(lab, low)


def _equal_row(lab: Lab, method: str, point: str, size: int, dense: int, epochs: int, values: Values) -> Row:
    return {**_key(lab, method, point), "bytes": size, "ratio": dense / size, "epochs": epochs, "bits": 32,
            **lab.errors_pct(values)}  # fmt: skip


# --- how many weights can go ------------------------------------------------------------------------------


def output_error(lab: Lab, todo: Todo) -> Iterator[Row]:
    """For each layer and epsilon: weights, and rank, needed for a relative output error of epsilon.

    ||Y - Y'||_F / ||W X||_F over validation images, X what the dense network's layer reads. "measured" is the least
    number that reached it; "bound" the least for which ||W - W'|| ||X||_F promises it; "isotropic" the least with
    ||W - W'||_F <= epsilon ||W||_F, which is exact for inputs without correlation.
    """
    images = lab.source.validation.images[:IMAGES]
    graph = lab.with_values(lab.dense)
    for node in graph:
        if "weight" not in node.parameters or node.op not in ("conv", "gemm"):
            continue
        if not any(todo(_key(lab, "best k, measured", f"{node.name} {epsilon:g}")) for epsilon in EPSILONS):
            continue
        yield from _layer_rows(lab, graph, node, images)


def _layer_rows(lab: Lab, graph: Graph, node: Node, images: np.ndarray) -> Iterator[Row]:
    name = node.parameters["weight"]
    weight = np.asarray(lab.dense[name])
    matrix = weight.reshape(len(weight), -1)
    bias = lab.dense[node.parameters["bias"]].reshape((1, -1) + (1,) * (weight.ndim - 2))
    runner = Runner(graph, outputs=(node.output,))
    exact = runner.run(images)[0] - bias
    norm = float(np.linalg.norm(exact))
    reads = images if node.inputs[0] in graph.inputs else Runner(graph, outputs=(node.inputs[0],)).run(images)[0]
    inputs = math.sqrt(patch_energy(reads, (weight.shape[2], weight.shape[3]) if weight.ndim == 4 else None))

    def measured(changed: np.ndarray) -> float:
        got = runner.run(images, {name: changed.reshape(weight.shape)})[0] - bias
        return float(np.linalg.norm(got - exact)) / norm

    def pruned(kept: int) -> float:
        return measured(np.where(magnitude_mask(weight, kept / weight.size), weight, np.float32(0)))

    best, (frobenius, spectral), factors = best_k_error(weight), svd_tail(matrix), svd(matrix)
    cost = matrix.shape[0] + matrix.shape[1]
    sizes = sorted({*np.linspace(0, weight.size, 201).astype(int).tolist()})
    for epsilon in EPSILONS:
        limit = epsilon * norm / inputs
        found = {
            "best k, measured": smallest(sizes, pruned, epsilon),
            "best k, isotropic": kept_for_error(best, epsilon * float(best[0])),
            "best k, bound": kept_for_error(best, limit),
            "rank, measured": smallest(range(len(spectral)), lambda r: measured(low_rank(factors, r)), epsilon) * cost,
            "rank, isotropic": kept_for_error(frobenius, epsilon * float(frobenius[0])) * cost,
            "rank, bound": kept_for_error(spectral, limit) * cost,
        }
        for method, kept in found.items():
            row = _key(lab, method, f"{node.name} {epsilon:g}")
            yield {**row, "retrained": 0, "value": kept, "density": kept / weight.size}

