"""Peak memory of activations against a slow liveness analysis and cases worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picojoule.models.build import GraphBuilder
from picojoule.models.graph import Graph, Node, TensorSpec
from picojoule.models.load import load_model
from picojoule.models.memory import peak_activation_bits

IN_PLACE = ("relu", "flatten", "identity", "sigmoid")


def last_use(graph: Graph, tensor: str) -> int:
    """Step of the last node that reads a tensor; an output is needed for ever, an input nobody reads as well."""
    readers = [step for step, node in enumerate(graph.nodes) if tensor in node.inputs]
    if tensor in graph.outputs or (tensor in graph.inputs and not readers):
        return len(graph.nodes)
    return max(readers, default=-1)


def slow_peak(graph: Graph) -> int:
    """At each step: every tensor written so far and still needed, and what the step writes.

    A view or an activation function that is the only, last reader of its input takes its place.
    """
    written = {node.output: step for step, node in enumerate(graph.nodes)} | dict.fromkeys(graph.inputs, -1)
    bits = {name: spec.elements * spec.bits for name, spec in graph.tensors.items()}
    peak = sum(bits[name] for name in graph.inputs)
    for step, node in enumerate(graph.nodes):
        alive = {name for name, made in written.items() if made < step and last_use(graph, name) >= step}
        alive.add(node.output)
        source = node.inputs[0]
        readers = sum(other.inputs.count(source) for other in graph.nodes if source in other.inputs)
        earlier = any(source in other.inputs for other in graph.nodes[:step])
        if node.op in IN_PLACE and last_use(graph, source) == step and (readers == 1 or earlier):
            alive.discard(source)
        peak = max(peak, sum(bits[name] for name in alive))
    return peak


@st.composite
def dags(draw: Any) -> Graph:
    """Up to 12 operators of one or two inputs anywhere behind, so with many shortcuts; some results are not read."""
    count = draw(st.integers(1, 12))
    shapes = st.integers(1, 50).map(lambda n: TensorSpec((1, n), draw(st.sampled_from((8, 32)))))
    tensors, nodes = {"x": draw(shapes)}, []
    for place in range(count):
        known = list(tensors)
        source = draw(st.sampled_from(known))
        op = draw(st.sampled_from((*IN_PLACE, "add", "concat")))
        inputs = (source,) if op in IN_PLACE else (source, draw(st.sampled_from(known)))
        name = f"n{place}"
        nodes.append(Node(name, op, inputs, name))
        tensors[name] = tensors[source] if op in IN_PLACE else draw(shapes)
    outputs = tuple(draw(st.lists(st.sampled_from([n.output for n in nodes]), min_size=1, max_size=3, unique=True)))
    return Graph("dag", ("x",), outputs, tuple(nodes), tensors, {})


@given(dags())
def test_against_a_slow_liveness_analysis(graph: Graph) -> None:
    assert peak_activation_bits(graph) == slow_peak(graph)


@given(dags(), st.integers(1, 7))
def test_batches_multiply_it(graph: Graph, batch: int) -> None:
    assert peak_activation_bits(graph, batch) == batch * peak_activation_bits(graph)


@given(dags())
def test_between_the_largest_step_and_everything(graph: Graph) -> None:
    sizes = {name: spec.elements * spec.bits for name, spec in graph.tensors.items()}
    assert max(sizes.values()) <= peak_activation_bits(graph) <= sum(sizes.values())


@pytest.mark.parametrize(
    ("name", "bytes_"),
    [
        ("lenet-300-100", (784 + 300) * 4),  # the image and ip1
        ("lenet-5", (20 * 24 * 24 + 20 * 12 * 12) * 4),  # conv1 and its pooled output
    ],
)
def test_the_lenets_by_hand(name: str, bytes_: int) -> None:
    assert peak_activation_bits(load_model(name).graph) == 8 * bytes_


def test_a_shortcut_keeps_its_source_alive() -> None:
    """c = conv(b): a (4 x 8 x 8) waits for the addition, so a, b and c are there at once: 3 x 256 x 32 bits."""
    net = GraphBuilder("residual", (1, 1, 8, 8))
    first = net.conv("a", 4, 1)
    net.conv("b", 4, 3, pad=1)
    last = net.conv("c", 4, 3, pad=1)
    net.add("add", "sum", (first, last))
    assert peak_activation_bits(net.build()) == 3 * 256 * 32


def test_relu_in_place_only_where_nothing_else_reads_its_input() -> None:
    """x of 10 numbers: relu(x) alone takes its place; with x read again by the sum, three are alive at the sum."""
    alone = GraphBuilder("alone", (1, 10))
    alone.relu("r")
    assert peak_activation_bits(alone.build()) == 10 * 32
    again = GraphBuilder("again", (1, 10))
    again.add("add", "sum", ("input", again.relu("r")))
    assert peak_activation_bits(again.build()) == 3 * 10 * 32


def test_fewer_bits_take_less() -> None:
    """784 pixels of 8 bits and 10 results of 8 bits."""
    net = GraphBuilder("small", (1, 784), bits=8)
    net.gemm("fc", 10)
    assert peak_activation_bits(net.build()) == 794 * 8
