"""estimate(model, target): what is asked for, what is real, and what is no longer known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picojoule.models.errors import InputError
from picojoule.models.load import load_model
from picojoule.models.pico import write_pico
from picojoule.models.zoo.lenet import lenet_300_100
from picojoule.simulator.document import estimate_document
from picojoule.simulator.estimate import as_model, estimate, estimate_many, parse_bits, recompress
from picojoule.simulator.target import DEFAULT_TARGETS, load_target
from picojoule.simulator.workload import Overrides

LENET = "lenet-300-100@deep-compression"
MODELS_OF_COST = (*DEFAULT_TARGETS, "rtx-3090", "stm32l4r5")  # every kind of target, and of runtime


def error_of(model: Any, target: str = "titan-x", **asked: Any) -> dict[str, Any] | None:
    return estimate_document(estimate(model, target, **asked), "test")["totals"]["error_pct"]


def test_shipped_weights_keep_their_measured_error() -> None:
    accuracy = load_model(LENET).accuracy
    assert accuracy is not None
    assert error_of(LENET) == {
        "value": accuracy.error_pct, "dataset": "mnist", "n": 10_000, "split": "test", "status": "measured",
    }  # fmt: skip


@pytest.mark.parametrize("asked", [{"bits": 4}, {"density": 0.05}, {"bits": 3, "density": 0.02}])
def test_bits_and_density_recompress_real_weights_and_forget_the_error(asked: dict[str, Any]) -> None:
    cost, before = estimate(LENET, "generic-45nm", **asked), estimate(LENET, "generic-45nm")
    w = cost.workload
    assert w.basis == "exact"
    assert estimate_document(cost, "test")["totals"]["error_pct"] is None
    assert cost.totals["file_bytes"] is None
    assert set(w.weight_bits.tolist()) == {asked.get("bits", 6)}
    if "density" in asked:
        expected = [round(asked["density"] * n) for n in (235_200, 30_000, 1_000)]
        assert w.weight_nonzeros.tolist() == expected
    else:
        assert w.weight_nonzeros.tolist() == before.workload.weight_nonzeros.tolist()


def test_pruning_keeps_the_largest_weights() -> None:
    """The twin: sort the layer's absolute values, keep the first 5 %."""
    model = load_model(LENET)
    pruned, rest = recompress(model, Overrides(density=0.05, storage="csr"))
    assert (rest.density, rest.storage) == (None, "csr")
    for name, tensor in model.coded.items():
        values = np.abs(tensor.values.ravel())
        kept = pruned.coded[name].codes.ravel() != 0
        assert kept.sum() == round(0.05 * len(values))
        assert values[kept].min() >= values[~kept].max()


def test_asking_for_nothing_changes_nothing() -> None:
    model = load_model(LENET)
    for asked in (Overrides(), Overrides(storage="csr"), Overrides(activation_density=0.5, activation_bits=8)):
        assert recompress(model, asked) == (model, asked)


def test_other_targets_keep_what_eie_has_to_cluster_again() -> None:
    """Six bits are 64 shared values and EIE's codes have four: its error is not the file's (A4)."""
    assert error_of(LENET, "eie") is None
    assert error_of(LENET, "core-i7-5930k") is not None


def test_a_file_costs_what_the_shipped_model_costs(tmp_path: Path) -> None:
    path = tmp_path / "mine.pico"
    write_pico(load_model(LENET), path)
    for target in MODELS_OF_COST:
        mine, shipped = (estimate(model, target).totals for model in (str(path), LENET))
        assert mine["energy_pj"] == shipped["energy_pj"]
        assert mine["file_bytes"] == path.stat().st_size


def test_without_weights_density_is_statistical_and_repeats() -> None:
    first, again = (estimate("lenet-300-100", "eie", density=0.1, bits=4) for _ in range(2))
    assert first.workload.basis == estimate_document(first, "test")["basis"] == "statistical"
    assert first.totals == again.totals
    assert estimate("lenet-300-100", "eie").workload.basis == "exact"
    assert first.workload.weight_nonzeros.tolist() == [23_520, 3_000, 100]


@pytest.mark.parametrize("target", MODELS_OF_COST)
def test_statistical_weights_cost_what_real_weights_of_their_density_cost(target: str) -> None:
    """Weights pruned for real to 10 % of a random tensor against the description "10 %": the same within 1 %."""
    rng = np.random.default_rng(1)
    shapes = {name: p.shape for name, p in lenet_300_100().parameters.items()}
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    real = estimate(lenet_300_100().with_parameters(values), target, density=0.1, bits=4, format="relative5")
    described = estimate("lenet-300-100", target, density=0.1, bits=4, format="relative5")
    assert (real.workload.basis, described.workload.basis) == ("exact", "statistical")
    assert described.totals["energy_pj"] == pytest.approx(real.totals["energy_pj"], rel=0.01)


def test_strict_names_what_a_target_cannot_run() -> None:
    with pytest.raises(InputError, match=r"--strict: layer conv1: got conv, wanted a layer that eie runs; EIE ex"):
        estimate("lenet-5", "eie", strict=True)
    assert not estimate("lenet-300-100", "eie", strict=True).partial
    assert not estimate("lenet-5", "generic-45nm", strict=True).partial


def test_many_are_ordered_models_outermost_and_equal_to_one_at_a_time() -> None:
    models, targets = ["lenet-5", LENET, "gemm:N=10,K=20"], ["titan-x", "eie"]
    found = estimate_many(models, targets, batch=2, act_density=0.5)
    assert [(c.workload.model, c.target.name) for c in found] == [(m, t) for m in models for t in targets]
    singles = [estimate(m, t, batch=2, act_density=0.5).totals for m in models for t in targets]
    assert [c.totals for c in found] == singles
    assert estimate_many([], targets) == estimate_many(models, []) == []


def test_a_target_and_a_graph_do_as_well_as_their_names() -> None:
    by_name = estimate("lenet-300-100", "titan-x").totals
    assert estimate(lenet_300_100(), load_target("titan-x")).totals == by_name
    assert as_model(load_model(LENET)).name == LENET


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("bits=4", {"bits": 4}),
        ("density=0.2", {"density": 0.2}),
        ("act_bits=8", {"bits": None, "act_bits": 8}),
        ("act_density=0.3", {"act_density": 0.3}),
        ("bits=4,density=0.2,act_density=0.3", {"bits": 4, "density": 0.2, "act_density": 0.3}),
    ],
)
def test_settings_in_a_layer_string_are_those_of_the_arguments(written: str, asked: dict[str, Any]) -> None:
    asked = dict(asked)
    if "act_bits" in asked:
        asked = {"bits": f"32:{asked['act_bits']}"}
    for target in ("eie", "generic-45nm"):
        by_string = estimate(f"gemm:N=100,K=80,{written}", target).totals
        assert by_string["energy_pj"] == estimate("gemm:N=100,K=80", target, **asked).totals["energy_pj"]


def test_arguments_go_before_what_a_layer_string_says() -> None:
    said = estimate("gemm:N=100,K=80,bits=4,density=0.2,act_bits=8", "generic-45nm", bits="6:16", density=0.5)
    asked = estimate("gemm:N=100,K=80", "generic-45nm", bits="6:16", density=0.5)
    assert said.totals == asked.totals


@pytest.mark.parametrize(
    ("bits", "expected"), [(None, (None, None)), (6, (6, None)), ("6", (6, None)), ("6:8", (6, 8)), (" 4 ", (4, None))]
)
def test_bits_are_read(bits: int | str | None, expected: tuple[int | None, int | None]) -> None:
    assert parse_bits(bits) == expected


@pytest.mark.parametrize("bits", ["", ":", "a", "4:8:2", "4:", ":8", "4.5", "0x4"])
def test_bits_that_are_no_numbers_are_refused(bits: str) -> None:
    with pytest.raises(InputError, match=r"--bits: got .*wanted W or W:A, whole numbers of bits; for example"):
        parse_bits(bits)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"energy": "medium"}, "--energy: got medium, wanted one of low, default, high"),
        ({"residency": "hot"}, "--residency: got hot, wanted one of warm, cold"),
        ({"bits": 17}, "--bits: got 17, wanted at most 16 bits for shared weights"),
        ({"batch": 0}, "--batch: got 0"),
        ({"format": "zip"}, "--format: got zip"),
    ],
)
def test_wrong_settings_are_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        estimate(LENET, "titan-x", **asked)
    assert str(caught.value).startswith(message)


def test_activation_density_that_was_not_measured_is_said_to_be_assumed() -> None:
    assert estimate("lenet-300-100", "eie").workload.activation_basis == "assumed 1.0"
    assert estimate("lenet-300-100", "eie", act_density=0.4).workload.activation_basis == "given"
    measured = load_model(LENET)
    expected = "measured" if measured.activation_density else "assumed 1.0"
    assert estimate(measured, "eie").workload.activation_basis == expected
