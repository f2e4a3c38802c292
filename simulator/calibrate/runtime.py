"""Whole networks and single layers on this machine, as onnxruntime runs them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.errors import GraphError, InputError, MissingExtraError
from ...models.exporters.onnx import export_onnx
from ...models.graph import Graph

__all__ = ["call_of", "file_call", "graph_call", "session_of", "with_random_weights"]

SEED = 20160502  # the opening day of ICLR 2016
TYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64, "tensor(int64)": np.int64,
    "tensor(int32)": np.int32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_,
}  # fmt: skip


def with_random_weights(graph: Graph) -> Graph:
    """`graph` with normal values of variance 1 / fan-in where values are unknown; biases and offsets stay small.

    Times of dense kernels do not depend on the values, as long as none is a denormal or not finite.
    """
    values: dict[str, NDArray[np.float32]] = {}
    for name, parameter in graph.parameters.items():
        if parameter.known:
            continue
        rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
        fan_in = prod(parameter.shape[1:]) if len(parameter.shape) > 1 else 1
        draw = rng.standard_normal(parameter.shape, np.float32) / np.float32(np.sqrt(fan_in))
        values[name] = draw if len(parameter.shape) > 1 else np.float32(1) + np.float32(0.01) * draw
    return graph.with_parameters(values) if values else graph


def session_of(content: bytes | str, where: str, threads: int) -> Any:
    """A session of onnxruntime on a file or its bytes; GraphError with `where` if it does not load."""
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise MissingExtraError("running a network to measure it", "run") from error
    ort.disable_telemetry_events()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting is not work
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise GraphError(where, error, "a network that onnxruntime loads") from error


def _input(argument: Any, shape: tuple[int, ...], where: str) -> NDArray[Any]:
    if argument.type not in TYPES:
        raise InputError(f"{where}: input {argument.name}", argument.type, f"one of {', '.join(TYPES)}")
    dtype = TYPES[argument.type]
    if np.issubdtype(dtype, np.floating):
        return np.random.default_rng(SEED).standard_normal(shape).astype(dtype)
    return np.zeros(shape, dtype)  # a token or a mask that every network has


def call_of(session: Any, feeds: dict[str, NDArray[Any]], where: str) -> Callable[[], object]:
    """A run of the session on `feeds`, tried once; GraphError with `where` if it fails."""

    def call() -> object:
        return session.run(None, feeds)

    try:
        call()
    except Exception as error:
        raise GraphError(where, error, "a network that onnxruntime runs") from error
    return call


def graph_call(graph: Graph, *, threads: int = 1, batch: int = 1) -> Callable[[], object]:
    """A call that runs `graph` once, on `batch` times its own batch; unknown weights are drawn by a fixed seed."""
    where = f"network {graph.name}"
    session = session_of(export_onnx(with_random_weights(graph)), where, threads)
    feeds = {}
    for argument in session.get_inputs():
        first, *rest = graph.tensors[argument.name].shape or (1,)
        feeds[argument.name] = _input(argument, (first * batch, *rest), where)
    return call_of(session, feeds, where)


def file_call(path: str, shapes: dict[str, tuple[int, ...]], *, threads: int = 1) -> Callable[[], object]:
    """A call that runs an ONNX file as it is, its open axes as `shapes` say."""
    session = session_of(path, path, threads)
    feeds = {argument.name: _input(argument, shapes[argument.name], path) for argument in session.get_inputs()}
    return call_of(session, feeds, path)
