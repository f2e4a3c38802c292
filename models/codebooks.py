"""How a codebook lies in a file: every value, or only what the rest follows from.

    float32, float16   the values of codes 1 to n - 1
    mirrored           float32 values of the first half; the second half is the first with its signs changed
    grid               a step (float32) and a top (uint32): codes 1..top are +step x code, the others step x (code - n)
    channel_grid       a scale by output (float32) and a top: a grid of step 1, times the scale of the weight's output
    channel_sides      two scales by output (float32) and a top: the same, with a scale for values above 0 and one below
    channel_affine     a step by output (float32), then a top by output (uint32): a grid for each output

Code 0 is the value 0 in all of them. A grid is a uniform quantizer: code = q mod n of the
integers q = top - n + 1 .. top.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["CODEBOOK_KINDS", "codebook_bits", "grid_codebook", "pack_codebook", "scaled_values", "scales_shape",
           "unpack_codebook"]  # fmt: skip

CODEBOOK_KINDS = ("float32", "float16", "mirrored", "grid", "channel_grid", "channel_sides", "channel_affine")
GRIDS = CODEBOOK_KINDS[3:]
Values = NDArray[np.float32]


def grid_codebook(step: float, top: int, symbols: int) -> Values:
    """Values of codes 0..symbols-1 of a grid.

    >>> grid_codebook(0.5, 2, 4).tolist()
    [0.0, 0.5, 1.0, -0.5]
    """
    numbers = np.arange(symbols)
    return np.float32(step) * np.where(numbers <= top, numbers, numbers - symbols).astype(np.float32)


def scales_shape(kind: str, rows: int) -> tuple[int, ...] | None:
    """Shape of the scales of a tensor of `rows` outputs; None where its kind has none.

    channel_grid: a scale. channel_sides: scales of positive and of negative values. channel_affine: step and top.
    """
    return {"channel_grid": (rows,), "channel_sides": (rows, 2), "channel_affine": (rows, 2)}.get(kind)


def scaled_values(kind: str, codebook: Values, codes: NDArray[np.uint16], scales: Values | None) -> Values:
    """What codes [outputs, ...] stand for, float32 of the same shape.

    By hand: 2-bit codes 0 1 2 3 with top 2 are 0, 1, 2 and -1 steps; with top 0 they are 0, -3, -2, -1.

    >>> codes, scales = np.uint16([[0, 1, 2, 3]] * 2), np.float32([[0.5, 2], [1, 0]])
    >>> scaled_values("channel_affine", np.float32([0, 1, 2, 3]), codes, scales).tolist()
    [[0.0, 0.5, 1.0, -0.5], [0.0, -3.0, -2.0, -1.0]]
    """
    found = codebook[codes]
    if scales is None:
        return found
    wide = scales.reshape(len(scales), -1, *(1,) * (codes.ndim - 1))
    if kind == "channel_sides":
        return found * np.where(found > 0, wide[:, 0], wide[:, 1])
    if kind == "channel_affine":
        return np.where(found <= wide[:, 1], found, found - len(codebook)) * wide[:, 0]
    return found * wide[:, 0]


def codebook_bits(kind: str, symbols: int, rows: int) -> int:
    """Bits of a codebook of `symbols` entries, entry 0 included, for a tensor of `rows` outputs.

    >>> [codebook_bits(kind, 255, 10) for kind in CODEBOOK_KINDS]
    [8128, 4064, 4064, 64, 352, 672, 640]
    """
    if kind == "float16":
        return 16 * (symbols - 1)
    if kind == "mirrored":
        return 32 * ((symbols - 1) // 2)
    if kind in GRIDS:
        return 32 * {"grid": 2, "channel_grid": rows + 1, "channel_sides": 2 * rows + 1}.get(kind, 2 * rows)
    return 32 * (symbols - 1)


def pack_codebook(kind: str, codebook: Values, scales: Values | None = None) -> bytes:
    """The bytes of a codebook, little-endian; what its kind cannot hold is lost, see `unpack_codebook`."""
    if kind == "float16":
        with np.errstate(over="ignore"):
            return codebook[1:].astype("<f2").tobytes()
    if kind == "mirrored":
        return codebook[1 : 1 + (len(codebook) - 1) // 2].astype("<f4").tobytes()
    if kind == "channel_affine":
        assert scales is not None
        return scales[:, 0].astype("<f4").tobytes() + scales[:, 1].astype("<u4").tobytes()
    if kind in GRIDS:
        top = int(np.count_nonzero(codebook > 0))
        steps = scales if scales is not None else np.array([codebook[1] if top else -codebook[-1]])
        return np.asarray(steps, "<f4").tobytes() + top.to_bytes(4, "little")
    return codebook[1:].astype("<f4").tobytes()


def unpack_codebook(kind: str, data: bytes, symbols: int) -> tuple[Values, Values | None]:
    """(codebook, scales by output or None) from the bytes of `pack_codebook`, whose length is checked before.

    Raises ValueError for numbers that no writer stores.

    >>> values, scales = unpack_codebook("grid", pack_codebook("grid", np.float32([0, 0.5, -1, -0.5])), 4)
    >>> values.tolist(), scales
    ([0.0, 0.5, -1.0, -0.5], None)
    """
    if kind in GRIDS:
        return _unpack_grid(kind, data, symbols)
    stored = np.frombuffer(data, "<f2" if kind == "float16" else "<f4").astype(np.float32)
    if not np.isfinite(stored).all():
        raise ValueError("a value that is not finite")
    if kind == "mirrored":
        if symbols % 2 == 0:
            raise ValueError(f"a mirrored codebook of {symbols} entries")
        stored = np.concatenate((stored, -stored))
    return np.concatenate((np.zeros(1, np.float32), stored)), None


def _unpack_grid(kind: str, data: bytes, symbols: int) -> tuple[Values, Values | None]:
    words = len(data) // 4
    count = words // 2 if kind == "channel_affine" else words - 1
    numbers = np.frombuffer(data[: 4 * count], "<f4").astype(np.float32)
    tops = np.frombuffer(data[4 * count :], "<u4")
    if tops.max(initial=0) >= symbols or symbols < 2 or not (np.isfinite(numbers) & (numbers > 0)).all():
        raise ValueError(f"a grid of {symbols} codes, {tops.max(initial=0)} of them positive, "
                         f"steps from {numbers.min(initial=1)}")  # fmt: skip
    if kind == "channel_affine":
        codebook, scales = np.arange(symbols, dtype=np.float32), np.stack((numbers, tops.astype(np.float32)), axis=1)
        largest = numbers.astype(np.float64) * np.maximum(tops, symbols - 1 - tops.astype(np.int64))
    else:
        with np.errstate(over="ignore"):
            codebook = grid_codebook(float(numbers[0]) if kind == "grid" else 1.0, int(tops[0]), symbols)
        scales = None if kind == "grid" else numbers.reshape(-1, 2) if kind == "channel_sides" else numbers
        most = max(int(tops[0]), symbols - 1 - int(tops[0]))
        largest = numbers.astype(np.float64) * most
    if not (largest <= np.finfo(np.float32).max).all():
        raise ValueError("values that are not finite")
    return codebook, scales
