"""k-means against all partitions, sharing by hand, and compression without training."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from picojoule.models.compress import scalar, share
from picojoule.models.compress.histogram import binned, nearest_codes
from picojoule.models.compress.post_training import compress_without_training
from picojoule.models.compress.prune import weight_names
from picojoule.models.compress.scalar import exact_kmeans_1d
from picojoule.models.compress.share import (
    INITS,
    Init,
    initial_centroids,
    kmeans_1d,
    share_weights,
    squared_error,
)
from picojoule.models.errors import InputError
from picojoule.models.zoo import build_network


def error_to_nearest(values: NDArray, centroids: NDArray) -> float:
    return float(np.square(np.subtract.outer(values, centroids)).min(axis=1).sum())


def best_partition(values: NDArray, k: int) -> float:
    """Smallest error over all splits of the sorted values into k ranges: the exact 1-D optimum."""
    ordered = np.sort(values)
    cuts = itertools.combinations(range(1, len(ordered)), k - 1)
    return min(
        sum(float(np.square(part - part.mean()).sum()) for part in np.split(ordered, list(cut))) for cut in cuts
    )


def plain_lloyd(values: NDArray, centroids: NDArray, rounds: int) -> NDArray:
    """The textbook loop, one value at a time; a tie goes to the lower centroid, an empty cluster stays."""
    centroids = centroids.copy()
    for _ in range(rounds):
        nearest = np.array([int(np.argmin([(v - c) ** 2 for c in centroids])) for v in values])
        for cluster in set(nearest.tolist()):
            centroids[cluster] = values[nearest == cluster].mean()
    return centroids


def test_kmeans_by_hand() -> None:
    """0 1 2 8 9 10 from 0 and 10: cut at 5, means 1 and 9. And with one cluster the mean."""
    assert kmeans_1d([10, 0, 8, 1, 9, 2], 2).tolist() == [1.0, 9.0]
    assert kmeans_1d([0, 1, 5], 1).tolist() == [2.0]


@pytest.mark.parametrize("init", INITS)
def test_initialisations_by_hand(init: Init) -> None:
    points = np.array([0.0, 1.0, 2.0, 3.0, 100.0])
    expected = {"linear": [0.0, 50.0, 100.0], "density": [0.0, 2.0, 100.0]}
    found = initial_centroids(points, 3, init, seed=1)
    assert set(found) <= set(points) | {50.0}
    assert found.tolist() == expected.get(init, found.tolist()) == sorted(found)


@given(st.lists(st.integers(-50, 50), min_size=4, max_size=9, unique=True), st.integers(2, 3))
def test_best_of_the_initialisations_is_near_the_exact_optimum(values: list[int], k: int) -> None:
    """Lloyd finds a local optimum: never below the exact one, and every cluster is the mean of its members."""
    points = np.array(values, dtype=np.float64)
    optimum = best_partition(points, k)
    for init in INITS:
        centroids = kmeans_1d(values, k, init=init)
        assert error_to_nearest(points, centroids) >= optimum - 1e-9
        nearest = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, points, side="left")
        for cluster in set(nearest.tolist()):
            assert centroids[cluster] == pytest.approx(points[nearest == cluster].mean(), abs=0.51)


def test_two_clear_clusters_are_found_exactly() -> None:
    values = np.array([-3.0, -2.9, -3.2, 4.0, 4.4, 5.0])
    for init in INITS:
        found = error_to_nearest(values, kmeans_1d(values, 2, init=init))
        assert found == pytest.approx(best_partition(values, 2), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_against_the_textbook_loop(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=300).astype(np.float32)
    start = np.linspace(float(values.min()), float(values.max()), 7)
    expected = plain_lloyd(values.astype(np.float64), start, 12)
    assert kmeans_1d(values, 7, iterations=12) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("init", INITS)
def test_squared_error_never_grows_with_the_rounds(init: Init) -> None:
    values = np.random.default_rng(3).normal(size=2000).astype(np.float32)
    errors = [error_to_nearest(values, kmeans_1d(values, 15, init=init, iterations=n)) for n in range(1, 40)]
    assert all(after <= before + 1e-9 for before, after in itertools.pairwise(errors))
    assert errors[-1] < errors[0]


def test_more_bits_mean_less_error_and_the_codebook_stays_within_its_bits() -> None:
    weights = np.random.default_rng(4).normal(size=(64, 32)).astype(np.float32)
    coded = [share_weights(weights, bits, init="density") for bits in range(1, 13)]
    errors = [squared_error(weights, tensor) for tensor in coded]
    assert errors == sorted(errors, reverse=True)
    assert all(len(tensor.codebook) <= 2**bits for bits, tensor in enumerate(coded, 1))
    assert errors[-1] == 0  # 2,048 weights, 4,095 shared values


def test_zeros_keep_code_0_and_nothing_else_does() -> None:
    weights = np.random.default_rng(5).normal(size=(40, 50)).astype(np.float32)
    weights[np.abs(weights) < 1] = 0
    coded = share_weights(weights, 4)
    assert np.array_equal(coded.codes == 0, weights == 0)
    assert set(np.unique(coded.codes)) == set(range(len(coded.codebook)))  # no entry without a weight
    assert np.count_nonzero(coded.codebook) == len(coded.codebook) - 1


def test_sharing_special_tensors() -> None:
    assert share_weights(np.zeros((2, 3)), 5).codebook.tolist() == [0.0]
    assert share_weights([-1.0, 1.0], 1).nonzeros == 0  # their one shared value is 0
    assert share_weights([2.5], 1).values.tolist() == [2.5]
    with pytest.raises(InputError, match="tensor x: bits: got 17, wanted 1 to 16"):
        share_weights([1.0], 17, where="tensor x")
    with pytest.raises(InputError, match="tensor x: got 1 of 2 values NaN or infinite"):
        share_weights([1.0, np.nan], 4, where="tensor x")


def test_a_histogram_of_many_values_gives_nearly_the_same_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).normal(size=20_000).astype(np.float32)
    exact = kmeans_1d(values, 15)
    monkeypatch.setattr(share, "HISTOGRAM_ABOVE", 1000)
    assert error_to_nearest(values, kmeans_1d(values, 15)) == pytest.approx(error_to_nearest(values, exact), rel=1e-3)


SHAPES_OF_WEIGHTS = {
    "normal": lambda rng, n: rng.normal(0, 0.02, n),
    "laplace": lambda rng, n: rng.laplace(0, 0.02, n),
    "pruned": lambda rng, n: (lambda x: x[np.abs(x) > 0.03])(rng.normal(0, 0.02, 8 * n))[:n],
    "outlier": lambda rng, n: np.append(rng.normal(0, 0.02, n - 1), 50.0),
    "one sign": lambda rng, n: np.abs(rng.normal(0, 1, n)),
}


@pytest.mark.parametrize(("kind", "k", "polished"), [
    *((kind, 31, False) for kind in SHAPES_OF_WEIGHTS), ("normal", 31, True), ("normal", 100, True),
])  # fmt: skip
def test_exact_clusters_of_a_histogram_are_within_1e_5_of_the_optimum(
    kind: str, k: int, polished: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optimum is the dynamic program over every distinct value."""
    values = SHAPES_OF_WEIGHTS[kind](np.random.default_rng(1), 20_000).astype(np.float32)
    best = error_to_nearest(values.astype(np.float64), exact_kmeans_1d(values, k))
    monkeypatch.setattr(scalar, "EXACT_ABOVE", 1000)
    if not polished:
        monkeypatch.setattr(scalar, "HISTOGRAM_ABOVE", 1000)
    found = error_to_nearest(values.astype(np.float64), exact_kmeans_1d(values, k))
    assert best * (1 - 1e-9) <= found <= best * (1 + 1e-5)


FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(st.lists(FINITE, min_size=1, max_size=40), st.integers(0, 9), st.integers(0, 99))
def test_codes_by_table_are_those_of_a_search(values: list[float], count: int, seed: int) -> None:
    array = np.array(values, np.float32)
    rng = np.random.default_rng(seed)
    near = rng.choice(array, count).astype(np.float64) * rng.choice([1.0, 1 + 1e-9, 0.999, -1.0], count)
    borders = np.sort(near)
    assert np.array_equal(nearest_codes(array, borders), np.searchsorted(borders, array, side="left"))


def test_bins_keep_every_value_in_their_means() -> None:
    values = np.random.default_rng(8).normal(size=3_000_000).astype(np.float32)
    means, counts = binned(values)
    assert counts.sum() == len(values)
    assert (np.diff(means) > 0).all()
    assert means @ counts == pytest.approx(values.sum(dtype=np.float64), rel=1e-9, abs=1e-6)


def test_compression_without_training_of_lenet_300_100() -> None:
    graph, random = build_network("lenet-300-100"), np.random.default_rng(0)
    graph = graph.with_parameters(
        {name: random.normal(size=p.shape).astype(np.float32) for name, p in graph.parameters.items()}
    )
    density = {"ip1": 0.08, "ip2": 0.09, "ip3": 0.26}
    times = []
    for _ in range(5):
        start = time.process_time()
        model = compress_without_training(graph, density, 6)
        times.append(time.process_time() - start)
    assert min(times) < 0.05
    assert {name: tensor.nonzeros for name, tensor in model.coded.items()} == {
        "ip1.weight": 18816, "ip2.weight": 2700, "ip3.weight": 260,
    }  # fmt: skip
    for name in weight_names(graph).values():
        assert np.array_equal(model.graph.parameters[name].values, model.coded[name].values)
    assert model.accuracy is None


def test_density_alone_prunes_and_bits_alone_share() -> None:
    graph = build_network("lenet-300-100")
    graph = graph.with_parameters({name: np.ones(p.shape, np.float32) for name, p in graph.parameters.items()})
    pruned = compress_without_training(graph, density=0.5)
    assert not pruned.coded
    assert np.count_nonzero(pruned.graph.parameters["ip3.weight"].values) == 500
    shared = compress_without_training(graph, bits={"ip3": 2})
    assert list(shared.coded) == ["ip3.weight"]
    assert shared.coded["ip3.weight"].nonzeros == 1000
