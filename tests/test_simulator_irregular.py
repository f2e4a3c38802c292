"""Irregular access on GPUs by hand, and against EIE's published times: ns per non-zero grows with the dense operand."""

from __future__ import annotations

import numpy as np
import pytest

from picojoule.simulator.calibrate.published import benchmarks, published_times
from picojoule.simulator.estimate import estimate
from picojoule.simulator.processors.irregular import gathered, sectors_per_nonzero, unaligned
from picojoule.simulator.processors.timing import Device, Shapes, Table, compute_seconds
from picojoule.simulator.target_processor import CLASSES

UNITS, CACHE_BITS = 10.0, float(1 << 20)
PARAMETERS = {"winograd": 1.0, "narrow_first": 1.0, "m_half": 0.0, "n_half": 0.0, "k_half": 0.0, "pixels_half": 7.0}


def test_sectors_of_random_masks_are_what_the_formula_gives():
    rng = np.random.default_rng(0)
    for density in (0.04, 0.25, 0.6):
        mask = rng.random((1000, 512)) < density
        sectors = mask.reshape(1000, 64, 8).any(axis=-1).sum()
        assert sectors / mask.sum() == pytest.approx(float(sectors_per_nonzero(np.array([density]))[0]), rel=0.01)


def test_work_per_nonzero_grows_with_operand_and_with_few_rows():
    parameters = {"csr_rows_per_unit": 20.0, "csr_operand_power": 0.3}
    k, one = np.array([600.0, 4096.0, 25088.0]), np.ones(3)
    found = gathered(64 * one, 1e6 * one, k, 1e-6 * one, UNITS, CACHE_BITS, parameters)
    assert found == pytest.approx((1 + k * 64 * 32 / (1 << 20)) ** 0.3, rel=1e-3)
    few = gathered(64 * one, np.array([200.0, 400.0, 1e9]), 600 * one, 1e-6 * one, UNITS, CACHE_BITS, parameters)
    assert few / few[2] == pytest.approx([2.0, 1.5, 1.0])
    assert (
        gathered(one, one, one, one, UNITS, CACHE_BITS, parameters) == 1
    ).all()  # a vector: no columns to gather from


def test_only_columns_off_a_line_in_early_libraries_pay():
    n = np.array([1000.0, 1024.0, 1000.0])
    place = np.array([CLASSES.index(name) for name in ("gemv", "gemv", "gemm")])
    assert unaligned(place, n, True, {"gemv_unaligned": 0.5}).tolist() == [2.0, 1.0, 1.0]
    assert (unaligned(place, n, False, {"gemv_unaligned": 0.5}) == 1).all()
    assert (unaligned(place, n, True, {}) == 1).all()


def test_tegra_k1_sparse_times_follow_the_operand_as_published():
    """EIE, Table IV, batch 64: VGG-6 (25,088 inputs) takes six times as long a non-zero as NT-Wd (600 inputs)."""
    times = {p.layer: p for p in published_times("mGPU Tegra K1") if (p.batch, p.matrix) == (64, "sparse")}

    def per_nonzero(name: str) -> tuple[float, float]:
        layer = benchmarks()[name]
        spec = f"gemm:M=64,N={layer.rows},K={layer.columns},density={layer.weight_density}"
        predicted = estimate(spec, "tegra-k1", format="csr").totals["latency_s"]
        nonzeros = layer.rows * layer.columns * layer.weight_density * 64
        return predicted / nonzeros, times[name].time_s * 64 / nonzeros

    wide, narrow = per_nonzero("VGG-6"), per_nonzero("NT-Wd")
    assert wide[1] / narrow[1] > 5
    assert wide[0] / narrow[0] == pytest.approx(wide[1] / narrow[1], rel=0.6)


def test_cores_share_the_pixels_of_a_convolution():
    """14 x 14 pixels on 28 cores with pixels_half 7: twice the time of busy cores; on one: 1 + 7 / 196."""
    place = np.array([CLASSES.index("conv"), CLASSES.index("gemm")])
    one = np.ones(2)
    shapes = Shapes(place, 196 * one, 64 * one, 576 * one, one, 196 * 64 * 576 * one, np.zeros(2, bool))
    table = Table(np.ones(len(CLASSES)), np.ones(len(CLASSES)), PARAMETERS)

    def seconds(cores: float):
        device = Device(
            rate=1e9, matrix=False, narrow_first=False, few_tiles=False, one_tile=False, units=cores,
            macs_per_cycle=1.0, weight_bandwidth=1.0, activation_bandwidth=1.0, cache_bandwidth=1.0, cache_bits=1.0,
        )  # fmt: skip
        return compute_seconds(shapes, device, table)

    conv, gemm = seconds(28.0)
    assert (conv / gemm, seconds(1.0)[0] / gemm) == pytest.approx((2.0, 1 + 7 / 196))
