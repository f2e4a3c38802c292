"""A trade-off curve as Blalock et al. ask for (*What is the State of Neural Network Pruning?*, MLSys 2020).

At least five operating points per method, the dense network and random pruning as controls, the same dense weights,
data and training for all of a seed, compression ratio and theoretical speed-up, top-1 and top-5, mean and deviation.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compress.dataset import Data
from ..compress.masks import global_densities, prune_mask
from ..compress.prune import weight_names
from ..data.mnist import Split
from ..graph import Graph
from ..model import CodedTensor
from ..ops import loop_bounds
from ..run import Runner
from .lab import INDEX_BITS, Lab, Values, coded_bytes, pruned_bytes, share_all
from .results import COLUMNS

__all__ = ["DENSITIES", "SWEEP_COLUMNS", "Subject", "curve", "speedup", "sweep", "sweep_methods", "trained_subject"]

Row = dict[str, Any]
Todo = Callable[[Row], bool]
DENSITIES = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02)
BITS = (8, 6, 5, 4, 3, 2)
SHARED_BITS = 5
PRUNERS = ("magnitude", "global magnitude", "random")
SWEEP_COLUMNS = (*COLUMNS, "top5_error_pct")


@dataclass(frozen=True, eq=False)
class Subject:
    """What is compressed: one network's dense values for one seed, and how a point is trained, if it is.

    `refine(values, masks, coded)` gives values after retraining under masks (by parameter name), or of the shared
    values of `coded`; None leaves every point as it is.
    """

    graph: Graph
    dense: Values
    data: Data
    seed: int
    epochs: float
    refine: Callable[[Values, Mapping[str, NDArray[np.bool_]], Mapping[str, CodedTensor]], Any] | None = None


def trained_subject(lab: Lab, epochs: int) -> Subject:
    """A network that is trained here: its dense values for the lab's seed, each point retrained for `epochs`."""

    def refine(values: Values, masks: Mapping[str, NDArray[np.bool_]], coded: Mapping[str, CodedTensor]) -> Any:
        return lab.fit(lab.with_values(values), epochs, "share" if coded else "prune", masks=masks, coded=coded)

    return Subject(lab.graph, lab.dense, lab.source, lab.seed, epochs, refine if epochs else None)


def sweep_methods() -> dict[str, tuple[str, ...]]:
    """Operating points by method.

    >>> min(len(points) for method, points in sweep_methods().items() if method != "dense")
    6
    """
    densities, bits = tuple(f"density {d:g}" for d in DENSITIES), tuple(f"{b} bits" for b in BITS)
    return {
        "dense": ("fp32",), **dict.fromkeys(PRUNERS, densities), "k-means": bits,
        f"magnitude, k-means {SHARED_BITS} bits": densities,
    }  # fmt: skip


def speedup(graph: Graph, values: Values) -> float:
    """Theoretical: multiply-adds of the dense network over those whose weight is not zero.

    A layer's multiply-adds fall with its density: every weight is used as often as any other of its layer.
    """
    names, dense, left = weight_names(graph), 0, 0.0
    for node in graph:
        bounds = loop_bounds(graph, node)
        if bounds is None:
            continue
        name = names.get(node.name)
        dense += bounds.macs
        left += bounds.macs * (np.count_nonzero(values[name]) / values[name].size if name else 1.0)
    return dense / left if left else float("inf")


def sweep(subject: Subject, network: str, todo: Todo) -> Iterator[Row]:
    """Every point of every method for one subject; `todo` says which are still missing."""
    runner = Runner(subject.graph)
    names = weight_names(subject.graph)
    dense = sum(4 * subject.dense[name].size for name in names.values())
    for method, points in sweep_methods().items():
        for point in points:
            retrained = int(subject.refine is not None or method == "dense")
            row: Row = {"network": network, "method": method, "retrained": retrained, "point": point,
                        "seed": subject.seed}  # fmt: skip
            if not todo(row):
                continue
            values, size, density, bits = _point(subject, method, point)
            epochs = 0 if method == "dense" else subject.epochs * (2 if "," in method else 1)
            yield {
                **row, "density": density, "bits": bits, "bytes": size, "ratio": dense / size, "epochs": epochs,
                "speedup": speedup(subject.graph, values), **_errors(runner, values, subject.data),
            }  # fmt: skip


def _point(subject: Subject, method: str, point: str) -> tuple[Values, int, float, int]:
    """(values, bytes of the weights, density, bits) of one operating point."""
    names = list(weight_names(subject.graph).values())
    value = float(point.removeprefix("density ").removesuffix(" bits").replace("fp32", "1"))
    if method == "dense":
        return subject.dense, sum(4 * subject.dense[name].size for name in names), 1.0, 32
    if method == "k-means":
        values, coded = _shared(subject, subject.dense, int(value))
        return values, coded_bytes(coded.values(), "dense"), 1.0, int(value)
    values = _pruned(subject, method.partition(",")[0], value)
    if "," not in method:
        return values, pruned_bytes(values[name] for name in names), value, 32
    values, coded = _shared(subject, values, SHARED_BITS)
    return values, coded_bytes(coded.values(), f"relative{INDEX_BITS}+huffman"), value, SHARED_BITS


def _pruned(subject: Subject, pruner: str, density: float) -> Values:
    names = weight_names(subject.graph)
    by = dict.fromkeys(names, density)
    if pruner == "global magnitude":
        by = global_densities(subject.graph.with_parameters(dict(subject.dense)), density)
    method = "random" if pruner == "random" else "magnitude"
    masks = {
        name: prune_mask(subject.dense[name], by[layer], method, subject.seed * 1000 + place, layer)
        for place, (layer, name) in enumerate(names.items())
    }
    values = {**subject.dense, **{name: np.where(m, subject.dense[name], np.float32(0)) for name, m in masks.items()}}
    return values if subject.refine is None else subject.refine(values, masks, {}).values


def _shared(subject: Subject, values: Values, bits: int) -> tuple[Values, Mapping[str, CodedTensor]]:
    coded = share_all(subject.graph, values, bits)
    shared = {**values, **{name: tensor.values for name, tensor in coded.items()}}
    if subject.refine is None:
        return shared, coded
    fitted = subject.refine(shared, {}, coded)
    return fitted.values, fitted.coded


def _errors(runner: Runner, values: Values, data: Data) -> dict[str, float]:
    """Top-1 and top-5 error on the test split, top-1 on validation, in percent."""
    logits = runner.logits(data.test.images, values)
    return {
        "error_pct": _top(logits, data.test, 1), "top5_error_pct": _top(logits, data.test, 5),
        "validation_error_pct": runner.error_pct(values, data.validation),
    }  # fmt: skip


def _top(logits: NDArray[np.float32], split: Split, k: int) -> float:
    """Percent of samples whose label is not among the k largest logits; of equal logits the lower index is ahead."""
    mine = logits[np.arange(len(logits)), split.labels][:, None]
    before = np.arange(logits.shape[1])[None, :] < split.labels[:, None]
    ahead = np.count_nonzero((logits > mine) | ((logits == mine) & before), axis=1)
    return 100.0 * float(np.mean(ahead >= k))


def curve(rows: Iterable[Row]) -> list[Row]:
    """Mean and sample deviation over seeds of every point, in the order in which they were measured.

    >>> rows = [{"network": "n", "method": "m", "retrained": 1, "point": "p", "seed": s, "ratio": 2.0, "bytes": 10,
    ...          "speedup": 2.0, "error_pct": 1.0 + s} for s in (0, 1)]
    >>> [round(curve(rows)[0][key], 3) for key in ("error_pct", "error_sd_pct", "seeds")]
    [1.5, 0.707, 2]
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["network"], row["method"], row["retrained"], row["point"]), []).append(row)
    found = []
    for (network, method, retrained, point), group in groups.items():
        def mean(column: str, of: list[Row] = group) -> float | None:
            values = [float(row[column]) for row in of if row.get(column) not in (None, "")]
            return statistics.fmean(values) if values else None

        errors = [float(row["error_pct"]) for row in group]
        found.append({
            "network": network, "method": method, "retrained": retrained, "point": point, "seeds": len(group),
            **{column: mean(column) for column in ("bytes", "ratio", "speedup", "density", "bits", "error_pct",
                                                   "top5_error_pct", "validation_error_pct")},
            "error_sd_pct": statistics.stdev(errors) if len(errors) > 1 else 0.0,
        })  # fmt: skip
    return found
