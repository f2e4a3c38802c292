"""The header of a `.pico` file: JSON, deflated with a preset dictionary. Described in docs/pico-format.md."""

from __future__ import annotations

import zlib
from typing import Annotated, Literal

import msgspec
import numpy as np

from ..errors import InputError
from .checks import damaged
from .dictionary import DICTIONARIES

__all__ = [
    "CodedRow", "GraphRecord", "Header", "NodeRecord", "RawRow", "TensorRecord", "pack_header", "unpack_header",
]  # fmt: skip

JSON_LIMIT = 4 << 20  # bytes of JSON, at most
JSON_BASE, JSON_RATIO = 4096, 64  # and at most JSON_BASE + JSON_RATIO * compressed bytes

DICTIONARY = DICTIONARIES[1]

Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 32)]
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*\Z"  # one line, nothing that a terminal would obey
Text = Annotated[str, msgspec.Meta(max_length=4096, pattern=PRINTABLE)]
Line = Annotated[str, msgspec.Meta(pattern=PRINTABLE)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Rank = Annotated[list[Size], msgspec.Meta(max_length=8)]
Attribute = int | float | Line | bool | list[int]


class RawRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="raw"):
    """A parameter stored as plain numbers, little-endian, C order."""

    dtype: Literal["float32"]


class CodedRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="coded"):
    """A parameter stored as codes; `stream_bytes` has the length of each coded stream in file order."""

    encoding: Text
    code_bits: Annotated[int, msgspec.Meta(ge=1, le=16)]
    symbols: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
    codebook_dtype: Literal["float32", "float16", "mirrored", "grid", "channel_grid", "channel_sides", "channel_affine"]
    entries: Count
    stream_bytes: Annotated[list[Count], msgspec.Meta(max_length=8)]


class TensorRecord(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Name, bits per element and shape of an activation or a parameter."""

    name: Text
    bits: Annotated[int, msgspec.Meta(ge=1, le=64)]
    shape: Rank


class NodeRecord(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One operator, as in graph.Node."""

    name: Text
    op: Text
    inputs: list[Text]
    output: Text
    parameters: dict[Text, Text]
    attributes: dict[Text, Attribute]


class GraphRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole network without values; the order of `parameters` is the order of the header's rows."""

    name: Text
    inputs: list[Text]
    outputs: list[Text]
    tensors: list[TensorRecord]
    nodes: Annotated[list[NodeRecord], msgspec.Meta(max_length=1 << 16)]
    parameters: list[TensorRecord]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything in a file but the numbers. `graph` is a zoo network's name or a whole network."""

    graph: Text | GraphRecord
    parameters: list[RawRow | CodedRow | None]
    name: Text | None = None
    accuracy: tuple[Percent, Text, Count, Text, Text] | None = None
    activation_density: dict[Text, Share] = {}
    provenance: dict[Text, Line | int | float] = {}
    warnings: list[Line] = []


def _plain(value: object) -> object:
    """numpy scalars as Python numbers."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__}")


def _json_limit(compressed: int) -> int:
    return min(JSON_LIMIT, JSON_BASE + JSON_RATIO * compressed)


def pack_header(header: Header, where: str, version: int = 1) -> bytes:
    """Compressed bytes of a header of a format version. Raises InputError for content that a reader would refuse."""
    try:
        text = msgspec.json.encode(header, enc_hook=_plain)
        msgspec.json.decode(text, type=Header)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InputError(where, error, "names, texts and numbers of at most 64 bits") from error
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, DICTIONARIES[version])
    packed = squeeze.compress(text) + squeeze.flush()
    if len(text) > _json_limit(len(packed)):
        raise InputError(where, f"a header of {len(text)} bytes", f"at most {_json_limit(len(packed))} bytes")
    return packed


def unpack_header(packed: bytes, where: str, version: int = 1) -> Header:
    """The header that `pack_header` was given, or FileFormatError; never more than 4 MiB of JSON."""
    limit = _json_limit(len(packed))
    expand = zlib.decompressobj(-15, DICTIONARIES[version])
    try:
        text = expand.decompress(packed, limit + 1)
    except zlib.error as error:
        raise damaged(f"{where}: header", error, "deflated JSON") from error
    if len(text) > limit:
        raise damaged(f"{where}: header", f"more than {limit} bytes", f"at most {limit} bytes of JSON")
    if not expand.eof or expand.unused_data:
        raise damaged(f"{where}: header", f"{len(packed)} bytes", "one whole deflate stream")
    try:
        return msgspec.json.decode(text, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise damaged(f"{where}: header", error, f"a header of format version {version}") from error
