"""The images a run trains on, chooses by, and is judged by."""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.idx import is_idx_folder, load_idx_part
from ..data.mnist import Split, load_split
from ..errors import FileFormatError, InputError
from ..graph import Graph

__all__ = ["Data", "Samples", "check_data", "data_fingerprint", "load_data", "load_samples"]

INPUT_NAMES, LABEL_NAMES = ("x", "inputs", "images", "test_images"), ("y", "labels", "test_labels")

VALIDATION_SHARE = 12  # one in twelve training images, as for MNIST, where a file brings no validation images


@dataclass(frozen=True, eq=False)
class Data:
    """Three splits that share no image: weights come from the first, settings from the second, the error
    reported from the third."""

    train: Split
    validation: Split
    test: Split


def load_data(source: str | os.PathLike[str]) -> Data:
    """A data set by name ("mnist"), a folder of IDX files such as Fashion-MNIST's, or an `.npz` file of your own.

    The file holds `train_images` [n, channels, rows, columns], `train_labels` [n] (whole numbers from 0), the
    same for `test_`, and optionally for `validation_`; without it every twelfth training image validates.
    Images are floats, or bytes, which are divided by 255. Raises InputError or FileFormatError.
    """
    text = os.fspath(source)
    if is_idx_folder(text):
        return _held_out(load_idx_part(text, "train"), load_idx_part(text, "test"))
    if not text.endswith(".npz"):
        return Data(*(load_split(text, name) for name in ("train", "validation", "test")))
    arrays = _arrays(text)
    name = Path(text).stem
    train, test = _split(text, name, "train", arrays), _split(text, name, "test", arrays)
    if "validation_images" in arrays:
        return Data(train, _split(text, name, "validation", arrays), test)
    return _held_out(train, test)


def _held_out(train: Split, test: Split) -> Data:
    """Every twelfth training image validates."""
    held = np.arange(len(train)) % VALIDATION_SHARE == VALIDATION_SHARE - 1
    return Data(_part(train, "train", ~held), _part(train, "validation", held), test)


def _arrays(text: str) -> dict[str, NDArray]:
    try:
        with Path(text).open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileFormatError(text, error, "an .npz file of plain arrays") from error


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs [n, ...] to measure a network on, and their labels [n] where they are known."""

    name: str
    inputs: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None
    split: str = "given"


def load_samples(path: str | os.PathLike[str], graph: Graph) -> Samples:
    """Samples of an `.npz` file: `x` (or `inputs`, `images`, or its only array), `y` (or `labels`) where given.

    Inputs are floats, or bytes, which are divided by 255. Raises FileFormatError for anything but a file of arrays,
    InputError for arrays that do not fit the network.
    """
    file = os.fspath(path)
    if not file.endswith(".npz"):
        raise InputError("--data", file, "an .npz file", "numpy.savez('data.npz', x=inputs, y=labels)")
    arrays = _arrays(file)
    found = [arrays[name] for name in INPUT_NAMES if name in arrays] or list(arrays.values())[: len(arrays) == 1]
    if not found:
        raise InputError(file, f"arrays {', '.join(arrays) or '(none)'}", "one named x",
                         "numpy.savez('data.npz', x=inputs, y=labels)")  # fmt: skip
    inputs, labels = found[0], next((arrays[name] for name in LABEL_NAMES if name in arrays), None)
    wanted = graph.tensors[graph.inputs[0]].shape[1:]
    if inputs.dtype.kind not in "fu" or inputs.shape[1:] != wanted or not len(inputs):
        got = f"{inputs.dtype} of shape {inputs.shape}"
        raise InputError(f"{file}: inputs", got, f"floats or bytes of shape (n, {', '.join(map(str, wanted))})")
    scaled = inputs.astype(np.float32) * np.float32(1 / 255 if inputs.dtype == np.uint8 else 1)
    if not np.isfinite(scaled).all():
        raise InputError(f"{file}: inputs", "values that are NaN or infinite", "finite values")
    if labels is not None:
        classes = graph.tensors[graph.outputs[0]].shape[-1]
        fits = labels.dtype.kind in "iu" and labels.shape == (len(inputs),)
        if not fits or int(labels.min()) < 0 or int(labels.max()) >= classes:
            raise InputError(f"{file}: labels", f"{labels.dtype} of shape {labels.shape}",
                             f"{len(inputs)} whole numbers from 0 to {classes - 1}")  # fmt: skip
        labels = labels.astype(np.int64)
    return Samples(Path(file).stem, scaled, labels)


def _part(split: Split, part: str, rows: NDArray[np.bool_]) -> Split:
    return Split(split.dataset, part, split.images[rows], split.labels[rows])


def _split(file: str, dataset: str, part: str, arrays: dict[str, NDArray]) -> Split:
    for key in (f"{part}_images", f"{part}_labels"):
        if key not in arrays:
            raise InputError(f"{file}: {key}", "nothing", "an array of that name", f"it has: {', '.join(arrays)}")
    images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
    if images.dtype.kind not in "fu" or labels.dtype.kind not in "iu":
        got = f"{images.dtype} images, {labels.dtype} labels"
        raise InputError(f"{file}: {part}", got, "images of floats or bytes, labels of whole numbers")
    scale = np.float32(1 / 255) if images.dtype == np.uint8 else np.float32(1)
    return Split(dataset, part, images.astype(np.float32) * scale, labels.astype(np.int64))


def check_data(data: Data, graph: Graph) -> None:
    """Raise InputError where a split's images or labels do not fit the network."""
    wanted, classes = graph.tensors[graph.inputs[0]].shape[1:], graph.tensors[graph.outputs[0]].shape[-1]
    for split in (data.train, data.validation, data.test):
        where = f"{split.dataset}, {split.name}"
        if split.images.shape[1:] != wanted or len(split) == 0 or split.labels.shape != (len(split.images),):
            got = f"images {split.images.shape}, labels {split.labels.shape}"
            raise InputError(where, got, f"images [n, {', '.join(map(str, wanted))}], n labels, n at least 1",
                             "data that fit: --data FILE.npz")  # fmt: skip
        if split.labels.min() < 0 or split.labels.max() >= classes:
            raise InputError(f"{where}: labels", f"{split.labels.min()} to {split.labels.max()}", f"0 to {classes - 1}")
        if not np.isfinite(split.images).all():
            raise InputError(f"{where}: images", "values that are NaN or infinite", "finite values")


def data_fingerprint(data: Data) -> str:
    """A hash of every image and label that a run sees."""
    digest = hashlib.blake2b(digest_size=16)
    for split in (data.train, data.validation, data.test):
        digest.update(np.ascontiguousarray(split.images).data)
        digest.update(np.ascontiguousarray(split.labels).data)
    return digest.hexdigest()
