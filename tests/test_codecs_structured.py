"""Columns, coordinates, run-length words, N of M and blocks: by hand, against scipy, and held to their predicted size.

Outside truths: scipy.sparse's CSC, COO and BSR arrays; the word of Eyeriss' run-length code, bit by bit; the two
2-bit indices of 2:4 sparsity (Mishra et al., 2021).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from picojoule.models.build import GraphBuilder
from picojoule.models.codecs import Layout, bitpack, codec_named, decode, encode, is_encoding
from picojoule.models.codecs.bitpack import unpack
from picojoule.models.compress.masks import prune_mask
from picojoule.models.errors import FileFormatError, InputError
from picojoule.models.model import CodedTensor, Model
from picojoule.models.ops import weight_matrix_shape
from picojoule.models.pico import read_pico, write_pico
from picojoule.simulator.estimate import estimate
from picojoule.simulator.formats import predict_size, random_mask
from picojoule.simulator.structure import structure_of

SHAPES = [(1, 1), (6, 11), (33, 20), (8, 3, 3, 3), (5, 6, 2, 1), (7,)]


def coded(codes: np.ndarray, encoding: str, code_bits: int = 4) -> CodedTensor:
    codebook = np.arange(1 << code_bits, dtype=np.float32)
    return CodedTensor(codes.astype(np.uint16), codebook, code_bits, encoding)


def random_codes(shape: tuple[int, ...], density: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random(shape) < density) * rng.integers(1, 16, shape)


def n_of_m_codes(shape: tuple[int, ...], n: int, m: int, seed: int) -> np.ndarray:
    """Codes whose zeros the pruning method itself chose."""
    rng = np.random.default_rng(seed)
    kept = prune_mask(rng.normal(size=shape), 1.0, f"{n}:{m}")
    return kept * (rng.random(shape) < 0.8) * rng.integers(1, 16, shape)


# --- against scipy ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("density", [0.0, 0.1, 0.6])
def test_csc_and_coo_hold_what_scipys_arrays_hold(density: float) -> None:
    codes = random_codes((33, 20), density, 1)
    csc, coo = scipy.sparse.csc_array(codes), scipy.sparse.coo_array(codes)
    count = csc.nnz
    sections = encode(coded(codes, "csc")).sections
    assert unpack(sections["pointers"], 21, bitpack.width_of(count)).tolist() == csc.indptr.tolist()
    assert unpack(sections["indices"], count, 6).tolist() == csc.indices.tolist()
    assert unpack(sections["codes"], count, 4).tolist() == csc.data.tolist()
    sections = encode(coded(codes, "coo")).sections
    assert unpack(sections["rows"], count, 6).tolist() == coo.row.tolist()
    assert unpack(sections["columns"], count, 5).tolist() == coo.col.tolist()


@pytest.mark.parametrize("block", [(1, 4), (3, 2), (4, 4)])
def test_blocks_hold_what_scipys_bsr_holds(block: tuple[int, int]) -> None:
    codes = random_codes((24, 16), 0.05, 2)
    bsr = scipy.sparse.csr_array(codes).tobsr(block)
    bsr.sort_indices()
    r, c = block
    encoded = encode(coded(codes, f"block{r}x{c}"))
    blocks = len(bsr.indices)
    assert encoded.entries == blocks * r * c
    pointers = unpack(encoded.sections["pointers"], 24 // r + 1, bitpack.width_of(blocks))
    assert pointers.tolist() == bsr.indptr.tolist()
    assert unpack(encoded.sections["codes"], bsr.data.size, 4).tolist() == bsr.data.ravel().tolist()


# --- by hand ---------------------------------------------------------------------------------------------


def words_by_loops(codes: list[int], code_bits: int) -> str:
    """Eyeriss' code, one value at a time: (5-bit run, value) pairs, three and a last-word mark to a word."""
    pairs, run = [], 0
    for code in codes:
        if code or run == 31:
            pairs.append((run, code))
            run = 0
        else:
            run += 1
    while pairs and pairs[-1][1] == 0:  # zeros behind the last non-zero
        pairs.pop()
    real = len(pairs)
    pairs += [(0, 0)] * (-real % 3)
    text = ""
    for place in range(0, len(pairs), 3):
        text += "".join(f"{run:05b}{code:0{code_bits}b}" for run, code in pairs[place : place + 3])
        text += str(int(place + 3 == len(pairs)))
    return text


@pytest.mark.parametrize("code_bits", [1, 3, 4, 8, 11, 16])
def test_run_length_words_against_a_scalar_coder(code_bits: int) -> None:
    rng = np.random.default_rng(code_bits)
    for density in (0.0, 0.01, 0.1, 0.9):
        codes = (rng.random(1500) < density) * rng.integers(1, 1 << code_bits, 1500)
        tensor = coded(codes, "rlc", code_bits)
        encoded = encode(tensor)
        text = words_by_loops(codes.tolist(), code_bits)
        assert "".join(f"{byte:08b}" for byte in encoded.sections["words"])[: len(text)] == text
        assert len(encoded.sections["words"]) == math.ceil(len(text) / 8)
    assert codec_named("rlc").section_bits(Layout((9,), 16, 9, 3)) == {"words": 64}


def test_run_length_code_over_many_words() -> None:
    codes = random_codes((900, 1000), 0.5, 4)
    encoded = encode(coded(codes, "rlc"))
    assert encoded.entries > 3 << 16
    back, _ = decode("rlc", encoded.sections, Layout(codes.shape, 4, 16, encoded.entries))
    np.testing.assert_array_equal(back.codes, codes)


def test_two_of_four_by_hand() -> None:
    """2 outputs, 4 channels, 2 kernel elements: groups run along the channels, each has two 2-bit places."""
    codes = np.zeros((2, 4, 2, 1), np.uint16)
    codes[0, :, 0, 0] = 0, 3, 0, 1  # places 1, 3
    codes[0, :, 1, 0] = 0, 0, 2, 0  # places 0 (a zero), 2
    codes[1, :, 0, 0] = 0, 0, 0, 0  # places 0, 1 (both zeros)
    codes[1, :, 1, 0] = 1, 2, 0, 0  # places 0, 1
    encoded = encode(coded(codes, "nm2:4", 2))
    assert unpack(encoded.sections["indices"], 8, 2).tolist() == [1, 3, 0, 2, 0, 1, 0, 1]
    assert unpack(encoded.sections["codes"], 8, 2).tolist() == [3, 1, 0, 2, 0, 0, 1, 2]
    assert encoded.sizes.entries == {"codebook": 3, "codes": 5, "indices": 5, "padding": 3}


@pytest.mark.parametrize(("n", "m"), [(1, 4), (2, 4), (4, 8), (1, 2), (3, 16)])
@pytest.mark.parametrize("shape", SHAPES)
def test_n_of_m_size_is_predicted_and_round_trips(n: int, m: int, shape: tuple[int, ...]) -> None:
    codes = n_of_m_codes(shape, n, m, 3) if len(shape) > 1 else random_codes(shape, 0.5, 3)
    tensor = coded(codes, f"nm{n}:{m}")
    encoded = encode(tensor)
    back, sizes = decode(tensor.encoding, encoded.sections, Layout(shape, 4, 16, encoded.entries))
    np.testing.assert_array_equal(back.codes, codes)
    assert sizes == encoded.sizes
    structure = structure_of(codes.reshape(weight_matrix_shape(shape)), None, math.prod(shape[2:]))
    predicted = predict_size(tensor.encoding, structure, 4)
    assert predicted.total_bits == encoded.sizes.total_bits - encoded.sizes.bits["codebook"]
    assert predicted.pads == encoded.sizes.entries["padding"]


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 16), st.data())
@settings(max_examples=60, deadline=None)
def test_random_n_of_m_masks_keep_their_count_and_their_groups(
    rows: int, channels: int, m: int, data: st.DataObject
) -> None:
    n, kernel = data.draw(st.integers(1, m)), data.draw(st.sampled_from([1, 4]))
    room = rows * kernel * sum(min(n, channels - first) for first in range(0, channels, m))
    count = data.draw(st.integers(0, room))
    if n == m:
        return
    mask = random_mask(rows, channels * kernel, count, 5, f"nm{n}:{m}", kernel)
    assert len(set(mask.positions.tolist())) == mask.nonzeros == count
    dense = np.zeros(rows * channels * kernel, bool)
    dense[mask.positions] = True
    grouped = dense.reshape(rows, channels, kernel)
    most = max(int(grouped[:, first : first + m].sum(axis=1).max()) for first in range(0, channels, m))
    assert most == mask.largest_group(m) <= n
    with pytest.raises(InputError, match="a density of"):
        random_mask(rows, channels * kernel, room + 1, 5, f"nm{n}:{m}", kernel)


# --- refusals --------------------------------------------------------------------------------------------


def test_a_tensor_that_is_not_n_of_m_is_refused_in_one_line(tmp_path: Path) -> None:
    net = GraphBuilder("three", (1, 4))
    net.gemm("fc", 1, bias=False)
    tensor = coded(np.array([[1, 1, 1, 0]]), "nm2:4")
    model = Model("three", net.build(), {"fc.weight": tensor})
    with pytest.raises(InputError, match=r"parameter fc\.weight: nm2:4: got 3 weights among 4 .*method \"2:4\""):
        write_pico(model, tmp_path / "x.pico")
    with pytest.raises(InputError, match="layer conv2: --format nm1:4: got 4 weights among 4"):
        estimate("lenet-5@deep-compression", "generic-45nm", format="nm1:4")
    with pytest.raises(InputError, match=r"--density 0\.5"):
        estimate("gemm:N=70,K=50,density=0.7", "generic-45nm", format="nm2:4")


@pytest.mark.parametrize(
    "name", ["nm4:4", "nm0:4", "nm2:17", "nm2x4", "block0x4", "block65x1", "block4:4", "rlc+huffman"]
)
def test_names_that_are_no_format(name: str) -> None:
    assert not is_encoding(name)
    with pytest.raises(InputError, match="--format"):
        predict_size(name, random_mask(4, 4, 2, 0, "dense"), 4)


def refuse(encoding: str, shape: tuple[int, ...], stored: int, **sections: bytes) -> str:
    codebook = np.arange(1, 4, dtype="<f4").tobytes()
    with pytest.raises(FileFormatError) as caught:
        decode(encoding, {"codebook": codebook, **sections}, Layout(shape, 2, 4, stored), "f.pico: t")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_decoders_refuse_what_no_encoder_writes() -> None:
    pack = bitpack.pack
    assert "place twice" in refuse("nm2:4", (1, 4), 2, indices=pack([1, 1], 2), codes=pack([1, 1], 2))
    assert "the first zeros" in refuse("nm2:4", (1, 4), 2, indices=pack([1, 3], 2), codes=pack([1, 0], 2))
    assert "beyond the channels" in refuse("nm2:4", (1, 3), 2, indices=pack([0, 3], 2), codes=pack([1, 1], 2))
    assert "entries" in refuse("nm2:4", (1, 8), 2, indices=pack([0, 3], 2), codes=pack([1, 1], 2))
    assert "order" in refuse("coo", (2, 2), 2, rows=pack([1, 0], 1), columns=pack([0, 0], 1), codes=pack([1, 1], 2))
    assert "outside" in refuse("coo", (3, 1), 1, rows=pack([3], 2), columns=pack([0], 1), codes=pack([1], 2))
    good = {"pointers": pack([0, 1], 1), "indices": pack([0], 1)}
    assert "zeros" in refuse("block2x2", (2, 2), 4, **good, codes=pack([0, 0, 0, 0], 2))
    assert "outside" in refuse("block2x2", (2, 1), 4, **good, codes=pack([1, 1, 0, 0], 2))
    assert "whole blocks" in refuse("block2x2", (2, 2), 3, **{**good, "pointers": pack([0, 0], 1), "indices": b""},
                                    codes=pack([1, 1, 1], 2))  # fmt: skip
    assert "pointers" in refuse("block2x2", (2, 2), 4, pointers=pack([0, 0], 1), indices=pack([0], 1),
                                codes=pack([1, 0, 0, 0], 2))  # fmt: skip
    word = "00000" + "01" + "00000" + "00" + "00000" + "00"
    assert "mark" in refuse("rlc", (4,), 1, words=int(word + "0" + "00", 2).to_bytes(3, "big"))
    assert "behind" in refuse("rlc", (4,), 1, words=int(word[:-1] + "1" + "1" + "00", 2).to_bytes(3, "big"))
    assert "needs" in refuse("rlc", (4,), 2, words=int(word + "1" + "00", 2).to_bytes(3, "big"))


# --- as files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["csc", "coo", "rlc", "nm2:4", "nm3:8", "block4x4", "block16x3"])
def test_every_byte_of_a_file_is_in_its_ledger(name: str, tmp_path: Path) -> None:
    net = GraphBuilder("net", (1, 12))
    net.gemm("fc", 9, bias=False)
    codes = n_of_m_codes((9, 12), 2, 4, 6) if name == "nm2:4" else n_of_m_codes((9, 12), 3, 8, 6)
    tensor = coded(codes, name)
    graph = net.build().with_parameters({"fc.weight": tensor.values})
    write_pico(Model("net", graph, {"fc.weight": tensor}), tmp_path / "x.pico")
    back = read_pico(tmp_path / "x.pico")
    assert back.coded["fc.weight"].encoding == name
    np.testing.assert_array_equal(back.coded["fc.weight"].codes, codes)
    assert sum(row.bytes for row in back.ledger) == (tmp_path / "x.pico").stat().st_size
    sections = {row.section for row in back.ledger if row.tensor == "fc.weight"}
    assert sections <= {"codes", "indices", "padding", "pointers", "codebook", "alignment"}
