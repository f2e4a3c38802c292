"""Pruning for the fewest coded bits: what each weight costs in `context`'s mask, and the masks that fit a budget.

A weight stays where what it is worth, per bit, is largest: |w| sqrt(g^2) / sqrt(bits), with g^2 the running mean of its
squared gradients (its square is the increase of the loss that Optimal Brain Damage, LeCun et al. 1990, predicts, with
the Fisher information in place of the second derivative), and bits what its one costs in place of a zero, by the row
and the column that it lies in, plus its value. So rows and columns that are used already are cheaper, and weights
gather there: entropy as a pressure on the mask. All layers compete for one budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..graph import Graph
from .channels import find_channels
from .prune import known_values

__all__ = ["HiddenUnits", "choose_masks", "drop_dead_units", "hidden_units", "image_width", "mask_costs", "sort_units"]

Floats = NDArray[np.float32]
Masks = Mapping[str, Floats]

VALUE_BITS = 3.2  # of a non-zero's value, about what a trained codebook of 8 to 16 values comes to
LEAST_BITS = 1.0
SMOOTHING = 0.2  # ones added to each row and column: none is impossible
PROBABILITIES = (1e-4, 0.5)  # above one half a one is no cheaper: early masks are nearly full
TINY = 1e-12


def mask_costs(mask: Floats, image: int = 0) -> tuple[Floats, Floats]:
    """Bits of a one and of a zero at each place of a mask [outputs, ...] of 0 and 1, both of its shape.

    p = (r + 0.2) (c + 0.2) / (n + 1), from the ones in its row, in its column and in all; one row alone: n / elements.
    `image`: the columns are pixels of an image that wide, and c is the mean of the column's and its four neighbours'.

    >>> ones, zeros = mask_costs(np.eye(4, dtype=np.float32))
    >>> round(float(ones[0, 0]), 2), round(float(zeros[0, 0]), 2)
    (1.8, 0.49)
    """
    matrix = mask.reshape(len(mask), -1) if mask.ndim > 1 else mask[None]
    total = float(matrix.sum())
    if len(matrix) == 1:
        p = np.full(matrix.shape, (total + 0.5) / (matrix.size + 1), np.float32)
    else:
        columns = matrix.sum(axis=0)
        if image:
            grid = np.pad(columns.reshape(-1, image), 1)
            around = grid[:-2, 1:-1] + grid[2:, 1:-1] + grid[1:-1, :-2] + grid[1:-1, 2:]
            columns = (columns + around.ravel() / 4) / 2
        p = np.outer(matrix.sum(axis=1) + SMOOTHING, columns + SMOOTHING).astype(np.float32) / (total + 1)
    p = np.clip(p, *PROBABILITIES).reshape(mask.shape)
    return -np.log2(p), -np.log2(1 - p)


def choose_masks(
    weights: Masks, curvature: Masks, masks: Masks, budget_bits: float, image: Mapping[str, int]
) -> dict[str, Floats]:
    """New masks whose zeros, ones and values cost at most `budget_bits`, at the prices of the masks before.

    `curvature` has each weight's mean squared gradient. `image` as `image_width` gives it. Ties keep the first.
    """
    prices = {name: mask_costs(mask, image.get(name, 0)) for name, mask in masks.items()}
    base = sum(float(zeros.sum(dtype=np.float64)) for _, zeros in prices.values())
    cost = np.concatenate([np.maximum(one - zero + VALUE_BITS, LEAST_BITS).ravel() for one, zero in prices.values()])
    worth = np.concatenate([(np.abs(weights[n]) * np.sqrt(curvature[n] + TINY)).ravel() for n in masks])
    order = np.argsort(-worth / np.sqrt(cost), kind="stable")
    fits = np.cumsum(cost[order], dtype=np.float64) + base <= budget_bits
    keep = np.zeros(len(cost), np.float32)
    keep[order[fits]] = 1
    keep[worth == 0] = 0
    found, start = {}, 0
    for name, mask in masks.items():
        found[name] = keep[start : start + mask.size].reshape(mask.shape)
        start += mask.size
    return found


def image_width(graph: Graph) -> dict[str, int]:
    """By weight name: the width of the one-channel image whose pixels are the columns of a fully connected layer.

    >>> from ..zoo import build_network
    >>> image_width(build_network("lenet-300-100"))
    {'ip1.weight': 28}
    """
    found = {}
    shape = graph.tensors[graph.inputs[0]].shape
    flat = {node.output for node in graph if node.op == "flatten" and node.inputs[0] in graph.inputs}
    for node in graph:
        if node.op == "gemm" and node.inputs[0] in {graph.inputs[0], *flat} and len(shape) == 4 and shape[1] == 1:
            found[node.parameters["weight"]] = shape[3]
    return found


@dataclass(frozen=True)
class HiddenUnits:
    """Units made by one layer and read by one other: names of the tensors, and columns of the reader for each unit."""

    layer: str
    made: str
    bias: str | None
    read: str


def hidden_units(graph: Graph) -> tuple[HiddenUnits, ...]:
    """The units that may be renumbered or left dead without the network noticing.

    >>> from ..zoo import build_network
    >>> [(u.layer, u.read) for u in hidden_units(build_network("lenet-5"))]
    [('conv1', 'conv2.weight'), ('conv2', 'ip1.weight'), ('ip1', 'ip2.weight')]
    """
    channels = find_channels(graph)
    nodes = {node.name: node for node in graph}
    found = []
    for group in channels.groups():
        if group.fixed or len(group.producers) != 1:
            continue
        maker = nodes[group.producers[0]]
        root = channels.root(channels.producers[maker.name])
        readers = [
            node for node in graph
            if "weight" in node.parameters and node.inputs[0] in channels.layouts
            and root in {channels.root(s) for s in channels.layouts[node.inputs[0]].segments}
        ]  # fmt: skip
        if len(readers) == 1 and len(channels.layouts[readers[0].inputs[0]].segments) == 1:
            weight = maker.parameters["weight"]
            found.append(HiddenUnits(maker.name, weight, maker.parameters.get("bias"), readers[0].parameters["weight"]))
    return tuple(found)


def _by_unit(reader: Floats, units: int) -> Floats:
    """A reader's weights as [outputs, units, rest]."""
    return reader.reshape(len(reader), units, -1)


def drop_dead_units(masks: dict[str, Floats], units: tuple[HiddenUnits, ...]) -> None:
    """Set to 0, in place, what a unit without weights on one side has on the other, until nothing changes.

    A unit that reads nothing but has a bias is a constant; it goes too.
    """
    for _ in range(len(units)):
        for unit in units:
            made, read = masks[unit.made], _by_unit(masks[unit.read], len(masks[unit.made]))
            live = np.asarray(made.reshape(len(made), -1).any(axis=1) & read.any(axis=(0, 2)), np.float32)
            made *= live.reshape(-1, *(1,) * (made.ndim - 1))
            read *= live[None, :, None]
            if unit.bias in masks:
                masks[unit.bias] *= live


def sort_units(graph: Graph) -> Graph:
    """The same function with the units of every hidden layer in falling order of their non-zero weights.

    A network with n hidden units has n! such twins; the order says nothing, and a coder that expects the sorted one
    saves up to log2(n!) bits. Ties: falling non-zeros in the reader, then the old order. Raises InputError without
    weights.
    """
    values = {name: known_values(graph, name) for name in graph.parameters}
    for unit in hidden_units(graph):
        made, read = values[unit.made], values[unit.read]
        inward = np.count_nonzero(made.reshape(len(made), -1), axis=1)
        by_unit = _by_unit(read, len(made))
        order = np.lexsort((-np.count_nonzero(by_unit, axis=(0, 2)), -inward))
        values[unit.made] = made[order]
        values[unit.read] = by_unit[:, order].reshape(read.shape)
        if unit.bias is not None:
            values[unit.bias] = values[unit.bias][order]
    return graph.with_parameters(values)
