"""Codecs of shared weights: what goes in comes out, at the bits that the formats' definitions say.

Outside truths: examples worked by hand, the column of EIE's section III-B, RFC 1951's canonical code, an
independent Huffman construction, and the padding of LeNet-300-100's first layer.
"""

from __future__ import annotations

import heapq
import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from picojoule.models.codecs import ENCODINGS, Encoded, Layout, bitpack, decode, encode, huffman, huffman_decode
from picojoule.models.codecs.eie_csc4 import eie_csc4
from picojoule.models.codecs.relative import relative
from picojoule.models.errors import FileFormatError, InputError
from picojoule.models.model import CodedTensor

SHAPES = [(), (1,), (9,), (1, 1), (1, 70), (70, 1), (3, 5), (8, 8), (130, 3), (4, 3, 2, 5), (65, 33)]


def coded(codes: np.ndarray, encoding: str, code_bits: int = 4) -> CodedTensor:
    codebook = np.arange(1 << code_bits, dtype=np.float32) / 8
    return CodedTensor(codes.astype(np.uint16), codebook, code_bits, encoding)


def random_codes(shape: tuple[int, ...], density: float, seed: int = 0, largest: int = 15) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray((rng.random(shape) < density) * rng.integers(1, largest + 1, shape))


def fitting(codes: np.ndarray, encoding: str) -> np.ndarray:
    """The codes that the encoding can hold: for n of m, the first n non-zeros of every m input channels."""
    match = re.fullmatch(r"nm(\d+):(\d+)", encoding)
    if not match or codes.ndim < 2:
        return codes
    n, m = int(match[1]), int(match[2])
    inner = np.moveaxis(codes.copy(), 1, -1)
    for first in range(0, inner.shape[-1], m):
        group = inner[..., first : first + m]
        group[np.cumsum(group != 0, axis=-1) > n] = 0
    return np.moveaxis(inner, -1, 1)


def layout_of(tensor: CodedTensor, encoded: Encoded) -> Layout:
    return Layout(tensor.shape, tensor.code_bits, len(tensor.codebook), encoded.entries)


def round_trip(tensor: CodedTensor) -> Encoded:
    encoded = encode(tensor)
    back, sizes = decode(tensor.encoding, encoded.sections, layout_of(tensor, encoded))
    assert back.codes.dtype == np.uint16
    np.testing.assert_array_equal(back.codes, tensor.codes)
    np.testing.assert_array_equal(back.values, tensor.values)
    assert sizes == encoded.sizes
    return encoded


def hexes(encoded: Encoded) -> dict[str, str]:
    return {name: data.hex() for name, data in encoded.sections.items() if name != "codebook"}


# --- round trips -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENCODINGS)
def test_round_trip_of_every_encoding(name: str) -> None:
    for shape, density in itertools.product(SHAPES, (0.0, 0.06, 0.5, 1.0)):
        encoded = round_trip(coded(fitting(random_codes(shape, density), name), name))
        rounding = 8 * sum(map(len, encoded.sections.values())) - encoded.sizes.total_bits
        assert 0 <= rounding < 8 * len(encoded.sections)


@given(
    codes=hnp.arrays(np.uint16, hnp.array_shapes(max_dims=4, max_side=12), elements=st.integers(0, 15)),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    name=st.sampled_from(list(ENCODINGS)),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_round_trip_of_random_tensors(codes: np.ndarray, density: float, name: str, seed: int) -> None:
    keep = np.random.default_rng(seed).random(codes.shape) < density
    round_trip(coded(fitting(codes * keep, name), name))


@pytest.mark.parametrize("name", [n for n in ENCODINGS if n != "eie_csc4"])
def test_round_trip_of_16_bit_codes(name: str) -> None:
    rng = np.random.default_rng(3)
    codes = (rng.random((60, 50)) < 0.3) * rng.integers(1, 1 << 16, (60, 50))
    round_trip(coded(fitting(codes, name), name, 16))


def test_codebook_shorter_than_its_codes_allow() -> None:
    tensor = CodedTensor(np.array([[0, 2]], np.uint16), np.array([0, -1, 1], np.float32), 6, "relative5+huffman")
    assert round_trip(tensor).sizes.bits["codebook"] == 64


def test_tensor_without_a_nonzero_and_without_a_codebook() -> None:
    for name in ENCODINGS:
        round_trip(CodedTensor(np.zeros((5, 7), np.uint16), np.zeros(1, np.float32), 1, name))


# --- by hand ---------------------------------------------------------------------------------------------


def test_bit_packing_by_hand() -> None:
    assert bitpack.pack([1, 2, 3], 2) == bytes([0b01101100])
    assert bitpack.pack([0x1FFFFFFFF >> 1, 1], 32).hex() == "ffffffff00000001"
    assert bitpack.pack([], 7) == b""


@given(width=st.integers(1, 32), data=st.data())
@settings(max_examples=80, deadline=None)
def test_bit_packing_round_trip(width: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(0, 2**width - 1), max_size=40))
    packed = bitpack.pack(np.array(values, np.uint64), width)
    assert bitpack.unpack(packed, len(values), width).tolist() == values
    text = "".join(f"{value:0{width}b}" for value in values)
    assert packed == int((text or "0").ljust(8 * len(packed), "0"), 2).to_bytes(len(packed), "big")


def test_bit_packing_over_chunks() -> None:
    values = np.random.default_rng(0).integers(0, 1 << 11, 3 * bitpack.CHUNK + 5)
    np.testing.assert_array_equal(bitpack.unpack(bitpack.pack(values, 11), len(values), 11), values)


@pytest.mark.parametrize(("values", "width"), [([8], 3), ([-1], 3), ([1], 0), ([1], 33)])
def test_bit_packing_refuses(values: list[int], width: int) -> None:
    with pytest.raises(InputError):
        bitpack.pack(np.array(values), width)


def test_csr_by_hand() -> None:
    """Rows (0 0 3), (1 0 2): pointers 0 1 3 in 2 bits, columns 2 0 2 in 2 bits, codes 3 1 2 in 2 bits."""
    encoded = encode(coded(np.array([[0, 0, 3], [1, 0, 2]]), "csr", 2))
    assert hexes(encoded) == {"pointers": "1c", "indices": "88", "codes": "d8"}
    assert dict(encoded.sizes.bits) == {"codebook": 96, "pointers": 6, "indices": 6, "codes": 6}


def test_bitmask_by_hand() -> None:
    encoded = encode(coded(np.array([[0, 0, 3], [1, 0, 2]]), "bitmask", 2))
    assert hexes(encoded) == {"mask": f"{0b00110100:02x}", "codes": f"{0b11011000:02x}"}


def test_relative_pads_cover_eight_positions_by_hand() -> None:
    """b = 3: a run of 7 needs no pad, a run of 8 one, of 15 one, of 16 two."""
    for run, pads in ((7, 0), (8, 1), (15, 1), (16, 2)):
        encoded = round_trip(coded(np.array([0] * run + [1]), "relative3"))
        assert encoded.sizes.entries["padding"] == pads
        assert bitpack.unpack(encoded.sections["gaps"], pads + 1, 3).tolist() == [7] * pads + [run - 8 * pads]


def test_relative_huffman_by_hand() -> None:
    """Codes 1 2 1 1 gap by 0: gaps one symbol (0000), codes 0 10 0 0 after merging 1 and 2."""
    encoded = encode(coded(np.array([2, 1, 1, 1]), "relative1+huffman", 2))
    assert hexes(encoded) == {
        "gaps_table": f"{0b00001_00000_000000:04x}", "gaps": "00",
        "codes_table": f"{0b00000_00001_00001_00000_0000:06x}", "codes": f"{0b1000_0000:02x}",
    }  # fmt: skip
    assert encoded.sizes.bits["indices"] == 4
    assert encoded.sizes.bits["codes"] == 4
    assert encoded.sizes.bits["huffman_table"] == 5 * 2 + 5 * 4


def test_padding_of_lenet_300_100_first_layer() -> None:
    """DESIGN.md's fact: 235,200 weights, 8 % of them non-zero at random, b = 5: about 1,350 to 1,400 pads.

    Expectation n q^32 / (1 - q^32) = 1,403, standard deviation about 40.
    """
    encoded = encode(coded(random_codes((300, 784), 0.08, seed=1), "relative5"))
    assert 1250 < encoded.sizes.entries["padding"] < 1550
    assert encoded.sizes.bits["padding"] == encoded.sizes.entries["padding"] * (5 + 4)


def test_eie_column_of_isca2016_section_3b() -> None:
    """The paper's column [0,0,1,2, 18 zeros, 3] has v = [1,2,0,3] and z = [2,0,15,2]."""
    column = np.zeros((23, 1), np.uint16)
    column[[2, 3, 22], 0] = 1, 2, 3
    entries = np.frombuffer(eie_csc4(1).encode(column, 4, 16).sections["entries"], np.uint8)
    assert (entries & 15).tolist() == [1, 2, 0, 3]
    assert (entries >> 4).tolist() == [2, 0, 15, 2]


def test_eie_interleaves_rows_by_hand() -> None:
    """5 x 2 on 2 PEs: PE 0 has rows 0, 2, 4 and PE 1 rows 1, 3; runs restart at every column."""
    codes = np.array([[0, 1], [2, 0], [3, 0], [0, 0], [4, 5]], np.uint16)
    encoded = eie_csc4(2).encode(codes, 4, 16)
    assert encoded.sections["entries"].hex() == "1304" + "01" + "15" + "02"
    assert bitpack.unpack(encoded.sections["pointers"], 6, 16).tolist() == [0, 2, 4, 0, 1, 1]


def test_eie_lenet_first_layer_has_100_kb_of_pointers_and_no_padding() -> None:
    sizes = encode(coded(random_codes((300, 784), 0.08), "eie_csc4")).sizes
    assert sizes.bits["pointers"] == 64 * 785 * 16
    assert sizes.entries["padding"] == 0


def test_eie_refuses_codes_of_more_than_4_bits() -> None:
    with pytest.raises(InputError, match="codes of at most 15"):
        encode(coded(np.full((2, 2), 16), "eie_csc4", 5))


def test_eie_refuses_more_entries_than_pointers_reach() -> None:
    with pytest.raises(InputError, match="16-bit pointers"):
        encode(coded(np.ones((1, 1 << 16)), "eie_csc4"))


# --- Huffman ---------------------------------------------------------------------------------------------


def optimal_bits(histogram: list[int]) -> int:
    """Huffman's construction with a heap; a lone symbol costs one bit each."""
    heap = [n for n in histogram if n]
    if len(heap) == 1:
        return heap[0]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        heapq.heappush(heap, merged)
        total += merged
    return total


def decode_slowly(data: bytes, count: int, lengths: np.ndarray) -> list[int]:
    """One bit at a time, with a dictionary: the scalar twin."""
    codes = huffman.canonical_codes(lengths)
    names = {(int(n), int(codes[s])): s for s, n in enumerate(lengths) if n}
    out, word, size = [], 0, 0
    for bit in np.unpackbits(np.frombuffer(data, np.uint8)):
        word, size = 2 * word + int(bit), size + 1
        if len(out) < count and (size, word) in names:
            out.append(names[size, word])
            word, size = 0, 0
    return out


@given(histogram=st.lists(st.integers(0, 1000), min_size=1, max_size=70).filter(any))
@settings(max_examples=100, deadline=None)
def test_code_lengths_are_optimal_and_complete(histogram: list[int]) -> None:
    lengths = huffman.code_lengths(np.array(histogram))
    assert int(lengths @ np.array(histogram)) == optimal_bits(histogram)
    assert ((lengths > 0) == (np.array(histogram) > 0)).all()
    if np.count_nonzero(lengths) > 1:
        assert sum(2.0 ** -lengths[lengths > 0]) == 1


def test_code_lengths_stop_at_24_bits() -> None:
    fibonacci = [1, 1]
    while len(fibonacci) < 40:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    lengths = huffman.code_lengths(np.array(fibonacci))
    assert lengths.max() == 24
    assert sum(2.0**-lengths) == 1
    rng = np.random.default_rng(0)
    symbols = rng.integers(0, 40, 5000)
    data = huffman.encode(symbols, lengths)
    np.testing.assert_array_equal(huffman_decode.decode(data, 5000, lengths), symbols)


def test_canonical_code_of_rfc_1951() -> None:
    """RFC 1951, section 3.2.2: lengths 3 3 3 3 3 2 4 4 give 010 011 100 101 110 00 1110 1111."""
    codes = huffman.canonical_codes(np.array([3, 3, 3, 3, 3, 2, 4, 4]))
    assert codes.tolist() == [0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111]


@given(
    count=st.integers(0, 3000), alphabet=st.integers(1, 300), skew=st.sampled_from([0.0, 1.0, 4.0]),
    seed=st.integers(0, 999),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_huffman_round_trip_and_scalar_twin(count: int, alphabet: int, skew: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = np.arange(1, alphabet + 1.0) ** -skew
    symbols = rng.choice(alphabet, count, p=weights / weights.sum())
    lengths = huffman.code_lengths(np.bincount(symbols, minlength=alphabet))
    data = huffman.encode(symbols, lengths)
    assert len(data) == -(-int(lengths[symbols].sum()) // 8)
    np.testing.assert_array_equal(huffman_decode.decode(data, count, lengths), symbols)
    assert decode_slowly(data, min(count, 500), lengths)[:500] == symbols[:500].tolist()


@pytest.mark.parametrize("lengths", [[1, 2, 2], [2, 2, 2, 2], [3] * 8, [5] * 32, [1, 2, 3, 4, 5, 6, 7, 7]])
@pytest.mark.parametrize("lead", [0, 1])
def test_huffman_decodes_runs_that_never_resynchronise(lengths: list[int], lead: int) -> None:
    """Long runs of the last codeword (all ones) behind an odd bit: lanes that start out of step stay so."""
    code = np.array(lengths)
    symbols = np.concatenate((np.zeros(lead, int), np.full(40_000, len(lengths) - 1), [0, 1, 0]))
    data = huffman.encode(symbols, code)
    np.testing.assert_array_equal(huffman_decode.decode(data, len(symbols), code), symbols)


def test_huffman_over_blocks_and_large_alphabets() -> None:
    rng = np.random.default_rng(2)
    for alphabet, count in ((5000, 200_000), (16, 1_500_000)):
        symbols = np.minimum(rng.geometric(8 / alphabet, count), alphabet) - 1
        lengths = huffman.code_lengths(np.bincount(symbols, minlength=alphabet))
        data = huffman.encode(symbols, lengths)
        assert alphabet > 16 or len(data) > huffman_decode.BLOCK
        np.testing.assert_array_equal(huffman_decode.decode(data, count, lengths), symbols)


def test_huffman_encode_refuses_symbols_without_a_codeword() -> None:
    for symbol in (1, 5):
        with pytest.raises(InputError):
            huffman.encode(np.array([0, symbol]), np.array([1, 0, 1]))


@pytest.mark.parametrize(
    "lengths", [[1, 1, 1], [2, 2, 2], [2, 0, 0], [1, 2, 0], [25, 1, 0], [31, 31, 31]], ids=str
)  # fmt: skip
def test_huffman_tables_that_are_no_complete_code(lengths: list[int]) -> None:
    with pytest.raises(FileFormatError):
        huffman.decode_table(bitpack.pack(lengths, 5), len(lengths), "table")


@pytest.mark.parametrize(
    ("data", "count"), [("", 3), ("70", 2), ("7000", 3), ("71", 3), ("70", 9), ("f9", 3), ("70", 0)]
)  # fmt: skip
def test_huffman_streams_of_wrong_length_or_tail(data: str, count: int) -> None:
    """The stream 0 11 10 of lengths 1 2 2 is hex 70 and three symbols, and nothing else is."""
    with pytest.raises(FileFormatError):
        huffman_decode.decode(bytes.fromhex(data), count, np.array([1, 2, 2]))


def test_one_symbol_streams() -> None:
    lengths = np.array([0, 1, 0])
    assert huffman.encode(np.full(9, 1), lengths) == b"\0\0"
    assert huffman_decode.decode(b"\0\0", 9, lengths).tolist() == [1] * 9
    for data in (b"\0", b"\0\1", b"\0\0\0"):
        with pytest.raises(FileFormatError):
            huffman_decode.decode(data, 9, lengths)


# --- decoders refuse what no encoder writes --------------------------------------------------------------


def refuse(encoding: str, shape: tuple[int, ...], stored: int, code_bits: int = 2, /, **sections: bytes) -> str:
    layout = Layout(shape, code_bits, 1 << code_bits, stored)
    codebook = np.arange(1, 1 << code_bits, dtype="<f4").tobytes()
    with pytest.raises(FileFormatError) as caught:
        decode(encoding, {"codebook": codebook, **sections}, layout, "f.pico: t")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_relative_refuses_padding_that_is_not_needed() -> None:
    pack = bitpack.pack
    assert "code 0" in refuse("relative2", (9,), 2, gaps=pack([0, 2], 2), codes=pack([1, 0], 2))
    assert "code 0" in refuse("relative2", (9,), 1, gaps=pack([3], 2), codes=pack([0], 2))
    assert "position" in refuse("relative2", (3,), 1, gaps=pack([3], 2), codes=pack([1], 2))
    assert "bytes" in refuse("relative2", (3,), 1 << 40, gaps=pack([3], 2), codes=pack([1], 2))


def test_bitmask_and_dense_refuse() -> None:
    assert "ones" in refuse("bitmask", (4,), 1, mask=b"\xa0", codes=b"\x40")
    assert "code 0" in refuse("bitmask", (4,), 2, mask=b"\xa0", codes=b"\x40")
    assert "zeros behind" in refuse("bitmask", (4,), 2, mask=b"\xa1", codes=b"\x50")
    assert "codes" in refuse("dense", (4,), 3, codes=b"\x55")
    assert "a section codes" in refuse("dense", (4,), 4)


def test_csr_refuses() -> None:
    pack = bitpack.pack
    good = {"pointers": pack([0, 1, 2], 2), "indices": pack([1, 0], 2), "codes": pack([1, 1], 2)}
    assert "fall" in refuse("csr", (2, 3), 2, **{**good, "pointers": pack([0, 3, 2], 2)})
    assert "fall" in refuse("csr", (2, 3), 2, **{**good, "pointers": pack([1, 1, 2], 2)})
    assert "end" in refuse("csr", (2, 3), 2, **{**good, "pointers": pack([0, 1, 3], 2)})
    assert "column" in refuse("csr", (2, 3), 2, **{**good, "indices": pack([3, 0], 2)})
    assert "column" in refuse("csr", (2, 3), 2, **{**good, "pointers": pack([0, 2, 2], 2)})
    assert "code 0" in refuse("csr", (2, 3), 2, **{**good, "codes": pack([1, 0], 2)})


def test_eie_refuses() -> None:
    def pointers(first_pe: list[int]) -> bytes:
        return bitpack.pack(first_pe + [0] * (2 * 63), 16)

    assert "row" in refuse("eie_csc4", (64, 1), 1, 4, pointers=pointers([0, 1]), entries=b"\x11")
    assert "code 0" in refuse("eie_csc4", (6400, 1), 1, 4, pointers=pointers([0, 1]), entries=b"\xf0")
    assert "codes below" in refuse("eie_csc4", (64, 1), 1, 2, pointers=pointers([0, 1]), entries=b"\x07")
    assert "entries" in refuse("eie_csc4", (64, 1), 2, 4, pointers=pointers([0, 1]), entries=b"\x01\x01")
    assert "fall" in refuse("eie_csc4", (64, 1), 1, 4, pointers=pointers([1, 1]), entries=b"\x01")


def test_layouts_that_no_tensor_has() -> None:
    for layout in (Layout((2,), 0, 1, 2), Layout((2,), 2, 5, 2), Layout((2,), 2, 0, 2), Layout((0,), 2, 2, 0)):
        with pytest.raises(FileFormatError):
            decode("dense", {"codebook": b"", "codes": b""}, layout)


def test_codebook_values_that_are_not_finite() -> None:
    nan = np.array([1, np.nan, 1], "<f4").tobytes()
    with pytest.raises(FileFormatError, match="finite"):
        decode("dense", {"codebook": nan, "codes": b"\x40"}, Layout((1,), 2, 4, 1))


def test_unknown_encodings_and_empty_tensors() -> None:
    for name in ("relative17", "csr+huffman", "Dense", ""):
        with pytest.raises(InputError):
            encode(coded(np.ones((2, 2)), name))
    with pytest.raises(InputError):
        encode(coded(np.ones((0, 2)), "dense"))


@given(name=st.sampled_from(list(ENCODINGS)), seed=st.integers(0, 10_000), data=st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_sections_decode_or_are_refused(name: str, seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    tensor = coded(fitting(random_codes((6, 11), float(rng.random()), seed), name), name)
    encoded = encode(tensor)
    sections = dict(encoded.sections)
    section = data.draw(st.sampled_from([s for s in sections if sections[s]]))
    raw = bytearray(sections[section])
    for _ in range(int(rng.integers(1, 4))):
        raw[rng.integers(len(raw))] = int(rng.integers(256))
    sections[section] = bytes(raw)
    try:
        back, _ = decode(name, sections, layout_of(tensor, encoded))
    except FileFormatError:
        return
    assert back.shape == tensor.shape
    if name == "context":  # its reader has encoded it again already, in the order that the stream names
        return
    again = encode(back)  # what is accepted is the encoding of something
    assert again.entries == encoded.entries
    assert {k: v for k, v in again.sections.items() if "table" not in k and "huffman" not in name} == {
        k: v for k, v in sections.items() if "table" not in k and "huffman" not in name
    }


def test_relative_codec_by_name() -> None:
    assert relative(5, True).name == "relative5+huffman"
    assert len(ENCODINGS) == 2 + 2 + 4 + 32 + 1 + 4 + 4 + 1
