"""Cycles and traffic of Arm Ethos-U microNPUs: blocks, weight streams, memories, weight staging."""

from .blocks import choose_block
from .layer_cost import LayerCost
from .network import run_layers
from .operation import Block, Operation
from .weights import stream_bits

__all__ = ["Block", "LayerCost", "Operation", "choose_block", "run_layers", "stream_bits"]
