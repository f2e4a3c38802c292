"""Data sets that ship inside the package."""

from .mnist import DATASETS, Split, load_split

__all__ = ["DATASETS", "Split", "load_split"]
