"""CPU and GPU costs by hand, from the numbers that the TOML files print."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

import msgspec
import numpy as np
import pytest

from picojoule.simulator.cost import Cost
from picojoule.simulator.estimate import estimate
from picojoule.simulator.target import Constant, RooflineTarget, load_target

NAMES = ["core-i7-5930k", "titan-x"]
ROWS, COLUMNS = 4096, 9216
LAYER = f"gemm:M=1,N={ROWS},K={COLUMNS}"
LENET = "lenet-300-100@deep-compression"


def printed(name: str) -> dict[str, Any]:
    """The TOML as it is written, read without the product's loader."""
    return tomllib.loads(resources.files("picojoule.simulator.targets").joinpath(f"{name}.toml").read_text("utf-8"))


def kernel_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(kernel for kernel in document["kernels"] if kernel["name"] == name)


def roofline(name: str) -> RooflineTarget:
    target = load_target(name)
    assert isinstance(target, RooflineTarget)
    return target


def one_number(value: float) -> Constant:
    return Constant(value=value, source="spec", status="assumed")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize(("stored", "density"), [("dense", 1.0), ("dense", 0.09), ("csr", 0.09)])
def test_one_layer_by_hand(name: str, batch: int, stored: str, density: float) -> None:
    """overhead + max(products / peak, bits / bandwidth) / efficiency; power x time.

    Weights move once per batch: dense 4096 x 9216 x 32 bits; CSR (32 + 32) bits a non-zero and 32 a row
    pointer, 4097 of them. Inputs and outputs move for each inference.
    """
    printed_target = printed(name)
    kernel = kernel_of(printed_target, f"{stored}_{'mv' if batch == 1 else 'mm'}")
    nonzeros = round(density * ROWS * COLUMNS)
    weight_bits = ROWS * COLUMNS * 32 if stored == "dense" else nonzeros * (32 + 32) + (ROWS + 1) * 32
    products = batch * (ROWS * COLUMNS if stored == "dense" else nonzeros)
    bits = weight_bits + batch * (ROWS + COLUMNS) * 32
    compute_s = products / printed_target["peak_macs_per_s"]["value"]
    memory_s = bits / printed_target["memories"][1]["bandwidth_bits_per_s"]["value"]
    time_s = printed_target["overhead_s"]["value"] + max(compute_s, memory_s) / kernel["efficiency"]["value"]

    cost = estimate(LAYER, name, batch=batch, density=density, format=stored)
    totals = cost.totals
    assert totals["latency_s"] == pytest.approx(time_s, rel=1e-12)
    assert totals["energy_pj"] == pytest.approx(kernel["power_w"]["value"] * time_s * 1e12, rel=1e-12)
    assert totals["latency_s_per_inference"] == pytest.approx(time_s / batch, rel=1e-12)
    assert totals["macs_performed"] == pytest.approx(products)
    assert totals["macs"] == batch * ROWS * COLUMNS
    assert totals["dram_bytes"] == -(-bits // 8)  # 150 MB fit no cache: everything crosses the chip's edge
    assert cost.executed.tolist() == [stored]
    assert cost.bound_by.tolist() == ["compute" if compute_s >= memory_s else "dram"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", ["low", "default", "high"])
def test_components_by_hand_and_static_is_the_rest(name: str, level: str) -> None:
    document = printed(name)
    cost = estimate(LAYER, name, energy=level)
    cache, dram = document["memories"]
    bits = ROWS * COLUMNS * 32 + (ROWS + COLUMNS) * 32
    each = dram["access_pj_per_bit"]
    expected = {
        "mac": ROWS * COLUMNS * document["mac_energy_pj"]["value"],
        "sram": bits * cache["access_pj_per_bit"]["value"],
        "dram": bits * (each["value"] if level == "default" else each[level]),
        "noc": 0.0,
    }
    power_pj = cost.totals["energy_pj"]
    expected["static"] = power_pj - sum(expected.values())
    found = {component: float(value.sum()) for component, value in cost.energy_by_component_pj().items()}
    assert found == pytest.approx(expected, rel=1e-9)
    assert found["static"] > 0
    # the total is measured: a dearer DRAM moves its share, not the sum
    assert power_pj == pytest.approx(estimate(LAYER, name).totals["energy_pj"], rel=1e-12)


def test_components_never_claim_more_than_power_times_time() -> None:
    """With a 46,000 pJ product, ten thousand times Horowitz's, the parts exceed 159 W x time: all are scaled."""
    hot = msgspec.structs.replace(roofline("titan-x"), mac_energy_pj=one_number(46_000.0))
    cost, plain = estimate(LAYER, hot), estimate(LAYER, "titan-x")
    assert cost.totals["energy_pj"] == pytest.approx(plain.totals["energy_pj"])
    parts = {name: float(value.sum()) for name, value in cost.energy_by_component_pj().items()}
    assert parts["static"] == pytest.approx(0, abs=1e-6 * cost.totals["energy_pj"])
    assert sum(parts.values()) == pytest.approx(cost.totals["energy_pj"])
    before = {name: float(value.sum()) for name, value in plain.energy_by_component_pj().items()}
    assert parts["dram"] / parts["sram"] == pytest.approx(before["dram"] / before["sram"])
    assert parts["mac"] / parts["dram"] == pytest.approx(10_000 * before["mac"] / before["dram"])


@pytest.mark.parametrize("name", NAMES)
def test_storage_asked_in_a_kernels_format_forces_that_kernel(name: str) -> None:
    """At full density CSR moves twice the bits and is slower; it runs only where it is asked for."""
    free, csr, dense = (estimate(LAYER, name, format=stored) for stored in (None, "csr", "dense"))
    assert free.executed.tolist() == dense.executed.tolist() == ["dense"]
    assert csr.executed.tolist() == ["csr"]
    assert csr.totals["latency_s"] > dense.totals["latency_s"] == free.totals["latency_s"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("density", [0.01, 0.09, 0.3, 0.7])
def test_a_free_choice_is_the_faster_kernel(name: str, batch: int, density: float) -> None:
    def seconds(stored: str | None) -> float:
        return estimate("gemm:M=1,N=512,K=1024", name, batch=batch, density=density, format=stored).totals["latency_s"]

    for no_kernels_format in (None, "bitmask", "relative5"):
        assert seconds(no_kernels_format) == min(seconds("dense"), seconds("csr"))


def same_in_use(one: Cost, other: Cost) -> bool:
    names = ("energy_pj", "latency_s", "dram_bytes", "macs_performed")
    return all(one.totals[name] == other.totals[name] for name in names)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stored", ["relative5+huffman", "relative5", "relative8", "bitmask"])
def test_a_format_that_no_kernel_runs_saves_load_bytes_and_pays_once_for_decoding(name: str, stored: str) -> None:
    document = printed(name)
    cost, other = estimate(LENET, name, format=stored), estimate(LENET, name)
    assert same_in_use(cost, other)
    symbols = cost.workload.storage_entries * (2 if "huffman" in stored else 1)
    seconds = symbols * document["decode_s_per_symbol"]["value"]
    watts = [kernel_of(document, f"{ran}_mv")["power_w"]["value"] for ran in cost.executed]
    assert cost.totals["load_latency_s"] == pytest.approx(seconds.sum())
    assert cost.totals["load_energy_pj"] == pytest.approx((seconds * watts).sum() * 1e12)
    assert cost.totals["load_bytes"] == cost.totals["weight_bytes"]
    assert cost.totals["load_bytes"] * 8 == pytest.approx(
        (cost.workload.storage_bits + cost.workload.codebook_and_bias_bits).sum(), abs=8
    )


@pytest.mark.parametrize(("stored", "bits", "decodes"), [("csr", None, False), ("csr", 4, True), ("dense", 8, True)])
def test_only_full_words_in_the_kernels_format_need_no_decoding(stored: str, bits: int | None, decodes: bool) -> None:
    cost = estimate(LAYER, "titan-x", density=0.1, format=stored, bits=bits)
    assert (cost.totals["load_latency_s"] > 0) == (cost.totals["load_energy_pj"] > 0) == decodes
    assert same_in_use(cost, estimate(LAYER, "titan-x", density=0.1, format=stored))


@pytest.mark.parametrize("name", NAMES)
def test_what_fits_the_cache_leaves_it_only_when_cold(name: str) -> None:
    """LeNet's kernels read about 1 MB: all of the traffic stays in the cache, or all of it crosses the edge too."""
    warm, cold = (estimate(LENET, name, residency=residency) for residency in ("warm", "cold"))
    cache = roofline(name).memories[0].name
    assert warm.bits_by_level()[cache].tolist() == cold.bits_by_level()[cache].tolist()
    assert warm.dram_bits.sum() == 0
    assert cold.dram_bits.tolist() == cold.bits_by_level()[cache].tolist()
    assert warm.energy_by_component_pj()["dram"].sum() == 0 < cold.energy_by_component_pj()["dram"].sum()
    # only the split knows of it: the measured times show no gain (R5)
    assert warm.totals["energy_pj"] == pytest.approx(cold.totals["energy_pj"])
    assert any(text.startswith("R5") for text in warm.assumptions)
    assert not any(text.startswith("R5") for text in cold.assumptions)


def test_dram_traffic_of_a_large_layer_does_not_depend_on_residency() -> None:
    warm, cold = (estimate(LAYER, "titan-x", residency=residency) for residency in ("warm", "cold"))
    assert warm.totals["dram_bytes"] == cold.totals["dram_bytes"] > 0


def test_a_small_layer_is_bound_by_overhead() -> None:
    cost = estimate("gemm:M=1,N=10,K=10", "titan-x")
    assert cost.bound_by.tolist() == ["overhead"]
    assert cost.totals["latency_s"] == pytest.approx(printed("titan-x")["overhead_s"]["value"], rel=0.01)


def test_enough_inputs_at_once_make_a_layer_compute_bound() -> None:
    """Titan X: 3072e9 products against 84e9 words a second; a weight has to serve 37 inputs and more."""
    assert [estimate(LAYER, "titan-x", batch=b).bound_by.tolist() for b in (2, 30, 64)] == [
        ["dram"], ["dram"], ["compute"],
    ]  # fmt: skip


def test_a_layer_without_a_kernel_is_unmodelled_and_never_free() -> None:
    matrix_vector_only = msgspec.structs.replace(
        roofline("titan-x"), kernels=tuple(k for k in roofline("titan-x").kernels if k.max_batch == 1)
    )
    assert not estimate(LAYER, matrix_vector_only).partial
    cost = estimate(LAYER, matrix_vector_only, batch=2)
    assert [(u.layer, u.kind) for u in cost.unmodelled] == [("gemm", "gemm")]
    assert cost.intervals is None
    row = cost.layer_rows()[0]
    assert (row["energy_pj"], row["latency_s"], row["modelled"]) == (None, None, False)


@pytest.mark.parametrize("name", NAMES)
def test_intervals_are_the_printed_ratios_around_the_prediction(name: str) -> None:
    cost, interval = estimate(LAYER, name), printed(name)["interval"]
    assert cost.intervals is not None
    for metric, ratios in (("energy_pj", "energy_ratio"), ("latency_s", "latency_ratio")):
        low, high = cost.intervals[metric]
        assert (low, high) == pytest.approx([cost.totals[metric] * ratio for ratio in interval[ratios]])
        assert low < cost.totals[metric] < high
    assert np.isclose(cost.intervals["level"], 0.8)
