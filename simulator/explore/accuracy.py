"""Errors of designs: one measurement per (weights, bits, density, split), kept by content.

Accuracy does not depend on the storage format or the target, so a hundred measurements serve thousands
of designs. A measurement is known by a hash of the network and its weights; those of the shipped weights
ship too (errors.csv, made by `python -m picojoule.simulator.explore.ship`).
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...models.data import DATASETS, load_split
from ...models.errors import FileFormatError
from ...models.files import read_bytes, write_atomic
from ...models.model import Model
from ..estimate import recompress
from ..workload import Overrides

__all__ = ["ErrorTable", "Measured", "binomial_interval", "content_key", "measure_errors", "shipped_errors"]

METHOD = "magnitude+kmeans-linear-200"
TABLE_LIMIT_BYTES = 1 << 26
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, order=True)
class Measured:
    """`wrong` of `n` samples of a split misclassified by the weights `key` at `bits` and `density`."""

    key: str
    dataset: str
    split: str
    bits: int
    density: float
    wrong: int
    n: int

    @property
    def error_pct(self) -> float:
        return 100.0 * self.wrong / self.n


def content_key(model: Model) -> str:
    """Sixteen hexadecimal digits of a SHA-256 over the operators, the weights and how they are compressed.

    >>> from picojoule.models.load import load_model
    >>> len(content_key(load_model("lenet-300-100@deep-compression")))
    16
    """
    digest = hashlib.sha256(METHOD.encode())
    for node in model.graph:
        digest.update(repr((node.op, node.inputs, node.output, sorted(node.attributes.items()))).encode())
    for name, parameter in model.graph.parameters.items():
        digest.update(repr((name, parameter.shape)).encode())
        if parameter.values is not None:
            digest.update(np.ascontiguousarray(parameter.values, "<f4").tobytes())
    return digest.hexdigest()[:16]


def binomial_interval(wrong: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[NDArray, NDArray]:
    """Exact (Clopper-Pearson, Biometrika 1934) interval of an error rate, as fractions.

    >>> low, high = binomial_interval(0, 100)
    >>> float(low), round(float(high), 4)
    (0.0, 0.0362)
    """
    from scipy.special import betaincinv

    wrong, n = np.asarray(wrong, float), np.asarray(n, float)
    tail = (1 - level) / 2
    with np.errstate(invalid="ignore"):
        low = np.where(wrong > 0, betaincinv(np.maximum(wrong, 1), n - wrong + 1, tail), 0.0)
        high = np.where(wrong < n, betaincinv(wrong + 1, np.maximum(n - wrong, 1), 1 - tail), 1.0)
    return low, high


class ErrorTable:
    """Measurements by content; looks shipped ones up, and keeps new ones in a CSV file if it has one."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._rows = dict(shipped_errors())
        self._new: dict[tuple, Measured] = {}
        if path is not None and path.exists():
            self._new = _parse(read_bytes(path, limit_bytes=TABLE_LIMIT_BYTES, what="measured errors"), path.name)
            self._rows |= self._new

    def get(self, key: str, dataset: str, split: str, bits: int, density: float) -> Measured | None:
        return self._rows.get((key, dataset, split, bits, density))

    def add(self, row: Measured) -> None:
        place = astuple(row)[:5]
        self._rows[place] = self._new[place] = row

    def save(self) -> None:
        """Write the measurements that do not ship, sorted; nothing without a path or without any."""
        if self.path is not None and self._new:
            write_atomic(self.path, table_text(self._new.values()))


def table_text(rows: Iterable[Measured]) -> str:
    """The CSV that `ErrorTable` reads."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.name for field in fields(Measured)])
    writer.writerows([astuple(row) for row in sorted(rows)])
    return out.getvalue()


def _parse(content: bytes, where: str) -> dict[tuple, Measured]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode()))
        if reader.fieldnames != [field.name for field in fields(Measured)]:
            raise ValueError(f"columns {reader.fieldnames}")
        rows = list(reader)
        found = [
            Measured(
                row["key"], row["dataset"], row["split"],
                int(row["bits"]), float(row["density"]), int(row["wrong"]), int(row["n"]),
            )
            for row in rows
        ]  # fmt: skip
    except (KeyError, TypeError, ValueError, UnicodeDecodeError, csv.Error) as error:
        raise FileFormatError(where, error, "a table of measured errors", "delete it to measure again") from None
    if any(not 0 <= row.wrong <= row.n or row.n < 1 for row in found):
        raise FileFormatError(where, "more errors than samples", "0 <= wrong <= n", "delete it to measure again")
    return {astuple(row)[:5]: row for row in found}


@cache
def shipped_errors() -> Mapping[tuple, Measured]:
    """The measurements of the weights that ship with the package."""
    file = resources.files(str(__package__)).joinpath("errors.csv")
    return _parse(file.read_bytes(), file.name) if file.is_file() else {}


def measure_errors(
    model: Model,
    combinations: Iterable[tuple[int, float]],
    split: str,
    table: ErrorTable,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[tuple[int, float], Measured]:
    """Errors of `model` recompressed to each (bits, density), from the table or measured now.

    Empty for a model without weights, or of no data set that picojoule has. What was measured before an
    interruption is saved. The result does not depend on `workers`.
    """
    weights = model.graph.parameters.values()
    if model.accuracy is None or model.accuracy.dataset not in DATASETS or not all(p.known for p in weights):
        return {}
    dataset, key = model.accuracy.dataset, content_key(model)
    wanted = list(dict.fromkeys(combinations))
    missing = [pair for pair in wanted if table.get(key, dataset, split, *pair) is None]
    if missing:
        _measure(model, key, dataset, split, missing, table, workers, progress)
    found = {pair: table.get(key, dataset, split, *pair) for pair in wanted}
    return {pair: row for pair, row in found.items() if row is not None}


def _measure(
    model: Model, key: str, dataset: str, split: str, missing: list[tuple[int, float]], table: ErrorTable,
    workers: int, progress: Progress | None,
) -> None:  # fmt: skip
    from ...models.run import Runner

    samples, runner = load_split(dataset, split), Runner(model.graph)

    def one(pair: tuple[int, float]) -> Measured:
        coded, _ = recompress(model, Overrides(bits=pair[0], density=pair[1]))
        values = {name: tensor.values for name, tensor in coded.coded.items()}
        wrong = round(runner.error_pct(values, samples) * len(samples) / 100)
        return Measured(key, dataset, split, pair[0], pair[1], wrong, len(samples))

    pool = ThreadPoolExecutor(workers)
    try:
        for done, row in enumerate(pool.map(one, missing), 1):
            table.add(row)
            if progress:
                progress(f"errors of {model.name} ({split})", done, len(missing))
    finally:
        pool.shutdown(cancel_futures=True)
        table.save()
