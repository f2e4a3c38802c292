"""The loop nest of an accelerator: blocks of loops, where each level's storage lies between them, who keeps what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..accelerator import OPERANDS, AcceleratorTarget

__all__ = ["Block", "Hierarchy", "make_hierarchy"]


@dataclass(frozen=True)
class Block:
    """Loops that stand together: temporal (a level's own, or between an array's axes) or spatial (an axis)."""

    name: str
    spatial: bool
    size: int = 0  # of the mesh along this axis
    multicast: str = "any"
    halo: bool = False
    reduces: bool = True
    array: int = -1


@dataclass(frozen=True)
class Hierarchy:
    """`blocks` outermost first; level l's storage lies just outside block `place[l]`.

    `keepers[o]`: the levels that hold operand o (weight, input, output), outermost first; 0 among them.
    """

    blocks: tuple[Block, ...]
    levels: tuple[str, ...]
    place: tuple[int, ...]
    keepers: tuple[tuple[int, ...], ...]

    @property
    def spatial(self) -> tuple[int, ...]:
        return tuple(b for b, block in enumerate(self.blocks) if block.spatial)

    def pairs(self, operand: int) -> tuple[tuple[int, int], ...]:
        """(level, next level inside that keeps the operand); the last one feeds the MACs, written as -1."""
        kept = self.keepers[operand]
        return tuple(zip(kept, (*kept[1:], -1), strict=True))

    def buses(self) -> tuple[tuple[int, int, int, int, int], ...]:
        """(array, operand, level, child, level just outside) of every operand that crosses an array's network."""
        found = []
        for b, block in enumerate(self.blocks):
            if not block.spatial or not block.name.endswith("_x"):
                continue
            outside = sum(place < b for place in self.place) - 1
            for operand in range(len(self.keepers)):
                for level, child in self.pairs(operand):
                    if self.place[level] < b < (self.place[child] if child >= 0 else len(self.blocks)):
                        found.append((block.array, operand, level, child, outside))
        return tuple(found)

    def bus_name(self, array: int, operand: int) -> str:
        """How the cycles of an operand's bus are called.

        >>> Hierarchy((Block("pe_x", True, 4, array=0),), ("dram",), (0,), ((0,),)).bus_name(0, 1)
        'pe input bus'
        """
        name = next(block.name for block in self.blocks if block.array == array).rpartition("_")[0]
        return f"{name} {OPERANDS[operand]} bus"

    def without(self, skipped: Sequence[tuple[str, str]]) -> Hierarchy:
        """The same with operands bypassing levels: (level, operand) by name."""
        gone = {(self.levels.index(level), OPERANDS.index(operand)) for level, operand in skipped}
        kept = tuple(tuple(one for one in self.keepers[o] if (one, o) not in gone) for o in range(3))
        return replace(self, keepers=kept)


def make_hierarchy(target: AcceleratorTarget) -> Hierarchy:
    """The nest of a target, blocks named as mapping files name them.

    >>> from ..accelerator import AcceleratorTarget
    >>> from ..target import parse_target, target_template
    >>> target = parse_target(target_template("mine.toml", "accelerator").encode(), "mine.toml")
    >>> [block.name for block in make_hierarchy(target).blocks]
    ['dram', 'buffer', 'pe_x', 'pe_between', 'pe_y', 'registers']
    """
    blocks, place = [], []
    for name, kind, number in target.blocks:
        if kind == "temporal":
            place.append(len(blocks))
            blocks.append(Block(name, False))
        elif kind == "between":
            blocks.append(Block(name, False, array=number))
        else:
            array, axis = target.arrays[number], name[-1]
            size = array.x if axis == "x" else array.y
            words = array.halo == "words"
            blocks.append(Block(name, True, size, array.multicast, words, axis in array.reduce, number))
    kept = tuple(tuple(i for i, level in enumerate(target.levels) if o in level.keeps) for o in OPERANDS)
    return Hierarchy(tuple(blocks), tuple(level.name for level in target.levels), tuple(place), kept)
