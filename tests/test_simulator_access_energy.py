"""The 45 nm view by hand, with the numbers of Horowitz (ISSCC 2014) and EIE's Table I (ISCA 2016)."""

from __future__ import annotations

from math import ceil

import msgspec
import pytest

from picojoule.models.errors import InputError
from picojoule.simulator.estimate import estimate
from picojoule.simulator.target import AccessEnergyTarget, load_target

VIEW = "generic-45nm"
# EIE, Table I: pJ of one 32-bit access or operation
SRAM, DRAM, FLOAT_MULTIPLY, FLOAT_ADD = 5.0, 640.0, 3.7, 0.9
TINY = "gemm:M=1,N=2,K=3"


def parts(model: str, **asked: object) -> dict[str, float]:
    found = estimate(model, VIEW, **asked).energy_by_component_pj()
    return {name: float(value.sum()) for name, value in found.items() if value.sum()}


def test_a_tiny_layer_from_sram_by_hand() -> None:
    """2 x 3 words of weights, 3 of input, 2 of output from SRAM; 6 products of 3.7 + 0.9 pJ."""
    assert parts(TINY) == pytest.approx({"mac": 6 * (FLOAT_MULTIPLY + FLOAT_ADD), "sram": (6 + 3 + 2) * SRAM})
    assert estimate(TINY, VIEW).totals["energy_pj"] == pytest.approx(27.6 + 55)


def test_a_tiny_layer_from_dram_by_hand() -> None:
    found = parts(TINY, residency="cold")
    assert found == pytest.approx({"mac": 27.6, "sram": (3 + 2) * SRAM, "dram": 6 * DRAM})


def test_dram_weights_cost_128_times_sram_weights_as_in_isca2016_table1() -> None:
    """Table I: relative cost of a 32-bit DRAM access 6,400, of SRAM 50."""
    sram_weights = parts(TINY)["sram"] - 5 * SRAM
    assert parts(TINY, residency="cold")["dram"] / sram_weights == pytest.approx(6400 / 50)


@pytest.mark.parametrize(
    ("activation_bits", "product"),
    # Horowitz, Fig. 1.1.9: int8 multiply 0.2 and 32-bit add 0.1; fp16 1.1 and 0.4; fp32 3.7 and 0.9
    [(1, 0.3), (8, 0.2 + 0.1), (9, 1.5), (16, 1.1 + 0.4), (17, 4.6), (32, 3.7 + 0.9)],
)
def test_products_cost_the_narrowest_arithmetic_that_holds_the_activations(
    activation_bits: int, product: float
) -> None:
    found = parts(TINY, bits=f"32:{activation_bits}")
    words = 6 + 5 * activation_bits / 32
    assert found == pytest.approx({"mac": 6 * product, "sram": words * SRAM})


@pytest.mark.parametrize("bits", [1, 4, 8, 16])
def test_narrow_weights_save_accesses_and_no_arithmetic(bits: int) -> None:
    """6 weights of b bits and, up to 8 bits, a codebook of 2^b - 1 words; products stay fp32 (V1)."""
    codebook = 2**bits - 1 if bits <= 8 else 0
    words = 6 * bits / 32 + codebook + 5
    assert parts(TINY, bits=bits) == pytest.approx({"mac": 27.6, "sram": words * SRAM})


def test_a_batch_reads_weights_once_and_activations_each_time() -> None:
    found = parts(TINY, batch=10, residency="cold")
    assert found == pytest.approx({"mac": 276, "sram": 50 * SRAM, "dram": 6 * DRAM})


@pytest.mark.parametrize(("level", "sram", "dram"), [("low", 5, 640), ("default", 5, 640), ("high", 50, 1300)])
def test_the_ranges_of_the_sources(level: str, sram: float, dram: float) -> None:
    """High: Horowitz's 1 MB cache, 100 pJ a 64-bit word, and DRAM at 2.6 nJ a 64-bit word."""
    found = parts(TINY, residency="cold", energy=level)
    assert found == pytest.approx({"mac": 27.6, "sram": 5 * sram, "dram": 6 * dram})


def test_weights_that_exceed_the_chip_come_from_dram_all_of_them() -> None:
    """64 x 162 KB hold 84,934,656 bits: 2,654,208 words, 1024 x 2592."""
    fits, exceeds = (estimate(f"gemm:M=1,N=1024,K={columns}", VIEW) for columns in (2592, 2593))
    assert (fits.totals["dram_bytes"], exceeds.totals["dram_bytes"]) == (0, 4 * 1024 * 2593)
    assert [cost.assumptions[-1] for cost in (fits, exceeds)] == [
        "V4: weights are read from sram (warm)",
        "V4: weights are read from dram (warm)",
    ]


def test_pruned_weights_skip_products_and_padding_entries_do_not() -> None:
    """A uniform tenth of 100 x 100: products of stored entries only, padding of a 3-bit index included."""
    cost = estimate("gemm:M=1,N=100,K=100,density=0.1", VIEW, format="relative3")
    pads = cost.workload.storage_entries.sum() - 1000
    # 1,000 gaps of mean 9, geometric: 0.9^8 / (1 - 0.9^8) pads each, about 756
    assert 650 < pads < 860
    assert cost.totals["macs_performed"] == 1000 + pads
    assert cost.totals["weight_bytes"] == ceil((1000 + pads) * (32 + 3) / 8)
    dense = estimate("gemm:M=1,N=100,K=100,density=0.1", VIEW, format="dense")
    assert dense.totals["macs_performed"] == 10_000


def test_pooling_costs_an_addition_per_input_element() -> None:
    """LeNet-5's pools read 20 x 24 x 24 and 50 x 8 x 8 values; 0.9 pJ each (V2), and SRAM in and out."""
    cost = estimate("lenet-5", VIEW)
    mac = dict(zip(cost.workload.names, cost.energy_by_component_pj()["mac"].tolist(), strict=True))
    assert mac["pool1"] == pytest.approx(20 * 24 * 24 * FLOAT_ADD)
    assert mac["pool2"] == pytest.approx(50 * 8 * 8 * FLOAT_ADD)
    sram = dict(zip(cost.workload.names, cost.energy_by_component_pj()["sram"].tolist(), strict=True))
    assert sram["pool1"] == pytest.approx((20 * 24 * 24 + 20 * 12 * 12) * SRAM)


def test_a_view_has_no_time() -> None:
    cost = estimate(TINY, VIEW)
    assert cost.totals["latency_s"] is None
    assert cost.totals["latency_s_per_inference"] is None
    assert cost.intervals is None
    assert cost.explain(metric="latency").startswith("latency: not modelled")
    assert not cost.partial


def test_activations_wider_than_any_arithmetic_are_refused() -> None:
    target = load_target(VIEW)
    assert isinstance(target, AccessEnergyTarget)
    narrow = msgspec.structs.replace(target, mac_energies=target.mac_energies[:2])
    with pytest.raises(InputError, match=r"--bits W:A: got 32, wanted activations of at most 16 bits"):
        estimate(TINY, narrow)
