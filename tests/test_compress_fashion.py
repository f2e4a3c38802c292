"""A second real task: Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017), as Debian's dataset-fashion-mnist installs it.

PICOJOULE_REQUIRE_FASHION_MNIST=1 turns a missing data set into a failure; PICOJOULE_FASHION_MNIST names its folder.
"""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch")

from picojoule.models.compress.dataset import Data, load_data
from picojoule.models.compress.recipe import Recipe
from picojoule.models.compress.run import compress
from picojoule.models.data.mnist import Split
from picojoule.models.errors import FileFormatError, InputError
from picojoule.models.run import measure_accuracy
from picojoule.models.zoo import build_network

FOLDER = Path(os.environ.get("PICOJOULE_FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))


@pytest.fixture(scope="module")
def fashion() -> Data:
    if not FOLDER.is_dir():
        message = f"no {FOLDER}: install the Debian package dataset-fashion-mnist"
        if os.environ.get("PICOJOULE_REQUIRE_FASHION_MNIST") == "1":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return load_data(FOLDER)


def settings(epochs: int) -> Recipe:
    stage: dict[str, Any] = {"batch_size": 128, "learning_rate": 2e-3}
    tables = {
        "train": {"epochs": epochs, **stage},
        "prune": {"density": {"ip1": 0.08, "ip2": 0.12, "ip3": 0.3}, "gradual_epochs": epochs,
                  "retraining_epochs": epochs, "steps_between_masks": 50, **stage},
        "share": {"bits": {"*": 5}, "epochs": max(1, epochs // 3), "batch_size": 128, "learning_rate": 1e-4},
    }  # fmt: skip
    return msgspec.convert({"name": "fashion", "dataset": str(FOLDER), **tables}, Recipe)


def test_the_data_are_what_their_authors_describe(fashion: Data) -> None:
    """60,000 and 10,000 images of ten classes, as many of each in the test set."""
    assert (len(fashion.train), len(fashion.validation), len(fashion.test)) == (55_000, 5_000, 10_000)
    assert np.bincount(fashion.test.labels).tolist() == [1000] * 10
    assert fashion.test.images.shape[1:] == (1, 28, 28)
    assert fashion.test.images.max() == 1
    assert fashion.test.dataset == "fashion-mnist"


def test_lenet_300_100_compressed_on_half_of_it(fashion: Data, tmp_path: Path) -> None:
    """A dense network of this size is at 10 to 12 % error (the authors' list); one epoch at each stage is near that."""
    train = Split("fashion-mnist", "train", fashion.train.images[::2], fashion.train.labels[::2])
    data = Data(train, fashion.validation, fashion.test)
    made = compress(build_network("lenet-300-100"), settings(1), data=data, output=tmp_path / "x.pico")
    assert made.accuracy is not None
    assert (made.accuracy.dataset, made.accuracy.n) == ("fashion-mnist", 10_000)
    assert measure_accuracy(made.graph, fashion.test).error_pct == pytest.approx(made.accuracy.error_pct, abs=0.02)
    assert made.accuracy.error_pct < 17
    assert made.file_bytes is not None
    assert made.file_bytes < 266_610 * 4 / 30


@pytest.mark.slow
def test_lenet_300_100_compressed_on_all_of_it(fashion: Data) -> None:
    made = compress(build_network("lenet-300-100"), settings(8), data=fashion)
    assert made.accuracy is not None
    dense = float(made.provenance["test_dense_error_pct"])
    assert dense < 12
    assert made.accuracy.error_pct < dense + 1.0


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def make_folder(folder: Path, suffix: str) -> None:
    for part, n in (("train", 24), ("t10k", 5)):
        write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", np.full((n, 2, 3), 51))
        write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", np.arange(n) % 10)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_of_idx_files(suffix: str, tmp_path: Path) -> None:
    make_folder(tmp_path, suffix)
    data = load_data(tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (22, 2, 5)
    assert data.validation.labels.tolist() == [1, 3]
    assert data.train.images.shape == (22, 1, 2, 3)
    assert float(data.train.images.min()) == pytest.approx(0.2)


def test_damaged_idx_files_are_refused(tmp_path: Path) -> None:
    make_folder(tmp_path, ".gz")
    file = tmp_path / "t10k-images-idx3-ubyte.gz"
    whole = file.read_bytes()
    for content in (whole[:-9], b"no gzip", gzip.compress(b"\0\0\x08\x03" + bytes(8)), gzip.compress(bytes(50))):
        file.write_bytes(content)
        with pytest.raises(FileFormatError, match="t10k-images-idx3-ubyte"):
            load_data(tmp_path)
    file.unlink()
    with pytest.raises(InputError, match=r"got no t10k-images-idx3-ubyte or t10k-images-idx3-ubyte\.gz"):
        load_data(tmp_path)
