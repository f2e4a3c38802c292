"""Training images moved by a few pixels, and what a fixed network says to each of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from .network import Forward, Parameters
from .state import arrange

__all__ = ["places_of", "shifted", "teacher_logits"]

CHUNK = 1000


def places_of(reach: int) -> int:
    """How many shifts there are of up to `reach` pixels each way; the middle one is none.

    >>> places_of(1)
    9
    """
    return (2 * reach + 1) ** 2


def shifted(images: Tensor, shifts: Tensor, reach: int) -> Tensor:
    """Images [n, c, rows, columns], each moved by its own shift [n], with zeros behind it.

    Shift k takes the window whose corner is at (k // w, k % w) of the image padded by `reach`, w = 2 reach + 1.

    >>> x = torch.arange(4.0).reshape(1, 1, 2, 2)
    >>> shifted(x, torch.tensor([5]), 1).tolist()     # the window one column to the right
    [[[[1.0, 0.0], [3.0, 0.0]]]]
    """
    n, channels, rows, columns = images.shape
    width = columns + 2 * reach
    padded = F.pad(images, (reach, reach, reach, reach)).reshape(n, channels, -1)
    inside = (torch.arange(rows)[:, None] * width + torch.arange(columns)[None]).reshape(-1)
    side = 2 * reach + 1
    corner = torch.div(shifts, side, rounding_mode="floor") * width + shifts % side
    place = (corner[:, None] + inside[None])[:, None].expand(n, channels, -1)
    return padded.gather(2, place).reshape(n, channels, rows, columns)


@torch.no_grad()
def teacher_logits(
    forward: Forward, weights: Parameters, images: Tensor, reach: int, layout: torch.memory_format
) -> Tensor:
    """What a network says to every image under every shift: [shifts, n, classes]."""
    parts = []
    for shift in range(places_of(reach)):
        for start in range(0, len(images), CHUNK):
            chunk = images[start : start + CHUNK]
            moved = shifted(chunk, torch.full((len(chunk),), shift), reach) if reach else chunk
            parts.append(forward(arrange(moved, layout), weights))
    return torch.cat(parts).reshape(places_of(reach), len(images), -1)
