"""Optimisers, learning rates and epochs: what one stage of a run does to its tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..compress.recipe import Optimisation
from .augment import places_of, shifted
from .state import State, arrange

__all__ = ["Batches", "centroid_gradient", "learning_rate_factor", "make_optimizer", "mirrored_gradient",
           "optimizer_arrays", "restore_optimizer", "set_codebook_gradients"]  # fmt: skip

FINAL_LEARNING_RATE = 0.01  # of the first one, at the end of a cosine schedule


def learning_rate_factor(schedule: str, step: int, steps: int) -> float:
    """Learning rate of a step over the first one: 1, or 0.01 + 0.99 (1 + cos(pi step / steps)) / 2.

    >>> learning_rate_factor("cosine", 0, 100), round(learning_rate_factor("cosine", 50, 100), 3)
    (1.0, 0.505)
    """
    if schedule == "constant":
        return 1.0
    wave = (1 + math.cos(math.pi * step / steps)) / 2
    return FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * wave


def make_optimizer(tensors: Mapping[str, Tensor], settings: Optimisation) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015) or SGD with momentum over `tensors`, without weight decay of its own."""
    leaves = list(tensors.values())
    if settings.optimizer == "adam":
        return torch.optim.Adam(leaves, lr=settings.learning_rate, fused=True)
    return torch.optim.SGD(leaves, lr=settings.learning_rate, momentum=settings.momentum, foreach=True)


def optimizer_arrays(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> dict[str, NDArray]:
    """The optimiser's moments as arrays named `tensor/moment`."""
    return {
        f"{name}/{moment}": value.detach().numpy()
        for name, leaf in tensors.items()
        for moment, value in optimizer.state[leaf].items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], arrays: Mapping[str, NDArray]
) -> None:
    """The inverse of `optimizer_arrays`; each moment takes the memory layout of its tensor."""
    for key, array in arrays.items():
        name, _, moment = key.rpartition("/")
        leaf = tensors[name]
        value = torch.empty_like(leaf, requires_grad=False) if array.shape == leaf.shape else torch.empty(array.shape)
        optimizer.state[leaf][moment] = value.copy_(torch.from_numpy(np.array(array)))


def centroid_gradient(gradient: Tensor, codes: Tensor, entries: int) -> Tensor:
    """Gradient of a codebook: the sum of the gradients of the weights that share each entry.

    dL/dC_k = sum over all weights of dL/dW_i [code_i = k] (Deep Compression, equation 3); entry 0, the
    value of pruned weights, has none. `gradient` and `codes` have the weight's shape; result [entries].
    """
    total = torch.zeros(entries, dtype=gradient.dtype).index_add_(0, codes.reshape(-1), gradient.reshape(-1))
    total[0] = 0
    return total


def mirrored_gradient(gradient: Tensor) -> Tensor:
    """Gradient of a codebook 0, v, -v: dL/dv_k is that of its first entry minus that of its second.

    >>> mirrored_gradient(torch.tensor([0.0, 1.0, 2.0, 5.0, 7.0])).tolist()
    [0.0, -4.0, -5.0, 4.0, 5.0]
    """
    half = len(gradient) // 2
    own = gradient[1 : half + 1] - gradient[half + 1 :]
    return torch.cat((gradient[:1], own, -own))


def set_codebook_gradients(state: State) -> None:
    """The gradients of a run's codebooks from those of the weights that they share out."""
    for name, codebook in state.codebooks.items():
        gradient = state.weights[name].grad
        if gradient is not None:
            total = centroid_gradient(gradient, state.codes[name], len(codebook))
            codebook.grad = mirrored_gradient(total) if state.kinds.get(name) == "mirrored" else total


@dataclass(frozen=True, eq=False)
class Batches:
    """Training images and labels in shuffled batches; an incomplete last batch is left out.

    The order of an epoch depends on (seed, stage, epoch) alone, so that a run can go on at any epoch. With `shift`
    every image is moved by up to so many pixels each way, anew in each epoch.
    """

    images: Tensor
    labels: Tensor
    size: int
    layout: torch.memory_format
    shift: int = 0

    @property
    def per_epoch(self) -> int:
        return max(1, len(self.labels) // self.size)

    def epoch(self, seed: int, stage: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen, shifts in self.draws(seed, stage, epoch):
            yield self.take(chosen, shifts), self.labels[chosen]

    def draws(self, seed: int, stage: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(which images, the shift of each) of every batch; see `augment.shifted`."""
        order = np.random.default_rng([seed, stage, epoch]).permutation(len(self.labels))
        moves = np.random.default_rng([seed, stage, epoch, 2]).integers(0, places_of(self.shift), len(order))
        for step in range(self.per_epoch):
            batch = slice(step * self.size, (step + 1) * self.size)
            yield torch.from_numpy(order[batch]), torch.from_numpy(moves[batch])

    def take(self, chosen: Tensor, shifts: Tensor) -> Tensor:
        """The images of one batch."""
        images = self.images[chosen]
        return arrange(shifted(images, shifts, self.shift) if self.shift else images, self.layout)
