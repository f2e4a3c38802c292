"""EIE's cycles against a machine that runs cycle by cycle, and what its paper says of queues."""

from __future__ import annotations

from collections import deque

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from picojoule.models.build import GraphBuilder
from picojoule.models.graph import Graph
from picojoule.simulator.eie import layer_cycles, matrix_vector_cycles
from picojoule.simulator.estimate import estimate
from picojoule.simulator.processors.eie_chip import columns_per_batch
from picojoule.simulator.structure import random_structure
from picojoule.simulator.target import EieTarget, load_target

WORK = hnp.arrays(np.int64, st.tuples(st.integers(0, 25), st.integers(1, 5)), elements=st.integers(0, 7))
ON_THREE_PES = hnp.arrays(np.int64, st.tuples(st.integers(0, 12), st.just(3)), elements=st.integers(0, 7))
DEPTHS = st.integers(1, 9)


def eie() -> EieTarget:
    target = load_target("eie")
    assert isinstance(target, EieTarget)
    return target


def run_the_machine(columns: list[list[int]], depth: int) -> int:
    """Cycles until all queues are empty. A queue holds what is left to do of each activation, the one in work first.

    In every cycle each PE works one cycle on its head; then, if no queue is full, the next non-zero
    activation is broadcast to all PEs, to be worked on from the next cycle.
    """
    queues: list[deque[int]] = [deque() for _ in (columns[0] if columns else ())]
    waiting, cycle = deque(columns), 0
    while waiting or any(queues):
        cycle += 1
        for queue in queues:
            if queue:
                queue[0] -= 1
                if queue[0] == 0:
                    queue.popleft()
        if waiting and all(len(queue) < depth for queue in queues):
            for queue, entries in zip(queues, waiting.popleft(), strict=True):
                queue.append(max(1, entries))
    return cycle


def cycles_of(work: np.ndarray, depth: int) -> int:
    return int(matrix_vector_cycles(work[:, None, :], depth)[0])


@pytest.mark.parametrize(
    ("columns", "depth", "cycles"),
    [
        ([[1]], 8, 2),  # broadcast in cycle 1, worked on in cycle 2
        ([[0]], 8, 2),  # an empty column still has its pointers read
        ([[0, 0], [0, 0], [0, 0]], 8, 4),  # one broadcast a cycle, one cycle each
        ([[3, 0], [1, 2]], 8, 5),  # PE 0: cycles 2 to 4, then 5; PE 1: cycle 2, then 3 and 4
        ([[3, 0], [1, 2]], 1, 6),  # the second waits for PE 0 to finish in cycle 4: PE 1 works in 5 and 6
        ([[4, 1], [1, 1], [1, 4]], 8, 7),  # PE 0 works in 2 to 7; PE 1 gets its third in 3, works in 4 to 7
        ([[4, 1], [1, 1], [1, 4]], 2, 9),  # PE 0's queue is full until cycle 5; PE 1 works in 6 to 9
    ],
)
def test_cycles_by_hand(columns: list[list[int]], depth: int, cycles: int) -> None:
    assert run_the_machine(columns, depth) == cycles
    assert cycles_of(np.array(columns), depth) == cycles


@given(WORK, DEPTHS)
def test_cycles_against_the_machine(work: np.ndarray, depth: int) -> None:
    assert cycles_of(work, depth) == run_the_machine(work.tolist(), depth)


@given(st.lists(ON_THREE_PES, min_size=1, max_size=4), DEPTHS)
def test_samples_of_different_lengths_do_not_disturb_each_other(samples: list[np.ndarray], depth: int) -> None:
    steps = max(len(work) for work in samples)
    together = np.zeros((steps, len(samples), 3), np.int64)
    for place, work in enumerate(samples):
        together[: len(work), place] = work
    lengths = np.array([len(work) for work in samples])
    found = matrix_vector_cycles(together, depth, lengths)
    assert found.tolist() == [run_the_machine(work.tolist(), depth) for work in samples]


@given(WORK, st.integers(1, 8))
def test_a_deeper_queue_is_never_slower_and_depth_one_is_lockstep(work: np.ndarray, depth: int) -> None:
    assert cycles_of(work, depth + 1) <= cycles_of(work, depth)
    lockstep = sum(max(1, int(column.max())) for column in work)
    assert cycles_of(work, 1) == lockstep + (1 if len(work) else 0)


@given(WORK, DEPTHS)
def test_no_faster_than_the_busiest_pe_and_the_broadcasts(work: np.ndarray, depth: int) -> None:
    cycles = cycles_of(work, depth)
    busiest = int(np.maximum(work, 1).sum(axis=0).max())
    assert cycles >= busiest + (1 if len(work) else 0)
    assert cycles >= len(work)
    if len(work):
        assert cycles_of(work, len(work)) <= len(work) + int(np.maximum(work, 1).sum(axis=0).max())


@given(
    st.lists(st.sets(st.integers(0, 19)).map(sorted), min_size=1, max_size=3),
    DEPTHS,
    st.integers(1, 25),
    st.integers(0, 2**32 - 1),
)
def test_batches_of_columns_drain_before_the_next(
    active: list[list[int]], depth: int, columns_per_batch: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    work = [rng.integers(0, 5, (len(columns), 3)) for columns in active]
    cycles, entries = layer_cycles(
        work, [np.array(c, np.int64) for c in active], fifo_depth=depth, columns_per_batch=columns_per_batch
    )
    for sample, columns in enumerate(active):
        batches: dict[int, list[list[int]]] = {}
        for place, column in enumerate(columns):
            batches.setdefault(column // columns_per_batch, []).append(work[sample][place].tolist())
        assert cycles[sample] == sum(run_the_machine(batch, depth) for batch in batches.values())
        assert entries[sample] == work[sample].sum()


def test_queue_depth_saturates_at_eight_as_in_isca2016_fig8() -> None:
    """Fig. 8: without a queue about half the cycles are lost; beyond a depth of 8 the gain is marginal.

    AlexNet FC7 (Table III: 4096 x 4096, weights 9 %, activations 35.3 %), a random mask.
    """
    count = round(0.353 * 4096)
    work = random_structure(4096, count, round(0.09 * 4096 * count), 1).interleaved_entries(64, 4)
    cycles = {depth: cycles_of(work, depth) for depth in (1, 2, 4, 8, 16, 64)}
    ideal = work.sum() / 64
    assert 0.4 < ideal / cycles[1] < 0.6
    assert ideal / cycles[8] > 0.85
    assert cycles[8] / cycles[64] < 1.08
    gains = [cycles[a] - cycles[b] for a, b in ((1, 2), (2, 4), (4, 8), (8, 16))]
    assert gains == sorted(gains, reverse=True)


def test_a_dense_layer_on_the_chip_by_hand() -> None:
    """128 x 3 on 64 PEs: 2 entries per PE and column, so 1 + 3 x 2 = 7 cycles of 1.25 ns."""
    cost = estimate("gemm:M=1,N=128,K=3,bits=4", "eie")
    assert cost.totals["latency_s"] == pytest.approx(7 / 800e6)
    # Table II, one PE: 0.112 + 1.807 + 4.955 + 1.162 + 1.122 = 9.158 mW; 64 of them and 0.483 mW: 0.586595 W
    assert cost.totals["energy_pj"] == pytest.approx((64 * 9.158e-3 + 0.483e-3) * 7 / 800e6 * 1e12)
    assert cost.totals["macs_performed"] == 384
    # 384 entries of 8 bits, 64 x (3 + 1) pointers and 16 codebook entries of 16 bits
    assert cost.stored_bits.tolist() == [384 * 8 + 64 * 4 * 16 + 16 * 16]


def test_padding_zeros_take_time_and_room_on_the_chip() -> None:
    """One non-zero behind 31 zeros of its PE: two padding entries, so 1 + 3 cycles, and 3 entries stored."""
    work = np.array([[3] + [0] * 63])
    assert run_the_machine(work.tolist(), 8) == 4
    cost = estimate(_single_weight(row=64 * 32 + 5, rows=64 * 33), "eie")
    assert cost.totals["macs_performed"] == 3
    assert cost.totals["latency_s"] == pytest.approx(4 / 800e6)


def _single_weight(row: int, rows: int) -> Graph:
    """A one-column layer with one non-zero weight."""
    builder = GraphBuilder("single", (1, 1))
    builder.gemm("fc", rows, bias=False)
    weights = np.zeros((rows, 1), np.float32)
    weights[row] = 1.0
    return builder.build().with_parameters({"fc.weight": weights})


def test_long_inputs_run_in_batches_of_4096_columns() -> None:
    """4,097 columns: 1 + 4096 cycles, drained, then 1 + 1."""
    assert columns_per_batch(eie()) == 64 * 64
    cost = estimate("gemm:M=1,N=64,K=4097,bits=4", "eie")
    assert cost.totals["latency_s"] == pytest.approx((4097 + 2) / 800e6)


def test_pointer_memory_limits_columns_too() -> None:
    small = msgspec.structs.replace(eie().pointer_memory_bits_per_pe, value=11 * 16)
    target = msgspec.structs.replace(eie(), pointer_memory_bits_per_pe=small)
    assert columns_per_batch(target) == 10
    cost = estimate("gemm:M=1,N=64,K=25,bits=4", target)
    assert cost.totals["latency_s"] == pytest.approx((11 + 11 + 6) / 800e6)


def test_batch_runs_one_input_after_the_other() -> None:
    one, three = (estimate("gemm:M=1,N=128,K=30,bits=4,density=0.2", "eie", batch=batch) for batch in (1, 3))
    assert three.totals["latency_s"] == pytest.approx(3 * one.totals["latency_s"])
    assert three.totals["energy_pj_per_inference"] == pytest.approx(one.totals["energy_pj"])
    assert three.totals["weight_bytes"] == one.totals["weight_bytes"]


def test_zero_inputs_are_skipped() -> None:
    """A tenth of 1,000 dense columns broadcasts: 100 x 1 cycle and the first."""
    cost = estimate("gemm:M=1,N=64,K=1000,bits=4", "eie", act_density=0.1)
    assert cost.totals["latency_s"] == pytest.approx(101 / 800e6)
    assert cost.totals["macs_performed"] == 6400


def test_what_exceeds_the_memories_is_counted_by_pe() -> None:
    """65 x 4: PE 0 has two rows, so 8 entries of 8 bits; the others 4. Room for 40 bits: 24 bits over on PE 0 alone."""
    room = msgspec.structs.replace(eie().spmat_bits_per_pe, value=40)
    target = msgspec.structs.replace(eie(), spmat_bits_per_pe=room)
    cost = estimate("gemm:M=1,N=65,K=4,bits=4", target)
    assert float(cost.overflow_bits) == 24
    assert not cost.fits
    assert estimate("gemm:M=1,N=65,K=4,bits=4", "eie").fits
