"""Predicted sizes (simulator/formats.py) against the bits that the real encoders write.

The two are written apart. With the exact structure of the weights they agree to the bit.
"""

from __future__ import annotations

import numpy as np
import pytest

from picojoule.models.codecs import encode
from picojoule.models.model import CodedTensor
from picojoule.simulator.formats import expected_relative_pads, predict_size
from picojoule.simulator.structure import structure_of

NAMES = ["dense", "bitmask", "csr", "csc", "coo", "rlc", "block2x3", "block4x4", "eie_csc4",
         "relative1", "relative4", "relative5", "relative8", "relative16"]  # fmt: skip


def tensor_of(shape: tuple[int, int], density: float, encoding: str, seed: int) -> CodedTensor:
    rng = np.random.default_rng(seed)
    codes = (rng.random(shape) < density) * np.minimum(rng.geometric(0.3, shape), 15)
    return CodedTensor(codes.astype(np.uint16), np.arange(16, dtype=np.float32), 4, encoding)


@pytest.mark.parametrize("name", [*NAMES, "relative4+huffman", "relative5+huffman", "relative8+huffman"])
@pytest.mark.parametrize("density", [0.0, 0.02, 0.3, 1.0])
def test_predicted_size_equals_the_real_stream(name: str, density: float) -> None:
    for seed, shape in enumerate([(1, 40), (70, 9), (128, 200)]):
        tensor = tensor_of(shape, density, name, seed)
        sizes = encode(tensor).sizes
        histogram = np.bincount(tensor.codes.ravel(), minlength=16)
        histogram[0] = 0
        predicted = predict_size(name, structure_of(tensor.codes, histogram), 4)
        assert predicted.total_bits == sizes.total_bits - sizes.bits["codebook"]
        assert predicted.pads == sizes.entries.get("padding", 0)


@pytest.mark.parametrize("name", ["relative5+huffman", "dense+huffman", "bitmask+huffman"])
def test_huffman_streams_are_between_entropy_and_entropy_plus_one(name: str) -> None:
    """Shannon's bound: n H <= bits < n (H + 1) for the codes of a tensor without padding."""
    tensor = tensor_of((90, 90), 1.0, name, 5)
    p = np.bincount(tensor.codes.ravel()) / tensor.codes.size
    entropy = -(p[p > 0] * np.log2(p[p > 0])).sum() * tensor.codes.size
    assert entropy <= encode(tensor).sizes.bits["codes"] < entropy + tensor.codes.size


def test_expected_padding_of_a_random_mask_is_near_the_real_one() -> None:
    """n q^32 / (1 - q^32), within 5 standard deviations of a Poisson count."""
    tensor = tensor_of((300, 784), 0.08, "relative5", 11)
    expected = float(expected_relative_pads(235_200, tensor.nonzeros, 5))
    assert abs(encode(tensor).sizes.entries["padding"] - expected) < 5 * expected**0.5
