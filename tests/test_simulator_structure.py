"""Where non-zeros lie: every vectorised count against plain loops over the rows of the formats' own papers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from picojoule.simulator.structure import WeightStructure, random_structure, structure_of

MASKS = hnp.arrays(
    bool, st.tuples(st.integers(1, 70), st.integers(1, 9)), elements=st.booleans(), fill=st.just(False)
) | hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def runs_and_pads(zeros_and_ones: list[bool], index_bits: int) -> list[tuple[int, bool]]:
    """(zero run, real?) of each entry: what an encoder with `index_bits` wide runs emits, one symbol at a time."""
    longest, run, out = 2**index_bits - 1, 0, []
    for one in zeros_and_ones:
        if one:
            while run > longest:
                out.append((longest, False))
                run -= longest + 1
            out.append((run, True))
            run = 0
        else:
            run += 1
    return out


def entries_by_loops(mask: np.ndarray, n_pe: int, zero_run_bits: int) -> list[list[int]]:
    rows, columns = mask.shape
    return [
        [
            len(runs_and_pads([bool(mask[row, column]) for row in range(pe, rows, n_pe)], zero_run_bits))
            for pe in range(n_pe)
        ]
        for column in range(columns)
    ]


def test_eie_paper_example_column_has_four_entries() -> None:
    """EIE, section III-B: v = [0,0,1,2,0 x 18,3] is stored as v = [1,2,0,3], z = [2,0,15,2]: one padding zero."""
    column = [0, 0, 1, 2, *[0] * 18, 3]
    structure = structure_of(np.array(column)[:, None])
    assert structure.interleaved_entries(1, 4).tolist() == [[4]]
    assert runs_and_pads([bool(v) for v in column], 4) == [(2, True), (0, True), (15, False), (2, True)]


def test_rows_interleave_over_pes_by_hand() -> None:
    """5 rows on 2 PEs: PE 0 holds rows 0, 2, 4 and PE 1 rows 1, 3.

    With 1-bit runs a PE skips at most one zero: row 4 behind two zeros on PE 0 costs one padding entry.
    """
    mask = np.array([[0, 1], [1, 0], [0, 0], [1, 0], [1, 0]], bool)
    #   column 0: PE 0 has 0, 0, 1 -> pad and entry; PE 1 has 1, 1 -> two entries
    #   column 1: PE 0 has 1, 0, 0 -> one entry, nothing for what follows; PE 1 none
    assert structure_of(mask).interleaved_entries(2, 1).tolist() == [[2, 2], [1, 0]]


@given(MASKS, st.sampled_from([1, 2, 3, 4, 7, 64]), st.integers(1, 5))
@example(np.eye(70, 3, -60, dtype=bool), 1, 4)
def test_interleaved_entries_against_an_encoder_in_loops(mask: np.ndarray, n_pe: int, zero_run_bits: int) -> None:
    assert structure_of(mask).interleaved_entries(n_pe, zero_run_bits).tolist() == entries_by_loops(
        mask, n_pe, zero_run_bits
    )


@given(MASKS, st.sampled_from([1, 3, 64]), st.data())
def test_entries_of_some_columns_are_rows_of_all_entries(mask: np.ndarray, n_pe: int, data: st.DataObject) -> None:
    columns = np.array(sorted(data.draw(st.sets(st.integers(0, mask.shape[1] - 1)))), np.int64)
    structure = structure_of(mask)
    some = structure.interleaved_entries(n_pe, 2, columns)
    assert some.shape == (len(columns), n_pe)
    assert some.tolist() == [entries_by_loops(mask, n_pe, 2)[column] for column in columns]


@given(MASKS)
def test_more_run_bits_never_cost_entries_and_enough_of_them_cost_no_padding(mask: np.ndarray) -> None:
    structure = structure_of(mask)
    totals = [int(structure.interleaved_entries(2, bits).sum()) for bits in range(1, 8)]
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] == mask.sum()  # 2^7 > 70 rows
    pads = [structure.relative_pads(bits) for bits in range(1, 11)]
    assert pads == sorted(pads, reverse=True)
    assert pads[-1] == 0  # 2^10 > 70 x 9


@given(MASKS, st.integers(1, 6))
@example(np.arange(65)[None] == 64, 5)
def test_relative_index_stream_against_an_encoder_in_loops(mask: np.ndarray, bits: int) -> None:
    stream = runs_and_pads([bool(v) for v in mask.ravel()], bits)
    structure = structure_of(mask)
    assert structure.relative_pads(bits) == sum(not real for _, real in stream)
    symbols = Counter(run for run, _ in stream)
    assert structure.relative_symbols(bits).tolist() == [symbols[run] for run in range(2**bits)]


@given(MASKS)
def test_zero_runs_against_loops(mask: np.ndarray) -> None:
    expected, run = [], 0
    for one in mask.ravel().tolist():
        if one:
            expected.append(run)
        run = 0 if one else run + 1
    structure = structure_of(mask)
    assert structure.zero_runs.tolist() == expected
    assert (structure.nonzeros, structure.elements) == (len(expected), mask.size)


@given(MASKS, st.data())
def test_effectual_products_against_two_loops(mask: np.ndarray, data: st.DataObject) -> None:
    rows, columns = mask.shape
    active = data.draw(hnp.arrays(bool, columns))
    expected = sum(bool(mask[r, c]) and bool(active[c]) for r in range(rows) for c in range(columns))
    assert structure_of(mask).effectual_macs(active) == expected


def test_a_mask_without_ones_has_no_entries() -> None:
    empty = structure_of(np.zeros((70, 3)))
    assert empty.interleaved_entries(64, 4).sum() == 0
    assert empty.relative_pads(5) == 0
    assert empty.relative_symbols(5).tolist() == [0] * 32


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 2**32 - 1))
@example(1, 1, 0.0, 0)
@example(40, 40, 0.9999, 1)
def test_random_masks_have_exactly_the_asked_nonzeros(rows: int, columns: int, share: float, seed: int) -> None:
    count = round(share * rows * columns)
    positions = random_structure(rows, columns, count, seed).positions
    assert len(positions) == count
    assert (np.diff(positions) > 0).all()
    assert count == 0 or (positions[0] >= 0 and positions[-1] < rows * columns)


def test_random_masks_repeat_by_seed_and_differ_between_seeds() -> None:
    first, again, other = (random_structure(60, 70, 400, seed).positions for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_random_masks_say_that_they_are_statistical_and_real_ones_that_they_are_exact() -> None:
    assert random_structure(4, 4, 3, 0).basis == random_structure(4, 4, 16, 0).basis == "statistical"
    assert structure_of(np.eye(3)).basis == "exact"


@pytest.mark.parametrize("count", [1, 10, 30])
def test_random_masks_are_uniform(count: int) -> None:
    """Each of 40 places is a one in count/40 of the masks, each pair in count (count - 1) / (40 x 39) of them.

    Within 5 standard deviations of the binomial counts over 3,000 seeds; the ends of a row are where a
    draw of geometric gaps would go wrong first.
    """
    masks, places = 3000, 40
    hits = np.zeros((places, places))
    for seed in range(masks):
        one = np.zeros(places)
        one[random_structure(5, 8, count, seed).positions] = 1
        hits += np.outer(one, one)
    single, pair = count / places, count * (count - 1) / (places * (places - 1))
    singles, pairs = np.diag(hits), hits[np.triu_indices(places, 1)]
    assert np.abs(singles - masks * single).max() < 5 * (masks * single * (1 - single)) ** 0.5
    assert np.abs(pairs - masks * pair).max() <= 5 * (masks * pair * (1 - pair)) ** 0.5


def test_positions_are_all_that_matters() -> None:
    values = np.array([[0.0, -2.5], [1e-30, 0.0]])
    assert structure_of(values).positions.tolist() == [1, 2]
    assert WeightStructure(2, 2, np.array([1, 2]), "exact").interleaved_entries(2, 4).tolist() == [[0, 1], [1, 0]]


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 9), st.booleans())
def test_entries_of_a_full_matrix_are_the_rows_of_each_pe(rows, columns, n_pe, some):
    """Its shortcut against a walk over rows; a weight fewer takes the long way and loses one entry or gains a run."""
    kept = np.arange(0, columns, 2) if some else None
    full = structure_of(np.ones((rows, columns)))
    found = full.interleaved_entries(n_pe, 4, kept)
    expected = np.array([len(range(pe, rows, n_pe)) for pe in range(n_pe)])
    assert found.tolist() == [expected.tolist()] * (columns if kept is None else len(kept))
    mask = np.ones((rows, columns))
    mask[rows - 1, columns - 1] = 0  # the last row of its PE: nothing behind it has a run
    less = structure_of(mask).interleaved_entries(n_pe, 4)
    assert less.sum() == rows * columns - 1
