"""Hashed weights: the sketch of given weights, gradients of what buckets share, files of values alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picojoule.models.codebooks import CODEBOOK_KINDS, codebook_bits, pack_codebook, unpack_codebook
from picojoule.models.codecs import Layout, decode, encode
from picojoule.models.compress.constraints import count_sketch
from picojoule.models.errors import FileFormatError, GraphError, InputError
from picojoule.models.model import CodedTensor
from picojoule.models.patterns import hashed_buckets

shapes = st.sampled_from([(3, 5), (1, 1), (4, 2, 3, 3), (17, 9)])


@given(shapes, st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_hashed_weights_go_through_bytes(shape: tuple[int, ...], buckets: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    tensor = count_sketch(values, buckets, seed)
    encoded = encode(tensor)
    assert {name: len(data) for name, data in encoded.sections.items()} == {"codebook": 4 * buckets}
    layout = Layout(shape, tensor.code_bits, len(tensor.codebook), encoded.entries, "mirrored")
    again, _ = decode(tensor.encoding, encoded.sections, layout)
    assert np.array_equal(again.values, tensor.values)


@given(shapes, st.integers(1, 9), st.integers(0, 99))
def test_the_sketch_is_the_least_squares_solution(shape: tuple[int, ...], buckets: int, seed: int) -> None:
    """min |W - S v|^2 over v by numpy's lstsq, S the matrix of signs."""
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    bucket, minus = hashed_buckets(shape, buckets, seed)
    signs = np.zeros((values.size, buckets))
    signs[np.arange(values.size), bucket.ravel()] = np.where(minus.ravel(), -1, 1)
    best = np.linalg.lstsq(signs, values.ravel().astype(float), rcond=None)[0]
    assert count_sketch(values, buckets, seed).codebook[1 : buckets + 1] == pytest.approx(best, abs=1e-5)


def test_buckets_and_signs_are_even() -> None:
    """Each of 64 buckets gets 1/64 of 640,000 weights and half the signs, within 5 standard deviations."""
    bucket, minus = hashed_buckets((800, 800), 64, 11)
    counts = np.bincount(bucket.ravel(), minlength=64)
    assert np.abs(counts - 10_000).max() < 5 * np.sqrt(10_000 * 63 / 64)
    assert abs(minus.mean() - 0.5) < 5 * 0.5 / 800
    assert abs(np.corrcoef(bucket.ravel(), minus.ravel())[0, 1]) < 5 / 800


def test_mirrored_gradient_against_finite_differences() -> None:
    torch = pytest.importorskip("torch")
    from picojoule.models.train.optimise import centroid_gradient, mirrored_gradient

    tensor = count_sketch(np.random.default_rng(1).normal(size=(6, 7)).astype(np.float32), 4, 5)
    codes, x = torch.from_numpy(tensor.codes.astype(np.int64)), torch.randn(20, 7, dtype=torch.float64)
    labels = torch.arange(20) % 6

    def loss(half: object) -> object:
        book = torch.cat((torch.zeros(1, dtype=torch.float64), half, -half))
        return torch.nn.functional.cross_entropy(x @ book[codes].T, labels)

    half = torch.from_numpy(tensor.codebook[1:5].astype(np.float64))
    weight = torch.cat((torch.zeros(1), half, -half))[codes].requires_grad_()
    torch.nn.functional.cross_entropy(x @ weight.T, labels).backward()
    gradient = mirrored_gradient(centroid_gradient(weight.grad, codes, 9))
    for k in range(4):
        shift = torch.zeros(4, dtype=torch.float64)
        shift[k] = 1e-6
        difference = float(loss(half + shift) - loss(half - shift)) / 2e-6
        assert float(gradient[1 + k]) == pytest.approx(difference, rel=1e-5, abs=1e-9)
        assert float(gradient[5 + k]) == -float(gradient[1 + k])


def test_other_codes_and_too_many_values_are_refused() -> None:
    good = count_sketch(np.ones((4, 4), np.float32), 3, 1)
    with pytest.raises(InputError, match="hashed@2: got codes that are not its hash"):
        encode(CodedTensor(good.codes, good.codebook, good.code_bits, "hashed@2", "mirrored"))
    with pytest.raises(GraphError, match="values that mirrored cannot hold"):
        CodedTensor(good.codes, np.arange(7, dtype=np.float32), 3, "hashed@1", "mirrored")
    with pytest.raises(InputError, match="1 to 32767 values"):
        count_sketch(np.ones((4, 4), np.float32), 32768, 1)
    with pytest.raises(InputError, match="layer fc: got 1 of 4 values NaN"):
        count_sketch(np.array([[1, np.nan], [0, 0]], np.float32), 2, 1, "layer fc")


@pytest.mark.parametrize("layout", [Layout((2, 2), 3, 6, 0, "mirrored"), Layout((2, 2), 3, 7, 1, "mirrored")])
def test_layouts_that_no_writer_makes(layout: Layout) -> None:
    with pytest.raises(FileFormatError):
        decode("hashed@1", {"codebook": bytes(codebook_bits("mirrored", layout.symbols, 2) // 8)}, layout)


@given(st.sampled_from(CODEBOOK_KINDS), st.integers(2, 33), st.integers(1, 4), st.randoms(use_true_random=False))
def test_a_codebook_of_any_bytes_is_finite_or_refused(kind: str, symbols: int, rows: int, random: object) -> None:
    data = random.randbytes(codebook_bits(kind, symbols, rows) // 8)  # type: ignore[attr-defined]
    try:
        codebook, scales = unpack_codebook(kind, data, symbols)
    except ValueError:
        return
    assert len(codebook) == symbols
    assert codebook[0] == 0
    assert np.isfinite(codebook).all()
    again, _ = unpack_codebook(kind, pack_codebook(kind, codebook, scales), symbols)
    assert np.array_equal(again, codebook)
