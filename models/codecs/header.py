"""The header of a `.pico` file: JSON, deflated with a preset dictionary. Described in docs/pico-format.md."""

from __future__ import annotations

import zlib
from typing import Annotated, Literal

import msgspec
import numpy as np

from ..errors import InputError
from .checks import damaged

__all__ = [
    "CodedRow", "GraphRecord", "Header", "NodeRecord", "RawRow", "TensorRecord", "pack_header", "unpack_header",
]  # fmt: skip

JSON_LIMIT = 4 << 20  # bytes of JSON, at most
JSON_BASE, JSON_RATIO = 4096, 64  # and at most JSON_BASE + JSON_RATIO * compressed bytes

# What headers are made of, the likeliest last. Part of the format: never change it within a version.
DICTIONARY = (
    rb'{"graph":{"name":"","inputs":["input"],"outputs":["softmax"],"tensors":[["input",32,[1,3,224,224]],["'
    rb'"nodes":[["conv1","conv",["input"],"conv1",{"weight":"conv1.weight","bias":"conv1.bias"},'
    rb'{"strides":[1,1],"pads":[1,1,1,1],"dilations":[1,1],"groups":1}],["relu1","relu",["conv1"],"relu1",{},{}],'
    rb'["pool1","max_pool",["relu1"],"pool1",{},{"kernel":[2,2],"strides":[2,2]}],["average_pool",["identity","add"'
    rb'["flatten","flatten",["fc1","gemm",["fc1.weight",32,[512,512,3,3]],["fc1.bias",32,[1000]]'
    rb'"warnings":["float16","int8","imagenet","cifar-10","validation","train","assumed","published",'
    rb'["coded","dense",8,["coded","bitmask",["coded","csr",["coded","eie_csc4",4,16,["coded","relative4+huffman",'
    rb'["coded","relative8+huffman",["coded","relative5",6,64,"float32","activation_density":{"conv1":0.5,"conv2":'
    rb"\"name\":\"smallest\",\"momentum\":0.9,\"dropout\":{\"ip1\":0.2,\"ip2\":0.1},\"optimizer\":\"sgd\","
    rb"\"density\":{\"conv1\":0.66,\"conv2\":0.12,\"ip1\":0.08,\"ip2\":0.19},\"weight_decay\":0.0001,"
    rb"\"bits\":{\"conv1\":8,\"conv2\":8,\"ip1\":5,\"ip2\":5},\"init\":\"density\",\"network\":\"lenet-5\","
    rb'{"graph":"lenet-5","parameters":[["coded","relative5+huffman",8,256,"float32",["coded","relative5+huffman",5,'
    rb'32,"float32",["raw","float32"],{"graph":"lenet-300-100","parameters":[["coded","relative5+huffman",6,64,'
    rb'"float32",20166,[9000,14000]],["raw","float32"]],"name":"@deep-compression","accuracy":[1.58,"mnist",10000,'
    rb'"test","measured"],"activation_density":{"ip1":0.1,"ip2":0.2,"ip3":0.3},"provenance":{"command":"picojoule '
    rb'compress lenet-300-100 --recipe deep-compression --seed 0","seed":0,"recipe":"deep-compression",'
    rb'"recipe_settings":"{\"name\":\"deep-compression\",\"train\":{\"batch_size\":128,\"optimizer\":\"adam\",'
    rb"\"learning_rate\":0.001,\"schedule\":\"cosine\",\"momentum\":0.9,\"dropout\":{},\"epochs\":20,"
    rb"\"weight_decay\":0.0},\"prune\":{\"batch_size\":128,\"optimizer\":\"adam\",\"learning_rate\":0.001,"
    rb"\"schedule\":\"cosine\",\"momentum\":0.9,\"dropout\":{},\"density\":{\"ip1\":0.08,\"ip2\":0.09,\"ip3\":0.26},"
    rb"\"gradual_epochs\":10,\"retraining_epochs\":20,\"method\":\"magnitude\",\"schedule_density\":\"cubic\","
    rb"\"steps_between_masks\":100,\"weight_decay\":0.0},\"share\":{\"batch_size\":128,\"optimizer\":\"adam\","
    rb"\"learning_rate\":0.0001,\"schedule\":\"cosine\",\"momentum\":0.9,\"dropout\":{},\"bits\":{\"ip1\":6,\"ip2\":6,"
    rb"\"ip3\":6},\"epochs\":10,\"method\":\"kmeans\",\"init\":\"linear\",\"iterations\":200},\"encode\":{\"format\":"
    rb"\"relative5+huffman\"},\"network\":\"lenet-300-100\",\"dataset\":\"mnist\",\"source\":\"Han, Mao, Dally, "
    rb'Deep Compression, ICLR 2016\"}","picojoule_version":"0.1.0","torch_version":"2.9.1+cpu",'
    rb'"validation_dense_error_pct":1.6,"test_dense_error_pct":1.6,"validation_prune_error_pct":1.6,'
    rb'"validation_share_error_pct":1.6}}'
)

DICTIONARIES = {1: DICTIONARY, 2: DICTIONARY}

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
    codebook_dtype: Literal["float32", "float16", "mirrored", "grid", "channel_grid"]
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
