"""Every way to store a tensor of shared weights, by the name that CodedTensor.encoding carries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from ..codebooks import codebook_bits, pack_codebook, unpack_codebook
from ..errors import InputError
from ..model import CodedTensor
from .base import Codec, Encoded, Layout, Sizes
from .bitmask import bitmask
from .block import block
from .checks import check_length, damaged
from .context import context
from .coo import COO
from .csc import CSC
from .csr import CSR
from .dense import dense
from .eie_csc4 import eie_csc4
from .expander import expander
from .hashed import hashed
from .n_of_m import n_of_m
from .relative import relative
from .rlc import RLC
from .sign import SIGN

__all__ = ["ENCODINGS", "codec_named", "decode", "encode", "is_encoding", "section_bits"]

ENCODINGS: Mapping[str, Codec] = MappingProxyType(
    {
        codec.name: codec
        for codec in (
            *(dense(coded) for coded in (False, True)),
            *(bitmask(coded) for coded in (False, True)),
            CSR,
            CSC,
            COO,
            RLC,
            *(relative(bits, coded) for bits in range(1, 17) for coded in (False, True)),
            eie_csc4(),
            context(),
            *(n_of_m(n, m) for n, m in ((1, 2), (1, 4), (2, 4), (4, 8))),
            *(block(r, c) for r, c in ((1, 4), (4, 1), (4, 4), (8, 8))),
        )
    }
)
LARGEST_M, LARGEST_BLOCK = 16, 64


@lru_cache(maxsize=256)
def _sized(name: str) -> Codec | None:
    """A codec for weights of one kind: n of m up to 16, blocks of up to 64 x 64, a degree and a seed, signs."""
    if name == "sign":
        return SIGN
    if match := re.fullmatch(r"nm([1-9]\d?):([1-9]\d?)", name):
        n, m = int(match[1]), int(match[2])
        return n_of_m(n, m) if n < m <= LARGEST_M else None
    if match := re.fullmatch(r"block([1-9]\d?)x([1-9]\d?)", name):
        r, c = int(match[1]), int(match[2])
        return block(r, c) if max(r, c) <= LARGEST_BLOCK else None
    if match := re.fullmatch(r"expander([1-9]\d{0,6})@(0|[1-9]\d{0,9})(\+huffman)?", name):
        seed = int(match[2])
        return expander(int(match[1]), seed, bool(match[3])) if seed < 1 << 32 else None
    if match := re.fullmatch(r"hashed@(0|[1-9]\d{0,9})", name):
        return hashed(int(match[1])) if int(match[1]) < 1 << 32 else None
    return None


def is_encoding(name: str) -> bool:
    """Whether `codec_named` knows the name.

    >>> is_encoding("csr"), is_encoding("nm3:8"), is_encoding("nm4:4"), is_encoding("block16x1")
    (True, True, False, True)
    """
    return name in ENCODINGS or _sized(name) is not None


def codec_named(name: str) -> Codec:
    """The codec of an encoding's name, or InputError.

    ENCODINGS holds the usual sizes of `nm{n}:{m}` and `block{r}x{c}`; others (n < m <= 16, blocks of at most 64 x 64)
    are made when asked for.
    """
    codec = ENCODINGS.get(name) or _sized(name)
    if codec is None:
        wanted = (
            "one of dense, bitmask, csr, csc, coo, rlc, eie_csc4, context, relative1 to relative16, nmN:M such as "
            "nm2:4, blockRxC such as block4x4, expanderD@SEED, hashed@SEED, sign; dense, bitmask, relative and "
            "expander also with +huffman"
        )
        raise InputError("encoding", name, wanted)
    return codec


def _with_codebook(sizes: Sizes, layout: Layout) -> Sizes:
    bits = _codebook_bits(layout)
    wide = 16 if layout.codebook_dtype == "float16" else 32
    return Sizes({"codebook": bits, **sizes.bits}, {"codebook": bits // wide, **sizes.entries})


def _codebook_bits(layout: Layout) -> int:
    return codebook_bits(layout.codebook_dtype, layout.symbols, layout.matrix[0])


def encode(tensor: CodedTensor, where: str = "") -> Encoded:
    """The bytes of a tensor: section `codebook` (see `codebooks`), then the codec's.

    Raises InputError for an unknown encoding or a tensor that it cannot hold; `where` names it.

    >>> t = CodedTensor(np.array([[0, 1]], np.uint16), np.array([0, 0.5], np.float32), 1, "dense")
    >>> {name: data.hex() for name, data in encode(t).sections.items()}
    {'codebook': '0000003f', 'codes': '40'}
    """
    codec = codec_named(tensor.encoding)
    if tensor.codes.size == 0:
        raise InputError("encoding", f"shape {tensor.shape}", "at least one element")
    try:
        encoded = codec.encode(np.ascontiguousarray(tensor.codes), tensor.code_bits, len(tensor.codebook))
    except InputError as error:
        raise error.within(where) from error
    symbols, kind = len(tensor.codebook), tensor.codebook_dtype
    codebook = pack_codebook(kind, tensor.codebook, tensor.scales)
    sizes = _with_codebook(encoded.sizes, Layout(tensor.shape, tensor.code_bits, symbols, encoded.entries, kind))
    return Encoded({"codebook": codebook, **encoded.sections}, encoded.entries, sizes)


def section_bits(encoding: str, layout: Layout, where: str = "tensor") -> dict[str, int | None]:
    """Sections in file order and their bits, each rounded up to whole bytes; None for a coded stream.

    Raises FileFormatError for a layout that no tensor has.

    >>> section_bits("relative5", Layout((300, 784), 6, 64, 20000))
    {'codebook': 2016, 'gaps': 100000, 'codes': 120000}
    """
    _check_layout(encoding, layout, where)
    return {"codebook": _codebook_bits(layout), **codec_named(encoding).section_bits(layout)}


def decode(
    encoding: str, sections: Mapping[str, bytes], layout: Layout, where: str = "tensor"
) -> tuple[CodedTensor, Sizes]:
    """The tensor that `encode` was given, and its sizes. Raises FileFormatError for anything else.

    Checks every section's length against `layout` before any array of that size is made.

    >>> t = CodedTensor(np.array([[0, 1]], np.uint16), np.array([0, 0.5], np.float32), 1, "csr")
    >>> encoded = encode(t)
    >>> decode("csr", encoded.sections, Layout((1, 2), 1, 2, encoded.entries))[0].values.tolist()
    [[0.0, 0.5]]
    """
    codec = codec_named(encoding)
    for name, bits in section_bits(encoding, layout, where).items():
        if name not in sections:
            raise damaged(where, f"sections {', '.join(sections) or 'none'}", f"a section {name}")
        if bits is not None:
            check_length(sections[name], bits, f"{where} {name}")
    codes, sizes = codec.decode(sections, layout, where)
    try:
        codebook, scales = unpack_codebook(layout.codebook_dtype, sections["codebook"], layout.symbols)
    except ValueError as error:
        raise damaged(f"{where} codebook", error, "finite values of its kind") from error
    kind = layout.codebook_dtype
    tensor = CodedTensor(codes.reshape(layout.shape), codebook, layout.code_bits, encoding, kind, scales)
    return tensor, _with_codebook(sizes, layout)


def _check_layout(encoding: str, layout: Layout, where: str) -> None:
    most = (1 << layout.code_bits) + (encoding == "sign")
    if not 1 <= layout.code_bits <= 16 or not 1 <= layout.symbols <= most:
        got = f"{layout.symbols} codebook entries of {layout.code_bits} bits"
        raise damaged(where, got, "1 to 2^bits entries, 1 to 16 bits")
    if any(size < 1 for size in layout.shape) or layout.entries < 0:
        raise damaged(where, f"shape {layout.shape}, {layout.entries} entries", "positive sizes")
