"""What a target has to execute: one row per layer, as arrays a cost model can broadcast over.

Every array has the layers on its last axis; leading axes, where present, are designs (bits, densities).
Batch is already counted in macs and activations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..models.errors import GraphError, InputError
from ..models.fusion import folded_biases, fused_behind, fused_nodes
from ..models.graph import Node
from ..models.memory import peak_activation_bits
from ..models.model import Accuracy, Model
from ..models.ops import OPAQUE, VIEWS, LoopBounds, loop_bounds, weight_matrix_shape
from .formats import parse_format, predict_size, random_mask
from .sources import described_batch, row_sources, window_of
from .structure import WeightStructure, random_structure, structure_of

__all__ = ["Overrides", "Workload", "make_workload", "storage_size"]

Array = NDArray[np.float64]
FLOAT_BITS = 32
MASK_SEED = 20160618  # the opening day of ISCA 2016


def _whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


@dataclass(frozen=True)
class Overrides:
    """What a user sets over a model: value bits, activation bits, densities, storage format.

    Raises InputError for a value out of its range.
    """

    bits: int | None = None
    activation_bits: int | None = None
    density: float | None = None
    activation_density: float | None = None
    storage: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("--bits", self.bits), ("--bits W:A", self.activation_bits)):
            if value is not None and not (_whole(value) and 1 <= value <= 32):
                raise InputError(name, value, "a whole number of bits from 1 to 32", "for example --bits 8")
        for name, share in (("--density", self.density), ("--act-density", self.activation_density)):
            if share is not None and not (isinstance(share, int | float | np.number) and 0 < share <= 1):
                raise InputError(name, share, "a fraction above 0 and at most 1", "for example --density 0.1")
        if self.storage is not None:
            predict_size(self.storage, random_structure(1, 1, 1, 0), 1)


@dataclass(frozen=True, eq=False)
class Workload:
    """One row per layer that costs something; see the module's docstring for the axes.

    `storage_bits` are the predicted bits of the weights in their `storage` format, codebooks and biases
    apart, and `storage_entries` what a decoder has to step through, padding included. `storage_asked` is
    what the user chose, "" for nothing; its shape is () or [designs, 1]. `fused_behind` counts the normalizations
    and activations that run inside a layer.
    `structures[..., l]()` is where the non-zero weights of layer l lie, made when first asked for.
    `input_shapes` and `output_shapes` are those of the network as it is described, first inputs only.
    `sources[l]` are the layers whose outputs layer l reads, -1 for the network's input; `windows[l]` a pool's window
    and strides.
    """

    model: str
    batch: int
    repeats: int
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    bounds: tuple[LoopBounds | None, ...]
    macs: Array
    weight_rows: Array
    weight_columns: Array
    weight_elements: Array
    weight_nonzeros: Array
    weight_bits: Array
    codebook_entries: Array
    bias_elements: Array
    table_elements: Array
    input_elements: Array
    output_elements: Array
    activation_bits: Array
    input_density: Array
    fused_behind: Array
    storage_bits: Array
    storage_entries: Array
    structures: NDArray[np.object_]
    storage: NDArray[np.str_]
    storage_asked: NDArray[np.str_]
    basis: str
    activation_basis: str
    peak_activation_bits: int = 0
    file_bytes: int | None = None
    accuracy: Accuracy | None = None
    fused: tuple[str, ...] = ()
    input_shapes: tuple[tuple[int, ...], ...] = ()
    output_shapes: tuple[tuple[int, ...], ...] = ()
    sources: tuple[tuple[int, ...], ...] = ()
    windows: tuple[tuple[tuple[int, int], tuple[int, int]] | None, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def codebook_bits(self) -> Array:
        """Bits of the codebooks, in entries of fp32, as they are stored: without the zero of code 0."""
        return 32.0 * self.codebook_entries

    @property
    def bias_bits(self) -> Array:
        return 32.0 * self.bias_elements

    @property
    def table_bits(self) -> Array:
        """Embedding tables: stored whole, read by the row."""
        return 32.0 * self.table_elements

    @property
    def opaque(self) -> NDArray[np.bool_]:
        """Layers whose work is not known: control flow and custom operators."""
        return np.array([kind.startswith(OPAQUE) for kind in self.kinds], bool)

    @property
    def codebook_and_bias_bits(self) -> Array:
        return self.codebook_bits + self.bias_bits

    @property
    def weight_density(self) -> Array:
        """Non-zeros over all elements of conv and fc weights, by design."""
        return self.weight_nonzeros.sum(axis=-1) / np.maximum(1.0, self.weight_elements.sum(axis=-1))

    @property
    def density(self) -> Array:
        """Non-zeros over elements, by layer; 0 where a layer has no weights."""
        zero = np.zeros(np.broadcast_shapes(self.weight_nonzeros.shape, self.weight_elements.shape))
        return np.divide(self.weight_nonzeros, self.weight_elements, out=zero, where=self.weight_elements > 0)

    @property
    def products_per_weight(self) -> Array:
        """How often a fully connected layer uses each weight per batch, by layer."""
        return np.array([bounds.N if bounds else 1 for bounds in self.bounds], float) * self.repeats


def _memoised(make: Callable[[], WeightStructure]) -> Callable[[], WeightStructure]:
    kept: list[WeightStructure] = []

    def structure() -> WeightStructure:
        if not kept:
            kept.append(make())
        return kept[0]

    return structure


@dataclass(frozen=True)
class _Weights:
    nonzeros: int
    bits: int
    codebook_entries: float
    structure: Callable[[], WeightStructure]
    basis: str
    storage: str


def _weights(model: Model, name: str, overrides: Overrides, seed: int) -> _Weights:
    """What is known of one weight tensor, real where values exist."""
    parameter = model.graph.parameters[name]
    rows, columns = weight_matrix_shape(parameter.shape)
    kernel = prod(parameter.shape[2:])
    storage = overrides.storage
    if name in model.coded:
        tensor = model.coded[name]
        histogram = np.bincount(tensor.codes.reshape(-1), minlength=len(tensor.codebook))
        nonzero_codes = histogram.copy()
        nonzero_codes[0] = 0
        mask = tensor.codes.reshape(rows, columns)
        return _Weights(
            tensor.nonzeros,
            tensor.code_bits,
            tensor.codebook_bits / FLOAT_BITS,
            _memoised(lambda: structure_of(mask, nonzero_codes, kernel, lambda: tensor.values.reshape(mask.shape))),
            "exact",
            storage or tensor.encoding,
        )
    bits = overrides.bits or parameter.bits
    codebook = 2**bits - 1 if overrides.bits and bits <= 8 else 0
    if parameter.known and overrides.density is None:
        values = parameter.values
        assert values is not None
        mask = values.reshape(rows, columns)
        return _Weights(
            int(np.count_nonzero(mask)),
            bits,
            codebook,
            _memoised(lambda: structure_of(mask, None, kernel, lambda: mask)),
            "exact",
            storage or "dense",
        )
    density = overrides.density if overrides.density is not None else 1.0
    nonzeros = round(density * parameter.elements)
    chosen = storage or ("dense" if density == 1 else "relative5")
    make = _memoised(lambda: random_mask(rows, columns, nonzeros, seed, chosen, kernel))
    return _Weights(nonzeros, bits, codebook, make, "statistical" if density < 1 else "exact", chosen)


def _activation_density(model: Model, node: Node, overrides: Overrides) -> tuple[float, str]:
    if overrides.activation_density is not None:
        return overrides.activation_density, "given"
    if node.name in model.activation_density:
        return model.activation_density[node.name], model.activation_basis
    return 1.0, "assumed 1.0"


def make_workload(model: Model, batch: int = 1, overrides: Overrides | None = None) -> Workload:
    """The layers of `model`, run for `batch` times the batch it is described at.

    Views, fused activations and batch normalizations folded into the layer before them drop out. The
    Workload's `batch` counts all inferences.
    """
    if not _whole(batch) or batch < 1 or batch > 1 << 20:
        raise InputError("--batch", batch, f"a whole number from 1 to {1 << 20}", "for example --batch 1")
    overrides = overrides or Overrides()
    described = described_batch(model.graph)
    fused = fused_nodes(model.graph)
    nodes = [node for node in model.graph if node.op not in VIEWS and node.name not in fused]
    folded = folded_biases(model.graph, fused)
    behind = fused_behind(model.graph, fused)
    if not nodes:
        raise GraphError(f"network {model.graph.name}", "no layer that computes or moves anything", "at least one")
    rows = [_row(model, node, batch, overrides, place, folded.get(node.name, 0)) for place, node in enumerate(nodes)]
    columns: Mapping[str, list[float]] = {key: [row.numbers[key] for row in rows] for key in _NUMBERS}
    with_weights = [row for row in rows if row.weights is not None]
    bases = {row.weights.basis for row in with_weights if row.weights}
    densities = sorted({row.activation_basis for row in with_weights})
    return Workload(
        model=model.name,
        batch=batch * described,
        repeats=batch,
        names=tuple(node.name for node in nodes),
        kinds=tuple(row.kind for row in rows),
        bounds=tuple(row.bounds for row in rows),
        structures=_objects([row.weights.structure if row.weights else None for row in rows]),
        storage=np.array([row.weights.storage if row.weights else "" for row in rows], dtype="<U40"),
        storage_asked=np.array(overrides.storage or "", dtype="<U40"),
        basis="statistical" if "statistical" in bases else "exact",
        activation_basis=" and ".join(densities) or "none",
        peak_activation_bits=peak_activation_bits(model.graph, batch),
        file_bytes=model.file_bytes,
        accuracy=model.accuracy,
        fused=tuple(sorted(fused)),
        input_shapes=tuple(model.graph.tensors[node.inputs[0]].shape if node.inputs else () for node in nodes),
        output_shapes=tuple(model.graph.tensors[node.output].shape for node in nodes),
        sources=row_sources(model.graph, nodes),
        windows=tuple(window_of(node) for node in nodes),
        fused_behind=np.array([behind.get(node.name, 0) for node in nodes], float),
        **{key: np.array(values, float) for key, values in columns.items()},
    )


def _objects(items: list[Callable[[], WeightStructure] | None]) -> NDArray[np.object_]:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def storage_size(
    storage: str, structure: Callable[[], WeightStructure], value_bits: int, elements: int
) -> tuple[float, float]:
    """(bits, entries that a decoder steps through) of one layer in a storage format."""
    family, _, coded = parse_format(storage)
    if family == "dense" and not coded:
        return float(elements * value_bits), float(elements)
    found = structure()
    size = predict_size(storage, found, value_bits)
    return size.total_bits, float(elements) if family == "dense" else found.nonzeros + size.pads


_NUMBERS = (
    "storage_bits", "storage_entries", "macs", "weight_rows", "weight_columns", "weight_elements",
    "weight_nonzeros", "weight_bits", "codebook_entries", "bias_elements", "table_elements", "input_elements",
    "output_elements", "activation_bits", "input_density",
)  # fmt: skip


@dataclass(frozen=True)
class _Row:
    kind: str
    bounds: LoopBounds | None
    weights: _Weights | None
    numbers: Mapping[str, float]
    activation_basis: str


def _row(model: Model, node: Node, batch: int, overrides: Overrides, place: int, folded: int = 0) -> _Row:
    graph = model.graph
    bounds = loop_bounds(graph, node)
    weights = None
    shape = (0, 0)
    if "weight" in node.parameters and bounds is not None:
        weights = _weights(model, node.parameters["weight"], overrides, MASK_SEED + place)
        shape = weight_matrix_shape(graph.parameters[node.parameters["weight"]].shape)
    others = {role: name for role, name in node.parameters.items() if role not in ("weight", "table")}
    bias = folded + sum(graph.parameters[name].elements for name in others.values())
    weights_elsewhere = {other.parameters.get("weight") for other in graph}  # a tied table is stored once, as a weight
    tables = sum(
        graph.parameters[name].elements
        for role, name in node.parameters.items()
        if role == "table" and name not in weights_elsewhere
    )
    density, basis = _activation_density(model, node, overrides)
    spec = graph.tensors[node.inputs[0]] if node.inputs else graph.tensors[node.output]
    stored = (0.0, 0.0)
    if weights is not None:
        try:
            stored = storage_size(weights.storage, weights.structure, weights.bits, prod(shape))
        except InputError as error:
            raise error.within(f"layer {node.name}") from error
    numbers = {
        "storage_bits": stored[0],
        "storage_entries": stored[1],
        "macs": batch * (bounds.macs if bounds else 0),
        "weight_rows": shape[0],
        "weight_columns": shape[1],
        "weight_elements": prod(shape),
        "weight_nonzeros": weights.nonzeros if weights else 0,
        "weight_bits": weights.bits if weights else 0,
        "codebook_entries": weights.codebook_entries if weights else 0,
        "bias_elements": bias,
        "table_elements": tables,
        "input_elements": batch * sum(graph.tensors[name].elements for name in node.inputs),
        "output_elements": batch * graph.tensors[node.output].elements,
        "activation_bits": overrides.activation_bits or spec.bits,
        "input_density": density,
    }
    kind = f"{OPAQUE}:{node.attributes.get('kind', '?')}" if node.op == OPAQUE else node.op
    return _Row(kind, bounds, weights, numbers, basis)
