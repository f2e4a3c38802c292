"""A recipe: every setting of one compression run, as a TOML file.

    name, network, dataset                       what it is for
    [train]   the dense network                  epochs, batch_size, optimizer, learning_rate, ...
    [expander]  layers that are sparse from the start  degree by layer
    [sketch]  layers of few values, by a hash          values by layer
    [low_rank]  layers split into smaller ones         energy by layer, or budget, epochs, ...
    [structured]  whole channels taken out       keep by layer, criterion, epochs, ...
    [prune]   gradual magnitude pruning          density by layer, gradual_epochs, retraining_epochs, ...
    [share]   k-means and centroid fine-tuning   bits by layer, init, epochs, ...
    [squeeze] pruning and sharing for coded bytes  budget_bytes, gradual_epochs, levels, ...
    [quantize]  integers instead of shared values      bits by layer, method, activation_bits, epochs, ...
    [encode]  how the codes lie in the file      format

Every stage but [train] may be left out; they run in the order above.
Tables by layer take layer names or shell patterns (`ip*`); a layer's own name goes first.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from ..codecs import codec_named
from ..errors import InputError, RecipeError
from ..files import read_bytes
from ..graph import Graph
from .constraints import check_constraints
from .prune import by_layer, weight_names
from .squeeze_settings import SqueezeStage
from .stage_settings import (
    EncodeStage,
    ExpanderMasks,
    LowRankStage,
    Optimisation,
    PruneStage,
    QuantizeStage,
    ShareStage,
    SketchedWeights,
    StructuredStage,
    TrainStage,
)

__all__ = [
    "DEFAULT_RECIPE", "EncodeStage", "ExpanderMasks", "LowRankStage", "Optimisation", "PruneStage", "QuantizeStage",
    "Recipe", "ShareStage", "SketchedWeights", "SqueezeStage", "StructuredStage", "TrainStage", "check_recipe",
    "load_recipe",
    "recipe_names", "recipe_settings", "shipped_recipes",
]  # fmt: skip

DEFAULT_RECIPE = "deep-compression"
LIMIT_BYTES = 1 << 20
STAGE_ORDER = ("train", "low_rank", "structured", "prune", "share", "squeeze", "quantize")
# each stage's table of layers
BY_LAYER = {"low_rank": "energy", "structured": "keep", "prune": "density", "share": "bits", "quantize": "bits"}
COMPLETE = ("prune.density", "share.bits", "quantize.bits")  # tables that need a value for every layer

class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One compression run. `network` is what it was made for ("" for any), `dataset` what it trains on."""

    name: str
    train: TrainStage
    expander: ExpanderMasks | msgspec.UnsetType = msgspec.UNSET
    sketch: SketchedWeights | msgspec.UnsetType = msgspec.UNSET
    low_rank: LowRankStage | msgspec.UnsetType = msgspec.UNSET
    structured: StructuredStage | msgspec.UnsetType = msgspec.UNSET
    prune: PruneStage | msgspec.UnsetType = msgspec.UNSET
    share: ShareStage | msgspec.UnsetType = msgspec.UNSET
    squeeze: SqueezeStage | msgspec.UnsetType = msgspec.UNSET
    quantize: QuantizeStage | msgspec.UnsetType = msgspec.UNSET
    encode: EncodeStage = EncodeStage()
    network: str = ""
    dataset: str = "mnist"
    source: str = ""

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages it has, in the order in which they run."""
        return tuple(name for name in STAGE_ORDER if getattr(self, name) is not msgspec.UNSET)


def _shipped() -> dict[str, str]:
    """Text of each shipped recipe by its file's stem."""
    files = (file for file in resources.files(__package__ or "").iterdir() if file.name.endswith(".toml"))
    return {file.name.removesuffix(".toml"): file.read_text("utf-8") for file in files}


def shipped_recipes() -> list[Recipe]:
    """Every recipe in the package."""
    return [_parse(text, f"{stem}.toml") for stem, text in _shipped().items()]


def recipe_names(network: str | None = None) -> list[str]:
    """Names to give to `load_recipe`; with a network, those that are made for it or for any.

    >>> recipe_names("lenet-5")
    ['deep-compression', 'int8', 'lsq-4bit', 'smallest', 'structured', 'ternary', 'two-four']
    """
    fits = (recipe for recipe in shipped_recipes() if network is None or recipe.network in (network, ""))
    return sorted({recipe.name for recipe in fits})


def load_recipe(name_or_path: str | os.PathLike[str] = DEFAULT_RECIPE, network: str = "") -> Recipe:
    """A shipped recipe by name, or a TOML file by path.

    Shipped recipes of one name differ by network: `network` chooses. Raises RecipeError, one line with
    the field's path, for unknown names and fields, values out of range and missing settings.

    >>> load_recipe("deep-compression", "lenet-300-100").prune.density["ip1"]
    0.08
    """
    text = os.fspath(name_or_path)
    if text.endswith(".toml") or Path(text).name != text:
        content = read_bytes(text, limit_bytes=LIMIT_BYTES, what="a recipe (TOML)")
        try:
            return _parse(content.decode(), Path(text).name)
        except UnicodeDecodeError as error:
            raise RecipeError(Path(text).name, error.reason, "a TOML file in UTF-8") from error
    shipped = _shipped()
    found = [stem for stem in (text, f"{text}-{network}") if stem in shipped]
    if found:
        return _parse(shipped[found[0]], f"{found[0]}.toml")
    if any(stem.startswith(f"{text}-") for stem in shipped):
        made_for = [stem.removeprefix(f"{text}-") for stem in sorted(shipped) if stem.startswith(f"{text}-")]
        raise RecipeError(f"recipe {text}", f"network {network or 'not named'}", f"one of {', '.join(made_for)}",
                          "write a recipe for it and name its file: --recipe FILE.toml")  # fmt: skip
    raise RecipeError("recipe", text, f"one of {', '.join(recipe_names())}, or a file ending in .toml")


def recipe_settings(recipe: Recipe) -> str:
    """The whole recipe on one line of JSON, as it is kept in the file it made."""
    return msgspec.json.encode(recipe).decode()


def check_recipe(recipe: Recipe, graph: Graph) -> None:
    """Raise RecipeError where the tables by layer do not fit the network: an unknown layer, or one left out."""
    layers = list(weight_names(graph))
    tables: dict[str, dict[str, Any]] = {}
    for stage in recipe.stages:
        settings = getattr(recipe, stage)
        tables[f"{stage}.dropout"] = settings.dropout
        if stage in BY_LAYER:
            tables[f"{stage}.{BY_LAYER[stage]}"] = getattr(settings, BY_LAYER[stage])
    if recipe.expander is not msgspec.UNSET:
        tables["expander.degree"] = recipe.expander.degree
    if recipe.sketch is not msgspec.UNSET:
        tables["sketch.values"] = recipe.sketch.values
    for where, table in tables.items():
        try:
            chosen = by_layer(graph, table)
        except InputError:
            for key in table:
                _check_key(graph, f"recipe {recipe.name}: {where}.{key}", key, layers)
            raise
        missing = [layer for layer in layers if layer not in chosen]
        if missing and where in COMPLETE:
            raise RecipeError(f"recipe {recipe.name}: {where}.{missing[0]}", "nothing", "a value for every layer")
    if isinstance(recipe.low_rank, LowRankStage) and bool(recipe.low_rank.energy) == (
        recipe.low_rank.budget is not msgspec.UNSET
    ):
        raise RecipeError(f"recipe {recipe.name}: low_rank", "both or neither", "energy by layer, or a budget")
    if isinstance(recipe.quantize, QuantizeStage):
        _check_quantize(recipe.name, recipe.quantize, {"share", "squeeze"}.intersection(recipe.stages))
    if isinstance(recipe.prune, PruneStage) and recipe.prune.threshold == "global":
        one = len(set(recipe.prune.density.values())) == 1 and recipe.prune.method == "magnitude"
        if not one or recipe.expander is not msgspec.UNSET or recipe.sketch is not msgspec.UNSET:
            raise RecipeError(f"recipe {recipe.name}: prune.threshold", "global",
                              "one density, the method magnitude, no [expander], no [sketch]")  # fmt: skip
    check_constraints(recipe.name, graph, recipe.expander, recipe.sketch, recipe.stages)


def _check_quantize(recipe: str, settings: QuantizeStage, others: set[str]) -> None:
    where = f"recipe {recipe}: quantize"
    if others:
        raise RecipeError(where, f"[{min(others)}] as well", "one of the two", "both decide what values weights take")
    for layer, bits in settings.bits.items():
        if bits == 1 and settings.method != "binary":
            raise RecipeError(f"{where}.bits.{layer}", 1, "at least 2, or the method binary")


def _check_key(graph: Graph, where: str, key: str, layers: list[str]) -> None:
    try:
        by_layer(graph, {key: 0})
    except InputError as error:
        wanted = f"a layer of {graph.name}, or a pattern, among {', '.join(layers)}"
        raise RecipeError(where, "no such layer", wanted) from error


def _parse(text: str, file: str) -> Recipe:
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(file, error, "a TOML file") from error
    for path, value in _leaves(settings):
        if isinstance(value, float) and not math.isfinite(value):
            raise RecipeError(f"{file}: {path}", value, "a finite number")
    try:
        recipe = msgspec.convert(settings, Recipe)
    except msgspec.ValidationError as error:
        raise _explain(file, settings, str(error)) from error
    try:
        codec_named(recipe.encode.format)
    except InputError as error:
        raise RecipeError(f"{file}: encode.format", recipe.encode.format, str(error).partition("wanted ")[2]) from error
    return recipe


def _leaves(table: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _explain(file: str, settings: dict[str, Any], message: str) -> RecipeError:
    """msgspec's message (`Expected X, got Y - at `$.a.b[...]``) as where, got, wanted."""
    text, _, place = message.partition(" - at `$")
    path = place.rstrip("`").removeprefix(".")
    if path.endswith("[...]"):
        path = path.removesuffix("[...]")
        path = f"{path}.{_culprit(settings, path)}"
    if found := re.match(r"Object contains unknown field `(.*)`", text):
        return RecipeError(f"{file}: {f'{path}.' if path else ''}{found[1]}", "an unknown field", "a known one",
                           f"known: {', '.join(_fields(path))}")  # fmt: skip
    if found := re.match(r"Object missing required field `(.*)`", text):
        return RecipeError(f"{file}: {f'{path}.' if path else ''}{found[1]}", "nothing", "a value")
    value: Any = settings
    for key in path.split("."):
        value = value.get(key, "nothing") if isinstance(value, dict) else value
    return RecipeError(f"{file}: {path}" if path else file, value, _wanted(text, path))


KINDS: dict[str, Any] = {
    "": Recipe, "train": TrainStage, "expander": ExpanderMasks, "sketch": SketchedWeights,
    "low_rank": LowRankStage, "structured": StructuredStage, "prune": PruneStage, "share": ShareStage,
    "squeeze": SqueezeStage, "quantize": QuantizeStage, "encode": EncodeStage,
}  # fmt: skip
PLAIN = {"float": "a number", "int": "a whole number", "str": "text", "object": "a table"}


def _fields(path: str) -> list[str]:
    return list(KINDS[path].__struct_fields__) if path in KINDS else []


def _wanted(text: str, path: str) -> str:
    """What msgspec expected, in plain words."""
    if text.startswith("Invalid enum value"):
        section, _, field = path.rpartition(".")
        choices = get_args(get_type_hints(KINDS[section])[field])
        return f"one of {', '.join(choices)}"
    expected = re.sub(r", got .*", "", text).removeprefix("Expected ").replace("`", "")
    kind, _, limit = expected.partition(" ")
    return f"{PLAIN.get(kind, kind)} {limit}".strip()


def _culprit(settings: dict[str, Any], path: str) -> str:
    """The first key of the table at `path` whose value alone makes the recipe invalid."""
    section, table = path.split(".")
    for key, value in settings[section][table].items():
        alone = {**settings, section: {**settings[section], table: {key: value}}}
        try:
            msgspec.convert(alone, Recipe)
        except msgspec.ValidationError as error:
            if path in str(error):
                return key
    return "?"
