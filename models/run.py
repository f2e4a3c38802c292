"""Runs a Graph on data with onnxruntime (extra [run]): logits, classification error, activation density.

The graph is exported to ONNX in memory and run on the CPU, by default on one thread, in chunks whose size
depends on the graph alone, so that the same inputs give the same numbers on the same machine. A predicted
class is the index of the largest logit; of equal logits the lowest index wins (numpy's argmax).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.mnist import Split
from .errors import GraphError, InputError, MissingExtraError
from .exporters.onnx import export_onnx
from .graph import Graph
from .memory import peak_activation_bits
from .model import Accuracy

__all__ = ["Runner", "measure_accuracy", "measure_activation_density", "predict"]

Array = NDArray[np.float32]
Labelled = tuple[NDArray[Any], NDArray[Any]]

CHUNK_BYTES = 1 << 24  # activations alive at once
CHUNK_LIMIT = 1000


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("running a network on data", "run") from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime


class Runner:
    """A network ready to run; made once, run with many sets of weights.

    Every parameter is an input of the session that its own values are the default of: a variant costs a
    pass over the data and nothing else. `outputs` names the tensors to return (default: the graph's).
    Raises GraphError for a graph without exactly one input, MissingExtraError without onnxruntime.
    """

    def __init__(self, graph: Graph, *, outputs: Sequence[str] | None = None, threads: int = 1) -> None:
        if len(graph.inputs) != 1:
            raise GraphError(f"network {graph.name}", f"{len(graph.inputs)} inputs", "one input to run on images")
        self.graph = graph
        self.outputs = tuple(graph.outputs if outputs is None else outputs)
        bytes_per_image = peak_activation_bits(graph) // 8 // graph.tensors[graph.inputs[0]].shape[0]
        self._chunk = max(1, min(CHUNK_LIMIT, CHUNK_BYTES // max(1, bytes_per_image)))
        self._session = _make_session(graph, self.outputs, threads)

    def run(self, images: NDArray[Any], weights: Mapping[str, NDArray[Any]] | None = None) -> tuple[Array, ...]:
        """The tensors named in `outputs`, each [n, ...], for images [n, ...].

        `weights`, by parameter name, stand in for the graph's own values; the others stay.
        """
        chunks = list(self._run_chunks(images, weights))
        return tuple(np.concatenate(parts) for parts in zip(*chunks, strict=True))

    def _run_chunks(
        self, images: NDArray[Any], weights: Mapping[str, NDArray[Any]] | None = None
    ) -> Iterator[tuple[Array, ...]]:
        x = self._checked_images(images)
        feeds = self._checked_weights(weights or {})
        for start in range(0, len(x), self._chunk):
            part = x[start : start + self._chunk]
            try:
                yield tuple(self._session.run(list(self.outputs), {self.graph.inputs[0]: part, **feeds}))
            except Exception as error:
                raise GraphError(f"network {self.graph.name}", error, "a network that onnxruntime runs") from error

    def logits(self, images: NDArray[Any], weights: Mapping[str, NDArray[Any]] | None = None) -> Array:
        """The first output, [n, classes]. Raises GraphError where it is not finite."""
        logits = self.run(images, weights)[0]
        if not np.isfinite(logits).all():
            raise GraphError(f"network {self.graph.name}", "outputs that are not finite", "finite outputs",
                             "look for infinite or huge weights")  # fmt: skip
        return logits

    def error_pct(self, weights: Mapping[str, NDArray[Any]] | None, split: Split | Labelled) -> float:
        """100 x wrong / n over a split, with `weights` in place of the graph's own (None: its own)."""
        images, labels = _labelled(split)
        logits = self.logits(images, weights)
        if logits.ndim != 2:
            raise GraphError(f"network {self.graph.name}", f"an output of shape {logits.shape}", "batch x classes")
        wrong = int(np.count_nonzero(logits.argmax(axis=1) != labels))
        return 100.0 * wrong / len(labels)

    def _checked_images(self, images: NDArray[Any]) -> Array:
        wanted = self.graph.tensors[self.graph.inputs[0]].shape[1:]
        array = np.ascontiguousarray(images, dtype=np.float32)
        if array.shape[1:] != wanted or len(array) == 0:
            shape = ", ".join(map(str, wanted))
            raise InputError("images", f"shape {np.shape(images)}", f"shape (n, {shape}), n at least 1")
        return array

    def _checked_weights(self, weights: Mapping[str, NDArray[Any]]) -> dict[str, Array]:
        feeds: dict[str, Array] = {}
        for name, array in weights.items():
            if name not in self.graph.parameters:
                raise GraphError(f"network {self.graph.name}", f"parameter {name!r}", "one of the network's parameters")
            wanted = self.graph.parameters[name].shape
            if np.shape(array) != wanted:
                raise GraphError(f"parameter {name}", f"shape {np.shape(array)}", f"shape {wanted}")
            feeds[name] = np.ascontiguousarray(array, dtype=np.float32)
        for name, parameter in self.graph.parameters.items():
            if name not in feeds and not parameter.known:
                raise GraphError(f"network {self.graph.name}", f"parameter {name} without values", "weights",
                                 "name a .pico or .onnx file, or NAME@VARIANT")  # fmt: skip
        return feeds


def _make_session(graph: Graph, outputs: tuple[str, ...], threads: int) -> Any:
    ort = _onnxruntime()
    content = export_onnx(graph, outputs=outputs, weights_as_inputs=True)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise GraphError(f"network {graph.name}", error, "a network that onnxruntime loads") from error


def _labelled(split: Split | Labelled) -> Labelled:
    images, labels = (split.images, split.labels) if isinstance(split, Split) else split
    if np.ndim(labels) != 1 or len(labels) != len(images) or len(labels) == 0:
        got = f"shape {np.shape(labels)} for {len(images)} images"
        raise InputError("labels", got, "one label per image, at least 1")
    return images, np.asarray(labels)


def predict(graph: Graph, images: NDArray[Any]) -> Array:
    """Logits [n, classes] of images [n, ...]. Raises GraphError where the graph has no weights."""
    return Runner(graph).logits(images)


def measure_accuracy(graph: Graph, split: Split | Labelled) -> Accuracy:
    """Classification error of the graph's own weights on a split, or on (images, labels)."""
    error_pct = Runner(graph).error_pct(None, split)
    if isinstance(split, Split):
        return Accuracy(error_pct, split.dataset, len(split), split.name)
    return Accuracy(error_pct, "given", len(split[1]), "given")


def measure_activation_density(graph: Graph, images: NDArray[Any]) -> dict[str, float]:
    """Non-zeros over elements of what each layer with weights reads, by node name, over all images.

    Zero padding around a convolution's input is not counted: it is never stored.
    """
    layers = [node for node in graph if "weight" in node.parameters]
    wanted = dict.fromkeys(node.inputs[0] for node in layers)
    inner = tuple(name for name in wanted if name not in graph.inputs)
    nonzeros = dict.fromkeys(wanted, 0)
    elements = dict.fromkeys(wanted, 0)
    for name in wanted:
        if name in graph.inputs:
            nonzeros[name], elements[name] = int(np.count_nonzero(images)), int(np.size(images))
    runner = Runner(graph, outputs=inner or None)
    for chunk in runner._run_chunks(images):
        for name, tensor in zip(inner, chunk, strict=False):
            nonzeros[name] += int(np.count_nonzero(tensor))
            elements[name] += tensor.size
    return {node.name: nonzeros[node.inputs[0]] / elements[node.inputs[0]] for node in layers}
