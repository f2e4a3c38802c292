"""What a general compressor makes of the same weights: the baseline for every format of our own."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from ..codebooks import pack_codebook
from ..model import Model

__all__ = ["baseline_bytes"]

LEVEL = 9


def baseline_bytes(model: Model) -> Mapping[str, int]:
    """Bytes of the parameters under zlib (deflate, RFC 1951, at its strongest level), biases included.

    "zlib_fp32": every value as float32. "zlib_codes": the codes of shared weights in whole bytes with their codebooks,
    other parameters as float32; left out where nothing is shared. Empty where values are unknown.
    """
    parameters = model.graph.parameters
    if not model.graph.has_weights:
        return {}
    plain = [np.asarray(p.values, "<f4").tobytes() for p in parameters.values()]
    found = {"zlib_fp32": len(zlib.compress(b"".join(plain), LEVEL))}
    if model.coded:
        parts = []
        for (name, _), values in zip(parameters.items(), plain, strict=True):
            tensor = model.coded.get(name)
            if tensor is None:
                parts.append(values)
            else:
                parts += [tensor.codes.astype("u1" if tensor.code_bits <= 8 else "<u2").tobytes(),
                          pack_codebook(tensor.codebook_dtype, tensor.codebook, tensor.scales)]  # fmt: skip
        found["zlib_codes"] = len(zlib.compress(b"".join(parts), LEVEL))
    return found
