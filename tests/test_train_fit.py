"""One stretch of training for experiments: what a coded tensor is tied to stays so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from picojoule.models.codecs import encode
from picojoule.models.compress.constraints import count_sketch
from picojoule.models.compress.quantize import uniform_weights
from picojoule.models.compress.recipe import Optimisation
from picojoule.models.compress.share import share_weights
from picojoule.models.data.mnist import Split, load_split
from picojoule.models.errors import InputError
from picojoule.models.train.fit import Fitted, fit
from picojoule.models.zoo import build_network

GRAPH = build_network("lenet-300-100")
NAMES = [name for name in GRAPH.parameters if name.endswith("weight")]


@pytest.fixture(scope="module")
def images() -> Split:
    split = load_split("mnist", "train")
    return Split("mnist", "train", split.images[:512], split.labels[:512])


def start(name: str) -> np.ndarray:
    shape = GRAPH.parameters[name].shape
    return np.random.default_rng(len(name)).normal(0, shape[1] ** -0.5, shape).astype(np.float32)


def fitted(coded: dict, images: Split) -> Fitted:
    found = fit(GRAPH, images, Optimisation(batch_size=64, learning_rate=3e-3), 2, seed=0, coded=coded)
    for name, tensor in found.coded.items():
        assert np.array_equal(tensor.values, found.values[name])
        assert not np.array_equal(tensor.codebook, coded[name].codebook)
    return found


def test_signed_hashed_weights_stay_values_and_their_negatives(images: Split) -> None:
    """Half of the codebook is the other half with its sign changed: that is all that `hashed@` stores."""
    found = fitted({name: count_sketch(start(name), 500, 7) for name in NAMES}, images)
    for name in NAMES:
        tensor = found.coded[name]
        assert tensor.codebook_dtype == "mirrored"
        assert np.array_equal(tensor.codebook[1:501], -tensor.codebook[501:])
        assert {k: len(data) for k, data in encode(tensor).sections.items()} == {"codebook": 2000}


def test_half_precision_codebooks_stay_so(images: Split) -> None:
    shared = {name: share_weights(start(name), 4) for name in NAMES}
    half = {name: replace(tensor, codebook=tensor.codebook.astype(np.float16).astype(np.float32),
                          codebook_dtype="float16") for name, tensor in shared.items()}  # fmt: skip
    found = fitted(half, images)
    assert {tensor.codebook_dtype for tensor in found.coded.values()} == {"float16"}


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_grids_are_refused(granularity: str, images: Split) -> None:
    """Values of a grid are multiples of one step: moved one by one they would leave it."""
    coded = {NAMES[0]: uniform_weights(start(NAMES[0]), 4, granularity=granularity)}
    with pytest.raises(InputError, match=r"tensor ip1\.weight: got a codebook of kind (channel_)?grid, wanted float32"):
        fit(GRAPH, images, Optimisation(), 1, seed=0, coded=coded)
