"""Operators: shapes and loops by hand, and the exported ONNX against numpy, on random weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from picojoule.models.build import GraphBuilder
from picojoule.models.errors import GraphError
from picojoule.models.exporters.onnx import export_onnx
from picojoule.models.exporters.onnx_nodes import exported_operators
from picojoule.models.graph import Graph, Node, Parameter, TensorSpec
from picojoule.models.importers import import_onnx
from picojoule.models.ops import OPS, loop_bounds

RNG = np.random.default_rng(3)
ERF = np.vectorize(math.erf)


def random(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def one(
    op: str, shapes: list[tuple[int, ...]], parameters: dict[str, np.ndarray] | None = None, **attributes: Any
) -> Graph:
    """A graph of one node."""
    from picojoule.models.ops import infer_output

    found = {role: Parameter(values.shape, source=values) for role, values in (parameters or {}).items()}
    node = Node("y", op, tuple(f"x{i}" for i in range(len(shapes))), "y", {r: f"y.{r}" for r in found}, attributes)
    specs = {f"x{i}": TensorSpec(shape) for i, shape in enumerate(shapes)}
    shape = infer_output(node, tuple(specs.values()), found)
    tensors = {**specs, "y": TensorSpec(shape)}
    return Graph("one", tuple(specs), ("y",), (node,), tensors, {f"y.{r}": p for r, p in found.items()})


def run(graph: Graph, *inputs: np.ndarray) -> np.ndarray:
    content = export_onnx(graph, dynamic_batch=False)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, dict(zip(graph.inputs, inputs, strict=True)))
    assert output.shape == graph.tensors["y"].shape
    return output


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def hard_sigmoid(x: np.ndarray) -> np.ndarray:
    return np.clip(x / 6 + 0.5, 0, 1)


UNARY = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x < 0, 0.1 * x, x),
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "hard_sigmoid": hard_sigmoid,
    "hard_swish": lambda x: x * hard_sigmoid(x),
    "swish": lambda x: x * sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1 + ERF(x / np.sqrt(2))),
    "clip": lambda x: np.clip(x, -1, 2),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
    "identity": lambda x: x,
    "flatten": lambda x: x.reshape(2, -1),
    "global_average_pool": lambda x: x.mean((2, 3), keepdims=True),
    "global_max_pool": lambda x: x.max((2, 3), keepdims=True),
    "channel_shuffle": lambda x: x.reshape(2, 2, 3, 5, 4).transpose(0, 2, 1, 3, 4).reshape(2, 6, 5, 4),
    "transpose": lambda x: x.transpose(0, 2, 3, 1),
    "reshape": lambda x: x.reshape(2, 3, 40),
    "slice": lambda x: x[:, 1:5:2, :, -2:],
    "pad": lambda x: np.pad(x, ((0, 0), (0, 0), (1, 2), (0, 1))),
    "reduce": lambda x: x.mean((2, 3)),
    "unary": lambda x: np.exp(x),
    "gather": lambda x: x[:, [[0, 5], [2, 2]]],
}
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "leaky_relu": {"alpha": 0.1},
    "clip": {"low": -1.0, "high": 2.0},
    "channel_shuffle": {"groups": 2},
    "transpose": {"perm": (0, 2, 3, 1)},
    "reshape": {"shape": (2, 3, 40)},
    "slice": {"starts": (1, -2), "ends": (5, 99), "axes": (1, 3), "steps": (2, 1)},
    "pad": {"pads": (0, 0, 1, 0, 0, 0, 2, 1)},
    "reduce": {"function": "Mean", "axes": (2, 3), "keepdims": 0},
    "unary": {"function": "Exp"},
    "gather": {"axis": 1, "indices": (0, 5, 2, 2), "picked": (2, 2)},
}


@pytest.mark.parametrize("op", UNARY)
def test_one_input_against_numpy(op: str) -> None:
    x = 3 * random(2, 6, 5, 4)
    graph = one(op, [x.shape], **ATTRIBUTES.get(op, {}))
    np.testing.assert_allclose(run(graph, x), UNARY[op](x.astype(np.float64)), rtol=1e-4, atol=1e-5)
    assert loop_bounds(graph, graph.nodes[0]) is None


def test_two_inputs_against_numpy() -> None:
    x, y = random(2, 6, 5, 4), random(2, 6, 1, 1)
    np.testing.assert_allclose(run(one("multiply", [x.shape, y.shape]), x, y), x * y, rtol=1e-5)
    np.testing.assert_allclose(run(one("add", [x.shape, y.shape]), x, y), x + y, rtol=1e-5)
    np.testing.assert_allclose(run(one("binary", [x.shape, y.shape], function="Sub"), x, y), x - y, rtol=1e-5)
    constant = random(6, 1, 1)
    graph = one("binary", [x.shape], {"operand": constant}, function="Sub", reverse=1)
    np.testing.assert_allclose(run(graph, x), constant - x, rtol=1e-5)
    z = random(2, 3, 5, 4)
    np.testing.assert_array_equal(run(one("concat", [x.shape, z.shape], axis=1), x, z), np.concatenate([x, z], 1))


def test_matmul_of_activations_by_hand() -> None:
    """2 heads of 3 x 4 times 4 x 5: 2 x 3 x 5 x 4 = 120 products."""
    x, y = random(1, 2, 3, 4), random(1, 2, 4, 5)
    graph = one("matmul", [x.shape, y.shape])
    np.testing.assert_allclose(run(graph, x, y), x @ y, rtol=1e-4, atol=1e-5)
    bounds = loop_bounds(graph, graph.nodes[0])
    assert bounds is not None
    assert bounds.macs == 120


def test_einsum_contraction_by_hand() -> None:
    """bhqd,bhkd->bhqk with b 1, h 2, q 3, k 5, d 4: the same 120 products."""
    x, y = random(1, 2, 3, 4), random(1, 2, 5, 4)
    graph = one("einsum", [x.shape, y.shape], equation="bhqd,bhkd->bhqk")
    np.testing.assert_allclose(run(graph, x, y), np.einsum("bhqd,bhkd->bhqk", x, y), rtol=1e-4, atol=1e-5)
    assert loop_bounds(graph, graph.nodes[0]).macs == 120  # type: ignore[union-attr]


def test_gemm_on_more_axes() -> None:
    """A linear layer on batch x sequence x features: 2 x 7 x 5 x 4 = 280 products."""
    x, weight, bias = random(2, 7, 4), random(5, 4), random(5)
    graph = one("gemm", [x.shape], {"weight": weight, "bias": bias})
    np.testing.assert_allclose(run(graph, x), x @ weight.T + bias, rtol=1e-4, atol=1e-5)
    assert loop_bounds(graph, graph.nodes[0]).macs == 280  # type: ignore[union-attr]


def test_convolutions_of_one_and_three_axes() -> None:
    """By plain loops over output positions."""
    x, weight = random(1, 3, 9), random(4, 3, 3)
    graph = one("conv", [x.shape], {"weight": weight}, strides=(2,), pads=(1, 1))
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1)))
    wanted = np.stack([np.einsum("nck,ock->no", padded[:, :, 2 * i : 2 * i + 3], weight) for i in range(5)], -1)
    np.testing.assert_allclose(run(graph, x), wanted, rtol=1e-4, atol=1e-5)
    assert loop_bounds(graph, graph.nodes[0]).macs == 5 * 4 * 3 * 3  # type: ignore[union-attr]
    x, weight = random(1, 2, 3, 4, 5), random(3, 2, 2, 2, 2)
    graph = one("conv", [x.shape], {"weight": weight})
    assert run(graph, x).shape == (1, 3, 2, 3, 4)
    assert loop_bounds(graph, graph.nodes[0]).macs == 3 * 2 * 8 * 2 * 3 * 4  # type: ignore[union-attr]


def test_transposed_convolution_by_hand() -> None:
    """Every input value times every weight of its channel: 2 x 9 inputs x 3 outputs x 4 kernel places = 216."""
    x, weight, bias = random(1, 2, 3, 3), random(2, 3, 2, 2), random(3)
    graph = one("conv_transpose", [x.shape], {"weight": weight, "bias": bias}, strides=(2, 2))
    wanted = np.zeros((1, 3, 6, 6), np.float32) + bias[:, None, None]
    for c in range(2):
        for i in range(3):
            for j in range(3):
                wanted[0, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] += x[0, c, i, j] * weight[c]
    np.testing.assert_allclose(run(graph, x), wanted, rtol=1e-4, atol=1e-5)
    assert loop_bounds(graph, graph.nodes[0]).macs == 216  # type: ignore[union-attr]


def test_normalizations_against_numpy() -> None:
    x, scale, bias = random(2, 6, 5, 4), random(6), random(6)
    wide = (slice(None), None, None)
    graph = one("batch_normalization", [x.shape], {"scale": scale, "bias": bias})
    np.testing.assert_allclose(run(graph, x), scale[wide] * x + bias[wide], rtol=1e-4, atol=1e-5)
    graph = one("instance_normalization", [x.shape], {"scale": scale, "bias": bias}, epsilon=1e-5)
    centred = (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(run(graph, x), scale[wide] * centred + bias[wide], rtol=1e-3, atol=1e-4)
    scale, bias = random(4), random(4)
    graph = one("layer_normalization", [x.shape], {"scale": scale, "bias": bias}, axis=-1, epsilon=1e-5)
    centred = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(run(graph, x), scale * centred + bias, rtol=1e-3, atol=1e-4)


def test_local_response_norm_of_alexnet() -> None:
    """x / (1 + 1e-4 / 5 sum of squares over 5 channels)^0.75 (Krizhevsky et al., 2012, section 3.3, Caffe's form)."""
    x = 10 * random(1, 6, 2, 2)
    graph = one("local_response_norm", [x.shape], size=5, alpha=1e-4, beta=0.75, bias=1.0)
    sums = np.stack([(x[:, max(0, c - 2) : c + 3] ** 2).sum(1) for c in range(6)], 1)
    np.testing.assert_allclose(run(graph, x), x / (1 + 1e-4 / 5 * sums) ** 0.75, rtol=1e-4)


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_recurrent_layers_by_hand(cell: str, gates: int) -> None:
    """7 steps, batch 2, 3 features, 5 hidden: 14 x gates x 5 x (3 + 5) products; the output of an rnn by a loop."""
    x = random(7, 2, 3)
    weight = random(gates * 5, 8)
    graph = one("recurrent", [x.shape], {"weight": weight}, cell=cell, hidden=5)
    assert loop_bounds(graph, graph.nodes[0]).macs == 14 * gates * 5 * 8  # type: ignore[union-attr]
    output = run(graph, x)
    assert output.shape == (7, 1, 2, 5)
    if cell == "rnn":
        state = np.zeros((2, 5), np.float32)
        for step in range(7):
            state = np.tanh(np.concatenate([x[step], state], 1) @ weight.T)
            np.testing.assert_allclose(output[step, 0], state, rtol=1e-4, atol=1e-5)


def test_embedding_reads_rows() -> None:
    table = random(9, 4)
    graph = one("gather", [(2, 3)], {"table": table})
    index = np.array([[0, 8, 3], [1, 1, 2]], np.float32)
    np.testing.assert_array_equal(run(graph, index), table[index.astype(int)])


def test_resize_by_two() -> None:
    x = random(1, 2, 3, 3)
    graph = one("resize", [x.shape], shape=(1, 2, 6, 6), mode="nearest", coordinates="asymmetric", nearest="floor")
    np.testing.assert_array_equal(run(graph, x), x.repeat(2, 2).repeat(2, 3))


@pytest.mark.parametrize(
    ("op", "shapes", "attributes", "said"),
    [
        ("add", [(2, 3), (2, 4)], {}, "broadcast"),
        ("concat", [(1, 2, 3), (1, 2, 4)], {"axis": 1}, "differ on axis 1"),
        ("concat", [(1, 2)], {"axis": 5}, "axis"),
        ("reshape", [(2, 3)], {"shape": (7,)}, "as many"),
        ("reshape", [(2, 3)], {}, "shape = None"),
        ("transpose", [(2, 3)], {"perm": (0, 0)}, "order"),
        ("slice", [(2, 3)], {"starts": (5,), "ends": (6,), "axes": (1,)}, "something left"),
        ("slice", [(2, 3)], {"starts": (0,), "ends": (1, 2), "axes": (1,)}, "one of each"),
        ("matmul", [(2, 3), (4, 5)], {}, "inner sizes"),
        ("channel_shuffle", [(1, 5, 2, 2)], {"groups": 2}, "divide"),
        ("einsum", [(2, 3)], {"equation": "ij"}, "indices"),
        ("einsum", [(2, 3), (4, 5)], {"equation": "ij,jk->ik"}, "one size"),
        ("max_pool", [(1, 2)], {"kernel": 2}, "spatial"),
        ("reduce", [(1, 2)], {"axes": (7,)}, "axes of"),
        ("unheard_of", [(1, 2)], {}, "an operator among"),
    ],
)
def test_impossible_shapes_are_refused(op: str, shapes: list[tuple[int, ...]], attributes: Any, said: str) -> None:
    with pytest.raises(GraphError, match=said):
        one(op, shapes, **attributes)


def test_every_operator_has_an_onnx_form_or_says_why() -> None:
    """Groups of channels, moves of the file's own and opaque operators have none."""
    assert set(OPS) - set(exported_operators()) == {"group_normalization", "opaque"}
    with pytest.raises(GraphError, match="an operator among"):
        export_onnx(one("opaque", [(1, 2)], shape=(1, 2), kind="Loop"))


def test_a_round_trip_through_a_file(tmp_path: Any) -> None:
    net = GraphBuilder("net", (1, 3, 8, 8))
    net.conv("conv", 4, 3, pad=1)
    net.relu("relu")
    net.flatten("flat")
    net.gemm("fc", 5)
    graph = net.build().with_parameters({name: random(*p.shape) for name, p in net.build().parameters.items()})
    path = tmp_path / "net.onnx"
    path.write_bytes(export_onnx(graph))
    again = import_onnx(str(path))
    assert [node.op for node in again] == [node.op for node in graph]
