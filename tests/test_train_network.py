"""The torch side: the same function as onnxruntime computes, gradients of shared weights, optimiser state."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from picojoule.models.build import GraphBuilder  # noqa: E402 - only with torch
from picojoule.models.compress.recipe import ShareStage  # noqa: E402
from picojoule.models.data.mnist import Split  # noqa: E402
from picojoule.models.errors import GraphError, InputError  # noqa: E402
from picojoule.models.graph import Graph  # noqa: E402
from picojoule.models.run import measure_activation_density, predict  # noqa: E402
from picojoule.models.train.evaluate import activation_density, error_pct  # noqa: E402
from picojoule.models.train.network import Dropout, torch_forward  # noqa: E402
from picojoule.models.train.optimise import (  # noqa: E402
    centroid_gradient,
    learning_rate_factor,
    make_optimizer,
    optimizer_arrays,
    restore_optimizer,
)
from picojoule.models.train.state import fixed_arithmetic, initial_values, make_state, restore_state  # noqa: E402


def small_network() -> Graph:
    """Every operator that can be trained, with strides, padding, groups, a branch and a softmax."""
    net = GraphBuilder("small", (1, 2, 9, 9))
    first = net.conv("conv1", 4, 3, stride=2, pad=1)
    second = net.conv("conv2", 4, 3, pad=1, groups=2, source=first)
    net.add("add", "sum", (first, second))
    net.relu("relu")
    net.max_pool("max", 2, 1)
    net.add("average_pool", "average", kernel=(2, 2), strides=(2, 2))
    net.add("identity", "same")
    net.flatten("flatten")
    net.gemm("fc", 3)
    net.add("softmax", "softmax")
    return net.build()


def with_values(graph: Graph, seed: int = 0) -> Graph:
    random = np.random.default_rng(seed)
    return graph.with_parameters(
        {name: random.normal(size=p.shape).astype(np.float32) for name, p in graph.parameters.items()}
    )


def tensors(graph: Graph) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(p.values)) for name, p in graph.parameters.items()}


def test_forward_against_onnxruntime() -> None:
    graph = with_values(small_network())
    images = np.random.default_rng(1).normal(size=(5, 2, 9, 9)).astype(np.float32)
    logits = torch_forward(graph)(torch.from_numpy(images), tensors(graph))
    assert torch.softmax(logits, 1).numpy() == pytest.approx(predict(graph, images), abs=1e-5)


def test_activation_density_against_onnxruntime() -> None:
    graph = with_values(small_network())
    images = np.maximum(np.random.default_rng(2).normal(size=(7, 2, 9, 9)), 0).astype(np.float32)
    found = activation_density(graph, Split("given", "test", images, np.zeros(7, np.int64)))
    assert found == pytest.approx(measure_activation_density(graph, images), abs=1e-6)


def test_error_counts_wrong_images() -> None:
    graph = with_values(small_network())
    images = np.random.default_rng(3).normal(size=(8, 2, 9, 9)).astype(np.float32)
    labels = predict(graph, images).argmax(axis=1)
    labels[:3] = (labels[:3] + 1) % 3
    assert error_pct(graph, Split("given", "test", images, labels)) == 37.5


def test_centroid_gradient_against_finite_differences() -> None:
    """dL/dC_k by central differences of the loss in every entry of the codebook; entry 0 stays 0."""
    random = np.random.default_rng(4)
    codes = torch.from_numpy(random.integers(0, 5, size=(6, 7)))
    codebook = torch.from_numpy(np.array([0.0, -0.7, -0.2, 0.3, 0.9]))
    x, labels = torch.from_numpy(random.normal(size=(20, 7))), torch.from_numpy(random.integers(0, 6, 20))

    def loss(book: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(x @ book[codes].T, labels)

    weight = codebook[codes].requires_grad_()
    torch.nn.functional.cross_entropy(x @ weight.T, labels).backward()
    assert weight.grad is not None
    gradient = centroid_gradient(weight.grad, codes, 5)
    step = 1e-6
    for entry in range(1, 5):
        shift = torch.zeros(5, dtype=torch.float64)
        shift[entry] = step
        difference = float(loss(codebook + shift) - loss(codebook - shift)) / (2 * step)
        assert float(gradient[entry]) == pytest.approx(difference, rel=1e-6)
    assert float(gradient[0]) == 0


def test_centroid_gradient_by_hand() -> None:
    """Deep Compression, figure 3: gradients of one cluster are summed."""
    gradient = torch.tensor([[1.0, 2.0], [4.0, 8.0]])
    assert centroid_gradient(gradient, torch.tensor([[1, 2], [1, 0]]), 3).tolist() == [0.0, 5.0, 2.0]


def test_dropout_keeps_the_mean_and_repeats_by_generator() -> None:
    x = torch.ones(200, 500)
    kept = Dropout({"fc": 0.3}, torch.Generator().manual_seed(1))("fc", x)
    assert float((kept == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.01)
    assert torch.equal(kept, Dropout({"fc": 0.3}, torch.Generator().manual_seed(1))("fc", x))
    assert Dropout({"fc": 0.3}, torch.Generator())("other", x) is x


def test_learning_rate_schedules_by_hand() -> None:
    assert [learning_rate_factor("cosine", step, 4) for step in (0, 2, 4)] == pytest.approx([1, 0.505, 0.01])
    assert learning_rate_factor("constant", 3, 4) == 1


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_an_optimiser_goes_on_from_its_arrays(optimizer: str) -> None:
    """Two steps, against one step, arrays, a new optimiser, one step; channels_last included."""
    settings = ShareStage(bits={}, epochs=1, optimizer=optimizer, learning_rate=0.1)  # type: ignore[arg-type]

    def leaf(value: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"w": value.detach().clone(memory_format=torch.preserve_format).requires_grad_()}

    def step(made: torch.optim.Optimizer, tensor: torch.Tensor, scale: float) -> None:
        tensor.grad = torch.ones_like(tensor) * scale + tensor.detach()
        made.step()

    start = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(2)).contiguous(
        memory_format=torch.channels_last
    )
    straight = leaf(start)
    whole = make_optimizer(straight, settings)
    step(whole, straight["w"], 1.0)
    step(whole, straight["w"], 2.0)
    broken = leaf(start)
    before = make_optimizer(broken, settings)
    step(before, broken["w"], 1.0)
    again = leaf(broken["w"])
    after = make_optimizer(again, settings)
    restore_optimizer(after, again, {k: v.copy() for k, v in optimizer_arrays(before, broken).items()})
    step(after, again["w"], 2.0)
    assert torch.equal(straight["w"], again["w"])


def test_state_goes_through_arrays_and_back() -> None:
    graph = small_network()
    state = make_state(graph, initial_values(graph, 3))
    state.share(graph, {"conv1": 2, "conv2": 3, "fc": 4})
    again = restore_state(graph, {name: np.array(array) for name, array in state.arrays().items()})
    assert list(again.weights) == list(state.weights)
    assert all(torch.equal(again.weights[name], state.weights[name]) for name in state.weights)
    assert all(again.weights[n].stride() == state.weights[n].stride() for n in state.weights)
    assert all(torch.equal(again.codebooks[n], state.codebooks[n]) for n in state.codebooks)


def test_initial_weights_have_variance_one_over_fan_in_and_known_ones_stay() -> None:
    net = GraphBuilder("wide", (1, 400))
    net.gemm("fc", 300)
    graph = net.build()
    values = initial_values(graph, 0)
    assert float(values["fc.weight"].var()) == pytest.approx(1 / 400, rel=0.02)
    assert not values["fc.bias"].any()
    known = graph.with_parameters({"fc.weight": np.full((300, 400), 2, np.float32)})
    assert (initial_values(known, 0)["fc.weight"] == 2).all()
    bad = graph.with_parameters({"fc.bias": np.full(300, np.nan, np.float32)})
    with pytest.raises(InputError, match=r"tensor fc\.bias: got 300 of 300 values NaN or infinite"):
        initial_values(bad, 0)


def test_the_callers_torch_settings_come_back() -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    inside = []

    def fail() -> None:
        with fixed_arithmetic():
            inside.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert inside == [(1, True)]
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_a_network_that_cannot_be_trained_is_refused() -> None:
    graph = small_network()
    with pytest.raises(GraphError, match="several inputs or outputs"):
        torch_forward(Graph("two", graph.inputs, ("relu", "fc"), graph.nodes, graph.tensors, graph.parameters))
