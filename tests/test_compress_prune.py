"""Magnitude pruning: exact counts, a fixed order among ties, the cubic schedule, nothing that is not finite."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picojoule.models.build import GraphBuilder
from picojoule.models.compress.prune import (
    by_layer,
    cubic_density,
    kept_count,
    magnitude_mask,
    prune_graph,
    weight_names,
)
from picojoule.models.errors import InputError
from picojoule.models.graph import Graph
from picojoule.models.zoo import build_network


def lenet_with_weights(seed: int = 0) -> Graph:
    graph, random = build_network("lenet-300-100"), np.random.default_rng(seed)
    values = {name: random.normal(size=p.shape).astype(np.float32) for name, p in graph.parameters.items()}
    return graph.with_parameters(values)


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=40),  # few distinct magnitudes: ties everywhere
    st.floats(0, 1),
)
def test_mask_against_a_stable_sort(values: list[int], density: float) -> None:
    mask = magnitude_mask(values, density)
    keep = round(density * len(values))
    largest_first = sorted(range(len(values)), key=lambda i: (-abs(values[i]), i))
    assert np.flatnonzero(mask).tolist() == sorted(largest_first[:keep])


@pytest.mark.parametrize(("layer", "density", "kept"), [("ip1", 0.08, 18816), ("ip2", 0.09, 2700), ("ip3", 0.26, 260)])
def test_lenet_300_100_keeps_the_counts_of_deep_compression_table_2(layer: str, density: float, kept: int) -> None:
    graph = lenet_with_weights()
    pruned = prune_graph(graph, {layer: density})
    values = pruned.parameters[f"{layer}.weight"].values
    assert values is not None
    assert np.count_nonzero(values) == kept == kept_count(values.size, density)


def test_pruned_weights_are_the_smallest() -> None:
    weights = np.random.default_rng(1).normal(size=(50, 20, 5, 5)).astype(np.float32)
    mask = magnitude_mask(weights, 0.12)
    assert np.abs(weights)[mask].min() >= np.abs(weights)[~mask].max()


def test_cubic_schedule_by_hand() -> None:
    """Zhu and Gupta: sparsity s_f (1 - (1 - t/T)^3); half way to sparsity 0.8 that is 0.7."""
    assert cubic_density(0.2, 50, 100) == pytest.approx(0.3)
    assert cubic_density(0.2, 0, 100) == 1.0
    assert cubic_density(0.2, 200, 100) == cubic_density(0.2, 0, 0) == 0.2
    curve = [cubic_density(0.08, step, 37) for step in range(38)]
    assert curve == sorted(curve, reverse=True)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    weights = np.ones((3, 4), np.float32)
    weights[1, 2] = bad
    with pytest.raises(InputError, match=r"^tensor fc: got 1 of 12 values NaN or infinite, wanted finite weights$"):
        magnitude_mask(weights, 0.5, where="tensor fc")


@pytest.mark.parametrize("density", [-0.1, 1.01, float("nan")])
def test_densities_out_of_range_are_refused(density: float) -> None:
    with pytest.raises(InputError, match=r"density: got .*, wanted a fraction"):
        kept_count(10, density)


def test_settings_by_layer_take_names_before_patterns() -> None:
    graph = build_network("lenet-5")
    assert by_layer(graph, {"ip*": 5, "*": 8, "ip2": 3}) == {"conv1": 8, "conv2": 8, "ip1": 5, "ip2": 3}
    assert by_layer(graph, 4) == dict.fromkeys(["conv1", "conv2", "ip1", "ip2"], 4)
    assert by_layer(graph, None) == {}
    with pytest.raises(InputError, match="layer fc9: got no such layer"):
        by_layer(graph, {"fc9": 1})


def test_a_shared_weight_is_pruned_once_and_biases_never() -> None:
    graph = lenet_with_weights()
    assert list(weight_names(graph).values()) == ["ip1.weight", "ip2.weight", "ip3.weight"]
    pruned = prune_graph(graph, 0.0)
    assert all(np.count_nonzero(pruned.parameters[name].values) == 0 for name in weight_names(graph).values())
    assert np.array_equal(pruned.parameters["ip1.bias"].values, graph.parameters["ip1.bias"].values)


def test_a_network_without_weights_is_refused() -> None:
    builder = GraphBuilder("tiny", (1, 4))
    builder.gemm("fc", 2)
    with pytest.raises(InputError, match=r"tensor fc\.weight: got a shape without values"):
        prune_graph(builder.build(), 0.5)
