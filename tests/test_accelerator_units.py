"""Layers without weights on mapped accelerators, by hand: pooling, sums, activations, products of activations."""

from __future__ import annotations

import pytest

from picojoule import estimate
from picojoule.models.build import GraphBuilder
from picojoule.models.errors import TargetError
from picojoule.models.graph import Graph
from picojoule.simulator.cost import Cost
from picojoule.simulator.target import parse_target, target_template


def pooled(size: int = 8, channels: int = 8) -> Graph:
    net = GraphBuilder("p", (1, channels, size, size), bits=8)
    net.conv("a", channels, 3, pad=1)
    net.max_pool("pool", 2, 2)
    return net.build()


def summed() -> Graph:
    """Two branches, their sum, and a ReLU behind it: 16 x 8 x 8 numbers."""
    net = GraphBuilder("s", (1, 16, 8, 8), bits=8)
    left = net.conv("a", 16, 3, pad=1)
    right = net.conv("b", 16, 3, pad=1)
    net.add("add", "sum", (left, right))
    net.relu("act")
    return net.build()


def product() -> Graph:
    """Four products of 10 x 32 and 32 x 20."""
    net = GraphBuilder("m", (4, 10, 32), bits=8)
    other = net.input("other", (4, 32, 20))
    net.add("matmul", "scores", ("input", other))
    return net.build()


def row(cost: Cost, name: str) -> dict:
    return cost.layers.set_index("name").loc[name].to_dict()


def test_pooling_by_hand() -> None:
    """NVDLA small, one input a cycle: 512 cycles; 512 inputs and 128 outputs of 8 bits take 80 of 64 bits."""
    cost = estimate(pooled(), "nvdla-small")
    assert not cost.partial
    layer = row(cost, "pool")
    assert layer["latency_s"] == pytest.approx(512e-9)
    assert layer["bound_by"] == "compute"
    moved = (512 + 128) * 8 / 64 * 960  # 960 pJ for 64 bits of DRAM
    assert layer["energy_pj"] == pytest.approx(moved + 512 * 0.036)


def test_a_fast_unit_waits_for_dram() -> None:
    """NVDLA full takes 16 sums a cycle; two operands and the sum, 1,024 bytes each, at its file's DRAM bandwidth."""
    cost = estimate(summed(), "nvdla-full")
    [outer] = [level for level in cost.target.levels if level.name == "dram"]
    bits = 3 * 1024 * 8
    wanted = max(1024 / 16, bits / outer.shared_bits_per_cycle.value)
    assert row(cost, "sum")["latency_s"] * cost.target.clock_hz.value == pytest.approx(wanted, abs=1)
    assert row(cost, "sum")["bound_by"] == "dram"
    assert row(cost, "act")["latency_s"] == 0  # in the same pass
    assert not cost.partial


def test_what_no_unit_is_described_for_stays_unmodelled() -> None:
    """TPU v1's paper gives pooling and activations their hardware, sums of two tensors none."""
    missing = [one.layer for one in estimate(summed(), "tpu-v1").unmodelled]
    assert missing == ["sum"]
    assert not estimate(pooled(), "tpu-v1").partial
    assert [one.layer for one in estimate(pooled(), "eyeriss-168").unmodelled] == ["pool"]


@pytest.mark.parametrize("target", ["nvdla-small", "nvdla-full", "tpu-v1", "tensor-core-2-4"])
def test_a_product_of_two_activations_is_mapped(target: str) -> None:
    """Every operand crosses DRAM at least once; none of the four second matrices is shared."""
    cost = estimate(product(), target)
    assert not cost.partial
    assert cost.totals["macs_performed"] == cost.totals["macs"] == 4 * 10 * 32 * 20
    words = 4 * (10 * 32 + 32 * 20 + 10 * 20)
    assert cost.bits_by_level()["dram"].sum() >= words * 8
    assert any(text.startswith("X14") for text in cost.assumptions)
    assert cost.totals["weight_bytes"] == 0


def test_four_products_cost_four_times_one() -> None:
    """On one array, one after another: MACs and the DRAM bits of a matrix product times four."""
    cost, one = estimate(product(), "nvdla-small"), estimate("gemm:M=10,N=20,K=32", "nvdla-small")
    assert cost.totals["macs"] == 4 * one.totals["macs"]
    assert cost.bits_by_level()["dram"].sum() == pytest.approx(4 * one.bits_by_level()["dram"].sum())


UNIT = """
[[units]]
name = "u"
kinds = {}
elements_per_cycle = {{ value = {}, source = "guess", status = "assumed" }}
"""


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (UNIT.format('["conv"]', 1), r"units\[0\].kinds: got conv, wanted a layer without weights"),
        (UNIT.format('["whirl"]', 1), r"units\[0\].kinds: got whirl, wanted a layer without weights"),
        (UNIT.format('["add", "add"]', 1), r"units\[0\].kinds: got add, wanted each kind in one unit"),
        (UNIT.format('["add"]', 0), r"units\[0\].elements_per_cycle"),
    ],
)
def test_wrong_units_are_refused(text: str, error: str) -> None:
    with pytest.raises(TargetError, match=error):
        parse_target((target_template("mine.toml", "accelerator") + text).encode(), "mine.toml")


@pytest.mark.parametrize("target", ["nvdla-full", "nvdla-small", "tpu-v1"])
def test_units_of_shipped_targets_are_never_free(target: str) -> None:
    """LeNet-5's two pools: 11,520 and 3,200 inputs (20 x 24 x 24 and 50 x 8 x 8), each at its unit's energy."""
    cost = estimate("lenet-5", target)
    [term] = [term for term in cost.terms if term.formula.id == "accelerator.unit_energy"]
    unit = next(unit for unit in cost.target.units if "max_pool" in unit.kinds)
    assert unit.energy_pj is not None
    assert float(term.value.sum()) == pytest.approx((11_520 + 3_200) * unit.energy_pj.value)
