"""Unsigned numbers of a fixed width laid end to end, most significant bit first."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .checks import check_length, check_zero_tail, packed_bytes

__all__ = ["pack", "unpack", "width_of"]

CHUNK = 1 << 16  # numbers handled at a time; a multiple of 8, so that every chunk fills its last byte


def width_of(largest: int) -> int:
    """Smallest number of bits, at least 1, that holds 0..largest.

    >>> width_of(0), width_of(255), width_of(256)
    (1, 8, 9)
    """
    return max(1, int(largest).bit_length())


def _container(width: int) -> int:
    """Bytes of the narrowest unsigned integer (1, 2 or 4) that holds `width` bits."""
    if not 1 <= width <= 32:
        raise InputError("bit packing", f"{width} bits", "a width from 1 to 32 bits")
    return 1 if width <= 8 else 2 if width <= 16 else 4


def pack(values: ArrayLike, width: int) -> bytes:
    """Numbers 0..2^width - 1, flattened in C order, as ceil(n width / 8) bytes; unused last bits are 0.

    By hand: 5, 1, 7 in 3 bits are 101 001 11|1, so a7 80. Raises InputError for a number that does not fit.

    >>> pack([5, 1, 7], 3).hex()
    'a780'
    """
    size = _container(width)
    flat = np.ascontiguousarray(values).ravel()
    if flat.size and (int(flat.min()) < 0 or int(flat.max()) >> width):
        raise InputError("bit packing", f"numbers {flat.min()} to {flat.max()}", f"numbers of {width} bits")
    parts = []
    for first in range(0, flat.size, CHUNK):
        chunk = flat[first : first + CHUNK].astype(f">u{size}").view(np.uint8)
        if width < 8 * size:
            chunk = np.packbits(np.unpackbits(chunk).reshape(-1, 8 * size)[:, 8 * size - width :])
        parts.append(chunk.tobytes())
    return b"".join(parts)


def unpack(data: bytes, count: int, width: int, where: str = "packed numbers") -> NDArray[np.unsignedinteger]:
    """The `count` numbers that `pack` wrote, shape [count], as uint8, uint16 or uint32 (the narrowest).

    Raises FileFormatError when `data` is not exactly ceil(count width / 8) bytes or has a 1 behind them.

    >>> unpack(bytes.fromhex("a780"), 3, 3).tolist()
    [5, 1, 7]
    """
    size = _container(width)
    check_length(data, count * width, where)
    check_zero_tail(data, count * width, where)
    raw = np.frombuffer(data, np.uint8)
    out = np.empty(count, f"u{size}")
    for first in range(0, count, CHUNK):
        here = min(CHUNK, count - first)
        chunk = raw[first * width // 8 : packed_bytes((first + here) * width)]
        if width < 8 * size:
            bits = np.zeros((here, 8 * size), np.uint8)
            bits[:, 8 * size - width :] = np.unpackbits(chunk, count=here * width).reshape(here, width)
            chunk = np.packbits(bits)
        out[first : first + here] = chunk.view(f">u{size}")
    return out
