"""`nm{n}:{m}`: at most n of every m neighbours along the input channels are stored, each with its place.

As on sparse tensor cores (Mishra et al., *Accelerating Sparse Deep Neural Networks*, 2021): 2:4 keeps two values of
four, each with a 2-bit index. Every group has exactly n slots, used or not: a group with fewer non-zeros keeps its
first zeros as well. Channels are filled up with zeros to a multiple of m.

    slots = outputs * kernel * ceil(channels / m) * n;  bits = slots * (width(m - 1) + code_bits)
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .base import Codec, Codes, Encoded, Layout, Sizes
from .bitpack import pack, unpack, width_of
from .checks import damaged
from .stream import read_stream

__all__ = ["n_of_m"]


def _channels(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(outputs, input channels, kernel elements) of a weight tensor; without a second axis one channel."""
    return (shape[0] if shape else 1), (shape[1] if len(shape) > 1 else 1), prod(shape[2:])


def _groups(codes: Codes, m: int) -> NDArray[np.uint16]:
    """Codes [outputs * kernel * ceil(channels / m), m], zeros behind the last channel."""
    outputs, channels, kernel = _channels(codes.shape)
    inner = codes.reshape(outputs, channels, kernel).transpose(0, 2, 1)
    padded = np.zeros((outputs, kernel, -(-channels // m) * m), np.uint16)
    padded[..., :channels] = inner
    return padded.reshape(-1, m)


def _chosen(groups: NDArray[np.uint16], n: int) -> NDArray[np.bool_]:
    """The n of every m that are stored: the non-zeros, then the first zeros. At most n non-zeros in a group."""
    zero = groups == 0
    room = n - (groups.shape[1] - np.count_nonzero(zero, axis=1, keepdims=True))
    return ~zero | (np.cumsum(zero, axis=1, dtype=np.int16) <= room)


def n_of_m(n: int, m: int) -> Codec:
    """The codec; sections `indices` and `codes`, slot after slot. `encode` refuses a tensor that is not n:m.

    By hand, 2:4: codes 0, 3, 0, 1 have the places 1, 3 and the codes 3, 1; four zeros have the places 0, 1.

    >>> encoded = n_of_m(2, 4).encode(np.array([[0, 3, 0, 1, 0, 0, 0, 0]], np.uint16), 2, 4)
    >>> [s.hex() for s in encoded.sections.values()], encoded.entries
    (['71', 'd0'], 4)
    """
    name, index_bits = f"nm{n}:{m}", width_of(m - 1)

    def slots_of(layout: Layout) -> int:
        outputs, channels, kernel = _channels(layout.shape)
        return outputs * kernel * -(-channels // m) * n

    def sizes(codes: NDArray[np.integer], code_bits: int) -> Sizes:
        pads = int(np.count_nonzero(codes == 0))
        real = codes.size - pads
        bits = {"codes": real * code_bits, "indices": real * index_bits, "padding": pads * (code_bits + index_bits)}
        return Sizes(bits, {"codes": real, "indices": real, "padding": pads})

    def encode(codes: Codes, code_bits: int, symbols: int) -> Encoded:
        groups = _groups(codes, m)
        most = int(np.count_nonzero(groups, axis=1).max())
        if most > n:
            raise InputError(name, f"{most} weights among {m} neighbours",
                             f"at most {n} of every {m} along the input channels",
                             f'prune with the method "{n}:{m}", or choose another format')  # fmt: skip
        chosen = _chosen(groups, n)
        places = np.broadcast_to(np.arange(m, dtype=np.uint8), groups.shape)[chosen]
        stored = groups[chosen]
        sections = {"indices": pack(places, index_bits), "codes": pack(stored, code_bits)}
        return Encoded(sections, stored.size, sizes(stored, code_bits))

    def section_bits(layout: Layout) -> Mapping[str, int | None]:
        return {"indices": layout.entries * index_bits, "codes": layout.entries * layout.code_bits}

    def decode(sections: Mapping[str, bytes], layout: Layout, where: str) -> tuple[Codes, Sizes]:
        count = slots_of(layout)
        if layout.entries != count:
            raise damaged(where, f"{layout.entries} entries", f"{count}, {n} for every {m} channels")
        stream = read_stream(sections, "codes", count, layout.code_bits, layout.symbols, False, where)
        places = unpack(sections["indices"], count, index_bits, f"{where} indices").reshape(-1, n)
        if int(places.max()) >= m or (np.diff(places.astype(np.int16), axis=1) <= 0).any():
            raise damaged(f"{where} indices", "a place twice, out of order or beyond the group",
                          f"rising places below {m}")  # fmt: skip
        chosen = np.zeros((len(places), m), bool)
        for slot in places.T:
            chosen[np.arange(len(places)), slot] = True
        groups = np.zeros(chosen.shape, np.uint16)
        groups[chosen] = stream.symbols
        outputs, channels, kernel = _channels(layout.shape)
        padded = groups.reshape(outputs, kernel, -1)
        if padded[..., channels:].any() or not np.array_equal(_chosen(groups, n), chosen):
            raise damaged(f"{where} indices", "a place beyond the channels or a zero that is not the first",
                          "the non-zeros, then the first zeros")  # fmt: skip
        codes = np.ascontiguousarray(padded[..., :channels].transpose(0, 2, 1)).ravel()
        return codes, sizes(stream.symbols, layout.code_bits)

    return Codec(name, encode, section_bits, decode)
