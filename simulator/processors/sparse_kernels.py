"""What a layer's sparse kernels would take: CSR by its fitted class, others by their rate beside the dense kernel.

A kernel for weights of a pattern (n of m, blocks) performs `share` of the products, those whose weight is stored, at
`relative_rate` of the dense kernel's products per second:

    compute = dense compute x share / relative rate          gain = relative rate / share
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..formats import csr_bits, format_sizes, n_of_m_slots
from ..structure import WeightStructure
from ..target_processor import CLASSES, ProcessorTarget, SparseKernel
from ..workload import Workload
from .classes import Kernels
from .irregular import gathered
from .rates import Rates, peak_of, served_shares
from .timing import Device, memory_seconds

__all__ = ["Candidate", "sparse_candidates", "stored_share"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One kernel for every design and layer: where it exists, its class, time, and what it reads.

    `share` of the products are performed: those with a stored weight, padding zeros included.
    """

    format: str
    applies: Flags
    classes: NDArray[np.intp]
    compute_s: Array
    memory_s: Array
    weight_bits: Array
    share: Array

    @property
    def total_s(self) -> Array:
        return np.maximum(self.compute_s, self.memory_s)


def stored_share(structure: WeightStructure, pattern: str) -> float:
    """Weights that format `pattern` stores over all, padding zeros included; infinite where they do not follow it.

    >>> pairs = WeightStructure(2, 8, np.array([0, 1, 5, 6, 8, 9]), "exact")
    >>> stored_share(pairs, "nm2:4"), stored_share(pairs, "nm1:4"), stored_share(pairs, "block2x4")
    (0.5, inf, 1.0)
    """
    sizes = format_sizes(pattern)
    if sizes is None:
        return structure.nonzeros / structure.elements
    kind, first, second = sizes
    if kind == "block":
        return structure.blocks(first, second) * first * second / structure.elements
    stored = n_of_m_slots(structure.rows, structure.columns, structure.kernel, first, second)
    if structure.nonzeros > stored:
        return np.inf
    return stored / structure.elements if structure.largest_group(second) <= first else np.inf


def _shares(workload: Workload, pattern: str, wanted: Flags) -> Array:
    """`stored_share` by design and layer, each mask looked at once."""
    if format_sizes(pattern) is None:
        return workload.density
    shares = np.full(workload.structures.shape, np.inf)
    axes = tuple(range(workload.density.ndim - shares.ndim))
    sparse = np.broadcast_to(wanted & (workload.density.min(axis=axes) < 1), shares.shape)
    seen: dict[int, float] = {}
    for place in zip(*np.nonzero(sparse), strict=True):
        make: Any = workload.structures[place]
        if make is not None:
            if id(make) not in seen:
                seen[id(make)] = stored_share(make(), pattern)
            shares[place] = seen[id(make)]
    return np.where(workload.density < 1, shares, np.inf)


def _bits(workload: Workload, pattern: str, share: Array, value_bits: Array, index_bits: int) -> Array:
    """Stored values, and an index for each non-zero, each pair in its group, or each block with a pointer a row."""
    stored = np.where(np.isfinite(share), share, 0.0) * workload.weight_elements
    sizes = format_sizes(pattern)
    if sizes is None:
        bits = csr_bits(workload.weight_rows, workload.weight_nonzeros, value_bits, index_bits, index_bits)
    elif sizes[0] == "nm":
        bits = stored * (value_bits + np.ceil(np.log2(sizes[2])))
    else:
        rows = np.ceil(workload.weight_rows / sizes[1]) + 1
        bits = stored * value_bits + (stored / (sizes[1] * sizes[2]) + rows) * index_bits
    return bits + workload.bias_bits


def sparse_candidates(
    workload: Workload, kernels: Kernels, target: ProcessorTarget, rates: Rates, device: Device, dense_s: Array,
    value_bits: Array, ran: Sequence[NDArray[np.bool_]], moved: Array, residency: str,
) -> list[Candidate]:  # fmt: skip
    """Every sparse kernel of the target. `dense_s` are the dense kernel's seconds of arithmetic, `ran[p]` where
    precision p of `rates.precisions_of` runs, `moved` the bits of activations."""
    found = []
    if "csr" in target.executes:
        found.append(_csr(workload, kernels, target, rates, device, value_bits, moved, residency))
    names = target.precision_names
    for kernel in target.sparse_kernels:
        precise = np.any([where for name, where in zip(names, ran, strict=True) if name in kernel.precisions], axis=0)
        found.append(
            _patterned(workload, kernels, target, kernel, rates, device, dense_s, value_bits, precise, moved, residency)
        )
    return found


def _csr(
    workload: Workload, kernels: Kernels, target: ProcessorTarget, rates: Rates, device: Device, value_bits: Array,
    moved: Array, residency: str,
) -> Candidate:  # fmt: skip
    """Products at the low rate of their class, matrix entries with their indices."""
    place = np.where(kernels.m > 1, CLASSES.index("csr_mm"), CLASSES.index("csr_mv"))
    bits = _bits(workload, "csr", workload.density, value_bits, target.index_bits)
    cached = served_shares(device, rates, bits, moved, residency)
    place = np.broadcast_to(place, bits.shape)
    memory = memory_seconds(place, bits, moved, cached, device, rates.table)
    rate = peak_of(target, target.precision, False) * rates.table.efficiency[place]
    applies = kernels.is_class("gemm", "gemv") & (workload.weight_elements > 0)
    effort = gathered(kernels.m, kernels.n, kernels.k, workload.density, device.units, device.cache_bits,
                      rates.table.parameters)  # fmt: skip
    compute = workload.macs * workload.density * effort / rate
    return Candidate("csr", applies, place, compute, memory, bits, workload.density)


def _patterned(
    workload: Workload, kernels: Kernels, target: ProcessorTarget, kernel: SparseKernel, rates: Rates, device: Device,
    dense_s: Array, value_bits: Array, precise: Flags, moved: Array, residency: str,
) -> Candidate:  # fmt: skip
    """The dense kernel's time by what is stored, its class otherwise."""
    wanted = kernels.is_class(*kernel.kernels) & (workload.weight_elements > 0)
    share = _shares(workload, kernel.format, wanted)
    applies = wanted & precise & np.isfinite(share)
    kept = np.where(np.isfinite(share), share, 1.0)
    bits = _bits(workload, kernel.format, share, value_bits, target.index_bits)
    cached = served_shares(device, rates, bits, moved, residency)
    place = np.broadcast_to(kernels.place, np.broadcast_shapes(bits.shape, moved.shape))
    memory = memory_seconds(place, bits, moved, cached, device, rates.table)
    return Candidate(
        kernel.format, applies, place, dense_s * kept / kernel.relative_rate.value, memory, bits, kept
    )
