"""Cycles of EIE (Han et al., ISCA 2016): broadcast activations, per-PE queues, one entry a cycle.

Every non-zero activation is broadcast to all PEs, at most one a cycle, into a queue in each PE. "At any
point in time each PE processes the activation at the head of its queue" (section IV): an activation
leaves the queue when the PE has worked through its entries (padding included) of that column, so the
depth counts the one in work. The broadcast stalls while any queue is full; so a PE that has more work
than the others delays them all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["layer_cycles", "matrix_vector_cycles"]

Ints = NDArray[np.int64]


def matrix_vector_cycles(entries: Ints, fifo_depth: int, broadcasts: Ints | None = None) -> Ints:
    """Cycles to work through broadcasts, for many samples at once: shape [samples].

    `entries[t, s, k]`: entries of the t-th broadcast column on PE k in sample s, padding included.
    `broadcasts[s]` says how many of them sample s has (default: all).
    A column occupies a PE for max(1, entries) cycles: its pointers are read even if it is empty there.

        broadcast[t] = max(broadcast[t-1] + 1, max over k of finish[t - depth, k])
        finish[t, k] = max(finish[t-1, k], broadcast[t]) + max(1, entries[t, k])

    Source: EIE, sections IV and VI; queue depth 8 from its Fig. 8.

    >>> matrix_vector_cycles(np.array([[[3, 0]], [[1, 2]]]), fifo_depth=8).tolist()
    [5]
    """
    steps, samples, n_pe = entries.shape
    counts = np.full(samples, steps) if broadcasts is None else broadcasts
    cycles = np.zeros(samples, np.int64)
    work = np.maximum(entries, 1)
    finish = np.zeros((samples, n_pe), np.int64)
    freed = np.zeros((fifo_depth, samples), np.int64)
    broadcast = np.zeros(samples, np.int64)
    for step in range(steps):
        slot = step % fifo_depth
        np.maximum(broadcast + 1, freed[slot], out=broadcast)
        np.maximum(finish, broadcast[:, None], out=finish)
        finish += work[step]
        freed[slot] = finish.max(axis=1)
        cycles[counts == step + 1] = freed[slot][counts == step + 1]
    return cycles


def layer_cycles(
    work: Sequence[Ints], active: Sequence[Ints], *, fifo_depth: int, columns_per_batch: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(cycles, entries worked through) of one matrix-vector product, shape [samples] each.

    `active[s]`: sorted indices of the columns whose activation is not zero in sample s.
    `work[s][t, k]`: entries of the t-th of them on PE k (WeightStructure.interleaved_entries), padding
    included. A matrix with more columns than the pointer memory or the activation registers hold runs in
    batches of columns, each drained before the next.

    >>> work, active = [np.array([[3, 0], [1, 2]])], [np.array([0, 7])]
    >>> cycles, entries = layer_cycles(work, active, fifo_depth=8, columns_per_batch=4)
    >>> cycles.tolist(), entries.tolist()
    ([7.0], [6.0])
    """
    samples = len(active)
    cycles, performed = np.zeros(samples), np.zeros(samples)
    end = max((int(columns[-1]) + 1 for columns in active if len(columns)), default=0)
    for first in range(0, end, columns_per_batch):
        spans = [np.searchsorted(columns, (first, first + columns_per_batch)) for columns in active]
        lengths = np.array([stop - start for start, stop in spans])
        chosen = np.zeros((int(lengths.max()), samples, work[0].shape[1]), np.int64)
        for sample, (start, stop) in enumerate(spans):
            chosen[: stop - start, sample] = work[sample][start:stop]
        cycles += matrix_vector_cycles(chosen, fifo_depth, lengths)
        performed += chosen.sum(axis=(0, 2))
    return cycles, performed
