"""Accelerators in `estimate`: the Eyeriss chip, zeros that gain and zeros that do not, activations kept on the chip."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from picojoule import estimate
from picojoule.models.build import GraphBuilder
from picojoule.models.errors import TargetError
from picojoule.models.graph import Graph
from picojoule.models.load import load_model
from picojoule.simulator.accelerator import AcceleratorTarget
from picojoule.simulator.mapper import best_mapping
from picojoule.simulator.processors.accelerator import accelerator_cost
from picojoule.simulator.processors.accelerator_csc import computes_on_columns
from picojoule.simulator.processors.accelerator_formats import activation_share
from picojoule.simulator.target import load_target, parse_target, target_names, target_template
from picojoule.simulator.validate import validate
from picojoule.simulator.validate.eyeriss_chip import ALEXNET, _layers
from picojoule.simulator.validate.map_again import LIVE
from picojoule.simulator.validate.mapped import mapped_rows
from picojoule.simulator.workload import make_workload

SHAPE = (16, 32, 3, 3)
ACCELERATORS = [one for one in map(load_target, target_names()) if isinstance(one, AcceleratorTarget)]
MAPPED = [one.name for one in ACCELERATORS if not computes_on_columns(one)]  # those: tests/test_eyeriss_v2.py


def network(weights: np.ndarray) -> Graph:
    net = GraphBuilder("n", (1, weights.shape[1], 8, 8))
    net.conv("a", weights.shape[0], weights.shape[2], pad=1)
    graph = net.build()
    [name] = [p for p in graph.parameters if p.endswith("weight")]
    return graph.with_parameters({name: weights.astype(np.float32)})


def weights(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.normal(size=SHAPE)
    if kind == "2:4":
        groups = np.abs(values).transpose(0, 2, 3, 1).reshape(-1, 4)
        mask = np.ones_like(groups)
        np.put_along_axis(mask, groups.argsort(-1)[:, :2], 0, -1)
        values *= mask.reshape(16, 3, 3, 32).transpose(0, 3, 1, 2)
    elif kind == "half":
        values *= np.abs(values) > np.median(np.abs(values))
    return values


def test_eyeriss_alexnet_within_twenty_percent_of_the_chip() -> None:
    """JSSC 2017, Table V: latency and DRAM bytes of all five layers, 278 mW, 15.4 MB.

    The frame rate counts loads that do not overlap with the arithmetic, which no layer's latency does.
    """
    rows = [row for row in validate("eyeriss").rows if "VGG" not in row.case]
    assert len(rows) == 13
    assert {(row.metric, row.case) for row in rows if row.error > 0.20} == {("time per frame", "AlexNet, batch 4")}
    assert not any(row.in_fit for row in rows)


def test_shipped_rows_of_alexnet_are_what_the_mapper_finds() -> None:
    target = load_target("eyeriss")
    found = [layer.cycles / target.clock_hz.value for layer in _layers(target, ALEXNET)]
    rows = [row for row in mapped_rows("eyeriss") if "VGG" not in row.case and row.metric == "processing latency"]
    assert [row.predicted for row in rows] == pytest.approx(found, rel=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIVE)
def test_every_shipped_row_is_what_the_mapper_finds(name: str) -> None:
    live = LIVE[name]()
    assert [row.predicted for row in mapped_rows(name)] == pytest.approx([row.predicted for row in live], rel=1e-8)
    texts = [[replace(row, measured=0.0, predicted=0.0) for row in rows] for rows in (mapped_rows(name), live)]
    assert texts[0] == texts[1]


def test_eyeriss_vgg_as_it_is() -> None:
    """JSSC 2017, Table VI: DRAM bytes hold on layers that no choice has seen; times and power do not, and are shown."""
    rows = [row for row in validate("eyeriss").rows if "VGG" in row.case]
    assert len(rows) == 29
    dram = {row.case: row.error for row in rows if row.metric == "DRAM traffic"}
    assert dram["VGG-16, batch 3"] < 0.02
    assert [case for case, error in dram.items() if error > 0.14] == ["VGG 2-1"]
    latency = [row for row in rows if row.metric == "processing latency"]
    assert sum(row.error < 0.20 for row in latency) == 4
    assert max(row.error for row in latency) > 3.5
    assert {row.status for row in latency} == {"recalled"}
    assert sum(row.measured for row in latency) == pytest.approx(3.7552, rel=1e-3)
    assert all(row.left_out == "everything" for row in rows)


def test_two_of_four_runs_twice_as_fast_only_where_the_mask_has_the_pattern() -> None:
    dense, half, pattern = (estimate(network(weights(k)), "tensor-core-2-4") for k in ("dense", "half", "2:4"))
    assert pattern.totals["macs_performed"] == dense.totals["macs_performed"] / 2
    assert half.totals["macs_performed"] == dense.totals["macs_performed"]
    compute = [
        next(t.value.sum() for t in c.terms if t.formula.id == "accelerator.compute_time") for c in (dense, pattern)
    ]
    assert compute[1] == pytest.approx(compute[0] / 2, rel=0.01)


@pytest.mark.parametrize("target", ["tpu-v1", "nvdla-full", "nvdla-small"])
def test_a_sparse_network_gains_nothing_on_dense_hardware_and_it_says_so(target: str) -> None:
    dense, half = (estimate(network(weights(kind)), target) for kind in ("dense", "half"))
    assert half.totals["energy_pj"] == dense.totals["energy_pj"]
    assert half.totals["latency_s"] == dense.totals["latency_s"]
    assert any("of the weights are zero and gain nothing" in text for text in half.assumptions)


def test_zero_inputs_are_gated_on_eyeriss() -> None:
    """Half of the inputs zero: half of the products gated, at the energy of the file, in the same cycles."""
    layer = "conv:N=1,K=16,C=32,H=8,W=8,R=3,S=3,pad=1"
    whole, half = (estimate(layer, "eyeriss", act_density=density) for density in (1.0, 0.5))
    macs = whole.totals["macs"]
    assert (half.totals["macs_performed"], half.totals["macs_gated"]) == (macs / 2, macs / 2)
    mac_pj = half.energy_by_component_pj()["mac"].sum()
    assert mac_pj == pytest.approx(macs / 2 * 1.9 + macs / 2 * 0.19)
    assert half.latency_s.sum() <= whole.latency_s.sum()
    assert half.dram_bits.sum() < whole.dram_bits.sum()


def test_run_length_ratio_by_hand() -> None:
    """All zeros: one pair of 21 1/3 bits for 32 words of 16 bits."""
    assert activation_share("rlc", 1e-9, 16).bits == pytest.approx(64 / 3 / 32 / 16, rel=1e-3)
    assert activation_share("rlc", 1.0, 16).bits == 1.0


def test_activations_between_layers_stay_in_the_buffer() -> None:
    """Two layers on the TPU: the tensor between them, 16 x 8 x 8 bytes, is neither written to DRAM nor read back."""
    net = GraphBuilder("two", (1, 8, 8, 8))
    net.conv("a", 16, 3, pad=1)
    net.conv("b", 8, 3, pad=1)
    cost = estimate(net.build(), "tpu-v1")
    moved = {move.operand: move for move in cost.traffic if move.level == "dram"}
    assert moved["output"].write_bits[0] == 0
    assert moved["input"].read_bits[1] == 0
    assert moved["output"].write_bits[1] == 8 * 8 * 8 * 8
    [said] = [text for text in cost.assumptions if text.startswith("X7")]
    assert " B off the chip saved" in said
    assert " 0 B off" not in said


@pytest.mark.parametrize("target", MAPPED)
def test_terms_sum_to_the_mapping(target: str) -> None:
    """A single layer on dense operands: energy and cycles are those of the mapper's result."""
    layer = "conv:N=1,K=16,C=32,H=8,W=8,R=3,S=3,pad=1"
    hardware = load_target(target)
    assert isinstance(hardware, AcceleratorTarget)
    cost = estimate(layer, target)
    bounds = cost.workload.bounds[0]
    assert bounds is not None
    found = best_mapping(bounds, hardware, "edp")
    assert cost.totals["energy_pj"] == pytest.approx(found.energy_pj, rel=1e-9)
    assert cost.totals["latency_s"] == pytest.approx(found.cycles / hardware.clock_hz.value, rel=1e-9)
    assert sum(cost.bits_by_level()["dram"]) > 0


def test_a_layer_that_is_not_mapped_is_unmodelled() -> None:
    net = GraphBuilder("p", (1, 8, 8, 8))
    net.conv("a", 8, 3, pad=1)
    net.max_pool("pool", 2, 2)
    assert [layer.layer for layer in estimate(net.build(), "eyeriss-168").unmodelled] == ["pool"]


def chip(changes: str) -> AcceleratorTarget:
    """The template with a sparse feature and other changes."""
    text = target_template("mine.toml", "accelerator") + changes
    found = parse_target(text.encode(), "mine.toml")
    assert isinstance(found, AcceleratorTarget)
    return found


@pytest.mark.parametrize(("operand", "saves"), [("weight", "skip"), ("input", "skip"), ("weight", "gate")])
def test_two_sided_features_save_where_either_is_zero(operand: str, saves: str) -> None:
    """Half of the weights, a quarter of the inputs: an eighth of the products, or half, or a quarter, on one side."""
    layer, feature = "gemm:M=4,N=64,K=64", f'[[sparse]]\noperand = "{operand}"\nsaves = "{saves}"\n'
    one = estimate(layer, chip(feature), density=0.5, act_density=0.25)
    two = estimate(layer, chip(feature + "two_sided = true\n"), density=0.5, act_density=0.25)
    share = 0.5 if operand == "weight" else 0.25
    assert one.totals["macs_performed"] == pytest.approx(share * one.totals["macs"])
    assert two.totals["macs_performed"] == pytest.approx(0.125 * two.totals["macs"])
    assert two.totals["macs_gated"] == pytest.approx((0.875 if saves == "gate" else 0) * two.totals["macs"])


def test_two_sided_beside_the_other_operand_is_refused() -> None:
    both = "".join(f'[[sparse]]\noperand = "{o}"\nsaves = "skip"\ntwo_sided = {t}\n' for o, t in
                   (("weight", "true"), ("input", "false")))  # fmt: skip
    with pytest.raises(TargetError, match=r"sparse\[0\].two_sided: got true, wanted gate or skip, and no feature"):
        chip(both)


def test_ports_limit_accesses() -> None:
    """One port of 64 bits: the buffer's traffic over 64 bits a cycle, where 256 each way were allowed."""
    layer = "conv:N=1,K=64,C=64,H=14,W=14,R=3,S=3,pad=1"
    text = target_template("mine.toml", "accelerator")
    free, one = (parse_target(text.replace("# ports = 2", new).encode(), "mine.toml") for new in ("#", "ports = 1"))
    slow, fast = estimate(layer, one), estimate(layer, free)
    assert slow.totals["latency_s"] > fast.totals["latency_s"]
    buffer = slow.bits_by_level()["buffer"].sum()
    assert slow.totals["latency_s"] >= buffer / 64 / 500e6 * 0.999


def said(model: object, target: str, **options: float) -> str:
    return next(text for text in estimate(model, target, **options).assumptions if text.startswith("X6"))


def test_the_answer_says_what_zeros_gain_and_what_not() -> None:
    """The same weights, half of them zero: at random, two in every four, on hardware that uses neither."""
    assert "2:4 weights in 1 of 1 layers by their real masks" in said(network(weights("2:4")), "tensor-core-2-4")
    half = said(network(weights("half")), "tensor-core-2-4")
    assert "2:4 weights in 0 of 1 layers" in half
    assert "gain nothing" in half
    assert said(network(weights("half")), "nvdla-full").startswith("X6: 50% of the weights are zero and gain nothing")
    statistical = said("gemm:M=1,N=64,K=64", "tensor-core-2-4", density=0.5)
    assert "statistical" in statistical


def resident(name: str) -> AcceleratorTarget:
    target = load_target(name)
    assert isinstance(target, AcceleratorTarget)
    near = msgspec.structs.replace(target.levels[1], resident_weights=True)
    return msgspec.structs.replace(target, levels=(target.levels[0], near, *target.levels[2:]))


def test_weights_that_fit_the_chip_stay_there_between_batches() -> None:
    """LeNet-5's 430,500 weights of 8 bits fit a buffer of 512 KiB beside the tiles, AlexNet's do not: what warm saves
    is exactly the weights' bytes, where the target says that its buffer keeps them."""
    workload = make_workload(load_model("lenet-5"))
    chip = resident("nvdla-full")
    warm, cold = (accelerator_cost(workload, chip, energy="default", residency=name) for name in ("warm", "cold"))
    assert cold.totals["dram_bytes"] - warm.totals["dram_bytes"] == 430_500
    assert warm.totals["energy_pj"] < cold.totals["energy_pj"]
    assert warm.totals["latency_s"] < cold.totals["latency_s"]
    assert all((move.read_bits >= 0).all() and (move.write_bits >= 0).all() for move in warm.traffic)
    assert estimate("lenet-5", "nvdla-full").totals == cold.totals
    large = make_workload(load_model("alexnet"))
    same = [accelerator_cost(large, chip, energy="default", residency=name).totals for name in ("warm", "cold")]
    assert same[0] == same[1]


def test_weights_stay_only_where_a_level_can_keep_them() -> None:
    """The template's buffer holds activations: it cannot, until it keeps weights too."""
    plain = "double_buffered = false"
    text = target_template("mine.toml", "accelerator").replace(plain, f"resident_weights = true\n{plain}", 1)
    with pytest.raises(TargetError, match=r"levels\[1\].resident_weights"):
        parse_target(text.encode(), "mine.toml")
    kept = text.replace('keeps = ["input", "output"]', 'keeps = ["weight", "input", "output"]', 1)
    assert parse_target(kept.encode(), "mine.toml").levels[1].resident_weights  # type: ignore[union-attr]
