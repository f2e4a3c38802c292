"""One compression run from a network to a `.pico` file, with the error of the file that came out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np

from ..data.mnist import Split
from ..errors import InputError, MissingExtraError
from ..finite import check_finite_parameters
from ..graph import Graph
from ..load import load_model
from ..model import Accuracy, Model
from ..pico import decode_pico, encode_pico, write_pico
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .dataset import Data, check_data, data_fingerprint, load_data
from .post_training import DEFAULT_BITS, PostTraining, compress_post_training, samples_of, without_epochs
from .progress import Progress, silent
from .prune import weight_names
from .recipe import DEFAULT_RECIPE, Recipe, check_recipe, load_recipe, recipe_settings, shipped_recipes

__all__ = ["compress"]

DECIMALS = 6  # of percentages in the provenance


def compress(
    model: Model | Graph | str, recipe: Recipe | str | os.PathLike[str] | None = None, *, seed: int = 0,
    output: str | os.PathLike[str] | None = None, progress: Progress | None = None,
    checkpoint: str | os.PathLike[str] | None = None, data: Data | str | os.PathLike[str] | None = None,
    post_training: PostTraining | None = None,
) -> Model:  # fmt: skip
    """Train, prune, share, fine-tune and encode a network; return it as its file decodes.

    `model`: a Model, a Graph, or a MODEL string; where its weights are known the run starts from them
    and skips the dense training. `recipe`: a Recipe, a shipped one's name or a TOML file (default:
    "deep-compression" for this network). `output`: the `.pico` file to write. `progress(stage, step,
    total)` hears of every few steps. `checkpoint`: where the state is kept after each epoch (default:
    `output` + ".resume"; without either, nowhere); the same call after an interruption goes on there and
    gives the same bits as an uninterrupted run on the same machine and versions; it is deleted at the end.
    `data`: a data set by name or an `.npz` file (default: the recipe's).

    `post_training` settings instead of a recipe compress known weights as they are: no data and no torch are
    needed, and `data` only measures the outcome. So does a recipe whose stages have no epochs, and so are
    weights of a network that no recipe is made for, in 8 bits.

    The result's `accuracy` is measured on the test split with the weights decoded from the encoded file;
    so is `activation_density`. No weight depends on that split. The error after each stage, on the
    validation split, is in `provenance`.
    Raises MissingExtraError without torch, RecipeError, InputError for weights that are not finite or data
    that do not fit, OutputError where the file cannot be written.
    """
    source = _as_model(model)
    graph = source.graph
    if not weight_names(graph):
        raise InputError(f"network {graph.name}", "no convolution and no matrix product", "a layer to compress")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise InputError("--seed", seed, "a whole number of at least 0")
    check_finite_parameters(graph)
    settings, made_for = _settings(graph, recipe, post_training)
    if isinstance(settings, PostTraining):
        samples = samples_of(data if data is not None else made_for, graph)
        return compress_post_training(source, settings, seed, samples, output, progress or silent)
    splits = data if isinstance(data, Data) else load_data(data or settings.dataset)
    check_data(splits, graph)
    kept = _checkpoint_path(checkpoint, output)
    compressed = _run(graph, settings, splits, seed, progress or silent, kept)
    if output is not None:
        write_pico(compressed, output)
        if kept is not None:
            kept.unlink(missing_ok=True)
    return _decoded(compressed)


def _settings(
    graph: Graph, recipe: Recipe | str | os.PathLike[str] | None, post_training: PostTraining | None
) -> tuple[Recipe | PostTraining, str | None]:
    """What to do, and the data set to measure on where the recipe that says so is made for this network."""
    if post_training is not None:
        if recipe is not None:
            raise InputError("--recipe", "a recipe beside --bits, --density, --format, --prune or --share",
                             "one or the other")  # fmt: skip
        return post_training, None
    if recipe is None and graph.has_weights and graph.name not in {r.network for r in shipped_recipes()}:
        return PostTraining(bits=DEFAULT_BITS), None
    settings = recipe if isinstance(recipe, Recipe) else load_recipe(recipe or DEFAULT_RECIPE, graph.name)
    check_recipe(settings, graph)
    untrained = without_epochs(settings, graph)
    if untrained is None:
        return settings, None
    return untrained, settings.dataset if settings.network == graph.name else None


def _as_model(model: Model | Graph | str) -> Model:
    if isinstance(model, Graph):
        return Model(model.name, model)
    return model if isinstance(model, Model) else load_model(model)


def _checkpoint_path(
    checkpoint: str | os.PathLike[str] | None, output: str | os.PathLike[str] | None
) -> Path | None:
    if checkpoint is not None:
        return Path(checkpoint)
    return Path(f"{os.fspath(output)}.resume") if output is not None else None


def _decoded(model: Model) -> Model:
    """What a reader of the file gets."""
    return decode_pico(encode_pico(model), f"{model.name}.pico")


def _run(graph: Graph, recipe: Recipe, data: Data, seed: int, progress: Progress, kept: Path | None) -> Model:
    """The trained, coded network with the error measured on its decoded weights."""
    try:
        from ..train import TORCH_VERSION, activation_density, error_pct, train_stages
    except ImportError as error:
        raise MissingExtraError("compress", "train") from error
    fingerprint = _fingerprint(graph, recipe, data, seed, TORCH_VERSION)
    run = f"{graph.name}, recipe {recipe.name}, seed {seed}"
    start = load_checkpoint(kept, fingerprint, run) if kept is not None else None

    def save(state: Checkpoint) -> None:
        if kept is not None:
            save_checkpoint(kept, state, fingerprint, run)

    trained = train_stages(graph, recipe, data, seed=seed, progress=progress, start=start, save=save)
    values = {**trained.values, **{name: coded.values for name, coded in trained.coded.items()}}
    model = Model(graph.name, trained.graph.with_parameters(values), trained.coded)
    decoded = _decoded(model).graph
    accuracy = _accuracy(error_pct(decoded, data.test), data.test)
    provenance = _provenance(graph, recipe, seed, trained.errors_pct, TORCH_VERSION)
    density = activation_density(decoded, data.test)
    return replace(model, accuracy=accuracy, activation_density=density, provenance=provenance)


def _accuracy(error_pct: float, split: Split) -> Accuracy:
    return Accuracy(error_pct, split.dataset, len(split), split.name)


def _provenance(
    graph: Graph, recipe: Recipe, seed: int, errors_pct: Mapping[str, float], torch_version: str
) -> dict[str, str | int | float]:
    return {
        "command": f"picojoule compress {graph.name} --recipe {recipe.name} --seed {seed}",
        "seed": seed,
        "recipe": recipe.name,
        "recipe_settings": recipe_settings(recipe),
        "picojoule_version": metadata.version("picojoule"),
        "torch_version": torch_version,
        **{f"{name}_error_pct": round(value, DECIMALS) for name, value in errors_pct.items()},
    }


def _fingerprint(graph: Graph, recipe: Recipe, data: Data, seed: int, torch_version: str) -> str:
    """A hash of everything that a run's result depends on."""
    digest = hashlib.blake2b(digest_size=16)
    shapes = {name: parameter.shape for name, parameter in graph.parameters.items()}
    nodes = [(n.name, n.op, n.inputs, n.output, dict(n.parameters), dict(n.attributes)) for n in graph]
    versions = (metadata.version("picojoule"), torch_version, np.__version__)
    for part in (graph.name, nodes, shapes, recipe_settings(recipe), seed, versions, data_fingerprint(data)):
        digest.update(repr(part).encode() + b"\0")
    for parameter in graph.parameters.values():
        if parameter.values is not None:
            digest.update(np.ascontiguousarray(parameter.values).data)
    return digest.hexdigest()
