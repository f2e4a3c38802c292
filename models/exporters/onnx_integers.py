"""Integer activations in ONNX: what a node with `input_scale` reads (see `compress.quantize.integer_activations`)."""

from __future__ import annotations

import numpy as np

from ..graph import Node
from ..op_layers import number
from .onnx_nodes import Writer, write_node

__all__ = ["write_rounded"]


def write_rounded(writer: Writer, node: Node) -> None:
    """Append the node, reading scale (clip(round(x / scale) + zero, 0, 2^bits - 1) - zero) for x, its first input.

    8 bits: QuantizeLinear and DequantizeLinear; ONNX has no other width in this opset.
    """
    if "input_scale" not in node.attributes:
        write_node(writer, node)
        return
    scale = writer.constant(node, "input_scale", node.attributes["input_scale"], np.float32)
    bits, zero = number(node, "input_bits", 8), number(node, "input_zero_point", 0)
    if bits == 8:
        point = writer.constant(node, "input_zero_point", zero, np.uint8)
        steps = [("QuantizeLinear", [scale, point]), ("DequantizeLinear", [scale, point])]
    else:
        low, high, point = (
            writer.constant(node, f"input_{name}", value, np.float32)
            for name, value in (("low", 0), ("high", 2**bits - 1), ("zero_point", zero))
        )
        steps = [("Div", [scale]), ("Round", []), ("Add", [point]), ("Clip", [low, high]), ("Sub", [point])]
        steps.append(("Mul", [scale]))
    source = node.inputs[0]
    for place, (kind, extra) in enumerate(steps):
        name = f"{node.name}.input.{place}"
        source = writer.emit(kind, [source, *extra], name, name)
    first = len(writer.nodes)
    write_node(writer, node)
    for written in writer.nodes[first:]:
        for place, name in enumerate(written.input):
            if name == node.inputs[0]:
                written.input[place] = source
