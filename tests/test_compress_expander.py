"""Expander masks: regular bipartite graphs from a seed, and codes in a file without any index."""

from __future__ import annotations

import msgspec
import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from picojoule.models.codecs import Layout, decode, encode, is_encoding
from picojoule.models.compress.recipe import Recipe, check_recipe
from picojoule.models.errors import FileFormatError, InputError, RecipeError
from picojoule.models.model import CodedTensor
from picojoule.models.patterns import expander_connections, expander_mask, hashed_buckets, layer_seed, splitmix64
from picojoule.models.zoo import build_network
from picojoule.simulator.formats import predict_size
from picojoule.simulator.structure import structure_of

GOLDEN_CONNECTIONS = [[3, 4, 5], [1, 6, 7], [0, 1, 2]]
GOLDEN_BUCKETS = ([[0, 3, 0, 2], [4, 4, 2, 0]], [[1, 1, 1, 0], [1, 1, 0, 1]])
GOLDEN_SEED = 154186648


def test_splitmix64_against_the_reference_implementation() -> None:
    """First outputs of Vigna's splitmix64.c (public domain) for the seeds 1234567 and 0."""
    assert splitmix64(1234567, 0, 5).tolist() == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821,
    ]  # fmt: skip
    assert splitmix64(0, 0, 1).tolist() == [0xE220A8397B1DCDAF]
    assert splitmix64(1234567, 3, 2).tolist() == [4593380528125082431, 16408922859458223821]


def slow_splitmix(seed: int, number: int) -> int:
    z = (seed + (number + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def slow_connections(outputs: int, inputs: int, degree: int, seed: int) -> list[list[int]]:
    """The documented construction, entry by entry."""
    entries: list[int] = []
    k = 0
    while len(entries) < outputs * degree:
        order = sorted(range(inputs), key=lambda j: (slow_splitmix(seed, k * inputs + j), j))
        begun = len(entries) % degree
        own = set(entries[len(entries) - begun :]) if begun else set()
        front = [j for j in order if j not in own][: degree - begun] if begun else []
        entries += front + [j for j in order if j not in front]
        k += 1
    return [sorted(entries[r * degree : (r + 1) * degree]) for r in range(outputs)]


@given(st.integers(1, 40), st.integers(1, 12), st.data())
def test_connections_against_the_slow_construction_and_regular(outputs: int, inputs: int, data: st.DataObject) -> None:
    degree, seed = data.draw(st.integers(1, inputs)), data.draw(st.integers(0, 2**32 - 1))
    found = expander_connections(outputs, inputs, degree, seed)
    if degree < inputs:
        assert found.tolist() == slow_connections(outputs, inputs, degree, seed)
    assert all(len(set(row)) == degree for row in found.tolist())
    counts = np.bincount(found.ravel(), minlength=inputs)
    assert counts.max() - counts.min() <= 1


def test_patterns_never_change() -> None:
    """Golden: files name these patterns by seed, so a change would make every such file unreadable."""
    assert expander_connections(3, 8, 3, 2018).tolist() == GOLDEN_CONNECTIONS
    bucket, minus = hashed_buckets((2, 4), 5, 2015)
    assert (bucket.tolist(), minus.astype(int).tolist()) == GOLDEN_BUCKETS
    assert layer_seed(0, "ip1") == GOLDEN_SEED


@pytest.mark.parametrize(("outputs", "inputs", "degree"), [(300, 784, 64), (100, 300, 24), (50, 20, 4)])
def test_the_graph_is_an_expander(outputs: int, inputs: int, degree: int) -> None:
    """Singular values of the biadjacency matrix: sqrt(d1 d2), and the next at most about sqrt(d1 - 1) + sqrt(d2 - 1).

    The second is the limit for random biregular graphs (Brito, Dumitriu and Harris, 2021); no graph is much below it.
    """
    mask = expander_mask((outputs, inputs), degree, 1).astype(float)
    values = np.linalg.svd(mask, compute_uv=False)
    other = outputs * degree / inputs
    assert values[0] == pytest.approx(np.sqrt(degree * other), rel=1e-3)
    assert values[1] < 1.02 * (np.sqrt(degree - 1) + np.sqrt(other - 1))
    assert nx.is_connected(nx.bipartite.from_biadjacency_matrix(sparse.csr_array(mask)))


def test_a_convolution_keeps_whole_kernels() -> None:
    mask = expander_mask((6, 4, 3, 3), 2, 9)
    kernels = mask.reshape(6, 4, 9)
    assert set(kernels.sum(2).ravel().tolist()) == {0, 9}
    assert (kernels[:, :, 0].sum(1) == 2).all()


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([(), (1, 3)]), st.booleans(), st.data())
def test_codes_go_through_bytes_without_an_index(
    outputs: int, inputs: int, kernel: tuple[int, ...], coded: bool, data: st.DataObject
) -> None:
    shape, degree, seed = (outputs, inputs, *kernel), data.draw(st.integers(1, inputs)), data.draw(st.integers(0, 99))
    random = np.random.default_rng(seed)
    codes = np.where(expander_mask(shape, degree, seed), random.integers(0, 8, shape), 0).astype(np.uint16)
    name = f"expander{degree}@{seed}{'+huffman' if coded else ''}"
    tensor = CodedTensor(codes, np.arange(8, dtype=np.float32), 3, name)
    encoded = encode(tensor)
    assert set(encoded.sizes.bits) == {"codebook", "codes", "huffman_table"}
    assert encoded.entries == outputs * degree * max(1, 3 * len(kernel) // 2)
    again, sizes = decode(name, encoded.sections, Layout(shape, 3, 8, encoded.entries))
    assert np.array_equal(again.codes, codes)
    assert dict(sizes.bits) == dict(encoded.sizes.bits)
    histogram = np.bincount(codes.ravel(), minlength=8)
    histogram[0] = 0
    structure = structure_of(codes.reshape(outputs, -1), histogram, 3 if kernel else 1)
    predicted = predict_size(name, structure, 3)
    assert predicted.total_bits == sizes.total_bits - sizes.bits["codebook"]


def test_weights_outside_the_graph_are_refused() -> None:
    tensor = CodedTensor(np.ones((4, 6), np.uint16), np.array([0, 1], np.float32), 1, "expander3@7")
    with pytest.raises(InputError, match=r"fc: expander3@7: got 12 weights outside its graph, wanted zeros"):
        encode(tensor, "fc")


def test_names() -> None:
    assert is_encoding("expander64@4294967295+huffman")
    assert not any(map(is_encoding, ("expander64", "expander0@1", "expander3@4294967296", "expander3@01")))


@pytest.mark.parametrize(
    ("name", "layout"),
    [("expander3@1", Layout((4, 2), 1, 2, 12)), ("expander3@1", Layout((4,), 1, 2, 12)),
     ("expander2@1", Layout((4, 2), 1, 2, 9)), ("expander9999999@1", Layout((1, 8), 1, 2, 9))],
)  # fmt: skip
def test_layouts_that_do_not_fit_are_refused_before_a_graph_is_made(name: str, layout: Layout) -> None:
    sections = {"codebook": b"\0\0\x80?", "codes": bytes(-(-layout.entries // 8))}
    with pytest.raises(FileFormatError):
        decode(name, sections, layout)


def test_recipes_say_what_does_not_fit() -> None:
    base = {"name": "x", "train": {"epochs": 1}}
    graph = build_network("lenet-300-100")
    with pytest.raises(RecipeError, match=r"expander\.degree\.ip2: got 301, wanted at most its 300 inputs"):
        check_recipe(msgspec.convert({**base, "expander": {"degree": {"ip2": 301}}}, Recipe), graph)
    both = {**base, "expander": {"degree": {"ip2": 30}}, "structured": {"keep": {"ip1": 0.5}, "epochs": 0}}
    with pytest.raises(RecipeError, match=r"expander: got \[structured\], which changes shapes"):
        check_recipe(msgspec.convert(both, Recipe), graph)
