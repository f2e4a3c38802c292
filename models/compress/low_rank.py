"""Low rank: a layer becomes two or three smaller ones whose product is near its weights.

Fully connected (and 1 x 1 convolutions): W = U S V' cut to rank r, the nearest matrix of that rank (Eckart and Young,
1936). Convolutions: Tucker-2 (Kim et al., *Compression of Deep Convolutional Neural Networks for Fast and Low Power
Mobile Applications*, ICLR 2016), a 1 x 1 convolution to r_in channels, the kernel on r_in x r_out, a 1 x 1 back; bases
from the unfoldings (HOSVD), then improved in turns (alternating least squares; De Lathauwer et al., 2000).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..graph import AttributeValue, Graph, Node, Parameter, TensorSpec
from ..ops import infer_output
from .prune import by_layer, check_finite, known_values, weight_names

__all__ = ["decompose", "low_rank", "rank_of_energy", "ranks_for_budget", "ranks_for_energy", "svd_factors", "tucker2"]

Array = NDArray[np.float64]
Ranks = Mapping[str, tuple[int, ...]]
ROUNDS = 50
TOLERANCE = 1e-10  # of the core's squared norm, per round
HALVINGS = 50


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """Squared singular values of a layer's matrix, or of both unfoldings of its kernel (outputs, inputs)."""

    shape: tuple[int, ...]
    modes: tuple[Array, ...]


def svd_factors(matrix: NDArray[np.floating], rank: int) -> tuple[Array, Array]:
    """(left [rows, rank], right [rank, columns]) whose product is the nearest of that rank; both carry sqrt(S).

    The squared error is the sum of the other squared singular values.

    >>> left, right = svd_factors(np.diag([3.0, 2.0, 1.0]), 2)
    >>> (left @ right).round(6).diagonal().tolist()
    [3.0, 2.0, 0.0]
    """
    u, s, v = np.linalg.svd(np.asarray(matrix, np.float64), full_matrices=False)
    if not 1 <= rank <= len(s):
        raise InputError("low_rank", f"rank {rank}", f"1 to {len(s)}")
    root = np.sqrt(s[:rank])
    return u[:, :rank] * root, root[:, None] * v[:rank]


def _unfold(kernel: Array, mode: int) -> Array:
    return np.moveaxis(kernel, mode, 0).reshape(kernel.shape[mode], -1)


def _basis(matrix: Array, rank: int) -> Array:
    """The `rank` leading left singular vectors, from the small Gram matrix."""
    _, vectors = np.linalg.eigh(matrix @ matrix.T)
    return vectors[:, ::-1][:, :rank]


def tucker2(kernel: NDArray[np.floating], rank_out: int, rank_in: int) -> tuple[Array, Array, Array]:
    """(outputs [K, r_out], core [r_out, r_in, R, S], inputs [C, r_in]) of a kernel [K, C, R, S].

    The bases have orthonormal columns, so the squared error is |kernel|^2 - |core|^2; each round lowers it.

    >>> k = np.einsum("a,b,rs->abrs", [1.0, 2.0], [3.0, 4.0, 5.0], np.eye(3))
    >>> u, core, v = tucker2(k, 1, 1)
    >>> bool(np.allclose(np.einsum("ka,abrs,cb->kcrs", u, core, v), k))
    True
    """
    wide = np.asarray(kernel, np.float64)
    if not (1 <= rank_out <= wide.shape[0] and 1 <= rank_in <= wide.shape[1]):
        raise InputError("low_rank", f"ranks {rank_out}, {rank_in}", f"1 to {wide.shape[0]} and {wide.shape[1]}")
    outputs, inputs = _basis(_unfold(wide, 0), rank_out), _basis(_unfold(wide, 1), rank_in)
    before = 0.0
    for _ in range(ROUNDS):
        outputs = _basis(_unfold(np.einsum("kcrs,ci->kirs", wide, inputs), 0), rank_out)
        inputs = _basis(_unfold(np.einsum("kcrs,ko->ocrs", wide, outputs), 1), rank_in)
        core = np.einsum("kcrs,ko,ci->oirs", wide, outputs, inputs, optimize=True)
        energy = float(np.vdot(core, core))
        if energy - before <= TOLERANCE * energy:
            break
        before = energy
    return outputs, core, inputs


def rank_of_energy(squares: Array, energy: float) -> int:
    """The smallest rank whose squared singular values hold that fraction of their sum.

    >>> rank_of_energy(np.array([9.0, 4.0, 1.0]), 0.9), rank_of_energy(np.array([9.0, 4.0, 1.0]), 1.0)
    (2, 3)
    """
    if not 0 < energy <= 1:
        raise InputError("low_rank.energy", energy, "a fraction above 0 and at most 1")
    share = np.cumsum(squares)
    if share[-1] == 0:
        return 1
    return int(np.searchsorted(share, energy * share[-1] * (1 - 1e-12)) + 1)


def _splittable(graph: Graph) -> dict[str, str]:
    """Layers that can be split, and their weights: no groups, two image axes, not shared with another layer."""
    uses = Counter(name for node in graph for name in node.parameters.values())
    nodes = {node.name: node for node in graph}
    return {
        layer: name
        for layer, name in weight_names(graph).items()
        if uses[name] == 1
        and nodes[layer].attributes.get("groups", 1) == 1
        and len(graph.parameters[name].shape) in (2, 4)
    }


def _spectrum(graph: Graph, layer: str, name: str) -> _Spectrum:
    values = known_values(graph, name)
    check_finite(values, f"layer {layer}")
    wide = values.astype(np.float64)
    matrices = [wide.reshape(len(wide), -1)]
    if prod(wide.shape[2:]) > 1:
        matrices = [_unfold(wide, 0), _unfold(wide, 1)]
    grams = [m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m for m in matrices]
    return _Spectrum(values.shape, tuple(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0) for gram in grams))


def _size(shape: tuple[int, ...], ranks: tuple[int, ...]) -> int:
    """Weights of the smaller layers together."""
    if len(ranks) == 1:
        return ranks[0] * (shape[0] + shape[1])
    return shape[0] * ranks[0] + ranks[0] * ranks[1] * prod(shape[2:]) + ranks[1] * shape[1]


def _ranks(spectra: Mapping[str, _Spectrum], energy: Mapping[str, float]) -> dict[str, tuple[int, ...]]:
    """Ranks at these energies, of the layers that become smaller by it."""
    found = {}
    for layer, fraction in energy.items():
        spectrum = spectra[layer]
        ranks = tuple(rank_of_energy(mode, fraction) for mode in spectrum.modes)
        if _size(spectrum.shape, ranks) < prod(spectrum.shape):
            found[layer] = ranks
    return found


def ranks_for_energy(graph: Graph, energy: float | Mapping[str, float]) -> dict[str, tuple[int, ...]]:
    """Ranks by layer, (r,) or (r_out, r_in), that keep a fraction of each unfolding's squared singular values.

    Layers that would not become smaller, and those that cannot be split, are left out.
    """
    layers = _splittable(graph)
    wanted = {layer: e for layer, e in by_layer(graph, energy).items() if layer in layers}
    return _ranks({layer: _spectrum(graph, layer, layers[layer]) for layer in wanted}, wanted)


def ranks_for_budget(
    graph: Graph, budget: float, layers: Container[str] | None = None
) -> dict[str, tuple[int, ...]]:
    """Ranks that keep at most `budget` of the weights of all `layers` together (default: all that can be split).

    Searches, by halving, the largest energy that all layers can keep. Raises InputError where rank 1 is too much.
    """
    splittable = _splittable(graph)
    chosen = [layer for layer in splittable if layers is None or layer in layers]
    spectra = {layer: _spectrum(graph, layer, splittable[layer]) for layer in chosen}
    whole = {layer: prod(spectra[layer].shape) for layer in chosen}
    limit = budget * sum(whole.values())

    def total(ranks: Ranks) -> int:
        return sum(_size(spectra[layer].shape, ranks[layer]) if layer in ranks else whole[layer] for layer in chosen)

    low, high = 0.0, 1.0
    best = _ranks(spectra, dict.fromkeys(chosen, 1e-12))
    if not 0 < budget <= 1 or total(best) > limit:
        least = total(best) / max(1, sum(whole.values()))
        raise InputError("low_rank.budget", budget, f"a fraction of the weights, at least {least:.4g}")
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        ranks = _ranks(spectra, dict.fromkeys(chosen, middle))
        if total(ranks) <= limit:
            low, best = middle, ranks
        else:
            high = middle
    return best


def decompose(graph: Graph, ranks: Ranks) -> Graph:
    """The network with these layers split: `NAME.in`, for kernels `NAME.core`, and `NAME`, which keeps the bias.

    Raises InputError for a layer that cannot be split or a rank out of range.
    """
    splittable = _splittable(graph)
    for layer in ranks:
        if layer not in splittable:
            raise InputError(f"low_rank: layer {layer}", "a layer that cannot be split",
                             f"one of {', '.join(splittable) or '(none)'}")  # fmt: skip
    parameters, tensors, nodes = dict(graph.parameters), dict(graph.tensors), []
    for node in graph:
        parts = _split(graph, node, ranks[node.name], parameters) if node.name in ranks else [node]
        for part in parts:
            specs = tuple(tensors[name] for name in part.inputs)
            roles = {role: parameters[name] for role, name in part.parameters.items()}
            tensors[part.output] = TensorSpec(infer_output(part, specs, roles), graph.tensors[node.output].bits)
        nodes += parts
    return replace(graph, nodes=tuple(nodes), tensors=tensors, parameters=parameters)


def _split(graph: Graph, node: Node, ranks: tuple[int, ...], parameters: dict[str, Parameter]) -> list[Node]:
    """The smaller layers in order; their weights go into `parameters`."""
    name = node.parameters["weight"]
    values = known_values(graph, name)
    check_finite(values, f"layer {node.name}")
    if len(ranks) == 1:
        left, right = svd_factors(values.reshape(len(values), -1), ranks[0])
        ones = (1,) * (values.ndim - 2)
        factors = [right.reshape(*right.shape, *ones), left.reshape(*left.shape, *ones)]
    else:
        outputs, core, inputs = tucker2(values, *ranks)
        factors = [inputs.T[:, :, None, None], core, outputs[:, :, None, None]]
    names = [f"{node.name}.in", f"{node.name}.core", node.name] if len(factors) == 3 else [f"{node.name}.in", node.name]
    window = 1 if len(factors) == 3 else 0  # which of them keeps strides and padding
    parts, source = [], node.inputs[0]
    for place, (part, factor) in enumerate(zip(names, factors, strict=True)):
        weight = name if part == node.name else f"{part}.weight"
        array = np.ascontiguousarray(factor, np.float32)
        parameters[weight] = Parameter(array.shape, graph.parameters[name].bits, array)
        roles = {"weight": weight}
        if part == node.name:
            roles = {**node.parameters}
        plain: dict[str, AttributeValue] = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "groups": 1}
        attributes = dict(node.attributes) if place == window or node.op == "gemm" else plain
        output = node.output if part == node.name else part
        parts.append(Node(part, node.op, (source,), output, roles, attributes))
        source = output
    return parts


def low_rank(
    graph: Graph, energy: float | Mapping[str, float] | None = None, budget: float | None = None
) -> Graph:
    """Split layers by energy or within a budget of weights; exactly one of the two.

    >>> from ..build import GraphBuilder
    >>> b = GraphBuilder("tiny", (1, 8)); _ = b.gemm("fc", 8)
    >>> values = {"fc.weight": np.ones((8, 8), np.float32), "fc.bias": np.zeros(8, np.float32)}
    >>> [node.name for node in low_rank(b.build().with_parameters(values), energy=0.99)]
    ['fc.in', 'fc']
    """
    if (energy is None) == (budget is None):
        raise InputError("low_rank", "both or neither", "energy or budget")
    ranks = ranks_for_energy(graph, energy) if energy is not None else ranks_for_budget(graph, budget or 0.0)
    return decompose(graph, ranks)
