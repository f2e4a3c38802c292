"""One out-of-fold prediction, as a row of the table that ships."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cases import Cases

__all__ = ["Record", "records_of", "short"]


@dataclass(frozen=True)
class Record:
    """Measured and predicted in seconds or joules; `left_out` is what the prediction never saw."""

    target: str
    dataset: str
    metric: str
    case: str
    measured: float
    predicted: float
    mode: str
    protocol: str
    left_out: str


def short(value: float) -> float:
    """Five significant digits."""
    return float(f"{value:.5g}")


def records_of(
    cases: Cases, seconds: NDArray[np.float64], mode: str, protocol: str, per_batch: bool = False
) -> list[Record]:
    """Latency records; `per_batch` divides by the batch that the dataset's name ends with, as EIE prints times."""
    out = []
    for label, predicted in zip(cases.labels, seconds, strict=True):
        batch = int(label.dataset.split()[-1]) if per_batch else 1
        left = label.device if "device" in protocol or "board" in protocol else label.fold
        out.append(Record(label.target, label.dataset, "latency", label.case, short(label.measured_s / batch),
                          short(float(predicted) / batch), mode, protocol, left))  # fmt: skip
    return out
