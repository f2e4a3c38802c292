"""The `context` encoding: what goes in comes out, at the model's cost, on hostile bytes too.

Outside truths: the entropy of the masks and values that go in, and constriction's own coder.
"""

from __future__ import annotations

import random
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from picojoule.models.codecs import Layout, decode, encode
from picojoule.models.codecs.context import measure_bits
from picojoule.models.codecs.context_model import LEVEL_MIDDLES, LEVEL_TOPS, code_mask
from picojoule.models.codecs.range_coder import SCALE, Meter, Reader, Writer
from picojoule.models.errors import FileFormatError, InputError, MissingExtraError
from picojoule.models.model import CodedTensor
from picojoule.models.pico import FORMAT_VERSION, decode_pico, encode_pico
from picojoule.simulator.formats import predict_size
from picojoule.simulator.structure import structure_of

from .test_pico_hostile import assemble, deflate, inflate, mutate, parts, small_model


def uneven_codes(shape: tuple[int, ...], density: float, symbols: int, seed: int) -> np.ndarray:
    """Some rows and columns much denser than others, small codes likelier."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.gamma(0.7, 1, shape[0]), rng.gamma(0.7, 1, int(np.prod(shape[1:])))
    p = np.outer(rows, columns)
    p = np.minimum(1, p * density / max(p.mean(), 1e-9)).reshape(shape)
    values = np.minimum(rng.geometric(0.4, shape), symbols - 1)
    return ((rng.random(shape) < p) * values).astype(np.uint16)


def coded(codes: np.ndarray, bits: int = 4, dtype: str = "float32") -> CodedTensor:
    return CodedTensor(codes.astype(np.uint16), np.arange(1 << bits, dtype=np.float32) / 8, bits, "context", dtype)


def round_trip(tensor: CodedTensor) -> int:
    """Bytes of the stream of a tensor that came back whole."""
    encoded = encode(tensor)
    layout = Layout(tensor.shape, tensor.code_bits, len(tensor.codebook), encoded.entries, tensor.codebook_dtype)
    back, sizes = decode("context", encoded.sections, layout)
    np.testing.assert_array_equal(back.codes, tensor.codes)
    np.testing.assert_array_equal(back.codebook, tensor.codebook)
    assert sizes == encoded.sizes
    assert sizes.bits["codes"] + sizes.bits["indices"] == 8 * len(encoded.sections["stream"])
    return len(encoded.sections["stream"])


@given(
    shape=st.lists(st.integers(1, 12), min_size=1, max_size=4).map(tuple),
    density=st.sampled_from([0.0, 0.02, 0.3, 1.0, 5.0]),
    bits=st.integers(1, 10),
    seed=st.integers(0, 2**30),
)
@settings(max_examples=60, deadline=None)
def test_round_trip(shape: tuple[int, ...], density: float, bits: int, seed: int) -> None:
    codes = uneven_codes((*shape, 1), density, 1 << bits, seed).reshape(shape)
    round_trip(coded(codes, bits))


@pytest.mark.parametrize("shape", [(70, 784), (50, 20, 5, 5), (1, 300), (300,), (300, 1), (4096, 3), (3, 4096)])
def test_round_trip_of_layers_within_the_models_cost(shape: tuple[int, ...]) -> None:
    """constriction's range coder needs at most two words of 32 bits more than the sum of -log2 p."""
    codes = uneven_codes((*shape, 1), 0.03, 16, len(shape)).reshape(shape)
    stream = 8 * round_trip(coded(codes))
    measured = measure_bits(codes, 16)
    assert measured - 8 <= stream <= measured + 64


def test_a_mask_costs_no_more_than_its_entropy_by_row() -> None:
    """Rows of known density: the cost is within 10 % of the sum of n H(p_row), the model being given the counts."""
    rng = np.random.default_rng(3)
    p = np.sort(rng.gamma(0.5, 0.05, 200))[::-1][:, None]
    mask = rng.random((200, 400)) < p
    counts = mask.sum(axis=1)
    order = np.argsort(-counts, kind="stable")
    meter = Meter()
    code_mask(meter, mask[order], counts[order].astype(np.int64), 0)
    share = counts[counts > 0] / 400
    entropy = -400 * float((share * np.log2(share) + (1 - share) * np.log2(1 - share)).sum())
    assert meter.bits < 1.1 * entropy


def test_neighbours_on_a_grid_save_bits() -> None:
    """Receptive fields of 3 x 3 pixels on a 28 x 28 image: far below what rows and columns alone allow."""
    rng = np.random.default_rng(5)
    codes = np.zeros((60, 28, 28), np.uint16)
    for row in codes:
        y, x = rng.integers(0, 26, 2)
        row[y : y + 3, x : x + 3] = 1 + rng.integers(2) * 8
    codes = codes.reshape(60, 784)
    stream = encode(coded(codes)).sections["stream"]
    assert stream[0] == 28
    values, mask = (bits / 8 for bits in _entropies(codes))
    assert len(stream) < 0.6 * (values + mask)


def _entropies(codes: np.ndarray) -> tuple[float, float]:
    histogram = np.bincount(codes.ravel(), minlength=16)
    histogram[0] = 0
    size = predict_size("context", structure_of(codes, histogram), 4)
    return size.values_bits, size.indices_bits


@pytest.mark.parametrize("density", [0.005, 0.05, 0.4])
@pytest.mark.parametrize("shape", [(300, 784), (784, 300), (100, 30)])
def test_predicted_size_is_within_its_stated_bound(shape: tuple[int, int], density: float) -> None:
    codes = uneven_codes(shape, density, 16, 9)
    predicted = sum(_entropies(codes)) / 8
    real = round_trip(coded(codes))
    assert abs(predicted - real) < 0.12 * real + 40, (predicted, real)


def test_what_is_dead_costs_almost_nothing() -> None:
    codes = np.zeros((300, 784), np.uint16)
    codes[:4, 300:310] = 3
    assert round_trip(coded(codes)) < 40
    assert round_trip(coded(np.zeros((2000, 800), np.uint16))) <= 8
    assert round_trip(coded(np.full((500, 60), 7))) <= 24


def test_sorting_rows_saves_bits() -> None:
    codes = uneven_codes((300, 400), 0.03, 16, 2)
    order = np.argsort(-np.count_nonzero(codes, axis=1), kind="stable")
    assert round_trip(coded(codes[order])) < round_trip(coded(codes)) - 100


def test_shapes_that_take_long_for_their_elements_are_refused() -> None:
    with pytest.raises(InputError, match="choose another encoding"):
        encode(coded(np.zeros((1 << 17, 1), np.uint16)))
    layout = Layout((2, 1 << 20), 4, 16, 0)
    encoded = encode(coded(np.zeros((2, 8), np.uint16)))
    with pytest.raises(FileFormatError, match="a matrix that a writer encodes"):
        decode("context", encoded.sections, layout)


@given(seed=st.integers(0, 2**30))
@settings(max_examples=150, deadline=None)
def test_damaged_streams_are_refused_or_are_somebodys(seed: int) -> None:
    """What is accepted is exactly what a writer makes of it, whatever order it chose."""
    rng = random.Random(seed)
    tensor = coded(uneven_codes((20, 36), 0.2, 16, seed % 50))
    encoded = encode(tensor)
    layout = Layout(tensor.shape, 4, 16, encoded.entries)
    stream = mutate(encoded.sections["stream"], rng)
    try:
        back, _ = decode("context", {**encoded.sections, "stream": stream}, layout, "x")
    except FileFormatError:
        return
    assert back.nonzeros == encoded.entries


def test_reader_refuses_bytes_behind_the_end() -> None:
    writer = Writer()
    bits, ones = np.array([True, False] * 40), np.full(80, SCALE // 3)
    writer.code(bits, ones)
    data = writer.finish()
    reader = Reader(data, "x")
    np.testing.assert_array_equal(reader.code(np.zeros(80, bool), ones), bits)
    reader.finish()
    for wrong in (data + b"\1", data + b"\0"):
        reader = Reader(wrong, "x")
        reader.code(np.zeros(80, bool), ones)
        with pytest.raises(FileFormatError):
            reader.finish()


def test_level_tables_are_powers_of_two_in_thirds() -> None:
    level = np.arange(len(LEVEL_TOPS))
    np.testing.assert_allclose(LEVEL_TOPS, SCALE * 2 ** (-level / 3), atol=1)
    np.testing.assert_allclose(LEVEL_MIDDLES, SCALE * 2 ** (-(level + 0.5) / 3), atol=1)


def test_float16_codebook_halves_it_and_must_be_exact() -> None:
    codes = uneven_codes((20, 20), 0.3, 16, 1)
    single, half = encode(coded(codes)), encode(coded(codes, dtype="float16"))
    assert len(single.sections["codebook"]) == 60
    assert len(half.sections["codebook"]) == 30
    round_trip(coded(codes, dtype="float16"))
    with pytest.raises(Exception, match="rounded to float16"):
        CodedTensor(np.zeros((1, 1), np.uint16), np.array([0, 0.1], np.float32), 1, "context", "float16")


def context_file() -> bytes:
    model = small_model()
    tensors = {name: CodedTensor(t.codes, t.codebook, t.code_bits, "context") for name, t in model.coded.items()}
    return encode_pico(replace(model, coded=tensors))


def test_files_with_it_have_version_2_and_others_version_1() -> None:
    assert FORMAT_VERSION == 2
    assert encode_pico(small_model())[4:6] == b"\1\0"
    data = context_file()
    assert data[4:6] == b"\2\0"
    assert decode_pico(data, "x").coded
    header, payload = parts(data)
    older = assemble(deflate(inflate(header, 2), 1), payload, version=1)
    with pytest.raises(FileFormatError, match="got what version 2 brought, wanted what format version 1 has"):
        decode_pico(older, "x")


def test_without_constriction_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    data = context_file()
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(MissingExtraError, match=r"needs the extra \[ans\]; run: pip install 'picojoule\[ans\]'"):
        decode_pico(data, "x.pico")
