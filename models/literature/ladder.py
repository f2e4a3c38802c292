"""Dense, pruned, shared, Huffman coded: what each step of Deep Compression leaves of any network, without training.

One layer is in memory at a time, every size is the length of a real stream, and general compressors stand beside them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..codecs import ENCODINGS, encode
from ..compress.prune import known_values, magnitude_mask, weight_names
from ..compress.share import share_weights
from ..errors import InputError
from ..graph import Graph
from ..load import load_model
from ..model import CodedTensor, Model
from .lab import pruned_bytes
from .published import TABLES, paper_network
from .synthetic import FAMILY, synthetic_layer

__all__ = ["LADDER_NETWORKS", "METHODS", "METHODS_BELOW", "LayerPlan", "NetworkLadder", "network_ladder", "plan_layers"]

LADDER_NETWORKS = (
    "lenet-300-100@deep-compression", "lenet-5@deep-compression", "alexnet", "vgg-16", "squeezenet-1.1",
    "mobilenet-v1", "mobilenet-v2", "shufflenet-v1", "shufflenet-v2-1.0", "efficientnet-lite0@imagenet",
)  # fmt: skip
# Layers that no table speaks of: round numbers near Tables 4 and 5 (assumption L4).
CONV_DENSITY, CONV_BITS, GEMM_DENSITY, GEMM_BITS = 0.35, 8, 0.1, 5
INDEX_BITS = 5
RELATIVE = ("relative4", "relative5", "relative8", "relative4+huffman", "relative5+huffman", "relative8+huffman")
METHODS = tuple(name for name in ENCODINGS if not name.startswith("relative") or name in RELATIVE)
METHODS_BELOW = 30_000_000  # weights; above, only the steps and the general compressors
ZLIB_LEVEL, ZSTD_LEVEL = 6, 9


@dataclass(frozen=True)
class LayerPlan:
    """What is done to one layer."""

    density: float
    bits: int
    index_bits: int = INDEX_BITS


@dataclass(frozen=True)
class NetworkLadder:
    """Bytes of all parameters by step and by method; parameters that are not weights are counted in fp32 everywhere.

    `methods` holds None where a format cannot hold the network, such as N:M for weights that are not so pruned.
    `weight_error` is the squared distance of the coded weights from the dense ones over the dense ones' square (None
    where the dense weights are not known).
    """

    network: str
    basis: str
    weights: int
    nonzeros: int
    steps: Mapping[str, int]
    methods: Mapping[str, int | None]
    weight_error: float | None


@dataclass(eq=False)
class _Sums:
    steps: dict[str, int] = field(default_factory=dict)
    methods: dict[str, int | None] = field(default_factory=dict)
    weights: int = 0
    nonzeros: int = 0
    lost: float = 0.0
    energy: float = 0.0

    def add(self, table: str, name: str, amount: int | None) -> None:
        sums: dict[str, int | None] = getattr(self, table)
        known = sums.get(name, 0)
        sums[name] = None if known is None or amount is None else known + amount


def plan_layers(graph: Graph, density: float | None = None, bits: int | None = None) -> dict[str, LayerPlan]:
    """The paper's own densities and bits where it has the network, elsewhere one plan for all; or what is given.

    >>> plan_layers(load_model("alexnet").graph)["fc6"]
    LayerPlan(density=0.09, bits=5, index_bits=4)
    """
    printed = {}
    if graph.name in TABLES.values() and density is None and bits is None:
        printed = {
            row.layer: LayerPlan(float(row.density_pct) / 100, int(row.weight_bits), int(row.index_bits))
            for row in paper_network(graph.name).layers
        }
    plans = {}
    for layer in weight_names(graph):
        is_conv = next(node.op for node in graph if node.name == layer) == "conv"
        fallback = LayerPlan(
            density or (CONV_DENSITY if is_conv else GEMM_DENSITY), bits or (CONV_BITS if is_conv else GEMM_BITS)
        )
        plans[layer] = printed.get(layer, fallback)
    return plans


def network_ladder(
    name: str, *, density: float | None = None, bits: int | None = None, seed: int = 0, weights: str | None = None,
    done: Callable[[str, int], None] = lambda layer, layers: None,
) -> NetworkLadder:  # fmt: skip
    """The ladder of a MODEL string: its own weights where it has any, synthetic ones where it has none.

    Raises InputError for a network without convolutions and matrix products.
    """
    model = load_model(name, weights=weights)
    layers = weight_names(model.graph)
    if not layers:
        raise InputError(f"network {name}", "no convolution and no matrix product", "a layer to compress")
    known = model.graph.has_weights
    basis = f"weights of {model.name}" if known else f"SYNTHETIC weights ({FAMILY}, seed {seed})"
    sums = _Sums()
    every = sum(model.graph.parameters[parameter].elements for parameter in layers.values()) < METHODS_BELOW
    for dense, coded, index_bits in _coded_layers(model, plan_layers(model.graph, density, bits), seed):
        _add_layer(sums, dense, coded, index_bits, METHODS if every else ())
        done(name, len(layers))
    rest = 4 * (model.graph.parameter_count - sums.weights)
    steps = {step: size + rest for step, size in sums.steps.items()}
    methods = {method: None if size is None else size + rest for method, size in sums.methods.items()}
    error = sums.lost / sums.energy if sums.energy and not model.coded else None
    return NetworkLadder(name, basis, sums.weights, sums.nonzeros, steps, methods, error)


def _coded_layers(
    model: Model, plans: Mapping[str, LayerPlan], seed: int
) -> Iterator[tuple[NDArray[np.float32], CodedTensor, int]]:
    """(dense weights, shared ones, index bits) of each layer; what is already coded stays as it is."""
    for layer, name in weight_names(model.graph).items():
        parameter, plan = model.graph.parameters[name], plans[layer]
        values = known_values(model.graph, name) if parameter.known else synthetic_layer(parameter.shape, layer, seed)
        if name in model.coded:
            yield values, model.coded[name], plan.index_bits
            continue
        kept = magnitude_mask(values, plan.density, where=f"layer {layer}")
        pruned = np.where(kept, values, np.float32(0))
        yield values, share_weights(pruned, plan.bits, where=f"layer {layer}"), plan.index_bits


def _add_layer(
    sums: _Sums, dense: NDArray[np.float32], coded: CodedTensor, index_bits: int, methods: tuple[str, ...]
) -> None:
    values = coded.values
    sums.weights += dense.size
    sums.nonzeros += coded.nonzeros
    sums.lost += float(np.square(dense - values).sum(dtype=np.float64))
    sums.energy += float(np.square(dense).sum(dtype=np.float64))
    sums.add("steps", "dense", 4 * dense.size)
    sums.add("steps", "pruned", pruned_bytes([values], index_bits))
    sums.add("steps", "shared", _stream_bytes(coded, f"relative{index_bits}") or 0)
    sums.add("steps", "Huffman", _stream_bytes(coded, f"relative{index_bits}+huffman") or 0)
    for method in methods:
        sums.add("methods", method, _stream_bytes(coded, method))
    codes = coded.codes.astype(np.uint8 if coded.code_bits <= 8 else np.uint16).tobytes()
    book = 4 * (len(coded.codebook) - 1)
    zstd = pa.Codec("zstd", ZSTD_LEVEL)
    for label, content, more in (("codes", codes, book), ("fp32", np.ascontiguousarray(values).tobytes(), 0)):
        sums.add("methods", f"zlib on {label}", len(zlib.compress(content, ZLIB_LEVEL)) + more)
        sums.add("methods", f"zstd on {label}", len(zstd.compress(content)) + more)


def _stream_bytes(coded: CodedTensor, encoding: str) -> int | None:
    """Length of a real stream, None where the format refuses the tensor."""
    try:
        encoded = encode(replace(coded, encoding=encoding))
    except InputError:
        return None
    return sum(len(section) for section in encoded.sections.values())
