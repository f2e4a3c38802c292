"""Every kind of MODEL string, and every way to get one wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picojoule.models.errors import FileFormatError, InputError, PicojouleError
from picojoule.models.exporters import export_onnx
from picojoule.models.load import LayerModel, load_model, model_names, variant_names
from picojoule.models.ops import loop_bounds
from picojoule.models.pico import write_pico
from picojoule.models.zoo import network_names

VARIANTS = [
    "lenet-300-100@deep-compression", "lenet-300-100@smallest", "lenet-5@deep-compression", "lenet-5@smallest",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network as a .pico and as an .onnx file, with the batch axis open."""
    made = tmp_path_factory.mktemp("models")
    model = load_model(VARIANTS[0])
    write_pico(model, made / "net.pico")
    (made / "net.onnx").write_bytes(export_onnx(model.graph))
    (made / "NET.ONNX").write_bytes(export_onnx(model.graph))
    return made


Shapes = Mapping[str, tuple[int, ...]]


def wrong(text: str, kind: type[PicojouleError] = InputError, shapes: Shapes | None = None) -> str:
    with pytest.raises(kind) as error:
        load_model(text, shapes)
    said = str(error.value)
    assert "\n" not in said
    assert ": got " in said
    assert ", wanted " in said
    return said


@pytest.mark.parametrize(("name", "parameters"), [("lenet-300-100", 266_610), ("lenet-5", 431_080)])
def test_a_name_is_the_dense_network_without_weights(name: str, parameters: int) -> None:
    """Parameters as Han et al. (ICLR 2016, Table 1) count them: 267 K and 431 K."""
    model = load_model(name)
    assert (model.name, model.graph.parameter_count, model.graph.has_weights) == (name, parameters, False)
    assert (dict(model.coded), model.accuracy, model.file_bytes) == ({}, None, None)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_its_shipped_weights(name: str) -> None:
    model = load_model(name)
    assert model.name == name
    assert model.graph.name == name.partition("@")[0]
    assert model.graph.has_weights
    assert model.accuracy is not None
    assert sum(row.bytes for row in model.ledger) == model.file_bytes
    for parameter, tensor in model.coded.items():
        assert np.array_equal(model.graph.parameters[parameter].values, tensor.values)


def test_names_that_are_listed_load() -> None:
    assert variant_names() == VARIANTS
    assert model_names() == sorted([*network_names(), *VARIANTS])
    assert [load_model(name).name for name in model_names()] == model_names()


def test_a_pico_file_is_what_was_written(folder: Path) -> None:
    model, again = load_model(VARIANTS[0]), load_model(folder / "net.pico")
    assert again.accuracy == model.accuracy
    assert again.file_bytes == (folder / "net.pico").stat().st_size
    assert all(np.array_equal(again.coded[name].codes, tensor.codes) for name, tensor in model.coded.items())


@pytest.mark.parametrize("name", ["net.onnx", "NET.ONNX"])
def test_an_onnx_file_is_its_graph(folder: Path, name: str) -> None:
    model, again = load_model(VARIANTS[0]).graph, load_model(str(folder / name)).graph
    assert [node.op for node in again] == [node.op for node in model]
    assert all(np.array_equal(again.parameters[n].values, p.values) for n, p in model.parameters.items())


def test_shapes_fix_what_an_onnx_file_leaves_open(folder: Path) -> None:
    model = load_model(folder / "net.onnx", {"input": (4, 1, 28, 28)})
    assert model.graph.tensors["input"].shape == (4, 1, 28, 28)


def test_a_layer_written_out_keeps_its_settings() -> None:
    """AlexNet's fc6: 9216 x 4096 = 37,748,736 products; the settings stand beside the sizes."""
    model = load_model("gemm:M=1,N=4096,K=9216,bits=4,act_bits=8,density=0.09,act_density=0.351")
    assert isinstance(model, LayerModel)
    bounds = loop_bounds(model.graph, model.graph.nodes[0])
    assert bounds is not None
    assert bounds.macs == 37_748_736
    layer = model.layer
    assert (layer.bits, layer.act_bits, layer.density, layer.act_density) == (4, 8, 0.09, 0.351)


def test_resnets_first_layer_written_out() -> None:
    """64 x 3 x 7 x 7 weights at 112 x 112 places: 118,013,952 products."""
    model = load_model("conv:N=1,K=64,C=3,H=224,W=224,R=7,S=7,stride=2,pad=3")
    bounds = loop_bounds(model.graph, model.graph.nodes[0])
    assert bounds is not None
    assert bounds.macs == 64 * 3 * 49 * 112 * 112


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lenet5", "lenet-5"),
        ("LeNet-300-100", "lenet-300-100"),
        ("lenet-5@deep-compresion", "lenet-5@deep-compression"),
        ("lenet-5@", "lenet-5"),
        ("zzzz", "a network's name, a file"),
        ("gem:N=1,K=1", "gemm:"),
        ("", "a network's name, a file, or a layer written out"),
        ("  \t", "see: picojoule networks"),
        ("a\0b.onnx", "a network's name"),
        ("net.pt", r"a file ending in .pt"),
        ("folder/net", "a file ending in nothing"),
        ("net.onnx.gz", "a file ending in .gz"),
        ("../lenet-5", "a file ending in nothing"),
        ("x" * 100_000, "a network's name"),
        ("naïve\n\x1b[31m", "wanted"),
        ("gemm:", "KEY=VALUE"),
        ("gemm:N=0,K=3", "a whole number from 1"),
        ("conv:K=4", "C"),
        ("conv:K=1,C=1,H=2,W=2,R=5,S=5", "window"),
        ("missing.onnx", "no such file"),
        ("missing.pico", "no such file"),
    ],
)
def test_a_string_that_is_no_model(work_dir: Path, text: str, said: str) -> None:
    assert said in wrong(text)
    assert "\x1b" not in wrong(text)


@pytest.mark.parametrize("name", ["net.onnx", "net.pico"])
@pytest.mark.parametrize("content", [b"", b"PICO", b"\x00" * 100, b"\x08\x07" * 50, b"text, not a model"])
def test_a_file_that_is_something_else(work_dir: Path, name: str, content: bytes) -> None:
    Path(name).write_bytes(content)
    assert name in wrong(name, PicojouleError)


@pytest.mark.parametrize("name", ["net.onnx", "net.pico"])
def test_a_folder_is_no_model(work_dir: Path, name: str) -> None:
    Path(name).mkdir()
    assert "a folder" in wrong(name)


def test_a_truncated_file_is_refused(folder: Path, work_dir: Path) -> None:
    for name in ("net.pico", "net.onnx"):
        content = (folder / name).read_bytes()
        Path(name).write_bytes(content[: len(content) // 2])
        assert name in wrong(name, FileFormatError)


@pytest.mark.parametrize("text", ["lenet-5", VARIANTS[0], "gemm:N=1,K=1", "net.pico"])
def test_shapes_are_for_onnx_files(folder: Path, text: str) -> None:
    where = str(folder / text) if text.endswith(".pico") else text
    assert "--shape input" in wrong(where, shapes={"input": (1, 1, 28, 28)})


def test_a_shape_for_an_unknown_input(folder: Path) -> None:
    assert "image" in wrong(str(folder / "net.onnx"), shapes={"image": (1, 1, 28, 28)})


def message(text: str) -> str:
    """What is said about a string; nothing where it is a model."""
    try:
        load_model(text)
    except PicojouleError as error:
        return str(error)
    return ""


@given(st.text(max_size=40))
def test_any_string_is_a_model_or_one_line(text: str) -> None:
    said = message(text)
    assert said == "" or said.isprintable()
