"""Kernel classes: which one a layer is, as the matrix product that it amounts to; the fitted table of a family."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import prod

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...models.loops import LoopBounds
from .. import tables
from ..target_base import Constant, Interval, Name, Struct
from ..target_processor import CLASSES
from ..workload import Workload
from .timing import Shapes

__all__ = ["FamilyTable", "Kernels", "class_of", "family_table", "kernels_of"]

Array = NDArray[np.float64]
FEW_CHANNELS = 4  # a first convolution: pixels in colour or in grey, too few channels to fill a vector
NORMALIZATIONS = (
    "softmax", "batch_normalization", "layer_normalization", "instance_normalization", "group_normalization",
    "local_response_norm", "reduce",
)  # fmt: skip
MOVES = ("transpose", "concat", "slice", "pad", "channel_shuffle", "resize", "move", "identity", "flatten", "reshape")


class FamilyTable(Struct, frozen=True, kw_only=True):
    """What one family of processors makes of its peak and its bandwidth, by kernel class.

    `efficiency` is the share of the peak that a large kernel of the class reaches, `bandwidth` the share of the
    memory bandwidth, `power` the share of (busy - idle) power drawn while it runs; `parameters` as
    `simulator/processors/timing.py` names them.
    """

    efficiency: dict[Name, Constant]
    bandwidth: dict[Name, Constant]
    power: dict[Name, Constant]
    parameters: dict[Name, Constant]
    interval: Interval | None = None

    def column(self, field: str) -> Array:
        """The values of one dict in the order of CLASSES; "other" stands for classes it does not name."""
        values: dict[str, Constant] = getattr(self, field)
        return np.array([values.get(name, values["other"]).value for name in CLASSES])


class _Tables(Struct, frozen=True):
    schema: int
    sources: dict[str, str]
    cpu: FamilyTable
    gpu: FamilyTable
    mobile: FamilyTable
    mcu: FamilyTable
    npu: FamilyTable


@cache
def _tables() -> _Tables:
    text = resources.files(tables).joinpath("processor_classes.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), _Tables)


def family_table(family: str) -> FamilyTable:
    """The fitted table of "cpu", "gpu", "mobile", "mcu" or "npu".

    >>> 0 < family_table("gpu").efficiency["gemm"].value <= 1
    True
    """
    return getattr(_tables(), family)


def class_of(kind: str, bounds: LoopBounds | None, has_table: bool = False) -> str:
    """The kernel class of a layer.

    >>> class_of("conv", LoopBounds(N=1, K=64, C=3, P=112, Q=112, R=7, S=7, stride=(2, 2)))
    'conv_first'
    >>> class_of("conv", LoopBounds(N=1, K=64, C=1, P=56, Q=56, R=3, S=3, groups=64))
    'conv_depthwise'
    """
    if kind in ("conv", "conv_transpose") and bounds is not None:
        if bounds.groups > 1:
            return "conv_depthwise" if bounds.C == 1 else "conv_grouped"
        if bounds.C <= FEW_CHANNELS:
            return "conv_first"
        return "conv_pointwise" if bounds.R * bounds.S == 1 else "conv"
    if kind == "gemm" and bounds is not None:
        return "gemv" if bounds.N == 1 else "gemm"
    if kind in ("matmul", "einsum"):
        return "attention"
    if kind == "recurrent":
        return "recurrent"
    if kind.endswith("pool"):
        return "pooling"
    if kind == "gather":
        return "embedding" if has_table else "move"
    if kind in NORMALIZATIONS:
        return "normalization"
    return "move" if kind in MOVES else "elementwise"


@dataclass(frozen=True, eq=False)
class Kernels:
    """Every layer as `groups` products of an m x k and a k x n matrix, and its class; shape [layers].

    Convolutions as their runtimes lower them: m = batch x output pixels, n = output channels and k = input channels
    x window of one group. `winograd` marks 3 x 3 windows of stride 1.
    """

    names: tuple[str, ...]
    place: NDArray[np.intp]
    m: Array
    n: Array
    k: Array
    groups: Array
    winograd: NDArray[np.bool_]

    def shapes(self, workload: Workload) -> Shapes:
        """What the timing functions take; a layer without products works through its inputs."""
        work = np.where(workload.macs > 0, workload.macs, workload.input_elements)
        return Shapes(self.place, self.m, self.n, self.k, self.groups, work, self.winograd)

    def is_class(self, *names: str) -> NDArray[np.bool_]:
        return np.isin(self.names, names)


def kernels_of(workload: Workload) -> Kernels:
    """The kernel of every layer."""
    classes, sizes, winograd = [], [], []
    for place, kind in enumerate(workload.kinds):
        bounds = workload.bounds[place]
        if bounds is not None and kind == "gemm":  # batch 2 of a vector is a matrix
            bounds = LoopBounds(N=bounds.N * workload.repeats, K=bounds.K, C=bounds.C)
            classes.append(class_of(kind, bounds))
            sizes.append((bounds.N, bounds.K, bounds.C, 1))
        elif bounds is not None:
            classes.append(class_of(kind, bounds))
            pixels = bounds.N * workload.repeats * bounds.P * bounds.Q
            sizes.append((pixels, bounds.K // bounds.groups, bounds.C * bounds.R * bounds.S, bounds.groups))
        else:
            classes.append(class_of(kind, None, bool(workload.table_elements[place])))
            sizes.append((1, 1, 1, 1))
        winograd.append(
            bounds is not None and (bounds.R, bounds.S, bounds.groups) == (3, 3, 1) and prod(bounds.stride) == 1
            and prod(bounds.dilation) == 1 and classes[-1] == "conv"
        )  # fmt: skip
    m, n, k, groups = np.array(sizes, float).T
    place_of = np.array([CLASSES.index(name) for name in classes])
    return Kernels(tuple(classes), place_of, m, n, k, groups, np.array(winograd, bool))
