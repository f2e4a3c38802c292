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

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec
import numpy as np
import torch
from torch import Tensor

from ..compress.masks import prune_mask
from ..compress.progress import Progress, silent
from ..compress.prune import by_layer, check_finite, weight_names
from ..compress.recipe import Recipe, check_recipe
from ..compress.share import share_weights
from ..compress.stage_settings import PruneStage, ShareStage
from ..errors import InputError, RecipeError
from ..graph import Graph
from ..importers.torch_export import import_torch
from ..model import CodedTensor, Model
from .optimise import centroid_gradient, learning_rate_factor, make_optimizer
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
    seed: int = 0, progress: Progress = silent,
) -> Model:  # fmt: skip
    """Run the stages [train], [prune] and [share] of a recipe on `module`, whose weights change in place.

    `example` is an input that `from_torch` can trace it with; the layers' names in the recipe are those of the Graph
    that this gives (`picojoule inspect`), or patterns. [train] runs for its epochs from the weights as they are. The
    result is that Graph with the coded weights; its accuracy is None: measure it with your own data. No checkpoint is
    kept. Raises RecipeError for other stages, InputError for weights or losses that are not finite.
    """
    graph = import_torch(module, example if isinstance(example, tuple) else (example,))
    check_recipe(recipe, graph)
    other = [stage for stage in recipe.stages if stage not in KNOWN]
    if other or len(batches) < 1:
        raise RecipeError(f"recipe {recipe.name}", f"[{other[0]}]" if other else "no batches", f"{', '.join(KNOWN)}",
                          "train the Graph of from_torch instead: picojoule.compress")  # fmt: skip
    weights = dict(module.named_parameters())
    layers = {layer: name for layer, name in weight_names(graph).items() if name in weights}
    for layer, name in layers.items():
        check_finite(_values(weights[name]), f"layer {layer} ({name})")
    run = _Run(module, loss_fn, batches, progress, weights, layers)
    with fixed_arithmetic():
        _train(run, "train", recipe.train, lambda step: None)
        if isinstance(recipe.prune, PruneStage):
            _prune(run, graph, recipe.prune, seed)
        coded = _share(run, graph, recipe, seed) if isinstance(recipe.share, ShareStage) else {}
    final = {name: _values(weights[name]) for name in graph.parameters if name in weights}
    return Model(graph.name, import_torch(module, example if isinstance(example, tuple) else (example,))
                 .with_parameters(final), coded)  # fmt: skip


class _Run:
    """What the stages share; `masks` by parameter name hold weights at 0."""

    def __init__(
        self, module: torch.nn.Module, loss_fn: LossFunction, batches: Batches, progress: Progress,
        weights: dict[str, torch.nn.Parameter], layers: dict[str, str],
    ) -> None:  # fmt: skip
        self.module, self.loss_fn, self.batches, self.progress = module, loss_fn, batches, progress
        self.weights, self.layers = weights, layers
        self.masks: dict[str, Tensor] = {}


def _values(tensor: Tensor) -> np.ndarray:
    return np.array(tensor.detach().cpu().numpy(), np.float32)


@torch.no_grad()
def _apply_masks(run: _Run) -> None:
    for name, mask in run.masks.items():
        run.weights[name].mul_(mask)


def _train(run: _Run, stage: str, settings: Any, before: Callable[[int], None], codebooks: Any = None) -> None:
    """One stage's epochs: `before(step)`, a gradient, an update, then masks or shared values put right again."""
    books: dict[str, Tensor] = codebooks[0] if codebooks else {}
    codes: dict[str, Tensor] = codebooks[1] if codebooks else {}
    tensors = {name: weight for name, weight in run.weights.items() if name not in books} | books
    optimizer = make_optimizer(tensors, settings) if settings.epochs else None
    steps, step = settings.epochs * len(run.batches), 0
    run.module.train()
    for _ in range(settings.epochs):
        for batch in run.batches:
            before(step)
            assert optimizer is not None
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * learning_rate_factor(settings.schedule, step, steps)
            run.module.zero_grad()
            loss = run.loss_fn(run.module, batch)
            if not torch.isfinite(loss):
                raise InputError(f"loss_fn: {stage}, step {step}", "NaN or infinity", "a finite loss",
                                 "lower the learning rate")  # fmt: skip
            loss.backward()
            for name, book in books.items():
                gradient = run.weights[name].grad
                book.grad = None if gradient is None else centroid_gradient(gradient, codes[name], len(book))
            optimizer.step()
            _apply_masks(run)
            _rebuild(run, books, codes)
            step += 1
            run.progress(stage, step, steps)
    run.module.eval()


@torch.no_grad()
def _rebuild(run: _Run, books: dict[str, Tensor], codes: dict[str, Tensor]) -> None:
    for name, book in books.items():
        run.weights[name].copy_(book[codes[name]])


def _prune(run: _Run, graph: Graph, settings: PruneStage, seed: int) -> None:
    densities = by_layer(graph, settings.density)
    ramp = settings.gradual_epochs * len(run.batches)

    def masks(step: int, steps: int) -> None:
        for layer, name in run.layers.items():
            density = scheduled_density(settings, densities[layer], step, steps)
            mask = prune_mask(_values(run.weights[name]), density, settings.method,
                              seed ^ zlib.crc32(layer.encode()), f"layer {layer}")  # fmt: skip
            run.masks[name] = torch.from_numpy(mask)
        _apply_masks(run)

    _train(run, "prune", settings, lambda step: masks(step, ramp) if masks_are_due(settings, step, ramp) else None)
    masks(1, 1)


def _share(run: _Run, graph: Graph, recipe: Recipe, seed: int) -> dict[str, CodedTensor]:
    settings = recipe.share
    assert isinstance(settings, ShareStage)
    rate: dict[str, Any] = {} if settings.rate_weight is msgspec.UNSET else {"rate_weight": settings.rate_weight}
    bits, coded = by_layer(graph, settings.bits), {}
    for layer, name in run.layers.items():
        coded[name] = share_weights(
            _values(run.weights[name]), bits[layer], init=settings.init, iterations=settings.iterations, seed=seed,
            encoding=recipe.encode.format, where=f"layer {layer}", method=settings.method, **rate,
        )  # fmt: skip
    books = {name: torch.from_numpy(tensor.codebook.copy()) for name, tensor in coded.items()}
    codes = {name: torch.from_numpy(tensor.codes.astype(np.int64)) for name, tensor in coded.items()}
    run.masks.clear()
    _rebuild(run, books, codes)
    _train(run, "share", settings, lambda step: None, (books, codes))
    return {
        name: CodedTensor(tensor.codes, books[name].numpy().copy(), tensor.code_bits, tensor.encoding)
        for name, tensor in coded.items()
    }
