"""MNIST from its four IDX files, and the split that every setting is chosen on.

The 60,000 training images are divided once, by seed: 5,000 for validation, 55,000 for training.
The 10,000 test images are used to report an error, never to choose a setting.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError, InputError

__all__ = ["DATASETS", "Split", "load_split"]

DATASETS = ("mnist",)
VALIDATION_SIZE = 5_000
SPLIT_SEED = 20160502  # the opening day of ICLR 2016


@dataclass(frozen=True, eq=False)
class Split:
    """Images float32 [n, 1, 28, 28] in 0..1, labels int64 [n]."""

    dataset: str
    name: str
    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def _read_idx(name: str, magic: int) -> NDArray[np.uint8]:
    """An IDX file: big-endian magic number, one 32-bit size per axis, then bytes."""
    raw = gzip.decompress(resources.files(str(__package__)).joinpath(name).read_bytes())
    axes = magic & 0xFF
    header = np.frombuffer(raw, ">u4", 1 + axes)
    if header[0] != magic or len(raw) != header.nbytes + int(np.prod(header[1:], dtype=np.int64)):
        raise FileFormatError(name, f"magic {header[0]}, {len(raw)} bytes", f"an IDX file with magic {magic}")
    return np.frombuffer(raw, np.uint8, offset=header.nbytes).reshape([int(size) for size in header[1:]])


@lru_cache(maxsize=2)
def _read_part(part: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    images = _read_idx(f"{part}-images-idx3-ubyte.gz", 0x803).astype(np.float32) / np.float32(255)
    return images[:, None], _read_idx(f"{part}-labels-idx1-ubyte.gz", 0x801).astype(np.int64)


def load_split(dataset: str, name: str) -> Split:
    """`name` is "train" (55,000), "validation" (5,000) or "test" (10,000)."""
    if dataset not in DATASETS:
        raise InputError("dataset", dataset, f"one of {', '.join(DATASETS)}")
    if name == "test":
        return Split(dataset, name, *_read_part("t10k"))
    if name not in ("train", "validation"):
        raise InputError("split", name, "train, validation or test")
    images, labels = _read_part("train")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    chosen = np.sort(order[:VALIDATION_SIZE] if name == "validation" else order[VALIDATION_SIZE:])
    return Split(dataset, name, images[chosen], labels[chosen])
