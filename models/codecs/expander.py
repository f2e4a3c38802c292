"""`expander{degree}@{seed}`: codes of the weights of a regular bipartite graph, which the name alone regenerates.

    bits = outputs * degree * kernel * code_bits

No index is stored. `expander{degree}@{seed}+huffman`: the codes Huffman coded. The graph is that of
`patterns.expander_mask`; a weight of it may have code 0, one outside it always has.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..patterns import expander_mask
from .base import Codec, Codes, Encoded, Layout, Sizes
from .checks import damaged
from .stream import Stream, read_stream, stream_bits, write_stream

__all__ = ["expander"]


def _sizes(stream: Stream) -> Sizes:
    table = len(stream.cost) if stream.table_bits else 0
    bits = {"codes": stream.bits, "huffman_table": stream.table_bits}
    return Sizes(bits, {"codes": len(stream.symbols), "huffman_table": table})


def expander(degree: int, seed: int, coded: bool = False) -> Codec:
    """The codec; section `codes` (and `codes_table` before it when `coded`).

    By hand: of 1 x 2 weights, with degree 2, all exist: codes 1, 2 in 2 bits are 01 10|0000.

    >>> expander(2, 7).encode(np.array([[1, 2]], np.uint16), 2, 4).sections["codes"].hex()
    '60'
    """
    name = f"expander{degree}@{seed}{'+huffman' if coded else ''}"

    def mask_of(shape: tuple[int, ...]) -> NDArray[np.bool_]:
        return expander_mask(shape, degree, seed)

    def encode(codes: Codes, code_bits: int, symbols: int) -> Encoded:
        mask = mask_of(codes.shape)
        outside = int(np.count_nonzero(codes[~mask]))
        if outside:
            raise InputError(name, f"{outside} weights outside its graph", "zeros there",
                             "prune with the mask of the same degree and seed")  # fmt: skip
        sections, stream = write_stream("codes", codes[mask], code_bits, symbols, coded)
        return Encoded(sections, len(stream.symbols), _sizes(stream))

    def section_bits(layout: Layout) -> Mapping[str, int | None]:
        return stream_bits("codes", layout.entries, layout.code_bits, layout.symbols, coded)

    def decode(sections: Mapping[str, bytes], layout: Layout, where: str) -> tuple[Codes, Sizes]:
        shape = layout.shape
        if len(shape) < 2 or degree > shape[1]:
            raise damaged(where, f"{name} for shape {shape}", "at least as many inputs as its degree")
        wanted = shape[0] * degree * prod(shape[2:])
        if layout.entries != wanted:
            raise damaged(where, f"{layout.entries} codes", f"{wanted} for {name} of shape {shape}")
        stream = read_stream(sections, "codes", wanted, layout.code_bits, layout.symbols, coded, where)
        codes = np.zeros(shape, np.uint16)
        codes[mask_of(shape)] = stream.symbols
        return codes.ravel(), _sizes(stream)

    return Codec(name, encode, section_bits, decode)
