"""A data set that a small network learns in a few steps, for tests of whole compression runs."""

from __future__ import annotations

import numpy as np

from picojoule.models.compress.dataset import Data
from picojoule.models.data.mnist import Split


def blobs(n: int, part: str, seed: int) -> Split:
    """Four classes: a bright square in one of the corners, under noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, n)
    images = random.uniform(0, 0.6, (n, 1, 12, 12)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        row, column = 6 * (label // 2), 6 * (label % 2)
        image[0, row + 1 : row + 5, column + 1 : column + 5] += 0.8
    return Split("blobs", part, images, labels)


DATA = Data(blobs(160, "train", 1), blobs(40, "validation", 2), blobs(80, "test", 3))
