"""The `.pico` file: a network with its really encoded weights, every byte accounted for.

    magic "PICO" | version | header bytes | payload bytes | checksum | header | payload

The layout is described, for a reader in any language, in docs/pico-format.md.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .codebooks import CODEBOOK_KINDS
from .codecs import Layout, Sizes, decode, encode, is_encoding, section_bits
from .codecs.checks import damaged, packed_bytes
from .codecs.header import CodedRow, Header, RawRow, pack_header, unpack_header
from .codecs.structure import graph_from_record, graph_record
from .errors import FileFormatError, GraphError, InputError
from .files import open_atomic, read_bytes
from .finite import check_finite_parameters
from .graph import Graph
from .model import Accuracy, CodedTensor, LedgerRow, Model

__all__ = ["FORMAT_VERSION", "MAGIC", "decode_pico", "encode_pico", "read_pico", "write_pico"]

MAGIC = b"PICO"
FORMAT_VERSION = 2  # the newest; a file without anything that is new in it keeps version 1
NEW_IN_VERSION_2 = ("context", "sign", *CODEBOOK_KINDS[1:])  # encodings, codebooks' types
REGENERATED = ("expander", "hashed")  # encodings of version 2 with numbers in their names
PREFIX = struct.Struct("<4sHII")  # magic, version, header bytes, payload bytes
CHECKSUM_BYTES = 8
START = PREFIX.size + CHECKSUM_BYTES
FILE_LIMIT = (1 << 32) - 1
ELEMENTS_LIMIT = 1 << 31  # of all parameters
ELEMENTS_BASE, ELEMENTS_PER_BYTE = 1 << 20, 1024  # coded elements that a payload of n bytes may stand for
LEDGER_ORDER = ("codes", "indices", "padding", "pointers", "codebook", "huffman_table")


def write_pico(model: Model, path: str | os.PathLike[str]) -> None:
    """Write `model` to `path`, whole or not at all; what and what not, see `encode_pico`."""
    content = encode_pico(model)
    with open_atomic(path) as stream:
        stream.write(content)


def read_pico(path: str | os.PathLike[str]) -> Model:
    """The Model in a file. Raises InputError where there is none, FileFormatError where it is damaged."""
    content = read_bytes(path, limit_bytes=FILE_LIMIT, what="a .pico file")
    return decode_pico(content, os.fspath(path))


def _checksum(prefix: bytes, rest: bytes | memoryview) -> bytes:
    """First 8 bytes of the SHA-256 of everything but the checksum."""
    digest = hashlib.sha256(prefix)
    digest.update(rest)
    return digest.digest()[:CHECKSUM_BYTES]


# --- writing ---------------------------------------------------------------------------------------------


def encode_pico(model: Model) -> bytes:
    """The bytes of a `.pico` file; the same model gives the same bytes.

    Holds the graph, coded weights, other known parameters as float32, accuracy, activation density,
    provenance and warnings. Raises InputError for values that are not finite, for coded weights whose
    values the graph contradicts, and for anything that a reader would refuse.

    >>> from .zoo import build_network
    >>> model = Model("lenet-5", build_network("lenet-5"))
    >>> decode_pico(encode_pico(model), "example").graph.parameter_count
    431080
    """
    check_finite_parameters(model.graph)
    record = graph_record(model.graph)
    graph = _readable(model, record)
    rows: list[RawRow | CodedRow | None] = []
    payload: list[bytes] = []
    for name in graph.parameters:
        row, sections = _encode_parameter(model, name)
        rows.append(row)
        payload += sections
    body = b"".join(payload)
    _check_elements(rows, graph, len(body), f"model {model.name}", InputError)
    _check_numbers(model)
    version = _version(rows)
    header = pack_header(_header(model, record, rows), f"model {model.name}", version)
    if START + len(header) + len(body) > FILE_LIMIT:
        raise InputError(f"model {model.name}", f"{len(body)} bytes", f"at most {FILE_LIMIT} bytes")
    prefix = PREFIX.pack(MAGIC, version, len(header), len(body))
    return b"".join((prefix, _checksum(prefix, header + body), header, body))


def _version(rows: list[RawRow | CodedRow | None]) -> int:
    """The oldest format version that has everything in these rows."""
    used = {text for row in rows if isinstance(row, CodedRow) for text in (row.encoding, row.codebook_dtype)}
    return 2 if used.intersection(NEW_IN_VERSION_2) or any(name.startswith(REGENERATED) for name in used) else 1


def _readable(model: Model, record: object) -> Graph:
    """The graph as a reader will build it."""
    try:
        return graph_from_record(record, f"model {model.name}")  # type: ignore[arg-type]
    except FileFormatError as error:
        raise InputError(f"model {model.name}", error, "a network that can be read back") from error


def _header(model: Model, record: object, rows: list[RawRow | CodedRow | None]) -> Header:
    known = model.accuracy
    return Header(
        graph=record,  # type: ignore[arg-type]
        parameters=rows,
        name=None if model.name == model.graph.name else model.name,
        accuracy=(known.error_pct, known.dataset, known.n, known.split, known.status) if known else None,
        activation_density=dict(model.activation_density),
        provenance=dict(model.provenance),
        warnings=list(model.warnings),
    )


def _encode_parameter(model: Model, name: str) -> tuple[RawRow | CodedRow | None, list[bytes]]:
    values = model.graph.parameters[name].values
    if name not in model.coded:
        return (None, []) if values is None else (RawRow("float32"), [values.astype("<f4").tobytes()])
    tensor = model.coded[name]
    if values is not None and not np.array_equal(values, tensor.values):
        raise InputError(
            f"parameter {name}", "values in the graph that its codes do not decode to", "one set of weights",
            "use graph.with_parameters with the coded values",
        )  # fmt: skip
    encoded = encode(tensor, f"parameter {name}")
    symbols = len(tensor.codebook)
    layout = Layout(tensor.shape, tensor.code_bits, symbols, encoded.entries, tensor.codebook_dtype)
    bits = section_bits(tensor.encoding, layout)
    streams = [len(encoded.sections[section]) for section, known in bits.items() if known is None]
    dtype = tensor.codebook_dtype
    row = CodedRow(tensor.encoding, tensor.code_bits, symbols, dtype, encoded.entries, streams)  # type: ignore[arg-type]
    return row, [encoded.sections[section] for section in bits]


def _check_numbers(model: Model) -> None:
    """The header's numbers are finite and of 64 bits: JSON has no others."""
    numbers: dict[str, object] = {f"activation density of {k}": v for k, v in model.activation_density.items()}
    if model.accuracy:
        numbers["accuracy"] = model.accuracy.error_pct
    for node in model.graph:
        numbers |= {f"{node.name} {key}": value for key, value in node.attributes.items()}
    for key, value in model.provenance.items():
        numbers[f"provenance {key}"] = value
        if not isinstance(value, str | int | float | np.number):
            raise InputError(f"provenance {key}", f"a {type(value).__name__}", "a text or a number")
    for where, value in numbers.items():
        if isinstance(value, float | np.floating) and not math.isfinite(value):
            raise InputError(where, value, "a finite number")
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise InputError(where, value, "a number of at most 64 bits")


# --- reading ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stored:
    """One parameter as a file has it: its values, its codes if it has any, its rows of the ledger."""

    values: NDArray[np.float32]
    coded: CodedTensor | None
    ledger: tuple[LedgerRow, ...]


def decode_pico(data: bytes, where: str) -> Model:
    """The Model in the bytes of a `.pico` file; `where` names them in messages.

    The graph carries the decoded values, `coded` the codes, `ledger` every byte. Raises FileFormatError
    for damage of any kind, and allocates no more than a fixed multiple of len(data) plus 8 MiB.
    """
    version, packed, payload = _split(data, where)
    header = unpack_header(packed, where, version)
    if _version(header.parameters) > version:
        raise damaged(f"{where}: header", "what version 2 brought", f"what format version {version} has")
    graph = graph_from_record(header.graph, where)
    if len(header.parameters) != len(graph.parameters):
        raise damaged(where, f"{len(header.parameters)} parameters", f"{len(graph.parameters)} for {graph.name}")
    _check_elements(header.parameters, graph, len(payload), where, FileFormatError)
    stored = dict(_stored(header, graph, payload, where))
    ledger = [LedgerRow("", "header", PREFIX.size + len(packed)), LedgerRow("", "checksum", CHECKSUM_BYTES)]
    ledger += [row for parameter in stored.values() for row in parameter.ledger]
    try:
        return Model(
            name=header.name if header.name is not None else graph.name,
            graph=graph.with_parameters({name: parameter.values for name, parameter in stored.items()}),
            coded={name: parameter.coded for name, parameter in stored.items() if parameter.coded},
            accuracy=Accuracy(*header.accuracy) if header.accuracy else None,
            activation_density=header.activation_density,
            provenance=header.provenance,
            ledger=tuple(ledger),
            file_bytes=len(data),
            warnings=tuple(header.warnings),
        )
    except GraphError as error:
        raise damaged(where, error, "a sound network") from error


def _split(data: bytes, where: str) -> tuple[int, bytes, memoryview]:
    """(version, header, payload) of a file whose prefix, lengths and checksum are right."""
    if len(data) < START or data[: len(MAGIC)] != MAGIC:
        got = f"{len(data)} bytes starting {bytes(data[:4])!r}"
        raise FileFormatError(where, got, f"at least {START} bytes starting {MAGIC!r}", "is it a .pico file?")
    _, version, header_bytes, payload_bytes = PREFIX.unpack_from(data)
    if not 1 <= version <= FORMAT_VERSION:
        wanted = f"version 1 to {FORMAT_VERSION}"
        raise FileFormatError(where, f"format version {version}", wanted, "update picojoule")
    if len(data) != START + header_bytes + payload_bytes:
        raise damaged(where, f"{len(data)} bytes", f"{START + header_bytes + payload_bytes} bytes")
    view = memoryview(data)
    if data[PREFIX.size : START] != _checksum(data[: PREFIX.size], view[START:]):
        raise damaged(where, "a checksum that does not match", "an unchanged file")
    return version, bytes(view[START : START + header_bytes]), view[START + header_bytes :]


def _check_elements(
    rows: list[RawRow | CodedRow | None], graph: Graph, payload_bytes: int, where: str, kind: type[InputError]
) -> None:
    """Refuse shapes that the payload cannot fill, before anything of their size is made."""
    total = graph.parameter_count
    if total > ELEMENTS_LIMIT:
        raise kind(where, f"{total} parameters", f"at most {ELEMENTS_LIMIT}")
    pairs = zip(rows, graph.parameters.values(), strict=True)
    coded = sum(parameter.elements for row, parameter in pairs if isinstance(row, CodedRow))
    limit = ELEMENTS_BASE + ELEMENTS_PER_BYTE * payload_bytes
    if coded > limit:
        raise kind(where, f"{coded} coded weights in {payload_bytes} bytes", f"at most {limit} in such a file")


def _stored(header: Header, graph: Graph, payload: memoryview, where: str) -> Iterator[tuple[str, _Stored]]:
    """(name, parameter) of everything in the payload, which must be used up exactly."""
    roles = {name: role for node in graph for role, name in node.parameters.items()}
    place = 0
    for (name, parameter), row in zip(graph.parameters.items(), header.parameters, strict=True):
        here = f"{where}: {name}"
        if isinstance(row, RawRow):
            size = 4 * parameter.elements
            raw = _take(payload, place, size, here)
            values = np.frombuffer(raw, "<f4").astype(np.float32).reshape(parameter.shape)
            if not np.isfinite(values).all():
                raise damaged(here, "a value that is not finite", "finite weights")
            ledger = LedgerRow(name, roles.get(name, "values"), size, parameter.elements)
            yield name, _Stored(values, None, (ledger,))
            place += size
        elif row is not None:
            sections = _slice(payload, place, row, parameter.shape, here)
            layout = _layout(row, parameter.shape)
            tensor, sizes = decode(row.encoding, sections, layout, here)
            total = sum(len(section) for section in sections.values())
            yield name, _Stored(tensor.values, tensor, tuple(_ledger(name, sizes, total)))
            place += total
    if place != len(payload):
        raise damaged(where, f"{len(payload) - place} bytes behind the last parameter", "none")


def _layout(row: CodedRow, shape: tuple[int, ...]) -> Layout:
    return Layout(shape, row.code_bits, row.symbols, row.entries, row.codebook_dtype)


def _take(payload: memoryview, place: int, size: int, where: str) -> bytes:
    if size > len(payload) - place:
        raise damaged(where, f"{len(payload) - place} bytes left", f"{size} bytes")
    return bytes(payload[place : place + size])


def _slice(payload: memoryview, place: int, row: CodedRow, shape: tuple[int, ...], where: str) -> Mapping[str, bytes]:
    """The sections of one coded parameter, cut out of the payload."""
    if not is_encoding(row.encoding):
        wanted = f"one of format versions 1 to {FORMAT_VERSION}"
        raise FileFormatError(where, f"encoding {row.encoding!r}", wanted, "update picojoule")
    bits = section_bits(row.encoding, _layout(row, shape), where)
    unknown = [name for name, known in bits.items() if known is None]
    if len(unknown) != len(row.stream_bytes):
        raise damaged(where, f"{len(row.stream_bytes)} stream lengths", f"{len(unknown)}")
    lengths = dict(zip(unknown, row.stream_bytes, strict=True))
    sections = {}
    for name, known in bits.items():
        size = lengths[name] if known is None else packed_bytes(known)
        sections[name] = _take(payload, place, size, f"{where} {name}")
        place += size
    return sections


def _ledger(name: str, sizes: Sizes, total_bytes: int) -> Iterator[LedgerRow]:
    """Whole bytes by kind, rounded down; `alignment` is what rounding and byte alignment leave."""
    left = total_bytes
    for kind in LEDGER_ORDER:
        bits = sizes.bits.get(kind, 0)
        if bits:
            yield LedgerRow(name, kind, bits // 8, sizes.entries[kind])
            left -= bits // 8
    if left:
        yield LedgerRow(name, "alignment", left)
