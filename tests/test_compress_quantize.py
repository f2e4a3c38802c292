"""Quantizers: bounds and optima that theory gives, gradients by hand, codes through bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import msgspec  # noqa: E402

from picojoule.models.codecs import Layout, decode, encode  # noqa: E402
from picojoule.models.compress.dataset import load_data  # noqa: E402
from picojoule.models.compress.quantize import (  # noqa: E402
    ActivationRange,
    binary_weights,
    quantize_graph,
    ternary_weights,
    uniform_weights,
)
from picojoule.models.compress.recipe import Recipe, check_recipe  # noqa: E402
from picojoule.models.compress.stage_settings import QuantizeStage  # noqa: E402
from picojoule.models.errors import GraphError, InputError, RecipeError  # noqa: E402
from picojoule.models.model import CodedTensor  # noqa: E402
from picojoule.models.train.network import torch_forward  # noqa: E402
from picojoule.models.train.quantizers import (  # noqa: E402
    fake_quantized,
    final_codes,
    lsq,
    make_plan,
    quantized_weights,
    start_quantizing,
    ttq,
)
from picojoule.models.train.state import initial_values, make_state  # noqa: E402
from picojoule.models.zoo import build_network  # noqa: E402
from picojoule.simulator.formats import predict_size  # noqa: E402
from picojoule.simulator.structure import structure_of  # noqa: E402

seeds, widths = st.integers(0, 10_000), st.integers(2, 16)


def weights(seed: int, shape: tuple[int, ...] = (5, 7)) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.normal(size=shape) * 10.0 ** random.integers(-3, 3)).astype(np.float32)


def round_trip(tensor: CodedTensor) -> None:
    encoded = encode(tensor)
    layout = Layout(tensor.shape, tensor.code_bits, len(tensor.codebook), encoded.entries, tensor.codebook_dtype)
    again, sizes = decode(tensor.encoding, encoded.sections, layout)
    assert np.array_equal(again.values, tensor.values)
    assert sizes.bits["codebook"] == tensor.codebook_bits


@given(seeds, widths, st.sampled_from(["tensor", "channel"]))
def test_uniform_error_is_at_most_half_a_step(seed: int, bits: int, granularity: str) -> None:
    values = weights(seed)
    tensor = uniform_weights(values, bits, granularity=granularity)  # type: ignore[arg-type]
    rows = np.abs(values).max(axis=1, keepdims=True) if granularity == "channel" else np.abs(values).max()
    step = rows / (2 ** (bits - 1) - 1)
    rounding = 4 * 2.0**-24 * rows  # of products in float32, which shows at 16 bits
    assert (np.abs(values - tensor.values) <= step / 2 + rounding).all()
    assert len(tensor.codebook) == 2**bits - 1
    round_trip(tensor)


@given(seeds, widths)
def test_affine_uses_the_whole_range(seed: int, bits: int) -> None:
    values = weights(seed) + np.float32(0.5)
    tensor = uniform_weights(values, bits, scheme="affine")
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    step = (high - low) / (2**bits - 1)
    assert np.abs(values - tensor.values).max() <= step * 1.001
    assert len(tensor.codebook) == 2**bits
    assert (tensor.values[values == 0] == 0).all()
    round_trip(tensor)


@given(seeds, st.integers(2, 9), st.sampled_from([(5, 7), (4, 3, 2, 2), (1, 1)]))
def test_affine_by_channel_is_affine_of_every_output_alone(seed: int, bits: int, shape: tuple[int, ...]) -> None:
    values = weights(seed, shape) + np.float32(np.random.default_rng(seed).integers(-1, 2))
    values[0] = 0  # an output without weights
    tensor = uniform_weights(values, bits, scheme="affine", granularity="channel")
    alone = np.concatenate([uniform_weights(row[None], bits, scheme="affine").values for row in values])
    assert np.array_equal(tensor.values, alone)
    assert tensor.codebook_bits == 64 * len(values)
    assert (tensor.codes[values == 0] == 0).all()
    round_trip(tensor)


@given(seeds)
def test_two_scales_by_output_go_through_bytes(seed: int) -> None:
    random = np.random.default_rng(seed)
    scales = random.uniform(0.1, 2, (5, 2)).astype(np.float32)
    codes = random.integers(0, 3, (5, 4)).astype(np.uint16)
    tensor = CodedTensor(codes, np.float32([0, 1, -1]), 2, "dense", "channel_sides", scales)
    for row, out in zip(range(5), tensor.values, strict=True):
        assert out.tolist() == [[0, scales[row, 0], -scales[row, 1]][code] for code in codes[row]]
    assert tensor.codebook_bits == 32 * 11
    round_trip(tensor)


@pytest.mark.parametrize(("step", "top"), [(np.nan, 1), (0.0, 1), (-1.0, 1), (1.0, 4), (1.0, 0.5), (3e38, 0)])
def test_grids_that_no_writer_makes(step: float, top: float) -> None:
    scales = np.float32([[1.0, 1], [step, top]])
    with pytest.raises(GraphError):
        CodedTensor(np.zeros((2, 3), np.uint16), np.arange(4, dtype=np.float32), 2, "dense", "channel_affine", scales)


@given(seeds, st.sampled_from(["tensor", "channel"]))
def test_the_scales_are_the_best_for_their_pattern(seed: int, granularity: str) -> None:
    """For given signs the scale of least squared error is the mean magnitude: no other does better."""
    values = weights(seed)
    for tensor in (ternary_weights(values, granularity=granularity),  # type: ignore[arg-type]
                   binary_weights(values, granularity=granularity)):  # type: ignore[arg-type]
        error = ((values - tensor.values) ** 2).sum(axis=1)
        groups = error if granularity == "channel" else error.sum()
        for factor in (0.97, 1.03):
            other = ((values - factor * tensor.values) ** 2).sum(axis=1)
            assert (groups <= (other if granularity == "channel" else other.sum())).all()
        round_trip(tensor)


def test_ternary_and_binary_by_hand() -> None:
    """Threshold 0.7 x 2.5 = 1.75; a = (2 + 3 + 4) / 3. By channel: 0.7 x 1.5 = 1.05, a = 2; 2.45, a = 3.5."""
    values = [[1.0, -2.0], [3.0, -4.0]]
    assert ternary_weights(values).values.tolist() == [[0.0, -3.0], [3.0, -3.0]]
    assert ternary_weights(values, granularity="channel").values.tolist() == [[0.0, -2.0], [3.5, -3.5]]
    assert binary_weights(values).values.tolist() == [[2.5, -2.5], [2.5, -2.5]]
    assert binary_weights(values, granularity="channel").values.tolist() == [[1.5, -1.5], [3.5, -3.5]]


def test_a_binary_weight_takes_one_bit() -> None:
    tensor = binary_weights(weights(1, (32, 64)))
    encoded = encode(tensor)
    assert {name: len(data) for name, data in encoded.sections.items()} == {"codebook": 8, "codes": 256}
    assert (tensor.code_bits, tensor.codebook_bits) == (1, 64)
    assert predict_size("sign", structure_of(tensor.codes), 1).total_bits == 2048


def test_a_grid_of_16_bits_needs_no_table() -> None:
    tensor = uniform_weights(weights(2, (40, 50)), 16)
    assert len(encode(tensor).sections["codebook"]) == 8
    assert len(encode(uniform_weights(weights(2, (40, 50)), 8, granularity="channel")).sections["codebook"]) == 164


@given(seeds, st.integers(2, 8))
def test_activations_round_as_numpy_does(seed: int, bits: int) -> None:
    x = np.random.default_rng(seed).normal(size=50).astype(np.float32)
    found = ActivationRange.of(float(x.min()), float(x.max()), bits)
    scale = np.float32(found.scale)
    wanted = (np.clip(np.rint(x / scale) + found.zero, 0, 2**bits - 1) - found.zero) * scale
    assert fake_quantized(torch.from_numpy(x), found.scale, found.zero, bits).numpy() == pytest.approx(wanted, abs=1e-6)
    assert np.abs(x - wanted).max() <= scale * 1.001
    assert found.zero in range(2**bits)


def test_lsq_gradients_by_its_equations() -> None:
    """Esser et al. 2020, equation 3: -v/s + round(v/s) inside, -Qn below, Qp above; times 1 / sqrt(N Qp)."""
    v = torch.tensor([-9.0, -0.7, 0.2, 1.3, 9.0], dtype=torch.float64, requires_grad=True)
    step = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    out = lsq(v, step, -4, 3)
    assert out.tolist() == pytest.approx([-2.0, -0.5, 0.0, 1.5, 1.5])
    upstream = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)
    out.backward(upstream)
    inside = [1.4 - 1.0, -0.4, -2.6 + 3.0]
    expected = (1 * -4 + 2 * inside[0] + 3 * inside[1] + 4 * inside[2] + 5 * 3) / np.sqrt(5 * 3)
    assert float(step.grad) == pytest.approx(expected)
    assert v.grad.tolist() == [0.0, 2.0, 3.0, 4.0, 0.0]


def test_ttq_gradients_by_its_equations() -> None:
    """Zhu et al. 2017, equations 7 and 8."""
    x = torch.tensor([1.0, -0.5, 0.01, 0.8, -0.2], requires_grad=True)
    plus, minus = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    out = ttq(x, plus, minus)
    assert out.tolist() == pytest.approx([2.0, -3.0, 0.0, 2.0, -3.0])
    out.backward(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert (float(plus.grad), float(minus.grad)) == (5.0, -7.0)
    assert x.grad.tolist() == [2.0, 6.0, 3.0, 8.0, 15.0]


def test_by_output_every_row_learns_alone() -> None:
    """LSQ and TTQ with scales by output are LSQ and TTQ of each row: values and all gradients."""
    random = torch.Generator().manual_seed(3)
    x = torch.randn(4, 6, generator=random, dtype=torch.float64) * torch.tensor([[0.1], [1.0], [3.0], [0.5]])
    upstream = torch.randn(4, 6, generator=random, dtype=torch.float64)
    scales = [torch.rand(4, 1, generator=random, dtype=torch.float64) + 0.2 for _ in range(2)]
    for function, given_scales in ((lambda v, s: lsq(v, s, -4, 3), scales[:1]), (ttq, scales)):
        wide, leaves = x.clone().requires_grad_(), [s.clone().requires_grad_() for s in given_scales]
        together = function(wide, *leaves)
        together.backward(upstream)
        for row in range(4):
            one, own = x[row].clone().requires_grad_(), [s[row, 0].clone().requires_grad_() for s in given_scales]
            alone = function(one, *own)
            alone.backward(upstream[row])
            assert together[row].tolist() == pytest.approx(alone.tolist())
            assert wide.grad[row].tolist() == pytest.approx(one.grad.tolist())
            assert [float(s.grad[row, 0]) for s in leaves] == pytest.approx([float(s.grad) for s in own])


def test_a_network_without_data() -> None:
    graph = build_network("lenet-5")
    random = np.random.default_rng(0)
    graph = graph.with_parameters(
        {n: random.normal(size=p.shape).astype(np.float32) for n, p in graph.parameters.items()}
    )
    made = quantize_graph(graph, {"conv*": 8, "*": 4})
    assert {name: tensor.code_bits for name, tensor in made.coded.items()} == {
        "conv1.weight": 8, "conv2.weight": 8, "ip1.weight": 4, "ip2.weight": 4,
    }  # fmt: skip
    bad = np.array(graph.parameters["ip1.weight"].values)
    bad[1, 2] = -np.inf
    with pytest.raises(InputError, match="layer ip1: got 1 of 400000 values NaN or infinite"):
        quantize_graph(graph.with_parameters({"ip1.weight": bad}), 8)
    with pytest.raises(InputError, match=r"layer conv1: quantize\.bits: got 1, wanted 2 to 16 bits"):
        quantize_graph(graph, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"bits": {"*": 1}}, r"bits\.\*: got 1, wanted at least 2"),
     ({"bits": {"ip1": 4}}, r"quantize\.bits\.ip2: got nothing, wanted a value for every layer")],
)  # fmt: skip
def test_recipes_say_what_does_not_fit(settings: dict, message: str) -> None:
    quantize = {"bits": {"*": 4}, "epochs": 0, **settings}
    made = msgspec.convert({"name": "x", "train": {"epochs": 1}, "quantize": quantize}, Recipe)
    with pytest.raises(RecipeError, match=message):
        check_recipe(made, build_network("lenet-300-100"))


def test_sharing_and_quantizing_exclude_each_other() -> None:
    both = {"name": "x", "train": {"epochs": 1}, "quantize": {"bits": {"*": 4}, "epochs": 0},
            "share": {"bits": {"*": 4}, "epochs": 0}}  # fmt: skip
    with pytest.raises(RecipeError, match=r"quantize: got \[share\] as well, wanted one of the two"):
        check_recipe(msgspec.convert(both, Recipe), build_network("lenet-300-100"))


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize(
    ("method", "bits", "scheme"),
    [("uniform", 4, "symmetric"), ("uniform", 4, "affine"), ("lsq", 3, "symmetric"), ("ternary", 2, "symmetric"),
     ("ttq", 2, "symmetric"), ("binary", 1, "symmetric")],
)  # fmt: skip
def test_training_sees_the_weights_that_the_file_will_have(
    method: str, bits: int, scheme: str, granularity: str
) -> None:
    graph = build_network("lenet-5")
    settings = msgspec.convert({"bits": {"*": bits}, "epochs": 1, "method": method, "scheme": scheme,
                                "granularity": granularity}, QuantizeStage)  # fmt: skip
    state, plan = make_state(graph, initial_values(graph, 1)), make_plan(graph, settings, set())
    start_quantizing(state, plan, graph, torch_forward(graph), load_data("mnist"))
    for tensor in state.learned.values():
        assert tensor.numel() == (1 if granularity == "tensor" else len(tensor))
        with torch.no_grad():
            tensor.mul_(torch.linspace(0.8, 1.3, tensor.numel()).reshape(tensor.shape))
    seen, coded = quantized_weights(state, plan), final_codes(state, plan, "dense")
    assert set(coded) == {"conv1.weight", "conv2.weight", "ip1.weight", "ip2.weight"}
    for name, tensor in coded.items():
        assert tensor.values == pytest.approx(seen[name].detach().numpy(), rel=1e-5, abs=1e-7)
        round_trip(tensor)
        assert sum(map(len, encode(tensor).sections.values())) < 4 * tensor.codes.size
