"""Which block of outputs an Ethos-U computes at once, by the rules of its generation."""

from __future__ import annotations

from functools import lru_cache

from ..target_ethos_u import EthosUTarget
from . import blocks_u55, blocks_u85
from .operation import Block, Operation

__all__ = ["choose_block"]


def choose_block(operation: Operation, target: EthosUTarget) -> Block:
    """The block of least traffic per output, as the compiler chooses it.

    Raises InputError where no block fits the internal memories.
    """
    return _choose(operation, _Known(target))


class _Known:
    """A target by identity: its tables cannot be hashed, and blocks are looked up once for each target."""

    def __init__(self, target: EthosUTarget) -> None:
        self.target = target

    def __hash__(self) -> int:
        return id(self.target)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and self.target is other.target


@lru_cache(maxsize=1 << 12)
def _choose(operation: Operation, known: _Known) -> Block:
    family = blocks_u85 if known.target.family == "u85" else blocks_u55
    return family.choose_block(operation, known.target)
