"""The stage that prunes and shares for the fewest coded bytes: see `compress.rate` and `compress.squeeze_settings`.

Distillation: Hinton, Vinyals and Dean, 2015. Straight-through gradient: Bengio, Leonard and Courville, 2013. Entropy
constrained codebooks: Chou, Lookabaugh and Gray, 1989, here renewed in every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from numpy.typing import NDArray
from torch import Tensor

from ..compress.progress import Progress
from ..compress.rate import choose_masks, drop_dead_units, hidden_units, image_width, sort_units
from ..compress.squeeze_settings import SqueezeStage
from ..data.mnist import Split
from ..graph import Graph
from ..model import CodedTensor
from .augment import teacher_logits
from .network import Forward
from .optimise import Batches, learning_rate_factor, make_optimizer, optimizer_arrays, restore_optimizer
from .state import State, image_layout

__all__ = ["Squeeze"]

STAGE_NUMBER = 4  # what random draws depend on
FIRST_BITS = 3.0  # of each weight, where the budget starts to fall from
CURVATURE_EVERY, CURVATURE_KEEPS = 5, 0.98
FIRST_ROUNDS = 20  # of a new codebook
UNSEEN = 0.1  # of an observation, added to each entry's count
PROGRESS_EVERY = 10

Arrays = dict[str, NDArray[Any]]
Save = Callable[[int, Arrays], None]


@dataclass(eq=False)
class Codebook:
    """The non-zero values of one tensor, how likely each is, and which one each kept weight takes."""

    places: Tensor  # flat positions of the kept weights
    values: Tensor
    chances: Tensor
    codes: Tensor

    @staticmethod
    def make(weight: Tensor, mask: Tensor, levels: int, rate_weight: float) -> Codebook:
        places = mask.reshape(-1).nonzero()[:, 0]
        kept = weight.reshape(-1)[places]
        entries = min(levels, len(kept))
        low, high = (float(kept.min()), float(kept.max())) if len(kept) else (0.0, 0.0)
        values = torch.linspace(low, high, entries) if entries else torch.zeros(0)
        book = Codebook(places, values, torch.full((entries,), 1 / max(1, entries)), torch.zeros_like(places))
        for _ in range(FIRST_ROUNDS):
            book.renew(weight, rate_weight)
        return book

    def renew(self, weight: Tensor, rate_weight: float) -> None:
        """One round: each weight to the entry of least squared error plus rate, each entry to its weights' mean."""
        if not len(self.values):
            return
        kept = weight.reshape(-1)[self.places]
        price = rate_weight * kept.var(unbiased=False) * torch.log2(self.chances)
        self.codes = ((kept[:, None] - self.values) ** 2 - price).argmin(1)
        count = torch.bincount(self.codes, minlength=len(self.values)).float()
        total = torch.zeros_like(self.values).index_add_(0, self.codes, kept)
        self.values = torch.where(count > 0, total / count.clamp(min=1), self.values)
        self.chances = (count + UNSEEN) / (count + UNSEEN).sum()

    def write(self, out: Tensor) -> None:
        """Set `out` to the shared values, 0 elsewhere."""
        out.zero_()
        if len(self.values):
            out.view(-1)[self.places] = self.values[self.codes]

    def coded(self, shape: tuple[int, ...], encoding: str) -> CodedTensor:
        """With ascending float16 values, those that are used."""
        kept = self.values.numpy().astype(np.float16).astype(np.float32)[self.codes.numpy()]
        flat = np.zeros(int(np.prod(shape)), np.float32)
        flat[self.places.numpy()] = kept
        return code_values(flat.reshape(shape), encoding)


def code_values(values: NDArray[np.float32], encoding: str) -> CodedTensor:
    """A tensor of few distinct float16 values as codes into their ascending codebook."""
    used = np.unique(values[values != 0])
    codes = np.where(values != 0, np.searchsorted(used, values) + 1, 0).astype(np.uint16)
    book = np.concatenate((np.zeros(1, np.float32), used))
    return CodedTensor(codes, book, max(1, (len(book) - 1).bit_length()), encoding, "float16")


@dataclass(eq=False)
class Squeeze:
    """One run of the stage. `state` holds the weights behind the masks and the codebooks; all of it can be resumed."""

    graph: Graph
    forward: Forward
    state: State
    settings: SqueezeStage
    train: Split
    seed: int
    encoding: str
    teacher: dict[str, Tensor] = field(init=False)
    curvature: dict[str, Tensor] = field(init=False)
    books: dict[str, Codebook] = field(init=False, default_factory=dict)

    def begin(self) -> None:
        """From the state's weights, which become the teacher."""
        self.teacher = {name: tensor.detach().clone() for name, tensor in self.state.weights.items()}
        self.curvature = {name: torch.zeros_like(tensor) for name, tensor in self.teacher.items()}
        self.state.masks = {name: torch.ones_like(tensor) for name, tensor in self.teacher.items()}

    def resume(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """From what `arrays` gave, the state's own part apart."""

        def group(prefix: str) -> dict[str, Tensor]:
            return {name: torch.from_numpy(np.array(arrays[f"{prefix}:{name}"])) for name in self.state.weights}

        self.teacher, self.curvature = group("teacher"), group("curvature")
        if any(name.startswith("entries:") for name in arrays):
            values, chances = group("entries"), group("chances")
            codes = group("assigned")
            for name, mask in self.state.masks.items():
                places = mask.reshape(-1).nonzero()[:, 0]
                self.books[name] = Codebook(places, values[name], chances[name], codes[name])

    def arrays(self) -> Arrays:
        found: Arrays = {f"teacher:{name}": tensor.numpy() for name, tensor in self.teacher.items()}
        found |= {f"curvature:{name}": tensor.numpy() for name, tensor in self.curvature.items()}
        for name, book in self.books.items():
            found |= {f"entries:{name}": book.values.numpy(), f"chances:{name}": book.chances.numpy(),
                      f"assigned:{name}": book.codes.numpy()}  # fmt: skip
        return found

    def run(self, first_epoch: int, moments: Mapping[str, NDArray[Any]], progress: Progress, save: Save) -> None:
        """The epochs from `first_epoch` on; `save(epochs done, arrays)` after each."""
        settings, layout = self.settings, image_layout(self.graph)
        images, labels = (torch.from_numpy(a).clone() for a in (self.train.images, self.train.labels))
        size = min(settings.batch_size, len(self.train))
        batches = Batches(images, labels, size, layout, settings.shift)
        said = None
        if settings.distillation:
            said = teacher_logits(self.forward, self.teacher, images, settings.shift, layout)
        optimizer = None
        for epoch in range(first_epoch, settings.epochs):
            if optimizer is None or epoch == settings.pruning_epochs:
                optimizer = make_optimizer(self.state.weights, settings)
                if moments and epoch == first_epoch != settings.pruning_epochs:
                    restore_optimizer(optimizer, self.state.weights, moments)
            if epoch == settings.pruning_epochs:
                self._share()
            self._epoch(epoch, batches, said, optimizer, progress)
            save(epoch + 1, {f"moment:{k}": v for k, v in optimizer_arrays(optimizer, self.state.weights).items()})
        if not self.books:
            self._share()

    def _share(self) -> None:
        levels, rate_weight = self.settings.levels, self.settings.rate_weight
        for name, weight in self.state.weights.items():
            self.books[name] = Codebook.make(weight.detach(), self.state.masks[name], levels, rate_weight)

    def _epoch(
        self, epoch: int, batches: Batches, said: Tensor | None, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        settings, weights = self.settings, self.state.weights
        sharing = epoch >= settings.pruning_epochs
        first = settings.sharing_learning_rate if sharing else settings.learning_rate
        start = settings.pruning_epochs if sharing else 0
        steps = (settings.sharing_epochs if sharing else settings.pruning_epochs) * batches.per_epoch
        shared = {name: torch.empty(w.shape).requires_grad_() for name, w in weights.items()} if sharing else weights
        for number, (chosen, shifts) in enumerate(batches.draws(self.seed, STAGE_NUMBER, epoch)):
            step = (epoch - start) * batches.per_epoch + number
            if not sharing:
                self._follow_schedule(step, batches.per_epoch)
            rate = first * learning_rate_factor(settings.schedule, step, steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            for name, tensor in shared.items():
                tensor.grad = None
                if sharing:
                    self.books[name].renew(weights[name].detach(), settings.rate_weight)
                    self.books[name].write(tensor.data)
            logits = self.forward(batches.take(chosen, shifts), shared)
            self._loss(logits, batches.labels[chosen], None if said is None else said[shifts, chosen]).backward()
            self._update(shared, optimizer, step, sharing)
            if (number + 1) % PROGRESS_EVERY == 0 or number + 1 == batches.per_epoch:
                done = epoch * batches.per_epoch + number + 1
                progress("squeeze", done, settings.epochs * batches.per_epoch)

    def _loss(self, logits: Tensor, labels: Tensor, said: Tensor | None) -> Tensor:
        """Cross entropy, and T^2 KL(teacher || network) of both softened by T."""
        loss = F.cross_entropy(logits, labels)
        if said is None:
            return loss
        part, t = self.settings.distillation, self.settings.temperature
        soft = F.kl_div(F.log_softmax(logits / t, 1), F.softmax(said / t, 1), reduction="batchmean")
        return (1 - part) * loss + part * t**2 * soft

    @torch.no_grad()
    def _update(self, shared: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, step: int, sharing: bool) -> None:
        for name, weight in self.state.weights.items():
            gradient = shared[name].grad
            assert gradient is not None
            if not sharing and step % CURVATURE_EVERY == 0:
                self.curvature[name].mul_(CURVATURE_KEEPS).addcmul_(gradient, gradient, value=1 - CURVATURE_KEEPS)
            weight.grad = gradient * self.state.masks[name]
        optimizer.step()
        self.state.apply_masks()

    def _follow_schedule(self, step: int, per_epoch: int) -> None:
        """New masks every so many steps while the budget falls, and at its end."""
        ramp = self.settings.gradual_epochs * per_epoch
        if step > ramp or (step < ramp and step % self.settings.steps_between_masks):
            return
        masks = {name: mask.numpy().copy() for name, mask in self.state.masks.items()}
        final = 8.0 * self.settings.budget_bytes
        first = FIRST_BITS * sum(mask.size for mask in masks.values())
        budget = final + max(0.0, first - final) * (1 - step / ramp if ramp else 0.0) ** 3
        weights = {name: self.state.values(name) for name in masks}
        curvature = {name: np.array(tensor.numpy(), order="C") for name, tensor in self.curvature.items()}
        masks = choose_masks(weights, curvature, masks, budget, image_width(self.graph))
        drop_dead_units(masks, hidden_units(self.graph))
        self.state.masks = {name: torch.from_numpy(mask) for name, mask in masks.items()}
        self.state.apply_masks()

    def finish(self) -> tuple[Graph, dict[str, CodedTensor]]:
        """The network with its shared values, units sorted for the coder, and every parameter's codes."""
        values = {
            name: book.coded(tuple(self.state.weights[name].shape), self.encoding).values
            for name, book in self.books.items()
        }
        graph = sort_units(self.graph.with_parameters(values))
        coded = {}
        for name, parameter in graph.parameters.items():
            assert parameter.values is not None
            coded[name] = code_values(parameter.values, self.encoding)
        return graph, coded
