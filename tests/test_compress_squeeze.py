"""Pruning and sharing for the fewest coded bytes, on a few images; what it prices, keeps and leaves unchanged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from picojoule.models.codecs.context import measure_bits
from picojoule.models.compress.rate import choose_masks, drop_dead_units, hidden_units, mask_costs, sort_units
from picojoule.models.compress.recipe import EncodeStage, Recipe, TrainStage, check_recipe, load_recipe
from picojoule.models.compress.run import compress
from picojoule.models.compress.squeeze_settings import SqueezeStage
from picojoule.models.pico import encode_pico, read_pico
from picojoule.models.run import measure_accuracy
from picojoule.models.train.augment import shifted, teacher_logits
from picojoule.models.train.network import torch_forward
from picojoule.models.train.squeeze import Codebook
from picojoule.models.zoo import build_network

from .test_compress_run import DATA, Interrupter, small_lenet

SQUEEZE = SqueezeStage(
    budget_bytes=700, gradual_epochs=2, retraining_epochs=1, sharing_epochs=2, batch_size=32, learning_rate=0.01,
    steps_between_masks=2, levels=6, shift_pixels=1,
)  # fmt: skip
TINY = Recipe(
    name="tiny",
    train=TrainStage(epochs=4, batch_size=32, learning_rate=0.01, shift_pixels=1),
    squeeze=SQUEEZE,
    encode=EncodeStage(format="context"),
)


def random_network(name: str, density: float, seed: int = 0):
    """A zoo network with sparse random weights."""
    rng = np.random.default_rng(seed)
    graph = build_network(name)
    values = {
        n: (rng.normal(size=p.shape) * (rng.random(p.shape) < density)).astype(np.float32)
        for n, p in graph.parameters.items()
    }
    return graph.with_parameters(values)


def test_costs_of_a_mask_one_by_one() -> None:
    """The scalar twin: p = (r + 0.2) (c + 0.2) / (n + 1), between 1e-4 and 1/2."""
    mask = (np.random.default_rng(1).random((7, 9)) < 0.2).astype(np.float32)
    ones, zeros = mask_costs(mask)
    for i in range(7):
        for j in range(9):
            p = (mask[i].sum() + 0.2) * (mask[:, j].sum() + 0.2) / (mask.sum() + 1)
            p = min(0.5, max(1e-4, p))
            assert ones[i, j] == pytest.approx(-np.log2(p), rel=1e-5)
            assert zeros[i, j] == pytest.approx(-np.log2(1 - p), rel=1e-4)


def test_pixels_share_their_neighbours_prices() -> None:
    mask = np.zeros((5, 16), np.float32)
    mask[:, 5] = 1
    ones, _ = mask_costs(mask, image=4)
    price = ones[0].reshape(4, 4)
    assert price[1, 1] < price[1, 2] == price[0, 1] == price[2, 1] == price[1, 0] < price[2, 2] == price[3, 3]


def test_masks_fit_the_budget_and_keep_what_is_worth_most_per_bit() -> None:
    rng = np.random.default_rng(4)
    weights = {"a": rng.normal(size=(30, 40)).astype(np.float32), "b": rng.normal(size=(30,)).astype(np.float32)}
    weights["a"][0, :5] = 0
    curvature = {n: np.ones_like(w) for n, w in weights.items()}
    masks = {n: np.ones_like(w) for n, w in weights.items()}
    for budget in (3000.0, 1800.0, 900.0):
        prices = {n: mask_costs(m) for n, m in masks.items()}
        masks = choose_masks(weights, curvature, masks, budget, {})
        spent = sum(
            float((masks[n] * np.maximum(one - zero + 3.2, 1.0)).sum() + zero.sum())
            for n, (one, zero) in prices.items()
        )
        assert budget - 20 < spent <= budget
        assert not masks["a"][0, :5].any()
        ones, zeros = prices["a"]
        worth = np.abs(weights["a"]) / np.sqrt(np.maximum(ones - zeros + 3.2, 1))
        assert worth[masks["a"] == 1].min() >= worth[masks["a"] == 0].max()


def test_more_curvature_keeps_a_weight() -> None:
    weights = {"a": np.full((4, 8), 1.0, np.float32)}
    curvature = {"a": np.ones((4, 8), np.float32)}
    curvature["a"][2, 3] = 4.0
    kept = choose_masks(weights, curvature, {"a": np.ones((4, 8), np.float32)}, 32 + 4.0, {})
    assert np.argwhere(kept["a"]).tolist() == [[2, 3]]


def test_dead_units_lose_both_sides() -> None:
    units = hidden_units(build_network("lenet-300-100"))
    masks = {n: np.ones(p.shape, np.float32) for n, p in build_network("lenet-300-100").parameters.items()}
    masks["ip3.weight"][:, 7] = 0  # unit 7 of ip2 is read by nobody
    masks["ip2.weight"][:7, 3] = masks["ip2.weight"][8:, 3] = 0  # unit 3 of ip1 is read by that unit alone
    masks["ip1.weight"][20] = 0  # unit 20 reads nothing
    drop_dead_units(masks, units)
    assert not masks["ip2.weight"][7].any()
    assert not masks["ip1.weight"][[3, 20]].any()
    assert not masks["ip2.weight"][:, 20].any()
    assert masks["ip1.bias"].sum() == 298
    assert masks["ip2.bias"].sum() == 99


@pytest.mark.parametrize("name", ["lenet-300-100", "lenet-5"])
def test_sorting_units_changes_no_output_and_saves_bits(name: str) -> None:
    graph = random_network(name, 0.05)
    again = sort_units(graph)
    x = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    forward = torch_forward(graph)
    before, after = (
        forward(x, {n: torch.from_numpy(np.array(p.values)) for n, p in g.parameters.items()}) for g in (graph, again)
    )
    np.testing.assert_allclose(before, after, rtol=1e-4, atol=1e-4 * float(before.abs().max()))
    first = next(iter(graph.parameters))
    counts = np.count_nonzero(again.parameters[first].values.reshape(len(again.parameters[first].values), -1), axis=1)
    assert (np.diff(counts) <= 0).all()
    if name == "lenet-300-100":
        bits = [measure_bits((g.parameters[first].values != 0).astype(np.uint16), 2) for g in (graph, again)]
        assert bits[1] < bits[0] - 500


def test_shifted_images_against_padding_and_cutting() -> None:
    images = torch.rand(9, 2, 5, 7, generator=torch.Generator().manual_seed(1))
    moved = shifted(images, torch.arange(9), 1)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    for shift in range(9):
        y, x = divmod(shift, 3)
        np.testing.assert_array_equal(moved[shift], padded[shift, :, y : y + 5, x : x + 7])
    np.testing.assert_array_equal(moved[4], images[4])


def test_teacher_says_of_every_shift_what_it_says_of_the_shifted_image() -> None:
    graph = random_network("lenet-300-100", 1.0)
    weights = {n: torch.from_numpy(np.array(p.values)) for n, p in graph.parameters.items()}
    forward = torch_forward(graph)
    images = torch.from_numpy(np.random.default_rng(0).random((4, 1, 28, 28), np.float32))
    said = teacher_logits(forward, weights, images, 1, torch.contiguous_format)
    assert said.shape == (9, 4, 10)
    for shift in (0, 4, 8):
        np.testing.assert_allclose(
            said[shift], forward(shifted(images, torch.full((4,), shift), 1), weights), rtol=1e-5
        )


def test_codebook_holds_means_and_prefers_likely_values() -> None:
    weight = torch.tensor([[1.0, 1.1, 0.9, 1.0, 1.0, 3.0, 0.0, -2.0]])
    mask = (weight != 0).float()
    book = Codebook.make(weight, mask, 3, 0.0)
    assert book.values.tolist() == pytest.approx([-2.0, 1.0, 3.0])
    out = torch.empty(1, 8)
    book.write(out)
    assert out.tolist()[0] == pytest.approx([1, 1, 1, 1, 1, 3, 0, -2])
    spread = torch.linspace(-1, 1, 1001)[None]
    used = [len(Codebook.make(spread, torch.ones_like(spread), 16, rate).coded((1, 1001), "context").codebook) - 1
            for rate in (0.0, 0.3)]  # fmt: skip
    assert used[1] < used[0] == 16


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("whole") / "x.pico"
    compress(small_lenet(), TINY, output=file, data=DATA)
    return file.read_bytes()


@pytest.mark.parametrize(("stage", "step"), [("train", 12), ("squeeze", 10), ("squeeze", 20), ("squeeze", 25)])
def test_an_interrupted_run_gives_the_same_bytes(
    stage: str, step: int, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the masks are final, at the end of pruning (15 steps), while values are shared."""
    monkeypatch.setattr("picojoule.models.train.squeeze.PROGRESS_EVERY", 1)
    monkeypatch.setattr("picojoule.models.train.stages.PROGRESS_EVERY", 1)
    file = tmp_path / "x.pico"
    with pytest.raises(KeyboardInterrupt):
        compress(small_lenet(), TINY, output=file, data=DATA, progress=Interrupter(stage, step))
    assert (tmp_path / "x.pico.resume").exists()
    compress(small_lenet(), TINY, output=file, data=DATA)
    assert file.read_bytes() == whole


def test_interrupted_right_behind_the_pruning(whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("picojoule.models.train.squeeze.PROGRESS_EVERY", 1)
    file = tmp_path / "x.pico"
    with pytest.raises(KeyboardInterrupt):
        compress(small_lenet(), TINY, output=file, data=DATA, progress=Interrupter("squeeze", 16))
    compress(small_lenet(), TINY, output=file, data=DATA)
    assert file.read_bytes() == whole


def test_what_a_run_returns(whole: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.pico"
    file.write_bytes(whole)
    model = read_pico(file)
    assert model.accuracy is not None
    assert model.accuracy.error_pct == measure_accuracy(model.graph, DATA.test).error_pct < 50  # chance: 75
    assert set(model.coded) == set(model.graph.parameters)  # biases too
    for tensor in model.coded.values():
        assert (tensor.encoding, tensor.codebook_dtype) == ("context", "float16")
        assert len(tensor.codebook) <= SQUEEZE.levels + 1
        assert (np.diff(tensor.codebook[1:]) > 0).all()
    payload = sum(row.bytes for row in model.ledger if row.tensor)
    assert payload < 1.25 * SQUEEZE.budget_bytes  # an estimate, on a network far smaller than it is made for
    assert {"validation_dense_error_pct", "test_dense_error_pct", "validation_pruned_error_pct",
            "validation_final_error_pct"} <= set(model.provenance)  # fmt: skip


def test_a_smaller_budget_gives_a_smaller_file(whole: bytes) -> None:
    less = msgspec.structs.replace(TINY, squeeze=msgspec.structs.replace(SQUEEZE, budget_bytes=300))
    assert len(encode_pico(compress(small_lenet(), less, data=DATA))) < len(whole) - 200


def test_augmentation_and_distillation_change_the_run(whole: bytes) -> None:
    plain = msgspec.structs.replace(SQUEEZE, distillation=0.0, shift_pixels=msgspec.UNSET)
    other = compress(small_lenet(), msgspec.structs.replace(TINY, squeeze=plain), data=DATA)
    assert encode_pico(replace(other, provenance={})) != whole


@pytest.mark.parametrize("network", ["lenet-300-100", "lenet-5"])
def test_shipped_recipe_is_for_its_network(network: str) -> None:
    recipe = load_recipe("smallest", network)
    assert recipe.stages == ("train", "squeeze")
    assert recipe.encode.format == "context"
    check_recipe(recipe, build_network(network))
