"""What the experiments share: a network trained dense for a seed, what is done to it, and what that costs in bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..codecs import encode
from ..compress.dataset import Data, load_data
from ..compress.prune import weight_names
from ..compress.recipe import Optimisation, Recipe, load_recipe
from ..compress.share import share_weights
from ..data.mnist import Split
from ..errors import MissingExtraError
from ..graph import Graph
from ..model import CodedTensor
from ..run import Runner
from ..zoo import build_network

__all__ = ["DENSE_EPOCHS", "FINE_DROPOUT", "INDEX_BITS", "Lab", "Values", "coded_bytes", "pruned_bytes", "share_all"]

Values = Mapping[str, NDArray[np.float32]]
INDEX_BITS = 5
DENSE_EPOCHS = {"lenet-300-100": 10, "lenet-5": 8}
FINE_DROPOUT = {"lenet-300-100": {"ip2": 0.1, "ip3": 0.1}}  # a network of 266,000 weights learns in 10 epochs with less


def _fit(*arguments: Any, **settings: Any) -> Any:
    try:
        from ..train.fit import fit
    except ImportError as error:
        raise MissingExtraError("a run of an experiment", "train") from error
    return fit(*arguments, **settings)


@dataclass(frozen=True, eq=False)
class Lab:
    """One network and seed. Dense weights are trained once and kept in `folder`, so that a run can go on."""

    network: str
    seed: int
    folder: Path | None = None
    source: Data = field(default_factory=lambda: load_data("mnist"))

    @cached_property
    def graph(self) -> Graph:
        return build_network(self.network)

    @cached_property
    def recipe(self) -> Recipe:
        """The shipped recipe: optimisers, learning rates and dropout come from it."""
        recipe = load_recipe("deep-compression", self.network)
        dropout = FINE_DROPOUT.get(self.network, recipe.train.dropout)
        return msgspec.structs.replace(recipe, train=msgspec.structs.replace(recipe.train, dropout=dropout))

    @cached_property
    def runner(self) -> Runner:
        return Runner(self.graph)

    @cached_property
    def dense(self) -> Values:
        """The trained dense network, by parameter name."""
        kept = self.folder / f"dense-{self.network}-{self.seed}.npz" if self.folder else None
        if kept is not None and kept.exists():
            with np.load(kept, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        epochs = DENSE_EPOCHS[self.network]
        values = _fit(self.graph, self.source.train, self.recipe.train, epochs, seed=self.seed).values
        if kept is not None:
            np.savez(kept, **values)
        return values

    def with_values(self, values: Values) -> Graph:
        return self.graph.with_parameters(values)

    def errors_pct(self, values: Values, graph: Graph | None = None) -> dict[str, float]:
        """Test and validation error, in percent, measured with onnxruntime."""
        runner = self.runner if graph is None else Runner(graph)
        return {
            "error_pct": runner.error_pct(values, self.source.test),
            "validation_error_pct": runner.error_pct(values, self.source.validation),
        }

    def fit(self, graph: Graph, epochs: int, stage: str = "prune", part: float = 1.0, **settings: Any) -> Any:
        """Train `graph` with the recipe's settings of a stage, on the first `part` of the training images."""
        optimisation: Optimisation = getattr(self.recipe, stage)
        known = weight_names(graph)
        dropout = {layer: rate for layer, rate in optimisation.dropout.items() if layer in known}
        optimisation = msgspec.structs.replace(optimisation, dropout=dropout)
        train = self.source.train
        if part < 1:
            count = round(part * len(train))
            train = Split(train.dataset, train.name, train.images[:count], train.labels[:count])
        return _fit(graph, train, optimisation, epochs, seed=self.seed, **settings)


def share_all(graph: Graph, values: Values, bits: int | Mapping[str, int], **settings: Any) -> dict[str, CodedTensor]:
    """Shared weights by parameter name, for the layers that `bits` names (all, for one number)."""
    found = {}
    for layer, name in weight_names(graph).items():
        wide = bits if isinstance(bits, int) else bits.get(layer)
        if wide is not None:
            found[name] = share_weights(values[name], wide, where=layer, **settings)
    return found


def coded_bytes(tensors: Iterable[CodedTensor], encoding: str) -> int:
    """Bytes of real streams, codebooks included."""
    encoded = (encode(replace(tensor, encoding=encoding)) for tensor in tensors)
    return sum(len(section) for one in encoded for section in one.sections.values())


def pruned_bytes(weights: Iterable[NDArray[np.float32]], index_bits: int = INDEX_BITS) -> int:
    """fp32 values behind relative gaps, padding included: entries x (32 + index_bits), whole bytes by tensor.

    >>> pruned_bytes([np.array([1, 0, 0, 2], np.float32)])
    10
    """
    total = 0
    for array in weights:
        codes = (np.asarray(array) != 0).astype(np.uint16)
        entries = encode(CodedTensor(codes, np.array([0, 1], np.float32), 1, f"relative{index_bits}")).entries
        total += -(-entries * (32 + index_bits) // 8)
    return total
