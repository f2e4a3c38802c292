"""Weights by name as safetensors or npz: float32 values, decoded, the same bytes every time."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError
from ..graph import Graph

__all__ = ["export_npz", "export_safetensors", "weight_arrays"]

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest date a zip entry can carry; numpy would write today's


def weight_arrays(graph: Graph) -> dict[str, NDArray[np.float32]]:
    """Every parameter's float32 values by name. Raises GraphError for one without values."""
    arrays = {}
    for name, parameter in graph.parameters.items():
        values = parameter.values
        if values is None:
            raise GraphError(f"network {graph.name}", f"parameter {name} without values", "weights",
                             "export a .pico file or a NAME@VARIANT")  # fmt: skip
        arrays[name] = values
    return arrays


def export_safetensors(graph: Graph) -> bytes:
    """The bytes of a safetensors file with every parameter, in float32.

    >>> import numpy as np, safetensors.numpy
    >>> from ..build import GraphBuilder
    >>> b = GraphBuilder("tiny", (1, 2))
    >>> _ = b.gemm("fc", 1, bias=False)
    >>> g = b.build().with_parameters({"fc.weight": np.array([[1, 2]], np.float32)})
    >>> safetensors.numpy.load(export_safetensors(g))["fc.weight"].tolist()
    [[1.0, 2.0]]
    """
    from safetensors.numpy import save

    return save(weight_arrays(graph))


def export_npz(graph: Graph) -> bytes:
    """The bytes of an npz file (a zip of npy files, not compressed) with every parameter, in float32.

    A name is the parameter's; `numpy.load` strips the `.npy` that numpy's own writer adds as well.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, values in weight_arrays(graph).items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, values, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", ZIP_EPOCH), entry.getvalue())
    return stream.getvalue()
