"""Systolic arrays as targets: SCALE-Sim's cycles through `estimate`, traffic walked fold by fold, refusals."""

from __future__ import annotations

import csv
from math import ceil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from picojoule import estimate
from picojoule.models.errors import TargetError
from picojoule.models.ops import LoopBounds
from picojoule.simulator.processors.systolic_array import systolic_layer
from picojoule.simulator.systolic import DATAFLOWS
from picojoule.simulator.systolic_traffic import Room, off_chip, product_of
from picojoule.simulator.target import SystolicTarget, load_target, parse_target, target_template

DATA = Path(__file__).parent / "data" / "scalesim_cycles.csv"
SHORT = {"ws": "weight-stationary", "os": "output-stationary", "is": "input-stationary"}
WIDTHS = (8, 8, 32, 8)


def target_of(short: str = "ws", **changes: object) -> SystolicTarget:
    target = load_target(f"systolic-32x32-{short}")
    assert isinstance(target, SystolicTarget)
    return msgspec.structs.replace(target, **changes)


@pytest.mark.parametrize("short", SHORT)
def test_estimate_takes_scalesims_cycles(short: str) -> None:
    """All 48 rows of each dataflow, through the front door: compute time x clock."""
    with DATA.open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    rows = [row for row in rows if row["dataflow"] == short]
    assert len(rows) == 48
    for row in rows:
        target = target_of(short, rows=int(row["array_rows"]), columns=int(row["array_columns"]))
        cost = estimate(f"gemm:M={row['M']},N={row['N']},K={row['K']}", target)
        compute = next(term for term in cost.terms if term.formula.id == "systolic.compute_time")
        assert compute.value.sum() * target.clock_hz.value == pytest.approx(int(row["cycles"]), rel=1e-12), row
        assert cost.latency_s.sum() >= compute.value.sum()


def test_weight_stationary_by_hand() -> None:
    """M 49, K 64, N 10 on 32 x 32: 2 folds over K; every word counted by hand."""
    layer = systolic_layer(target_of("ws"), product_of(LoopBounds(N=49, K=10, C=64)))
    assert (layer.folds, layer.compute_cycles) == (2, 2 * (49 + 64 + 32 - 2) - 1)
    assert layer.dram_read == (640 * 8, 3136 * 8, 0)
    assert layer.dram_write == (0, 0, 490 * 8)
    # each of the first fold's 490 sums is written at 32 bits and read back; outputs at 8 bits leave for DRAM
    assert layer.buffer_write == (640 * 8, 3136 * 8, 490 * 32 + 490 * 8)
    assert layer.buffer_read == (640 * 8, 3136 * 8, 490 * 32 + 490 * 8)
    assert layer.dram_cycles == ceil((640 + 3136 + 490) * 8 / 80)
    assert (layer.bound_by, layer.cycles) == ("dram", 427)
    passed, loaded = 49 * 64 * 10 * (8 + 32), 640 * 8 * 33 / 2
    assert layer.register_bits == passed + loaded


def test_energy_by_hand() -> None:
    """The same product: MACs, registers, DRAM from the file; buffers from the fit at 45 nm."""
    cost = estimate("gemm:M=49,N=10,K=64", "systolic-32x32-ws")
    parts = {name: float(value.sum()) for name, value in cost.energy_by_component_pj().items()}
    assert parts["mac"] == pytest.approx(31360 * 0.3)
    assert parts["noc"] == pytest.approx((31360 * 40 + 640 * 8 * 16.5) * 0.01)
    assert parts["dram"] == pytest.approx((640 + 3136 + 490) * 8 * 7)
    assert parts["sram"] == pytest.approx((640 * 8 + 3136 * 8 + 490 * 40) / 64 * (21.1264 + 20.6847), rel=1e-5)
    assert sum(parts.values()) == pytest.approx(cost.totals["energy_pj"])


def test_sums_that_find_no_room_go_out_and_come_back() -> None:
    """M 4096, K 96, N 32: 131,072 sums at 32 bits against 32 KiB; three folds over K write and read them twice."""
    layer = systolic_layer(target_of("ws"), product_of(LoopBounds(N=4096, K=32, C=96)))
    assert layer.moved.spilled == 2 * 131072
    assert layer.dram_read[2] == layer.moved.spilled * 32
    assert layer.dram_write[2] == layer.moved.spilled * 32 + 131072 * 8
    stays = systolic_layer(target_of("os"), product_of(LoopBounds(N=4096, K=32, C=96)))
    assert stays.moved.spilled == 0


def test_groups_run_one_after_another() -> None:
    one = systolic_layer(target_of(), product_of(LoopBounds(K=8, C=8, P=14, Q=14, R=3, S=3)))
    four = systolic_layer(target_of(), product_of(LoopBounds(K=32, C=8, P=14, Q=14, R=3, S=3, groups=4)))
    assert four.compute_cycles == 4 * one.compute_cycles
    assert sum(four.dram_read) == 4 * sum(one.dram_read)


def walk(bounds: LoopBounds, rows: int, columns: int, dataflow: str, order: str, room: Room) -> dict[str, int]:
    """Words fetched from DRAM, fold by fold, every word with its address; slow and from the definition alone.

    A buffer keeps its operand whole if it has room; else what the fold in hand and the one before share.
    """
    b = bounds
    m_of = [(n, p, q) for n in range(b.N) for p in range(b.P) for q in range(b.Q)]
    k_of = [(c, r, s) for c in range(b.C) for r in range(b.R) for s in range(b.S)]

    def word(m: int, k: int) -> tuple[int, ...]:
        (n, p, q), (c, r, s) = m_of[m], k_of[k]
        return n, c, p * b.stride[0] + r, q * b.stride[1] + s

    spans = {"weight_stationary": (len(k_of), b.K), "output_stationary": (len(m_of), b.K)}
    down, across = spans.get(dataflow, (len(k_of), len(m_of)))
    folds = [(i, j) for i in range(0, down, rows) for j in range(0, across, columns)]
    if order == "columns outer":
        folds = [(i, j) for j in range(0, across, columns) for i in range(0, down, rows)]
    fetched = {"weight": 0, "input": 0}
    held: dict[str, set[tuple[int, ...]]] = {"weight": set(), "input": set()}
    inputs = {word(m, k) for m in range(len(m_of)) for k in range(len(k_of))}
    everything = {"weight": len(k_of) * b.K, "input": len(inputs)}
    for i, j in folds:
        over_rows, over_columns = range(i, min(i + rows, down)), range(j, min(j + columns, across))
        if dataflow == "weight_stationary":
            ks, ns, ms = over_rows, over_columns, range(len(m_of))
        elif dataflow == "output_stationary":
            ms, ns, ks = over_rows, over_columns, range(len(k_of))
        else:
            ks, ms, ns = over_rows, over_columns, range(b.K)
        needed = {
            "weight": {(k, n) for k in ks for n in ns},
            "input": {word(m, k) for m in ms for k in ks},
        }
        for operand, words in needed.items():
            whole = everything[operand] <= getattr(room, operand)
            fetched[operand] += len(words - held[operand])
            kept = words if len(words) <= getattr(room, operand) else set()
            held[operand] = held[operand] | words if whole else kept
    return fetched


BOUNDS = st.builds(
    LoopBounds, N=st.integers(1, 2), K=st.integers(1, 9), C=st.integers(1, 5), P=st.integers(1, 4), Q=st.integers(1, 4),
    R=st.integers(1, 3), S=st.integers(1, 3), stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)  # fmt: skip
ROOMS = st.builds(Room, *(st.sampled_from([4, 12, 40, 100, 10_000]) for _ in range(3)))
SIZE = st.integers(1, 6)


@settings(deadline=None, max_examples=200)
@given(bounds=BOUNDS, rows=SIZE, columns=SIZE, room=ROOMS)
def test_weight_stationary_traffic_by_walking(bounds: LoopBounds, rows: int, columns: int, room: Room) -> None:
    """Weights exactly; inputs never fewer than the walk, and equal where a fold's slice is no part of a channel."""
    product = product_of(bounds)
    moved = off_chip(product, rows, columns, "weight_stationary", room, WIDTHS)
    walked = walk(bounds, rows, columns, "weight_stationary", moved.order, room)
    assert moved.weight == walked["weight"] == bounds.weight_elements
    assert moved.input >= walked["input"]
    if rows % product.kernel == 0 and product.input_words <= room.input:
        assert moved.input == walked["input"]


@settings(deadline=None, max_examples=300)
@given(bounds=BOUNDS, rows=SIZE, columns=SIZE, room=ROOMS, dataflow=st.sampled_from(DATAFLOWS))
def test_traffic_is_at_least_what_a_walk_needs(
    bounds: LoopBounds, rows: int, columns: int, room: Room, dataflow: str
) -> None:
    """Compulsory words are a floor, one fetch for every product a ceiling."""
    product = product_of(bounds)
    moved = off_chip(product, rows, columns, dataflow, room, WIDTHS)
    roomy = off_chip(product, rows, columns, dataflow, Room(1e9, 1e9, 1e9), WIDTHS)
    walked = walk(bounds, rows, columns, dataflow, roomy.order, Room(1e9, 1e9, 1e9))
    assert (roomy.weight, roomy.input, roomy.spilled) == (walked["weight"], walked["input"], 0)
    assert roomy.weight <= moved.weight <= bounds.macs
    assert roomy.input <= moved.input <= bounds.macs
    assert moved.output == bounds.N * bounds.K * bounds.P * bounds.Q


@settings(deadline=None, max_examples=200)
@given(bounds=BOUNDS, rows=SIZE, columns=SIZE, dataflow=st.sampled_from(DATAFLOWS), small=ROOMS, large=ROOMS)
def test_a_larger_buffer_never_moves_more(
    bounds: LoopBounds, rows: int, columns: int, dataflow: str, small: Room, large: Room
) -> None:
    room = Room(*(max(getattr(small, n), getattr(large, n)) for n in ("weight", "input", "output")))
    more, less = (off_chip(product_of(bounds), rows, columns, dataflow, r, WIDTHS).bits(*WIDTHS) for r in (small, room))
    assert less <= more


@settings(deadline=None, max_examples=60)
@given(bounds=BOUNDS, rows=SIZE, columns=SIZE, short=st.sampled_from(sorted(SHORT)), rate=st.integers(1, 200))
def test_time_and_utilization(bounds: LoopBounds, rows: int, columns: int, short: str, rate: int) -> None:
    """More bandwidth or double buffering never takes longer; no more products than PEs x cycles."""
    target = target_of(short, rows=rows, columns=columns)
    layer = systolic_layer(target, product_of(bounds))
    assert bounds.macs <= rows * columns * (layer.compute_cycles + bounds.groups)
    slow, fast = (
        systolic_layer(
            msgspec.structs.replace(target, dram=msgspec.structs.replace(
                target.dram, bits_per_cycle=msgspec.structs.replace(target.dram.bits_per_cycle, value=float(value)))),
            product_of(bounds)) for value in (rate, rate + 8)
    )  # fmt: skip
    assert fast.cycles <= slow.cycles


def test_one_buffer_waits_and_two_overlap() -> None:
    product = product_of(LoopBounds(N=49, K=10, C=64))
    one, two = (systolic_layer(target_of(double_buffered=double), product) for double in (False, True))
    assert one.cycles == one.compute_cycles + one.dram_cycles
    assert two.cycles == max(two.compute_cycles, two.dram_cycles)


def test_attention_and_batches() -> None:
    """Matrix products of two activations run, head by head; a batch only lengthens M."""
    cost = estimate("vit-b-16", "systolic-32x32-ws")
    missing = {layer.kind for layer in cost.unmodelled}
    assert "matmul" not in missing
    once, four = (estimate("gemm:M=1,N=64,K=64", "systolic-32x32-ws", batch=batch) for batch in (1, 4))
    compute = [next(t.value.sum() for t in c.terms if t.formula.id == "systolic.compute_time") for c in (once, four)]
    assert (compute[1] - compute[0]) * 500e6 == pytest.approx(4 * 3)  # four folds, three more rows each
    assert four.totals["weight_bytes"] == once.totals["weight_bytes"]


TEMPLATE = target_template("mine.toml", "systolic")
WRONG = [
    ("rows = 16", "rows = 0", "rows", "0", ">= 1"),
    ("rows = 16", "rows = 99999", "rows", "99999", "at most 16384"),
    ("columns = 16", "columns = 2.5", "columns", "2.5", "int"),
    ('"weight-stationary"  #', '"no-local-reuse"  #', "dataflow", "no-local-reuse", "weight-stationary, output"),
    ("value = 262144", "value = 64", "buffers.weight.capacity_bits", "64", "at least 256"),
    ("bits_per_cycle = { value = 64", "bits_per_cycle = { value = 0", "dram.bits_per_cycle.value", "0", "> 0"),
    ("accumulator_bits = 32", "accumulator_bits = 4", "accumulator_bits", "4", "at least output_bits"),
    ("[buffers.weight]", "[buffers.psum]", "buffers", "psum", "a value that the template names"),
    ("[node_nm]", "[node]", "node", "a key nobody knows", "a known key"),
    ('executes = ["dense"]', 'executes = ["csr"]', "executes", "csr", "dense"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "path", "got", "wanted"), WRONG)
def test_a_wrong_field_is_refused(old: str, new: str, path: str, got: str, wanted: str) -> None:
    assert old in TEMPLATE
    with pytest.raises(TargetError) as caught:
        parse_target(TEMPLATE.replace(old, new, 1).encode(), "mine.toml")
    said, _, asked = str(caught.value).partition(", wanted ")
    assert said.startswith(f"mine.toml: {path}")
    assert got in said
    assert wanted in asked


def test_a_missing_buffer_is_named() -> None:
    text = TEMPLATE.replace("[buffers.output]", "[buffers.input2]")
    with pytest.raises(TargetError, match="buffers"):
        parse_target(text.encode(), "mine.toml")
    start, end = TEMPLATE.index("[buffers.output]"), TEMPLATE.index("[dram]")
    with pytest.raises(TargetError, match=r"buffers: got none for output"):
        parse_target((TEMPLATE[:start] + TEMPLATE[end:]).encode(), "mine.toml")
