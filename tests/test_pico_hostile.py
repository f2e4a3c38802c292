"""A `.pico` file from anywhere: damage of any kind is one FileFormatError line, at a bounded cost in memory.

The checksum finds accidents; so most tests here repair it after the change, to reach the parser behind it.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import struct
import tracemalloc
import zlib
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from picojoule.models.build import GraphBuilder
from picojoule.models.codebooks import CODEBOOK_KINDS
from picojoule.models.codecs.dictionary import DICTIONARIES
from picojoule.models.codecs.header import JSON_BASE, JSON_RATIO
from picojoule.models.compress.constraints import count_sketch
from picojoule.models.compress.quantize import binary_weights, ternary_weights, uniform_weights
from picojoule.models.errors import FileFormatError
from picojoule.models.model import Accuracy, CodedTensor, Model
from picojoule.models.patterns import expander_mask
from picojoule.models.pico import decode_pico, encode_pico
from picojoule.models.zoo import build_network

START = 22
PEAK_BYTES = 1 << 20  # for files of a few KB
ENCODINGS = ["dense+huffman", "csr", "relative2+huffman", "eie_csc4", "bitmask", "relative3", "dense",
             "csc", "coo", "rlc", "nm2:4", "block2x3"]  # fmt: skip
NEWER = ["context", "expander3@7", "expander2@1+huffman", "relative4+huffman"]  # a file of version 2


def small_model(encodings: list[str] = ENCODINGS) -> Model:
    """Small layers, one for each family of encodings, under one graph of its own."""
    rng = np.random.default_rng(0)
    net = GraphBuilder("hostile", (1, 9))
    for place in range(len(encodings)):
        net.gemm(f"fc{place}", 7 + place, bias=place % 2 == 0)
    graph, coded, values = net.build(), {}, {}
    for name, parameter in graph.parameters.items():
        if name.endswith("bias"):
            values[name] = rng.normal(size=parameter.shape).astype(np.float32)
            continue
        codes = (rng.random(parameter.shape) < 0.3) * rng.integers(1, 16, parameter.shape)
        encoding = encodings[len(coded)]
        if encoding == "nm2:4":
            codes[:, np.arange(codes.shape[1]) % 4 > 1] = 0
        if match := re.match(r"expander(\d+)@(\d+)", encoding):
            codes *= expander_mask(codes.shape, int(match[1]), int(match[2]))
        codebook = np.arange(16, dtype=np.float32)
        coded[name] = CodedTensor(codes.astype(np.uint16), codebook, 4, encoding)
        values[name] = coded[name].values
    provenance = {"command": "picojoule compress", "seed": 3}
    return Model("hostile", graph.with_parameters(values), coded, Accuracy(1.5, "mnist", 10, "test"), {}, provenance)


def named_model() -> Model:
    """A zoo network with its shapes only: the shortest file there is."""
    return Model("lenet-5", build_network("lenet-5"))


def quantized_model() -> Model:
    """A layer for each kind of codebook and for the encodings that go with one."""
    rng = np.random.default_rng(1)
    net = GraphBuilder("hostile", (1, 9))
    made = [partial(uniform_weights, bits=4, scheme=scheme, granularity=granularity)
            for scheme in ("symmetric", "affine") for granularity in ("tensor", "channel")]  # fmt: skip
    made += [binary_weights, partial(ternary_weights, granularity="channel"), partial(count_sketch, buckets=5, seed=2),
             two_sides]  # fmt: skip
    for place in range(len(made)):
        net.gemm(f"fc{place}", 7 + place, bias=False)
    graph = net.build()
    coded = {name: make(rng.normal(size=parameter.shape).astype(np.float32))
             for make, (name, parameter) in zip(made, graph.parameters.items(), strict=True)}  # fmt: skip
    assert {tensor.codebook_dtype for tensor in coded.values()} == set(CODEBOOK_KINDS[2:])
    return Model("hostile", graph.with_parameters({name: tensor.values for name, tensor in coded.items()}), coded)


def two_sides(values: np.ndarray) -> CodedTensor:
    scales = np.abs(values[:, :2]) + np.float32(0.1)
    return CodedTensor(np.mod(np.sign(values), 3).astype(np.uint16), np.float32([0, 1, -1]), 2, "bitmask",
                       "channel_sides", scales)  # fmt: skip


FILES = [encode_pico(small_model()), encode_pico(small_model(NEWER)), encode_pico(quantized_model()),
         encode_pico(named_model())]  # fmt: skip
SLOW_FILES, FAST_FILES = 10_000, 1_000


def assemble(header: bytes, payload: bytes, version: int = 1) -> bytes:
    """A file with right lengths and a right checksum around whatever is in it."""
    prefix = struct.pack("<4sHII", b"PICO", version, len(header), len(payload))
    return prefix + hashlib.sha256(prefix + header + payload).digest()[:8] + header + payload


def repair(data: bytes) -> bytes:
    return data[:14] + hashlib.sha256(data[:14] + data[22:]).digest()[:8] + data[22:]


def parts(data: bytes) -> tuple[bytes, bytes]:
    """(compressed header, payload)."""
    size = struct.unpack_from("<I", data, 6)[0]
    return data[START : START + size], data[START + size :]


def inflate(header: bytes, version: int = 1) -> bytes:
    return zlib.decompressobj(-15, DICTIONARIES[version]).decompress(header)


def deflate(text: bytes, version: int = 1) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, DICTIONARIES[version])
    return squeeze.compress(text) + squeeze.flush()


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A few flips, overwritten, inserted, removed or repeated bytes, or a truncation."""
    raw = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        place = rng.randrange(len(raw) + 1)
        kind = rng.randrange(6)
        if kind == 0 and place < len(raw):
            raw[place] ^= 1 << rng.randrange(8)
        elif kind == 1 and place < len(raw):
            raw[place] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 2:
            raw[place:place] = rng.randbytes(rng.choice((1, 4, 30)))
        elif kind == 3:
            del raw[place : place + rng.choice((1, 4, 30))]
        elif kind == 4:
            raw[place:place] = raw[place : place + rng.randrange(40)]
        else:
            del raw[place:]
    return bytes(raw)


def mutate_text(text: bytes, rng: random.Random) -> bytes:
    """The header's JSON with a number made absurd, two tokens exchanged, or bytes changed."""
    try:
        document = json.loads(text)
    except ValueError:
        return mutate(text, rng)
    if rng.random() < 0.3 or not isinstance(document, dict | list):
        return mutate(text, rng)
    spots = list(all_spots(document))
    container, key = rng.choice(spots)
    other, other_key = rng.choice(spots)
    absurd = [
        0,
        -1,
        1,
        2,
        17,
        2**31,
        2**32,
        2**63,
        2**64,
        10**30,
        1.5,
        1e308,
        True,
        None,
        "",
        "x",
        [],
        {},
        "relu",
        "csr",
    ]
    container[key] = rng.choice((rng.choice(absurd), other[other_key], container[key]))
    if isinstance(container, list) and rng.random() < 0.3:
        container.insert(0, other[other_key])
    try:
        return json.dumps(document).encode()
    except (ValueError, RecursionError):  # an element put inside itself
        return text


def all_spots(value: Any) -> Any:
    """(container, key) of every element of a JSON document."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from all_spots(value[key])


def change(seed: int) -> bytes:
    """One hostile file. A third is damaged anywhere, the rest has a right checksum and often right lengths."""
    rng = random.Random(seed)
    data = FILES[(0, 0, 0, 0, 1, 2, 2, 3)[seed % 8]]
    header, payload = parts(data)
    version = data[4]
    match rng.randrange(7):
        case 0:
            return mutate(data, rng)
        case 1:
            changed = mutate(data, rng)
            return repair(changed) if len(changed) >= START else changed
        case 2:
            return assemble(mutate(header, rng), payload, version)
        case 3:
            return assemble(header, mutate(payload, rng), version)
        case 4:
            return assemble(deflate(mutate_text(inflate(header, version), rng), version), payload, version)
        case 5:  # lengths and versions that nobody wrote, behind a right checksum
            lengths = [rng.choice((0, 1, size, 2 * size, 2**31, 2**32 - 1)) for size in (len(header), len(payload))]
            prefix = struct.pack("<4sHII", b"PICO", rng.choice((0, version, 3, 65535)), *lengths)
            return repair(prefix + bytes(8) + data[START:])
        case _:
            text = mutate_text(mutate_text(inflate(header, version), rng), rng)
            return assemble(deflate(text, version), mutate(payload, rng), version)


def read(data: bytes) -> Model | None:
    """The model, or None where the file is refused in one line."""
    try:
        model = decode_pico(data, "h.pico")
    except FileFormatError as error:
        message = str(error)
    else:
        assert sum(row.bytes for row in model.ledger) == len(data)
        return model
    assert re.fullmatch(r"h\.pico.*: got .*, wanted .*; .*", message), message
    return None


@given(seed=st.integers(0, 2**40))
@settings(max_examples=1000, deadline=None)
def test_mutated_files_are_read_or_refused(seed: int) -> None:
    model = read(change(seed))
    if model is not None:  # what is accepted can be written and read again
        again = decode_pico(encode_pico(model), "again.pico")
        for name, parameter in model.graph.parameters.items():
            np.testing.assert_array_equal(parameter.values, again.graph.parameters[name].values)


def refused_in_little_memory(seeds: range) -> int:
    """How many of the hostile files are refused, each in one line and within PEAK_BYTES."""
    refused = 0
    tracemalloc.start()
    try:
        for seed in seeds:
            data = change(seed)
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            refused += read(data) is None
            peak = tracemalloc.get_traced_memory()[1] - before
            assert peak < PEAK_BYTES, f"seed {seed}: {peak} bytes for a file of {len(data)}"
    finally:
        tracemalloc.stop()
    return refused


def test_mutated_files_need_little_memory() -> None:
    assert refused_in_little_memory(range(FAST_FILES)) > 0.8 * FAST_FILES


@pytest.mark.slow
def test_ten_thousand_mutated_files_are_one_line_each() -> None:
    assert refused_in_little_memory(range(FAST_FILES, FAST_FILES + SLOW_FILES)) > 0.8 * SLOW_FILES


@pytest.mark.parametrize(
    ("row", "payload_bytes"),
    [
        (["coded", "relative16", 1, 1, "float32", 0, []], 0),
        (["coded", "relative16+huffman", 1, 1, "float32", 0, [0, 0]], 5 * 65_536 // 8 + 1),
        (["coded", "coo", 1, 1, "float32", 0, []], 0),
        (["coded", "rlc", 1, 1, "float32", 0, []], 0),
        (["coded", "csr", 1, 1, "float32", 0, []], 129),
        (["coded", "csc", 1, 1, "float32", 0, []], 129),
        (["coded", "block64x64", 1, 1, "float32", 0, []], 3),
        (["coded", "bitmask", 1, 1, "float32", 0, []], 1 << 17),
        (["coded", "eie_csc4", 1, 1, "float32", 0, []], 64 * 1025 * 2),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else None,
)
def test_what_a_tiny_file_may_stand_for_at_most(row: list[Any], payload_bytes: int) -> None:
    """2^20 zeros, the most that any payload may claim: read within the 8 MiB that decode_pico allows itself."""
    data = header_of(giant(row, 1024, 1024), bytes(payload_bytes))
    tracemalloc.start()
    try:
        model = decode_pico(data, "h.pico")
        assert tracemalloc.get_traced_memory()[1] < (8 << 20) + len(data)
    finally:
        tracemalloc.stop()
    assert model.coded["w"].nonzeros == 0
    bigger = header_of(giant(row, 1024, 2048), bytes(payload_bytes % 100))
    with pytest.raises(FileFormatError):
        decode_pico(bigger, "h.pico")


def test_every_single_byte_flip_is_found() -> None:
    data = FILES[0]
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        with pytest.raises(FileFormatError):
            decode_pico(bytes(flipped), "h.pico")


def test_every_truncation_is_found() -> None:
    data = FILES[0]
    for size in range(len(data)):
        with pytest.raises(FileFormatError):
            decode_pico(data[:size], "h.pico")


def test_version_from_the_future() -> None:
    with pytest.raises(FileFormatError, match="format version 3, wanted version 1 to 2; update picojoule"):
        decode_pico(assemble(*parts(FILES[0]), version=3), "h.pico")


def header_of(text: str, payload: bytes = b"") -> bytes:
    return assemble(deflate(text.encode()), payload)


COMPLETE = {
    "name": "n", "inputs": ["x"], "outputs": ["fc"], "tensors": [["x", 32, [1, 4]], ["fc", 32, [1, 2]]],
    "nodes": [["fc", "gemm", ["x"], "fc", {"weight": "w"}, {}]], "parameters": [["w", 32, [2, 4]]],
}  # fmt: skip


def test_the_complete_example_is_read() -> None:
    model = decode_pico(header_of(json.dumps({"graph": COMPLETE, "parameters": [None]})), "h.pico")
    assert model.graph.parameters["w"].shape == (2, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tensors": [*COMPLETE["tensors"], ["x", 32, [1, 4]]]}, "two tensors named 'x'"),
        ({"parameters": [*COMPLETE["parameters"], ["w", 32, [2, 4]]]}, "two parameters named 'w'"),
        ({"nodes": COMPLETE["nodes"] * 2}, "two nodes named 'fc'"),
        ({"nodes": [["fc", "gemm", ["fc"], "fc", {"weight": "w"}, {}]]}, "cycle"),
        ({"nodes": [["fc", "gemm", ["x"], "fc", {}, {}]]}, "gemm"),
        ({"nodes": [["fc", "gemm", [], "fc", {"weight": "w"}, {}]]}, "gemm"),
        ({"nodes": [["fc", "warp", ["x"], "fc", {}, {}]]}, "warp"),
        ({"tensors": [["x", 32, [1, 4]], ["fc", 32, [1, 3]]]}, "output"),
        ({"parameters": [["w", 32, [2, 0]]]}, "Expected `int` >= 1"),
        ({"parameters": [["w", 32, [2, 2**31 + 1]]]}, "Expected `int` <= 2147483648"),
        ({"surprise": 1}, "unknown field"),
    ],
)
def test_networks_that_cannot_be(changes: dict, message: str) -> None:
    text = json.dumps({"graph": {**COMPLETE, **changes}, "parameters": [None]})
    with pytest.raises(FileFormatError, match=message):
        decode_pico(header_of(text), "h.pico")


def giant(row: list[Any], rows: int = 2**15, columns: int = 2**15) -> str:
    graph = {
        **COMPLETE, "tensors": [["x", 32, [1, columns]], ["fc", 32, [1, rows]]],
        "parameters": [["w", 32, [rows, columns]]],
    }  # fmt: skip
    return json.dumps({"graph": graph, "parameters": [row]})


@pytest.mark.parametrize(
    "row",
    [
        ["raw", "float32"],
        ["coded", "dense", 1, 1, "float32", 2**30, []],
        ["coded", "relative16", 1, 1, "float32", 0, []],
        ["coded", "relative16+huffman", 16, 65536, "float32", 2**32, [0, 0]],
        ["coded", "bitmask", 1, 1, "float32", 0, []],
        ["coded", "csr", 1, 1, "float32", 0, []],
        ["coded", "eie_csc4", 1, 1, "float32", 0, []],
        ["coded", "csc", 1, 1, "float32", 0, []],
        ["coded", "coo", 1, 1, "float32", 2**32, []],
        ["coded", "rlc", 1, 1, "float32", 2**32, []],
        ["coded", "nm2:4", 1, 1, "float32", 2**29, []],
        ["coded", "nm1:16", 16, 65536, "float32", 0, []],
        ["coded", "block64x64", 1, 1, "float32", 2**32, []],
        ["coded", "block64x64", 1, 1, "float32", 0, []],
    ],
    ids=lambda row: row[min(1, len(row) - 1)],
)
def test_gigabyte_shapes_in_a_file_of_a_few_bytes(row: list[Any]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError):
            decode_pico(header_of(giant(row)), "h.pico")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_more_parameters_than_the_limit() -> None:
    with pytest.raises(FileFormatError, match="at most 2147483648"):
        decode_pico(header_of(giant(["raw", "float32"], 2**16, 2**16)), "h.pico")


@pytest.mark.parametrize("size", [1 << 20, 1 << 26])
def test_deflate_bombs(size: int) -> None:
    header = deflate(b" " * size)
    assert len(header) * JSON_RATIO + JSON_BASE < size
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match="bytes of JSON"):
            decode_pico(assemble(header, b""), "h.pico")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "header",
    [b"", b"\0", deflate(b"{}") + b"\0", deflate(b"{}")[:-1], zlib.compress(b"{}"), deflate(b"[" * 4000),
     deflate(b'{"graph":"lenet-6","parameters":[]}'), deflate(b'{"graph":"lenet-5","parameters":[null]}'),
     deflate(b'{"graph":"lenet-5","parameters":[],"accuracy":[1e999,"mnist",1,"test","measured"]}'),
     deflate(b'{"graph":"lenet-5","parameters":[],"name":"\\u001b[2J"}'), deflate(b"\xff"),
     deflate(b'{"graph":"\\ud800","parameters":[]}')],
)  # fmt: skip
def test_headers_that_no_writer_makes(header: bytes) -> None:
    assert read(assemble(header, b"")) is None


def test_bytes_behind_the_last_parameter() -> None:
    header, payload = parts(FILES[0])
    with pytest.raises(FileFormatError, match="1 bytes behind"):
        decode_pico(assemble(header, payload + b"\0"), "h.pico")


def test_encoding_from_the_future() -> None:
    row = ["coded", "arithmetic", 4, 16, "float32", 3, []]
    with pytest.raises(FileFormatError, match=r"encoding 'arithmetic'.*update picojoule"):
        decode_pico(header_of(json.dumps({"graph": COMPLETE, "parameters": [row]})), "h.pico")
