"""Weights on a uniform grid, on three values or on two, as codes with a step or with scales; activations as integers.

Uniform: Jacob et al., CVPR 2018. Ternary: Li, Zhang and Liu, *Ternary Weight Networks*, 2016. Binary with one scale:
Rastegari et al., *XNOR-Net*, ECCV 2016. In a file a grid takes its codes and a step, or a scale for every output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..codebooks import grid_codebook
from ..errors import InputError
from ..graph import AttributeValue, Graph
from ..model import CodedTensor, Model
from ..ops import VIEWS
from .prune import by_layer, check_finite, known_values, weight_names
from .stage_settings import QuantizeStage

__all__ = [
    "TERNARY_THRESHOLD", "ActivationRange", "binary_weights", "grid_codes", "integer_activations", "quantize_graph",
    "method_at", "quantized", "ternary_weights", "uniform_step", "uniform_weights",
]  # fmt: skip

Granularity = Literal["tensor", "channel"]
Array = NDArray[np.float32]
TERNARY_THRESHOLD = 0.7  # of the mean magnitude (Li et al., equation 6)
OWN_BITS = {"ternary": 2, "ttq": 2, "binary": 1}
SAME_INTEGERS = ("relu", "relu6", "max_pool", *VIEWS)  # a quantizer behind them could as well stand before them


@dataclass(frozen=True)
class ActivationRange:
    """An activation of `bits` bits: value = scale x (q - zero), q from 0 to 2^bits - 1."""

    scale: float
    zero: int
    bits: int

    @classmethod
    def of(cls, low: float, high: float, bits: int) -> ActivationRange:
        """The grid of 2^bits values from low to high, moved so that 0 is one of them.

        >>> ActivationRange.of(-0.1, 2.9, 2)
        ActivationRange(scale=1.0, zero=0, bits=2)
        """
        low, high, top = min(low, 0.0), max(high, 0.0), 2**bits - 1
        scale = float(np.float32((high - low) / top)) or 1.0
        return cls(scale, int(np.clip(round(-low / scale), 0, top)), bits)


def _checked(values: ArrayLike, where: str) -> Array:
    array = np.asarray(values, np.float32)
    check_finite(array, where)
    if array.ndim < 1 or array.size == 0:
        raise InputError(where, f"shape {array.shape}", "at least one output")
    return array


def grid_codes(values: Array, step: float | Array, bits: int, encoding: str, *, low: int, top: int) -> CodedTensor:
    """Codes of the integers clip(round(w / step), low, top); `step` is one number, or one for each output."""
    scales = None if np.ndim(step) == 0 else np.asarray(step, np.float32).ravel()
    wide = step if scales is None else scales.reshape(-1, *(1,) * (values.ndim - 1))
    symbols = top - low + 1
    numbers = np.clip(np.rint(values / np.float32(wide) if scales is None else values / wide), low, top)
    codebook = grid_codebook(1.0 if scales is not None else float(np.float32(step)), top, symbols)  # type: ignore[arg-type]
    kind = "grid" if scales is None else "channel_grid"
    return CodedTensor(np.mod(numbers, symbols).astype(np.uint16), codebook, bits, encoding, kind, scales)


def uniform_step(values: Array, bits: int, granularity: Granularity = "tensor") -> Array:
    """Largest magnitude over 2^(bits-1) - 1, of the tensor or of each output; 1 where all is 0.

    >>> uniform_step(np.array([[1.0, -7.0], [0.5, 0.0]], np.float32), 4, "channel").tolist()
    [1.0, 0.0714285746216774]
    """
    magnitude = np.abs(values)
    most = magnitude.max() if granularity == "tensor" else magnitude.reshape(len(values), -1).max(axis=1)
    half = 2 ** (bits - 1) - 1
    return np.where(most > 0, np.maximum(most / half, np.finfo(np.float32).tiny), 1.0).astype(np.float32)


def uniform_weights(
    values: ArrayLike, bits: int, *, scheme: Literal["symmetric", "affine"] = "symmetric",
    granularity: Granularity = "tensor", encoding: str = "dense", where: str = "weights",
) -> CodedTensor:  # fmt: skip
    """The nearest values of a uniform grid of `bits` bits (2 to 16).

    symmetric: integers -(2^(b-1) - 1) to 2^(b-1) - 1 times one step, or one for each output ("channel"), which ends at
    the largest magnitude. affine: 2^b integers over the range from the least value to the largest, 0 among them, of the
    tensor or of each output. The error of a weight is at most half a step, and a step at the ends of an affine range.
    Raises InputError for values that are not finite and for bits out of range.

    >>> uniform_weights([[-3.0, 0.9], [2.1, 0.2]], 3).values.tolist()
    [[-3.0, 1.0], [2.0, 0.0]]
    >>> uniform_weights([[-1.0, 6.0]], 3, scheme="affine").values.tolist()
    [[-1.0, 6.0]]
    """
    array = _checked(values, where)
    if not 2 <= bits <= 16:
        raise InputError(f"{where}: quantize.bits", bits, "2 to 16 bits, or the method binary for 1")
    if scheme == "affine":
        if granularity == "channel":
            return _affine_rows(array, bits, encoding)
        found = ActivationRange.of(float(array.min()), float(array.max()), bits)
        return grid_codes(array, found.scale, bits, encoding, low=-found.zero, top=2**bits - 1 - found.zero)
    half = 2 ** (bits - 1) - 1
    step = uniform_step(array, bits, granularity)
    return grid_codes(array, step if granularity == "channel" else float(step), bits, encoding, low=-half, top=half)


def _affine_rows(values: Array, bits: int, encoding: str) -> CodedTensor:
    """`ActivationRange.of` for every output at once."""
    rows, symbols = values.reshape(len(values), -1), 2**bits
    low, high = np.minimum(rows.min(axis=1), 0).astype(np.float64), np.maximum(rows.max(axis=1), 0).astype(np.float64)
    step = ((high - low) / (symbols - 1)).astype(np.float32)
    step = np.where(step > 0, step, np.float32(1))
    zero = np.clip(np.rint(-low / step.astype(np.float64)), 0, symbols - 1)
    numbers = np.clip(np.rint(rows / step[:, None]), -zero[:, None], (symbols - 1 - zero)[:, None])
    codes = np.mod(numbers, symbols).astype(np.uint16).reshape(values.shape)
    scales = np.stack((step, (symbols - 1 - zero).astype(np.float32)), axis=1)
    return CodedTensor(codes, np.arange(symbols, dtype=np.float32), bits, encoding, "channel_affine", scales)


def ternary_weights(
    values: ArrayLike, *, granularity: Granularity = "tensor", encoding: str = "dense", where: str = "weights"
) -> CodedTensor:
    """-a, 0 or a: 0 up to 0.7 mean |w|, and a the mean magnitude above it (Li et al. 2016, equations 5 and 6).

    By hand: magnitudes 1, 2, 3, 4 have the threshold 1.75, and 3 is the mean of those above.

    >>> ternary_weights([[1.0, -2.0, 3.0, -4.0]]).values.tolist()
    [[0.0, -3.0, 3.0, -3.0]]
    """
    array = _checked(values, where)
    rows = np.abs(array.reshape(len(array) if granularity == "channel" else 1, -1))
    above = rows > TERNARY_THRESHOLD * rows.mean(axis=1, keepdims=True)
    total = np.where(above, rows, 0).sum(axis=1, dtype=np.float64)
    scale = np.where(above.any(axis=1), total / np.maximum(above.sum(axis=1), 1), 1.0).astype(np.float32)
    signs = np.sign(array) * above.reshape(array.shape)
    codes = np.mod(signs, 3).astype(np.uint16)
    return _scaled(codes, scale, granularity, 2, encoding)


def binary_weights(
    values: ArrayLike, *, granularity: Granularity = "tensor", encoding: str = "sign", where: str = "weights"
) -> CodedTensor:
    """-a or a, a = mean |w| of the tensor or of each output (Rastegari et al. 2016, equation 6); 0 counts as a.

    >>> binary_weights([[1.0, -2.0], [3.0, 0.0]]).values.tolist()
    [[1.5, -1.5], [1.5, 1.5]]
    """
    array = _checked(values, where)
    rows = np.abs(array.reshape(len(array) if granularity == "channel" else 1, -1))
    scale = rows.mean(axis=1, dtype=np.float64).astype(np.float32)
    scale = np.where(scale > 0, scale, np.float32(1))
    codes = np.where(array < 0, 2, 1).astype(np.uint16)
    return _scaled(codes, scale, granularity, 1 if encoding == "sign" else 2, encoding)


def quantized(
    values: ArrayLike, method: str, bits: int, settings: QuantizeStage, encoding: str, where: str
) -> CodedTensor:
    """The codes of a layer by a method that learns nothing: uniform, ternary or binary.

    ternary takes 2 bits, binary 1; at other bits both are uniform (see `method_at`).
    """
    if method == "ternary":
        return ternary_weights(values, granularity=settings.granularity, encoding=encoding, where=where)
    if method == "binary":
        return binary_weights(values, granularity=settings.granularity, where=where)
    return uniform_weights(
        values, bits, scheme=settings.scheme, granularity=settings.granularity, encoding=encoding, where=where
    )


def method_at(method: str, bits: int) -> str:
    """`method` at its own bits (ternary and ttq 2, binary 1), a uniform grid at others.

    >>> method_at("ttq", 2), method_at("ttq", 8), method_at("lsq", 8)
    ('ttq', 'uniform', 'lsq')
    """
    return "uniform" if OWN_BITS.get(method, bits) != bits else method


def _scaled(codes: NDArray[np.uint16], scale: Array, granularity: Granularity, bits: int, encoding: str) -> CodedTensor:
    if granularity == "channel":
        return CodedTensor(codes, grid_codebook(1.0, 1, 3), bits, encoding, "channel_grid", scale)
    return CodedTensor(codes, grid_codebook(float(scale[0]), 1, 3), bits, encoding, "grid")


def quantize_graph(
    graph: Graph, bits: int | Mapping[str, int], *, granularity: Granularity = "channel",
    scheme: Literal["symmetric", "affine"] = "symmetric", encoding: str = "dense",
) -> Model:  # fmt: skip
    """Weights of a network on uniform grids, without data or training: by one number of bits or by layer.

    Biases stay float32. The result's accuracy is None. Raises InputError for weights that are missing or not finite.

    >>> from ..build import GraphBuilder
    >>> b = GraphBuilder("tiny", (1, 2)); _ = b.gemm("fc", 2, bias=False)
    >>> graph = b.build().with_parameters({"fc.weight": np.array([[0.1, 1.0], [0.5, -2.0]], np.float32)})
    >>> quantize_graph(graph, 8).coded["fc.weight"].codes.tolist()
    [[13, 127], [32, 128]]
    """
    names, coded = weight_names(graph), {}
    for layer, width in by_layer(graph, bits).items():
        coded[names[layer]] = uniform_weights(
            known_values(graph, names[layer]), width, scheme=scheme, granularity=granularity, encoding=encoding,
            where=f"layer {layer}",
        )  # fmt: skip
    return Model(graph.name, graph.with_parameters({name: tensor.values for name, tensor in coded.items()}), coded)


def integer_activations(graph: Graph, ranges: Mapping[str, ActivationRange]) -> Graph:
    """The network with what these layers read rounded to integers, by layer name.

    A layer's node gets the attributes `input_scale` and `input_zero_point`, which every executor here obeys, and the
    tensor it reads the bits, so that a target charges for them; so do tensors before it that only pass through ReLU,
    max pooling or views, where the integers are made.
    """
    nodes, tensors = [], dict(graph.tensors)
    producers = {node.output: node for node in graph}
    readers: dict[str, int] = {}
    for node in graph:
        for name in node.inputs:
            readers[name] = readers.get(name, 0) + 1
    for node in graph:
        if node.name in ranges:
            found = ranges[node.name]
            attributes: dict[str, AttributeValue] = {**node.attributes, "input_scale": found.scale}
            attributes |= {"input_zero_point": found.zero, "input_bits": found.bits}
            node = replace(node, attributes=attributes)
            name = node.inputs[0]
            tensors[name] = replace(tensors[name], bits=found.bits)
            while name in producers and producers[name].op in SAME_INTEGERS:
                name = producers[name].inputs[0]
                if readers[name] > 1:
                    break
                tensors[name] = replace(tensors[name], bits=found.bits)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), tensors=tensors)
