"""The stages of a run: train dense, take out channels, prune and retrain, share and fine-tune.

*Deep Compression* (Han et al. 2016) sections 2 and 3, with the gradual schedule of Zhu and Gupta (2017).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from numpy.typing import NDArray

from ..compress.checkpoint import Checkpoint
from ..compress.dataset import Data
from ..compress.low_rank import low_rank
from ..compress.masks import global_densities, prune_mask
from ..compress.progress import Progress
from ..compress.prune import by_layer, known_values, weight_names
from ..compress.quantize import integer_activations
from ..compress.recipe import Recipe
from ..compress.stage_settings import LowRankStage, Optimisation, PruneStage, QuantizeStage, ShareStage, StructuredStage
from ..compress.structured import shrink
from ..data.mnist import Split
from ..errors import RecipeError
from ..graph import Graph
from ..model import CodedTensor
from .constraints import constrain, constrained, constrained_layers, encodings
from .evaluate import error_pct
from .network import Dropout, Forward, torch_forward
from .optimise import (
    Batches,
    learning_rate_factor,
    make_optimizer,
    optimizer_arrays,
    restore_optimizer,
    set_codebook_gradients,
)  # fmt: skip
from .quantizers import (
    Plan,
    final_codes,
    final_ranges,
    make_plan,
    quantized_reads,
    quantized_weights,
    start_quantizing,
)
from .schedule import masks_are_due, scheduled_density
from .squeeze import Squeeze
from .state import (
    State,
    fixed_arithmetic,
    graph_arrays,
    image_layout,
    initial_values,
    make_state,
    restore_graph,
    restore_state,
)

__all__ = ["Trained", "train_stages"]

# numbers that random draws depend on: never change one
STAGES = {"train": 0, "prune": 1, "share": 2, "structured": 3, "squeeze": 4, "quantize": 5, "low_rank": 6}
# what is measured behind a stage, on validation images
MEASURED = {"train": "dense", "low_rank": "low_rank", "structured": "structured", "prune": "pruned"}
PROGRESS_EVERY = 10  # steps
SMALLEST_STEP = 1e-8  # of a learned grid: a step of 0 has no integers


@dataclass(frozen=True, eq=False)
class Trained:
    """Outcome of a run: the network's final shape, values of every parameter, coded weights, errors in percent."""

    graph: Graph
    values: Mapping[str, NDArray[np.float32]]
    coded: Mapping[str, CodedTensor]
    errors_pct: Mapping[str, float]


@dataclass(eq=False)
class Run:
    """What all stages of one run share."""

    graph: Graph
    recipe: Recipe
    data: Data
    seed: int
    progress: Progress
    save: Callable[[Checkpoint], None] | None
    forward: Forward
    state: State
    errors_pct: dict[str, float] = field(default_factory=dict)
    squeezed: dict[str, CodedTensor] = field(default_factory=dict)
    plan: Plan | None = None  # in the quantize stage
    integers: dict[str, CodedTensor] = field(default_factory=dict)  # behind it

    def settings(self, stage: str) -> Any:
        return getattr(self.recipe, stage)

    def known_graph(self) -> Graph:
        """The network with the weights as they are now."""
        return self.graph.with_parameters({name: self.state.values(name) for name in self.state.weights})

    def replace_graph(self, graph: Graph) -> None:
        """Go on with another network, whose values are known."""
        self.graph, self.forward = graph, torch_forward(graph)
        self.state = make_state(graph, {name: known_values(graph, name) for name in graph.parameters})


def train_stages(
    graph: Graph, recipe: Recipe, data: Data, *, seed: int, progress: Progress,
    start: Checkpoint | None = None, save: Callable[[Checkpoint], None] | None = None,
) -> Trained:  # fmt: skip
    """Run the stages, from the beginning or from where `start` left off.

    A network whose weights are all known skips the train stage. `save` is called after every epoch.
    The result depends on the arguments alone, not on where a run was interrupted: random numbers are drawn
    anew for every (seed, stage, epoch), on one thread, with deterministic kernels.
    """
    with fixed_arithmetic():
        stages = recipe.stages[1 if graph.has_weights and not constrained(recipe) else 0 :]
        if start:
            graph = restore_graph(graph, start.arrays)
            state = restore_state(graph, start.arrays)
        else:
            state = make_state(graph, initial_values(graph, seed))
            constrain(state, graph, recipe, seed)
        run = Run(graph, recipe, data, seed, progress, save, torch_forward(graph), state)
        run.errors_pct.update(start.errors_pct if start else {})
        for stage in stages[stages.index(start.stage) if start else 0 :]:
            resumed = start if start and start.stage == stage else None
            if stage == "squeeze":
                _squeeze(run, resumed)
            else:
                _run_stage(run, stage, resumed)
        _measure(run, "final")
        values = {name: run.state.values(name) for name in run.state.weights}
        return Trained(run.graph, values, _coded(run), run.errors_pct)


def _squeeze(run: Run, resumed: Checkpoint | None) -> None:
    """The stage that leaves every parameter coded, biases too."""
    squeeze = Squeeze(run.graph, run.forward, run.state, run.settings("squeeze"), run.data.train, run.seed,
                      run.recipe.encode.format)  # fmt: skip
    if resumed is None:
        _prepare(run, "squeeze")
        squeeze.begin()
    else:
        squeeze.resume(resumed.arrays)

    def save(epochs: int, moments: dict[str, NDArray[Any]]) -> None:
        _check_converges(run, "squeeze", epochs - 1)
        if epochs == squeeze.settings.pruning_epochs:
            _measure(run, "pruned")
        if run.save is not None:
            arrays = {**run.state.arrays(), **graph_arrays(run.graph), **squeeze.arrays(), **moments}
            run.save(Checkpoint("squeeze", epochs, arrays, dict(run.errors_pct)))

    moments = {k.removeprefix("moment:"): v for k, v in resumed.arrays.items()} if resumed else {}
    moments = {k: v for k, v in moments.items() if "/" in k}
    squeeze.run(resumed.epoch if resumed else 0, moments, run.progress, save)
    graph, run.squeezed = squeeze.finish()
    run.replace_graph(graph)


def _coded(run: Run) -> dict[str, CodedTensor]:
    if run.squeezed:
        return run.squeezed
    settings, names = run.recipe.share, weight_names(run.graph)
    layers = by_layer(run.graph, settings.bits) if isinstance(settings, ShareStage) else {}
    bits = {names[layer]: width for layer, width in layers.items() if names[layer] not in run.state.kinds}
    return {**run.state.coded(bits, encodings(run.graph, run.recipe, run.seed)), **run.integers}


def _prepare(run: Run, stage: str) -> None:
    """What a stage changes before its first epoch."""
    settings = run.settings(stage)
    if stage != "train" and "validation_dense" not in run.errors_pct:
        _measure(run, "dense")
    if isinstance(settings, LowRankStage):
        budget = None if isinstance(settings.budget, msgspec.UnsetType) else settings.budget
        run.replace_graph(low_rank(run.known_graph(), settings.energy or None, budget))
        _measure(run, "split")
    if isinstance(settings, StructuredStage):
        seed = _draw(run.seed, STAGES[stage], 0)
        run.replace_graph(shrink(run.known_graph(), settings.keep, settings.criterion, seed).graph)
        _measure(run, "shrunk")
    if isinstance(settings, ShareStage):
        kmeans: dict[str, Any] = {"init": settings.init, "iterations": settings.iterations, "seed": run.seed}
        kmeans["method"] = settings.method
        if settings.rate_weight is not msgspec.UNSET:
            kmeans["rate_weight"] = settings.rate_weight
        run.state.share(run.graph, by_layer(run.graph, settings.bits), **kmeans)
        _measure(run, "shared")
    if isinstance(settings, QuantizeStage):
        plan = make_plan(run.graph, settings, set(run.state.codes))
        start_quantizing(run.state, plan, run.graph, run.forward, run.data)
        _measure_integers(run, "quantized")


def _run_stage(run: Run, stage: str, resumed: Checkpoint | None) -> None:
    """One stage: prepare, train its epochs, finish, measure."""
    settings = run.settings(stage)
    if resumed is None:
        _prepare(run, stage)
    if isinstance(settings, QuantizeStage):
        run.plan = make_plan(run.graph, settings, set(run.state.codes))
    tensors = run.state.trained()
    optimizer = make_optimizer(tensors, settings)
    if resumed is not None:
        moments = {k.removeprefix("moment:"): v for k, v in resumed.arrays.items() if k.startswith("moment:")}
        restore_optimizer(optimizer, tensors, moments)
    size = min(settings.batch_size, len(run.data.train))
    images, labels = (torch.from_numpy(a).clone() for a in (run.data.train.images, run.data.train.labels))
    batches = Batches(images, labels, size, image_layout(run.graph), settings.shift)
    for epoch in range(resumed.epoch if resumed else 0, settings.epochs):
        _run_epoch(run, stage, epoch, batches, optimizer)
        _check_converges(run, stage, epoch)
        if run.save is not None:
            moments = {f"moment:{k}": v for k, v in optimizer_arrays(optimizer, tensors).items()}
            arrays = {**run.state.arrays(), **graph_arrays(run.graph), **moments}
            run.save(Checkpoint(stage, epoch + 1, arrays, dict(run.errors_pct)))
    if stage == "prune":
        _update_masks(run, step=1, steps=1)
    if run.plan is not None:
        run.graph, run.integers = _integers(run, run.plan)
        run.state.set_values({name: tensor.values for name, tensor in run.integers.items()})
    if stage in MEASURED:
        _measure(run, MEASURED[stage])


def _integers(run: Run, plan: Plan) -> tuple[Graph, dict[str, CodedTensor]]:
    """The network with integer activations, and its weights in codes, as they are now."""
    stored = encodings(run.graph, run.recipe, run.seed)
    coded = {name: replace(tensor, encoding=stored[name]) if tensor.encoding != "sign" else tensor
             for name, tensor in final_codes(run.state, plan, run.recipe.encode.format).items()}  # fmt: skip
    return integer_activations(run.graph, final_ranges(run.state)), coded


def _measure_integers(run: Run, what: str) -> None:
    graph, coded = _integers(run, make_plan(run.graph, run.settings("quantize"), set(run.state.codes)))
    weights = {**run.state.weights, **{name: torch.from_numpy(tensor.values) for name, tensor in coded.items()}}
    run.errors_pct[f"validation_{what}"] = error_pct(graph, run.data.validation, weights)


def _run_epoch(run: Run, stage: str, epoch: int, batches: Batches, optimizer: torch.optim.Optimizer) -> None:
    number = STAGES[stage]
    settings = run.settings(stage)
    generator = torch.Generator().manual_seed(_draw(run.seed, number, epoch))
    dropout = Dropout(by_layer(run.graph, settings.dropout), generator)
    steps = settings.epochs * batches.per_epoch
    for step, (images, labels) in enumerate(batches.epoch(run.seed, number, epoch), epoch * batches.per_epoch):
        if stage == "prune":
            _follow_schedule(run, step, batches.per_epoch)
        rate = settings.learning_rate * learning_rate_factor(settings.schedule, step, steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        for tensor in (*run.state.weights.values(), *run.state.learned.values()):
            tensor.grad = None
        parameters = quantized_weights(run.state, run.plan) if run.plan else run.state.weights
        reads = quantized_reads(run.state, dropout) if run.plan else dropout
        F.cross_entropy(run.forward(images, parameters, reads), labels).backward()
        _update(run.state, settings, optimizer, rate)
        if (step + 1) % PROGRESS_EVERY == 0 or step + 1 == steps:
            run.progress(stage, step + 1, steps)


def _draw(seed: int, stage: int, epoch: int) -> int:
    """A seed for torch's generator that depends on all three."""
    return int(np.random.SeedSequence([seed, stage, epoch, 1]).generate_state(1, np.uint64)[0] >> np.uint64(1))


@torch.no_grad()
def _update(state: State, settings: Optimisation, optimizer: torch.optim.Optimizer, rate: float) -> None:
    """One optimiser step on what is trained, then masks and shared values put right again."""
    set_codebook_gradients(state)
    optimizer.step()
    decay = getattr(settings, "weight_decay", 0.0)
    if decay:
        for tensor in state.weights.values():
            if tensor.dim() > 1:
                tensor.mul_(1 - rate * decay)
    for tensor in state.learned.values():
        tensor.clamp_(min=SMALLEST_STEP)
    state.apply_masks()
    state.rebuild_shared()


def _follow_schedule(run: Run, step: int, per_epoch: int) -> None:
    """New masks where the gradual schedule asks for them: every so many steps, and at its end."""
    settings = run.settings("prune")
    ramp = settings.gradual_epochs * per_epoch
    if masks_are_due(settings, step, ramp):
        _update_masks(run, step, ramp)


def _update_masks(run: Run, step: int, steps: int) -> None:
    settings: PruneStage = run.settings("prune")
    kept = constrained_layers(run.graph, run.recipe)
    final = by_layer(run.graph, settings.density)
    densities = {layer: scheduled_density(settings, density, step, steps) for layer, density in final.items()}
    if settings.threshold == "global":
        densities = dict(global_densities(run.known_graph(), next(iter(densities.values()))))
    for layer, name in weight_names(run.graph).items():
        if layer in kept:
            continue
        density = densities[layer]
        seed = _draw(run.seed, STAGES["prune"], zlib.crc32(layer.encode()))
        mask = prune_mask(run.state.values(name), density, settings.method, seed, f"tensor {name}")
        run.state.masks[name] = torch.from_numpy(mask.astype(np.float32))
    run.state.apply_masks()


def _check_converges(run: Run, stage: str, epoch: int) -> None:
    for name, tensor in (*run.state.weights.items(), *run.state.learned.items()):
        if not torch.isfinite(tensor).all():
            raise RecipeError(
                f"recipe {run.recipe.name}: {stage}.learning_rate", f"NaN in {name} after epoch {epoch + 1}",
                "weights that stay finite", "lower it",
            )  # fmt: skip


def _measure(run: Run, what: str) -> None:
    """Validation error of the weights as they are; for the dense network the test error too, for the record."""
    def error(split: Split) -> float:
        return error_pct(run.graph, split, run.state.weights)

    run.errors_pct[f"validation_{what}"] = error(run.data.validation)
    if what == "dense":
        run.errors_pct["test_dense"] = error(run.data.test)
