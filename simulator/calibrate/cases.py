"""Published times as arrays: every kernel of every case beside what its device's data sheet says.

A case is one measured time: one matrix product, one convolution or a whole network. All cases of a family are
evaluated at once, through the same functions as an estimate, so that a fit takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...models.load import load_model
from ..processors.classes import kernels_of
from ..processors.irregular import unaligned
from ..processors.rates import Rates, device_of
from ..processors.timing import Device, Shapes, Table, cache_share, compute_seconds, memory_seconds
from ..target import ProcessorTarget, load_target
from ..target_processor import CLASSES, bits_of
from ..workload import Overrides, Workload, make_workload
from .published import read_rows

__all__ = ["Cases", "Label", "case_of", "join", "kernel_cases", "network_cases"]

Array = NDArray[np.float64]
SOURCES = {
    "deepbench": "DeepBench, github.com/baidu-research/DeepBench at da81ba7",
    "llmcompass": "LLMCompass, github.com/PrincetonUniversity/LLMCompass at 2e015fd, ae/figure5",
    "timm": "pytorch-image-models, github.com/huggingface/pytorch-image-models at aa4b5850, results",
    "jcjohnson": "cnn-benchmarks, github.com/jcjohnson/cnn-benchmarks at 83d441f",
    "tflite": "TensorFlow Lite hosted models, github.com/tensorflow/tensorflow at 0406598a",
}


@dataclass(frozen=True)
class Label:
    """What a case is: `fold` are cases left out together, `device` the silicon whatever the runtime."""

    target: str
    device: str
    dataset: str
    case: str
    fold: str
    measured_s: float
    source: str


@dataclass(frozen=True, eq=False)
class Cases:
    """Kernels of many cases, `of[kernel]` the case; bits by kernel; times and labels by case."""

    labels: tuple[Label, ...]
    of: NDArray[np.intp]
    shapes: Shapes
    device: Device
    weights: Array
    activations: Array
    network_weights: Array
    unfused: Array
    passes: Array
    overhead_scale: Array
    tuning: NDArray[np.str_]

    @property
    def measured_s(self) -> Array:
        return np.array([label.measured_s for label in self.labels])

    def seconds(self, table: Table) -> Array:
        """Predicted time of every case; `table` of one family, shape [classes], or [kernels, classes]."""
        p = table.parameters
        usable = p["cache_usable"]
        inside = np.asarray(self.device.activation_bandwidth) * p["cache_speedup"]
        rate = np.asarray(self.device.rate)
        for name in ("tuned", "library", "portable"):
            if f"tuning_{name}" in p:
                rate = np.where(self.tuning == name, self.device.rate * p[f"tuning_{name}"], rate)
        device = replace(self.device, cache_bandwidth=inside, rate=rate)
        cached = (
            cache_share(device.cache_bits, self.network_weights + self.activations, usable),
            cache_share(device.cache_bits, self.weights + self.activations, usable),
        )
        compute = compute_seconds(self.shapes, device, table)
        memory = memory_seconds(self.shapes.place, self.weights, self.activations, cached, device, table)
        memory = memory * unaligned(self.shapes.place, self.shapes.n, device.few_tiles, p)
        other = np.full(self.shapes.place.shape, CLASSES.index("elementwise"))
        zero = np.zeros_like(memory)
        again = memory_seconds(other, zero, self.passes, (zero, cached[1]), device, table)
        overhead = p.get("overhead_s", 0.0) + p.get("overhead_cycles", 0.0) * self.overhead_scale
        overhead = overhead * p.get("overhead_factor", 1.0)
        total = overhead * (1 + self.unfused) + np.maximum(compute, memory) + again
        return np.bincount(self.of, total, len(self.labels)).astype(np.float64)

    @property
    def device_key(self) -> Array:
        """A number that tells equal work on one device apart by precision, batch and format."""
        sizes = np.asarray(self.device.rate) * 1e-9 + self.weights + 3 * self.activations
        return np.bincount(self.of, sizes).astype(float)

    def select(self, keep: NDArray[np.bool_]) -> Cases:
        """The cases where `keep`."""
        kernels = keep[self.of]
        place = np.cumsum(keep) - 1
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        arrays = {name: value[kernels] for name, value in values.items() if isinstance(value, np.ndarray)}
        arrays["of"] = place[self.of[kernels]]
        return replace(
            self, labels=tuple(label for label, kept in zip(self.labels, keep, strict=True) if kept),
            shapes=_map(self.shapes, lambda a: a[kernels]), device=_map(self.device, lambda a: a[kernels]), **arrays,
        )  # fmt: skip


def _map(data: Any, change: Any) -> Any:
    return replace(data, **{f.name: change(np.asarray(getattr(data, f.name))) for f in fields(data)})


def case_of(label: Label, workload: Workload, target: ProcessorTarget) -> Cases:
    """One case: a workload on a target, dense, in the target's own precision."""
    kernels = kernels_of(workload)
    shapes, rates = kernels.shapes(workload), Rates.of(target)
    device = device_of(target, shapes, target.precision, replace(rates, tuning=1.0))
    bits = float(bits_of(target.precision))
    weights = workload.weight_elements * bits + workload.bias_bits
    rows = np.where(workload.table_elements > 0, workload.output_elements, 0.0)
    activations = (workload.input_elements + workload.output_elements + rows) * bits
    nothing = target.fuses == "nothing"
    unfused = workload.fused_behind * nothing
    count = len(workload)
    return Cases(
        (label,), np.zeros(count, np.intp), shapes,
        _map(device, lambda a: np.broadcast_to(a, (count,))), weights, activations,
        np.full(count, weights.sum()), unfused, 2 * unfused * workload.output_elements * bits,
        np.full(count, 1 / target.clock_hz.value), np.full(count, target.tuning, "<U8"),
    )  # fmt: skip


def join(cases: Iterable[Cases]) -> Cases:
    """Many as one."""
    parts = list(cases)
    start = np.cumsum([0, *(len(part.labels) for part in parts)])

    def stack(pick: Any) -> Any:
        return np.concatenate([np.asarray(pick(part)) for part in parts])

    def each(kind: type, name: str) -> Any:
        return kind(**{f.name: stack(lambda part: getattr(getattr(part, name), f.name)) for f in fields(kind)})  # noqa: B023

    arrays = {name: stack(lambda part: getattr(part, name)) for name in (  # noqa: B023
        "weights", "activations", "network_weights", "unfused", "passes", "overhead_scale", "tuning",
    )}  # fmt: skip
    return Cases(
        tuple(label for part in parts for label in part.labels),
        np.concatenate([part.of + start[place] for place, part in enumerate(parts)]),
        each(Shapes, "shapes"), each(Device, "device"), **arrays,
    )  # fmt: skip


@cache
def _target(name: str, precision: str) -> ProcessorTarget:
    target = load_target(name)
    assert isinstance(target, ProcessorTarget)
    return msgspec.structs.replace(target, precision=precision) if precision else target


@cache
def _workload(text: str, batch: int) -> Workload:
    return make_workload(load_model(text), batch, Overrides())


def _layer(row: dict[str, str]) -> str:
    if row["op"] != "conv":
        return f"gemm:M={row['N']},N={row['K']},K={row['C']}"
    names = ("N", "K", "C", "H", "W", "R", "S")
    strides, pads = (row["stride_h"], row["stride_w"]), (row["pad_h"], row["pad_w"])
    same = strides[0] == strides[1] and pads[0] == pads[1]
    tail = f"stride={strides[0]},pad={pads[0]}" if same else f"stride={'x'.join(strides)},pad={'x'.join(pads)}"
    return "conv:" + ",".join(f"{name}={row[name]}" for name in names) + "," + tail


@cache
def kernel_cases() -> Cases:
    """Dense matrix products and convolutions of DeepBench, and matrix products of LLMCompass."""
    out = []
    for row in read_rows("kernels.csv"):
        if row["op"] == "csr":
            continue
        target = _target(row["target"], row["precision"])
        text = _layer(row)
        label = Label(
            row["target"], row["target"].replace("-int8", "").replace("-cudnn", ""), row["source"],
            f"{text} {row['precision']} {row['layout']}".strip(),
            text, float(row["time_us"]) * 1e-6, SOURCES[row["source"]],
        )  # fmt: skip
        out.append(case_of(label, _workload(text, 1), target))
    return join(out)


@cache
def network_cases() -> Cases:
    """Whole networks: timm, cnn-benchmarks with cuDNN or MKL, and TensorFlow Lite's hosted models."""
    out = []
    for row in read_rows("networks.csv"):
        precision = "int8" if row["runtime"].endswith("int8") else ""
        target = _target(row["target"], precision)
        label = Label(
            row["target"], row["target"].replace("-cudnn", ""), row["source"],
            f"{row['measured_as']}, {row['runtime']}, batch {row['batch']}",
            row["network"], float(row["time_ms"]) * 1e-3, SOURCES[row["source"]],
        )  # fmt: skip
        out.append(case_of(label, _workload(row["network"], int(row["batch"])), target))
    return join(out)
