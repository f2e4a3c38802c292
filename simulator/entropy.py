"""Predicted size of `context`, the range-coded format, from entropies alone; written apart from its encoder.

**Mask.** With r ones in a row, c in a column and n in all, a place holds a one with probability p = min(1, r c / n);
the mask costs the sum of H(p) = -p log2 p - (1 - p) log2 (1 - p), and what an adaptive coder pays to learn a number k
of a row or column: log2(k + 1) / 2 + 1 bits (Krichevsky and Trofimov, IEEE Trans. Inf. Theory 27, 1981).
**Values.** nonzeros x H(codes), and log2(n) / 2 bits for each code in use, where the codes are known.

Held to real streams in tests: within 12 % and 40 bytes on random masks of uneven rows and columns; on trained weights,
whose neighbours resemble each other, the real stream is up to a quarter shorter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .structure import WeightStructure

__all__ = ["context_bits", "entropy_bits"]


def entropy_bits(histogram: NDArray[np.int64]) -> float:
    """n H of counts: sum of count * log2(n / count).

    >>> entropy_bits(np.array([2, 1, 1, 0]))
    6.0
    """
    counts = histogram[histogram > 0].astype(float)
    return float((counts * np.log2(counts.sum() / counts)).sum()) if len(counts) else 0.0


def _binary_entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(p, 1e-300, 1 - 1e-16)
    return np.where((p > 0) & (p < 1), -inside * np.log2(inside) - (1 - inside) * np.log2(1 - inside), 0.0)


def context_bits(structure: WeightStructure, value_bits: int) -> tuple[float, float]:
    """(bits of the values, bits of the mask). Without known codes a value costs `value_bits`.

    >>> context_bits(WeightStructure(2, 2, np.array([0]), "exact", np.array([0, 1])), 1)[0]
    0.0
    """
    n = structure.nonzeros
    if not n:
        return 0.0, 8.0
    row, column = np.divmod(structure.positions, structure.columns)
    in_row = np.bincount(row, minlength=structure.rows)
    in_column = np.bincount(column, minlength=structure.columns)
    r, rows = np.unique(in_row, return_counts=True)
    c, columns = np.unique(in_column, return_counts=True)
    mask = float(rows @ _binary_entropy(np.minimum(1.0, np.outer(r, c) / n)) @ columns)
    learned = sum(float((np.log2(k[k > 0] + 1.0) / 2 + 1).sum()) for k in (in_row, in_column))
    codes = structure.code_histogram
    if codes is None:
        return n * float(value_bits), mask + learned
    used = int(np.count_nonzero(codes))
    return entropy_bits(codes) + max(0, used - 1) * float(np.log2(n)) / 2, mask + learned
