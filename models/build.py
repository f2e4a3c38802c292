"""A small builder: networks are written as a sequence of layers, shapes are inferred on the way."""

from __future__ import annotations

from collections.abc import Mapping

from .graph import AttributeValue, Graph, Node, Parameter, TensorSpec
from .ops import infer_output

__all__ = ["GraphBuilder", "same_pads"]


def same_pads(size: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int]) -> tuple[int, int, int, int]:
    """TensorFlow's SAME: ceil(size / stride) outputs; the odd row or column goes to the end.

    >>> same_pads((224, 224), (3, 3), (2, 2))
    (0, 0, 1, 1)
    """
    totals = [max(0, (-(-n // s) - 1) * s + k - n) for n, k, s in zip(size, kernel, stride, strict=True)]
    top, left = (total // 2 for total in totals)
    return top, left, totals[0] - top, totals[1] - left


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
        self._inputs = (input_name,)
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

    def input(self, name: str, shape: tuple[int, ...]) -> str:
        """One more input of the network."""
        self._tensors[name] = TensorSpec(shape)
        self._inputs = (*self._inputs, name)
        return name

    @property
    def last(self) -> str:
        """The tensor written last."""
        return self._last

    def shape(self, tensor: str | None = None) -> tuple[int, ...]:
        """Shape of a tensor (default: the last one)."""
        return self._tensors[tensor or self._last].shape

    def conv(
        self, name: str, channels: int, kernel: int | tuple[int, int], *, stride: int | tuple[int, int] = 1,
        pad: int | tuple[int, int, int, int] | str = 0, groups: int = 1, dilation: int = 1, bias: bool = True,
        source: str | None = None,
    ) -> str:  # fmt: skip
        """`pad` is one number for all sides, or top, left, bottom, right, or "same" as TensorFlow pads."""
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        strides = (stride, stride) if isinstance(stride, int) else stride
        if isinstance(pad, str):
            pad = same_pads(self.shape(source)[2:], (rows, columns), strides)
        in_channels = self.shape(source)[1]
        parameters = {"weight": Parameter((channels, in_channels // groups, rows, columns))}
        if bias:
            parameters["bias"] = Parameter((channels,))
        return self.add(
            "conv", name, (source,) if source else None, parameters,
            strides=strides, pads=(pad,) * 4 if isinstance(pad, int) else pad,
            dilations=(dilation, dilation), groups=groups,
        )  # fmt: skip

    def gemm(self, name: str, outputs: int, *, bias: bool = True, source: str | None = None) -> str:
        parameters = {"weight": Parameter((outputs, self.shape(source)[-1]))}
        if bias:
            parameters["bias"] = Parameter((outputs,))
        return self.add("gemm", name, (source,) if source else None, parameters)

    def max_pool(
        self, name: str, kernel: int, stride: int, *, pad: int = 0, ceil: bool = False, source: str | None = None
    ) -> str:
        extra: dict[str, AttributeValue] = {"pads": (pad,) * 4} if pad else {}
        if ceil:
            extra["ceil_mode"] = 1
        return self.add(
            "max_pool", name, (source,) if source else None, None, kernel=(kernel, kernel), strides=(stride, stride),
            **extra,
        )  # fmt: skip

    def average_pool(self, name: str, kernel: int, stride: int, *, pad: int = 0, source: str | None = None) -> str:
        extra: dict[str, AttributeValue] = {"pads": (pad,) * 4, "count_include_pad": 1} if pad else {}
        return self.add(
            "average_pool", name, (source,) if source else None, None, kernel=(kernel, kernel),
            strides=(stride, stride), **extra,
        )  # fmt: skip

    def norm(self, name: str) -> str:
        """Batch normalization as scale and bias by channel."""
        channels = self.shape()[1]
        return self.add(
            "batch_normalization", name, None, {"scale": Parameter((channels,)), "bias": Parameter((channels,))}
        )

    def relu(self, name: str) -> str:
        return self.add("relu", name)

    def flatten(self, name: str) -> str:
        return self.add("flatten", name)

    def build(self, *outputs: str) -> Graph:
        """The network; its outputs are `outputs`, or the last tensor."""
        outputs = outputs or (self._last,)
        return Graph(self.name, self._inputs, outputs, tuple(self._nodes), self._tensors, self._parameters)
