"""LSTM, GRU and RNN: both of a cell's matrices as one weight, the last state cut from the sequence of states."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .onnx_draft import Call, Draft
from .onnx_file import Constant

__all__ = ["RECURRENT"]

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _recurrent(draft: Draft, call: Call) -> None:
    """W (directions x gates hidden x features) and R (... x hidden), side by side: gates x (features + hidden)."""
    shape, hidden = draft.activation(call).shape, call.integer("hidden_size", 0)
    if call.integer("layout", 0):
        raise call.wrong("layout 1", "layout 0: sequence x batch x features")
    w, r = draft.required_weight(call, 1, "weight"), draft.required_weight(call, 2, "recurrent weight")
    directions = 2 if call.text("direction", "forward") == "bidirectional" else 1
    rows = GATES[call.kind] * hidden
    if len(shape) != 3 or w.shape != (directions, rows, shape[2]) or r.shape != (directions, rows, hidden):
        raise call.wrong(f"weights {w.shape} and {r.shape} on {shape}", f"{directions} x {rows} x inputs and hidden")
    joined = _joined(w, r, (directions * rows, shape[2] + hidden))
    bindings = {"weight": draft.bind(call.inputs[1], joined, f"with {call.inputs[2]}")}
    bias = draft.weight(call, 3, "bias")
    if bias is not None:
        flat = bias.viewed((bias.elements,), lambda values: values.reshape(-1))
        bindings["bias"] = draft.bind(call.inputs[3], flat, "flat")
    attributes = {"cell": call.kind.lower(), "hidden": hidden, "directions": directions}
    if call.kind == "GRU":
        attributes["linear_before_reset"] = call.integer("linear_before_reset", 0)
    names = (*call.outputs, "", "", "")[:3]
    states = names[0] or f"{call.name}.states"
    draft.place(call, "recurrent", call.inputs[:1], states, bindings, attributes)
    for name in names[1:]:
        if name:
            _last_state(draft, call, states, name)


def _joined(w: Constant, r: Constant, shape: tuple[int, ...]) -> Constant:
    read = r.read
    return w.viewed(shape, lambda values: np.concatenate([values, read()], axis=2).reshape(shape))


def _last_state(draft: Draft, call: Call, states: str, output: str) -> None:
    """The state after the last step; a cell state has the same shape and is counted like it."""
    steps, directions, batch, hidden = draft.tensors[states].shape
    cut = draft.place(call, "slice", (states,), f"{output}.step", name=f"{output}.step",
                      attributes={"starts": (steps - 1,), "ends": (steps,), "axes": (0,)})  # fmt: skip
    draft.place(call, "reshape", (cut,), output, name=output, attributes={"shape": (directions, batch, hidden)})


RECURRENT: Mapping[str, Callable[[Draft, Call], None]] = dict.fromkeys(GATES, _recurrent)
