"""What a Graph refuses, and what it keeps: order, read-only values, names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picojoule.models.build import GraphBuilder
from picojoule.models.errors import GraphError
from picojoule.models.graph import Graph, Node, Parameter, TensorSpec
from picojoule.models.zoo import build_network


def relu(name: str, *inputs: str) -> Node:
    return Node(name, "relu" if len(inputs) == 1 else "add", inputs, name)


def graph(nodes: list[Node], inputs: tuple[str, ...] = ("x",), outputs: tuple[str, ...] = (), **other: Any) -> Graph:
    """Every tensor has shape (1, 2) unless `shapes` says otherwise."""
    names = {*inputs, *(node.output for node in nodes)}
    tensors = {name: TensorSpec((1, 2)) for name in names} | other.get("tensors", {})
    return Graph("g", inputs, outputs or (nodes[-1].output,), tuple(nodes), tensors, other.get("parameters", {}))


def refused(said: str, nodes: list[Node], **other: Any) -> None:
    with pytest.raises(GraphError, match=said) as error:
        graph(nodes, **other)
    assert "\n" not in str(error.value)


def test_a_cycle_is_refused_and_shown() -> None:
    refused("a cycle: .*a.* -> .*b|a cycle: .*b.* -> .*a", [relu("a", "x", "b"), relu("b", "a")])
    refused("a cycle: a,", [relu("a", "a")])


@pytest.mark.parametrize(
    ("said", "nodes", "other"),
    [
        ("two nodes named 'a'", [relu("a", "x"), Node("a", "relu", ("x",), "b")], {}),
        ("a tensor written twice", [relu("a", "x"), Node("b", "relu", ("x",), "a")], {}),
        ("a tensor written twice", [Node("a", "relu", ("x",), "x")], {}),
        ("input 'nowhere'", [relu("a", "nowhere")], {}),
        ("weight 'w'", [Node("a", "gemm", ("x",), "a", {"weight": "w"})], {}),
        ("'nowhere' without producer or shape", [relu("a", "x")], {"outputs": ("nowhere",)}),
        ("shape \\(1, 0\\)", [relu("a", "x")], {"tensors": {"a": TensorSpec((1, 0))}}),
        ("shape \\(-1, 2\\)", [relu("a", "x")], {"tensors": {"x": TensorSpec((-1, 2))}}),
        ("0 bits", [relu("a", "x")], {"tensors": {"a": TensorSpec((1, 2), 0)}}),
        ("shape \\(0,\\)", [relu("a", "x")], {"parameters": {"w": Parameter((0,))}}),
    ],
)
def test_a_wrong_structure_is_one_line(said: str, nodes: list[Node], other: Mapping[str, Any]) -> None:
    refused(said, nodes, **other)


def test_a_tensor_without_a_shape_is_refused() -> None:
    with pytest.raises(GraphError, match="'a' without producer or shape"):
        Graph("g", ("x",), ("a",), (relu("a", "x"),), {"x": TensorSpec((1, 2))}, {})


@pytest.mark.parametrize(
    "wrong",
    [
        lambda net: net.add("gemm", "fc", parameters={"weight": Parameter((2, 4))}),  # rows of 8, a weight for 4
        lambda net: net.add("gemm", "fc", parameters={"weight": Parameter((2, 8)), "bias": Parameter((3,))}),
        lambda net: net.conv("conv", 4, 9),  # a kernel larger than its input
        lambda net: net.conv("conv", 4, 3, groups=5),
        lambda net: net.add("add", "sum", ("image", net.conv("c", 4, 3))),  # 8 x 8 and 6 x 6
        lambda net: net.add("dance", "d"),
    ],
)
def test_shapes_that_disagree_are_refused(wrong: Any) -> None:
    net = GraphBuilder("g", (1, 4, 8, 8), input_name="image")
    with pytest.raises(GraphError) as error:
        wrong(net)
    assert "\n" not in str(error.value)


@given(st.integers(1, 9), st.randoms(use_true_random=False))
def test_nodes_come_in_an_order_in_which_they_can_run(size: int, random: Any) -> None:
    """However they were handed over: each node behind those it reads from."""
    nodes = []
    for place in range(size):
        read = [f"n{n}" for n in range(place) if random.random() < 0.5][:2] or ["x"]
        nodes.append(relu(f"n{place}", *read))
    outputs = tuple(node.output for node in nodes)
    random.shuffle(nodes)
    made = graph(nodes, outputs=outputs)
    done = {"x"}
    for node in made:
        assert done >= set(node.inputs)
        done.add(node.output)
    assert nx.is_directed_acyclic_graph(made.dag)
    assert {(a, b) for a, b in made.dag.edges} == {(i, n.name) for n in nodes for i in n.inputs if i != "x"}


def test_the_given_order_is_kept_where_it_can_be() -> None:
    nodes = [relu("b", "x"), relu("a", "x"), relu("sum", "a", "b")]
    assert [node.name for node in graph(nodes)] == ["b", "a", "sum"]


def test_a_graph_is_frozen() -> None:
    made = graph([relu("a", "x")])
    with pytest.raises(FrozenInstanceError):
        made.name = "other"  # type: ignore[misc]
    for mapping in (made.tensors, made.parameters, made.nodes[0].attributes, made.nodes[0].parameters):
        with pytest.raises(TypeError):
            mapping["k"] = 1  # type: ignore[index]


def test_values_are_read_when_asked_and_cannot_be_changed() -> None:
    asked = []

    def read() -> np.ndarray:
        asked.append(1)
        return np.arange(6, dtype=np.float64).reshape(2, 3)

    parameter = Parameter((2, 3), source=read)
    assert (parameter.known, asked) == (True, [])
    values = parameter.values
    assert values is not None
    assert values.dtype == np.float32
    assert parameter.values is values
    assert asked == [1]
    with pytest.raises(ValueError, match="read-only"):
        values[0, 0] = 1
    with pytest.raises(GraphError, match=r"shape \(2, 3\), wanted shape \(3, 2\)"):
        _ = Parameter((3, 2), source=read).values
    assert Parameter((3, 2)).values is None


def test_the_callers_array_stays_writable() -> None:
    mine = np.zeros((2, 3), np.float32)
    assert Parameter((2, 3), source=mine).values is not None
    mine[0, 0] = 5


def test_with_parameters_by_hand() -> None:
    """LeNet-300-100: 784 x 300 + 300 x 100 + 100 x 10 weights and 410 biases."""
    net = build_network("lenet-300-100")
    assert (net.parameter_count, net.has_weights) == (266_610, False)
    bias = np.ones(300, np.float32)
    other = net.with_parameters({"ip1.bias": bias})
    assert np.array_equal(other.parameters["ip1.bias"].values, bias)
    assert net.parameters["ip1.bias"].values is None
    assert other.tensors == net.tensors
    with pytest.raises(GraphError, match=r"'ip9\.bias'"):
        net.with_parameters({"ip9.bias": bias})
    with pytest.raises(GraphError, match=r"got shape \(10,\), wanted shape \(300,\)"):
        net.with_parameters({"ip1.bias": np.ones(10, np.float32)})


def test_replace_checks_again() -> None:
    with pytest.raises(GraphError, match="without producer"):
        replace(graph([relu("a", "x")]), outputs=("b",))
