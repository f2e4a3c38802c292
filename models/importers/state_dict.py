"""Weights beside a network: safetensors, npz or a PyTorch state dict, by name or in the network's order.

No pickle is run: npz is read without it, and a state dict by PyTorch's own reader of tensors alone (extra [train]).
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError, InputError, MissingExtraError
from ..graph import Graph

__all__ = ["WEIGHT_FILES", "apply_weights", "read_weights"]

WEIGHT_FILES = (".safetensors", ".npz", ".pt", ".pth", ".bin")
LIMIT_BYTES = 1 << 34
Arrays = dict[str, NDArray[np.float32]]
STATISTICS = re.compile(r"(.*)\.(running_mean|running_var|num_batches_tracked)$")
EPSILON = 1e-5


def read_weights(path: str | os.PathLike[str]) -> Arrays:
    """Float32 arrays by name, in the file's order. Raises InputError for another file, FileFormatError for damage."""
    file = Path(path)
    if file.suffix not in WEIGHT_FILES:
        raise InputError("--weights", str(file), f"a file ending in {', '.join(WEIGHT_FILES)}")
    if not file.is_file():
        raise InputError(str(file), "no such file", "weights of the network", "check the path")
    if file.stat().st_size > LIMIT_BYTES:
        raise InputError(str(file), f"{file.stat().st_size} bytes", f"at most {LIMIT_BYTES}")
    reader = {".safetensors": _safetensors, ".npz": _npz}.get(file.suffix, _torch)
    return {name: np.ascontiguousarray(array, np.float32) for name, array in reader(file).items()}


def _safetensors(file: Path) -> Mapping[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(file)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise FileFormatError(str(file), error, "a safetensors file of floats") from error


def _npz(file: Path) -> Mapping[str, NDArray[Any]]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise FileFormatError(str(file), error, "an npz file of plain arrays") from error


def _torch(file: Path) -> Mapping[str, NDArray[Any]]:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("reading a PyTorch state dict", "train") from error
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise FileFormatError(str(file), error, "a state dict of tensors", "save model.state_dict()") from error
    state = found.get("state_dict", found) if isinstance(found, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise FileFormatError(str(file), type(found).__name__, "a state dict of tensors")
    return {str(name): value.float().numpy() for name, value in state.items()}


def apply_weights(
    graph: Graph, weights: Mapping[str, NDArray[np.float32]], where: str, epsilon: float = EPSILON
) -> Graph:
    """The network with these weights: by name where all names are there, else in the network's order.

    In order, the running statistics of a batch normalization are folded into its scale and bias:
    scale = weight / sqrt(variance + epsilon), bias - mean x scale. Raises InputError for the first that does not fit.
    """
    if set(graph.parameters) <= set(weights):
        return graph.with_parameters({name: weights[name] for name in graph.parameters})
    values = list(_folded(weights, epsilon).items())
    if len(values) != len(graph.parameters):
        missing = next((name for name in graph.parameters if name not in weights), "?")
        got = f"{len(values)} tensors, none of them named {missing}"
        raise InputError(where, got, f"the {len(graph.parameters)} parameters of {graph.name}, by name or in its order")
    found = {}
    for (name, parameter), (theirs, array) in zip(graph.parameters.items(), values, strict=True):
        if array.shape != parameter.shape:
            raise InputError(f"{where}: {theirs}", f"shape {array.shape}", f"{parameter.shape} for {name}")
        found[name] = array
    return graph.with_parameters(found)


def _folded(weights: Mapping[str, NDArray[np.float32]], epsilon: float) -> Arrays:
    """Without running statistics: each normalization's weight and bias carry them."""
    out: Arrays = {}
    for name, array in weights.items():
        if STATISTICS.match(name):
            continue
        layer, _, role = name.rpartition(".")
        mean, variance = weights.get(f"{layer}.running_mean"), weights.get(f"{layer}.running_var")
        if mean is None or variance is None:
            out[name] = array
            continue
        scale = (weights[f"{layer}.weight"] / np.sqrt(variance.astype(np.float64) + epsilon)).astype(np.float32)
        out[name] = scale if role == "weight" else (array - mean * scale).astype(np.float32)
    return out
