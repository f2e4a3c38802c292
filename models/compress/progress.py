"""How a long run tells what it is doing, without printing."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "silent"]


class Progress(Protocol):
    """Called after each step of a run: the stage's name, steps done and steps in all.

    `total` is known from the first call and stays the same, so that a time left can be told;
    a resumed run starts at the step where it goes on.
    """

    def __call__(self, stage: str, step: int, total: int) -> None: ...


def silent(stage: str, step: int, total: int) -> None:
    """Says nothing."""
