"""Constant operands keep their places and their bytes: what is imported computes what onnxruntime computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from picojoule.models.errors import GraphError
from picojoule.models.exporters.onnx import export_onnx
from picojoule.models.importers import import_onnx

RNG = np.random.default_rng(5)
SMALL, LARGE = RNG.normal(size=4).astype(np.float32), RNG.normal(size=(3, 4)).astype(np.float32)


def save(path: Path, kind: str, inputs: list[str], weights: dict[str, np.ndarray], **attributes: int) -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 4))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    nodes = [helper.make_node(kind, inputs, ["y"], name="n", **attributes)]
    constants = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def run(content: bytes, x: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("Max", ["small", "x", "large"]), ("Sum", ["x", "small", "large", "small"]), ("Min", ["large", "small", "x"]),
        ("Sub", ["large", "x"]), ("Sub", ["x", "large"]), ("Mean", ["small", "x", "x", "large"]),
    ],
)  # fmt: skip
def test_every_constant_counts_where_it_stands(kind, inputs, tmp_path):
    path = save(tmp_path / "m.onnx", kind, inputs, {"small": SMALL, "large": LARGE})
    graph = import_onnx(path)
    x = RNG.normal(size=(1, 3, 4)).astype(np.float32)
    np.testing.assert_allclose(run(export_onnx(graph), x), run(path.read_bytes(), x), rtol=1e-6)
    used = {"small": 4, "large": 12}
    assert graph.parameter_count == sum(size for name, size in used.items() if name in inputs)


def test_the_constant_part_of_a_concat_is_a_parameter(tmp_path):
    """A class token in front of the patches of a vision transformer: its weights are in the file, so in the bytes."""
    token = RNG.normal(size=(1, 1, 4)).astype(np.float32)
    graph = import_onnx(save(tmp_path / "m.onnx", "Concat", ["token", "x"], {"token": token}, axis=1))
    assert graph.tensors[graph.outputs[0]].shape == (1, 4, 4)
    assert graph.parameter_count == 4
    np.testing.assert_array_equal(next(iter(graph.parameters.values())).values, token)
    with pytest.raises(GraphError, match="a move of kind Concat"):
        export_onnx(graph)
