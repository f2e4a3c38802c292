"""Reading back what `explore` wrote."""

from __future__ import annotations

from pathlib import Path

from ...models.errors import InputError
from .run import Exploration
from .store import read_points, read_stored_study

__all__ = ["read_exploration"]


def read_exploration(path: str) -> Exploration:
    """The Exploration in a folder that `explore` filled. Raises InputError for another folder."""
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(path, "no folder", "a folder written by picojoule explore", "picojoule explore MODEL -o DIR")
    return Exploration(read_stored_study(folder), read_points(folder))
