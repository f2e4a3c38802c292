"""Damaged and hostile ONNX files end in one line of PicojouleError, quickly and without a large allocation."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from onnx import TensorProto, helper, numpy_helper

from picojoule.models.errors import FileFormatError, GraphError, InputError, PicojouleError
from picojoule.models.importers import import_onnx, onnx_file
from picojoule.models.importers.onnx_file import FILE_LIMIT_BYTES
from picojoule.models.ops import loop_bounds


def small_model() -> onnx.ModelProto:
    """Every kind of node and constant that the importer knows, in 1.5 kB."""
    weights = {
        "w": np.full((2, 1, 3, 3), 0.5, np.float32), "b": np.zeros(2, np.float32),
        "m": np.full((8, 3), 0.1, np.float32), "s": np.full(2, 1.5, np.float32),
        "one": np.array(0), "axes": np.array([0]), "rest": np.array([-1]),
        "mb": np.ones(3, np.float32), "half": np.ones((3, 3), np.float16),
    }  # fmt: skip
    make = helper.make_node
    nodes = [
        make("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[1, 1], group=1),
        make("BatchNormalization", ["c", "s", "b", "b", "s"], ["n"], epsilon=1e-3),
        make("Relu", ["n"], ["r"]),
        make("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER"),
        make("Shape", ["p"], ["size"]),
        make("Gather", ["size", "one"], ["n0"]),
        make("Unsqueeze", ["n0", "axes"], ["n1"]),
        make("Concat", ["n1", "rest"], ["to"], axis=0),
        make("Slice", ["to", "axes", "end"], ["cut"]),
        make("Constant", [], ["end"], value=numpy_helper.from_array(np.array([2]))),
        make("Mul", ["cut", "one1"], ["shape"]),
        make("Constant", [], ["one1"], value_ints=[1]),
        make("Reshape", ["p", "shape"], ["f"]),
        make("MatMul", ["f", "m"], ["h"]),
        make("Add", ["h", "mb"], ["a"]),
        make("Transpose", ["half"], ["ht"], perm=[1, 0]),
        make("Gemm", ["a", "ht"], ["g"], transB=1, alpha=0.5),
        make("Softmax", ["g"], ["y"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 1, 4, 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 3))],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


SEED = small_model().SerializeToString()


def read_everything(path: Path) -> None:
    graph = import_onnx(path)
    for item in graph:
        loop_bounds(graph, item)
    for parameter in graph.parameters.values():
        assert np.isfinite(parameter.values).all()


def test_the_seed_of_the_fuzzing_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(SEED)
    read_everything(tmp_path / "a.onnx")
    assert [item.op for item in import_onnx(tmp_path / "a.onnx")] == [
        "conv", "relu", "max_pool", "flatten", "gemm", "gemm", "softmax"
    ]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    content = bytearray(SEED)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content) - 1))
        how = draw(st.sampled_from(["set", "flip", "cut", "insert", "repeat", "drop"]))
        if how == "set":
            content[place] = draw(st.integers(0, 255))
        elif how == "flip":
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del content[max(1, place) :]
        elif how == "insert":
            content[place:place] = draw(st.binary(min_size=1, max_size=12))
        elif how == "repeat":
            content[place:place] = content[place : place + draw(st.integers(1, 200))]
        else:
            del content[place : place + draw(st.integers(1, 20))]
            content = content or bytearray(b"\0")
    return bytes(content)


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged())
def test_damaged_bytes_end_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    try:
        read_everything(tmp_path / "a.onnx")
    except PicojouleError as error:
        message = str(error)
        if "\n" in message or len(message) > 2000:
            pytest.fail(message)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_random_bytes_end_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises((FileFormatError, GraphError)):
        read_everything(tmp_path / "a.onnx")


@pytest.mark.parametrize("size", [0, 1, 10, len(SEED) // 2, len(SEED) - 1])
def test_a_truncated_file(size: int, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(SEED[:size])
    with pytest.raises(FileFormatError, match="an ONNX file"):
        import_onnx(tmp_path / "a.onnx")


def test_files_that_are_not_there_or_not_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        import_onnx(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="a folder"):
        import_onnx(tmp_path)
    (tmp_path / "text.onnx").write_text("# not a network\n" * 20)
    with pytest.raises(FileFormatError, match="an ONNX file"):
        import_onnx(tmp_path / "text.onnx")
    with (tmp_path / "huge.onnx").open("wb") as stream:
        stream.truncate(FILE_LIMIT_BYTES + 1)  # sparse: takes no disk
    with pytest.raises(InputError, match="of at most"):
        import_onnx(tmp_path / "huge.onnx")


def change_tensor(**fields: Any) -> onnx.ModelProto:
    model = small_model()
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "m")
    for name, value in fields.items():
        if name == "dims":
            del tensor.dims[:]
            tensor.dims.extend(value)
        else:
            setattr(tensor, name, value)
    return model


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dims": (1 << 20, 1 << 20)}, "tensor m: got shape .* wanted at most"),
        ({"dims": (1 << 15, 1 << 15)}, "tensor m: got 96 bytes, wanted 4294967296"),
        ({"dims": (8, -3)}, r"tensor m: got shape \(8, -3\)"),
        ({"dims": (8, 2)}, "tensor m: got 96 bytes, wanted 64"),
        ({"data_type": 8}, "tensor m: got element type 8"),
        ({"data_type": 11}, "tensor m: got 96 bytes, wanted 192"),
    ],
)
def test_sizes_are_checked_before_anything_is_allocated(
    fields: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "FILE_LIMIT_BYTES", 1 << 20)  # read_bytes reserves a buffer of the limit
    (tmp_path / "a.onnx").write_bytes(change_tensor(**fields).SerializeToString())
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=message):
        import_onnx(tmp_path / "a.onnx")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20


def test_absurd_windows_allocate_nothing(tmp_path: Path) -> None:
    model = small_model()
    pads = next(attribute for attribute in model.graph.node[0].attribute if attribute.name == "pads")
    pads.ints[:] = [1 << 61] * 4
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(GraphError, match=r"node c \(Conv\): got an output of shape"):
        import_onnx(tmp_path / "a.onnx")


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    bad = np.full(24, np.nan, "<f4").tobytes()
    (tmp_path / "a.onnx").write_bytes(change_tensor(raw_data=bad).SerializeToString())
    graph = import_onnx(tmp_path / "a.onnx")
    with pytest.raises(FileFormatError, match="tensor m: got values that are not finite"):
        _ = graph.parameters["m"].values


def long_chain(kind: str, count: int) -> onnx.ModelProto:
    model = small_model()
    nodes = [helper.make_node(kind, [f"t{i}" if i else "half"], [f"t{i + 1}"]) for i in range(count)]
    model.graph.node.extend(nodes)
    next(node for node in model.graph.node if node.op_type == "Gemm").input[1] = f"t{count}"
    return model


def test_long_chains_do_not_exhaust_the_stack(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(long_chain("Transpose", 5000).SerializeToString())
    with pytest.raises(GraphError, match="more than 64 views in a row"):
        import_onnx(tmp_path / "a.onnx")
    (tmp_path / "b.onnx").write_bytes(long_chain("Identity", 5000).SerializeToString())
    read_everything(tmp_path / "b.onnx")
    model = small_model()
    chain = [helper.make_node("BatchNormalization", [f"v{i}" if i else "y", "mb", "mb", "mb", "mb"], [f"v{i + 1}"])
             for i in range(1500)]  # fmt: skip
    model.graph.node.extend(chain)
    model.graph.output[0].name = "v1500"
    (tmp_path / "c.onnx").write_bytes(model.SerializeToString())
    read_everything(tmp_path / "c.onnx")


def external(location: str, offset: str = "0", length: str = "96") -> bytes:
    model = small_model()
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "m")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=value)
    return model.SerializeToString()


def test_external_data_beside_the_model_is_read_when_asked_for(tmp_path: Path) -> None:
    values = np.arange(24, dtype="<f4").reshape(8, 3)
    (tmp_path / "model.data").write_bytes(b"\0" * 16 + values.tobytes())
    (tmp_path / "a.onnx").write_bytes(external("model.data", "16"))
    graph = import_onnx(tmp_path / "a.onnx")
    assert np.array_equal(graph.parameters["m"].values, values.T)
    graph = import_onnx(tmp_path / "a.onnx")
    (tmp_path / "model.data").write_bytes(b"")
    with pytest.raises(FileFormatError, match=r"0 bytes in model\.data"):
        _ = graph.parameters["m"].values


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/hostname", "", "sub/../../secret", "link", "..", "a\\b", "a\0b"]
)
def test_external_data_that_leaves_the_folder_is_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\0" * 200)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to("../secret")
    (folder / "a.onnx").write_bytes(external(location))
    with pytest.raises(FileFormatError, match="inside the model's own folder"):
        import_onnx(folder / "a.onnx")


@pytest.mark.parametrize(
    ("location", "offset", "length", "message"),
    [
        ("gone", "0", "96", "no file gone beside it"),
        ("sub", "0", "96", "no file sub beside it"),
        ("short", "0", "96", "8 bytes in short"),
        ("short", "-1", "96", "offset or length"),
        ("short", "9" * 30, "96", "offset or length"),
        ("short", "0", "8", "8 bytes of external data"),
        ("x" * 5000, "0", "96", "."),
    ],
)
def test_external_data_that_does_not_fit(
    location: str, offset: str, length: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "short").write_bytes(b"\0" * 8)
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.onnx").write_bytes(external(location, offset, length))
    with pytest.raises(FileFormatError, match=message):
        import_onnx(tmp_path / "a.onnx")
