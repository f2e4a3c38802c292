"""Processors: times and energies by hand from the printed numbers, and what a runtime can and cannot exploit."""

from __future__ import annotations

import math
import tomllib
from importlib import resources
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picojoule.models.load import load_model
from picojoule.models.loops import LoopBounds
from picojoule.simulator.estimate import estimate
from picojoule.simulator.processors.classes import class_of, family_table, kernels_of
from picojoule.simulator.processors.timing import tiled_seconds
from picojoule.simulator.target import Constant, ProcessorTarget, load_target
from picojoule.simulator.target_processor import CLASSES
from picojoule.simulator.workload import make_workload

ROWS, COLUMNS = 4096, 9216
LAYER = f"gemm:M=1,N={ROWS},K={COLUMNS}"


def printed(name: str) -> dict[str, Any]:
    text = resources.files("picojoule.simulator.targets").joinpath(f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


def table(family: str) -> dict[str, Any]:
    text = resources.files("picojoule.simulator.tables").joinpath("processor_classes.toml").read_text("utf-8")
    return tomllib.loads(text)[family]


def processor(name: str) -> ProcessorTarget:
    target = load_target(name)
    assert isinstance(target, ProcessorTarget)
    return target


def one_number(value: float) -> Constant:
    return Constant(value=value, source="spec", status="assumed")


def of(group: dict[str, Any], name: str) -> float:
    return group.get(name, group["other"])["value"]


@pytest.mark.parametrize("name", ["core-i7-5930k", "titan-x", "tegra-k1"])
def test_a_matrix_vector_product_by_hand(name: str) -> None:
    """150 MB of fp32 weights once over the memory bus, at the class's share of it, and the time to start a kernel."""
    document = printed(name)
    family = table(document["family"])
    fix = {key: entry["value"] for key, entry in document["corrections"].items()}
    start = family["parameters"]["overhead_s"]["value"] * fix["overhead"]
    dram = document["memories"][1]["bandwidth_bits_per_s"]["value"]
    capacity = document["memories"][0]["capacity_bits"]["value"]
    bits = 32.0 * (ROWS * COLUMNS + ROWS + COLUMNS)
    hit = min(1.0, family["parameters"]["cache_usable"]["value"] * capacity / bits)
    speedup = family["parameters"]["cache_speedup"]["value"]
    share = of(family["bandwidth"], "gemv") * fix["gemv"]
    seconds = start + bits * (hit / speedup + 1 - hit) / dram / share
    assert estimate(LAYER, name).totals["latency_s"] == pytest.approx(seconds, rel=1e-9)


@pytest.mark.parametrize("level", ["low", "default", "high"])
def test_energy_by_component_by_hand(level: str) -> None:
    document, cost = printed("titan-x"), estimate(LAYER, "titan-x", energy=level)
    bits = 32.0 * (ROWS * COLUMNS + ROWS + COLUMNS)
    dram = document["memories"][1]["access_pj_per_bit"]
    idle, busy = document["idle_w"]["value"], document["busy_w"]["value"]
    watts = idle + document["power_share"]["gemv"]["value"] * (busy - idle)
    expected = {
        "mac": ROWS * COLUMNS * 32 * table("gpu")["parameters"]["mac_energy_pj_per_bit"]["value"],
        "sram": bits * document["memories"][0]["access_pj_per_bit"]["value"],
        "dram": bits * (dram["value"] if level == "default" else dram[level]),
        "noc": 0.0,
        "static": watts * cost.totals["latency_s"] * 1e12,
    }
    found = {component: float(value.sum()) for component, value in cost.energy_by_component_pj().items()}
    assert found == pytest.approx(expected, rel=1e-9)
    assert cost.totals["energy_pj"] == pytest.approx(sum(expected.values()))


def scalar_tile(
    m: int, n: int, k: int, rate: float, units: int, reuse: float, k_half: float, tile: tuple[int, int]
) -> float:
    """One tile shape, no split, one at a time."""
    tiles = math.ceil(m / tile[0]) * math.ceil(n / tile[1])
    slow = (1 + reuse * (1 / tile[0] + 1 / tile[1])) / (1 + reuse * (1 / 256 + 1 / 128))
    return math.ceil(tiles / units) * units * tile[0] * tile[1] * (k + k_half) / rate * slow


@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 100), st.floats(0, 500))
def test_tiles_against_a_scalar_twin(m: int, n: int, k: int, units: int, reuse: float) -> None:
    shapes = [(128.0, 128.0, 1.0), (64.0, 128.0, 1.0)]
    one = np.ones(1)
    found = tiled_seconds(m * one, n * one, k * one, one, 1e12, float(units), reuse, 8.0,
                          {shape: np.array([True]) for shape in shapes})  # fmt: skip
    wanted = min(scalar_tile(m, n, k, 1e12, units, reuse, 8.0, (int(a), int(b))) for a, b, _ in shapes)
    assert float(found[0]) == pytest.approx(wanted)


def test_narrow_outputs_reach_a_fraction_of_the_peak() -> None:
    """EIE's Table IV on Titan X at batch 64: 1000 outputs run at 0.37 of the rate of 4096; whole tiles say 0.70."""

    def rate(width: int) -> float:
        totals = estimate(f"gemm:M=64,N={width},K=4096", "titan-x").totals
        return totals["macs"] / totals["latency_s"]

    assert rate(1000) < 0.75 * rate(4096)


@pytest.mark.parametrize("name", ["core-i7-5930k", "titan-x"])
@pytest.mark.parametrize("density", [0.01, 0.09, 0.3, 0.7])
def test_a_free_choice_is_the_faster_kernel(name: str, density: float) -> None:
    def seconds(stored: str | None) -> float:
        return estimate("gemm:M=1,N=512,K=1024", name, density=density, format=stored).totals["latency_s"]

    for no_kernels_format in (None, "bitmask", "relative5"):
        assert seconds(no_kernels_format) == min(seconds("dense"), seconds("csr"))


def test_sparsity_that_no_kernel_exploits_is_said_and_gains_nothing() -> None:
    half, full = (estimate(LAYER, "core-i7-5930k", density=density) for density in (0.5, 1.0))
    assert half.totals["latency_s"] == full.totals["latency_s"]
    [said] = [text for text in half.assumptions if text.startswith("P6")]
    assert "50% unstructured sparsity: no kernel on this target gains above density" in said
    limit = float(said.split("density ")[1].split(";")[0])
    below, above = (estimate(LAYER, "core-i7-5930k", density=limit * x).executed[0] for x in (0.9, 1.1))
    assert (below, above) == ("csr", "dense")
    board = estimate(LAYER, "raspberry-pi-4", density=0.1)
    assert any("no kernel on this target gains from it" in text for text in board.assumptions)


def test_narrow_weights_save_time_only_where_a_kernel_decodes_them() -> None:
    """4-bit codebooks: bytes of the file only on the i7; with weight_only_bits also on the bus."""
    plain, narrow = estimate(LAYER, "core-i7-5930k"), estimate(LAYER, "core-i7-5930k", bits=4)
    assert narrow.totals["latency_s"] == plain.totals["latency_s"]
    assert narrow.totals["load_bytes"] < plain.totals["load_bytes"] / 7
    able = msgspec.structs.replace(processor("core-i7-5930k"), weight_only_bits=(4,))
    faster = estimate(LAYER, able, bits=4)
    assert faster.totals["latency_s"] < plain.totals["latency_s"] / 4
    assert faster.totals["macs_performed"] == plain.totals["macs_performed"]


def test_narrow_operands_run_at_their_own_peak() -> None:
    """A square product on V100: fp16 on both sides reaches the tensor cores, on the weights alone it does not."""
    text = "gemm:M=4096,N=4096,K=4096"
    full, weights, both = (estimate(text, "v100", bits=bits).totals["latency_s"] for bits in (None, "16:32", "16:16"))
    assert weights == full
    assert both < full / 3


def test_a_microcontroller_says_what_does_not_fit() -> None:
    small, large = estimate("mlperf-tiny-kws", "stm32l4r5"), estimate("mobilenet-v1", "stm32l4r5")
    assert (bool(small.fits), bool(large.fits)) == (True, False)
    weights = sum(p.elements for p in load_model("mobilenet-v1").graph.parameters.values())
    assert large.overflow_bits / 8 > weights - 2048 * 1024 - weights * 0.05
    assert small.totals["dram_bytes"] == 0


def test_runtimes_of_one_board_differ() -> None:
    times = [estimate("mlperf-tiny-ic", name).totals["latency_s"] for name in (
        "stm32l4r5", "stm32l4r5-x-cube-ai", "stm32l4r5-microtvm")]  # fmt: skip
    assert times == sorted(times)
    assert times[2] > 1.6 * times[0]


def test_a_runtime_that_fuses_nothing_starts_more_kernels_and_moves_more() -> None:
    eager = processor("rtx-3090")
    fused = msgspec.structs.replace(eager, fuses="layers")
    slow, fast = (estimate("resnet-18", target, batch=64) for target in (eager, fused))
    assert slow.totals["latency_s"] > fast.totals["latency_s"]
    assert slow.totals["dram_bytes"] > fast.totals["dram_bytes"]
    assert slow.totals["macs"] == fast.totals["macs"]


def test_corrections_scale_a_class_and_the_mode_says_so() -> None:
    sheet = msgspec.structs.replace(processor("core-i9-10940x"), corrections={})
    assert (sheet.mode, processor("core-i9-10940x").mode) == ("datasheet", "calibrated")
    half = msgspec.structs.replace(sheet, corrections={"gemm": one_number(0.5)})
    text = "gemm:M=512,N=2048,K=2048"
    start = table("cpu")["parameters"]["overhead_s"]["value"]
    before, after = (estimate(text, target).totals["latency_s"] - start for target in (sheet, half))
    assert after == pytest.approx(2 * before)
    assert estimate("resnet-18", half).intervals == estimate("resnet-18", sheet).intervals is not None


def test_classes_of_layers_written_out() -> None:
    workload = make_workload(load_model("mobilenet-v2"), 1)
    names = kernels_of(workload).names
    assert names[0] == "conv_first"
    assert names.count("conv_depthwise") == 17
    assert set(names) <= set(CLASSES)
    assert class_of("gemm", LoopBounds(N=2, K=3, C=4)) == "gemm"
    assert class_of("conv", LoopBounds(N=1, K=8, C=8, P=4, Q=4, R=3, S=3, groups=2)) == "conv_grouped"
    assert class_of("layer_normalization", None) == "normalization"


@pytest.mark.parametrize("family", ["cpu", "gpu", "mobile", "mcu", "npu"])
def test_tables_hold_shares(family: str) -> None:
    found = family_table(family)
    assert all(0 < constant.value <= 2 for constant in (*found.efficiency.values(), *found.bandwidth.values()))
    assert all(constant.source for constant in found.parameters.values())
