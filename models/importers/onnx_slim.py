"""A large ONNX file without its weights: the structure is parsed, raw tensors stay on disk until they are asked for.

An ONNX file is one protobuf message: numbered fields, each with a varint key (field << 3 | type) and, for type 2, a
varint length. Walking a memory map of it, the raw data of large initializers is left out and its place remembered.
Source: protobuf's encoding guide; onnx.proto (ModelProto.graph = 7, GraphProto.initializer = 5, TensorProto.name = 8,
raw_data = 9).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import FileFormatError

__all__ = ["RawPart", "slim_bytes"]

LARGE_BYTES = 1 << 16  # raw data up to this size stays in the message
GRAPH, INITIALIZER, NAME, RAW_DATA = 7, 5, 8, 9
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class RawPart:
    """Where the raw data of one tensor lies in its file."""

    offset: int
    length: int


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """(value, where it ends). Raises ValueError for one that is cut off or longer than 64 bits."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError("a number that is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than 64 bits")


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(field, start of the key, start of the content, end) of each field of a message."""
    while at < end:
        start = at
        key, at = _varint(data, at, end)
        kind = key & 7
        if kind == VARINT:
            _, stop = _varint(data, at, end)
        elif kind == BYTES:
            length, at = _varint(data, at, end)
            stop = at + length
        elif kind in (FIXED64, FIXED32):
            stop = at + (8 if kind == FIXED64 else 4)
        else:
            raise ValueError(f"a field of type {kind}")
        if stop > end:
            raise ValueError("a field that is cut off")
        yield key >> 3, start, at, stop
        at = stop


def _encoded(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _wrapped(field: int, content: bytes) -> bytes:
    return _encoded(field << 3 | BYTES) + _encoded(len(content)) + content


def _slim_tensor(data: mmap.mmap, at: int, end: int, parts: dict[str, RawPart]) -> bytes:
    """A TensorProto without its raw data, if that is large."""
    kept: list[bytes] = []
    name, raw = "", None
    for field, start, content, stop in _fields(data, at, end):
        if field == RAW_DATA and stop - content > LARGE_BYTES:
            raw = RawPart(content, stop - content)
            continue
        if field == NAME:
            name = bytes(data[content:stop]).decode("utf-8")
        kept.append(bytes(data[start:stop]))
    if raw is not None:
        if name in parts:
            raise ValueError(f"two large tensors named {name!r}")
        parts[name] = raw
    return b"".join(kept)


def slim_bytes(path: Path) -> tuple[bytes, dict[str, RawPart]]:
    """(the file without large raw tensors, where these lie by name). Raises FileFormatError for a damaged file."""
    parts: dict[str, RawPart] = {}
    out: list[bytes] = []
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for field, start, content, stop in _fields(data, 0, len(data)):
                if field != GRAPH:
                    out.append(bytes(data[start:stop]))
                    continue
                graph = []
                for inner, inner_start, inner_content, inner_stop in _fields(data, content, stop):
                    if inner == INITIALIZER and inner_stop - inner_content > LARGE_BYTES:
                        graph.append(_wrapped(INITIALIZER, _slim_tensor(data, inner_content, inner_stop, parts)))
                    else:
                        graph.append(bytes(data[inner_start:inner_stop]))
                out.append(_wrapped(GRAPH, b"".join(graph)))
    except (ValueError, UnicodeDecodeError) as error:
        got = f"{path.stat().st_size} bytes that are cut off or not ONNX: {error}"
        raise FileFormatError(str(path), got, "an ONNX file", "export the network again") from error
    return b"".join(out), parts
