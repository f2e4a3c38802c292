"""TFLite files, written here byte by byte, against LiteRT's own interpreter where it runs."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_writer import Writer

import picojoule
from picojoule.models.errors import FileFormatError, InputError, PicojouleError
from picojoule.models.graph import Graph
from picojoule.models.importers.tflite import import_tflite
from picojoule.models.load import load_model
from picojoule.models.ops import loop_bounds
from picojoule.models.run import Runner

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:  # no wheel for this platform: the comparisons below are left to others
    Interpreter = None

RNG = np.random.default_rng(5)
needs_litert = pytest.mark.skipif(Interpreter is None, reason="LiteRT has no wheel for this platform")


def random(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def interpreted(path: Path, x: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def turned(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 3, 1, 2) if x.ndim == 4 else x


def macs(graph: Graph) -> int:
    return sum(bounds.macs for node in graph if (bounds := loop_bounds(graph, node)))


def float_network(path: Path) -> Path:
    """Convolution (SAME, stride 2, ReLU6), depthwise, add, pool, concatenation, flatten, fully connected, softmax."""
    w = Writer()
    x = w.tensor("x", (1, 9, 7, 3))
    conv = w.tensor("conv", (1, 5, 4, 4))
    w.operator(
        "CONV_2D",
        [x, w.tensor("k", (4, 3, 3, 3), data=random(4, 3, 3, 3)), w.tensor("b", (4,), data=random(4))],
        [conv],
        "Conv2DOptions",
        StrideH=2,
        StrideW=2,
        DilationHFactor=1,
        DilationWFactor=1,
        FusedActivationFunction=3,
    )
    deep = w.tensor("deep", (1, 5, 4, 4))
    w.operator(
        "DEPTHWISE_CONV_2D",
        [conv, w.tensor("dk", (1, 3, 3, 4), data=random(1, 3, 3, 4)), w.tensor("db", (4,), data=random(4))],
        [deep],
        "DepthwiseConv2DOptions",
        StrideH=1,
        StrideW=1,
        DepthMultiplier=1,
        DilationHFactor=1,
        DilationWFactor=1,
    )
    added, swished, scaled = (w.tensor(name, (1, 5, 4, 4)) for name in ("added", "swished", "scaled"))
    w.operator("ADD", [conv, deep], [added], "AddOptions", FusedActivationFunction=1)
    w.operator("HARD_SWISH", [added], [swished])
    w.operator("MUL", [swished, w.tensor("factor", (4,), data=random(4))], [scaled], "MulOptions")
    pooled, joined = w.tensor("pooled", (1, 2, 2, 4)), w.tensor("joined", (1, 2, 2, 8))
    w.operator(
        "MAX_POOL_2D",
        [scaled],
        [pooled],
        "Pool2DOptions",
        Padding=1,
        StrideH=2,
        StrideW=2,
        FilterHeight=2,
        FilterWidth=2,
    )
    w.operator("CONCATENATION", [pooled, pooled], [joined], "ConcatenationOptions", Axis=3)
    flat, logits, y = w.tensor("flat", (1, 32)), w.tensor("logits", (1, 5)), w.tensor("y", (1, 5))
    shape = w.tensor("shape", (2,), "int32", np.array([1, 32], np.int32))
    w.operator("RESHAPE", [joined, shape], [flat], "ReshapeOptions")
    w.operator(
        "FULLY_CONNECTED",
        [flat, w.tensor("f", (5, 32), data=random(5, 32)), w.tensor("fb", (5,), data=random(5))],
        [logits],
        "FullyConnectedOptions",
    )
    w.operator("SOFTMAX", [logits], [y], "SoftmaxOptions", Beta=1.0)
    return w.save(path, [x], [y])


def quantized_network(path: Path) -> Path:
    """int8, per-channel weights, int32 biases: convolution, mean, fully connected."""
    w = Writer()
    x = w.tensor("x", (1, 6, 6, 3), "int8", scale=[0.05], zero=[3])
    conv = w.tensor("conv", (1, 6, 6, 4), "int8", scale=[1.0], zero=[-5])
    scales = [0.01, 0.02, 0.005, 0.03]
    kernel = w.tensor("k", (4, 3, 3, 3), "int8", RNG.integers(-127, 128, (4, 3, 3, 3), np.int8), scales)
    bias = w.tensor("b", (4,), "int32", RNG.integers(-200, 200, 4, np.int32), [0.05 * s for s in scales])
    w.operator(
        "CONV_2D",
        [x, kernel, bias],
        [conv],
        "Conv2DOptions",
        StrideH=1,
        StrideW=1,
        DilationHFactor=1,
        DilationWFactor=1,
        FusedActivationFunction=1,
    )
    mean = w.tensor("mean", (1, 1, 1, 4), "int8", scale=[1.0], zero=[-5])
    axes = w.tensor("axes", (2,), "int32", np.array([1, 2], np.int32))
    w.operator("MEAN", [conv, axes], [mean], "ReducerOptions", KeepDims=1)
    y = w.tensor("y", (1, 5), "int8", scale=[1.0], zero=[0])
    weight = w.tensor("f", (5, 4), "int8", RNG.integers(-127, 128, (5, 4), np.int8), [0.02])
    fb = w.tensor("fb", (5,), "int32", RNG.integers(-50, 50, 5, np.int32), [0.02])
    w.operator("FULLY_CONNECTED", [mean, weight, fb], [y], "FullyConnectedOptions")
    return w.save(path, [x], [y])


@needs_litert
def test_a_float_network_against_litert(tmp_path: Path) -> None:
    path = float_network(tmp_path / "net.tflite")
    x = random(1, 9, 7, 3)
    graph = import_tflite(path)
    np.testing.assert_allclose(Runner(graph).run(turned(x))[0], interpreted(path, x), rtol=1e-4, atol=1e-5)


@needs_litert
def test_a_quantized_network_against_litert(tmp_path: Path) -> None:
    """The graph computes in float on dequantized weights: within two steps of the output's scale of 1."""
    path = quantized_network(tmp_path / "net.tflite")
    graph = import_tflite(path)
    x = RNG.integers(-128, 128, (1, 6, 6, 3), np.int8)
    output = Runner(graph).run(turned((x.astype(np.float32) - 3) * np.float32(0.05)))[0]
    wanted = interpreted(path, x).astype(np.float32)
    assert np.abs(wanted).max() < 127, "nothing saturates, so that the comparison means something"
    assert np.abs(output - wanted).max() <= 2


def test_parameters_and_macs_by_hand(tmp_path: Path) -> None:
    """Convolution 20 x 4 x 27, depthwise 20 x 4 x 9, fully connected 5 x 32 products."""
    graph = import_tflite(float_network(tmp_path / "net.tflite"))
    assert macs(graph) == 20 * 4 * 27 + 20 * 4 * 9 + 5 * 32
    assert graph.parameter_count == 4 * 27 + 4 + 36 + 4 + 4 + 160 + 5
    assert graph.tensors[graph.inputs[0]].shape == (1, 3, 9, 7)
    assert not [node.op for node in graph if node.op == "transpose"]  # the flattened weight is turned, not the image


def test_bits_and_scales_are_those_of_the_file(tmp_path: Path) -> None:
    graph = import_tflite(quantized_network(tmp_path / "net.tflite"))
    conv = next(node for node in graph if node.op == "conv")
    weight = graph.parameters[conv.parameters["weight"]]
    assert weight.bits == 8
    assert {spec.bits for spec in graph.tensors.values()} == {8}
    assert graph.parameters[conv.parameters["bias"]].bits == 32
    assert weight.values is not None
    codes = weight.values / np.array([0.01, 0.02, 0.005, 0.03], np.float32)[:, None, None, None]
    np.testing.assert_allclose(codes, np.round(codes), atol=1e-3)
    assert macs(graph) == 36 * 4 * 27 + 20


def test_it_is_costed_like_any_model(tmp_path: Path) -> None:
    path = quantized_network(tmp_path / "net.tflite")
    cost = picojoule.estimate(str(path), "generic-45nm")
    assert cost.totals["weight_bytes"] == 4 * 27 + 20 + 4 * (4 + 5)  # 8-bit weights, 32-bit biases
    assert cost.workload.basis == "exact"


def test_custom_operators_are_named(tmp_path: Path) -> None:
    w = Writer()
    x, y = w.tensor("x", (1, 4)), w.tensor("y", (1, 6))
    w.operator("Whirl", [x], [y])
    cost = picojoule.estimate(str(w.save(tmp_path / "c.tflite", [x], [y])), "generic-45nm")
    assert [layer.kind for layer in cost.unmodelled] == ["opaque:CUSTOM:Whirl"]


def test_wrong_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_model(str(tmp_path / "none.tflite"))
    (tmp_path / "a.tflite").write_bytes(b"hello, world")
    with pytest.raises(FileFormatError, match="TFL3"):
        load_model(str(tmp_path / "a.tflite"))
    good = float_network(tmp_path / "good.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(good[: len(good) // 2])
    with pytest.raises(PicojouleError) as error:
        load_model(str(tmp_path / "cut.tflite"))
    assert "\n" not in str(error.value)


GOOD: dict[str, bytes] = {}


@settings(max_examples=300)
@given(st.data())
def test_damaged_files_never_give_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Flipped bytes and cut ends of two real files: a network, or one line."""
    folder = tmp_path_factory.getbasetemp()
    if not GOOD:
        GOOD["float"] = float_network(folder / "f.tflite").read_bytes()
        GOOD["int8"] = quantized_network(folder / "q.tflite").read_bytes()
    content = bytearray(GOOD[data.draw(st.sampled_from(sorted(GOOD)))])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "damaged.tflite"
    end = data.draw(st.integers(8, len(content))) if data.draw(st.booleans()) else len(content)
    path.write_bytes(bytes(content[:end]))
    with contextlib.suppress(PicojouleError):
        assert macs(import_tflite(path)) >= 0
