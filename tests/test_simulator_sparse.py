"""Zeros of real tensors: every vectorised count against plain loops over the products themselves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from picojoule.models.errors import InputError
from picojoule.simulator.sparse import (
    NmPattern,
    conv_effectual_macs,
    detect_n_of_m,
    effectual_macs,
    expected_conv_effectual_macs,
    expected_maximum,
    gemm_effectual_macs,
    imbalance,
    n_of_m_bits,
    pe_work,
    run_length_bits,
    tile_occupancy,
    window_counts,
)


def masks(*shape: int) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(bool, shape, elements=st.booleans())


@given(data=st.data(), k=st.integers(1, 6), c=st.integers(1, 6), n=st.integers(1, 6))
def test_gemm_effectual_macs_by_products(data: st.DataObject, k: int, c: int, n: int) -> None:
    weight, inputs = data.draw(masks(k, c)), data.draw(masks(n, c))
    expected = sum(bool(weight[i, j] and inputs[b, j]) for i, j, b in itertools.product(range(k), range(c), range(n)))
    assert gemm_effectual_macs(weight, inputs) == expected


def conv_by_products(weight, inputs, output, stride, pads, dilation, groups) -> int:
    count, per_group = 0, weight.shape[0] // groups
    for n, k, p, q in itertools.product(
        range(inputs.shape[0]), range(weight.shape[0]), range(output[0]), range(output[1])
    ):
        for c, r, s in itertools.product(*(range(size) for size in weight.shape[1:])):
            row, column = p * stride[0] + r * dilation[0] - pads[0], q * stride[1] + s * dilation[1] - pads[1]
            inside = 0 <= row < inputs.shape[2] and 0 <= column < inputs.shape[3]
            channel = k // per_group * weight.shape[1] + c
            count += bool(inside and weight[k, c, r, s] and inputs[n, channel, row, column])
    return count


@settings(max_examples=60)
@given(data=st.data())
def test_conv_effectual_macs_by_products(data: st.DataObject) -> None:
    small = st.integers(1, 3)
    groups, c, per_group, r, s = (data.draw(small) for _ in range(5))
    height, width = data.draw(st.integers(3, 6)), data.draw(st.integers(3, 6))
    stride, dilation = (data.draw(st.tuples(st.integers(1, 2), st.integers(1, 2))) for _ in range(2))
    pads = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    output = (data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4)))
    weight, inputs = data.draw(masks(groups * per_group, c, r, s)), data.draw(masks(2, groups * c, height, width))
    args = (output, stride, pads, dilation, groups)
    assert conv_effectual_macs(weight, inputs, *args) == conv_by_products(weight, inputs, *args)


def test_one_by_one_convolution_equals_its_matrix_product() -> None:
    rng = np.random.default_rng(1)
    weight, inputs = rng.random((8, 6)) < 0.3, rng.random((2, 6, 5, 4)) < 0.5
    flat = inputs.transpose(0, 2, 3, 1).reshape(-1, 6)
    assert conv_effectual_macs(weight[:, :, None, None], inputs, (5, 4)) == gemm_effectual_macs(weight, flat)


def test_padding_is_never_effectual() -> None:
    """3 x 3 ones under a 3 x 3 kernel with padding 1: 4 corners x 4, 4 edges x 6, the middle 9: 49 of 81."""
    assert conv_effectual_macs(np.ones((1, 1, 3, 3)), np.ones((1, 1, 3, 3)), (3, 3), pads=(1, 1)) == 49
    assert window_counts(np.ones((1, 1, 3, 3)), (3, 3), (3, 3), pads=(1, 1)).sum() == 49


def test_density_products_are_the_mean_over_uniform_masks() -> None:
    """1,000 masks: the mean of the exact counts lies within four standard errors of the expectation."""
    rng = np.random.default_rng(7)
    found = [gemm_effectual_macs(rng.random((20, 30)) < 0.2, rng.random((10, 30)) < 0.5) for _ in range(1000)]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - effectual_macs(20 * 30 * 10, 0.2, 0.5)) < 4 * error


def test_correlated_masks_are_why_the_product_of_densities_is_not_enough() -> None:
    """Weights and inputs that live on the same half of the columns: twice the product of densities."""
    live = np.tile([True, False], 8)
    weight, inputs = np.tile(live, (4, 1)), np.tile(live, (3, 1))
    assert gemm_effectual_macs(weight, inputs) == 2 * effectual_macs(4 * 16 * 3, 0.5, 0.5)


def test_the_answer_says_what_it_rests_on() -> None:
    assert expected_conv_effectual_macs(np.eye(3), 4, 1.0).basis == "exact"
    assert expected_conv_effectual_macs(np.eye(3), 4, 0.4).basis == "statistical"


@given(mask=masks(7, 11), n_pe=st.integers(1, 9), width=st.integers(1, 12))
def test_pe_work_by_loops(mask: np.ndarray, n_pe: int, width: int) -> None:
    rows, columns = mask.shape
    expected = [
        [int(mask[top + pe, left : left + width].sum()) if top + pe < rows else 0 for pe in range(n_pe)]
        for top in range(0, rows, n_pe)
        for left in range(0, columns, width)
    ]
    work = pe_work(mask, n_pe, width)
    assert work.tolist() == expected
    assert imbalance(work) >= 1 - 1e-12


def test_expected_maximum_by_simulation() -> None:
    """Largest of 16 tiles of 64 out of 16,384 elements at 10 %: 20,000 drawn masks."""
    rng = np.random.default_rng(3)
    draws = rng.hypergeometric(1638, 16384 - 1638, 64, size=(20_000, 16)).max(axis=1)
    assert expected_maximum(16384, 1638, 64, 16) == pytest.approx(draws.mean(), abs=4 * draws.std() / np.sqrt(20_000))


def test_tile_occupancy_by_enumeration() -> None:
    """All 70 masks of 4 ones among 8 elements, the first 3 of them the tile."""
    counts = [sum(place < 3 for place in ones) for ones in itertools.combinations(range(8), 4)]
    mean, empty, over = tile_occupancy(8, 4, 3, 1)
    assert mean == pytest.approx(np.mean(counts))
    assert empty == pytest.approx(np.mean([count == 0 for count in counts]))
    assert over == pytest.approx(np.mean([count > 1 for count in counts]))


@given(mask=masks(5, 10), m=st.integers(1, 6))
def test_n_of_m_by_loops(mask: np.ndarray, m: int) -> None:
    most = max(int(mask[row, left : left + m].sum()) for row in range(5) for left in range(0, 10, m))
    assert detect_n_of_m(mask, m) == NmPattern(most, m)


def test_n_of_m_runs_over_channels_of_a_convolution() -> None:
    weight = np.zeros((2, 4, 3, 3))
    weight[:, :2] = 1
    assert detect_n_of_m(weight, 4) == NmPattern(2, 4)
    assert detect_n_of_m(weight.transpose(0, 2, 1, 3), 4) == NmPattern(3, 4)


def test_two_of_four_int8_bits_by_hand() -> None:
    """Of 4 int8 values 2 are kept, each with 2 bits of position: 20 bits for 32."""
    assert float(n_of_m_bits(4, NmPattern(2, 4), 8)) == 20


def run_length_by_loops(values: np.ndarray) -> int:
    """Pairs of Eyeriss' coding: a run of up to 31 zeros and a value, which may be a zero itself."""
    pairs, run = 0, 0
    for value in values:
        if value or run == 31:
            pairs, run = pairs + 1, 0
        else:
            run += 1
    return pairs + (run > 0)


@pytest.mark.parametrize("density", [0.02, 0.1, 0.25, 0.6, 1.0])
def test_run_length_bits_against_an_encoder(density: float) -> None:
    values = np.random.default_rng(11).random(300_000) < density
    assert run_length_bits(300_000, density) == pytest.approx(run_length_by_loops(values) / 3 * 64, rel=0.01)


def test_shapes_that_disagree_are_refused() -> None:
    with pytest.raises(InputError, match="columns"):
        gemm_effectual_macs(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(InputError, match="groups"):
        conv_effectual_macs(np.ones((3, 1, 1, 1)), np.ones((1, 2, 2, 2)), (2, 2), groups=2)
    with pytest.raises(InputError, match="n_pe"):
        pe_work(np.ones((2, 2)), 0)
