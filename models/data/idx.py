"""Images and labels from a folder of four IDX files, as MNIST and Fashion-MNIST come; plain or gzipped."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError, InputError
from ..files import read_bytes
from .mnist import Split

__all__ = ["is_idx_folder", "load_idx_part", "read_idx"]

LIMIT_BYTES = 1 << 30  # of one file, unpacked
NAMES = {"train": "train", "test": "t10k"}


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """Bytes of an IDX file with that many axes: magic 0x0800 + axes, a 32-bit size by axis (big-endian), the bytes.

    Raises InputError where there is no such file, FileFormatError for anything else.
    """
    raw = read_bytes(path, limit_bytes=LIMIT_BYTES, what="an IDX file")
    if path.suffix == ".gz":
        try:
            with gzip.open(path) as stream:
                raw = stream.read(LIMIT_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise FileFormatError(str(path), error, "a gzipped IDX file") from error
    start = 4 * (1 + axes)
    sizes = [int(size) for size in np.frombuffer(raw[4:start], ">u4")] if len(raw) >= start else []
    expected = start + int(np.prod(sizes, dtype=object)) if sizes else -1
    if raw[:4] != bytes((0, 0, 8, axes)) or len(raw) != expected:
        got = f"{len(raw)} bytes starting {raw[:4].hex()}"
        raise FileFormatError(str(path), got, f"an IDX file of bytes with {axes} axes")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(sizes)


def _file(folder: Path, stem: str) -> Path:
    found = [path for path in (folder / stem, folder / f"{stem}.gz") if path.is_file()]
    if not found:
        raise InputError(str(folder), f"no {stem} or {stem}.gz", "the four IDX files of train and t10k",
                         "as the package dataset-fashion-mnist has them")  # fmt: skip
    return found[0]


def is_idx_folder(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a folder, and so is read as one of IDX files."""
    return Path(path).is_dir()


def load_idx_part(path: str | os.PathLike[str], part: str) -> Split:
    """All "train" or all "test" images [n, 1, rows, columns] in 0..1 of a folder, after which the data set is named."""
    folder = Path(path)
    images = read_idx(_file(folder, f"{NAMES[part]}-images-idx3-ubyte"), 3)
    labels = read_idx(_file(folder, f"{NAMES[part]}-labels-idx1-ubyte"), 1)
    scaled = images.astype(np.float32)[:, None] / np.float32(255)
    return Split(folder.resolve().name, part, scaled, labels.astype(np.int64))
