"""Small int8 networks as .tflite files, and their cycles as Arm's compiler and as `estimate` report them."""

from __future__ import annotations

import contextlib
import csv
import io
from pathlib import Path

import numpy as np
from tflite_writer import Writer

from picojoule import estimate

__all__ = ["KINDS", "our_cycles", "vela_cycles", "write_network"]

KINDS = ("dense", "0.5", "0.8", "0.9", "16 values", "2:4")
Layer = tuple[str | int, ...]


def int8_weights(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Normal weights [out, rows, columns, in] with a standard deviation of 30 codes, thinned or shared."""
    values = np.clip(np.round(rng.normal(size=shape) * 30), -127, 127)
    if kind == "16 values":
        levels = np.round(np.linspace(-96, 96, 16))
        return levels[np.abs(values[..., None] - levels).argmin(-1)].astype(np.int8)
    values[values == 0] = 1
    if kind == "2:4" and shape[-1] % 4 == 0:
        groups = np.abs(values).reshape(-1, 4)
        mask = np.ones_like(groups, bool)
        np.put_along_axis(mask, groups.argsort(-1)[:, :2], False, -1)
        values *= mask.reshape(shape)
    elif kind not in ("dense", "2:4"):
        size = np.abs(values) + rng.random(shape)
        values *= size > np.quantile(size, float(kind))
    return values.astype(np.int8)


class _Chain:
    """Layers in a chain: conv K R stride, depthwise R stride, fc K, add (to the layer before), pools R stride."""

    def __init__(self, kind: str, size: int, channels: int) -> None:
        self.kind, self.w, self.rng = kind, Writer(), np.random.default_rng(0)
        self.shape, self.count = (1, size, size, channels), 0
        self.first = self.y = self.before = self._made(self.shape)

    def _made(self, shape: tuple[int, ...]) -> int:
        self.shape, self.count = shape, self.count + 1
        return self.w.tensor(f"t{self.count}", shape, "int8", scale=[0.05])

    def _weights(self, shape: tuple[int, ...], out: int, axis: int = 0) -> list[int]:
        values = int8_weights(self.kind, shape, self.rng)
        weight = self.w.tensor(f"w{self.count}", shape, "int8", values, [0.01] * out, axis=axis)
        return [weight, self.w.tensor(f"b{self.count}", (out,), "int32", np.zeros(out, np.int32), [0.0005] * out)]

    def _sized(self, stride: int, channels: int) -> int:
        return self._made((1, -(-self.shape[1] // stride), -(-self.shape[2] // stride), channels))

    def add(self, layer: Layer) -> None:
        name, numbers = layer[0], [int(n) for n in layer[1:]]
        x, old = self.y, self.shape
        steps = {"StrideH": numbers[-1], "StrideW": numbers[-1]} if numbers else {}
        dilated = {"DilationHFactor": 1, "DilationWFactor": 1, "FusedActivationFunction": 1}
        if name == "conv":
            out, kernel, stride = numbers
            inputs = [x, *self._weights((out, kernel, kernel, old[3]), out)]
            self.y = self._sized(stride, out)
            self.w.operator("CONV_2D", inputs, [self.y], "Conv2DOptions", **steps, **dilated)
        elif name == "depthwise":
            kernel, stride = numbers
            inputs = [x, *self._weights((1, kernel, kernel, old[3]), old[3], 3)]
            self.y = self._sized(stride, old[3])
            self.w.operator(
                "DEPTHWISE_CONV_2D", inputs, [self.y], "DepthwiseConv2DOptions", DepthMultiplier=1, **steps, **dilated
            )
        elif name == "fc":
            flat = int(np.prod(old))
            if len(old) > 2:
                shape = self.w.tensor(f"s{self.count}", (2,), "int32", np.array([1, flat], np.int32))
                x = self._made((1, flat))
                self.w.operator("RESHAPE", [self.y, shape], [x], "ReshapeOptions")
            inputs = [x, *self._weights((numbers[0], flat), numbers[0])]
            self.y = self._made((1, numbers[0]))
            self.w.operator("FULLY_CONNECTED", inputs, [self.y], "FullyConnectedOptions", FusedActivationFunction=1)
        elif name == "add":
            self.y = self._made(old)
            self.w.operator("ADD", [x, self.before], [self.y], "AddOptions", FusedActivationFunction=0)
        else:
            kernel, stride = numbers
            self.y = self._sized(stride, old[3])
            pool = {"max": "MAX_POOL_2D", "average": "AVERAGE_POOL_2D"}[str(name)]
            self.w.operator(pool, [x], [self.y], "Pool2DOptions", FilterHeight=kernel, FilterWidth=kernel, **steps)
        self.before = x


def write_network(path: Path, kind: str, layers: list[Layer], size: int, channels: int) -> Path:
    """A chain on an image of `size` x `size` x `channels`; padding keeps the sizes at stride 1."""
    chain = _Chain(kind, size, channels)
    for layer in layers:
        chain.add(layer)
    return chain.w.save(path, [chain.first], [chain.y])


def vela_cycles(path: Path, target: str) -> tuple[float, float, float, float]:
    """(NPU cycles, total cycles, off-chip access cycles, encoded weight bytes) that Arm's compiler reports."""
    from ethosu.vela import vela

    with contextlib.redirect_stdout(io.StringIO()):
        vela.main(
            [str(path), "--accelerator-config", target, "--output-dir", str(path.parent), "--verbose-performance"]
        )
    with (path.parent / f"{path.stem}_per-layer.csv").open() as file:
        rows = list(csv.DictReader(file))
    [summary] = path.parent.glob(f"{path.stem}_summary_*.csv")
    with summary.open() as file:
        [line] = csv.DictReader(file)
    summary.unlink()
    npu, total = (sum(float(row[name]) for row in rows) for name in ("NPU", "Op Cycles"))
    far = sum(float(row["OffFlash AC"]) + float(row["DRAM AC"]) for row in rows)
    return npu, total, far, float(line["total_npu_encoded_weights"])


def our_cycles(path: Path, target: str) -> tuple[float, float, float, float]:
    """The same four from `estimate` on the same file."""
    cost = estimate(str(path), target)
    clock = cost.target.clock_hz.value
    npu = sum(float(term.value.sum()) for term in cost.terms if term.formula.id == "ethos.npu_time") * clock
    far = sum(float((move.read_bits + move.write_bits).sum()) for move in cost.traffic if move.level != "sram")
    biases = sum(80 * bounds.K for bounds in cost.workload.bounds if bounds)
    return npu, float(cost.latency_s.sum()) * clock, far, float(cost.stored_bits.sum() - biases) / 8
