"""A network's layers as an Ethos-U runs them: operations, what feeds them, which weights are 2:4."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from ...models.loops import LoopBounds
from ..ethos_u.operation import Operation
from ..sources import NETWORK_INPUT
from ..sparse import detect_n_of_m
from ..structure import WeightStructure
from ..target import EthosUTarget
from ..workload import Workload

__all__ = ["fed_by", "operation_of"]

POOLS = {"max_pool": "max_pool", "average_pool": "pool", "global_average_pool": "pool", "global_max_pool": "max_pool"}
ELEMENTWISE = ("add", "multiply", "binary")
MOVES = ("concat", "slice", "pad")


def _chw(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(height, width, depth) of one image of a batch x channels x spatial tensor, or of a batch of rows."""
    if len(shape) >= 4:
        return int(np.prod(shape[2:-1])), shape[-1], shape[1]
    if len(shape) == 3:
        return 1, shape[1], shape[2]
    return 1, 1, int(np.prod(shape[1:])) if len(shape) > 1 else 1


def operation_of(
    workload: Workload,
    place: int,
    structure: Callable[[], WeightStructure] | None,
    target: EthosUTarget,
    before: Operation | None,
) -> Operation | None:
    """The Operation of one layer, or None where no rule covers its kind; `before`: the one that feeds it."""
    kind, bounds = workload.kinds[place], cast("LoopBounds | None", workload.bounds[place])
    given, made = _chw(workload.input_shapes[place]), _chw(workload.output_shapes[place])
    if kind == "gemm" and bounds is not None:
        rows = bounds.N
        flat = before is not None and rows == 1 and np.prod(before.outputs) == bounds.C
        area = int(np.prod(before.outputs[:2])) if flat and before is not None else 1
        sparse = target.sparse_2_of_4 and structure is not None and _two_of_four(structure(), bounds, area)
        return Operation("gemm", (1, rows, bounds.C), (1, rows, bounds.K), activation=False, sparse=sparse)
    if kind == "conv" and bounds is not None:
        deep = bounds.groups > 1
        if deep and bounds.C > 1:
            return None
        sparse = target.sparse_2_of_4 and not deep and structure is not None and _two_of_four(structure(), bounds)
        return Operation("depthwise" if deep else "conv", given, made, (bounds.R, bounds.S), bounds.stride,
                         bounds.dilation, sparse=sparse)  # fmt: skip
    if kind in POOLS:
        whole = tuple(max(1, round(a / b)) for a, b in zip(given[:2], made[:2], strict=True))
        window, strides = (workload.windows[place] if workload.windows else None) or (whole, whole)
        return Operation(POOLS[kind], given, made, window, strides, activation=False)  # type: ignore[arg-type]
    if kind in ELEMENTWISE or kind in MOVES:
        return Operation("copy" if kind in MOVES else "elementwise", made, made, activation=False)
    return None


def _two_of_four(structure: WeightStructure, bounds: LoopBounds, area: int = 1) -> bool:
    """Whether the mask has at most two non-zeros in every four input channels.

    `area`: pixels of the feature map that a fully connected layer flattens; the NPU stores it channels last.
    """
    if bounds.C % (4 * area) or structure.nonzeros > structure.elements // 2:
        return False
    mask = np.zeros(structure.elements, bool)
    mask[structure.positions] = True
    return detect_n_of_m(mask.reshape(-1, bounds.C // area, bounds.R * area, bounds.S), 4).n <= 2


def fed_by(workload: Workload, places: list[int], place: int) -> tuple[int, ...]:
    """The operations that make what layer `place` reads, by their place in `places`; -1 for the network's input."""
    found: list[int] = []
    for source in workload.sources[place] if workload.sources else (place - 1,):
        if source in places:
            found.append(places.index(source))
        elif source >= 0:  # a layer that does not run: what it would have read
            found.extend(fed_by(workload, places, source))
        else:
            found.append(NETWORK_INPUT)
    return tuple(dict.fromkeys(found))
