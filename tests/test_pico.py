"""The `.pico` file: what is written is read, every byte is accounted for, small headers, clear refusals."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from picojoule.models.build import GraphBuilder
from picojoule.models.codecs import ENCODINGS
from picojoule.models.codecs.dictionary import DICTIONARIES
from picojoule.models.codecs.header import DICTIONARY
from picojoule.models.compress.masks import prune_mask
from picojoule.models.errors import FileFormatError, InputError, OutputError
from picojoule.models.graph import Graph, Node
from picojoule.models.model import Accuracy, CodedTensor, Model
from picojoule.models.pico import decode_pico, encode_pico, read_pico, write_pico
from picojoule.models.zoo import build_network


def coded_like(shape: tuple[int, ...], density: float, bits: int, encoding: str, seed: int) -> CodedTensor:
    """Random codes as pruned and shared weights have them: two-sided, small magnitudes frequent."""
    rng = np.random.default_rng(seed)
    codebook = np.concatenate(([0], np.sort(rng.normal(size=2**bits - 1)))).astype(np.float32)
    shares = 1 + np.clip(rng.normal(0.5, 0.15, shape), 0, 1) * (len(codebook) - 2)
    codes = np.where(rng.random(shape) < density, shares.round(), 0).astype(np.uint16)
    if encoding.startswith("nm"):
        codes *= prune_mask(rng.normal(size=shape), 1.0, encoding[2:])
    return CodedTensor(codes, codebook, bits, encoding)


def model_like(graph: Graph, density: float = 0.08, bits: int = 6, encoding: str = "relative5+huffman") -> Model:
    """Every weight coded, every bias in fp32, with accuracy and provenance as a real run leaves them."""
    rng = np.random.default_rng(7)
    coded, values = {}, {}
    for seed, (name, parameter) in enumerate(graph.parameters.items()):
        if name.endswith("weight"):
            coded[name] = coded_like(parameter.shape, density, bits, encoding, seed)
            values[name] = coded[name].values
        else:
            values[name] = rng.normal(size=parameter.shape).astype(np.float32)
    provenance = {
        "command": f"picojoule compress {graph.name} --recipe deep-compression --seed 0 -o {graph.name}.pico",
        "recipe": "deep-compression", "seed": 0, "picojoule": "0.1.0", "torch": "2.9.1", "numpy": "2.3.4",
    }  # fmt: skip
    accuracy = Accuracy(1.64, "mnist", 10_000, "test")
    density_by_node = {node.name: 0.1234567 for node in graph if node.op == "gemm"}
    return Model(graph.name, graph.with_parameters(values), coded, accuracy, density_by_node, provenance)


def small_graph() -> Graph:
    net = GraphBuilder("small", (1, 2, 6, 6))
    net.conv("conv", 3, 3, pad=1, groups=1)
    net.relu("relu")
    net.max_pool("pool", 2, 2)
    net.flatten("flatten")
    net.gemm("fc", 4)
    return net.build()


def assert_same(one: Model, other: Model) -> None:
    assert one.name == other.name
    assert one.graph.nodes == other.graph.nodes
    assert dict(one.graph.tensors) == dict(other.graph.tensors)
    assert one.accuracy == other.accuracy
    assert dict(one.provenance) == dict(other.provenance)
    assert dict(one.activation_density) == dict(other.activation_density)
    assert one.warnings == other.warnings
    assert set(one.coded) == set(other.coded)
    for name, parameter in one.graph.parameters.items():
        assert (parameter.shape, parameter.bits) == (
            other.graph.parameters[name].shape,
            other.graph.parameters[name].bits,
        )
        np.testing.assert_array_equal(parameter.values, other.graph.parameters[name].values)
    for name, tensor in one.coded.items():
        back = other.coded[name]
        assert (tensor.code_bits, tensor.encoding) == (back.code_bits, back.encoding)
        np.testing.assert_array_equal(tensor.codes, back.codes)
        np.testing.assert_array_equal(tensor.codebook, back.codebook)


# --- what is written is read -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet-300-100", "lenet-5"])
def test_round_trip_of_a_zoo_network(name: str, tmp_path: Path) -> None:
    model = model_like(build_network(name))
    write_pico(model, tmp_path / "a.pico")
    back = read_pico(tmp_path / "a.pico")
    assert_same(model, back)
    assert back.file_bytes == (tmp_path / "a.pico").stat().st_size
    write_pico(back, tmp_path / "b.pico")
    assert (tmp_path / "a.pico").read_bytes() == (tmp_path / "b.pico").read_bytes()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_round_trip_of_a_network_of_ones_own(encoding: str) -> None:
    model = model_like(small_graph(), 0.4, 4, encoding)
    back = decode_pico(encode_pico(model), "x.pico")
    assert_same(model, back)
    assert back.graph.outputs == model.graph.outputs
    assert sum(row.bytes for row in back.ledger) == back.file_bytes


def test_every_field_survives() -> None:
    model = replace(
        model_like(small_graph()), name="other name", warnings=("one", "two"),
        accuracy=Accuracy(0.1 + 0.2, "mnist", 5, "validation", "assumed"),
        provenance={"text": "ü", "whole": 2**62, "real": 1 / 3, "unit": 1.0},
    )  # fmt: skip
    back = decode_pico(encode_pico(model), "x.pico")
    assert_same(model, back)
    assert isinstance(back.provenance["unit"], float)


def test_shapes_only_and_dense_networks() -> None:
    graph = small_graph()
    back = decode_pico(encode_pico(Model("small", graph)), "x.pico")
    assert not any(parameter.known for parameter in back.graph.parameters.values())
    values = {name: np.full(p.shape, 0.1, np.float32) for name, p in graph.parameters.items()}
    dense = Model("small", graph.with_parameters(values))
    assert_same(dense, decode_pico(encode_pico(dense), "x.pico"))


def test_codes_alone_are_enough() -> None:
    graph = small_graph()
    coded = {"fc.weight": coded_like(graph.parameters["fc.weight"].shape, 0.5, 3, "csr", 0)}
    back = decode_pico(encode_pico(Model("small", graph, coded)), "x.pico")
    np.testing.assert_array_equal(back.graph.parameters["fc.weight"].values, coded["fc.weight"].values)
    assert not back.graph.parameters["fc.bias"].known


def test_zoo_network_is_a_name_only_while_its_structure_is_the_zoos() -> None:
    graph = build_network("lenet-300-100")
    named = encode_pico(Model("m", graph))
    other = replace(graph, tensors={**graph.tensors, "input": replace(graph.tensors["input"], bits=8)})
    whole = encode_pico(Model("m", other))
    assert len(named) < 60 < len(whole)
    assert decode_pico(whole, "x.pico").graph.tensors["input"].bits == 8


# --- size ------------------------------------------------------------------------------------------------


def test_ledger_accounts_for_every_byte() -> None:
    model = model_like(build_network("lenet-300-100"))
    data = encode_pico(model)
    back = decode_pico(data, "x.pico")
    rows = {(row.tensor, row.section): row for row in back.ledger}
    assert sum(row.bytes for row in back.ledger) == len(data)
    assert len(rows) == len(back.ledger)
    assert all(row.bytes > 0 for row in back.ledger)
    assert rows["", "checksum"].bytes == 8
    assert rows["ip1.bias", "bias"].bytes == 1200
    assert rows["ip1.bias", "bias"].entries == 300
    assert rows["ip1.weight", "codebook"].bytes == 4 * 63
    assert rows["ip1.weight", "huffman_table"].bytes == (5 * 32 + 5 * 64) // 8
    nonzeros = model.coded["ip1.weight"].nonzeros
    assert rows["ip1.weight", "codes"].entries == rows["ip1.weight", "indices"].entries == nonzeros
    positions = np.flatnonzero(model.coded["ip1.weight"].codes)
    pads = int(((np.diff(positions, prepend=-1) - 1) // 32).sum())
    assert rows["ip1.weight", "padding"].entries == pads
    assert all(row.bytes <= 5 for row in back.ledger if row.section == "alignment")


def test_header_of_lenet_300_100_is_small() -> None:
    """Goal: under 450 bytes with provenance, because whole files of 6 KB are wanted."""
    back = decode_pico(encode_pico(model_like(build_network("lenet-300-100"))), "x.pico")
    header = next(row.bytes for row in back.ledger if row.section == "header")
    assert header < 250


def test_same_model_same_bytes() -> None:
    assert encode_pico(model_like(small_graph())) == encode_pico(model_like(small_graph()))


# --- by hand ---------------------------------------------------------------------------------------------


def test_fixed_part_by_hand() -> None:
    """docs/pico-format.md: magic, version 1, two lengths, SHA-256 of the rest cut to 8 bytes, then the rest."""
    data = encode_pico(model_like(small_graph()))
    magic, version, header, payload = struct.unpack_from("<4sHII", data)
    assert (magic, version, 22 + header + payload) == (b"PICO", 1, len(data))
    assert data[14:22] == hashlib.sha256(data[:14] + data[22:]).digest()[:8]


def test_preset_dictionary_never_changes_within_version_1() -> None:
    assert hashlib.sha256(DICTIONARY).hexdigest()[:16] == "39961bfef2113b5a"


# --- what a writer refuses -------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["fc.bias", "fc.weight"])
def test_values_that_are_not_finite(bad: float, name: str) -> None:
    model = model_like(small_graph())
    values = np.array(model.graph.parameters[name].values)
    values.flat[0] = bad
    broken = replace(model, graph=model.graph.with_parameters({name: values}))
    with pytest.raises(InputError, match=f"parameter {name}.*finite"):
        encode_pico(broken)


def test_graph_and_codes_that_disagree() -> None:
    model = model_like(small_graph())
    other = np.ones(model.graph.parameters["fc.weight"].shape, np.float32)
    with pytest.raises(InputError, match=r"parameter fc\.weight"):
        encode_pico(replace(model, graph=model.graph.with_parameters({"fc.weight": other})))


@pytest.mark.parametrize(
    "change",
    [
        {"accuracy": Accuracy(float("nan"), "mnist", 1, "test")},
        {"provenance": {"x": float("inf")}},
        {"provenance": {"x": b"bytes"}},
        {"provenance": {"x": 2**80}},
        {"provenance": {"x": "\ud800"}},
        {"provenance": {"x": [1]}},
        {"provenance": {"x": "two\nlines"}},
        {"provenance": {"\x1b[2J": 1}},
        {"warnings": ("\x9b2J",)},
        {"activation_density": {"fc": float("nan")}},
        {"activation_density": {"fc": 1.5}},
        {"accuracy": Accuracy(101.0, "mnist", 1, "test")},
        {"name": "n" * 5000},
        {"accuracy": Accuracy(1.0, "mnist", -1, "test")},
    ],
    ids=lambda change: str(change)[:40],
)
def test_headers_that_cannot_be_read_back(change: dict) -> None:
    with pytest.raises(InputError):
        encode_pico(replace(model_like(small_graph()), **change))


def test_numpy_numbers_in_a_header() -> None:
    model = replace(model_like(small_graph()), provenance={"a": np.int64(3), "b": np.float32(0.5)})
    assert dict(decode_pico(encode_pico(model), "x").provenance) == {"a": 3, "b": 0.5}


def test_operators_and_shapes_that_a_reader_would_refuse() -> None:
    graph = small_graph()
    unknown = tuple(replace(n, op="warp") if n.name == "relu" else n for n in graph.nodes)
    with pytest.raises(InputError, match="warp"):
        encode_pico(Model("m", replace(graph, nodes=unknown)))
    shapeless = Node("pool", "max_pool", ("relu",), "pool", {}, {"kernel": (2, 2), "strides": (3, 3, 3)})
    with pytest.raises(InputError):
        encode_pico(Model("m", replace(graph, nodes=tuple(shapeless if n.name == "pool" else n for n in graph.nodes))))


def test_nearly_empty_giants() -> None:
    net = GraphBuilder("giant", (1, 4096))
    net.gemm("fc", 4096, bias=False)
    codes = np.zeros((4096, 4096), np.uint16)
    tensor = CodedTensor(codes, np.zeros(1, np.float32), 1, "relative5")
    with pytest.raises(InputError, match="at most"):
        encode_pico(Model("giant", net.build(), {"fc.weight": tensor}))


# --- files -----------------------------------------------------------------------------------------------


def test_no_such_file_and_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_pico(tmp_path / "none.pico")
    with pytest.raises(OutputError):
        write_pico(model_like(small_graph()), tmp_path / "none" / "a.pico")


def test_refused_model_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pico"
    write_pico(model_like(small_graph()), path)
    before = path.read_bytes()
    with pytest.raises(InputError):
        write_pico(replace(model_like(small_graph()), provenance={"x": float("nan")}), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.pico"]


@pytest.mark.parametrize("content", [b"", b"PICO", b"PK\x03\x04" + bytes(40), bytes(100)])
def test_other_files(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pico").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"is it a \.pico file\?"):
        read_pico(tmp_path / "a.pico")


def test_document_has_the_preset_dictionary() -> None:
    page = Path(__file__).resolve().parent.parent / "docs" / "pico-format.md"
    block = page.read_text("utf-8").split("```text\n")[1].split("\n```")[0]
    assert block.replace("\n", "").encode() == DICTIONARY
    added = page.read_text("utf-8").split("```text\n")[2].split("\n```")[0]
    assert DICTIONARIES[2] == DICTIONARY + added.replace("\n", "").encode()
    assert hashlib.sha256(DICTIONARIES[2]).hexdigest() in page.read_text("utf-8")
