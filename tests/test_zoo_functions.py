"""Named networks compute what their papers say: attention against numpy, caches against no caches, paddings by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from picojoule.models.build import GraphBuilder, same_pads
from picojoule.models.exporters.onnx import export_onnx
from picojoule.models.graph import Graph
from picojoule.models.ops import loop_bounds
from picojoule.models.zoo import build_network, transformers
from picojoule.models.zoo.efficientnet import efficientnet
from picojoule.models.zoo.published import published

Arrays = dict[str, np.ndarray]


def run(graph: Graph, weights: Arrays, feeds: Arrays) -> Arrays:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    content = export_onnx(graph.with_parameters(weights), dynamic_batch=False)
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feeds = {name: values.astype(np.float32) for name, values in feeds.items()}
    return dict(zip(graph.outputs, session.run(None, feeds), strict=True))


def random_weights(graph: Graph) -> Arrays:
    rng = np.random.default_rng(5)
    return {n: rng.normal(0, 0.1, p.shape).astype(np.float32) for n, p in graph.parameters.items()}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers and few words: the widths stay."""
    for name, value in (("LAYERS", 2), ("GPT2_WORDS", 61), ("GPT2_POSITIONS", 16), ("BERT_WORDS", 61)):
        monkeypatch.setattr(transformers, name, value)


def norm(x: np.ndarray, weights: Arrays, name: str, epsilon: float) -> np.ndarray:
    centred = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)
    return centred * weights[f"{name}.scale"] + weights[f"{name}.bias"]


def linear(x: np.ndarray, weights: Arrays, name: str) -> np.ndarray:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def attention(x: np.ndarray, weights: Arrays, name: str, causal: bool) -> np.ndarray:
    """softmax(Q K^T / sqrt(64)) V, head by head (Vaswani et al., NIPS 2017, equation 1)."""
    q, k, v = (linear(x, weights, f"{name}.{part}") for part in ("query", "key", "value"))
    heads = []
    for head in range(12):
        own = slice(64 * head, 64 * head + 64)
        scores = q[:, own] @ k[:, own].T / 8
        if causal:
            scores[np.triu_indices(len(x), 1)] = -np.inf
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        heads.append(shares / shares.sum(-1, keepdims=True) @ v[:, own])
    return linear(np.concatenate(heads, -1), weights, f"{name}.output")


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def test_gpt2_prefill_against_numpy(small: None) -> None:
    graph = transformers.decoder("prefill", 7)
    weights, tokens = random_weights(graph), np.array([[3, 60, 0, 3, 17, 5, 9]])
    x = weights["embedding.words.table"][tokens[0]] + weights["embedding.positions.table"][:7]
    for layer in ("layer1", "layer2"):
        x = x + attention(norm(x, weights, f"{layer}.norm1", 1e-5), weights, f"{layer}.attention", True)
        inner = linear(norm(x, weights, f"{layer}.norm2", 1e-5), weights, f"{layer}.mlp.fc1")
        x = x + linear(gelu_tanh(inner), weights, f"{layer}.mlp.fc2")
    wanted = norm(x, weights, "norm", 1e-5)[-1] @ weights["embedding.words.table"].T
    logits = run(graph, weights, {"tokens": tokens, "positions": np.arange(7)[None]})["head"]
    np.testing.assert_allclose(logits.reshape(-1), wanted, rtol=1e-4, atol=1e-5)


def test_decoding_with_a_cache_equals_prefilling(small: None) -> None:
    """The fifth token's logits: from five tokens at once, and from one token with the caches that four tokens left."""
    tokens, places = np.array([[3, 60, 0, 41, 17]]), np.arange(5)[None]
    whole = transformers.decoder("prefill", 5)
    weights = random_weights(whole)
    at_once = run(whole, weights, {"tokens": tokens, "positions": places})
    four = run(transformers.decoder("prefill", 4), weights, {"tokens": tokens[:, :4], "positions": places[:, :4]})
    feeds: dict[str, Any] = {"tokens": tokens[:, 4:], "positions": places[:, 4:]}
    for layer in ("layer1", "layer2"):
        feeds[f"{layer}.attention.key_cache"] = four[f"{layer}.attention.k.heads"]
        feeds[f"{layer}.attention.value_cache"] = four[f"{layer}.attention.v.heads"]
    one = run(transformers.decoder("decode", 5), weights, feeds)
    np.testing.assert_allclose(one["head"], at_once["head"], rtol=1e-4, atol=1e-5)
    key = "layer2.attention.k.heads"
    np.testing.assert_allclose(one[key], at_once[key][..., 4:], rtol=1e-4, atol=1e-5)


def test_a_cache_is_read_once_and_never_copied() -> None:
    """No tensor that a decoding step writes is as long as a cache, and each cache has one reader."""
    graph = build_network("gpt2", phase="decode", context=2048)
    caches = [name for name in graph.inputs if name.endswith("cache")]
    assert len(caches) == 24
    for cache in caches:
        assert sum(node.inputs.count(cache) for node in graph) == 1
    written = max(graph.tensors[node.output].elements for node in graph)
    assert written == 50_257  # the logits
    made = [graph.tensors[name].elements for name in graph.outputs[1:]]
    assert made == [768] * 24


def test_bert_against_numpy(small: None) -> None:
    """Two layers: what the pooler says of the first token."""
    erf = np.vectorize(__import__("math").erf)
    graph = transformers.bert_base(6)
    weights, tokens, types = random_weights(graph), np.array([[3, 60, 0, 3, 17, 5]]), np.array([[0, 0, 0, 1, 1, 1]])
    x = weights["embedding.words.table"][tokens[0]] + weights["embedding.types.table"][types[0]]
    x = norm(x + weights["embedding.positions.table"][:6], weights, "embedding.norm", 1e-12)
    for layer in ("layer1", "layer2"):
        x = norm(x + attention(x, weights, f"{layer}.attention", False), weights, f"{layer}.norm1", 1e-12)
        inner = linear(x, weights, f"{layer}.mlp.fc1")
        made = linear(0.5 * inner * (1 + erf(inner / np.sqrt(2))), weights, f"{layer}.mlp.fc2")
        x = norm(x + made, weights, f"{layer}.norm2", 1e-12)
    wanted = np.tanh(linear(x[0], weights, "pooler"))
    out = run(graph, weights, {"tokens": tokens, "types": types, "positions": np.arange(6)[None]})["pooler.tanh"]
    np.testing.assert_allclose(out.reshape(-1), wanted, rtol=1e-4, atol=1e-5)


def test_vision_transformer_takes_images_alone(small: None) -> None:
    """Its class token needs no input of its own; it changes what is said of an image."""
    graph = transformers.vit_b_16()
    assert graph.inputs == ("input",)
    weights, image = random_weights(graph), np.random.default_rng(0).normal(size=(1, 3, 224, 224))
    before = run(graph, weights, {"input": image})["head"]
    after = run(graph, weights | {"class_token.operand": np.ones((1, 1, 768), np.float32)}, {"input": image})["head"]
    assert np.isfinite(before).all()
    assert np.abs(before - after).max() > 1e-3


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads"),
    [
        ((224, 224), (3, 3), (2, 2), (0, 0, 1, 1)),  # 112 outputs see 225 rows
        ((49, 10), (10, 4), (2, 2), (4, 1, 5, 1)),  # 25 see 58, 5 see 12
        ((7, 7), (3, 3), (1, 1), (1, 1, 1, 1)),
        ((15, 15), (1, 1), (2, 2), (0, 0, 0, 0)),
    ],
)
def test_same_padding_of_tensorflow(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], pads: tuple[int, ...]
) -> None:
    assert same_pads(size, kernel, stride) == pads
    net = GraphBuilder("net", (1, 1, *size))
    net.conv("conv", 1, kernel, stride=stride, pad="same")
    assert net.shape()[2:] == tuple(-(-n // s) for n, s in zip(size, stride, strict=True))


@pytest.mark.parametrize("row", [p for p in published() if "megvii" in p.source], ids=lambda p: p.network)
def test_shufflenet_v1_against_its_authors(row: Any) -> None:
    """Whole millions of operations (one is rounded up) and parameters to one decimal (two are cut)."""
    graph = build_network(row.network)
    macs = sum(bounds.macs for node in graph if (bounds := loop_bounds(graph, node)))
    assert macs == pytest.approx(row.macs, abs=6e5)
    assert graph.parameter_count == pytest.approx(row.parameters, abs=6e4)


def test_tiny_networks_have_the_parameters_of_their_reference() -> None:
    """Keras's summaries of the reference models, less two moving statistics for each normalized channel:
    ad 269,992 - 2,064; kws 24,908 - 1,152; vww 221,794 - 5,472; ic 78,666 - 480."""
    counts = {name: build_network(f"mlperf-tiny-{name}").parameter_count for name in ("ad", "kws", "vww", "ic")}
    assert counts == {"ad": 267_928, "kws": 23_756, "vww": 216_322, "ic": 78_186}


def test_efficientnet_b2_at_the_resolution_torchvision_reports() -> None:
    graph = efficientnet(2, 288)
    macs = sum(bounds.macs for node in graph if (bounds := loop_bounds(graph, node)))
    assert round(macs / 1e9, 3) == 1.088
