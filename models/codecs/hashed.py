"""`hashed@{seed}`: weights whose codes are a hash of their place: nothing but the codebook is stored.

    bits = 0, behind a `mirrored` codebook of (symbols - 1) / 2 values

Weight i has code 1 + bucket where its sign is plus and 1 + buckets + bucket where it is minus, as
`patterns.hashed_buckets` says (Chen et al., ICML 2015).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import InputError
from ..patterns import hashed_buckets
from .base import Codec, Codes, Encoded, Layout, Sizes
from .checks import damaged

__all__ = ["hashed", "hashed_codes"]

NOTHING = Sizes({"codes": 0}, {"codes": 0})


def hashed_codes(shape: tuple[int, ...], buckets: int, seed: int) -> Codes:
    """The codes of every weight, shape `shape`.

    >>> hashed_codes((2, 3), 4, 1).tolist()
    [[5, 8, 4], [6, 5, 1]]
    """
    bucket, minus = hashed_buckets(shape, buckets, seed)
    return (1 + bucket + buckets * minus).astype(np.uint16)


def hashed(seed: int) -> Codec:
    """The codec; it has no section of its own."""
    name = f"hashed@{seed}"

    def encode(codes: Codes, code_bits: int, symbols: int) -> Encoded:
        if symbols < 3 or symbols % 2 == 0 or not np.array_equal(codes, hashed_codes(codes.shape, symbols // 2, seed)):
            raise InputError(name, "codes that are not its hash", "the codes of hashed_codes", "see [sketch]")
        return Encoded({}, 0, NOTHING)

    def section_bits(layout: Layout) -> Mapping[str, int | None]:
        return {}

    def decode(sections: Mapping[str, bytes], layout: Layout, where: str) -> tuple[Codes, Sizes]:
        if layout.entries or layout.symbols < 3 or layout.symbols % 2 == 0:
            got = f"{layout.entries} codes, {layout.symbols} symbols"
            raise damaged(where, got, "no codes, an odd number of symbols from 3")
        return hashed_codes(layout.shape, layout.symbols // 2, seed).ravel(), NOTHING

    return Codec(name, encode, section_bits, decode)
