"""Checks that decoders share; all of them raise one FileFormatError line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError

__all__ = ["check_increasing", "check_length", "check_no_zero", "check_zero_tail", "damaged", "packed_bytes"]


def damaged(where: str, got: object, wanted: str) -> FileFormatError:
    """The error for content that no writer makes.

    >>> str(damaged("x.pico", "3 bytes", "4 bytes"))
    'x.pico: got 3 bytes, wanted 4 bytes; the file is damaged: get or write it again'
    """
    return FileFormatError(where, got, wanted, "the file is damaged: get or write it again")


def packed_bytes(bits: int) -> int:
    """Bytes that hold `bits` bits, the last byte filled up with zero bits."""
    return -(-bits // 8)


def check_length(data: bytes, bits: int, where: str) -> None:
    """Exactly the bytes that hold `bits` bits."""
    if len(data) != packed_bytes(bits):
        raise damaged(where, f"{len(data)} bytes", f"{packed_bytes(bits)} bytes for {bits} bits")


def check_zero_tail(data: bytes, bits: int, where: str) -> None:
    """The unused low bits of the last byte are 0, so that a content has one encoding only."""
    if bits % 8 and data[-1] & (0xFF >> bits % 8):
        raise damaged(where, f"a last byte of {data[-1]:#04x}", f"zeros behind its first {bits % 8} bits")


def check_no_zero(codes: NDArray[np.unsignedinteger], where: str) -> None:
    """Formats that store non-zeros only never store code 0."""
    if codes.size and not codes.all():
        raise damaged(f"{where} codes", "code 0 among the non-zeros", "codes of at least 1")


def check_increasing(pointers: NDArray[np.int64], where: str) -> None:
    """Pointers [..., n] start at 0 and never fall."""
    if pointers[..., 0].any() or (np.diff(pointers) < 0).any():
        raise damaged(f"{where} pointers", "pointers that fall or start above 0", "0, then never falling")
