"""Transformers: BERT-base (Devlin et al., 2019), ViT-B/16 (Dosovitskiy et al., ICLR 2021), a decoder like GPT-2 small.

The key and value caches of a decoder are inputs of the graph, and the keys and values it makes are outputs: what
decoding one token reads and writes, layer by layer. Nothing copies a cache, as runtimes append to it in place.
"""

from __future__ import annotations

from dataclasses import replace

from ..build import GraphBuilder
from ..graph import Graph, Parameter

__all__ = ["bert_base", "decoder", "vit_b_16"]

WIDTH, HEADS, LAYERS = 768, 12, 12
HEAD = WIDTH // HEADS
SCALE = HEAD**-0.5  # of the products of queries and keys
BERT_WORDS, BERT_POSITIONS, GPT2_WORDS, GPT2_POSITIONS = 30_522, 512, 50_257, 1024


def _norm(net: GraphBuilder, name: str, source: str, epsilon: float) -> str:
    pair = {"scale": Parameter((WIDTH,)), "bias": Parameter((WIDTH,))}
    return net.add("layer_normalization", name, (source,), pair, axis=-1, epsilon=epsilon)


def _heads(net: GraphBuilder, name: str, source: str, *, transposed: bool = False) -> str:
    """Sequence x width as heads x sequence x 64, or heads x 64 x sequence."""
    net.add("reshape", f"{name}.split", (source,), shape=(1, net.shape(source)[1], HEADS, HEAD))
    return net.add("transpose", f"{name}.heads", perm=(0, 2, 3, 1) if transposed else (0, 2, 1, 3))


def _attention(net: GraphBuilder, name: str, source: str, *, causal: bool = False, cached: int = 0) -> str:
    """Multi-head attention of `source` on itself (`causal`: on what comes before) and on `cached` tokens before it."""
    tokens = net.shape(source)[1]
    query = _heads(net, f"{name}.q", net.gemm(f"{name}.query", WIDTH, source=source))
    key = _heads(net, f"{name}.k", net.gemm(f"{name}.key", WIDTH, source=source), transposed=True)
    value = _heads(net, f"{name}.v", net.gemm(f"{name}.value", WIDTH, source=source))
    scores = net.add("matmul", f"{name}.scores", (query, key), scale=SCALE)
    if cached:
        keys = net.input(f"{name}.key_cache", (1, HEADS, HEAD, cached))
        old_scores = net.add("matmul", f"{name}.cached_scores", (query, keys), scale=SCALE)
        scores = net.add("concat", f"{name}.all_scores", (old_scores, scores), axis=3)
    weights = net.add("softmax", f"{name}.softmax", (scores,), causal=int(causal and tokens > 1))
    if cached:
        new = net.add("slice", f"{name}.new", (weights,), starts=(cached,), ends=(cached + tokens,), axes=(3,))
        old = net.add("slice", f"{name}.old", (weights,), starts=(0,), ends=(cached,), axes=(3,))
        values = net.input(f"{name}.value_cache", (1, HEADS, cached, HEAD))
        from_cache = net.add("matmul", f"{name}.cached_context", (old, values))
        from_self = net.add("matmul", f"{name}.own_context", (new, value))
        net.add("add", f"{name}.context", (from_cache, from_self))
    else:
        net.add("matmul", f"{name}.context", (weights, value))
    net.add("transpose", f"{name}.joined", perm=(0, 2, 1, 3))
    net.add("reshape", f"{name}.merged", shape=(1, tokens, WIDTH))
    return net.gemm(f"{name}.output", WIDTH)


def _mlp(net: GraphBuilder, name: str, source: str, approximate: str = "none") -> str:
    net.gemm(f"{name}.fc1", 4 * WIDTH, source=source)
    net.add("gelu", f"{name}.gelu", approximate=approximate)
    return net.gemm(f"{name}.fc2", WIDTH)


def bert_base(context: int = 128) -> Graph:
    """BERT-base, uncased: 12 layers, 12 heads, 768 wide, with its pooler; 109,482,240 parameters.

    >>> bert_base().parameter_count
    109482240
    """
    epsilon = 1e-12
    net = GraphBuilder("bert-base", (1, context), input_name="tokens")
    words = net.add("gather", "embedding.words", None, {"table": Parameter((BERT_WORDS, WIDTH))})
    types = net.add("gather", "embedding.types", (net.input("types", (1, context)),),
                    {"table": Parameter((2, WIDTH))})  # fmt: skip
    places = net.add("gather", "embedding.positions", (net.input("positions", (1, context)),),
                     {"table": Parameter((BERT_POSITIONS, WIDTH))})  # fmt: skip
    summed = net.add("add", "embedding.add1", (words, types))
    source = _norm(net, "embedding.norm", net.add("add", "embedding.add2", (summed, places)), epsilon)
    for layer in range(1, LAYERS + 1):
        name = f"layer{layer}"
        attended = _attention(net, f"{name}.attention", source)
        middle = _norm(net, f"{name}.norm1", net.add("add", f"{name}.add1", (source, attended)), epsilon)
        made = _mlp(net, f"{name}.mlp", middle)
        source = _norm(net, f"{name}.norm2", net.add("add", f"{name}.add2", (middle, made)), epsilon)
    net.add("slice", "pooler.first", (source,), starts=(0,), ends=(1,), axes=(1,))
    net.add("reshape", "pooler.flat", shape=(1, WIDTH))
    net.gemm("pooler", WIDTH)
    net.add("tanh", "pooler.tanh")
    return net.build()


def vit_b_16() -> Graph:
    """ViT-B/16 on 224 x 224 pixels: 196 patches and a class token; 86,567,656 parameters.

    >>> vit_b_16().parameter_count
    86567656
    """
    epsilon = 1e-6
    net = GraphBuilder("vit-b-16", (1, 3, 224, 224))
    net.conv("patches", WIDTH, 16, stride=16)
    net.add("reshape", "patches.flat", shape=(1, WIDTH, 196))
    net.add("transpose", "patches.tokens", perm=(0, 2, 1))
    first = net.add("slice", "class_token.place", starts=(0,), ends=(1,), axes=(1,))
    net.add("binary", "class_token.zero", (first, first), function="Sub")  # as many zeros as the batch needs
    token = net.add("add", "class_token", None, {"operand": Parameter((1, 1, WIDTH))})
    net.add("concat", "tokens", (token, "patches.tokens"), axis=1)
    source = net.add("add", "positions", None, {"operand": Parameter((1, 197, WIDTH))})
    for layer in range(1, LAYERS + 1):
        name = f"layer{layer}"
        attended = _attention(net, f"{name}.attention", _norm(net, f"{name}.norm1", source, epsilon))
        middle = net.add("add", f"{name}.add1", (source, attended))
        made = _mlp(net, f"{name}.mlp", _norm(net, f"{name}.norm2", middle, epsilon))
        source = net.add("add", f"{name}.add2", (middle, made))
    _norm(net, "norm", source, epsilon)
    net.add("slice", "head.first", starts=(0,), ends=(1,), axes=(1,))
    net.add("reshape", "head.flat", shape=(1, WIDTH))
    net.gemm("head", 1000)
    return net.build()


def decoder(phase: str = "decode", context: int = 1024) -> Graph:
    """A decoder of GPT-2 small's shape: "prefill" reads `context` tokens, "decode" one after `context` - 1 cached.

    Outputs are the next token's logits, then each layer's new keys and values. The output layer's weight is the
    embedding's table: 124,439,808 parameters in all. Positions beyond GPT-2's 1024 have no embedding of their own.

    >>> decoder("decode").parameter_count
    124439808
    """
    epsilon, (tokens, cached) = 1e-5, (context, 0) if phase == "prefill" else (1, context - 1)
    net = GraphBuilder(f"gpt2-{phase}", (1, tokens), input_name="tokens")
    words = net.add("gather", "embedding.words", None, {"table": Parameter((GPT2_WORDS, WIDTH))})
    places = net.add("gather", "embedding.positions", (net.input("positions", (1, tokens)),),
                     {"table": Parameter((GPT2_POSITIONS, WIDTH))})  # fmt: skip
    source, made = net.add("add", "embedding.add", (words, places)), []
    for layer in range(1, LAYERS + 1):
        name = f"layer{layer}"
        normed = _norm(net, f"{name}.norm1", source, epsilon)
        attended = _attention(net, f"{name}.attention", normed, causal=True, cached=cached)
        middle = net.add("add", f"{name}.add1", (source, attended))
        out = _mlp(net, f"{name}.mlp", _norm(net, f"{name}.norm2", middle, epsilon), "tanh")
        source = net.add("add", f"{name}.add2", (middle, out))
        made += [f"{name}.attention.k.heads", f"{name}.attention.v.heads"]
    _norm(net, "norm", source, epsilon)
    net.add("slice", "head.last", starts=(tokens - 1,), ends=(tokens,), axes=(1,))
    logits = net.gemm("head", GPT2_WORDS, bias=False)
    return _tied(net.build(logits, *made), "head.weight", "embedding.words.table")


def _tied(graph: Graph, weight: str, table: str) -> Graph:
    """The same network with one parameter in both places."""
    nodes = tuple(
        replace(node, parameters={role: table if name == weight else name for role, name in node.parameters.items()})
        for node in graph
    )
    kept = {name: parameter for name, parameter in graph.parameters.items() if name != weight}
    return replace(graph, nodes=nodes, parameters=kept)
