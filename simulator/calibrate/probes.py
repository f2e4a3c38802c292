"""What `picojoule calibrate` runs here: reads by working set, products by precision, layers, sparse products.

The probes run in a process of their own, so that its numerical libraries start with the number of threads asked for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from ...models.build import GraphBuilder
from ...models.errors import InputError
from ...models.graph import Graph
from ...models.importers.layer_spec import parse_layer_spec
from .clock import Timing, time_call

__all__ = ["Measured", "Probe", "probe_list", "run_probe", "run_probes"]

Kind = Literal["read", "matmul", "layer", "csr", "chain"]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
BUDGET_S = 0.5
CSR_DENSITY = 0.1
CHAIN = 64
LAYERS = (
    "gemm:M=64,N=1024,K=1024", "gemm:M=256,N=768,K=768", "gemm:M=1,N=4096,K=4096", "gemm:M=1,N=1024,K=1024",
    "conv:N=1,K=64,C=64,H=56,W=56,R=3,S=3,pad=1", "conv:N=1,K=256,C=256,H=14,W=14,R=3,S=3,pad=1",
    "conv:N=1,K=32,C=3,H=224,W=224,R=3,S=3,stride=2,pad=1", "conv:N=1,K=64,C=3,H=224,W=224,R=7,S=7,stride=2,pad=3",
    "conv:N=1,K=128,C=128,H=28,W=28,R=1,S=1", "conv:N=1,K=384,C=64,H=14,W=14,R=1,S=1",
    "conv:N=1,K=144,C=144,H=56,W=56,R=3,S=3,pad=1,groups=144",
    "conv:N=1,K=384,C=384,H=14,W=14,R=3,S=3,pad=1,groups=384",
    "conv:N=1,K=128,C=128,H=28,W=28,R=3,S=3,pad=1,groups=32",
    "relu:56", "max_pool:56", "average_pool:28", "softmax:56",
)  # fmt: skip
TINY_LAYERS = ("gemm:M=1,N=64,K=64", "gemm:M=8,N=64,K=64", "conv:N=1,K=8,C=8,H=8,W=8,R=3,S=3,pad=1", "relu:8")


@dataclass(frozen=True)
class Probe:
    """`what` is bytes of a working set, a precision, a layer, or the columns of a dense operand; see `run_probe`."""

    kind: Kind
    what: str
    size: int = 0


@dataclass(frozen=True)
class Measured:
    """A probe and its time: of one read of the working set, one product, one layer, or one layer of a chain."""

    probe: Probe
    timing: Timing


def probe_list(tiny: bool = False) -> tuple[Probe, ...]:
    """All probes that can run with what is installed; small ones for a quick look."""
    with_runtime = find_spec("onnxruntime") is not None
    kibi = (4, 64, 1024) if tiny else (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 262144)
    side = 64 if tiny else 768
    reads = [Probe("read", f"{amount} KiB", amount * 1024) for amount in kibi]
    products = [Probe("matmul", "fp32", side), Probe("matmul", "fp64", side)]
    layers = [Probe("layer", spec) for spec in (TINY_LAYERS if tiny else LAYERS)] if with_runtime else []
    if with_runtime:
        products.append(Probe("matmul", "int8", side))
        layers.append(Probe("chain", "relu", 4 if tiny else CHAIN))
    sparse = [Probe("csr", str(columns), 128 if tiny else 2048) for columns in (1, 64)]
    return (*reads, *products, *layers, *sparse)


def layer_graph(spec: str) -> Graph:
    """The graph of a layer written out as MODEL strings are, or of `OP:SIZE`, 64 channels of SIZE x SIZE pixels.

    >>> layer_graph("relu:8").tensors["relu"].shape
    (1, 64, 8, 8)
    """
    op, _, size = spec.partition(":")
    if op in ("gemm", "conv"):
        return parse_layer_spec(spec).graph
    b = GraphBuilder(spec, (1, 64, int(size), int(size)))
    if op == "max_pool":
        b.max_pool(op, 3, 2, pad=1)
    elif op == "average_pool":
        b.average_pool(op, 3, 1, pad=1)
    elif op == "softmax":
        b.add(op, op, axis=3)
    else:
        b.add(op, op)
    return b.build()


def _chain(length: int) -> Graph:
    """`length` layers that do next to nothing: what is left is the time to start each."""
    b = GraphBuilder("chain", (1, 16))
    for place in range(length):
        b.add("sigmoid", f"sigmoid{place}")
    return b.build()


def _int8_call(side: int, threads: int) -> Callable[[], object]:
    from onnx import TensorProto, helper

    from .runtime import call_of, session_of

    operands = [
        helper.make_tensor_value_info(name, kind, (side, side))
        for name, kind in (("a", TensorProto.UINT8), ("b", TensorProto.INT8))
    ]
    out = helper.make_tensor_value_info("c", TensorProto.INT32, (side, side))
    graph = helper.make_graph([helper.make_node("MatMulInteger", ["a", "b"], ["c"])], "int8", operands, [out])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9).SerializeToString()
    feeds: dict[str, Any] = {"a": np.ones((side, side), np.uint8), "b": np.ones((side, side), np.int8)}
    return call_of(session_of(content, "int8 product", threads), feeds, "int8 product")


def _csr_call(rows: int, columns: int) -> Callable[[], object]:
    from scipy.sparse import random_array

    rng = np.random.default_rng(0)
    matrix = random_array((rows, rows), density=CSR_DENSITY, format="csr", dtype=np.float32, rng=rng)
    dense = rng.standard_normal((rows, columns), np.float32)
    return lambda: matrix @ dense


def _call_of(probe: Probe, threads: int) -> Callable[[], object]:
    from .runtime import graph_call

    if probe.kind == "read":
        values = np.ones(probe.size // 8, np.float32)
        other = np.ones(probe.size // 8, np.float32)
        return lambda: np.dot(values, other)
    if probe.kind == "matmul" and probe.what == "int8":
        return _int8_call(probe.size, threads)
    if probe.kind == "matmul":
        a = np.random.default_rng(0).standard_normal((probe.size, probe.size))
        a = a.astype(np.float32 if probe.what == "fp32" else np.float64)
        return lambda: a @ a
    if probe.kind == "csr":
        return _csr_call(probe.size, int(probe.what))
    return graph_call(_chain(probe.size) if probe.kind == "chain" else layer_graph(probe.what), threads=threads)


def run_probe(probe: Probe, *, threads: int = 1, budget_s: float = BUDGET_S) -> Measured:
    """Time one probe in this process; a chain's time is that of one of its layers beyond the first."""
    timing = time_call(_call_of(probe, threads), budget_s=budget_s, threads=threads)
    if probe.kind == "chain":
        one = time_call(_call_of(Probe("chain", probe.what, 1), threads), budget_s=budget_s, threads=threads)
        each = max(1e-9, (timing.seconds - one.seconds) / max(1, probe.size - 1))
        timing = Timing(each, timing.busy, timing.samples, threads)
    return Measured(probe, timing)


def run_probes(threads: int = 1, *, tiny: bool = False) -> Iterator[Measured]:
    """Each probe as it is measured, in a process of its own whose libraries use `threads` threads.

    Raises InputError where that process fails; ends it when the caller stops early.
    """
    command = [sys.executable, "-m", f"{__package__}.worker", str(threads), "tiny" if tiny else "full"]
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as child:
        try:
            assert child.stdout is not None
            assert child.stderr is not None
            for probe, line in zip(probe_list(tiny), child.stdout, strict=False):
                yield Measured(probe, Timing(**json.loads(line)))
            if child.wait() != 0:
                said = child.stderr.read().strip().splitlines() or ["nothing said"]
                raise InputError("calibrate", said[-1], "probes that run", "picojoule measure MODEL tells more")
        finally:
            child.terminate()
