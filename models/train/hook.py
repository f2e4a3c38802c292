"""A module of your own compressed on data of your own: prune, retrain, share and fine-tune it in place.

    model = compress_module(module, example, loss_fn, batches, recipe)

`loss_fn(module, batch)` gives the scalar to minimise; `batches` gives batches every time it is iterated and has a
length, as a list or a DataLoader does. Nothing else is asked of either: inputs, targets and losses may be anything.

>>> from picojoule.models.compress.recipe import Recipe
>>> from picojoule.models.compress.stage_settings import PruneStage, ShareStage, TrainStage
>>> _ = torch.manual_seed(0)
>>> module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
>>> inputs = torch.eye(4)
>>> def loss_fn(module, batch):
...     return (module(batch) - batch[:, :2]).square().mean()
>>> recipe = Recipe(
...     name="mine", train=TrainStage(epochs=0),
...     prune=PruneStage(density={"*": 0.5}, gradual_epochs=2, retraining_epochs=2),
...     share=ShareStage(bits={"*": 3}, epochs=1),
... )
>>> model = compress_module(module, inputs[:1], loss_fn, [inputs] * 5, recipe)
>>> {name: (tensor.nonzeros, tensor.code_bits) for name, tensor in model.coded.items()}
{'0.weight': (16, 3), '2.weight': (8, 3)}
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import torch
from torch import Tensor

from ..codecs.structure import graph_record
from ..compress.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ..compress.masks import prune_mask
from ..compress.progress import Progress, silent
from ..compress.prune import by_layer, check_finite, weight_names
from ..compress.recipe import Recipe, check_recipe, recipe_settings
from ..compress.share import share_weights
from ..compress.stage_settings import PruneStage, ShareStage
from ..errors import InputError, RecipeError
from ..graph import Graph
from ..importers.torch_export import import_torch
from ..model import CodedTensor, Model
from .optimise import (
    centroid_gradient,
    learning_rate_factor,
    make_optimizer,
    optimizer_arrays,
    restore_optimizer,
)
from .schedule import masks_are_due, scheduled_density
from .state import fixed_arithmetic

__all__ = ["Batches", "LossFunction", "compress_module"]

KNOWN = ("train", "prune", "share")


class LossFunction(Protocol):
    """The scalar that training minimises, for one batch."""

    def __call__(self, module: torch.nn.Module, batch: Any, /) -> Tensor: ...


class Batches(Protocol):
    """Batches, anew every time it is iterated; as many as its length says."""

    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int: ...


def compress_module(
    module: torch.nn.Module, example: Any, loss_fn: LossFunction, batches: Batches, recipe: Recipe, *,
    seed: int = 0, progress: Progress = silent, checkpoint: str | os.PathLike[str] | None = None,
) -> Model:  # fmt: skip
    """Run the stages [train], [prune] and [share] of a recipe on `module`, whose weights change in place.

    `example` is an input that `from_torch` can trace it with; the layers' names in the recipe are those of the Graph
    that this gives (`picojoule inspect`), or patterns. [train] runs for its epochs from the weights as they are. The
    result is that Graph with the coded weights; its accuracy is None: measure it with your own data.

    `checkpoint` is a file that holds the state after each epoch and is deleted at the end. The same call after an
    interruption takes weights and buffers from there and gives the result of an uninterrupted run: torch's global
    generator is seeded anew by (seed, stage, epoch), so that dropout and a DataLoader's shuffling repeat. A loss or
    batches with a random generator of their own have to see to that themselves.
    Raises RecipeError for other stages; InputError for weights or losses that are not finite, weights that are not
    float32 on the CPU, batches other than their length says, and another run's checkpoint.
    """
    inputs = example if isinstance(example, tuple) else (example,)
    _check_tensors(module)
    graph = import_torch(module, inputs)
    check_recipe(recipe, graph)
    other = [stage for stage in recipe.stages if stage not in KNOWN]
    if other or len(batches) < 1:
        raise RecipeError(f"recipe {recipe.name}", f"[{other[0]}]" if other else "no batches", f"{', '.join(KNOWN)}",
                          "train the Graph of from_torch instead: picojoule.compress")  # fmt: skip
    weights = dict(module.named_parameters())
    layers = {layer: name for layer, name in weight_names(graph).items() if name in weights}
    kept = None if checkpoint is None else _Kept(Path(checkpoint), _fingerprint(graph, recipe, seed, len(batches)),
                                                 f"a module, recipe {recipe.name}, seed {seed}")  # fmt: skip
    run = _Run(module, loss_fn, batches, progress, weights, layers, seed, kept)
    run.resume()
    for layer, name in layers.items():
        check_finite(_values(weights[name]), f"layer {layer} ({name})")
    coded: dict[str, CodedTensor] = {}
    with fixed_arithmetic():
        for stage in recipe.stages[recipe.stages.index(run.start.stage) if run.start else 0 :]:
            if stage == "train":
                _train(run, stage, recipe.train, lambda step: None)
            elif stage == "prune":
                _prune(run, graph, recipe.prune)
            else:
                coded = _share(run, graph, recipe)
    final = {name: _values(weights[name]) for name in graph.parameters if name in weights}
    if kept is not None:
        kept.path.unlink(missing_ok=True)
    return Model(graph.name, import_torch(module, inputs).with_parameters(final), coded)


def _check_tensors(module: torch.nn.Module) -> None:
    for name, weight in module.named_parameters():
        if weight.device.type != "cpu" or weight.dtype != torch.float32:
            raise InputError(f"parameter {name}", f"{weight.dtype} on {weight.device}", "torch.float32 on cpu",
                             "module.float().cpu()")  # fmt: skip


def _fingerprint(graph: Graph, recipe: Recipe, seed: int, batches: int) -> str:
    """A hash of what a run depends on, but for weights (the checkpoint has them), loss and batches."""
    structure = msgspec.json.encode(graph_record(graph))
    parts = (structure, recipe_settings(recipe), seed, batches, str(torch.__version__), np.__version__)
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class _Kept:
    """Where a run's checkpoint lies, and how it is told from another's."""

    path: Path
    fingerprint: str
    run: str


@dataclass(eq=False)
class _Run:
    """What the stages share; `masks` by parameter name hold weights at 0, `books` and `codes` are shared weights."""

    module: torch.nn.Module
    loss_fn: LossFunction
    batches: Batches
    progress: Progress
    weights: Mapping[str, torch.nn.Parameter]
    layers: Mapping[str, str]
    seed: int
    kept: _Kept | None
    start: Checkpoint | None = None
    masks: dict[str, Tensor] = field(default_factory=dict)
    books: dict[str, Tensor] = field(default_factory=dict)
    codes: dict[str, Tensor] = field(default_factory=dict)

    @property
    def groups(self) -> Mapping[str, Mapping[str, Tensor]]:
        """Every tensor of the run, by group and name, as a checkpoint holds them."""
        return {"module": self.module.state_dict(), "mask": self.masks, "book": self.books, "codes": self.codes}

    def save(self, stage: str, epochs: int, moments: Mapping[str, np.ndarray]) -> None:
        if self.kept is None:
            return
        arrays = {f"{group}:{name}": tensor.detach().numpy()
                  for group, tensors in self.groups.items() for name, tensor in tensors.items()}  # fmt: skip
        arrays |= {f"moment:{name}": array for name, array in moments.items()}
        save_checkpoint(self.kept.path, Checkpoint(stage, epochs, arrays), self.kept.fingerprint, self.kept.run)

    def resume(self) -> None:
        """Take the state of a checkpoint, where there is one."""
        self.start = load_checkpoint(self.kept.path, self.kept.fingerprint, self.kept.run) if self.kept else None
        if self.start is None:
            return
        found = {group: self.saved(group) for group in ("module", "mask", "book", "codes")}
        self.module.load_state_dict(found["module"])
        self.masks, self.books, self.codes = found["mask"], found["book"], found["codes"]

    def saved(self, group: str) -> dict[str, Tensor]:
        arrays = self.start.arrays if self.start else {}
        return {key.partition(":")[2]: torch.from_numpy(np.array(array))
                for key, array in arrays.items() if key.partition(":")[0] == group}  # fmt: skip

    @torch.no_grad()
    def restrain(self) -> None:
        """Pruned weights back to 0, shared ones to their values."""
        for name, mask in self.masks.items():
            self.weights[name].mul_(mask)
        for name, book in self.books.items():
            self.weights[name].copy_(book[self.codes[name]])


def _values(tensor: Tensor) -> np.ndarray:
    return np.array(tensor.detach().numpy())


def _draw(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _train(run: _Run, stage: str, settings: Any, before: Callable[[int], None]) -> None:
    """One stage's epochs, or those that a checkpoint left of it."""
    tensors = {name: weight for name, weight in run.weights.items() if name not in run.books} | run.books
    optimizer = make_optimizer(tensors, settings) if settings.epochs else None
    first = 0
    if run.start and run.start.stage == stage:
        first = run.start.epoch
        if optimizer is not None:
            restore_optimizer(optimizer, tensors, {k: t.numpy() for k, t in run.saved("moment").items()})
    run.module.train()
    for epoch in range(first, settings.epochs):
        assert optimizer is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_draw(run.seed, KNOWN.index(stage), epoch))
            _epoch(run, stage, settings, epoch, optimizer, before)
        run.save(stage, epoch + 1, optimizer_arrays(optimizer, tensors))
    run.module.eval()


def _epoch(
    run: _Run, stage: str, settings: Any, epoch: int, optimizer: torch.optim.Optimizer, before: Callable[[int], None]
) -> None:
    """For each batch `before(step)`, a gradient, an update, then masks or shared values put right again."""
    count = len(run.batches)
    steps, step = settings.epochs * count, epoch * count
    for batch in run.batches:
        before(step)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * learning_rate_factor(settings.schedule, step, steps)
        run.module.zero_grad()
        loss = run.loss_fn(run.module, batch)
        if not torch.isfinite(loss):
            raise InputError(f"loss_fn: {stage}, step {step}", "NaN or infinity", "a finite loss",
                             "lower the learning rate")  # fmt: skip
        loss.backward()
        for name, book in run.books.items():
            gradient = run.weights[name].grad
            book.grad = None if gradient is None else centroid_gradient(gradient, run.codes[name], len(book))
        optimizer.step()
        run.restrain()
        step += 1
        run.progress(stage, step, steps)
    if step != (epoch + 1) * count:
        raise InputError("batches", f"{step - epoch * count} of them", f"{count}, as len(batches) says")


def _prune(run: _Run, graph: Graph, settings: Any) -> None:
    assert isinstance(settings, PruneStage)
    densities = by_layer(graph, settings.density)
    ramp = settings.gradual_epochs * len(run.batches)

    def masks(step: int, steps: int) -> None:
        for layer, name in run.layers.items():
            density = scheduled_density(settings, densities[layer], step, steps)
            mask = prune_mask(_values(run.weights[name]), density, settings.method,
                              run.seed ^ zlib.crc32(layer.encode()), f"layer {layer}")  # fmt: skip
            run.masks[name] = torch.from_numpy(mask)
        run.restrain()

    _train(run, "prune", settings, lambda step: masks(step, ramp) if masks_are_due(settings, step, ramp) else None)
    masks(1, 1)


def _share(run: _Run, graph: Graph, recipe: Recipe) -> dict[str, CodedTensor]:
    settings = recipe.share
    assert isinstance(settings, ShareStage)
    rate: dict[str, Any] = {} if settings.rate_weight is msgspec.UNSET else {"rate_weight": settings.rate_weight}
    bits = by_layer(graph, settings.bits)
    if not run.books:
        for layer, name in run.layers.items():
            tensor = share_weights(
                _values(run.weights[name]), bits[layer], init=settings.init, iterations=settings.iterations,
                seed=run.seed, where=f"layer {layer}", method=settings.method, **rate,
            )  # fmt: skip
            run.books[name] = torch.from_numpy(tensor.codebook.copy())
            run.codes[name] = torch.from_numpy(tensor.codes.astype(np.int64))
    run.masks.clear()
    run.restrain()
    _train(run, "share", settings, lambda step: None)
    return {
        name: CodedTensor(run.codes[name].numpy().astype(np.uint16), run.books[name].numpy().copy(), bits[layer],
                          recipe.encode.format)
        for layer, name in run.layers.items()
    }  # fmt: skip
