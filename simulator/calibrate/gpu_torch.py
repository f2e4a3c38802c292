"""The real `Device`: an NVIDIA GPU through PyTorch's events and NVML's energy counter."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ...models.errors import InputError, MissingExtraError
from ...models.importers.layer_spec import parse_layer_spec
from .gpu import GpuProbe

__all__ = ["TorchDevice"]

WARM_UP, CALLS, REPEATS = 3, 20, 5


class TorchDevice:
    """The first NVIDIA GPU. Raises MissingExtraError without torch, InputError where torch sees no GPU."""

    precisions = ("fp32", "tf32", "fp16", "bf16")

    def __init__(self) -> None:
        try:
            import torch
        except ImportError as error:
            raise MissingExtraError("calibrate --gpu", "train") from error
        if not torch.cuda.is_available():
            raise InputError("calibrate --gpu", "no NVIDIA GPU that torch can use", "one, and a CUDA build of torch",
                             "picojoule calibrate measures the CPU")  # fmt: skip
        self._torch = torch
        properties: Any = torch.cuda.get_device_properties(0)
        self.name = properties.name
        self.software = f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}"
        self.units = properties.multi_processor_count
        self.clock_hz = float(getattr(properties, "clock_rate", 1_000_000)) * 1e3
        self.memory_bytes = properties.total_memory
        self.cache_bytes = getattr(properties, "L2_cache_size", 1 << 22)
        self._handle, self._nvml = _nvml()

    def prepare(self, probe: GpuProbe) -> Callable[[], object]:
        torch = self._torch
        torch.backends.cuda.matmul.allow_tf32 = probe.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = probe.precision == "tf32"
        dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(probe.precision, torch.float32)
        if probe.kind == "copy":
            source = torch.empty(int(probe.spec), dtype=torch.uint8, device="cuda")
            target = torch.empty_like(source)
            return lambda: target.copy_(source)
        graph = parse_layer_spec(probe.spec).graph
        node = next(iter(graph))
        x = torch.randn(graph.tensors[graph.inputs[0]].shape, device="cuda", dtype=dtype)
        weight = torch.randn(graph.parameters[node.parameters["weight"]].shape, device="cuda", dtype=dtype)
        if probe.kind == "conv":
            return self._conv(node.attributes, x, weight)
        if probe.kind == "sparse24":
            groups = weight.reshape(-1, 4)
            groups[:, 2:] = 0
            packed = torch.sparse.to_sparse_semi_structured(weight)
            return lambda: torch.nn.functional.linear(x, packed)
        return lambda: x @ weight.T

    def _conv(self, attributes: Any, x: Any, weight: Any) -> Callable[[], object]:
        torch = self._torch
        x, weight = (tensor.to(memory_format=torch.channels_last) for tensor in (x, weight))
        settings = {"stride": attributes["strides"], "padding": attributes["pads"][:2], "groups": attributes["groups"]}
        return lambda: torch.nn.functional.conv2d(x, weight, **settings)

    def seconds(self, call: Callable[[], object]) -> float:
        torch = self._torch
        for _ in range(WARM_UP):
            call()
        times = []
        for _ in range(REPEATS):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            for _ in range(CALLS):
                call()
            end.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(end) * 1e-3 / CALLS)
        return min(times)

    def run_for(self, call: Callable[[], object] | None, seconds: float) -> tuple[int, float]:
        began, calls = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            if call is None:
                time.sleep(0.05)
                continue
            for _ in range(CALLS):
                call()
            self._torch.cuda.synchronize()
            calls += CALLS
        return calls, time.perf_counter() - began

    def energy_mj(self) -> int | None:
        if self._nvml is None:
            return None
        try:
            return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        except self._nvml.NVMLError:
            return None


def _nvml() -> tuple[Any, Any]:
    """(handle, module) of the GPU that torch calls 0; (None, None) without NVML."""
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None, None
    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByIndex(0), pynvml
    except pynvml.NVMLError:
        return None, None
