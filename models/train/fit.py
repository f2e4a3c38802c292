"""One stretch of training, as an experiment needs it: dense, under masks, while pruning, or of shared values only.

A compression run is `stages.train_stages`; this is the step below it, for runs that compare methods on equal terms:
the same batches in the same order for the same seed, whatever is done to the weights.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from numpy.typing import NDArray

from ..compress.masks import prune_mask
from ..compress.progress import Progress, silent
from ..compress.prune import by_layer, cubic_density, weight_names
from ..compress.recipe import Optimisation
from ..data.mnist import Split
from ..errors import InputError
from ..graph import Graph
from ..model import CodedTensor
from .network import Dropout, torch_forward
from .optimise import Batches, learning_rate_factor, make_optimizer, set_codebook_gradients
from .state import State, fixed_arithmetic, image_layout, initial_values, make_state

__all__ = ["Fitted", "Pruning", "fit"]

Array = NDArray[np.float32]
STEPS_BETWEEN_MASKS = 100
MOVED = ("float32", "float16", "mirrored")  # codebooks whose values move one by one; those of a grid have one step


@dataclass(frozen=True)
class Pruning:
    """Density by layer that the masks reach after `gradual_epochs` (cubic), chosen by `method` (see prune_mask)."""

    density: Mapping[str, float]
    gradual_epochs: int
    method: str = "magnitude"


@dataclass(frozen=True, eq=False)
class Fitted:
    """Values of every parameter after the last step, and the shared weights where they were given."""

    values: Mapping[str, Array]
    coded: Mapping[str, CodedTensor] = field(default_factory=dict)


def fit(
    graph: Graph, train: Split, settings: Optimisation, epochs: int, *, seed: int, draw: int = 0,
    masks: Mapping[str, NDArray[np.bool_]] | None = None, pruning: Pruning | None = None,
    coded: Mapping[str, CodedTensor] | None = None, progress: Progress = silent,
) -> Fitted:  # fmt: skip
    """Train from the graph's own values, or from random ones where it has none.

    `masks` (by parameter name, True stays) hold pruned weights at 0; `pruning` makes them on the way instead. With
    `coded` the weights of those tensors are their codebook's entries, and only those entries and the biases move; a
    mirrored codebook stays one, and one of float16 is rounded at the end.
    `draw` tells stretches of one seed apart: batches and dropout depend on (seed, draw, epoch) alone.
    Raises InputError where the weights stop being finite, and for a codebook that is a grid.
    """
    with fixed_arithmetic():
        state = make_state(graph, initial_values(graph, seed))
        state.masks = {k: torch.from_numpy(np.asarray(v, np.float32)) for k, v in (masks or {}).items()}
        for name, tensor in (coded or {}).items():
            if tensor.codebook_dtype not in MOVED:
                got = f"a codebook of kind {tensor.codebook_dtype}"
                raise InputError(f"tensor {name}", got, ", ".join(MOVED), "train a grid with [quantize]")
            state.set_codes(name, tensor)
        state.apply_masks()
        state.rebuild_shared()
        _epochs(graph, train, settings, epochs, state, (seed, draw), pruning, progress)
        for name, kind in state.kinds.items():
            if kind == "float16":
                state.codebooks[name] = state.codebooks[name].half().float()
        state.rebuild_shared()
        values = {name: state.values(name) for name in state.weights}
        _check_finite(values)
        found = {
            name: replace(tensor, codebook=state.codebooks[name].numpy().copy())
            for name, tensor in (coded or {}).items()
        }
        return Fitted(values, found)


def _epochs(
    graph: Graph, train: Split, settings: Optimisation, epochs: int, state: State, seeds: tuple[int, int],
    pruning: Pruning | None, progress: Progress,
) -> None:  # fmt: skip
    optimizer = make_optimizer(state.trained(), settings)
    images, labels = (torch.from_numpy(array).clone() for array in (train.images, train.labels))
    batches = Batches(images, labels, min(settings.batch_size, len(train)), image_layout(graph))
    forward, steps = torch_forward(graph), epochs * batches.per_epoch
    ramp = pruning.gradual_epochs * batches.per_epoch if pruning else 0
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed(_draw(*seeds, epoch))
        dropout = Dropout(by_layer(graph, settings.dropout), generator)
        for step, (x, y) in enumerate(batches.epoch(*seeds, epoch), epoch * batches.per_epoch):
            if pruning and (step == ramp or (step < ramp and step % STEPS_BETWEEN_MASKS == 0)):
                _prune(graph, state, pruning, step, ramp, seeds[0])
            rate = settings.learning_rate * learning_rate_factor(settings.schedule, step, steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            for tensor in state.weights.values():
                tensor.grad = None
            F.cross_entropy(forward(x, state.weights, dropout), y).backward()
            _update(state, optimizer)
        progress("epoch", epoch + 1, epochs)
    if pruning:
        _prune(graph, state, pruning, 1, 1, seeds[0])


@torch.no_grad()
def _update(state: State, optimizer: torch.optim.Optimizer) -> None:
    set_codebook_gradients(state)
    optimizer.step()
    state.apply_masks()
    state.rebuild_shared()


def _prune(graph: Graph, state: State, pruning: Pruning, step: int, steps: int, seed: int) -> None:
    """New masks at the schedule's density; a random mask is drawn once per layer and seed, so that masks are nested."""
    final = by_layer(graph, pruning.density)
    for layer, name in weight_names(graph).items():
        if layer in final:
            density = cubic_density(final[layer], step, steps)
            mask = prune_mask(
                state.values(name), density, pruning.method, _draw(seed, zlib.crc32(layer.encode()), 0), name
            )
            state.masks[name] = torch.from_numpy(mask.astype(np.float32))
    state.apply_masks()


def _draw(*parts: int) -> int:
    return int(np.random.SeedSequence([*parts, 1]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _check_finite(values: Mapping[str, Array]) -> None:
    for name, array in values.items():
        if not np.isfinite(array).all():
            raise InputError(f"training of {name}", "NaN or infinite weights", "finite ones", "lower the learning rate")
