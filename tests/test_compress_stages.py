"""Every stage of a recipe in a whole run: what comes out, and that a killed run goes on to the same bytes.

Interruptions are at random steps, drawn by a seed per recipe, against a run that nothing interrupted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compress_cases import DATA

pytest.importorskip("torch")

import msgspec
import torch

from picojoule import estimate
from picojoule.models.build import GraphBuilder
from picojoule.models.compress.quantize import ActivationRange, integer_activations
from picojoule.models.compress.recipe import Recipe
from picojoule.models.compress.run import compress
from picojoule.models.compress.stage_settings import PruneStage
from picojoule.models.errors import RecipeError
from picojoule.models.graph import Graph
from picojoule.models.patterns import expander_mask, layer_seed
from picojoule.models.pico import read_pico
from picojoule.models.run import measure_accuracy, predict
from picojoule.models.train.evaluate import own_weights
from picojoule.models.train.network import torch_forward
from picojoule.models.train.schedule import masks_are_due, scheduled_density
from picojoule.simulator.workload import make_workload

STEPS = 5  # of an epoch: 160 images in batches of 32
COMMON = {"batch_size": 32, "learning_rate": 0.01}
TRAIN = {"epochs": 4, **COMMON}
PRUNE = {"density": {"*": 0.5}, "gradual_epochs": 1, "retraining_epochs": 1, "steps_between_masks": 2, **COMMON}
SHARE = {"bits": {"*": 3}, "epochs": 1, "batch_size": 32, "learning_rate": 1e-3}
DENSE = {"format": "dense"}
RECIPES: dict[str, dict[str, Any]] = {
    "dense": {},
    "structured": {"structured": {"keep": {"*": 0.5}, "epochs": 2, **COMMON}},
    "structured-shared": {
        "structured": {"keep": {"conv1": 0.5}, "epochs": 1, "criterion": "random", **COMMON}, "prune": PRUNE,
        "share": SHARE,
    },
    "expander": {"expander": {"degree": {"conv2": 3, "ip1": 16}}, "prune": PRUNE, "share": SHARE},
    "sketch": {"sketch": {"values": {"ip1": 0.125, "conv2": 0.25}}, "prune": PRUNE, "share": SHARE},
    "low-rank": {"low_rank": {"budget": 0.5, "epochs": 2, **COMMON}},
    "low-rank-pruned": {
        "low_rank": {"energy": {"conv2": 0.9, "ip1": 0.7}, "epochs": 1, **COMMON},
        "prune": {**PRUNE, "density": {"ip1": 0.5, "*": 0.8}}, "share": SHARE,
    },
    "int8": {"quantize": {"bits": {"*": 8}, "epochs": 0, "activation_bits": 8}, "encode": DENSE},
    "int4-trained": {
        "quantize": {"bits": {"*": 4}, "epochs": 2, "granularity": "channel", "activation_bits": 6,
                     "calibration": "percentile", **COMMON}, "encode": DENSE,
    },
    "affine": {"quantize": {"bits": {"*": 6}, "epochs": 1, "scheme": "affine", **COMMON}, "encode": DENSE},
    "affine-by-channel": {"quantize": {"bits": {"*": 4}, "epochs": 1, "scheme": "affine", "granularity": "channel",
                                       **COMMON}, "encode": DENSE},
    "lsq-by-channel": {"quantize": {"method": "lsq", "bits": {"*": 3}, "epochs": 1, "granularity": "channel",
                                    **COMMON}, "encode": DENSE},
    "ttq-by-channel": {"quantize": {"method": "ttq", "bits": {"*": 2}, "epochs": 1, "granularity": "channel",
                                    **COMMON}, "encode": {"format": "dense+huffman"}},
    "lsq": {"quantize": {"method": "lsq", "bits": {"*": 3}, "epochs": 2, "activation_bits": 4, **COMMON},
            "encode": DENSE},
    "ternary": {"quantize": {"method": "ternary", "bits": {"conv1": 8, "*": 2}, "epochs": 2, **COMMON},
                "encode": {"format": "dense+huffman"}},
    "ttq": {"quantize": {"method": "ttq", "bits": {"*": 2}, "epochs": 2, **COMMON}, "encode": {"format": "bitmask"}},
    "binary": {"quantize": {"method": "binary", "bits": {"conv1": 4, "ip2": 4, "*": 1}, "epochs": 3,
                            "granularity": "channel", **COMMON}, "encode": DENSE},
    "pruned-quantized": {"prune": PRUNE, "quantize": {"bits": {"*": 4}, "epochs": 1, **COMMON}},
    "rounds": {"prune": {**PRUNE, "gradual_epochs": 3, "schedule_density": "rounds", "rounds": 2}, "share": SHARE},
    "one-shot-global": {"prune": {**PRUNE, "schedule_density": "one-shot", "threshold": "global"}, "share": SHARE},
}  # fmt: skip


def recipe(name: str) -> Recipe:
    return msgspec.convert({"name": name, "train": TRAIN, **RECIPES[name]}, Recipe)


def network() -> Graph:
    net = GraphBuilder("small", (1, 1, 12, 12))
    net.conv("conv1", 6, 5)
    net.max_pool("pool1", 2, 2)
    net.conv("conv2", 8, 3)
    net.relu("relu0")
    net.flatten("flatten")
    net.gemm("ip1", 30)
    net.relu("relu1")
    net.gemm("ip2", 4)
    return net.build()


class Interrupter:
    """A progress callback that raises KeyboardInterrupt at the steps with these numbers, counted over the whole run."""

    def __init__(self, *at: int) -> None:
        self.at, self.count = set(at), 0

    def __call__(self, stage: str, step: int, total: int) -> None:
        self.count += 1
        if self.count in self.at:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("picojoule.models.train.stages.PROGRESS_EVERY", 1)


@pytest.mark.parametrize("name", RECIPES)
def test_a_killed_run_goes_on_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    whole, file = tmp_path / "whole.pico", tmp_path / "x.pico"
    counter = Interrupter()
    compress(network(), recipe(name), output=whole, data=DATA, progress=counter)
    steps = counter.count
    random = np.random.default_rng(sum(map(ord, name)))
    progress = Interrupter(*random.choice(np.arange(1, steps + 1), 4, replace=False).tolist())
    broken = 0
    while not file.exists():
        try:
            compress(network(), recipe(name), output=file, data=DATA, progress=progress)
        except KeyboardInterrupt:
            broken += 1
    assert broken == 4
    assert file.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole.pico", "x.pico"]


@pytest.mark.parametrize("name", RECIPES)
def test_the_error_claimed_is_that_of_the_file_through_onnxruntime(name: str, tmp_path: Path) -> None:
    made = compress(network(), recipe(name), output=tmp_path / "x.pico", data=DATA)
    again = read_pico(tmp_path / "x.pico")
    assert made.accuracy is not None
    assert measure_accuracy(again.graph, DATA.test).error_pct == made.accuracy.error_pct
    assert made.accuracy.error_pct < 40  # guessing: 75
    assert {"validation_dense_error_pct", "validation_final_error_pct"} <= set(made.provenance)


def test_a_structured_run_gives_a_smaller_network() -> None:
    made = compress(network(), recipe("structured-shared"), data=DATA)
    assert made.graph.parameters["conv1.weight"].shape == (3, 1, 5, 5)
    assert made.graph.parameters["conv2.weight"].shape == (8, 3, 3, 3)
    assert set(made.coded) == {"conv1.weight", "conv2.weight", "ip1.weight", "ip2.weight"}
    assert {"validation_shrunk_error_pct", "validation_structured_error_pct"} <= set(made.provenance)


def test_an_expander_run_trains_its_graph_and_stores_no_index() -> None:
    made = compress(network(), recipe("expander"), data=DATA, seed=5)
    seed = layer_seed(5, "ip1")
    tensor = made.coded["ip1.weight"]
    assert tensor.encoding == f"expander16@{seed}+huffman"
    assert not tensor.codes[~expander_mask(tensor.shape, 16, seed)].any()
    assert tensor.nonzeros > 0.9 * 30 * 16
    assert made.coded["conv2.weight"].nonzeros <= 8 * 3 * 9
    assert made.coded["ip2.weight"].nonzeros == 60  # pruned to half, as the recipe says
    kinds = {row.section for row in made.ledger if row.tensor == "ip1.weight"}
    assert kinds == {"codes", "codebook", "huffman_table", "alignment"}


def test_a_sketched_run_stores_nothing_but_its_values() -> None:
    made = compress(network(), recipe("sketch"), data=DATA, seed=5)
    tensor = made.coded["ip1.weight"]
    assert tensor.encoding == f"hashed@{layer_seed(5, 'ip1')}"
    rows = {row.section: row.bytes for row in made.ledger if row.tensor == "ip1.weight"}
    assert rows == {"codebook": 4 * round(0.125 * tensor.codes.size)}
    half = len(tensor.codebook) // 2
    assert np.array_equal(tensor.codebook[1 : half + 1], -tensor.codebook[half + 1 :])
    costs = estimate(made, "generic-45nm").totals
    assert costs["weight_bytes"] == pytest.approx(sum(row.bytes for row in made.ledger if row.tensor), abs=16)


def test_a_low_rank_run_splits_layers_whose_factors_follow_their_settings() -> None:
    made = compress(network(), recipe("low-rank-pruned"), data=DATA)
    names = [node.name for node in made.graph]
    assert "ip1.in" in names
    factor = made.coded["ip1.in.weight"]
    assert factor.nonzeros <= round(0.5 * factor.codes.size) < factor.nonzeros + 3
    small = compress(network(), recipe("low-rank"), data=DATA).graph
    weights = [p.elements for name, p in small.parameters.items() if name.endswith("weight")]
    whole = [p.elements for name, p in network().parameters.items() if name.endswith("weight")]
    assert sum(weights) <= 0.5 * sum(whole)


@pytest.mark.parametrize("name", ["int8", "lsq", "ternary", "ttq", "binary", "int4-trained"])
def test_a_quantized_network_survives_its_file_and_its_bits_reach_the_estimate(name: str, tmp_path: Path) -> None:
    made = compress(network(), recipe(name), output=tmp_path / "x.pico", data=DATA)
    again = read_pico(tmp_path / "x.pico")
    quantize = RECIPES[name]["quantize"]
    bits = {layer: quantize["bits"].get(layer, quantize["bits"]["*"]) for layer in ("conv1", "conv2", "ip1", "ip2")}
    for layer, width in bits.items():
        tensor = again.coded[f"{layer}.weight"]
        assert tensor.code_bits == width
        assert np.array_equal(tensor.values, made.graph.parameters[f"{layer}.weight"].values)
        outputs = range(len(tensor.codes)) if tensor.scales is not None else [slice(None)]
        levels = max(len(np.unique(tensor.values[rows])) for rows in outputs)
        assert levels <= (3 if width == 2 and "t" in name and name != "int4-trained" else 2**width)
    layers = estimate(again, "generic-45nm").layers
    workload = make_workload(again)
    wanted = quantize.get("activation_bits", 32)
    place = [workload.names.index(layer) for layer in bits]
    assert workload.activation_bits[place].tolist() == [wanted] * 4
    assert workload.weight_bits[place].tolist() == list(bits.values())
    dense = estimate(network(), "generic-45nm").layers
    assert layers["energy_pj"].sum() < dense["energy_pj"].sum()


def test_every_executor_rounds_activations_alike() -> None:
    """torch and onnxruntime, at 8 bits (QuantizeLinear) and at others (rounded by hand), against numpy's own."""
    graph = network()
    random = np.random.default_rng(3)
    graph = graph.with_parameters(
        {n: random.normal(size=p.shape, scale=0.2).astype(np.float32) for n, p in graph.parameters.items()}
    )
    images = DATA.test.images[:20]
    for bits in (3, 8, 11):
        found = integer_activations(graph, {"conv1": ActivationRange.of(-0.1, 1.4, bits),
                                            "ip2": ActivationRange.of(0, 2.0, bits)})  # fmt: skip
        wanted = predict(found, images)
        logits = torch_forward(found)(torch.from_numpy(images.copy()), own_weights(found)).numpy()
        assert logits == pytest.approx(wanted, abs=1e-4)
        assert np.abs(wanted - predict(graph, images)).max() > 1e-6
        assert {name for name, spec in found.tensors.items() if spec.bits == bits} == {"input", "ip1", "relu1"}


def test_rounds_and_one_shot_cut_when_they_should(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 15 steps: two rounds cut at 0 and 8 (the first step past half), and at the end; one shot at 0 and the end."""
    seen: list[tuple[int, float]] = []
    stage = msgspec.convert({**RECIPES["rounds"]["prune"]}, PruneStage)
    for step in range(20):
        if masks_are_due(stage, step, 15):
            seen.append((step, round(scheduled_density(stage, 0.25, step, 15), 6)))
    assert seen == [(0, 0.5), (8, 0.25), (15, 0.25)]
    shot = msgspec.structs.replace(stage, schedule_density="one-shot")
    assert [step for step in range(20) if masks_are_due(shot, step, 15)] == [0, 15]
    assert scheduled_density(shot, 0.25, 0, 15) == 0.25


def test_a_global_threshold_keeps_one_density_of_all_layers_together() -> None:
    made = compress(network(), recipe("one-shot-global"), data=DATA)
    kept = {name: tensor.nonzeros / tensor.codes.size for name, tensor in made.coded.items()}
    sizes = {name: tensor.codes.size for name, tensor in made.coded.items()}
    assert sum(t.nonzeros for t in made.coded.values()) == pytest.approx(0.5 * sum(sizes.values()), abs=4)
    assert max(kept.values()) - min(kept.values()) > 0.05


def test_a_table_of_layers_is_checked_before_anything_is_trained() -> None:
    bad = msgspec.convert(
        {"name": "bad", "train": TRAIN, "structured": {"keep": {"conv9": 0.5}, "epochs": 1}}, Recipe
    )
    with pytest.raises(RecipeError, match=r"recipe bad: structured\.keep\.conv9: got no such layer"):
        compress(network(), bad, data=DATA)
