"""Compression without training: real weights from a file, no torch, measured by onnxruntime where data are given.

Outside truths: the shipped network's published-in-its-file test error, numpy's own forward pass for agreement, plain
counts of kept weights, and a Python that cannot import torch.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from picojoule.cli import main
from picojoule.models.build import GraphBuilder
from picojoule.models.compress.dataset import load_data
from picojoule.models.compress.post_training import PostTraining, post_training, without_epochs
from picojoule.models.compress.recipe import Recipe, check_recipe, load_recipe
from picojoule.models.compress.run import compress
from picojoule.models.compress.stage_settings import QuantizeStage
from picojoule.models.data import load_split
from picojoule.models.errors import InputError
from picojoule.models.exporters import export_model
from picojoule.models.graph import Graph
from picojoule.models.load import load_model
from picojoule.models.model import Model
from picojoule.models.pico import decode_pico, encode_pico, read_pico, write_pico
from picojoule.models.run import measure_accuracy

MODEL = "lenet-300-100@deep-compression"
NO_TRAINING = """
name = "untrained"
[train]
epochs = 5
[prune]
density = { "*" = 0.5 }
gradual_epochs = 0
retraining_epochs = 0
[share]
bits = { "*" = 5 }
epochs = 0
method = "exact"
[encode]
format = "bitmask+huffman"
"""


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 1,000 test images of MNIST with their labels, as a user would save them."""
    split = load_split("mnist", "test")
    path = tmp_path_factory.mktemp("data") / "mnist_part.npz"
    np.savez(path, x=split.images[:1000], y=split.labels[:1000])
    return path


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped network as another tool would hand it over: ONNX with its weights."""
    path = tmp_path_factory.mktemp("onnx") / "given.onnx"
    export_model(load_model(MODEL), path)
    return path


def test_an_onnx_file_is_compressed_and_measured(
    onnx_file: Path, samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """8 bits, every weight kept: the shipped network stays what it was, measured here a second time."""
    output = tmp_path / "out.pico"
    assert main(["compress", str(onnx_file), "--bits", "8", "--data", str(samples), "-o", str(output)]) == 0
    back, split = read_pico(output), load_split("mnist", "test")
    part = (split.images[:1000], split.labels[:1000])
    assert back.accuracy is not None
    assert (back.accuracy.dataset, back.accuracy.n, back.accuracy.split) == ("mnist_part", 1000, "given")
    assert back.accuracy.error_pct == measure_accuracy(back.graph, part).error_pct
    before = measure_accuracy(load_model(MODEL).graph, part).error_pct
    assert back.provenance["dense_error_pct"] == before
    assert abs(back.accuracy.error_pct - before) <= 0.3
    assert set(back.activation_density) == {node.name for node in back.graph if node.op == "gemm"}
    printed = capsys.readouterr().out
    assert f"{back.file_bytes:,} B" in printed
    assert f"{before:.2f} % error before" in printed
    assert "every value in fp32, zlib" in printed
    assert output.stat().st_size < onnx_file.stat().st_size / 15


def test_labels_are_not_needed(onnx_file: Path, tmp_path: Path) -> None:
    images = load_split("mnist", "test").images[:50]
    np.savez(tmp_path / "x.npz", images)
    model = compress(str(onnx_file), data=tmp_path / "x.npz", post_training=PostTraining(bits=2, density=0.01))
    assert model.accuracy is None
    before, after = (measure_classes(load_model(str(onnx_file)).graph, images), measure_classes(model.graph, images))
    assert model.provenance["class_changed_pct"] == 100 * np.mean(before != after) > 0


def measure_classes(graph: Graph, images: np.ndarray) -> np.ndarray:
    """A forward pass of three fully connected layers in numpy."""
    x = images.reshape(len(images), -1).astype(np.float64)
    layers = [node for node in graph if node.op == "gemm"]
    for node in layers:
        weight, bias = (graph.parameters[node.parameters[role]].values for role in ("weight", "bias"))
        assert weight is not None
        assert bias is not None
        x = x @ weight.T + bias
        x = np.maximum(x, 0) if node is not layers[-1] else x
    return x.argmax(axis=1)


def test_torch_and_data_are_not_needed(run_python, onnx_file: Path, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(NO_TRAINING)
    code = (
        "import sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch': raise ImportError(name)\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "from picojoule.cli import main\n"
        f"assert main(['compress', {str(onnx_file)!r}, '-o', 'a.pico']) == 0\n"
        f"assert main(['compress', {str(onnx_file)!r}, '--recipe', 'r.toml', '-o', 'b.pico']) == 0\n"
        "assert not {'onnxruntime', 'torch'} & set(sys.modules)\n"
    )
    done = run_python("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "prune and share: 100%" in done.stderr  # the progress bar
    default, recipe = read_pico(tmp_path / "a.pico"), read_pico(tmp_path / "b.pico")
    assert {tensor.code_bits for tensor in default.coded.values()} == {8}
    for name, tensor in recipe.coded.items():
        weights = default.graph.parameters[name]
        assert (tensor.code_bits, tensor.encoding) == (5, "bitmask+huffman")
        assert tensor.nonzeros <= round(0.5 * weights.elements)


NO_EPOCHS = {
    "low-rank": {"low_rank": {"energy": {"ip1": 0.9, "ip2": 0.8}, "epochs": 0},
                 "share": {"bits": {"*": 6}, "epochs": 0}},
    "budget": {"low_rank": {"budget": 0.5, "epochs": 0}},
    "expander": {"expander": {"degree": {"ip1": 80, "ip2": 30}}, "share": {"bits": {"*": 5}, "epochs": 0},
                 "encode": {"format": "dense+huffman"}},
    "sketch": {"sketch": {"values": {"ip1": 0.05, "ip2": 0.25}}, "share": {"bits": {"*": 5}, "epochs": 0}},
    "affine": {"quantize": {"bits": {"ip1": 4, "*": 8}, "epochs": 0, "scheme": "affine", "granularity": "channel"},
               "encode": {"format": "dense+huffman"}},
    "ternary": {"prune": {"density": {"*": 0.5}, "gradual_epochs": 0, "retraining_epochs": 0},
                "quantize": {"bits": {"ip3": 8, "*": 2}, "epochs": 0, "method": "ternary"}},
    "binary": {"quantize": {"bits": {"ip3": 8, "*": 1}, "epochs": 0, "method": "binary"},
               "encode": {"format": "dense"}},
    "global": {"prune": {"density": {"*": 0.04}, "gradual_epochs": 0, "retraining_epochs": 0, "threshold": "global"},
               "share": {"bits": {"*": 5}, "epochs": 0}},
}  # fmt: skip


@pytest.mark.parametrize("name", NO_EPOCHS)
def test_without_epochs_the_trainer_is_not_needed_and_would_give_the_same(name: str) -> None:
    """The stages of a run with torch that trains nothing are the second opinion."""
    pytest.importorskip("torch")
    from picojoule.models.train import train_stages

    graph = load_model(MODEL).graph
    recipe = msgspec.convert({"name": name, "train": {"epochs": 0}, **NO_EPOCHS[name]}, Recipe)
    check_recipe(recipe, graph)
    settings = without_epochs(recipe, graph)
    assert settings is not None
    mine = post_training(Model(graph.name, graph), settings, seed=4)
    trained = train_stages(graph, recipe, load_data("mnist"), seed=4, progress=lambda *a: None)
    assert {k: p.shape for k, p in mine.graph.parameters.items()} == {k: v.shape for k, v in trained.values.items()}
    assert {k: t.encoding for k, t in mine.coded.items()} == {k: t.encoding for k, t in trained.coded.items()}
    for key, values in trained.values.items():
        assert np.array_equal(np.asarray(mine.graph.parameters[key].values), values), key
    assert decode_pico(encode_pico(mine), "x.pico").coded.keys() == mine.coded.keys()


@pytest.mark.parametrize("settings", [{"activation_bits": 8}, {"method": "lsq"}])
def test_what_is_calibrated_needs_data(settings: dict) -> None:
    recipe = {"name": "x", "train": {"epochs": 0}, "quantize": {"bits": {"*": 4}, "epochs": 0, **settings}}
    assert without_epochs(msgspec.convert(recipe, Recipe), load_model(MODEL).graph) is None


def test_known_weights_are_trained_first_under_a_sketch() -> None:
    recipe = {"name": "x", "train": {"epochs": 1}, "sketch": {"values": {"ip1": 0.05}}}
    assert without_epochs(msgspec.convert(recipe, Recipe), load_model(MODEL).graph) is None


def test_a_recipe_that_trains_still_trains() -> None:
    graph = load_model(MODEL).graph
    assert without_epochs(load_recipe("deep-compression", "lenet-300-100"), graph) is None


def tiny(weights: np.ndarray) -> Model:
    net = GraphBuilder("tiny", (1, weights.shape[1]))
    net.gemm("fc", weights.shape[0], bias=False)
    return Model("tiny", net.build().with_parameters({"fc.weight": weights.astype(np.float32)}))


def test_the_smallest_of_the_encodings_is_taken() -> None:
    rng = np.random.default_rng(0)
    dense = post_training(tiny(rng.normal(size=(60, 80))), PostTraining(bits=4))
    sparse = post_training(tiny(rng.normal(size=(60, 80))), PostTraining(bits=4, density=0.05))
    assert dense.coded["fc.weight"].encoding == "dense+huffman"
    assert sparse.coded["fc.weight"].encoding == "relative5+huffman"


@pytest.mark.parametrize("method", ["uniform", "ternary", "binary"])
def test_grids_take_the_smallest_encoding_too(method: str) -> None:
    weights = np.random.default_rng(0).normal(size=(60, 80))
    bits = {"uniform": 6, "ternary": 2, "binary": 1}[method]
    settings = PostTraining(quantize=msgspec.convert({"bits": {"*": bits}, "epochs": 0, "method": method},
                                                     QuantizeStage))  # fmt: skip
    wanted = {"uniform": "dense+huffman", "ternary": "dense+huffman", "binary": "sign"}
    assert post_training(tiny(weights), settings).coded["fc.weight"].encoding == wanted[method]


def test_settings_by_layer_and_unshared_layers(tmp_path: Path) -> None:
    command = ["compress", MODEL, "--bits", "ip1=3,ip2=5", "--density", "ip*=0.04", "-o", str(tmp_path / "x.pico")]
    assert main(command) == 0
    back = read_pico(tmp_path / "x.pico")
    assert {name: tensor.code_bits for name, tensor in back.coded.items()} == {"ip1.weight": 3, "ip2.weight": 5}
    values = back.graph.parameters["ip3.weight"].values
    assert values is not None
    assert np.count_nonzero(values) == 40
    assert back.accuracy is None
    assert main(["compress", MODEL, "--bits", "32", "--density", "0.04", "-o", str(tmp_path / "y.pico")]) == 0
    assert not read_pico(tmp_path / "y.pico").coded


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bits", "eight"], "--bits: got eight"),
        (["--bits", "0"], "bits: got 0"),
        (["--density", "1.5"], "density: got 1.5"),
        (["--bits", "conv9=3"], "layer conv9: got no such layer"),
        (["--format", "zip"], "encoding: got zip"),
        (["--prune", "3:2"], "prune.method: got 3:2"),
        (["--format", "nm2:4"], 'parameter ip1.weight: nm2:4: got 4 weights among 4 neighbours'),
        (["--density", "0.5", "--prune", "2:4"], "--density: got 0.5 beside --prune 2:4"),
        (["--bits", "4", "--recipe", "deep-compression"], "--recipe: got a recipe beside"),
        (["--bits", "4", "--data", "none.npz"], "none.npz"),
        (["--bits", "4", "--data", "x.txt"], "dataset: got x.txt, wanted one of mnist"),
    ],
)  # fmt: skip
def test_refusals_are_one_line(
    options: list[str], message: str, onnx_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    model = tiny(rng.normal(size=(8, 8)))
    source = str(onnx_file) if "nm2:4" not in options else "dense.pico"
    if source == "dense.pico":
        net = GraphBuilder("d", (1, 8))
        net.gemm("ip1", 8, bias=False)
        values = model.graph.parameters["fc.weight"].values
        assert values is not None
        write_pico(Model("d", net.build().with_parameters({"ip1.weight": values})), source)
    assert main(["compress", source, *options, "-o", "out.pico"]) == 1
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("picojoule: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not Path("out.pico").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros((2, 1, 28, 28), np.float32), "b": np.zeros(2)}, "wanted one named x"),
        ({"x": np.zeros((2, 9), np.float32)}, "floats or bytes of shape"),
        ({"x": np.full((1, 1, 28, 28), np.nan, np.float32)}, "NaN or infinite"),
        ({"x": np.zeros((2, 1, 28, 28), np.float32), "y": np.array([0, 10])}, "whole numbers from 0 to 9"),
        ({"x": np.zeros((2, 1, 28, 28), np.float32), "y": np.array([0.0, 1.0])}, "whole numbers from 0 to 9"),
    ],
)
def test_samples_that_do_not_fit(arrays: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=message):
        compress(MODEL, data=tmp_path / "x.npz", post_training=PostTraining(bits=4))


def test_weights_that_are_not_finite_are_refused_by_layer(tmp_path: Path) -> None:
    weights = np.ones((3, 4))
    weights[1, 2] = np.inf
    with pytest.raises(InputError, match=r"layer fc: parameter fc\.weight: got 1 of 12 values NaN or infinite"):
        compress(tiny(weights), output=tmp_path / "x.pico", post_training=PostTraining(bits=4))
    assert not list(tmp_path.iterdir())


def test_a_network_without_weights_says_what_is_missing() -> None:
    with pytest.raises(InputError, match="a shape without values, wanted weights"):
        compress("lenet-5", post_training=PostTraining(bits=4))
