"""Low rank: errors that theory gives, networks that compute what their factors' product does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picojoule.models.build import GraphBuilder
from picojoule.models.compress.low_rank import (
    decompose,
    low_rank,
    ranks_for_budget,
    ranks_for_energy,
    svd_factors,
    tucker2,
)
from picojoule.models.errors import InputError
from picojoule.models.graph import Graph
from picojoule.models.ops import loop_bounds
from picojoule.models.run import predict
from picojoule.models.zoo import build_network


def with_values(graph: Graph, seed: int = 0) -> Graph:
    random = np.random.default_rng(seed)
    return graph.with_parameters(
        {n: random.normal(size=p.shape, scale=0.3).astype(np.float32) for n, p in graph.parameters.items()}
    )


def network() -> Graph:
    net = GraphBuilder("small", (1, 6, 9, 9))
    net.conv("conv1", 8, 3, stride=2, pad=1)
    net.relu("relu1")
    net.conv("point", 10, 1, stride=2, pad=1)
    net.conv("depthwise", 10, 3, pad=1, groups=10)
    net.flatten("flatten")
    net.gemm("fc1", 12)
    net.add("tanh", "tanh")
    net.gemm("fc2", 3, bias=False)
    return with_values(net.build())


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 99), st.data())
def test_svd_error_is_the_tail(rows: int, columns: int, seed: int, data: st.DataObject) -> None:
    """Eckart and Young: the squared error is the sum of the squared singular values left out."""
    matrix = np.random.default_rng(seed).normal(size=(rows, columns))
    rank = data.draw(st.integers(1, min(rows, columns)))
    left, right = svd_factors(matrix, rank)
    tail = (np.linalg.svd(matrix, compute_uv=False)[rank:] ** 2).sum()
    assert ((matrix - left @ right) ** 2).sum() == pytest.approx(tail, abs=1e-9)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99), st.data())
def test_tucker_error_by_its_core_and_within_hosvds_bound(k: int, c: int, seed: int, data: st.DataObject) -> None:
    """|W - T|^2 = |W|^2 - |core|^2 <= both unfoldings' tails, and at least the larger of them."""
    kernel = np.random.default_rng(seed).normal(size=(k, c, 3, 2))
    r_out, r_in = data.draw(st.integers(1, k)), data.draw(st.integers(1, c))
    u, core, v = tucker2(kernel, r_out, r_in)
    made = np.einsum("ko,oirs,ci->kcrs", u, core, v)
    error = float(((kernel - made) ** 2).sum())
    assert error == pytest.approx((kernel**2).sum() - (core**2).sum(), abs=1e-9)

    def tail(mode: int, rank: int) -> float:
        unfolded = np.moveaxis(kernel, mode, 0).reshape(kernel.shape[mode], -1)
        return float((np.linalg.svd(unfolded, compute_uv=False)[rank:] ** 2).sum())

    tails = tail(0, r_out), tail(1, r_in)
    assert max(tails) - 1e-9 <= error <= sum(tails) + 1e-9


def test_a_tensor_of_low_rank_is_found_exactly() -> None:
    random = np.random.default_rng(2)
    kernel = np.einsum("ko,oirs,ci->kcrs", *(random.normal(size=s) for s in ((9, 2), (2, 3, 3, 3), (7, 3))))
    u, core, v = tucker2(kernel, 2, 3)
    assert np.einsum("ko,oirs,ci->kcrs", u, core, v) == pytest.approx(kernel, abs=1e-9)
    assert u.T @ u == pytest.approx(np.eye(2), abs=1e-12)


def test_full_rank_computes_what_the_network_did() -> None:
    graph = network()
    split = decompose(graph, {"conv1": (8, 6), "point": (8,), "fc1": (12,), "fc2": (3,)})
    images = np.random.default_rng(1).normal(size=(4, 6, 9, 9)).astype(np.float32)
    assert [n.name for n in split][:4] == ["conv1.in", "conv1.core", "conv1", "relu1"]
    assert predict(split, images) == pytest.approx(predict(graph, images), abs=1e-3)


def test_a_split_network_computes_what_the_product_of_its_factors_does() -> None:
    """Against the unsplit network with each weight replaced by its nearest of that rank."""
    graph = network()
    ranks = {"conv1": (3, 2), "point": (2,), "fc1": (4,)}
    values = {name: p.values.astype(float) for name, p in graph.parameters.items() if p.values is not None}
    u, core, v = tucker2(values["conv1.weight"], 3, 2)
    near = {"conv1.weight": np.einsum("ko,oirs,ci->kcrs", u, core, v)}
    for layer in ("point", "fc1"):
        weight = values[f"{layer}.weight"]
        left, right = svd_factors(weight.reshape(len(weight), -1), ranks[layer][0])
        near[f"{layer}.weight"] = (left @ right).reshape(weight.shape)
    replaced = graph.with_parameters({name: array.astype(np.float32) for name, array in near.items()})
    images = np.random.default_rng(1).normal(size=(4, 6, 9, 9)).astype(np.float32)
    wanted = predict(replaced, images)
    assert predict(decompose(graph, ranks), images) == pytest.approx(wanted, abs=1e-4 * float(np.abs(wanted).max()))


def test_parameters_and_products_by_hand() -> None:
    """conv1 8x6x3x3 at ranks 3, 2: 12 + 54 + 24 weights; on 9x9 in and 5x5 out 81x12 + 25x54 + 25x24 products."""
    split = decompose(network(), {"conv1": (3, 2)})
    assert [split.parameters[f"conv1{part}.weight"].elements for part in (".in", ".core", "")] == [12, 54, 24]
    bounds = [loop_bounds(split, node) for node in split if node.name.startswith("conv1")]
    assert [b.macs for b in bounds if b] == [81 * 12, 25 * 54, 25 * 24]


@pytest.mark.parametrize("budget", [0.1, 0.3, 0.7])
def test_a_budget_is_kept_and_used(budget: float) -> None:
    graph = with_values(build_network("lenet-5"))
    whole = sum(p.elements for name, p in graph.parameters.items() if name.endswith("weight"))
    small = low_rank(graph, budget=budget)
    kept = sum(p.elements for name, p in small.parameters.items() if name.endswith("weight"))
    assert 0.9 * budget * whole < kept <= budget * whole


def test_energy_leaves_layers_that_would_not_shrink() -> None:
    graph = with_values(build_network("lenet-300-100"))
    assert ranks_for_energy(graph, 1.0) == {}
    ranks = ranks_for_energy(graph, {"ip1": 0.5, "ip3": 0.9999})
    assert set(ranks) == {"ip1"}
    matrix = graph.parameters["ip1.weight"].values
    assert matrix is not None
    squares = np.linalg.svd(matrix, compute_uv=False) ** 2
    assert squares[: ranks["ip1"][0]].sum() >= 0.5 * squares.sum() > squares[: ranks["ip1"][0] - 1].sum()


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(InputError, match="layer depthwise: got a layer that cannot be split"):
        decompose(network(), {"depthwise": (1,)})
    with pytest.raises(InputError, match="rank 13, wanted 1 to 12"):
        decompose(network(), {"fc1": (13,)})
    with pytest.raises(InputError, match=r"low_rank\.budget: got 0\.001, wanted a fraction of the weights, at least"):
        ranks_for_budget(network(), 0.001)
    bad = np.array(network().parameters["fc1.weight"].values)
    bad[0, 0] = np.nan
    with pytest.raises(InputError, match="layer fc1: got 1 of"):
        low_rank(network().with_parameters({"fc1.weight": bad}), energy=0.9)
    with pytest.raises(InputError, match="energy or budget"):
        low_rank(network())
