"""How a codebook lies in a file: every value, or only what the rest follows from.

    float32, float16   the values of codes 1 to n - 1
    mirrored           float32 values of the first half; the second half is the first with its signs changed
    grid               a step (float32) and a top (uint32): codes 1..top are +step x code, the others step x (code - n)
    channel_grid       a scale by output (float32) and a top: a grid of step 1, times the scale of the weight's output

Code 0 is the value 0 in all of them. A grid is a uniform quantizer: code = q mod n of the
integers q = top - n + 1 .. top.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["CODEBOOK_KINDS", "codebook_bits", "grid_codebook", "pack_codebook", "unpack_codebook"]

CODEBOOK_KINDS = ("float32", "float16", "mirrored", "grid", "channel_grid")
Values = NDArray[np.float32]


def grid_codebook(step: float, top: int, symbols: int) -> Values:
    """Values of codes 0..symbols-1 of a grid.

    >>> grid_codebook(0.5, 2, 4).tolist()
    [0.0, 0.5, 1.0, -0.5]
    """
    numbers = np.arange(symbols)
    return np.float32(step) * np.where(numbers <= top, numbers, numbers - symbols).astype(np.float32)


def codebook_bits(kind: str, symbols: int, rows: int) -> int:
    """Bits of a codebook of `symbols` entries, entry 0 included, for a tensor of `rows` outputs.

    >>> [codebook_bits(kind, 255, 10) for kind in CODEBOOK_KINDS]
    [8128, 4064, 4064, 64, 352]
    """
    if kind == "float16":
        return 16 * (symbols - 1)
    if kind == "mirrored":
        return 32 * ((symbols - 1) // 2)
    if kind in ("grid", "channel_grid"):
        return 32 * ((1 if kind == "grid" else rows) + 1)
    return 32 * (symbols - 1)


def pack_codebook(kind: str, codebook: Values, scales: Values | None = None) -> bytes:
    """The bytes of a codebook, little-endian; what its kind cannot hold is lost, see `unpack_codebook`."""
    if kind == "float16":
        with np.errstate(over="ignore"):
            return codebook[1:].astype("<f2").tobytes()
    if kind == "mirrored":
        return codebook[1 : 1 + (len(codebook) - 1) // 2].astype("<f4").tobytes()
    if kind in ("grid", "channel_grid"):
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
    if kind in ("grid", "channel_grid"):
        numbers, top = np.frombuffer(data[:-4], "<f4").astype(np.float32), int.from_bytes(data[-4:], "little")
        if top >= symbols or symbols < 2 or not (np.isfinite(numbers) & (numbers > 0)).all():
            raise ValueError(f"a grid of {symbols} codes, {top} of them positive, steps from {numbers.min(initial=1)}")
        with np.errstate(over="ignore"):
            codebook = grid_codebook(1.0 if kind == "channel_grid" else float(numbers[0]), top, symbols)
            largest = float(np.abs(codebook).max()) * float(numbers.max())
        if kind == "channel_grid" and largest <= np.finfo(np.float32).max:
            return codebook, numbers
        if kind == "channel_grid" or not np.isfinite(codebook).all():
            raise ValueError("values that are not finite")
        return codebook, None
    stored = np.frombuffer(data, "<f2" if kind == "float16" else "<f4").astype(np.float32)
    if not np.isfinite(stored).all():
        raise ValueError("a value that is not finite")
    if kind == "mirrored":
        if symbols % 2 == 0:
            raise ValueError(f"a mirrored codebook of {symbols} entries")
        stored = np.concatenate((stored, -stored))
    return np.concatenate((np.zeros(1, np.float32), stored)), None
