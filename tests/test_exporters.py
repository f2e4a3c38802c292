"""Exported files against other people's readers: onnx.checker, onnxruntime, safetensors, numpy."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors.numpy import load as load_safetensors

import picojoule
from picojoule.models.build import GraphBuilder
from picojoule.models.data import load_split
from picojoule.models.errors import GraphError, InputError, OutputError
from picojoule.models.exporters import EXPORTERS, export_model, export_npz, export_onnx, export_safetensors
from picojoule.models.graph import Graph, Parameter
from picojoule.models.importers import import_onnx
from picojoule.models.load import load_model
from picojoule.models.model import Model
from picojoule.models.run import predict
from picojoule.models.zoo import build_network

MODELS = ("lenet-300-100@deep-compression", "lenet-5@deep-compression")


@cache
def model_of(name: str) -> Model:
    return load_model(name)


def residual() -> Graph:
    """Convolutions with groups, strides and dilation, pools, a shortcut, batch normalization; random weights."""
    net = GraphBuilder("residual", (1, 4, 12, 12))
    first = net.conv("a", 8, 3, pad=1)
    net.relu("relu")
    net.conv("b", 8, 3, pad=2, dilation=2, groups=4, bias=False)
    names = {role: Parameter((8,)) for role in ("scale", "bias")}
    last = net.add("batch_normalization", "norm", parameters=names)
    net.add("add", "sum", (first, last))
    net.max_pool("pool", 2, 2)
    net.add("average_pool", "mean", kernel=(3, 3), strides=(3, 3), pads=(0, 0, 0, 0))
    net.flatten("flat")
    net.gemm("fc", 5)
    net.add("softmax", "probability", axis=-1)
    graph, rng = net.build(), np.random.default_rng(5)
    return graph.with_parameters({n: rng.normal(size=p.shape).astype(np.float32) for n, p in graph.parameters.items()})


def run_file(content: bytes, images: np.ndarray) -> np.ndarray:
    """By onnxruntime as any user would, from the bytes alone."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0])


@pytest.mark.parametrize("name", MODELS)
def test_onnx_passes_the_checker_and_gives_equal_logits(work_dir: Path, name: str) -> None:
    model, images = model_of(name), load_split("mnist", "test").images[:64]
    export_model(model, "net.onnx")
    onnx.checker.check_model("net.onnx", full_check=True)
    content = (work_dir / "net.onnx").read_bytes()
    np.testing.assert_allclose(run_file(content, images), predict(model.graph, images), atol=1e-4)
    np.testing.assert_allclose(run_file(content, images[:1]), predict(model.graph, images[:1]), atol=1e-4)


def test_every_attribute_reaches_the_file() -> None:
    graph = residual()
    content = export_onnx(graph)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    images = np.random.default_rng(6).normal(size=(3, 4, 12, 12)).astype(np.float32)
    found = run_file(content, images)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found, predict(graph, images), atol=1e-6)


def same_graph(one: Graph, other: Graph) -> None:
    assert one.inputs == other.inputs
    assert one.outputs == other.outputs
    for a, b in zip(one, other, strict=True):
        assert (a.name, a.op, a.inputs, a.output, dict(a.parameters)) == (
            b.name, b.op, b.inputs, b.output, dict(b.parameters),
        )  # fmt: skip
        assert {k: v for k, v in a.attributes.items() if k != "groups"}.items() <= dict(b.attributes).items()
        assert a.attributes.get("groups", 1) == b.attributes.get("groups", 1)
    assert {n: s.shape for n, s in one.tensors.items()} == {n: s.shape for n, s in other.tensors.items()}
    assert set(one.parameters) == set(other.parameters)
    for name, parameter in one.parameters.items():
        assert np.array_equal(parameter.values, other.parameters[name].values)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MODELS)
def test_what_is_exported_is_imported_again(work_dir: Path, name: str) -> None:
    graph = model_of(name).graph
    export_model(model_of(name), "net.onnx")
    same_graph(graph, import_onnx("net.onnx"))


def test_the_batch_axis_is_open_unless_asked() -> None:
    graph = model_of(MODELS[0]).graph
    for dynamic, wanted in ((True, "batch"), (False, 1)):
        proto = onnx.load_from_string(export_onnx(graph, dynamic_batch=dynamic))
        axis = proto.graph.input[0].type.tensor_type.shape.dim[0]
        assert (axis.dim_param or axis.dim_value) == wanted


def test_the_same_model_gives_the_same_bytes() -> None:
    graph = model_of(MODELS[0]).graph
    for write in EXPORTERS.values():
        assert write(graph) == write(load_model(MODELS[0]).graph)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_weights_are_exactly_the_decoded_ones(work_dir: Path, name: str, suffix: str) -> None:
    """Codes looked up in the codebook: read back by safetensors and numpy, bit by bit, nothing else beside them."""
    model = model_of(name)
    picojoule.export(model, f"net{suffix}")
    content = (work_dir / f"net{suffix}").read_bytes()
    if suffix == ".npz":
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            found = {key: archive[key] for key in archive.files}
    else:
        found = load_safetensors(content)
    assert set(found) == set(model.graph.parameters)
    for key, values in found.items():
        coded = model.coded.get(key)
        wanted = coded.codebook[coded.codes] if coded else model.graph.parameters[key].values
        assert values.dtype == np.float32
        assert np.array_equal(values.view(np.uint32), np.asarray(wanted).view(np.uint32))


def test_codes_alone_are_enough(work_dir: Path) -> None:
    model = model_of(MODELS[0])
    biases: Any = {n: p.values for n, p in model.graph.parameters.items() if n not in model.coded}
    bare = Model("bare", load_model("lenet-300-100").graph.with_parameters(biases), model.coded)
    assert not bare.graph.has_weights
    export_model(bare, "a.npz")
    export_model(model, "b.npz")
    assert (work_dir / "a.npz").read_bytes() == (work_dir / "b.npz").read_bytes()


def test_no_pickle_in_npz() -> None:
    """Every entry is an .npy of '<f4' (numpy's format description), no entry is an object."""
    with zipfile.ZipFile(io.BytesIO(export_npz(model_of(MODELS[0]).graph))) as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            data = archive.read(entry)
            assert data.startswith(b"\x93NUMPY")
            assert b"'descr': '<f4'" in data[:128]
            assert entry.compress_type == zipfile.ZIP_STORED


def test_safetensors_header_by_its_format() -> None:
    """8 bytes of length, JSON, then the data without a gap (the format's own description)."""
    content = export_safetensors(model_of(MODELS[0]).graph)
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    spans = sorted(entry["data_offsets"] for name, entry in header.items() if name != "__metadata__")
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F32"}
    assert [span[0] for span in spans] == [0, *(span[1] for span in spans[:-1])]
    assert spans[-1][1] == len(content) - 8 - length == 4 * 266_610


@pytest.mark.parametrize("name", ["net.pt", "net", "net.pico.gz", "onnx", ".onnx"])
def test_another_suffix_is_refused(work_dir: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"wanted one of \.onnx, \.safetensors, \.npz; for example -o model\.onnx"):
        export_model(model_of(MODELS[0]), name)
    assert not list(work_dir.iterdir())


@pytest.mark.parametrize("suffix", EXPORTERS)
def test_a_model_without_weights_is_refused(work_dir: Path, suffix: str) -> None:
    with pytest.raises(GraphError, match=r"ip1\.weight without values, wanted weights; export a \.pico"):
        export_model(load_model("lenet-300-100"), f"net{suffix}")
    assert not list(work_dir.iterdir())


def test_a_missing_folder_is_one_line(work_dir: Path) -> None:
    with pytest.raises(OutputError, match=r"missing/net\.npz: could not write"):
        export_model(model_of(MODELS[0]), "missing/net.npz")


def test_more_than_protobuf_holds_is_refused() -> None:
    """2^29 + 1 weights of 4 bytes are above 2 GiB; they are not read to find that out."""

    def read() -> np.ndarray:
        raise AssertionError("values were read")

    net = GraphBuilder("huge", (1, 2**20))
    net.gemm("fc", 2**9 + 1, bias=False)
    graph = net.build()
    parameters = {name: Parameter(p.shape, source=read) for name, p in graph.parameters.items()}
    huge = Graph(graph.name, graph.inputs, graph.outputs, graph.nodes, graph.tensors, parameters)
    with pytest.raises(InputError, match=r"at most \d+ in ONNX; export to \.safetensors"):
        export_onnx(huge)


@pytest.mark.parametrize("suffix", EXPORTERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_exported(suffix: str, bad: float, tmp_path: Path) -> None:
    graph = build_network("lenet-300-100")
    values = {name: np.ones(p.shape, np.float32) for name, p in graph.parameters.items()}
    values["ip2.bias"][7] = bad
    model = Model("lenet-300-100", graph.with_parameters(values))
    with pytest.raises(InputError, match=r"^layer ip2: parameter ip2\.bias: got 1 of 100 values NaN or infinite"):
        export_model(model, tmp_path / f"x{suffix}")
    assert not list(tmp_path.iterdir())
