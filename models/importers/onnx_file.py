"""The bytes of an ONNX file, and the constant tensors in it: nothing is trusted, nothing is read early.

A tensor's values are read when first asked for; its sizes are checked before, against what the file holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError, GraphError
from ..files import read_bytes
from ..graph import Parameter
from .onnx_slim import RawPart, slim_bytes

if TYPE_CHECKING:
    import onnx

__all__ = [
    "ELEMENT_LIMIT",
    "Constant",
    "FileTensors",
    "as_text",
    "finite_parameter",
    "integers_of",
    "parse_onnx",
    "read_onnx",
]

FILE_LIMIT_BYTES = 2**31  # protobuf's own limit
WHOLE_BYTES = 1 << 22  # a file up to this size is read at once
NODE_LIMIT = 200_000
ELEMENT_LIMIT = 2**40  # of a tensor that is never allocated
STORED_LIMIT = 2**32  # of a constant tensor
AXES_LIMIT = 16
VIEW_LIMIT = 64  # each nests the reading of the values once


@dataclass(frozen=True)
class _Type:
    """How one ONNX element type lies in raw_data, and which typed field holds it otherwise."""

    stored: str
    bits: int
    typed_field: str
    typed: type = np.int32
    bfloat: bool = False


TYPES: Mapping[int, _Type] = {
    1: _Type("<f4", 32, "float_data", np.float32),
    2: _Type("u1", 8, "int32_data"),
    3: _Type("i1", 8, "int32_data"),
    4: _Type("<u2", 16, "int32_data"),
    5: _Type("<i2", 16, "int32_data"),
    6: _Type("<i4", 32, "int32_data"),
    7: _Type("<i8", 64, "int64_data", np.int64),
    9: _Type("?", 8, "int32_data"),
    10: _Type("<f2", 16, "int32_data"),
    11: _Type("<f8", 64, "double_data", np.float64),
    12: _Type("<u4", 32, "uint64_data", np.uint64),
    13: _Type("<u8", 64, "uint64_data", np.uint64),
    16: _Type("<u2", 16, "int32_data", bfloat=True),
}


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor whose values the file holds or fixes; `read` fetches them."""

    name: str
    shape: tuple[int, ...]
    bits: int
    is_float: bool
    read: Callable[[], NDArray[Any]]
    depth: int = 0

    @property
    def elements(self) -> int:
        return prod(self.shape)

    def viewed(self, shape: tuple[int, ...], change: Callable[[NDArray[Any]], NDArray[Any]]) -> Constant:
        """The same values under another shape or order, still unread."""
        if self.depth >= VIEW_LIMIT:
            raise GraphError(f"tensor {self.name}", f"more than {VIEW_LIMIT} views in a row", "fewer")
        read = self.read
        return Constant(self.name, shape, self.bits, self.is_float, lambda: change(read()), self.depth + 1)

    def parameter(self) -> Parameter:
        """As float32 weights of at most 32 bits each. Raises FileFormatError when read and not finite."""
        return finite_parameter(self.name, self.shape, self.bits, self.read)


def finite_parameter(
    name: str, shape: tuple[int, ...], bits: int, compute: Callable[[], NDArray[Any]]
) -> Parameter:
    """Weights computed when first asked for. Raises FileFormatError then if one is not finite in float32."""

    def source() -> NDArray[np.float32]:
        with np.errstate(all="ignore"):
            values = compute().astype(np.float32, copy=False).reshape(shape)
        if not np.isfinite(values).all():
            raise FileFormatError(f"tensor {name}", "values that are not finite", "finite weights")
        return values

    return Parameter(shape, min(32, bits), source)


def as_text(value: str | bytes) -> str:
    """A string of the file; protobuf hands over bytes where it is not UTF-8, which is a UnicodeDecodeError here."""
    return value if isinstance(value, str) else value.decode("utf-8")


def read_onnx(path: Path) -> tuple[onnx.ModelProto, dict[str, RawPart]]:
    """The parsed file, and where in it lies the raw data of large initializers, which is not read.

    Raises InputError for no file, a folder or a huge file, FileFormatError for the rest.
    """
    if path.is_file() and WHOLE_BYTES < path.stat().st_size <= FILE_LIMIT_BYTES:
        content, parts = slim_bytes(path)
        return parse_onnx(content, str(path)), parts
    return parse_onnx(read_bytes(path, limit_bytes=FILE_LIMIT_BYTES, what="an ONNX file"), str(path)), {}


def parse_onnx(content: bytes, where: str) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError:
        got = f"{len(content)} bytes that are cut off or not ONNX" if content else "an empty file"
        raise FileFormatError(where, got, "an ONNX file", "export the network again") from None
    if not model.HasField("graph") or model.ir_version < 1 or not model.graph.output:
        got = "an empty file" if not content else "no network in it"
        raise FileFormatError(where, got, "an ONNX file with a graph and its outputs", "export the network again")
    if len(model.graph.node) > NODE_LIMIT:
        raise FileFormatError(where, f"{len(model.graph.node)} nodes", f"at most {NODE_LIMIT}")
    return model


class FileTensors:
    """Makes Constants of TensorProtos; external data is looked for under `folder` and nowhere else."""

    def __init__(self, where: str, folder: Path, parts: Mapping[str, RawPart] | None = None) -> None:
        self.where = where
        self.folder = folder
        self.parts = parts or {}

    def constant(self, proto: onnx.TensorProto, name: str = "") -> Constant:
        """Raises FileFormatError where sizes, type and stored bytes disagree."""
        name = name or as_text(proto.name)
        shape = tuple(int(size) for size in proto.dims)
        if len(shape) > AXES_LIMIT or any(size < 0 for size in shape) or prod(shape) > STORED_LIMIT:
            raise self._wrong(name, f"shape {shape}", f"at most {AXES_LIMIT} axes and {STORED_LIMIT} elements")
        kind = TYPES.get(proto.data_type)
        if kind is None:
            raise self._wrong(name, f"element type {proto.data_type}", "a type among float, float16, bfloat16, int")
        read = self._external(proto, name, shape, kind) if proto.data_location == 1 else self._inside(
            proto, name, shape, kind
        )  # fmt: skip
        is_float = kind.stored in ("<f2", "<f4", "<f8") or kind.bfloat
        return Constant(name, shape, kind.bits, is_float, lambda: _decoded(read(), kind).reshape(shape))

    def _wrong(self, name: str, got: str, wanted: str, next_step: str = "") -> FileFormatError:
        return FileFormatError(f"{self.where}: tensor {name}", got, wanted, next_step)

    def _inside(
        self, proto: onnx.TensorProto, name: str, shape: tuple[int, ...], kind: _Type
    ) -> Callable[[], NDArray[Any]]:
        elements, itemsize = prod(shape), np.dtype(kind.stored).itemsize
        part = self.parts.get(as_text(proto.name))
        if part is not None:
            if part.length != elements * itemsize:
                raise self._wrong(name, f"{part.length} bytes", f"{elements * itemsize} for shape {shape}")
            return lambda: self._read_part(name, Path(self.where), part.offset, part.length, kind)
        if proto.HasField("raw_data"):
            stored = len(proto.raw_data)
            if stored != elements * itemsize:
                raise self._wrong(name, f"{stored} bytes", f"{elements * itemsize} for shape {shape}")
            return lambda: np.frombuffer(proto.raw_data, kind.stored)
        values = getattr(proto, kind.typed_field)
        if len(values) != elements:
            raise self._wrong(name, f"{len(values)} values", f"{elements} for shape {shape}")
        return lambda: _narrowed(np.array(values, kind.typed), kind)

    def _external(
        self, proto: onnx.TensorProto, name: str, shape: tuple[int, ...], kind: _Type
    ) -> Callable[[], NDArray[Any]]:
        entries = {as_text(entry.key): as_text(entry.value) for entry in proto.external_data}
        file = self._inner_path(name, entries.get("location", ""))
        length = prod(shape) * np.dtype(kind.stored).itemsize
        offset = self._number(name, entries.get("offset", "0"))
        if self._number(name, entries.get("length", str(length))) != length:
            raise self._wrong(name, f"{entries['length']} bytes of external data", f"{length} for shape {shape}")
        stored = self._stored_bytes(name, file)
        if stored < offset + length:
            raise self._wrong(name, f"{stored} bytes in {file.name}", f"at least {offset + length}")

        return lambda: self._read_part(name, file, offset, length, kind)

    def _read_part(self, name: str, file: Path, offset: int, length: int, kind: _Type) -> NDArray[Any]:
        try:
            with file.open("rb") as stream:
                stream.seek(offset)
                content = stream.read(length)
        except OSError as error:
            raise self._wrong(name, error.strerror or "an error", f"to read {file.name}") from error
        if len(content) != length:
            raise self._wrong(name, f"{len(content)} bytes in {file.name}", f"{length}")
        return np.frombuffer(content, kind.stored)

    def _stored_bytes(self, name: str, file: Path) -> int:
        """Size of a regular file."""
        try:
            if file.is_file():
                return file.stat().st_size
        except OSError as error:
            raise self._wrong(name, error.strerror or "an error", f"to find {file.name}") from error
        raise self._wrong(name, f"no file {file.name} beside it", "its external data", "copy both files together")

    def _inner_path(self, name: str, location: str) -> Path:
        """`location` under the model's folder, links followed; anything that leaves the folder is refused."""
        path = PurePosixPath(location)
        allowed = location and "\0" not in location and "\\" not in location and not path.is_absolute()
        if allowed and ".." not in path.parts:
            try:
                file = (self.folder / path).resolve()
                if file.is_relative_to(self.folder.resolve()):
                    return file
            except (OSError, RuntimeError) as error:
                raise self._wrong(name, "a path that cannot be followed", "a file beside the model") from error
        raise self._wrong(name, f"external data in {location!r}", "a file inside the model's own folder",
                          "copy it there and write its location without .. or links")  # fmt: skip

    def _number(self, name: str, text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise self._wrong(name, f"offset or length {text!r}", "a whole number of bytes")
        return int(text)


def _narrowed(values: NDArray[Any], kind: _Type) -> NDArray[Any]:
    """Typed fields are wider than the type; 16-bit floats lie in them as bit patterns."""
    if kind.stored == "<f2":
        return values.astype(np.uint16).view(np.float16)
    return values.astype(kind.stored)


def _decoded(values: NDArray[Any], kind: _Type) -> NDArray[Any]:
    """bfloat16 is the upper half of a float32."""
    return (values.astype(np.uint32) << 16).view(np.float32) if kind.bfloat else values


def integers_of(constant: Constant, where: str, limit: int = 4096) -> tuple[int, ...]:
    """Whole numbers of a small constant, flattened. Raises GraphError for another type or too many."""
    if constant.is_float or constant.elements > limit:
        raise GraphError(where, f"{constant.elements} values in {constant.name}", f"at most {limit} whole numbers")
    return tuple(int(value) for value in constant.read().reshape(-1))
