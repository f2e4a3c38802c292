"""Structured pruning: the smaller network computes what the masked original computes, through onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from picojoule.models.build import GraphBuilder
from picojoule.models.compress.channels import find_channels
from picojoule.models.compress.structured import choose_channels, mask_channels, shrink, shrink_to
from picojoule.models.errors import InputError
from picojoule.models.graph import Graph
from picojoule.models.model import Model
from picojoule.models.pico import decode_pico, encode_pico
from picojoule.models.run import predict
from picojoule.models.zoo import build_network


def with_values(graph: Graph, seed: int = 0) -> Graph:
    random = np.random.default_rng(seed)
    return graph.with_parameters(
        {n: random.normal(size=p.shape, scale=0.5).astype(np.float32) for n, p in graph.parameters.items()}
    )


def branches() -> Graph:
    """A residual add, a depthwise convolution, batch normalization, a concat, padding and a flatten behind pooling."""
    net = GraphBuilder("branches", (1, 3, 8, 8))
    net.conv("stem", 6, 3, pad=1)
    net.norm("bn")
    stem = net.relu("relu")
    net.conv("one", 6, 3, pad=1)
    summed = net.add("add", "sum", (net.last, stem))
    net.conv("depthwise", 6, 3, pad=1, groups=6, source=summed)
    left = net.conv("left", 4, 1)
    right = net.conv("right", 5, 3, pad=1, source=summed)
    net.add("concat", "both", (left, right), axis=1)
    net.conv("mix", 7, 1)
    net.max_pool("pool", 2, 2)
    net.flatten("flatten")
    net.gemm("fc1", 10)
    net.add("tanh", "tanh")
    net.gemm("fc2", 3)
    return net.build()


def same_outputs(graph: Graph, kept: dict[str, np.ndarray], n: int = 3) -> Graph:
    small, masked = shrink_to(graph, kept), mask_channels(graph, kept)
    shape = graph.tensors[graph.inputs[0]].shape[1:]
    images = np.random.default_rng(1).normal(size=(n, *shape)).astype(np.float32)
    wanted = predict(masked, images)
    scale = float(np.abs(wanted).max())
    assert scale > 0
    assert predict(small, images) == pytest.approx(wanted, abs=1e-5 * scale)
    return small


def test_channels_of_an_add_go_together_and_those_of_the_answer_stay() -> None:
    groups = {g.producers: g for g in find_channels(branches()).groups()}
    assert ("stem", "one") in groups
    assert not groups["stem", "one"].fixed
    assert groups["fc2",].fixed == "the network returns them"
    kept = choose_channels(with_values(branches()), {"stem": 0.5, "one": 0.5})
    assert len(kept["stem"]) == 3
    assert kept["stem"].tolist() == kept["one"].tolist()


def test_the_smaller_network_computes_what_the_masked_one_does() -> None:
    graph = with_values(branches())
    kept = choose_channels(graph, 0.5)
    assert set(kept) == {"stem", "one", "left", "right", "mix", "fc1"}
    small = same_outputs(graph, kept)
    assert small.parameters["depthwise.weight"].shape == (3, 1, 3, 3)
    assert small.parameters["bn.scale"].shape == (3,)
    assert small.parameters["mix.weight"].shape == (4, 4, 1, 1)  # 2 of left and 2 of right
    assert small.parameters["fc1.weight"].shape == (5, 4 * 4 * 4)
    assert small.parameters["fc2.weight"].shape == (3, 5)
    assert dict(next(n for n in small if n.name == "depthwise").attributes)["groups"] == 3


@settings(max_examples=25)
@given(st.data())
def test_any_choice_of_channels(data: st.DataObject) -> None:
    graph = with_values(branches(), 2)
    kept = {}
    for group in find_channels(graph).groups():
        if not group.fixed:
            stay = data.draw(st.sets(st.integers(0, group.size - 1), min_size=1))
            kept |= dict.fromkeys(group.producers, np.array(sorted(stay)))
    small, masked = shrink_to(graph, kept), mask_channels(graph, kept)
    images = np.random.default_rng(3).normal(size=(2, 3, 8, 8)).astype(np.float32)
    assert predict(small, images) == pytest.approx(predict(masked, images), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("name", ["lenet-5", "mlperf-tiny-kws", "mlperf-tiny-ic", "mobilenet-v1-0.25-128"])
def test_networks_of_the_zoo(name: str) -> None:
    graph = with_values(build_network(name))
    scaled = {n: p.values / np.sqrt(max(1, p.elements / p.shape[0])) for n, p in graph.parameters.items()
              if len(p.shape) > 1 and p.values is not None}  # fmt: skip
    graph = graph.with_parameters(scaled)
    small = same_outputs(graph, choose_channels(graph, 0.4, "l2"))
    assert small.parameter_count < 0.45 * graph.parameter_count


def test_resnet_keeps_the_channels_of_a_stage_alike_on_all_its_blocks() -> None:
    groups = [g for g in find_channels(build_network("resnet-18")).groups() if len(g.producers) > 1]
    assert sorted(g.size for g in groups) == [64, 128, 256, 512]
    small = shrink(build_network("resnet-18"), 0.25).graph
    assert next(n for n in small if n.op == "gemm").output in small.outputs
    assert small.parameter_count < build_network("resnet-18").parameter_count / 14


def test_scores_by_hand() -> None:
    """Sums of magnitudes 3, 4, 2 and roots of squares 3, 2.8, 2: l1 and l2 disagree on the best."""
    net = GraphBuilder("hand", (1, 2))
    net.gemm("a", 3, bias=False)
    net.gemm("b", 1, bias=False)
    weights = np.array([[3, 0], [2, -2], [0, 2]], np.float32)
    graph = net.build().with_parameters({"a.weight": weights, "b.weight": np.ones((1, 3), np.float32)})
    assert choose_channels(graph, {"a": 0.34}, "l1")["a"].tolist() == [1]
    assert choose_channels(graph, {"a": 0.34}, "l2")["a"].tolist() == [0]
    assert choose_channels(graph, {"a": 0.67}, "l1")["a"].tolist() == [0, 1]
    draws = {tuple(choose_channels(graph, {"a": 0.34}, "random", seed)["a"]) for seed in range(20)}
    assert draws == {(0,), (1,), (2,)}


def test_one_fraction_for_joined_branches_or_one_line() -> None:
    graph = branches()
    with pytest.raises(InputError, match=r"got stem 0\.5, one nothing, wanted one fraction .* name all of stem, one"):
        choose_channels(graph, {"stem": 0.5})
    with pytest.raises(InputError, match=r"got stem 0\.5, one 0\.25"):
        choose_channels(graph, {"stem": 0.5, "one": 0.25})
    with pytest.raises(InputError, match=r"keep\.fc2: got channels that must stay: the network returns them"):
        choose_channels(graph, {"fc2": 0.5})
    with pytest.raises(InputError, match="depthwise: got channels that must stay: its channels are tied to what it"):
        choose_channels(graph, {"depthwise": 0.5})
    with pytest.raises(InputError, match="other channels than the branch"):
        shrink_to(graph, {"stem": np.array([0, 1]), "one": np.array([0, 2])})
    with pytest.raises(InputError, match=r"ascending numbers in 0\.\.3"):
        shrink_to(graph, {"left": np.array([0, 4])})


def test_weights_that_are_not_finite_are_refused_by_layer() -> None:
    graph = with_values(branches())
    bad = np.array(graph.parameters["mix.weight"].values)
    bad[0, 0] = np.inf
    with pytest.raises(InputError, match="layer mix: got 1 of 63 values NaN or infinite"):
        choose_channels(graph.with_parameters({"mix.weight": bad}), 0.5)


@pytest.mark.parametrize("op", ["sigmoid", "softmax"])
def test_a_function_that_makes_something_of_zero_keeps_its_channels(op: str) -> None:
    net = GraphBuilder("gate", (1, 4))
    net.gemm("fc1", 6)
    net.add(op, "gate")
    net.gemm("fc2", 2)
    assert find_channels(net.build()).groups()[0].fixed == f"gate ({op}) reads them"


def test_a_transformer_keeps_its_channels() -> None:
    graph = build_network("bert-base")
    assert all(group.fixed for group in find_channels(graph).groups())


def test_a_smaller_network_goes_through_a_file() -> None:
    small = shrink(with_values(build_network("lenet-5")), {"conv1": 0.5}).graph
    again = decode_pico(encode_pico(Model("lenet-5", small)), "x.pico").graph
    assert again.parameters["conv2.weight"].shape == (50, 10, 5, 5)
    assert np.array_equal(again.parameters["conv2.weight"].values, small.parameters["conv2.weight"].values)
