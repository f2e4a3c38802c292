"""What general compressors make of the same weights: the baseline for every format of our own.

zlib is deflate (RFC 1951) at its strongest level 9, zstd Zstandard (RFC 8878) at level 19, the strongest of its usual
ones, as Arrow brings it; from 16 MiB on their middle levels 6 and 9, which take seconds where these take minutes. Both
see plain bytes: every value as float32, or shared weights as codes in whole bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

import numpy as np

from ..codebooks import pack_codebook
from ..model import Model

__all__ = ["BASELINES", "baseline_bytes"]

STRONGEST, MIDDLE = {"zlib": 9, "zstd": 19}, {"zlib": 6, "zstd": 9}
LARGE_BYTES = 1 << 24
BASELINES: Mapping[str, str] = {
    "zlib_fp32": "every value in fp32, zlib",
    "zstd_fp32": "every value in fp32, zstd",
    "zlib_codes": "codes in whole bytes and codebooks, zlib",
    "zstd_codes": "codes in whole bytes and codebooks, zstd",
}


def baseline_bytes(model: Model) -> Mapping[str, int | None]:
    """Bytes of all parameters, biases included, by the keys of BASELINES.

    Those of codes are left out where nothing is shared; None where this build of Arrow has no zstd. Empty where values
    are unknown.
    """
    if not model.graph.has_weights:
        return {}
    found: dict[str, int | None] = {}
    for kind in ("fp32", "codes") if model.coded else ("fp32",):
        content = b"".join(_plain(model, coded=kind == "codes"))
        level = STRONGEST if len(content) < LARGE_BYTES else MIDDLE
        found[f"zlib_{kind}"] = len(zlib.compress(content, level["zlib"]))
        found[f"zstd_{kind}"] = _zstd(content, level["zstd"])
    return {key: found[key] for key in BASELINES if key in found}


def _plain(model: Model, coded: bool) -> Iterator[bytes]:
    """The parameters' bytes in the graph's order; with `coded`, shared ones as codes, then their codebook."""
    for name, parameter in model.graph.parameters.items():
        tensor = model.coded.get(name) if coded else None
        if tensor is None:
            yield np.asarray(parameter.values, "<f4").tobytes()
        else:
            yield tensor.codes.astype("u1" if tensor.code_bits <= 8 else "<u2").tobytes()
            yield pack_codebook(tensor.codebook_dtype, tensor.codebook, tensor.scales)


def _zstd(content: bytes, level: int) -> int | None:
    import pyarrow as pa

    if not pa.Codec.is_available("zstd"):
        return None
    return pa.Codec("zstd", level).compress(content).size
