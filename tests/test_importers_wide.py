"""ONNX files of every kind: what picojoule imports computes what onnxruntime computes of the original."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import picojoule
from picojoule.commands import with_measured_activations
from picojoule.models.errors import GraphError, PicojouleError
from picojoule.models.exporters.onnx import export_onnx
from picojoule.models.graph import Graph
from picojoule.models.importers import import_onnx, onnx_file, onnx_slim
from picojoule.models.load import load_model
from picojoule.models.ops import loop_bounds

DATA = Path(onnx.__file__).parent / "backend/test/data"
RNG = np.random.default_rng(11)


def random(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def node(
    kind: str, inputs: Sequence[str], outputs: str | Sequence[str], domain: str = "", **attributes: Any
) -> onnx.NodeProto:
    names = [outputs] if isinstance(outputs, str) else list(outputs)
    return helper.make_node(kind, list(inputs), names, name=f"n_{names[0]}", domain=domain, **attributes)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    inputs: dict[str, tuple[Sequence[Any], int]],
    outputs: Sequence[str] = ("y",),
    opset: int = 20,
    shapes: dict[str, Sequence[int]] | None = None,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, (shape, kind) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, (shapes or {}).get(name)) for name in outputs],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    imports = [
        helper.make_opsetid("", opset),
        helper.make_opsetid("com.microsoft", 1),
        helper.make_opsetid("my.domain", 1),
    ]
    path.write_bytes(helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString())
    return path


def run(content: bytes, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def same(path: Path, feeds: dict[str, np.ndarray], tolerance: float = 1e-4) -> Graph:
    """Import, export, run both; the exported form takes every input as float32."""
    graph = import_onnx(path)
    wanted = run(path.read_bytes(), feeds)
    again = run(export_onnx(graph, dynamic_batch=False), {k: v.astype(np.float32) for k, v in feeds.items()})
    for one, other in zip(wanted, again, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=tolerance)
    return graph


def macs(graph: Graph) -> int:
    return sum(bounds.macs for item in graph if (bounds := loop_bounds(graph, item)))


# Parameters as stored (running statistics folded away) and MACs; those that torchvision has are compared below.
LIGHT = {
    "bvlc_alexnet": (60_965_224, 654_560_384),
    "densenet121": (8_055_016, 2_834_161_664),
    "inception_v1": (6_998_552, 1_431_556_352),
    "inception_v2": (11_204_936, 2_018_851_840),
    "resnet50": (25_530_472, 4_089_184_256),
    "shufflenet": (1_379_880, 124_664_528),
    "squeezenet": (1_235_496, 349_151_936),
    "vgg19": (143_667_240, 19_632_062_464),
    "zfnet512": (87_250_536, 1_481_727_008),
}


@pytest.mark.parametrize("name", LIGHT)
def test_light_graphs_of_the_onnx_package(name: str) -> None:
    graph = import_onnx(DATA / f"light/light_{name}.onnx")
    assert (graph.parameter_count, macs(graph)) == LIGHT[name]
    assert graph.tensors[graph.outputs[0]].elements == 1000
    assert all(size > 0 for spec in graph.tensors.values() for size in spec.shape)


def test_light_graphs_against_torchvision() -> None:
    published = {"densenet121": 2.834, "resnet50": 4.089, "squeezenet": 0.349, "vgg19": 19.632}
    for name, gmacs in published.items():
        assert round(LIGHT[name][1] / 1e9, 3) == gmacs


def test_weights_that_a_constant_of_shape_makes() -> None:
    """The light graphs fill their weights with one value when they are read, not before."""
    graph = import_onnx(DATA / "light/light_vgg19.onnx")
    weight = next(p for n, p in graph.parameters.items() if p.shape == (4096, 4096))
    values = weight.values
    assert values is not None
    assert np.unique(values).size == 1


def test_shapes_alone_are_fast() -> None:
    """143 M weights are described, none is made: far under a second of CPU."""
    start = time.process_time()
    import_onnx(DATA / "light/light_vgg19.onnx")
    assert time.process_time() - start < 5  # a guard against reading weights, not a benchmark


def test_pytorch_models_of_the_onnx_package(tmp_path: Path) -> None:
    """PyTorch's own test exports: stored inputs give the stored outputs."""
    passed, refused = 0, []
    for folder in sorted([*DATA.glob("pytorch-converted/*"), *DATA.glob("pytorch-operator/*")]):
        model = onnx.load(folder / "model.onnx")
        if model.opset_import[0].version < 7:
            model = onnx.version_converter.convert_version(model, 17)
        path = tmp_path / f"{folder.name}.onnx"
        onnx.save(model, path)
        sets = folder / "test_data_set_0"
        feeds = [
            numpy_helper.to_array(onnx.TensorProto.FromString(f.read_bytes())) for f in sorted(sets.glob("input_*"))
        ]
        (wanted, *_) = [
            numpy_helper.to_array(onnx.TensorProto.FromString(f.read_bytes())) for f in sorted(sets.glob("output_*"))
        ]
        if any(values.dtype == np.float64 for values in feeds):
            continue  # computed in float32 here: some of their values are beyond it
        try:
            graph = import_onnx(path)
        except GraphError as error:
            refused.append((folder.name, str(error)))
            continue
        inputs = {name: values.astype(np.float32) for name, values in zip(graph.inputs, feeds, strict=True)}
        (output, *_) = run(export_onnx(graph, dynamic_batch=False), inputs)
        np.testing.assert_allclose(output, wanted, rtol=1e-3, atol=1e-4, err_msg=folder.name)
        passed += 1
    assert passed >= 105, refused
    assert len(refused) <= 4, refused


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_recurrent_layers(kind: str, direction: str, tmp_path: Path) -> None:
    """5 steps of batch 2, 3 features, 4 hidden: 10 x directions x gates x 4 x (3 + 4) products; last state as well."""
    gates, ways = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind], 2 if direction == "bidirectional" else 1
    weights = {"w": random(ways, gates * 4, 3), "r": random(ways, gates * 4, 4), "b": random(ways, gates * 8)}
    nodes = [node(kind, ["x", "w", "r", "b"], ["y", "h"], hidden_size=4, direction=direction)]
    outputs = ("y", "h") if direction == "forward" else ("y",)
    path = save(tmp_path / "r.onnx", nodes, weights, {"x": ((5, 2, 3), 1)}, outputs)
    graph = same(path, {"x": random(5, 2, 3)})
    assert macs(graph) == 10 * ways * gates * 4 * 7
    assert graph.parameter_count == sum(values.size for values in weights.values())


def test_attention_as_exported(tmp_path: Path) -> None:
    """One head: three projections, scores, softmax, context: 3 x 6 x 8 x 8 + 2 x 6 x 6 x 8 products."""
    weights = {name: random(8, 8) for name in ("q", "k", "v")} | {"scale": np.float32(0.35)[None]}
    nodes = [node("MatMul", ["x", name], f"{name}x") for name in ("q", "k", "v")]
    nodes += [
        node("Transpose", ["kx"], "kt", perm=[0, 2, 1]),
        node("MatMul", ["qx", "kt"], "s"),
        node("Mul", ["s", "scale"], "m"),
        node("Softmax", ["m"], "p"),
        node("MatMul", ["p", "vx"], "y"),
    ]
    graph = same(save(tmp_path / "a.onnx", nodes, weights, {"x": ((1, 6, 8), 1)}), {"x": random(1, 6, 8)})
    assert macs(graph) == 3 * 6 * 64 + 2 * 36 * 8


def test_layer_norm_gelu_and_shapes_that_are_computed(tmp_path: Path) -> None:
    """A transformer's glue: Shape, Gather, Concat and Reshape fold into constants; Split, Slice, Pad move data."""
    weights = {
        "g": random(8),
        "b": random(8),
        "zero": np.array(0),
        "tail": np.array([-1, 4]),
        "axes": np.array([0]),
        "starts": np.array([1]),
        "ends": np.array([2**62]),
        "two": np.array([2]),
        "pads": np.array([0, 0, 1, 0, 0, 1]),
    }
    nodes = [
        node("LayerNormalization", ["x", "g", "b"], "n", axis=-1),
        node("Gelu", ["n"], "a"),
        node("Shape", ["x"], "shape"),
        node("Gather", ["shape", "zero"], "batch"),
        node("Unsqueeze", ["batch", "axes"], "b1"),
        node("Concat", ["b1", "tail"], "wanted", axis=0),
        node("Reshape", ["a", "wanted"], "r"),
        node("Split", ["r"], ["left", "right"], axis=2, num_outputs=2),
        node("Sub", ["left", "right"], "d"),
        node("Slice", ["d", "starts", "ends", "axes"], "unused"),
        node("Pad", ["d", "pads"], "p"),
        node("ReduceMean", ["p", "two"], "y", keepdims=0),
    ]
    graph = same(save(tmp_path / "t.onnx", nodes, weights, {"x": ((2, 6, 8), 1)}), {"x": random(2, 6, 8)})
    assert "slice" in {item.op for item in graph}


def test_embedding_and_integer_inputs(tmp_path: Path) -> None:
    weights = {"table": random(11, 4), "positions": random(6, 4), "range": np.arange(3)}
    nodes = [
        node("Gather", ["table", "x"], "e"),
        node("Gather", ["positions", "range"], "p"),
        node("Add", ["e", "p"], "y"),
    ]
    path = save(tmp_path / "e.onnx", nodes, weights, {"x": ((2, 3), 7)})
    graph = same(path, {"x": RNG.integers(0, 11, (2, 3))})
    assert macs(graph) == 0


@pytest.mark.parametrize("per_channel", [False, True])
def test_qdq_graph_has_eight_bits(per_channel: bool, tmp_path: Path) -> None:
    """Quantize, dequantize, convolve with dequantized weights: weights and activations are counted as 8 bits."""
    count = 4 if per_channel else 1
    shape = (count,) if per_channel else ()
    weights = {
        "xs": np.float32(0.05),
        "xz": np.uint8(120),
        "w": RNG.integers(-128, 128, (4, 3, 3, 3), np.int8),
        "ws": RNG.random(shape).astype(np.float32) * np.float32(0.01),
        "wz": np.zeros(shape, np.int8),
        "b": random(4),
    }
    axis = {"axis": 0} if per_channel else {}
    nodes = [
        node("QuantizeLinear", ["x", "xs", "xz"], "q"),
        node("DequantizeLinear", ["q", "xs", "xz"], "xd"),
        node("DequantizeLinear", ["w", "ws", "wz"], "wd", **axis),
        node("Conv", ["xd", "wd", "b"], "y", pads=[1, 1, 1, 1]),
    ]
    path = save(tmp_path / "q.onnx", nodes, {k: np.asarray(v) for k, v in weights.items()}, {"x": ((1, 3, 5, 5), 1)})
    graph = import_onnx(path)
    conv = next(item for item in graph if item.op == "conv")
    assert graph.parameters[conv.parameters["weight"]].bits == 8
    assert graph.tensors[conv.inputs[0]].bits == 8
    wanted = (weights["w"].astype(np.float32)) * np.reshape(weights["ws"], (-1, 1, 1, 1))
    np.testing.assert_allclose(graph.parameters[conv.parameters["weight"]].values, wanted, rtol=1e-6)
    assert load_model(str(path)).graph.tensors["y"].shape == (1, 4, 5, 5)


def test_qlinear_conv_and_matmul(tmp_path: Path) -> None:
    """Weights (q - zero) x scale; the bias is in units of input scale x weight scale."""
    weights = {
        "s": np.float32(0.1),
        "z": np.uint8(3),
        "w": RNG.integers(0, 255, (2, 1, 2, 2), np.uint8),
        "ws": np.float32(0.02),
        "wz": np.uint8(128),
        "b": np.array([7, -9], np.int32),
        "m": RNG.integers(-99, 99, (8, 5), np.int8),
        "mz": np.int8(0),
        "flat": np.array([1, 8]),
    }
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], "q"),
        node("QLinearConv", ["q", "s", "z", "w", "ws", "wz", "s", "z", "b"], "c"),
        node("Reshape", ["c", "flat"], "f"),
        node("QLinearMatMul", ["f", "s", "z", "m", "ws", "mz", "s", "z"], "p"),
        node("DequantizeLinear", ["p", "s", "z"], "y"),
    ]
    path = save(tmp_path / "l.onnx", nodes, {k: np.asarray(v) for k, v in weights.items()}, {"x": ((1, 1, 3, 3), 1)})
    graph = import_onnx(path)
    assert macs(graph) == 2 * 2 * 2 * 4 + 8 * 5
    conv, gemm = (next(item for item in graph if item.op == op) for op in ("conv", "gemm"))
    values = graph.parameters[conv.parameters["weight"]].values
    np.testing.assert_allclose(values, (weights["w"].astype(np.float32) - 128) * np.float32(0.02), rtol=1e-6)
    np.testing.assert_allclose(graph.parameters[conv.parameters["bias"]].values, [7 * 0.002, -9 * 0.002], rtol=1e-5)
    np.testing.assert_allclose(
        graph.parameters[gemm.parameters["weight"]].values,
        weights["m"].T.astype(np.float32) * np.float32(0.02),
        rtol=1e-6,
    )
    assert {graph.parameters[item.parameters["weight"]].bits for item in (conv, gemm)} == {8}


def test_integer_operators(tmp_path: Path) -> None:
    """ConvInteger and MatMulInteger behind DynamicQuantizeLinear, as dynamic quantization exports them."""
    weights = {
        "w": RNG.integers(-9, 9, (6, 4), np.int8),
        "wz": np.asarray(np.int8(1)),
        "s": np.asarray(np.float32(0.1)),
    }
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        node("MatMulInteger", ["q", "w", "zero", "wz"], "i"),
        node("Cast", ["i"], "f", to=1),
        node("Mul", ["scale", "s"], "both"),
        node("Mul", ["f", "both"], "y"),
    ]
    graph = import_onnx(save(tmp_path / "d.onnx", nodes, weights, {"x": ((3, 6), 1)}))
    gemm = next(item for item in graph if item.op == "gemm")
    assert macs(graph) == 3 * 6 * 4
    np.testing.assert_array_equal(
        graph.parameters[gemm.parameters["weight"]].values, weights["w"].T.astype(np.float32) - 1
    )
    assert graph.tensors[gemm.inputs[0]].bits == 8


@pytest.mark.parametrize("bits", [4, 8])
def test_packed_weights(bits: int, tmp_path: Path) -> None:
    """MatMulNBits, against onnxruntime: 4-bit weights in blocks of 16, two scales a row, zero points given."""
    packed = RNG.integers(0, 256, (5, 2, 16 * bits // 8), np.uint8)
    zeros = RNG.integers(0, 256, (5 * -(-2 * bits // 8),), np.uint8)
    weights = {"w": packed, "s": RNG.random(10).astype(np.float32), "z": zeros}
    nodes = [node("MatMulNBits", ["x", "w", "s", "z"], "y", "com.microsoft", K=32, N=5, bits=bits, block_size=16)]
    path = save(tmp_path / "n.onnx", nodes, weights, {"x": ((3, 32), 1)})
    graph = same(path, {"x": random(3, 32)}, 0.5 if bits == 8 else 0.05)
    weight = graph.parameters[graph.nodes[0].parameters["weight"]]
    assert (weight.bits, weight.shape, macs(graph)) == (bits, (5, 32), 3 * 32 * 5)


def test_transposed_convolution_and_upsampling(tmp_path: Path) -> None:
    weights = {"w": random(3, 2, 4, 4), "s": np.array([1, 1, 2, 2], np.float32)}
    nodes = [
        node("ConvTranspose", ["x", "w"], "c", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("HardSwish", ["c"], "h"),
        node(
            "Resize",
            ["h", "", "s"],
            "y",
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
    ]
    graph = same(save(tmp_path / "u.onnx", nodes, weights, {"x": ((1, 3, 5, 5), 1)}), {"x": random(1, 3, 5, 5)})
    assert macs(graph) == 3 * 25 * 2 * 16


def test_einsum_and_prelu_and_clip(tmp_path: Path) -> None:
    weights = {
        "slope": np.abs(random(4, 1, 1)),
        "low": np.asarray(np.float32(-0.5)),
        "high": np.asarray(np.float32(0.7)),
    }
    nodes = [
        node("PRelu", ["x", "slope"], "p"),
        node("Clip", ["p", "low", "high"], "c"),
        node("Einsum", ["c", "c"], "y", equation="nchw,ncdw->nchd"),
    ]
    graph = same(save(tmp_path / "e.onnx", nodes, weights, {"x": ((1, 4, 3, 5), 1)}), {"x": random(1, 4, 3, 5)})
    assert macs(graph) == 4 * 3 * 3 * 5


def test_control_flow_is_unmodelled_and_never_free(tmp_path: Path) -> None:
    """An If and a custom operator keep their place and shape; every target names them, none counts them."""
    branch = helper.make_graph([node("Relu", ["h"], "t")], "b", [], [helper.make_tensor_value_info("t", 1, (1, 4))])
    weights = {"w": random(4, 4), "flag": np.asarray(True)}
    nodes = [
        node("Gemm", ["x", "w"], "h"),
        node("ReduceMax", ["h"], "m", keepdims=0),
        node("Cast", ["m"], "c", to=9),
        helper.make_node("If", ["c"], ["i"], name="n_i", then_branch=branch, else_branch=branch),
        node("Whirl", ["i"], "y", "my.domain"),
    ]
    path = save(tmp_path / "f.onnx", nodes, weights, {"x": ((1, 4), 1)}, shapes={"y": (1, 4)})
    for target in ("eie", "generic-45nm", "core-i7-5930k"):
        cost = picojoule.estimate(str(path), target)
        kinds = {layer.kind for layer in cost.unmodelled}
        assert {"opaque:If", "opaque:my.domain.Whirl"} <= kinds
        assert cost.partial
        rows = {row["name"]: row for row in cost.layer_rows()}
        assert rows["n_i"]["energy_pj"] is None


def test_an_operator_that_nobody_defines_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "x.onnx", [node("Frobnicate", ["x"], "y")], {}, {"x": ((1, 4), 1)})
    with pytest.raises(GraphError, match="operator Frobnicate"):
        import_onnx(path)


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 17, 20, onnx.defs.onnx_opset_version()])
def test_opsets(opset: int, tmp_path: Path) -> None:
    """The same small network from opset 7 to the newest of the installed onnx."""
    weights = {"w": random(4, 3, 3, 3), "b": random(4), "f": random(4, 5)}
    nodes = [
        node("Conv", ["x", "w", "b"], "c", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Relu", ["c"], "r"),
        node("GlobalAveragePool", ["r"], "p"),
        node("Flatten", ["p"], "l"),
        node("MatMul", ["l", "f"], "y"),
    ]
    path = save(tmp_path / "o.onnx", nodes, weights, {"x": (("n", 3, 8, 8), 1)}, opset=opset)
    graph = import_onnx(path)
    assert macs(graph) == 16 * 4 * 27 + 20
    if opset <= 21:
        same(path, {"x": random(1, 3, 8, 8)})


def test_open_axes_get_a_size_and_a_warning(tmp_path: Path) -> None:
    weights = {"table": random(11, 4)}
    path = save(tmp_path / "s.onnx", [node("Gather", ["table", "x"], "y")], weights, {"x": (("n", "tokens"), 7)})
    model = load_model(str(path))
    assert model.graph.tensors["x"].shape == (1, 128)
    assert "say --shape x=1x128" in model.warnings[0]


def large_file(path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A file of 12 MB whose weights are raw data: above the size that is read at once."""
    weights = {"w": random(1000, 2000), "v": random(500, 1000), "b": random(500)}
    nodes = [node("Gemm", ["x", "w"], "h", transB=1), node("Gemm", ["h", "v", "b"], "y", transB=1)]
    return save(path, nodes, weights, {"x": ((1, 2000), 1)}), weights


def test_a_large_file_is_not_read_for_its_shapes(tmp_path: Path) -> None:
    """Peak memory stays far below the file's 10 MB; the weights are right when they are asked for."""
    path, weights = large_file(tmp_path / "large.onnx")
    import_onnx(path)  # imports and caches first
    tracemalloc.start()
    graph = import_onnx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 10e6
    assert peak < 1e6
    values = [graph.parameters[item.parameters["weight"]].values for item in graph]
    np.testing.assert_array_equal(values[0], weights["w"])
    np.testing.assert_array_equal(values[1], weights["v"])
    x = random(1, 2000)
    (wanted,) = run(path.read_bytes(), {"x": x})
    (again,) = run(export_onnx(graph, dynamic_batch=False), {"x": x})
    np.testing.assert_allclose(again, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_large_file_that_is_cut_off(kept: float, tmp_path: Path) -> None:
    path, _ = large_file(tmp_path / "cut.onnx")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(PicojouleError) as error:
        import_onnx(path)
    assert "\n" not in str(error.value)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3500), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_large_file_with_flipped_bytes(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    """A small file read as a large one, damaged in lengths and keys: a network, or one line."""
    path = tmp_path_factory.getbasetemp() / "flipped.onnx"
    nodes = [node("Gemm", ["x", "w"], "h", transB=1), node("Gemm", ["h", "v"], "y", transB=1)]
    save(path, nodes, {"w": random(20, 30), "v": random(10, 20)}, {"x": ((1, 30), 1)})
    content = bytearray(path.read_bytes())
    for place, value in flips:
        content[place % len(content)] = value
    path.write_bytes(bytes(content))
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(PicojouleError):
        patch.setattr(onnx_file, "WHOLE_BYTES", 100)
        patch.setattr(onnx_slim, "LARGE_BYTES", 100)
        graph = import_onnx(path)
        assert all(parameter.shape for parameter in graph.parameters.values())


def test_data_measures_activation_densities(tmp_path: Path) -> None:
    """ReLU of symmetric inputs leaves about a half; the answer says that it was measured."""
    weights = {"w": random(40, 64), "v": random(10, 40)}
    nodes = [node("Gemm", ["x", "w"], "h", transB=1), node("Relu", ["h"], "r"), node("Gemm", ["r", "v"], "y", transB=1)]
    path = save(tmp_path / "net.onnx", nodes, weights, {"x": (("n", 64), 1)})
    inputs = random(200, 64)
    np.savez(tmp_path / "data.npz", x=inputs)
    model = with_measured_activations(load_model(str(path)), str(tmp_path / "data.npz"))
    hidden = np.maximum(inputs @ weights["w"].T, 0)
    assert model.activation_density["n_y"] == pytest.approx(np.count_nonzero(hidden) / hidden.size, abs=1e-3)
    assert picojoule.estimate(model, "eie").workload.activation_basis == "measured on 200 inputs"


def test_published_activation_densities() -> None:
    """EIE's Table III for the layers it measured; assumed elsewhere, and both are said."""
    workload = picojoule.estimate("alexnet", "eie").workload
    assert workload.input_density[workload.names.index("fc7")] == 0.353
    assert "assumed 1.0" in workload.activation_basis
    assert "EIE, Table III" in workload.activation_basis
