"""Networks run on real images, against forward passes written out in numpy and the errors that files state."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest

from picojoule.models import run as run_module
from picojoule.models.build import GraphBuilder
from picojoule.models.data import Split, load_split
from picojoule.models.errors import GraphError, InputError
from picojoule.models.graph import Graph, Node
from picojoule.models.load import load_model
from picojoule.models.model import Model
from picojoule.models.run import Runner, measure_accuracy, measure_activation_density, predict

LENET, LENET5 = "lenet-300-100@deep-compression", "lenet-5@deep-compression"
WITHOUT_ONNXRUNTIME = """
import sys
sys.modules["onnxruntime"] = None
from picojoule.models.errors import MissingExtraError
from picojoule.models.load import load_model
from picojoule.models.run import Runner
try:
    Runner(load_model("lenet-300-100").graph)
except MissingExtraError as error:
    sys.exit(str(error))
"""


@cache
def model_of(name: str) -> Model:
    return load_model(name)


@cache
def mnist_test() -> Split:
    return load_split("mnist", "test")


def weights(graph: Graph, layer: str) -> tuple[np.ndarray, np.ndarray]:
    found = (graph.parameters[f"{layer}.{role}"].values for role in ("weight", "bias"))
    return tuple(np.asarray(values, np.float64) for values in found)  # type: ignore[return-value]


def dense(graph: Graph, layer: str, x: np.ndarray) -> np.ndarray:
    weight, bias = weights(graph, layer)
    return x @ weight.T + bias


def slow_conv(graph: Graph, layer: str, x: np.ndarray) -> np.ndarray:
    """Every output place by itself: stride 1, no padding."""
    weight, bias = weights(graph, layer)
    outputs, _, rows, columns = weight.shape
    high, wide = x.shape[2] - rows + 1, x.shape[3] - columns + 1
    out = np.zeros((len(x), outputs, high, wide))
    for image, channel, row, column in product(range(len(x)), range(outputs), range(high), range(wide)):
        window = x[image, :, row : row + rows, column : column + columns]
        out[image, channel, row, column] = (window * weight[channel]).sum() + bias[channel]
    return out


def pool(x: np.ndarray) -> np.ndarray:
    """The largest of each 2 x 2."""
    return np.maximum.reduce([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)])


def forward_300_100(graph: Graph, images: np.ndarray) -> dict[str, np.ndarray]:
    """What each layer reads, and the logits."""
    first = images.reshape(len(images), 784).astype(np.float64)
    second = np.maximum(dense(graph, "ip1", first), 0)
    third = np.maximum(dense(graph, "ip2", second), 0)
    return {"ip1": first, "ip2": second, "ip3": third, "logits": dense(graph, "ip3", third)}


def forward_5(graph: Graph, images: np.ndarray) -> np.ndarray:
    x = pool(slow_conv(graph, "conv1", images.astype(np.float64)))
    x = pool(slow_conv(graph, "conv2", x)).reshape(len(images), 800)
    return dense(graph, "ip2", np.maximum(dense(graph, "ip1", x), 0))


def test_lenet_300_100_against_numpy() -> None:
    graph, images = model_of(LENET).graph, mnist_test().images
    np.testing.assert_allclose(predict(graph, images), forward_300_100(graph, images)["logits"], atol=1e-4, rtol=0)


def test_lenet_5_against_a_slow_convolution() -> None:
    graph, images = model_of(LENET5).graph, mnist_test().images[:3]
    np.testing.assert_allclose(predict(graph, images), forward_5(graph, images), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", [LENET, LENET5])
def test_shipped_weights_err_as_often_as_their_file_states(name: str) -> None:
    """On all 10,000 test images of MNIST."""
    model = model_of(name)
    assert measure_accuracy(model.graph, mnist_test()) == model.accuracy


def test_the_error_counts_the_largest_logit() -> None:
    graph, split = model_of(LENET).graph, mnist_test()
    wrong = (forward_300_100(graph, split.images)["logits"].argmax(axis=1) != split.labels).sum()
    assert Runner(graph).error_pct(None, split) == 100 * wrong / 10_000


def test_equal_logits_are_the_lowest_class() -> None:
    """With all weights 0, every image is a 0: 90 % of the classes 0 to 9 are wrong."""
    graph = model_of(LENET).graph
    zeros = {name: np.zeros(p.shape, np.float32) for name, p in graph.parameters.items()}
    images = np.zeros((10, 1, 28, 28), np.float32)
    assert Runner(graph).error_pct(zeros, (images, np.arange(10))) == 90.0


def test_activation_density_is_numpys_count() -> None:
    """Layer by layer over 2,000 images; in float64 a value this side of 0 may lie on the other, hence 1e-5."""
    graph, images = model_of(LENET).graph, mnist_test().images[:2000]
    read = forward_300_100(graph, images)
    wanted = {name: np.count_nonzero(read[name]) / read[name].size for name in ("ip1", "ip2", "ip3")}
    assert measure_activation_density(graph, images) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("name", [LENET, LENET5])
def test_activation_density_stated_in_the_files(name: str) -> None:
    """Measured when the file was made; here on the validation split or on the test split, which are alike."""
    model = model_of(name)
    found = measure_activation_density(model.graph, mnist_test().images)
    assert set(found) == set(model.activation_density)
    assert found == pytest.approx(dict(model.activation_density), abs=0.02)


def test_the_same_again() -> None:
    graph, images = model_of(LENET5).graph, mnist_test().images[:500]
    runner = Runner(graph)
    first = runner.logits(images)
    assert np.array_equal(first, runner.logits(images))
    assert np.array_equal(first, predict(graph, images))


@pytest.mark.parametrize("count", [1, 6, 7, 8, 14, 20])
def test_chunks_meet_without_gap(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """7 images at a time: the rows of one image do not depend on where a chunk ends."""
    graph, images = model_of(LENET).graph, mnist_test().images
    monkeypatch.setattr(run_module, "CHUNK_LIMIT", 7)
    runner = Runner(graph)
    found = runner.logits(images[:count])
    assert found.shape == (count, 10)
    np.testing.assert_allclose(found, forward_300_100(graph, images[:count])["logits"], atol=1e-4, rtol=0)
    density = measure_activation_density(graph, images[:count])
    assert density["ip1"] == np.count_nonzero(images[:count]) / images[:count].size


def test_weights_stand_in_for_one_call() -> None:
    graph, images = model_of(LENET).graph, mnist_test().images[:50]
    runner = Runner(graph)
    before = runner.logits(images)
    bias = np.asarray(graph.parameters["ip3.bias"].values)
    moved = runner.logits(images, {"ip3.bias": bias + np.float32(1)})
    np.testing.assert_allclose(moved, before + 1, atol=1e-4)
    assert np.array_equal(runner.logits(images), before)


def test_dense_graph_runs_with_weights_given() -> None:
    coded = model_of(LENET)
    given = {name: p.values for name, p in coded.graph.parameters.items()}
    images = mnist_test().images[:20]
    found = Runner(load_model("lenet-300-100").graph).logits(images, given)  # type: ignore[arg-type]
    assert np.array_equal(found, predict(coded.graph, images))


def test_inner_tensors_can_be_asked_for() -> None:
    graph, images = model_of(LENET).graph, mnist_test().images[:20]
    inner, logits = Runner(graph, outputs=("relu1", "ip3")).run(images)
    read = forward_300_100(graph, images)
    np.testing.assert_allclose(inner, read["ip2"], atol=1e-4)
    np.testing.assert_allclose(logits, read["logits"], atol=1e-4)


class TestRefused:
    """One line each, and before anything runs."""

    @pytest.mark.parametrize("shape", [(0, 1, 28, 28), (3, 28, 28), (3, 784), (3, 1, 28, 27), ()])
    def test_images_of_another_shape(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(InputError, match=r"images: got shape .*wanted shape \(n, 1, 28, 28\), n at least 1"):
            predict(model_of(LENET).graph, np.zeros(shape, np.float32))

    def test_a_network_without_weights(self) -> None:
        with pytest.raises(GraphError, match=r"without values.*NAME@VARIANT"):
            predict(load_model("lenet-5").graph, mnist_test().images[:1])

    def test_weights_of_another_name_or_shape(self) -> None:
        runner, images = Runner(model_of(LENET).graph), mnist_test().images[:1]
        with pytest.raises(GraphError, match="parameter 'ip9'"):
            runner.logits(images, {"ip9": np.zeros(1)})
        with pytest.raises(GraphError, match=r"ip3\.bias: got shape \(9,\), wanted shape \(10,\)"):
            runner.logits(images, {"ip3.bias": np.zeros(9)})

    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
    def test_outputs_that_are_not_finite(self, value: float) -> None:
        graph = model_of(LENET).graph
        huge = np.full((10, 100), value, np.float32)
        with pytest.raises(GraphError, match="not finite"):
            Runner(graph).logits(np.full((1, 1, 28, 28), 1e9), {"ip3.weight": huge})

    @pytest.mark.parametrize("labels", [np.zeros(3), np.zeros((5, 1)), np.zeros(0)])
    def test_labels_that_do_not_match(self, labels: np.ndarray) -> None:
        with pytest.raises(InputError, match="one label per image"):
            Runner(model_of(LENET).graph).error_pct(None, (mnist_test().images[:5], labels))

    def test_an_output_that_is_no_class(self) -> None:
        net = GraphBuilder("image", (1, 1, 28, 28))
        net.relu("r")
        with pytest.raises(GraphError, match="wanted batch x classes"):
            Runner(net.build()).error_pct(None, (mnist_test().images[:5], mnist_test().labels[:5]))

    def test_more_than_one_input(self) -> None:
        net = GraphBuilder("n", (1, 4))
        net.relu("r")
        one = net.build()
        node = Node("sum", "add", ("input", "other"), "sum")
        tensors = dict.fromkeys(("input", "other", "sum"), one.tensors["input"])
        two = Graph("two", ("input", "other"), ("sum",), (node,), tensors, {})
        with pytest.raises(GraphError, match="2 inputs, wanted one input"):
            Runner(two)


def test_without_onnxruntime_it_says_what_to_install(run_python: Callable[..., Any]) -> None:
    done = run_python("-c", WITHOUT_ONNXRUNTIME)
    assert done.returncode == 1
    assert done.stderr == "running a network on data needs the extra [run]; run: pip install 'picojoule[run]'\n"
