"""Predicted sizes against the real encoders, and the formulas behind them against slow twins."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from picojoule.models.codecs import encode
from picojoule.models.errors import InputError
from picojoule.models.load import load_model
from picojoule.models.model import CodedTensor
from picojoule.models.ops import weight_matrix_shape
from picojoule.simulator.estimate import estimate, recompress
from picojoule.simulator.formats import (
    FormatSize,
    bitmask_bits,
    csr_bits,
    dense_bits,
    expected_relative_pads,
    format_names,
    huffman_bits,
    parse_format,
    predict_size,
    random_mask,
    relative_bits,
)
from picojoule.simulator.structure import WeightStructure, random_structure, structure_of
from picojoule.simulator.workload import MASK_SEED, Overrides, make_workload

RELATIVE = [f"relative{bits}" for bits in range(1, 17)]
CODED = [f"{name}+huffman" for name in ("dense", "bitmask", *RELATIVE)]
BLOCKS = ["block1x4", "block3x2", "block8x8"]
NAMES = ["dense", "bitmask", "csr", "csc", "coo", "rlc", *BLOCKS, "eie_csc4", *RELATIVE, *CODED]
SHIPPED = ["lenet-300-100@deep-compression", "lenet-5@deep-compression"]
CODES = hnp.arrays(
    np.uint16,
    st.tuples(st.integers(1, 70), st.integers(1, 6)),
    elements=st.integers(0, 15),
    fill=st.just(0),
)


def predicted_from(tensor: CodedTensor, name: str) -> FormatSize:
    """Prediction from the structure and the histogram of the non-zero codes, as a Workload makes it."""
    histogram = np.bincount(tensor.codes.ravel(), minlength=len(tensor.codebook))
    histogram[0] = 0
    mask = tensor.codes.reshape(weight_matrix_shape(tensor.shape))
    return predict_size(name, structure_of(mask, histogram), tensor.code_bits)


def assert_equals_the_encoder(tensor: CodedTensor, name: str) -> None:
    coded = CodedTensor(tensor.codes, tensor.codebook, tensor.code_bits, name)
    encoded, predicted = encode(coded), predicted_from(coded, name)
    assert predicted.total_bits == encoded.sizes.total_bits - encoded.sizes.bits["codebook"]
    assert predicted.pads == encoded.sizes.entries.get("padding", 0)
    # bytes on disk: each section is filled up to a whole byte
    stored = 8 * sum(len(section) for section in encoded.sections.values()) - encoded.sizes.bits["codebook"]
    assert 0 <= stored - predicted.total_bits < 8 * len(encoded.sections)


@given(CODES, st.sampled_from(NAMES))
def test_predicted_bits_are_the_encoders_on_any_codes(codes: np.ndarray, name: str) -> None:
    assert_equals_the_encoder(CodedTensor(codes, np.arange(16, dtype=np.float32), 4, "dense"), name)


@pytest.mark.parametrize("model_name", SHIPPED)
@pytest.mark.parametrize("name", [n for n in NAMES if n != "eie_csc4"])
def test_predicted_bits_are_the_encoders_on_the_shipped_weights(model_name: str, name: str) -> None:
    for tensor in load_model(model_name).coded.values():
        assert_equals_the_encoder(tensor, name)


@pytest.mark.parametrize("name", ["eie_csc4", "csr", "relative4+huffman"])
def test_predicted_bits_are_the_encoders_on_recompressed_weights(name: str) -> None:
    """Four bits and 3 % of the weights: code 0 and 15 shared values, as EIE holds them, with much padding."""
    model, _ = recompress(load_model(SHIPPED[0]), Overrides(bits=4, density=0.03))
    for tensor in model.coded.values():
        assert_equals_the_encoder(tensor, name)


@pytest.mark.parametrize("model_name", SHIPPED)
def test_workload_sizes_are_the_ledger_of_the_shipped_files(model_name: str) -> None:
    """Rows of the ledger are whole bytes rounded down, so each is at most a byte below the exact bits."""
    model = load_model(model_name)
    workload = make_workload(model)
    assert sum(row.bytes for row in model.ledger) == model.file_bytes == workload.file_bytes
    for place, name in enumerate(workload.names):
        rows = [row for row in model.ledger if row.tensor == f"{name}.weight" and row.section != "alignment"]
        bits = workload.storage_bits[place] + workload.codebook_bits[place]
        exact = sum(row.bytes for row in rows)
        assert 0 <= bits / 8 - exact <= len(rows), name
        padding = sum(row.entries for row in rows if row.section == "padding")
        if rows:
            assert workload.storage_entries[place] == workload.weight_nonzeros[place] + padding


def test_the_best_prefix_code_against_all_code_lengths() -> None:
    """For up to 5 symbols, every choice of lengths 1 to 4 that Kraft's inequality allows."""
    rng = np.random.default_rng(5)
    for symbols in (2, 3, 4, 5):
        lengths = [ls for ls in product(range(1, 5), repeat=symbols) if sum(2.0**-n for n in ls) <= 1]
        for _ in range(10):
            histogram = rng.integers(1, 30, symbols)
            best = min(sum(int(c) * n for c, n in zip(histogram, ls, strict=True)) for ls in lengths)
            assert huffman_bits(histogram) == best


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=40).filter(any))
def test_huffman_bits_within_gallagers_bound(counts: list[int]) -> None:
    """n H <= bits <= n (H + p1 + 0.086) for two symbols or more; a lone symbol costs a bit each."""
    histogram = np.array(counts)
    bits, n = huffman_bits(histogram), int(histogram.sum())
    p = histogram[histogram > 0] / n
    if len(p) == 1:
        assert bits == n
        return
    entropy = -float((p * np.log2(p)).sum())
    assert n * entropy - 1e-6 <= bits <= n * (entropy + float(p.max()) + 0.0861) + 1e-6


def test_huffman_bits_of_nothing_is_nothing() -> None:
    assert huffman_bits(np.zeros(4, np.int64)) == 0


@pytest.mark.parametrize(("density", "bits"), [(0.08, 5), (0.3, 3), (0.02, 5), (0.02, 8), (0.9, 1)])
def test_expected_pads_against_the_mean_over_random_masks(density: float, bits: int) -> None:
    """Within 5 standard errors of the mean of 60 masks of 100 x 200, and 1 % for the geometric model."""
    count = round(density * 20_000)
    pads = np.array([random_structure(100, 200, count, seed).relative_pads(bits) for seed in range(60)])
    expected = float(expected_relative_pads(20_000, count, bits))
    assert abs(pads.mean() - expected) < 5 * pads.std() / 60**0.5 + 0.01 * expected + 0.2


def test_expected_pads_at_the_ends() -> None:
    """No weights, or no zeros: no padding."""
    assert expected_relative_pads(100, np.array([0, 100]), 5).tolist() == [0, 0]


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 32), st.data())
def test_closed_forms_are_what_predict_size_says(rows: int, columns: int, bits: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, min(rows * columns, 200)))
    structure = random_structure(rows, columns, count, 7)
    elements, pads = rows * columns, structure.relative_pads(5)
    column_bits, pointer_bits = max(1, (columns - 1).bit_length()), max(1, count.bit_length())
    expected = {
        "dense": elements * bits,
        "bitmask": elements + count * bits,
        "csr": count * (bits + column_bits) + (rows + 1) * pointer_bits,
        "relative5": (count + pads) * (bits + 5),
    }
    assert {name: predict_size(name, structure, bits).total_bits for name in expected} == expected
    assert dense_bits(elements, bits) == expected["dense"]
    assert bitmask_bits(elements, count, bits) == expected["bitmask"]
    assert csr_bits(rows, count, bits, column_bits, pointer_bits) == expected["csr"]
    assert relative_bits(count, pads, bits, 5) == expected["relative5"]


def test_eie_size_of_lenets_first_layer_by_hand() -> None:
    """784 columns on 64 PEs: 64 x 785 pointers of 16 bits, 100,480 bytes; 300 rows: 5 on a PE, no padding."""
    size = predict_size("eie_csc4", random_structure(300, 784, 18_816, 1), 4)
    assert size.pointers_bits / 8 == 100_480
    assert size.pads == 0
    assert size.values_bits + size.indices_bits == 18_816 * 8


def test_huffman_of_unknown_values_takes_the_full_code_bits() -> None:
    """Without values only the gaps can be coded; 3 entries of 6 bits, and a table of 32 gaps x 5 bits."""
    structure = WeightStructure(1, 8, np.array([0, 1, 2]), "statistical")
    size = predict_size("relative5+huffman", structure, 6)
    assert (size.values_bits, size.indices_bits, size.tables_bits) == (18, 3, 160)


@pytest.mark.parametrize("name", ["", "relative0", "relative17", "csr+huffman", "CSR", "relative5+huffman ", "eie"])
def test_unknown_formats_are_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(InputError, match=r"--format: .*wanted one of dense, bitmask, csr") as caught:
        parse_format(name)
    assert "relative1 to relative16" in str(caught.value)


@pytest.mark.parametrize("name", format_names())
def test_every_listed_format_is_predicted_and_estimated(name: str) -> None:
    family, bits, coded = parse_format(name)
    assert coded == (name == "context" or name.endswith("+huffman"))
    assert name.removesuffix("+huffman") == family + (str(bits) if bits else "")
    cost = estimate("gemm:N=70,K=50,bits=4,density=0.2", "generic-45nm", format=name)
    size = predict_size(name, random_mask(70, 50, 700, MASK_SEED, name), 4)
    assert cost.load_bits.sum() == size.total_bits + 15 * 32
    read_as_stored = name != "context"  # range-coded weights are decoded once, and then read decoded
    assert (cost.stored_bits.sum() == cost.load_bits.sum()) == read_as_stored
