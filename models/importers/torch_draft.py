"""What the PyTorch importer knows half-way: values of the exported program as tensors, nodes and parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import AttributeValue, Node, Parameter, TensorSpec
from ..ops import infer_output

__all__ = ["BITS", "Draft", "arguments", "numbers", "shape_of"]

BITS = {
    "torch.float32": 32, "torch.float16": 16, "torch.bfloat16": 16, "torch.int8": 8, "torch.uint8": 8, "torch.bool": 8,
}  # fmt: skip


@dataclass
class Draft:
    """The network so far, and what each value of the exported program is."""

    name: str
    constants: dict[str, Any]
    tensors: dict[str, TensorSpec] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    alias: dict[str, str] = field(default_factory=dict)

    def source(self, value: Any) -> str:
        """The tensor that a value of the program is."""
        return str(self.alias.get(value.name, value.name))

    def is_constant(self, value: Any) -> bool:
        return hasattr(value, "name") and value.name in self.constants

    def array(self, value: Any) -> NDArray[np.float32]:
        return self.constants[value.name].detach().to("cpu").float().numpy()

    def bind(self, value: Any, array: NDArray[np.float32] | None = None, suffix: str = "") -> str:
        """A parameter of the program under its own name, or values made of it."""
        name = f"{self.names.get(value.name, value.name)}{suffix}"
        if name not in self.parameters:
            values = self.array(value) if array is None else array
            bits = min(32, BITS.get(str(self.constants[value.name].dtype), 32))
            self.parameters[name] = Parameter(values.shape, bits, values)
        return name

    def add(
        self, call: Any, op: str, inputs: Sequence[str], parameters: Mapping[str, str] | None = None,
        attributes: Mapping[str, AttributeValue] | None = None, output: str | None = None,
    ) -> str:  # fmt: skip
        """Append a node; its shape is what models/ops.py infers."""
        name = output or call.name
        node = Node(name, op, tuple(inputs), name, parameters or {}, attributes or {})
        specs = tuple(self.tensors[tensor] for tensor in inputs)
        shape = infer_output(node, specs, {role: self.parameters[n] for role, n in node.parameters.items()})
        self.tensors[name] = TensorSpec(shape, specs[0].bits)
        self.nodes.append(node)
        return name


def shape_of(call: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in call.meta["val"].shape)


def numbers(value: Any, count: int) -> tuple[int, ...]:
    values = [value] if isinstance(value, int) else list(value)
    return tuple(int(item) for item in (values * count if len(values) == 1 else values))


def arguments(call: Any, names: str) -> dict[str, Any]:
    """Positional and keyword arguments by name; None where left out."""
    listed = names.split()
    return dict.fromkeys(listed) | dict(zip(listed, call.args, strict=False)) | dict(call.kwargs)
