"""The tensors of a run, from a Graph or a checkpoint and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..codecs.bitpack import width_of
from ..codecs.header import GraphRecord
from ..codecs.structure import graph_from_record, graph_record, same_structure
from ..compress.prune import check_finite, weight_names
from ..compress.quantize import ActivationRange
from ..compress.share import share_weights
from ..graph import Graph
from ..model import CodedTensor

__all__ = ["State", "arrange", "fixed_arithmetic", "graph_arrays", "image_layout", "initial_values", "make_state",
           "restore_graph", "restore_state"]  # fmt: skip


@contextmanager
def fixed_arithmetic() -> Iterator[None]:
    """One thread and deterministic kernels inside; the caller's settings afterwards.

    Sums depend on how many threads share them, so a run that is to be repeated fixes their number.
    """
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    try:
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


@dataclass(eq=False)
class State:
    """What training changes. Keys are parameter names; `weights` holds biases too.

    `masks` (1 stays, 0 pruned) exist from the prune stage on, `codes` and `codebooks` in the share stage,
    where every coded weight is `codebook[codes]` and is rebuilt after each step. `kinds` says how a codebook is stored
    where that is not float32, and so what ties its values together (see `models/codebooks.py`). `learned` are the steps
    and scales of the quantize stage, `ranges` its activations by layer.
    """

    weights: dict[str, Tensor]
    masks: dict[str, Tensor] = field(default_factory=dict)
    codes: dict[str, Tensor] = field(default_factory=dict)
    codebooks: dict[str, Tensor] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    learned: dict[str, Tensor] = field(default_factory=dict)
    ranges: dict[str, ActivationRange] = field(default_factory=dict)

    def trained(self) -> dict[str, Tensor]:
        """The tensors that the optimiser moves: all weights, or codebooks and what is not coded."""
        free = {name: tensor for name, tensor in self.weights.items() if name not in self.codebooks}
        return {**free, **{f"codebook of {name}": book for name, book in self.codebooks.items()}, **self.learned}

    @torch.no_grad()
    def apply_masks(self) -> None:
        for name, mask in self.masks.items():
            self.weights[name].mul_(mask)

    @torch.no_grad()
    def rebuild_shared(self) -> None:
        """Set every coded weight to its entry of the codebook; halves of a mirrored one stay each other's negatives."""
        for name, codebook in self.codebooks.items():
            if self.kinds.get(name) == "mirrored":
                half = len(codebook) // 2
                codebook[half + 1 :] = -codebook[1 : half + 1]
            self.weights[name].copy_(codebook[self.codes[name]])

    def share(self, graph: Graph, bits: Mapping[str, int], **kmeans: Any) -> None:
        """Cluster the weights of every layer into codes and a codebook (see `compress.share`)."""
        for layer, name in weight_names(graph).items():
            if name not in self.codes:
                self.set_codes(name, share_weights(self.values(name), bits[layer], where=f"tensor {name}", **kmeans))
        self.masks.clear()
        self.rebuild_shared()

    @torch.no_grad()
    def set_values(self, values: Mapping[str, NDArray[np.float32]]) -> None:
        for name, array in values.items():
            self.weights[name].copy_(torch.from_numpy(array))

    def set_codes(self, name: str, coded: CodedTensor) -> None:
        """From now on a weight is its codes and its codebook."""
        self.codes[name] = torch.from_numpy(coded.codes.astype(np.int64))
        self.codebooks[name] = torch.from_numpy(coded.codebook).clone()
        if coded.codebook_dtype != "float32":
            self.kinds[name] = coded.codebook_dtype

    def values(self, name: str) -> NDArray[np.float32]:
        """A copy of a parameter as a C-contiguous array."""
        return np.array(self.weights[name].detach().numpy(), order="C")

    def coded(self, bits: Mapping[str, int], encodings: Mapping[str, str]) -> dict[str, CodedTensor]:
        """The shared weights by parameter name; `bits` (as few as do, where left out) and `encodings` too."""
        found = {}
        for name, codes in self.codes.items():
            codebook = self.codebooks[name].numpy().copy()
            width = bits.get(name, width_of(len(codebook) - 1))
            kind = self.kinds.get(name, "float32")
            found[name] = CodedTensor(codes.numpy().astype(np.uint16), codebook, width, encodings[name], kind)
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays named `group:name`, for a checkpoint."""
        found: dict[str, NDArray[Any]] = {f"weight:{name}": self.values(name) for name in self.weights}
        found |= {f"mask:{name}": mask.numpy().astype(np.uint8) for name, mask in self.masks.items()}
        found |= {f"codes:{name}": codes.numpy().astype(np.uint16) for name, codes in self.codes.items()}
        found |= {f"kind:{name}": np.frombuffer(kind.encode(), np.uint8) for name, kind in self.kinds.items()}
        found |= {f"learned:{name}": tensor.detach().numpy() for name, tensor in self.learned.items()}
        found |= {f"range:{name}": np.array([r.scale, r.zero, r.bits], np.float64) for name, r in self.ranges.items()}
        return found | {f"codebook:{name}": book.numpy() for name, book in self.codebooks.items()}


def image_layout(graph: Graph) -> torch.memory_format:
    """channels_last where the network convolves (1.45x faster on a CPU for LeNet-5), else contiguous."""
    convolves = any(node.op == "conv" for node in graph)
    return torch.channels_last if convolves else torch.contiguous_format


def arrange(images: Tensor, layout: torch.memory_format) -> Tensor:
    """Images in that memory layout; anything but [n, channels, rows, columns] as it is."""
    return images.contiguous(memory_format=layout) if images.dim() == 4 else images


def initial_values(graph: Graph, seed: int) -> dict[str, NDArray[np.float32]]:
    """Known values as they are; else weights uniform in +-sqrt(3 / fan in), the rest 0.

    That is Caffe's "xavier" filler, which LeNet's own definitions ask for: variance 1 / fan in.
    Raises InputError for known values that are not finite.
    """
    random = np.random.default_rng([seed, 0])
    values: dict[str, NDArray[np.float32]] = {}
    weights = set(weight_names(graph).values())
    for name, parameter in graph.parameters.items():
        if parameter.values is not None:
            check_finite(parameter.values, f"tensor {name}")
            values[name] = parameter.values
        elif name in weights:
            bound = math.sqrt(3 / math.prod(parameter.shape[1:]))
            values[name] = random.uniform(-bound, bound, parameter.shape).astype(np.float32)
        else:
            values[name] = np.zeros(parameter.shape, np.float32)
    return values


def _leaf(array: NDArray[Any], layout: torch.memory_format) -> Tensor:
    """A tensor in torch's own, aligned memory, so that where an array lay changes no rounding."""
    tensor = torch.empty(array.shape, dtype=torch.float32)
    if tensor.dim() == 4:
        tensor = tensor.contiguous(memory_format=layout)
    return tensor.copy_(torch.from_numpy(np.array(array, dtype=np.float32))).requires_grad_()


def make_state(graph: Graph, values: Mapping[str, NDArray[Any]]) -> State:
    return State({name: _leaf(values[name], image_layout(graph)) for name in graph.parameters})


def restore_state(graph: Graph, arrays: Mapping[str, NDArray[Any]]) -> State:
    """The inverse of `State.arrays`."""
    def group(prefix: str, convert: Callable[[NDArray[Any]], Any]) -> dict[str, Any]:
        names = (key.partition(":")[2] for key in arrays if key.startswith(f"{prefix}:"))
        return {name: convert(arrays[f"{prefix}:{name}"]) for name in names}

    layout = image_layout(graph)
    weights = group("weight", lambda array: _leaf(array, layout))
    return State(
        {name: weights[name] for name in graph.parameters},
        group("mask", lambda array: torch.from_numpy(array.astype(np.float32))),
        group("codes", lambda array: torch.from_numpy(array.astype(np.int64))),
        group("codebook", lambda array: torch.from_numpy(np.array(array)).clone()),
        group("kind", lambda array: array.tobytes().decode()),
        group("learned", lambda array: _leaf(array, torch.contiguous_format)),
        group("range", lambda array: ActivationRange(float(array[0]), int(array[1]), int(array[2]))),
    )


def graph_arrays(graph: Graph) -> dict[str, NDArray[Any]]:
    """The network's structure as bytes, for a checkpoint: stages change it."""
    return {"graph": np.frombuffer(msgspec.json.encode(graph_record(graph)), np.uint8)}


def restore_graph(graph: Graph, arrays: Mapping[str, NDArray[Any]]) -> Graph:
    """The network as it was at a checkpoint, without values where its structure has changed since `graph`."""
    record = msgspec.json.decode(arrays["graph"].tobytes(), type=str | GraphRecord)
    found = graph_from_record(record, f"the checkpoint of {graph.name}")
    return graph if same_structure(graph, found) else found
