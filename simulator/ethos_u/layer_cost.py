"""What one layer costs on an Ethos-U."""

from __future__ import annotations

from dataclasses import dataclass

from .operation import Block, Operation

__all__ = ["LayerCost", "Moved"]

Moved = dict[str, dict[str, tuple[float, float]]]


@dataclass(frozen=True)
class LayerCost:
    """`npu_cycles` with visible weight transfers; `memory_cycles` and traffic in bytes by memory.

    `moved[memory][operand]` = (read, written); the layer takes the largest of all cycles, after `copy`, which brings
    the network's input into the staging memory. A sum that the output stage
    of the layer before it computes has no `block` and takes no cycles of its own.
    """

    operation: Operation
    block: Block | None
    npu_cycles: float
    memory_cycles: dict[str, float]
    moved: Moved
    slices: tuple[int, ...]
    weight_bytes: float
    copy: LayerCost | None = None

    @property
    def cycles(self) -> float:
        """Of the layer and of the copy before it."""
        return max(self.npu_cycles, *self.memory_cycles.values(), 0.0) + (self.copy.cycles if self.copy else 0.0)

    @property
    def all_npu_cycles(self) -> float:
        """Cycles of the NPU, the copy's among them."""
        return self.npu_cycles + (self.copy.npu_cycles if self.copy else 0.0)

    def moved_by(self, memory: str, operand: str) -> tuple[float, float]:
        """(read, written) bytes, the copy's among them."""
        read, write = self.moved.get(memory, {}).get(operand, (0.0, 0.0))
        more = self.copy.moved_by(memory, operand) if self.copy else (0.0, 0.0)
        return read + more[0], write + more[1]

    @property
    def bound_by(self) -> str:
        slowest = max(self.memory_cycles, key=lambda name: self.memory_cycles[name], default="")
        return slowest if slowest and self.memory_cycles[slowest] > self.npu_cycles else "compute"
