"""One layer written out as a MODEL string: `gemm:M=1,N=4096,K=9216` or `conv:K=64,C=3,H=224,W=224,R=7,S=7`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import InputError
from ..graph import Graph, Node, Parameter, TensorSpec
from ..ops import infer_output

__all__ = ["LAYER_KINDS", "LayerSpec", "is_layer_spec", "parse_layer_spec"]

SIZE_LIMIT = 2**31
ELEMENT_LIMIT = 2**40
BITS_LIMIT = 32


@dataclass(frozen=True, eq=False)
class LayerSpec:
    """One layer as a graph without weights, and the settings written beside its sizes (None: not written).

    `bits` and `act_bits` are per weight and per activation; densities are fractions of non-zeros.
    """

    graph: Graph
    bits: int | None = None
    act_bits: int | None = None
    density: float | None = None
    act_density: float | None = None


@dataclass(frozen=True)
class _Kind:
    """Keys of a layer string: those it must have, those it may have with their default, and the graph."""

    required: tuple[str, ...]
    optional: Mapping[str, int]
    build: Callable[[str, Mapping[str, int]], Graph]
    example: str


def _one_node(text: str, node: Node, shape: tuple[int, ...], weight: tuple[int, ...]) -> Graph:
    _check_elements(text, "the input", shape)
    _check_elements(text, "the weight", weight)
    source, parameter = TensorSpec(shape), Parameter(weight)
    output = infer_output(node, (source,), {"weight": parameter})
    _check_elements(text, "the output", output)
    tensors = {node.inputs[0]: source, node.output: TensorSpec(output)}
    return Graph(text, node.inputs, (node.output,), (node,), tensors, {node.parameters["weight"]: parameter})


def _gemm(text: str, sizes: Mapping[str, int]) -> Graph:
    node = Node("gemm", "gemm", ("input",), "gemm", {"weight": "gemm.weight"})
    return _one_node(text, node, (sizes["M"], sizes["K"]), (sizes["N"], sizes["K"]))


def _conv(text: str, sizes: Mapping[str, int]) -> Graph:
    stride, pad, dilation, groups = (sizes[key] for key in ("stride", "pad", "dilation", "groups"))
    for key in ("K", "C"):
        if sizes[key] % groups:
            raise InputError(f"{_head(text)}: {key}", sizes[key], f"a multiple of groups = {groups}")
    attributes = {
        "strides": (stride, stride), "pads": (pad,) * 4, "dilations": (dilation, dilation), "groups": groups,
    }  # fmt: skip
    node = Node("conv", "conv", ("input",), "conv", {"weight": "conv.weight"}, attributes)
    weight = (sizes["K"], sizes["C"] // groups, sizes["R"], sizes["S"])
    return _one_node(text, node, (sizes["N"], sizes["C"], sizes["H"], sizes["W"]), weight)


LAYER_KINDS: Mapping[str, _Kind] = {
    "gemm": _Kind(("N", "K"), {"M": 1}, _gemm, "gemm:M=1,N=4096,K=9216"),
    "conv": _Kind(
        ("K", "C", "H", "W", "R", "S"), {"N": 1, "stride": 1, "pad": 0, "dilation": 1, "groups": 1}, _conv,
        "conv:N=1,K=64,C=3,H=224,W=224,R=7,S=7,stride=2,pad=3",
    ),
}  # fmt: skip
INTEGER_SETTINGS = ("bits", "act_bits")
SHARE_SETTINGS = ("density", "act_density")


def is_layer_spec(text: str) -> bool:
    """Whether `text` starts as a layer written out does."""
    return text.partition(":")[0] in LAYER_KINDS and ":" in text


def parse_layer_spec(text: str) -> LayerSpec:
    """A one-layer graph from `gemm:` or `conv:` with KEY=VALUE pairs.

    `gemm`: input M x K times weight K x N; M is the batch axis (LoopBounds.N). `conv`: N images of C x H x W,
    K output channels, kernel R x S; C counts the input channels of all groups. `stride`, `pad` and `dilation`
    hold for both axes. `bits`, `act_bits` (1 to 32), `density`, `act_density` (above 0, at most 1) are optional.
    Raises InputError naming the key, GraphError for a kernel larger than its padded input.

    >>> from ..ops import loop_bounds
    >>> graph = parse_layer_spec("gemm:M=2,N=4096,K=9216").graph
    >>> graph.parameters["gemm.weight"].shape, loop_bounds(graph, graph.nodes[0]).macs
    ((4096, 9216), 75497472)
    """
    kind, _, body = text.partition(":")
    if kind not in LAYER_KINDS:
        raise InputError("layer", text, " or ".join(f"{name}:" for name in LAYER_KINDS))
    described = LAYER_KINDS[kind]
    pairs = _pairs(text, body)
    known = (*described.required, *described.optional, *INTEGER_SETTINGS, *SHARE_SETTINGS)
    for key in pairs:
        if key not in known:
            raise InputError(f"{_head(text)}: {key}", "an unknown key", f"one of {', '.join(known)}")
    for key in described.required:
        if key not in pairs:
            raise InputError(f"{_head(text)}: {key}", "no value", f"{key}=SIZE", f"for example {described.example}")
    sizes = dict(described.optional)
    sizes |= {key: _integer(text, key, pairs[key], SIZE_LIMIT) for key in pairs if key in known[: -4]}
    integers = {key: _integer(text, key, pairs[key], BITS_LIMIT) for key in INTEGER_SETTINGS if key in pairs}
    shares = {key: _share(text, key, pairs[key]) for key in SHARE_SETTINGS if key in pairs}
    return LayerSpec(
        described.build(text, sizes), integers.get("bits"), integers.get("act_bits"),
        shares.get("density"), shares.get("act_density"),
    )  # fmt: skip


def _head(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _pairs(text: str, body: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for item in body.split(","):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not key or not equals or not value:
            raise InputError(_head(text), item or "an empty setting", "KEY=VALUE pairs with commas between",
                             f"for example {LAYER_KINDS[text.partition(':')[0]].example}")  # fmt: skip
        if key in pairs:
            raise InputError(f"{_head(text)}: {key}", "two values", "each key once")
        pairs[key] = value
    return pairs


def _integer(text: str, key: str, value: str, limit: int) -> int:
    least = 0 if key == "pad" else 1
    if not re.fullmatch(r"[0-9]{1,12}", value) or not least <= int(value) <= limit:
        raise InputError(f"{_head(text)}: {key}", value, f"a whole number from {least} to {limit}")
    return int(value)


def _share(text: str, key: str, value: str) -> float:
    if not re.fullmatch(r"(\d{1,3}(\.\d{0,17})?|\.\d{1,17})([eE]-?\d{1,3})?", value) or not 0 < float(value) <= 1:
        raise InputError(f"{_head(text)}: {key}", value, "a fraction above 0 and at most 1", "for example 0.1")
    return float(value)


def _check_elements(text: str, what: str, shape: tuple[int, ...]) -> None:
    elements = TensorSpec(shape).elements
    if elements > ELEMENT_LIMIT:
        raise InputError(_head(text), f"{what} of {elements} elements", f"at most {ELEMENT_LIMIT}")
