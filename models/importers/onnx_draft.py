"""What the importer knows half-way: one ONNX node as a Call, and the network so far as a Draft."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from ..errors import GraphError
from ..graph import AttributeValue, Graph, Node, Parameter, TensorSpec
from ..ops import infer_output
from .onnx_file import ELEMENT_LIMIT, Constant, FileTensors, integers_of

if TYPE_CHECKING:
    import onnx

__all__ = ["Bound", "Call", "Draft"]

ABSORB_LIMIT = 16  # followers folded into one layer; each nests the reading of its weights once


@dataclass(frozen=True, eq=False)
class Call:
    """One ONNX node. `attributes` holds AttributeProtos by name; the methods check their types."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, onnx.AttributeProto]
    file: str
    opset: int

    @property
    def where(self) -> str:
        return f"{self.file}: node {self.name} ({self.kind})"

    def wrong(self, got: object, wanted: str, next_step: str = "") -> GraphError:
        return GraphError(self.where, got, wanted, next_step)

    def _value(self, name: str, kind: int, field_name: str, wanted: str) -> Any:
        if name not in self.attributes:
            return None
        if self.attributes[name].type != kind:
            raise self.wrong(f"attribute {name} of type {self.attributes[name].type}", wanted)
        return getattr(self.attributes[name], field_name)

    def integer(self, name: str, default: int) -> int:
        value = self._value(name, 2, "i", "a whole number")
        return default if value is None else int(value)

    def real(self, name: str, default: float) -> float:
        value = self._value(name, 1, "f", "a number")
        if value is not None and not isfinite(value):
            raise self.wrong(f"{name} = {value}", "a finite number")
        return default if value is None else float(value)

    def text(self, name: str, default: str) -> str:
        value = self._value(name, 3, "s", "a text")
        return default if value is None else value.decode("utf-8", "replace")

    def integers(self, name: str, count: int | None = None) -> tuple[int, ...] | None:
        """None where absent; `count` values where given."""
        value = self._value(name, 7, "ints", "whole numbers")
        if value is None:
            return None
        if len(value) != (len(value) if count is None else count) or len(value) > 64:
            raise self.wrong(f"{len(value)} values in {name}", f"{count or 'at most 64'} values")
        return tuple(int(item) for item in value)

    def tensor(self, name: str) -> onnx.TensorProto | None:
        return self._value(name, 4, "t", "a tensor")


@dataclass(frozen=True, eq=False)
class Bound:
    """A parameter and the name it would like to have."""

    name: str
    parameter: Parameter


@dataclass(eq=False)
class Draft:
    """The network so far. Converters read tensors from it and append nodes to it.

    `readers` counts who reads each tensor, graph outputs included. `bindings` holds each node's
    parameters by role; they get their final names in `finish`, where a name taken twice is told apart.
    """

    name: str
    files: FileTensors
    readers: Mapping[str, int]
    initializers: Mapping[str, onnx.TensorProto]
    constants: dict[str, Constant] = field(default_factory=dict)
    tensors: dict[str, TensorSpec] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    bindings: dict[str, dict[str, Bound]] = field(default_factory=dict)
    producers: dict[str, str] = field(default_factory=dict)
    absorbed: Counter[str] = field(default_factory=Counter)
    _shared: dict[tuple[str, str], Bound] = field(default_factory=dict)

    def constant(self, tensor: str) -> Constant | None:
        """The constant of that name, or None for an activation."""
        if tensor not in self.constants and tensor in self.initializers:
            self.constants[tensor] = self.files.constant(self.initializers[tensor])
        return self.constants.get(tensor)

    def is_activation(self, call: Call, place: int) -> bool:
        return len(call.inputs) > place and call.inputs[place] in self.tensors

    def activation(self, call: Call, place: int = 0) -> TensorSpec:
        """Spec of an input that depends on the network's inputs."""
        if not self.is_activation(call, place):
            name = call.inputs[place] if len(call.inputs) > place else ""
            if name in self.constants or name in self.initializers:
                raise call.wrong(f"the constant {name!r} as input {place}", "an activation there")
            raise call.wrong(f"no tensor {name!r} as input {place}", "an output of a node that picojoule reads")
        return self.tensors[call.inputs[place]]

    def weight(self, call: Call, place: int, what: str) -> Constant | None:
        """A float constant, or None where the optional input is left out."""
        name = call.inputs[place] if len(call.inputs) > place else ""
        if not name:
            return None
        constant = self.constant(name)
        if constant is None:
            raise call.wrong(f"a {what} {name!r} that is computed", f"a constant {what}", "export with fixed weights")
        if not constant.is_float or constant.elements == 0:
            raise call.wrong(f"{constant.elements} elements of {constant.bits}-bit integers in {name!r}"
                             if not constant.is_float else f"an empty {what} {name!r}", f"a float {what}")  # fmt: skip
        return constant

    def required_weight(self, call: Call, place: int, what: str) -> Constant:
        found = self.weight(call, place, what)
        if found is None:
            raise call.wrong(f"no {what}", f"a {what} as input {place}")
        return found

    def integers(self, call: Call, place: int) -> tuple[int, ...] | None:
        """A small constant of whole numbers, or None where the optional input is left out."""
        name = call.inputs[place] if len(call.inputs) > place else ""
        if not name:
            return None
        constant = self.constant(name)
        if constant is None:
            raise call.wrong(f"{name!r}, which depends on the data", "a constant as input " + str(place))
        return integers_of(constant, call.where)

    def bind(self, tensor: str, constant: Constant, use: str = "") -> Bound:
        """The parameter made of `tensor`; the same one each time it is used in the same way."""
        key = (tensor, use)
        if key not in self._shared:
            self._shared[key] = Bound(constant.name, constant.parameter())
        return self._shared[key]

    def emit(
        self, call: Call, op: str, bindings: Mapping[str, Bound] | None = None,
        attributes: Mapping[str, AttributeValue] | None = None, inputs: int = 1,
    ) -> None:  # fmt: skip
        """Append a node that reads the call's first `inputs` activations and writes its first output."""
        for place in range(inputs):
            self.activation(call, place)
        if not call.outputs or not call.outputs[0]:
            raise call.wrong("no output", "one output")
        self.place(call, op, call.inputs[:inputs], call.outputs[0], bindings, attributes)

    def place(
        self, call: Call, op: str, sources: tuple[str, ...], output: str, bindings: Mapping[str, Bound] | None = None,
        attributes: Mapping[str, AttributeValue] | None = None, *, name: str = "", bits: int | None = None,
    ) -> str:  # fmt: skip
        """Append a node that reads `sources` and writes `output`, which is returned.

        `name` tells apart the nodes of one call; `bits` are the output's (default: as its first input).
        """
        bindings = dict(bindings or {})
        specs = tuple(self.tensors[source] for source in sources)
        name = f"{call.name}.{name}" if name else call.name
        node = Node(name, op, sources, output, dict.fromkeys(bindings, ""), attributes or {})
        shape = infer_output(node, specs, {role: bound.parameter for role, bound in bindings.items()})
        self.define(call, output, TensorSpec(shape, bits or specs[0].bits))
        self.nodes[name], self.bindings[name], self.producers[output] = node, bindings, name
        return output

    def define(self, call: Call, tensor: str, spec: TensorSpec) -> None:
        """Register an activation. Raises GraphError for an empty or absurd one."""
        if any(size < 1 for size in spec.shape) or spec.elements > ELEMENT_LIMIT:
            raise call.wrong(f"an output of shape {spec.shape}", f"positive sizes, at most {ELEMENT_LIMIT} elements")
        self.tensors[tensor] = spec

    def only_feeder(self, tensor: str, ops: tuple[str, ...]) -> Node | None:
        """The node that writes `tensor`, if it is of these kinds and nothing else reads the tensor."""
        node = self.nodes.get(self.producers.get(tensor, ""))
        if node is None or node.op not in ops or self.readers.get(tensor, 0) != 1:
            return None
        return node if self.absorbed[node.name] < ABSORB_LIMIT else None

    def absorb(self, node: Node, call: Call, bindings: Mapping[str, Bound]) -> None:
        """Let `node` also do what `call` does: new parameters, and the call's output as its own."""
        output = call.outputs[0]
        self.define(call, output, self.tensors.pop(node.output))
        del self.producers[node.output]
        self.absorbed[node.name] += 1
        self.producers[output] = node.name
        self.bindings[node.name] = dict(bindings)
        self.nodes[node.name] = replace(node, output=output, parameters=dict.fromkeys(bindings, ""))

    def operands(self, call: Call) -> tuple[tuple[str, ...], dict[str, Bound]]:
        """Activations in order, and the one constant among the inputs as role "operand"."""
        names = tuple(name for name in call.inputs if name)
        sources = tuple(name for name in names if name in self.tensors)
        constants = [name for name in names if name not in self.tensors]
        if not sources or len(constants) > 1:
            raise call.wrong(f"inputs {', '.join(names)}", "activations, and at most one constant")
        bindings = {}
        for name in constants:
            found = self.constant(name)
            if found is None or found.elements == 0:
                raise call.wrong(f"no tensor {name!r}", "an output of a node that picojoule reads")
            bindings["operand"] = self.bind(name, found)
        return sources, bindings

    def finish(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Graph:
        parameters: dict[str, Parameter] = {}
        names: dict[int, str] = {}
        nodes = []
        for node in self.nodes.values():
            roles = {}
            for role, bound in self.bindings[node.name].items():
                key = id(bound.parameter)
                if key not in names:
                    names[key] = _free_name(bound.name, f"{node.name}.{role}", parameters)
                    parameters[names[key]] = bound.parameter
                roles[role] = names[key]
            nodes.append(replace(node, parameters=roles))
        return Graph(self.name, inputs, outputs, tuple(nodes), self.tensors, parameters)


def _free_name(wanted: str, fallback: str, taken: Mapping[str, object]) -> str:
    name, count = wanted or fallback, 1
    while name in taken:
        name = fallback if count == 1 else f"{fallback}_{count}"
        count += 1
    return name
