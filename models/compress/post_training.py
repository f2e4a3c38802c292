"""Compression with no training in between and no data: prune, share, encode what the weights are.

Needs no torch. With inputs at hand, onnxruntime measures what it did (extra [run]).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

import msgspec
import numpy as np
from msgspec import UnsetType
from numpy.typing import NDArray

from ..codecs import codec_named, encode
from ..errors import InputError
from ..finite import check_finite_parameters
from ..graph import Graph
from ..model import Accuracy, CodedTensor, Model
from ..patterns import layer_seed
from ..pico import decode_pico, encode_pico, write_pico
from .constraints import count_sketch, expander_encodings, expander_masks, sketch_buckets
from .dataset import Data, Samples, check_data, load_data, load_samples
from .low_rank import low_rank
from .masks import global_densities, parse_method, prune_mask
from .progress import Progress, silent
from .prune import by_layer, known_values, weight_names
from .quantize import method_at, quantized
from .recipe import Recipe
from .share import Init, Method, share_weights
from .stage_settings import ExpanderMasks, LowRankStage, QuantizeStage, SketchedWeights
from .structured import shrink

__all__ = [
    "DEFAULT_BITS", "SMALLEST", "PostTraining", "compress_post_training", "compress_without_training", "describe",
    "measure", "post_training", "samples_of", "without_epochs",
]  # fmt: skip

SMALLEST = "smallest"  # of the encodings tried, layer by layer
TRIED = ("dense+huffman", "bitmask+huffman", "relative5+huffman")
DEFAULT_BITS = 8
RUNS_WITHOUT_TRAINING = {"train", "low_rank", "structured", "prune", "share", "quantize"}  # stages known here
LEARNED = ("lsq", "ttq")  # quantizers with steps or scales that training sets

Density = float | Mapping[str, float]
Bits = int | Mapping[str, int]


@dataclass(frozen=True)
class PostTraining:
    """Settings, each for all layers or by name or pattern; None: left as it is.

    `prune` is a method of `masks.prune_mask`, `share` one of `share.METHODS`; `encoding` a format, or "smallest".
    One `threshold` for all layers is "global". Before all that: `keep` takes whole channels out, by `criterion` (see
    `structured.shrink`), `low_rank` splits layers, and the layers of `expander` and `sketch` get their masks and hashed
    values, which pruning, and for a sketch sharing too, then leaves alone. `quantize` puts weights on grids instead of
    sharing them.
    """

    density: Density | None = None
    bits: Bits | None = None
    encoding: str = SMALLEST
    prune: str = "magnitude"
    share: Method = "kmeans"
    init: Init = "linear"
    iterations: int = 200
    rate_weight: float = 0.02
    keep: Density | None = None
    criterion: Any = "l1"
    threshold: str = "layer"
    low_rank: LowRankStage | None = None
    expander: ExpanderMasks | None = None
    sketch: SketchedWeights | None = None
    quantize: QuantizeStage | None = None


def without_epochs(recipe: Recipe, graph: Graph) -> PostTraining | None:
    """The same run as a recipe whose stages train nothing, or None where it has to train.

    Known weights skip the train stage, so that its epochs do not count for them; under an expander graph or a sketch
    they are trained first.
    """
    constraints = {name: getattr(recipe, name) for name in ("expander", "sketch")
                   if getattr(recipe, name) is not msgspec.UNSET}  # fmt: skip
    stages = [(name, getattr(recipe, name)) for name in recipe.stages if name != "train" or constraints]
    unknown = not {name for name, _ in stages} <= RUNS_WITHOUT_TRAINING
    quantize = recipe.quantize
    if isinstance(quantize, QuantizeStage) and (
        quantize.method in LEARNED or quantize.activation_bits is not msgspec.UNSET
    ):
        return None  # calibrated on training data
    if not graph.has_weights or unknown or any(stage.epochs for _, stage in stages):
        return None
    found: dict[str, Any] = {"encoding": recipe.encode.format, **constraints}
    found |= {"quantize": quantize} if isinstance(quantize, QuantizeStage) else {}
    settings = dict(stages)
    if pruning := settings.get("prune"):
        found |= {"density": pruning.density, "prune": pruning.method}
        found |= {} if pruning.threshold is msgspec.UNSET else {"threshold": pruning.threshold}
    if splitting := settings.get("low_rank"):
        found["low_rank"] = splitting
    if taking := settings.get("structured"):
        found |= {"keep": taking.keep, "criterion": taking.criterion}
    if sharing := settings.get("share"):
        found |= {"bits": sharing.bits, "share": sharing.method, "init": sharing.init, "iterations": sharing.iterations}
        if sharing.rate_weight is not msgspec.UNSET:
            found["rate_weight"] = sharing.rate_weight
    return PostTraining(**found)


def post_training(
    model: Model, settings: PostTraining, *, seed: int = 0, progress: Progress | None = None
) -> Model:  # fmt: skip
    """Prune and share the layers of `model`; biases stay, accuracy is no longer known.

    Layers without bits are pruned but not shared. Raises InputError for weights that are missing or not finite, for
    values out of range, and for a format that cannot hold what pruning left.

    >>> from picojoule.models.build import GraphBuilder
    >>> b = GraphBuilder("tiny", (1, 4)); _ = b.gemm("fc", 1, bias=False)
    >>> graph = b.build().with_parameters({"fc.weight": np.array([[0.1, 1.0, 1.2, -2.0]], np.float32)})
    >>> post_training(Model("t", graph), PostTraining(bits=2, prune="2:4")).coded["fc.weight"].values.tolist()
    [[0.0, 0.0, 1.2000000476837158, -2.0]]
    """
    graph, tell = model.graph, progress or silent
    check_finite_parameters(graph)
    if settings.encoding != SMALLEST:
        codec_named(settings.encoding)
    graph = _other_shape(graph, settings, seed)
    layers = weight_names(graph)
    coded = _sketched(graph, settings, seed)
    masks = expander_masks(graph, settings.expander, seed) if settings.expander else {}
    values = {name: tensor.values for name, tensor in coded.items()}
    encodings = dict.fromkeys(layers.values(), settings.encoding)
    if settings.expander:
        encodings |= expander_encodings(graph, settings.expander, seed, settings.encoding)
    densities, widths = _densities(graph, settings), by_layer(graph, settings.bits)
    grids = by_layer(graph, settings.quantize.bits) if settings.quantize else {}
    for place, (layer, name) in enumerate(layers.items()):
        if name in coded:
            continue
        weights, where = known_values(graph, name), f"layer {layer}: tensor {name}"
        kept = masks.get(name)
        if kept is None and layer in densities:
            kept = prune_mask(weights, densities[layer], settings.prune, seed + place, where)
        if kept is not None:
            weights = values[name] = np.where(kept, weights, np.float32(0))
        if layer in widths:
            coded[name] = _shared(weights, widths[layer], replace(settings, encoding=encodings[name]), seed, where)
            values[name] = coded[name].values
        elif settings.quantize is not None and layer in grids:
            method = method_at(settings.quantize.method, grids[layer])
            first = TRIED[0] if encodings[name] == SMALLEST else encodings[name]
            tensor = quantized(weights, method, grids[layer], settings.quantize, first, where)
            coded[name] = _smallest(tensor) if encodings[name] == SMALLEST else tensor
            values[name] = coded[name].values
        tell("prune and share", place + 1, len(layers))
    return Model(graph.name, graph.with_parameters(values), coded)


def _other_shape(graph: Graph, settings: PostTraining, seed: int) -> Graph:
    """The network with its layers split and its channels taken out, as far as that is asked for."""
    if settings.low_rank is not None:
        budget = settings.low_rank.budget
        graph = low_rank(graph, settings.low_rank.energy or None, None if isinstance(budget, UnsetType) else budget)
    return graph if settings.keep is None else shrink(graph, settings.keep, settings.criterion, seed).graph


def _densities(graph: Graph, settings: PostTraining) -> Mapping[str, float]:
    grouped = parse_method(settings.prune).kind == "n:m"  # keeps N of M whatever the density
    found = by_layer(graph, settings.density if settings.density is not None or not grouped else 1.0)
    return global_densities(graph, next(iter(found.values()))) if settings.threshold == "global" and found else found


def _sketched(graph: Graph, settings: PostTraining, seed: int) -> dict[str, CodedTensor]:
    if settings.sketch is None:
        return {}
    names = weight_names(graph)
    return {
        names[layer]: count_sketch(known_values(graph, names[layer]), count, layer_seed(seed, layer), f"layer {layer}")
        for layer, count in sketch_buckets(graph, settings.sketch).items()
    }


def _shared(weights: NDArray[np.float32], bits: int, settings: PostTraining, seed: int, where: str) -> CodedTensor:
    first = TRIED[0] if settings.encoding == SMALLEST else settings.encoding
    tensor = share_weights(
        weights, bits, init=settings.init, iterations=settings.iterations, seed=seed, encoding=first, where=where,
        method=settings.share, rate_weight=settings.rate_weight,
    )  # fmt: skip
    return _smallest(tensor) if settings.encoding == SMALLEST else tensor


def _smallest(tensor: CodedTensor) -> CodedTensor:
    """In the smallest of the encodings tried; signs, which have an encoding of their own, as they are."""
    if tensor.encoding == "sign":
        return tensor
    return min((replace(tensor, encoding=name) for name in TRIED), key=lambda t: encode(t).sizes.total_bits)


def compress_without_training(
    graph: Graph, density: Density | None = None, bits: Bits | None = None,
    *, init: Init = "linear", iterations: int = 200, seed: int = 0, encoding: str = "relative5+huffman",
) -> Model:  # fmt: skip
    """Prune by magnitude and share what remains by k-means: `post_training` of a graph.

    Without a density a layer keeps its weights as they are; without bits it is pruned but not shared, and has no entry
    in the result's `coded`.

    >>> from picojoule.models.build import GraphBuilder
    >>> b = GraphBuilder("tiny", (1, 2)); _ = b.gemm("fc", 2, bias=False)
    >>> graph = b.build().with_parameters({"fc.weight": np.array([[0.1, 1.0], [1.2, -2.0]], np.float32)})
    >>> compress_without_training(graph, density=0.75, bits=2).coded["fc.weight"].values.tolist()
    [[0.0, 1.0], [1.2000000476837158, -2.0]]
    """
    settings = PostTraining(density, bits, encoding, init=init, iterations=iterations)
    return post_training(Model(graph.name, graph), settings, seed=seed)


def compress_post_training(
    source: Model, settings: PostTraining, seed: int, samples: Samples | None,
    output: str | os.PathLike[str] | None, progress: Progress,
) -> Model:  # fmt: skip
    """The whole run: compress, encode, decode, measure the decoded weights on `samples`, write `output`."""
    model = post_training(source, settings, seed=seed, progress=progress)
    model = replace(model, name=source.name, provenance=describe(settings, source, seed))
    progress("encode", 0, 1)
    decoded = decode_pico(encode_pico(model), f"{model.name}.pico")
    progress("encode", 1, 1)
    if samples is not None:
        progress("measure", 0, 1)
        measured = measure(decoded, source.graph, samples)
        model = replace(
            model, accuracy=measured.accuracy, activation_density=measured.activation_density,
            provenance=measured.provenance,
        )  # fmt: skip
        decoded = decode_pico(encode_pico(model), f"{model.name}.pico")
        progress("measure", 1, 1)
    if output is not None:
        write_pico(model, output)
    return decoded


def samples_of(data: Data | str | os.PathLike[str] | None, graph: Graph) -> Samples | None:
    """What to measure on: the test split of Data or of a data set by name, or an `.npz` file; None for None."""
    if data is None:
        return None
    if isinstance(data, str | os.PathLike) and os.fspath(data).endswith(".npz"):
        return load_samples(data, graph)
    splits = data if isinstance(data, Data) else load_data(data)
    check_data(splits, graph)
    return Samples(splits.test.dataset, splits.test.images, splits.test.labels, splits.test.name)


def measure(model: Model, before: Graph, samples: Samples) -> Model:
    """The model with its error and activation densities on samples, and what the network before it had.

    Without labels only the share of inputs whose class changed is known, in the provenance. Raises MissingExtraError
    without onnxruntime.
    """
    from ..run import Runner, measure_activation_density

    first, last = (Runner(graph).logits(samples.inputs) for graph in (before, model.graph))
    found: dict[str, str | int | float] = {"data": samples.name, "data_samples": len(samples.inputs)}
    accuracy = None
    if last.ndim == 2 and first.shape == last.shape:
        was, now = first.argmax(axis=1), last.argmax(axis=1)
        found["class_changed_pct"] = _pct(was != now)
        if samples.labels is not None:
            found["dense_error_pct"] = _pct(was != samples.labels)
            accuracy = Accuracy(_pct(now != samples.labels), samples.name, len(now), samples.split)
    elif samples.labels is not None:
        raise InputError("--data", f"labels for outputs of shape {last.shape}", "a network that names one class",
                         "leave the labels out")  # fmt: skip
    density = measure_activation_density(model.graph, samples.inputs)
    return replace(
        model, accuracy=accuracy, activation_density=density, provenance={**model.provenance, **found}
    )


def _pct(wrong: NDArray[np.bool_]) -> float:
    return round(100.0 * float(wrong.mean()), 6)


def describe(settings: PostTraining, source: Model, seed: int) -> dict[str, str | int | float]:
    """Provenance of such a run: settings that differ from their defaults, what was compressed, and by what."""
    chosen = {
        name: value if isinstance(value, str | int | float) else msgspec.json.encode(value).decode()
        for name, value in vars(settings).items()
        if value is not None and value != getattr(PostTraining, name)
    }
    kept = {f"source_{key}": value for key, value in source.provenance.items() if key in ("weights", "command")}
    return {
        "method": "post-training: no training and no data",
        **chosen, "encoding": settings.encoding, "seed": seed, "source": source.name, **kept,
        "picojoule_version": metadata.version("picojoule"),
    }  # fmt: skip
