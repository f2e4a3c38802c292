"""Cycles and traffic of Arm Ethos-U microNPUs: blocks, weight streams, memories, weight staging."""

from .blocks import Block, Operation, choose_block
from .cycles import operation_cycles
from .network import LayerCost, run_layers
from .weights import stream_bits

__all__ = ["Block", "LayerCost", "Operation", "choose_block", "operation_cycles", "run_layers", "stream_bits"]
