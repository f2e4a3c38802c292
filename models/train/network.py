"""A Graph as a differentiable torch function of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from ..errors import GraphError
from ..graph import Graph, Node

__all__ = ["Forward", "Parameters", "torch_forward"]

Parameters = Mapping[str, Tensor]
Roles = Mapping[str, Tensor]
Forward = Callable[..., Tensor]
Reads = Callable[[str, Tensor], Tensor]


def _pads(node: Node, x: Tensor, value: float = 0.0) -> Tensor:
    """`x` with ONNX's pads (top, left, bottom, right) around its rows and columns."""
    top, left, bottom, right = (int(pad) for pad in node.attributes.get("pads", (0, 0, 0, 0)))  # type: ignore
    return F.pad(x, (left, right, top, bottom), value=value) if top or left or bottom or right else x


def _pair(node: Node, name: str, default: int = 1) -> tuple[int, int]:
    value = node.attributes.get(name, (default, default))
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))  # type: ignore[index]


def _conv(node: Node, inputs: list[Tensor], roles: Roles) -> Tensor:
    return F.conv2d(
        _pads(node, inputs[0]), roles["weight"], roles.get("bias"), _pair(node, "strides"), 0,
        _pair(node, "dilations"), int(node.attributes.get("groups", 1)),  # type: ignore[arg-type]
    )  # fmt: skip


def _gemm(node: Node, inputs: list[Tensor], roles: Roles) -> Tensor:
    return F.linear(inputs[0], roles["weight"], roles.get("bias"))


def _max_pool(node: Node, inputs: list[Tensor], _: Roles) -> Tensor:
    return F.max_pool2d(
        _pads(node, inputs[0], -torch.inf), _pair(node, "kernel"), _pair(node, "strides"), 0,
        _pair(node, "dilations"), bool(node.attributes.get("ceil_mode", False)),
    )  # fmt: skip


def _average_pool(node: Node, inputs: list[Tensor], _: Roles) -> Tensor:
    if any(node.attributes.get("pads", (0,))) or node.attributes.get("ceil_mode"):  # type: ignore[arg-type]
        raise GraphError(f"node {node.name} (average_pool)", "padding", "an average pool without padding to train")
    return F.avg_pool2d(inputs[0], _pair(node, "kernel"), _pair(node, "strides"))


def _integers(node: Node, x: Tensor) -> Tensor:
    """What a node with `input_scale` reads: see `compress.quantize.integer_activations`."""
    scale, zero = float(node.attributes["input_scale"]), int(node.attributes["input_zero_point"])  # type: ignore[arg-type]
    top = 2 ** int(node.attributes["input_bits"]) - 1  # type: ignore[arg-type]
    return (torch.round(x / scale) + zero).clamp(0, top).sub(zero).mul(scale)


FUNCTIONS: Mapping[str, Callable[[Node, list[Tensor], Roles], Tensor]] = {
    "conv": _conv,
    "gemm": _gemm,
    "max_pool": _max_pool,
    "average_pool": _average_pool,
    "relu": lambda node, inputs, roles: F.relu(inputs[0]),
    "softmax": lambda node, inputs, roles: F.softmax(inputs[0], int(node.attributes.get("axis", -1))),  # type: ignore[arg-type]
    "identity": lambda node, inputs, roles: inputs[0],
    "flatten": lambda node, inputs, roles: inputs[0].flatten(1),
    "add": lambda node, inputs, roles: inputs[0] + inputs[1],
}


@dataclass(frozen=True)
class Dropout:
    """Rates by layer name, applied to what the layer reads, drawn from `generator`."""

    rates: Mapping[str, float]
    generator: torch.Generator

    def __call__(self, layer: str, x: Tensor) -> Tensor:
        rate = self.rates.get(layer, 0.0)
        if rate == 0:
            return x
        return x * torch.empty_like(x).bernoulli_(1 - rate, generator=self.generator).div_(1 - rate)


def torch_forward(graph: Graph) -> Forward:
    """A function of (images [n, ...], parameters by name, reads=None) giving logits [n, classes].

    `reads(layer, tensor)` returns what the layer named reads in place of `tensor`: see Dropout.
    One input and one output, operators among `FUNCTIONS`; a softmax at the end is left out, because the
    training loss takes logits and the largest stays the largest. Raises GraphError for anything else.
    """
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise GraphError(f"network {graph.name}", "several inputs or outputs", "one of each to be trained")
    nodes = list(graph)
    for node in nodes:
        if node.op not in FUNCTIONS:
            raise GraphError(f"node {node.name}", node.op, f"an operator among {', '.join(sorted(FUNCTIONS))}")
    output = graph.outputs[0]
    if nodes and nodes[-1].op == "softmax" and nodes[-1].output == output:
        output = nodes.pop().inputs[0]

    def forward(images: Tensor, parameters: Parameters, reads: Reads | None = None) -> Tensor:
        tensors = {graph.inputs[0]: images}
        for node in nodes:
            inputs = [tensors[name] for name in node.inputs]
            if "input_scale" in node.attributes:
                inputs[0] = _integers(node, inputs[0])
            if reads is not None:
                inputs = [reads(node.name, x) for x in inputs]
            roles = {role: parameters[name] for role, name in node.parameters.items()}
            tensors[node.output] = FUNCTIONS[node.op](node, inputs, roles)
        return tensors[output]

    return forward
