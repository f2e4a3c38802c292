"""Compressed operands at the levels of an accelerator: bits by hand and of real masks, cycles, metadata, decoding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from picojoule import estimate
from picojoule.models.build import GraphBuilder
from picojoule.models.errors import TargetError
from picojoule.models.graph import Graph
from picojoule.simulator.accelerator import AcceleratorTarget
from picojoule.simulator.cost import Cost
from picojoule.simulator.processors.accelerator_formats import activation_share, weight_share
from picojoule.simulator.structure import random_structure
from picojoule.simulator.target import parse_target, target_template

LAYER = "gemm:M=1,N=256,K=256"


def chip(feature: str, *formats: str) -> AcceleratorTarget:
    """The template with one sparse feature and its formats, no fixed energies but the DRAM's."""
    known = ", ".join(f'"{name}"' for name in ("dense", *formats))
    text = target_template("mine.toml", "accelerator").replace('executes = ["dense"]', f"executes = [{known}]")
    text = text.replace('formats = ["dense"] ', f"formats = [{known}] ")
    found = parse_target((text + "\n[[sparse]]\n" + feature).encode(), "mine.toml")
    assert isinstance(found, AcceleratorTarget)
    return found


def weight_bits(cost: Cost, level: str = "dram") -> float:
    return float(sum(m.read_bits.sum() for m in cost.traffic if m.level == level and m.operand == "weight"))


@pytest.mark.parametrize(("name", "expected"), [
    ("bitmask", 65536 + 6554 * 8), ("relative8", None), ("csr", 6554 * (8 + 8) + 257 * 13), ("coo", 6554 * (8 + 16)),
])  # fmt: skip
def test_weights_in_dram_take_what_their_format_takes(name: str, expected: int | None) -> None:
    """A tenth of 65,536 weights, read once: values, masks, indices and pointers bit by bit."""
    feature = f'operand = "weight"\nsaves = "nothing"\nformat = "{name}"\nlevels = ["dram"]\n'
    dense, sparse = (estimate(LAYER, chip(feature, name), density=d) for d in (1.0, 0.1))
    assert weight_bits(dense) == 65536 * 8
    if expected is None:  # gaps of a random mask at a tenth almost never pass 255
        assert weight_bits(sparse) == pytest.approx(6554 * 16, rel=0.01)
    else:
        assert weight_bits(sparse) == pytest.approx(expected, rel=1e-9)
    assert sparse.totals["latency_s"] < dense.totals["latency_s"]  # the layer is bound by DRAM
    assert sparse.totals["macs_performed"] == dense.totals["macs_performed"]


def test_metadata_and_decoding_cost_energy_by_hand() -> None:
    """Bitmask: one index bit a weight at 0.5 pJ, one symbol a non-zero at 2 pJ, on top of the bits' own energy."""
    plain = 'operand = "weight"\nsaves = "nothing"\nformat = "bitmask"\nlevels = ["dram"]\n'
    constant = '{{ value = {}, source = "guess", status = "assumed" }}'
    costly = f"metadata_pj_per_bit = {constant.format(0.5)}\ndecode_pj_per_symbol = {constant.format(2)}\n"
    free, paid = (estimate(LAYER, chip(plain + more, "bitmask"), density=0.1) for more in ("", costly))
    assert paid.totals["energy_pj"] - free.totals["energy_pj"] == pytest.approx(65536 * 0.5 + 6554 * 2)


def test_inputs_and_outputs_in_dram() -> None:
    """A bitmask on the inputs: density 0.25 takes 8/4 + 1 bits a word; the output's density is the next layer's."""
    feature = 'operand = "input"\nsaves = "nothing"\nformat = "bitmask"\nlevels = ["dram"]\n'
    cost = estimate(LAYER, chip(feature, "bitmask"), act_density=0.25)
    read = sum(m.read_bits.sum() for m in cost.traffic if m.level == "dram" and m.operand == "input")
    assert read == pytest.approx(256 * 3)


@settings(deadline=None)
@given(st.sampled_from(["bitmask", "relative4", "csr", "csc", "coo", "rlc"]), st.floats(0.01, 1), st.integers(0, 9))
def test_a_format_never_takes_more_than_dense(name: str, density: float, seed: int) -> None:
    structure = random_structure(32, 48, max(1, round(density * 32 * 48)), seed)
    found = weight_share(name, structure, 8)
    assert 0 < found.bits <= 1
    assert 0 <= found.index < found.bits
    if name in ("bitmask", "relative4", "rlc"):
        given_density = activation_share(name, density, 8)
        assert 0 < given_density.bits <= 1


@pytest.mark.parametrize(("name", "density"), [("bitmask", 0.3), ("relative4", 0.1), ("rlc", 0.2)])
def test_expected_activations_against_a_real_mask(name: str, density: float) -> None:
    """The expectation for inputs is what a large random mask takes, within 2 %."""
    structure = random_structure(200, 500, round(density * 100_000), 3)
    assert activation_share(name, density, 8).bits == pytest.approx(weight_share(name, structure, 8).bits, rel=0.02)


def two_of_four(pattern: bool) -> Graph:
    random = np.random.default_rng(0)
    values = random.normal(size=(64, 64, 1, 1)).astype(np.float32)
    if pattern:
        values.reshape(64, 16, 4)[:, :, ::2] = 0
    net = GraphBuilder("n", (1, 64, 4, 4))
    net.conv("a", 64, 1)
    graph = net.build()
    [name] = [p for p in graph.parameters if p.endswith("weight")]
    return graph.with_parameters({name: values})


def test_two_of_four_weights_take_ten_bits_of_sixteen() -> None:
    """Two of four 8-bit weights and two 2-bit positions: 20 of 32 bits, only where the mask has the pattern."""
    dense, pattern = (estimate(two_of_four(p), "tensor-core-2-4") for p in (False, True))
    assert weight_bits(dense) == 4096 * 8
    assert weight_bits(pattern) == pytest.approx(4096 * 8 * 20 / 32)


def test_a_format_that_inputs_cannot_have_is_refused() -> None:
    for name in ("csr", "nm2:4", "csc"):
        with pytest.raises(TargetError, match=r"sparse\[0\].format: got .* wanted for inputs dense, rlc, bitmask"):
            chip(f'operand = "input"\nsaves = "nothing"\nformat = "{name}"\nlevels = ["dram"]\n', name)


def test_stored_weights_are_those_that_lie_in_the_outermost_level() -> None:
    """Weight bytes and "runs as" follow the format where it is shorter: 118,000 bits of 65,536 weights at a tenth."""
    feature = 'operand = "weight"\nsaves = "nothing"\nformat = "bitmask"\nlevels = ["dram"]\n'
    dense, sparse = (estimate(LAYER, chip(feature, "bitmask"), density=d) for d in (1.0, 0.1))
    assert dense.totals["weight_bytes"] == 65536
    assert sparse.totals["weight_bytes"] == pytest.approx((65536 + 6554 * 8) / 8, abs=1)
    assert (dense.executed.item(), sparse.executed.item()) == ("dense", "bitmask")
