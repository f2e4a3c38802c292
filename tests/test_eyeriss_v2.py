"""Eyeriss v2's PE: compressed columns counted one non-zero at a time, balance over PEs, formats, published figures."""

from __future__ import annotations

from itertools import product
from math import ceil, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from picojoule import estimate
from picojoule.models.build import GraphBuilder
from picojoule.models.graph import Graph
from picojoule.simulator.accelerator import DIMS, AcceleratorTarget
from picojoule.simulator.mapper import make_hierarchy
from picojoule.simulator.processors.accelerator_csc import column_ratio, column_work, computes_on_columns
from picojoule.simulator.target import load_target
from picojoule.simulator.validate.eyeriss_v2_chip import PUBLISHED, eyeriss_v2_rows

LAYER = "conv:N=1,K=32,C=24,H=8,W=8,R=3,S=3,pad=1"


def target() -> AcceleratorTarget:
    found = load_target("eyeriss-v2")
    assert isinstance(found, AcceleratorTarget)
    return found


def network(weights: np.ndarray, size: int = 8) -> Graph:
    net = GraphBuilder("n", (1, weights.shape[1], size, size))
    net.conv("a", weights.shape[0], weights.shape[2], pad=1)
    graph = net.build()
    [name] = [p for p in graph.parameters if p.endswith("weight")]
    return graph.with_parameters({name: weights.astype(np.float32)})


def test_the_chip_as_published() -> None:
    """16 clusters of 12 PEs, two MACs each: 153.6 GOPS at 200 MHz; 192 KB of buffers."""
    chip = target()
    assert prod(array.x * array.y for array in chip.arrays) == 192
    assert 192 * chip.mac.macs_per_cycle * 2 * chip.clock_hz.value == 153.6e9
    capacity = sum(chip.level(name).capacity_bits.value for name in ("input_buffer", "sum_buffer"))  # type: ignore[union-attr]
    assert capacity * 16 / 8 / 1024 == 192
    assert computes_on_columns(chip)
    assert not computes_on_columns(load_target("eyeriss"))  # type: ignore[arg-type]


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Factors by block and dim, and a mask that they cover, not always to its edge."""
    blocks = make_hierarchy(target()).blocks
    factors = np.ones((len(blocks), len(DIMS)), np.int64)
    for dim in "GKCRS":
        for b in range(len(blocks)):
            factors[b, DIMS.index(dim)] = draw(st.sampled_from([1, 1, 1, 2, 3]))
    shape = [int(factors[:, DIMS.index(dim)].prod()) - draw(st.sampled_from([0, 0, 1])) for dim in "GKCRS"]
    shape = [max(1, size) for size in shape]
    if prod(shape) > 20_000:
        factors[:, :] = 1
        shape = [1] * 5
    seed, density = draw(st.integers(0, 99)), draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    return factors, np.random.default_rng(seed).random(shape) < density


@settings(deadline=None, max_examples=60)
@given(cases(), st.sampled_from([1, 2, 4]))
def test_cycles_by_walking_every_column(case: tuple[np.ndarray, np.ndarray], lanes: int) -> None:
    """PE by PE and column by column: issued slots, and the slowest PE of each round against the mean."""
    factors, mask = case
    nest = make_hierarchy(target())
    inner = max(nest.spatial) + 1
    loops = {dim: factors[:, DIMS.index(dim)] for dim in "GKCRS"}
    inside = {dim: int(loops[dim][inner:].prod()) for dim in "GKCRS"}
    space = {dim: int(loops[dim][list(nest.spatial)].prod()) for dim in "GKCRS"}
    rounds = {dim: int(loops[dim].prod()) // inside[dim] // space[dim] for dim in "GKCRS"}
    slots, slowest, total, pes = 0, 0, 0, prod(space.values())
    for time in product(*(range(rounds[dim]) for dim in "GKCRS")):
        busy = []
        for place in product(*(range(space[dim]) for dim in "GKCRS")):
            first = {dim: (t * space[dim] + p) * inside[dim] for dim, t, p in zip("GKCRS", time, place, strict=True)}
            part = mask[tuple(slice(first[dim], first[dim] + inside[dim]) for dim in "GKCRS")]
            columns = part.sum(axis=1)
            busy.append(int(sum(ceil(int(n) / lanes) for n in columns.reshape(-1))))
        slots, slowest, total = slots + lanes * sum(busy), slowest + max(busy), total + sum(busy)
    work = column_work(mask, factors, nest, lanes)
    assert work.issued == pytest.approx(slots / mask.size)
    assert work.stretch == pytest.approx(slowest * pes / total if total else work.stretch)
    assert work.filters == inside["K"]
    assert work.issued >= mask.mean()


@pytest.mark.parametrize("density", [0.02, 0.1, 0.3, 0.6])
def test_stored_columns_against_real_ones(density: float) -> None:
    """A thousand random columns encoded value by value, with 4-bit counts: within 2 % of the expected bits."""
    random = np.random.default_rng(1)
    columns, bits = random.random((2000, 64)) < density, 0
    for column in columns.reshape(1, -1):  # one stream: runs go on from column to column
        run = 0
        for value in column:
            if value or run == 15:
                bits, run = bits + 12, 0
            else:
                run += 1
    bits += 7 * len(columns)
    expected = column_ratio(density, 8, 64, 7)
    assert expected == pytest.approx(min(1.0, bits / (columns.size * 8)), rel=0.02)


def test_zeros_of_both_sides_save_cycles_and_energy() -> None:
    """Half of the weights and half of the inputs: a quarter of the products; time lies between that and a half."""
    random = np.random.default_rng(0)
    whole = random.normal(size=(32, 24, 3, 3))
    half = whole * (random.random(whole.shape) < 0.5)
    dense, sparse = estimate(network(whole), "eyeriss-v2"), estimate(network(half), "eyeriss-v2", act_density=0.5)
    share = np.count_nonzero(half) / half.size * 0.5
    assert sparse.totals["macs_performed"] == pytest.approx(share * dense.totals["macs"])
    assert share < sparse.totals["latency_s"] / dense.totals["latency_s"] < 0.5
    chip = [sum(pj.sum() for part, pj in c.energy_by_component_pj().items() if part != "dram") for c in (dense, sparse)]
    assert share < chip[1] / chip[0] < 0.6


def test_the_real_mask_sets_the_balance() -> None:
    """Zeros in half of the filters only: the same products, but PEs wait for those that have them all."""
    random = np.random.default_rng(0)
    whole = random.normal(size=(32, 24, 3, 3))
    even, uneven = whole.copy(), whole.copy()
    even[:, ::2] = 0
    uneven[:16] = 0
    costs = [estimate(network(one), "eyeriss-v2") for one in (even, uneven)]
    assert costs[0].totals["macs_performed"] == costs[1].totals["macs_performed"]
    assert costs[1].totals["latency_s"] > 1.5 * costs[0].totals["latency_s"]


def test_one_filter_a_column_leaves_a_mac_idle() -> None:
    """A depthwise layer: one weight a column, half of the 384 MACs at best."""
    cost = estimate("conv:N=1,K=64,C=64,H=16,W=16,R=3,S=3,pad=1,groups=64", "eyeriss-v2")
    compute = next(t.value.sum() for t in cost.terms if t.formula.id == "accelerator.compute_time")
    assert cost.totals["macs"] / (compute * 200e6) <= 192 * (1 + 1e-9)


def test_bits_pay_for_counts_and_addresses() -> None:
    """At density 0.5 an 8-bit weight takes 6 bits and its share of an address; at 0.9 columns would be longer."""
    half, most = (estimate(LAYER, "eyeriss-v2", density=density) for density in (0.5, 0.9))
    dense = estimate(LAYER, "eyeriss-v2")
    read = [sum(m.read_bits.sum() for m in c.traffic if m.level == "dram" and m.operand == "weight") for c in
            (half, most, dense)]  # fmt: skip
    assert 0.75 < read[0] / read[2] < 1
    assert read[1] == read[2]


def test_dense_networks_against_the_published_chip() -> None:
    """Dense MobileNet 0.5 at 128 x 128 (JETCAS 2019, recalled): inferences per second and per joule within 20 %."""
    assert [row[0] for row in PUBLISHED] == ["alexnet", "mobilenet-v1-0.5-128"]
    time, energy = eyeriss_v2_rows(PUBLISHED[1:])
    assert (time.metric, energy.metric) == ("time per inference", "energy per inference")
    assert max(time.error, energy.error) < 0.20
    assert time.status == energy.status == "recalled"
