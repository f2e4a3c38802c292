"""`sign`: one bit per weight of a binary layer, 0 for code 1 and 1 for code 2; there is no zero.

    bits = elements
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import InputError
from .base import Codec, Codes, Encoded, Layout, Sizes
from .bitpack import pack, unpack
from .checks import damaged

__all__ = ["SIGN"]


def _sizes(elements: int) -> Sizes:
    return Sizes({"codes": elements}, {"codes": elements})


def _encode(codes: Codes, code_bits: int, symbols: int) -> Encoded:
    if code_bits != 1 or symbols != 3 or not codes.all():
        got = f"{code_bits} bits, {symbols} codebook entries, {np.count_nonzero(codes == 0)} zeros"
        raise InputError("sign", got, "1 bit, 3 entries and no zero", "quantize with the method binary")
    return Encoded({"codes": pack(codes.ravel() - 1, 1)}, codes.size, _sizes(codes.size))


def _section_bits(layout: Layout) -> Mapping[str, int | None]:
    return {"codes": layout.elements}


def _decode(sections: Mapping[str, bytes], layout: Layout, where: str) -> tuple[Codes, Sizes]:
    if layout.entries != layout.elements or layout.code_bits != 1 or layout.symbols != 3:
        got = f"{layout.entries} codes of {layout.code_bits} bits, {layout.symbols} symbols"
        raise damaged(where, got, f"{layout.elements} codes of 1 bit, 3 symbols")
    codes = unpack(sections["codes"], layout.elements, 1, where).astype(np.uint16) + np.uint16(1)
    return codes, _sizes(layout.elements)


SIGN = Codec("sign", _encode, _section_bits, _decode)
