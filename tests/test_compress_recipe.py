"""Recipes: the shipped ones load and say what they should, wrong ones are refused on one line with the field's path."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from picojoule.arguments import RECIPES
from picojoule.models.codecs import ENCODINGS
from picojoule.models.compress.prune import by_layer
from picojoule.models.compress.recipe import check_recipe, load_recipe, recipe_names, recipe_settings, shipped_recipes
from picojoule.models.errors import InputError, RecipeError
from picojoule.models.zoo import build_network

GOOD = """name = "mine"
[train]
epochs = 1
[prune]
gradual_epochs = 1
retraining_epochs = 2
[prune.density]
ip1 = 0.1
"*" = 0.5
[share]
epochs = 1
[share.bits]
"*" = 5
"""


def load_text(tmp_path: Path, text: str):
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    return load_recipe(file)


def test_a_minimal_recipe_has_defaults(tmp_path: Path) -> None:
    recipe = load_text(tmp_path, GOOD)
    assert (recipe.prune.epochs, recipe.encode.format, recipe.share.init) == (3, "relative5+huffman", "linear")
    check_recipe(recipe, build_network("lenet-300-100"))


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("ip1 = 0.1", "ip1 = 1.5", "prune.density.ip1: got 1.5, wanted a number <= 1.0"),
        ("ip1 = 0.1", "ip1 = -0.5", "prune.density.ip1: got -0.5, wanted a number >= 0.0"),
        ("ip1 = 0.1", "ip1 = nan", "prune.density.ip1: got nan, wanted a finite number"),
        ("ip1 = 0.1", "ip1 = 'few'", "prune.density.ip1: got few, wanted a number"),
        ('"*" = 5', '"*" = 17', "share.bits.*: got 17, wanted a whole number <= 16"),
        ("[share]", "[share]\ninit = 'best'", "share.init: got best, wanted one of linear, density, random"),
        ("[share]", "[share]\nlearning_rate = inf", "share.learning_rate: got inf, wanted a finite number"),
        ("[share]", "[share]\nweight_decay = 0.1", "share.weight_decay: got an unknown field, wanted a known one"),
        ("[prune]", "[prune]\nepochs = 3", "prune.epochs: got an unknown field"),
        ('name = "mine"', 'label = "mine"', "label: got an unknown field"),
        ("gradual_epochs = 1", "", "prune.gradual_epochs: got nothing, wanted a value"),
        ("epochs = 1\n[prune]", "epochs = -1\n[prune]", "train.epochs: got -1, wanted a whole number >= 0"),
        ("[share]\n", "[encode]\nformat = 'zip'\n[share]\n", "encode.format: got zip, wanted one of"),
        ("[share]", "[share", "got Expected ']' at the end of a table"),
    ],
)  # fmt: skip
def test_wrong_recipes_are_refused_on_one_line(good: str, bad: str, message: str, tmp_path: Path) -> None:
    assert good in GOOD
    with pytest.raises(RecipeError) as caught:
        load_text(tmp_path, GOOD.replace(good, bad, 1))
    said = str(caught.value)
    assert said.startswith(f"recipe.toml: {message}")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ('"*" = 5', "ip1 = 5", "recipe mine: share.bits.ip2: got nothing, wanted a value for every layer"),
        ("ip1 = 0.1", "fc1 = 0.1", "recipe mine: prune.density.fc1: got no such layer, wanted a layer of lenet"),
        ("[share]", "[share.dropout]\nfc = 0.1\n[share]", "recipe mine: share.dropout.fc: got no such layer"),
    ],
)  # fmt: skip
def test_recipes_that_do_not_fit_the_network(good: str, bad: str, message: str, tmp_path: Path) -> None:
    recipe = load_text(tmp_path, GOOD.replace(good, bad, 1))
    with pytest.raises(RecipeError) as caught:
        check_recipe(recipe, build_network("lenet-300-100"))
    assert str(caught.value).startswith(message)


def test_unknown_recipes_and_networks() -> None:
    with pytest.raises(RecipeError, match=r"recipe: got nonesuch, wanted one of deep-compression, .*or a file"):
        load_recipe("nonesuch", "lenet-5")
    with pytest.raises(RecipeError, match="network vgg-16, wanted one of lenet-300-100, lenet-5; write a recipe"):
        load_recipe("deep-compression", "vgg-16")
    with pytest.raises(InputError, match="no such file"):
        load_recipe("missing.toml")


@pytest.mark.parametrize(
    ("network", "bits", "density"),
    [
        ("lenet-300-100", {"ip1": 6, "ip2": 6, "ip3": 6}, {"ip1": 0.08, "ip2": 0.09, "ip3": 0.26}),
        ("lenet-5", {"conv1": 8, "conv2": 8, "ip1": 5, "ip2": 5}, {"conv1": 0.66, "conv2": 0.12, "ip2": 0.19}),
    ],
)
def test_shipped_recipes_against_deep_compression_tables_2_and_3(
    network: str, bits: dict[str, int], density: dict[str, float]
) -> None:
    recipe, graph = load_recipe("deep-compression", network), build_network(network)
    check_recipe(recipe, graph)
    assert recipe.network == network
    assert by_layer(graph, recipe.share.bits) == bits
    assert by_layer(graph, recipe.prune.density).items() >= density.items()
    assert recipe.encode.format in ENCODINGS
    assert recipe_names(network) == recipe_names()
    assert {"deep-compression", "int8", "lsq-4bit", "structured", "ternary", "two-four"} <= set(recipe_names())


def test_settings_on_one_line_give_the_recipe_back() -> None:
    recipe = load_recipe("deep-compression", "lenet-5")
    assert msgspec.json.decode(recipe_settings(recipe), type=type(recipe)) == recipe


def test_the_command_lists_every_shipped_recipe() -> None:
    for recipe in shipped_recipes():
        assert recipe.name in RECIPES
