"""A small builder: networks are written as a sequence of layers, shapes are inferred on the way."""

from __future__ import annotations

from collections.abc import Mapping

from .graph import AttributeValue, Graph, Node, Parameter, TensorSpec
from .ops import infer_output

__all__ = ["GraphBuilder"]


class GraphBuilder:
    """Collects layers and returns a frozen Graph.

    Each method takes the tensor it reads (default: the last one made) and returns the one it wrote.

    >>> b = GraphBuilder("tiny", (1, 4))
    >>> _ = b.gemm("fc", 2)
    >>> b.build().parameter_count
    10
    """

    def __init__(self, name: str, input_shape: tuple[int, ...], *, input_name: str = "input", bits: int = 32) -> None:
        self.name = name
        self._input = input_name
        self._tensors: dict[str, TensorSpec] = {input_name: TensorSpec(input_shape, bits)}
        self._parameters: dict[str, Parameter] = {}
        self._nodes: list[Node] = []
        self._last = input_name

    def add(
        self,
        op: str,
        name: str,
        inputs: tuple[str, ...] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        **attributes: AttributeValue,
    ) -> str:
        """Append any operator; `parameters` by role become `name.role`."""
        parameters = parameters or {}
        roles = {role: f"{name}.{role}" for role in parameters}
        node = Node(name, op, inputs or (self._last,), name, roles, attributes)
        specs = tuple(self._tensors[tensor] for tensor in node.inputs)
        self._tensors[name] = TensorSpec(infer_output(node, specs, parameters), specs[0].bits)
        self._parameters.update({roles[role]: parameter for role, parameter in parameters.items()})
        self._nodes.append(node)
        self._last = name
        return name

    def conv(
        self, name: str, channels: int, kernel: int | tuple[int, int], *, stride: int = 1, pad: int = 0,
        groups: int = 1, dilation: int = 1, bias: bool = True, source: str | None = None,
    ) -> str:  # fmt: skip
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        in_channels = self._tensors[source or self._last].shape[1]
        parameters = {"weight": Parameter((channels, in_channels // groups, rows, columns))}
        if bias:
            parameters["bias"] = Parameter((channels,))
        return self.add(
            "conv", name, (source,) if source else None, parameters,
            strides=(stride, stride), pads=(pad,) * 4, dilations=(dilation, dilation), groups=groups,
        )  # fmt: skip

    def gemm(self, name: str, outputs: int, *, bias: bool = True, source: str | None = None) -> str:
        parameters = {"weight": Parameter((outputs, self._tensors[source or self._last].shape[1]))}
        if bias:
            parameters["bias"] = Parameter((outputs,))
        return self.add("gemm", name, (source,) if source else None, parameters)

    def max_pool(self, name: str, kernel: int, stride: int) -> str:
        return self.add("max_pool", name, kernel=(kernel, kernel), strides=(stride, stride))

    def relu(self, name: str) -> str:
        return self.add("relu", name)

    def flatten(self, name: str) -> str:
        return self.add("flatten", name)

    def build(self) -> Graph:
        return Graph(self.name, (self._input,), (self._last,), tuple(self._nodes), self._tensors, self._parameters)
