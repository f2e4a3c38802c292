"""Networks read from ONNX files built here, against parameter counts, MACs and values worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from picojoule.models.errors import FileFormatError, GraphError, InputError
from picojoule.models.graph import Graph
from picojoule.models.importers import import_onnx
from picojoule.models.importers.onnx import supported_operators
from picojoule.models.ops import loop_bounds
from picojoule.models.run import predict

RNG = np.random.default_rng(7)
LENET_300_100 = [("ip1", 300, 784), ("ip2", 100, 300), ("ip3", 10, 100)]


def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), [output], name=attributes.pop("name", output), **attributes)


def random(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32) * np.float32(0.1)


def write(
    path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], shape: Sequence[int | str | None],
    output: str, opset: int = 17,
) -> Path:  # fmt: skip
    graph = helper.make_graph(
        nodes, "main_graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def macs(graph: Graph) -> int:
    return sum(bounds.macs for item in graph if (bounds := loop_bounds(graph, item)))


def test_lenet_300_100_as_gemm_has_266610_parameters_and_266200_macs(tmp_path: Path) -> None:
    """784 x 300 + 300 x 100 + 100 x 10 = 266,200 products, 410 biases (LeCun et al. 1998)."""
    nodes, weights, source = [node("Flatten", ["x"], "flat")], {}, "flat"
    for name, outputs, inputs in LENET_300_100:
        weights |= {f"{name}.weight": random(outputs, inputs), f"{name}.bias": random(outputs)}
        nodes.append(node("Gemm", [source, f"{name}.weight", f"{name}.bias"], name, transB=1))
        nodes.append(node("Relu", [name], f"{name}.relu"))
        source = f"{name}.relu"
    path = write(tmp_path / "lenet.onnx", nodes[:-1], weights, ("batch", 1, 28, 28), "ip3")
    graph = import_onnx(path)
    assert graph.name == "lenet"
    assert (graph.parameter_count, macs(graph)) == (266_610, 266_200)
    assert [item.op for item in graph] == ["flatten", "gemm", "relu", "gemm", "relu", "gemm"]
    assert np.array_equal(graph.parameters["ip2.weight"].values, weights["ip2.weight"])


def test_mat_mul_and_add_is_the_same_network_as_gemm(tmp_path: Path) -> None:
    """As TensorFlow exports it: weights in x out, the bias in a node of its own, a reshape with -1."""
    weights: dict[str, np.ndarray] = {"shape": np.array([-1, 784])}
    nodes, source = [node("Reshape", ["x", "shape"], "flat")], "flat"
    for name, outputs, inputs in LENET_300_100:
        weights |= {f"{name}.W": random(inputs, outputs), f"{name}.b": random(outputs)}
        nodes += [node("MatMul", [source, f"{name}.W"], f"{name}.mm"), node("Add", [f"{name}.b", f"{name}.mm"], name)]
        nodes.append(node("Relu", [name], source := f"{name}.relu"))
    graph = import_onnx(write(tmp_path / "m.onnx", nodes, weights, (1, 1, 28, 28), source))
    assert (graph.parameter_count, macs(graph)) == (266_610, 266_200)
    assert graph.parameters["ip1.W"].shape == (300, 784)
    x = random(3, 1, 28, 28)
    expected = x.reshape(3, 784)
    for name, _, _ in LENET_300_100:
        expected = np.maximum(expected @ weights[f"{name}.W"] + weights[f"{name}.b"], 0)
    np.testing.assert_allclose(predict(graph, x), expected, rtol=1e-5, atol=1e-6)


def test_lenet_5_has_431080_parameters_and_2293000_macs(tmp_path: Path) -> None:
    """conv1 20 x 25 x 24^2, conv2 50 x 20 x 25 x 8^2, ip1 800 x 500, ip2 500 x 10; a shape computed in the file."""
    weights = {
        "c1.w": random(20, 1, 5, 5), "c1.b": random(20), "c2.w": random(50, 20, 5, 5), "c2.b": random(50),
        "f1.w": random(500, 800), "f1.b": random(500), "f2.w": random(500, 10), "f2.b": random(10),
        "zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1]),
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "c1.w", "c1.b"], "c1", kernel_shape=[5, 5]),
        node("MaxPool", ["c1"], "p1", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p1", "c2.w", "c2.b"], "c2"),
        node("MaxPool", ["c2"], "p2", kernel_shape=[2, 2], strides=[2, 2]),
        node("Shape", ["p2"], "size"),
        node("Gather", ["size", "zero"], "n"),
        node("Unsqueeze", ["n", "axes"], "n1"),
        node("Concat", ["n1", "rest"], "to", axis=0),
        node("Reshape", ["p2", "to"], "flat"),
        node("Gemm", ["flat", "f1.w", "f1.b"], "f1", transB=1),
        node("Relu", ["f1"], "r"),
        node("Dropout", ["r"], "d"),
        node("Gemm", ["d", "f2.w", "f2.b"], "f2"),
        node("Softmax", ["f2"], "probability", axis=-1),
    ]
    graph = import_onnx(write(tmp_path / "l.onnx", nodes, weights, (None, 1, 28, 28), "probability"))
    assert graph.parameter_count == 431_080
    assert macs(graph) == 288_000 + 1_600_000 + 400_000 + 5_000
    assert graph.parameters["f2.w"].shape == (10, 500)
    assert np.array_equal(graph.parameters["f2.w"].values, weights["f2.w"].T)


def test_weights_behind_nodes_and_in_constants(tmp_path: Path) -> None:
    """Transpose (quantizers and Keras leave it there), Identity (PyTorch's shared weights), Constant nodes."""
    w, b = random(4, 6), random(4)
    nodes = [
        node("Transpose", ["w"], "wt", perm=[1, 0]),
        node("Identity", ["wt"], "wi"),
        node("Constant", [], "b", value=numpy_helper.from_array(b)),
        node("Gemm", ["x", "wi", "b"], "y", alpha=2.0, beta=0.5),
        node("Gemm", ["y", "wi2"], "z", transB=1),
    ]
    path = write(tmp_path / "a.onnx", nodes, {"w": w, "wi2": random(4, 4)}, (1, 6), "z")
    graph = import_onnx(path)
    first = graph.nodes[0]
    assert np.array_equal(graph.parameters[first.parameters["weight"]].values, w * 2)
    assert np.array_equal(graph.parameters[first.parameters["bias"]].values, b / 2)
    assert "bias" not in graph.nodes[1].parameters


def test_a_shared_weight_is_one_parameter(tmp_path: Path) -> None:
    nodes = [node("Gemm", ["x", "w"], "a", transB=1), node("Gemm", ["a", "w"], "b", transB=1),
             node("Gemm", ["b", "w"], "c")]  # fmt: skip
    graph = import_onnx(write(tmp_path / "a.onnx", nodes, {"w": random(5, 5)}, (1, 5), "c"))
    assert graph.parameter_count == 50  # the transposed use is a parameter of its own
    assert [item.parameters["weight"] for item in graph] == ["w", "w", "c.weight"]
    assert np.array_equal(graph.parameters["w"].values, graph.parameters["c.weight"].values.T)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("before", ["Conv", "Gemm", "Relu"])
def test_batch_normalization_by_formula(before: str, bias: bool, tmp_path: Path) -> None:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, folded behind a conv or gemm, kept elsewhere."""
    gamma, beta, mean, var = (random(4) + i for i in (1, 0, 0, 2))
    shape = (1, 4) if before == "Gemm" else (1, 4, 5, 5)
    inputs = {"Relu": ["x"], "Conv": ["x", "w", "b"], "Gemm": ["x", "w", "b"]}[before]
    weights = {"w": random(4, 4, 1, 1) if before == "Conv" else random(4, 4), "b": random(4)}
    weights |= {"gamma": gamma, "beta": beta, "mean": mean, "var": var}
    attributes = {"transB": 1} if before == "Gemm" else {}
    first = node(before, inputs if bias or before == "Relu" else inputs[:2], "h", **attributes)
    nodes = [first, node("BatchNormalization", ["h", "gamma", "beta", "mean", "var"], "y", epsilon=1e-3)]
    graph = import_onnx(write(tmp_path / "a.onnx", nodes, weights, shape, "y"))
    ops = [item.op for item in graph]
    assert ops == (["relu", "batch_normalization"] if before == "Relu" else [before.lower()])
    x = random(3, *shape[1:])
    if before == "Relu":
        h = np.maximum(x, 0)
    else:
        h = np.einsum("oi,ni...->no...", weights["w"].reshape(4, 4), x)
        h = h + weights["b"].reshape(1, 4, *(1,) * (x.ndim - 2)) if bias else h
    column = [values.reshape(1, 4, *(1,) * (x.ndim - 2)) for values in (gamma, beta, mean, var)]
    expected = column[0] * (h - column[2]) / np.sqrt(column[3] + 1e-3) + column[1]
    np.testing.assert_allclose(predict(graph, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("attributes", "pads", "size"),
    [
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (0, 0, 1, 1), 3),  # needs 1: the end gets it
        ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, (1, 1, 0, 0), 3),
        ({"auto_pad": "VALID"}, (0, 0, 0, 0), 4),
        ({"pads": [1, 0, 1, 2], "dilations": [2, 1]}, (1, 0, 1, 2), 4),
    ],
)
def test_padding_by_hand(attributes: dict[str, Any], pads: tuple[int, ...], size: int, tmp_path: Path) -> None:
    """A 3 x 3 kernel on 6 x 6; the expected sizes are ceil(6/2), 6-3+1, and 6+2-5+1 rows."""
    path = write(tmp_path / "a.onnx", [node("Conv", ["x", "w"], "y", group=2, **attributes)],
                 {"w": random(4, 1, 3, 3)}, (1, 2, 6, 6), "y")  # fmt: skip
    graph = import_onnx(path)
    assert graph.nodes[0].attributes["pads"] == pads
    assert graph.tensors["y"].shape[:3] == (1, 4, size)
    bounds = loop_bounds(graph, graph.nodes[0])
    assert bounds is not None
    assert (bounds.C, bounds.groups) == (1, 2)
    assert predict(graph, random(2, 2, 6, 6)).shape == (2, *graph.tensors["y"].shape[1:])


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
def test_ceil_mode_agrees_with_onnxruntime(kind: str, size: int, tmp_path: Path) -> None:
    pool = node(kind, ["x"], "y", kernel_shape=[2, 3], strides=[3, 2], pads=[1, 1, 1, 1], ceil_mode=1)
    graph = import_onnx(write(tmp_path / "a.onnx", [pool], {}, (1, 1, size, size), "y", opset=19))
    assert predict(graph, random(1, 1, size, size)).shape == graph.tensors["y"].shape


def test_global_average_pool_and_residual(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], "r"), node("Add", ["x", "r"], "s"), node("GlobalAveragePool", ["s"], "g"),
             node("Squeeze", ["g", "axes"], "y")]  # fmt: skip
    graph = import_onnx(write(tmp_path / "a.onnx", nodes, {"axes": np.array([2, 3])}, ("n", 3, 4, 4), "y"))
    x = random(2, 3, 4, 4)
    expected = (x + np.maximum(x, 0)).mean(axis=(2, 3))
    np.testing.assert_allclose(predict(graph, x), expected, rtol=1e-5, atol=1e-6)


def test_symbolic_dimensions(tmp_path: Path) -> None:
    nodes = [node("GlobalAveragePool", ["x"], "g"), node("Flatten", ["g"], "y")]
    path = write(tmp_path / "a.onnx", nodes, {}, ("batch", 3, "height", None), "y")
    said: list[str] = []
    assert import_onnx(path, warn=said.append).tensors["x"].shape == (1, 3, 224, 224)
    assert said == ["input x has open dimensions batchx3xheightx?: taken as 1x3x224x224; say --shape x=1x3x224x224"]
    channels = write(tmp_path / "c.onnx", nodes, {}, (1, "channels", 8, 8), "y")
    with pytest.raises(InputError, match=r"input x: got open dimensions 1xchannelsx8x8.*use --shape x=1x3x224x224"):
        import_onnx(channels)
    assert import_onnx(path, {"x": (2, 3, 32, 48)}).tensors["x"].shape == (2, 3, 32, 48)
    with pytest.raises(InputError, match="--shape x: got 1x4x8x8, wanted batchx3xheight"):
        import_onnx(path, {"x": (1, 4, 8, 8)})
    with pytest.raises(InputError, match="--shape image: got no input of that name, wanted one of x"):
        import_onnx(path, {"image": (1, 3, 8, 8)})


def test_a_cycle_is_named(tmp_path: Path) -> None:
    nodes = [node("Add", ["x", "b"], "a"), node("Relu", ["a"], "b"), node("Relu", ["b"], "y")]
    with pytest.raises(GraphError, match=r"a cycle: (a -> b -> a|b -> a -> b)"):
        import_onnx(write(tmp_path / "a.onnx", nodes, {}, (1, 4), "y"))


def test_nodes_in_any_order_and_without_names(tmp_path: Path) -> None:
    nodes = [node("Relu", ["h"], "y", name=""), node("Relu", ["x"], "h", name="")]
    graph = import_onnx(write(tmp_path / "a.onnx", nodes, {}, (1, 4), "y"))
    assert [item.name for item in graph] == ["h", "y"]


def test_an_unknown_operator_is_named_with_its_node(tmp_path: Path) -> None:
    nodes = [node("Frobnicate", ["x", "w", "w"], "y", name="rnn/cell")]
    with pytest.raises(GraphError, match=r"^a.onnx: node rnn/cell \(Frobnicate\): got operator Frobnicate") as caught:
        import_onnx(write(tmp_path / "a.onnx", nodes, {"w": random(1, 4, 4)}, (1, 1, 4), "y"))
    assert "\n" not in str(caught.value)
    unused = [node("Relu", ["x"], "y"), node("Frobnicate", ["x"], "unused")]
    assert len(import_onnx(write(tmp_path / "b.onnx", unused, {}, (1, 4), "y")).nodes) == 1


@pytest.mark.parametrize(
    ("nodes", "weights", "message"),
    [
        ([node("Gemm", ["x", "w"], "y", transA=1)], {"w": random(4, 4)}, "transA = 1"),
        ([node("Gemm", ["x", "w", "b"], "y")], {"w": random(4, 3), "b": random(2)}, r"a bias of shape \(2,\)"),
        ([node("Gemm", ["x", "x"], "y")], {}, "inner sizes that agree"),
        ([node("Conv", ["x", "x"], "y")], {}, "a weight 'x' that is computed"),
        ([node("Gemm", ["x", "w"], "y")], {"w": np.ones((4, 4), np.int8)}, "8-bit integers"),
        ([node("Gemm", ["x", "w"], "y", transB=1)], {"w": random(3, 5)}, r"weight \(3, 5\) \(out x in\)"),
        ([node("Relu", ["nothing"], "y")], {}, "no tensor 'nothing'"),
        ([node("Relu", ["w"], "y")], {"w": random(4)}, "the constant 'w'"),
        ([node("Add", ["x", "w"], "y")], {"w": random(3)}, "shapes that broadcast"),
        ([node("Add", ["x", "nothing"], "y")], {}, "no tensor 'nothing'"),
        ([node("Reshape", ["x", "s"], "y")], {"s": np.array([-1, -1])}, "as many elements"),
        ([node("Flatten", ["x"], "y", axis=9)], {}, "axis 9"),
        ([node("Conv", ["x", "w"], "y")], {"w": random(4, 4, 3)}, "1 more axes"),
        ([node("MaxPool", ["x"], "y", kernel_shape=[2, 2])], {}, "2 more axes"),
        ([node("Relu", ["x"], "y"), node("Relu", ["x"], "y")], {}, "written twice"),
        ([node("Dropout", ["x"], "d"), node("Relu", ["mask"], "y")], {}, "no tensor 'mask'"),
    ],
)  # fmt: skip
def test_what_is_refused_says_why(
    nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.onnx", nodes, weights, (1, 4), "y")
    with pytest.raises((GraphError, FileFormatError), match=message):
        import_onnx(path)


def test_half_precision_weights(tmp_path: Path) -> None:
    w = random(3, 4)
    tensors = {"half": w.astype(np.float16), "double": w.astype(np.float64)[:, :3]}
    nodes = [node("Gemm", ["x", "half"], "h", transB=1), node("Gemm", ["h", "double"], "y", transB=1)]
    graph = import_onnx(write(tmp_path / "a.onnx", nodes, tensors, (1, 4), "y"))
    assert graph.parameters["half"].bits == 16
    assert np.array_equal(graph.parameters["half"].values, w.astype(np.float16).astype(np.float32))
    assert np.array_equal(graph.parameters["double"].values, w[:, :3])


def test_bfloat16_and_typed_fields(tmp_path: Path) -> None:
    """bfloat16 1.5 is 0x3FC0; float16 1.5 is 0x3E00; both may lie in int32_data."""
    proto = {"bf": (TensorProto.BFLOAT16, 0x3FC0), "f16": (TensorProto.FLOAT16, 0x3E00)}
    graph = helper.make_graph(
        [node("Gemm", ["x", "bf"], "h"), node("Gemm", ["h", "f16"], "y")], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 1))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [TensorProto(name=n, dims=[1, 1], data_type=kind, int32_data=[bits]) for n, (kind, bits) in proto.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    read = import_onnx(tmp_path / "a.onnx")
    assert {name: parameter.values.item() for name, parameter in read.parameters.items()} == {"bf": 1.5, "f16": 1.5}


def test_every_operator_of_the_brief_is_read() -> None:
    wanted = {"Conv", "Gemm", "MatMul", "Add", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten",
              "Reshape", "Softmax", "Identity", "Dropout", "BatchNormalization", "Constant", "Transpose"}  # fmt: skip
    assert wanted <= set(supported_operators())
