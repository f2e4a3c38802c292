"""What the TFLite importer knows half-way: tensors in the Graph's order, constants dequantized, nodes so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError, GraphError
from ..graph import AttributeValue, Node, Parameter, TensorSpec
from ..ops import infer_output

__all__ = ["Call", "Draft"]

# TFLite element type -> (numpy type, bits)
TYPES: Mapping[int, tuple[str, int]] = {
    0: ("<f4", 32), 1: ("<f2", 16), 2: ("<i4", 32), 3: ("u1", 8), 4: ("<i8", 32), 6: ("?", 8), 7: ("<i2", 16),
    9: ("i1", 8), 10: ("<f8", 32), 17: ("u1", 4),
}  # fmt: skip
INT4 = 17
ELEMENT_LIMIT = 1 << 40
ACTIVATIONS = {1: "relu", 2: "clip", 3: "relu6", 4: "tanh"}


@dataclass(frozen=True, eq=False)
class Call:
    """One operator of the file."""

    kind: str
    operator: Any
    place: int
    draft: Draft

    @property
    def inputs(self) -> list[int]:
        return [self.operator.Inputs(i) for i in range(self.operator.InputsLength())]

    @property
    def outputs(self) -> list[int]:
        return [self.operator.Outputs(i) for i in range(self.operator.OutputsLength())]

    def options(self, name: str) -> Any:
        """The operator's table of options, read as type `name`."""
        table = self.operator.BuiltinOptions()
        if table is None:
            raise self.wrong("no options", name)
        found = getattr(self.draft.package, name)()
        found.Init(table.Bytes, table.Pos)
        return found

    def wrong(self, got: object, wanted: str) -> GraphError:
        return GraphError(f"{self.draft.file.name}: operator {self.place} ({self.kind})", got, wanted)


class Draft:
    """The network so far. Tensors of four axes are turned from rows, columns, channels to channels, rows, columns."""

    def __init__(self, package: Any, model: Any, network: Any, content: bytes, file: Path) -> None:
        self.package, self.model, self.network, self.file = package, model, network, file
        self._content = content
        self.tensors: dict[str, TensorSpec] = {}
        self.parameters: dict[str, Parameter] = {}
        self.nodes: list[Node] = []
        self._names: dict[int, str] = {}
        self.flattened: dict[str, tuple[int, int, int]] = {}
        for index in network.InputsAsNumpy():
            self.tensors[self.name(int(index))] = self.spec(int(index))

    def tensor(self, index: int) -> Any:
        if not 0 <= index < self.network.TensorsLength():
            raise FileFormatError(str(self.file), f"tensor {index}", f"one of {self.network.TensorsLength()}")
        return self.network.Tensors(index)

    def name(self, index: int) -> str:
        """The tensor's own name; told apart where several have one."""
        if index not in self._names:
            text = (self.tensor(index).Name() or b"").decode("utf-8", "replace") or f"tensor_{index}"
            self._names[index] = text if text not in self._names.values() else f"{text}:{index}"
        return self._names[index]

    def raw_shape(self, index: int) -> tuple[int, ...]:
        """As in the file; an open size counts as 1."""
        tensor = self.tensor(index)
        sizes = tuple(max(1, int(tensor.Shape(i))) for i in range(tensor.ShapeLength()))
        if len(sizes) > 8 or prod(sizes) > ELEMENT_LIMIT:
            raise FileFormatError(str(self.file), f"shape {sizes}", f"at most 8 axes and {ELEMENT_LIMIT} elements")
        return sizes

    def shape(self, index: int) -> tuple[int, ...]:
        """As in the Graph."""
        sizes = self.raw_shape(index)
        return (sizes[0], sizes[3], sizes[1], sizes[2]) if len(sizes) == 4 else sizes

    def bits(self, index: int) -> int:
        kind = self.tensor(index).Type()
        if kind not in TYPES:
            raise FileFormatError(str(self.file), f"element type {kind} of {self.name(index)}", "floats or integers")
        return TYPES[kind][1]

    def spec(self, index: int) -> TensorSpec:
        return TensorSpec(self.shape(index), self.bits(index))

    def is_constant(self, index: int) -> bool:
        """Whether the file holds its values."""
        return index >= 0 and self._stored(index) is not None

    def _stored(self, index: int) -> Any:
        place = self.tensor(index).Buffer()
        if not 0 < place < self.model.BuffersLength():
            return None
        buffer = self.model.Buffers(place)
        return buffer if buffer.DataLength() > 0 else None

    def integers(self, index: int) -> tuple[int, ...]:
        """A small constant of whole numbers."""
        values = self.raw(index).reshape(-1)
        if values.size > 4096:
            raise FileFormatError(str(self.file), f"{values.size} values in {self.name(index)}", "at most 4096")
        return tuple(int(value) for value in values)

    def raw(self, index: int) -> NDArray[Any]:
        """The stored values in the file's own order. Raises FileFormatError where bytes and shape disagree."""
        buffer = self._stored(index)
        if buffer is None:
            raise FileFormatError(str(self.file), f"{self.name(index)} without values", "a constant")
        kind = self.tensor(index).Type()
        dtype, _ = TYPES.get(kind, ("u1", 8))
        data, shape = buffer.DataAsNumpy(), self.raw_shape(index)
        elements = prod(shape)
        if kind == INT4:
            pairs = np.stack([data & 15, data >> 4], axis=-1).reshape(-1)[:elements].astype(np.int8)
            return np.where(pairs > 7, pairs - 16, pairs).reshape(shape)
        wanted = elements * np.dtype(dtype).itemsize
        if data.nbytes != wanted:
            raise FileFormatError(str(self.file), f"{data.nbytes} bytes in {self.name(index)}", f"{wanted}")
        return data.view(dtype).reshape(shape)

    def values(self, index: int) -> NDArray[np.float32]:
        """(q - zero point) x scale, per tensor or along the quantized axis; floats as they are."""
        stored = self.raw(index).astype(np.float32)
        quantization = self.tensor(index).Quantization()
        if quantization is None or quantization.ScaleLength() == 0:
            return stored
        scale = np.array([quantization.Scale(i) for i in range(quantization.ScaleLength())], np.float32)
        zeros = [quantization.ZeroPoint(i) for i in range(quantization.ZeroPointLength())] or [0]
        zero = np.array(zeros, np.float32)
        wide = [1] * stored.ndim
        if len(scale) > 1:
            axis = quantization.QuantizedDimension()
            if not 0 <= axis < stored.ndim or stored.shape[axis] != len(scale):
                raise FileFormatError(str(self.file), f"{len(scale)} scales for {stored.shape}", "one per channel")
            wide[axis] = len(scale)
        return (stored - (zero.reshape(wide) if len(zero) == len(scale) else zero[0])) * scale.reshape(wide)

    def bind(self, index: int, shape: tuple[int, ...], turn: Callable[[NDArray], NDArray] = lambda v: v) -> str:
        """A parameter of the Graph, its values read when first asked for."""
        name = self.name(index)
        if name not in self.parameters:
            self.raw(index)  # sizes are checked now, values are made later
            self.parameters[name] = Parameter(shape, self.bits(index), lambda: turn(self.values(index)).reshape(shape))
        return name

    def add(
        self, call: Call, op: str, sources: Sequence[str], parameters: Mapping[str, str] | None = None,
        attributes: Mapping[str, AttributeValue] | None = None, *, index: int | None = None, activation: int = 0,
        suffix: str = "",
    ) -> str:  # fmt: skip
        """Append a node that writes tensor `index` (default: the first output), and a fused activation behind it."""
        index = call.outputs[0] if index is None else index
        output, fused = self.name(index), ACTIVATIONS.get(activation)
        written = f"{output}.before" if fused else output
        for source in sources:
            if source not in self.tensors:
                raise call.wrong(f"no tensor {source!r} before it", "operators in an order in which they can run")
        specs = tuple(self.tensors[source] for source in sources)
        name = f"{call.kind.lower()}_{call.place}" + (f".{suffix}" if suffix else "")
        node = Node(name, op, tuple(sources), written, parameters or {}, attributes or {})
        shape = infer_output(node, specs, {role: self.parameters[n] for role, n in node.parameters.items()})
        if shape != self.shape(index) and prod(shape) != prod(self.shape(index)):
            raise call.wrong(f"an output of shape {self.shape(index)}", f"{shape}")
        self.tensors[written] = TensorSpec(shape, self.bits(index))
        self.nodes.append(node)
        if fused:
            settings: dict[str, AttributeValue] = {"low": -1.0, "high": 1.0} if fused == "clip" else {}
            self.nodes.append(Node(f"{name}.{fused}", fused, (written,), output, {}, settings))
            self.tensors[output] = self.tensors[written]
        return output
