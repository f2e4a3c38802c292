"""Many designs as one Workload: the same layers, with designs on the first axis of every array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from ..workload import Workload, storage_size

__all__ = ["stack_workloads", "stored_as"]


def stored_as(workload: Workload, storage: str) -> Workload:
    """The same layers with their weights lying in format `storage`, as `Overrides(storage=...)` would have it."""
    sizes = np.zeros((2, len(workload)))
    names = workload.storage.copy()
    for place, structure in enumerate(workload.structures):
        if structure is not None:
            elements = int(workload.weight_elements[place])
            sizes[:, place] = storage_size(storage, structure, int(workload.weight_bits[place]), elements)
            names[place] = storage
    asked = np.array(storage, dtype=names.dtype)
    return replace(workload, storage_bits=sizes[0], storage_entries=sizes[1], storage=names, storage_asked=asked)


def stack_workloads(workloads: Sequence[Workload]) -> Workload:
    """One Workload with shape [designs, layers] where its parts differ; what they share stays [layers].

    All must have the same layers at the same batch. What only one design can have (a file's size, a
    measured error) is dropped.
    """
    first = workloads[0]
    if any((w.names, w.kinds, w.batch) != (first.names, first.kinds, first.batch) for w in workloads):
        raise ValueError("workloads of different layers or batches have no common arrays")
    stacked: dict[str, Any] = {}
    for field in fields(Workload):
        values = [getattr(workload, field.name) for workload in workloads]
        if not isinstance(values[0], np.ndarray):
            continue
        if field.name == "storage_asked":
            stacked[field.name] = np.array([str(value) for value in values])[:, None]
        elif all(value is values[0] or np.array_equal(value, values[0]) for value in values):
            stacked[field.name] = values[0]
        else:
            stacked[field.name] = np.stack(values)
    basis = "statistical" if any(w.basis == "statistical" for w in workloads) else first.basis
    return replace(first, **stacked, basis=basis, file_bytes=None, accuracy=None)
