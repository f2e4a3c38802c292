"""What irregular access costs kernels on GPUs: sparse matrices times dense ones, and matrices of odd width.

    CSR x dense, work per non-zero = s(d) (1 + R U / rows) (1 + O / C)^p
    s(d) = (1 - (1 - d)^8) / (8 d)

A non-zero fetches a value of every column of the dense operand, which cuSPARSE keeps column by column: a 32-byte
sector each, shared by the non-zeros of the same row within 8 places (Bernoulli of density d). Few rows leave some of
the U units idle, and the operand's O bits leave the cache's C bits (assumption J1).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..target_processor import CLASSES

__all__ = ["gathered", "sectors_per_nonzero", "unaligned"]

Array = NDArray[np.float64]
Value = Array | float
SECTOR_VALUES = 8  # 32 bytes of fp32: what an L2 of NVIDIA's reads at least
LINE_VALUES = 32  # 128 bytes of fp32: what a warp reads at once
VALUE_BITS = 32


def sectors_per_nonzero(density: Array) -> Array:
    """Sectors of 8 values to fetch for each non-zero of a row of this density: 1 where they lie apart, 1/8 dense.

    >>> sectors_per_nonzero(np.array([1.0, 0.25])).round(3).tolist()
    [0.125, 0.45]
    """
    d = np.clip(density, 1e-6, 1.0)
    return (1 - (1 - d) ** SECTOR_VALUES) / (SECTOR_VALUES * d)


def gathered(
    m: Array, n: Array, k: Array, density: Array, units: Value, cache_bits: Value, parameters: Mapping[str, float]
) -> Array:  # fmt: skip
    """Work per non-zero of an n x k CSR matrix times a k x m dense one, 1 where the family's table has no such term.

    >>> parameters = {"csr_rows_per_unit": 5.0, "csr_operand_power": 1.0}
    >>> one = np.ones(1)
    >>> gathered(8 * one, 50 * one, 8 * one, one, 10.0, 32.0 * 64, parameters).tolist()   # 1/8 x (1 + 1) x (1 + 1)
    [0.5]
    """
    if "csr_rows_per_unit" not in parameters:
        return np.ones_like(density)
    idle = 1 + parameters["csr_rows_per_unit"] * np.asarray(units) / n
    cache = np.maximum(np.asarray(cache_bits), 1.0)
    beyond = (1 + k * m * VALUE_BITS / cache) ** parameters["csr_operand_power"]
    return np.where(m > 1, sectors_per_nonzero(density) * idle * beyond, 1.0)


def unaligned(
    place: NDArray[np.intp], n: Array, few_tiles: NDArray[np.bool_] | bool, parameters: Mapping[str, float]
) -> Array:  # fmt: skip
    """Time of a matrix-vector product over that of one whose columns start at 128 bytes.

    Early libraries keep the outputs of a weight matrix side by side, so that 1000 of them start half way into a line
    and every warp reads one line more (assumption J2).

    >>> gemv = np.array([CLASSES.index("gemv")] * 2)
    >>> unaligned(gemv, np.array([1000.0, 1024.0]), True, {"gemv_unaligned": 0.5}).tolist()
    [2.0, 1.0]
    """
    odd = (place == CLASSES.index("gemv")) & (n % LINE_VALUES > 0) & np.asarray(few_tiles, bool)
    return np.where(odd, 1 / parameters.get("gemv_unaligned", 1.0), 1.0)
