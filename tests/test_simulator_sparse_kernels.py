"""Kernels for weights of a pattern: 2:4 on tensor cores, blocks, XNNPACK's 1 x 1 convolutions.

Outside truths: published times of sparse over dense products (on github.com: NVIDIA/cutlass issue 408,
NVIDIA/CUDALibrarySamples issue 57, pytorch/ao issue 174, meta-pytorch/superblock pull 9); scipy's BSR; a slow walk.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from picojoule.cli import main
from picojoule.models.errors import TargetError
from picojoule.models.load import load_model
from picojoule.simulator.estimate import estimate
from picojoule.simulator.processors.plan import plan
from picojoule.simulator.processors.sparse_kernels import stored_share
from picojoule.simulator.structure import WeightStructure, random_blocks, structure_of
from picojoule.simulator.target import load_target
from picojoule.simulator.target_base import Constant
from picojoule.simulator.workload import Overrides, make_workload

LARGE = "gemm:M=4096,N=4096,K=4096"


def _run(model: str, target: str, **overrides):
    return plan(make_workload(load_model(model), 1, Overrides(**overrides)), load_target(target))


def _speed_up(model: str, target: str, **overrides) -> float:
    dense = _run(model, target, density=overrides["density"], storage="dense")
    return float((dense.compute_s / _run(model, target, **overrides).compute_s)[0])


@pytest.mark.parametrize(
    ("target", "low", "high"), [("a100", 1.11, 1.60), ("rtx-3090", 1.70, 1.97), ("h100", 1.0, 1.3)]
)
def test_two_of_four_gains_what_was_published(target, low, high):
    """Within the range of published speed-ups of large fp16 products, never the nominal factor of two."""
    assert low <= _speed_up(LARGE, target, density=0.5, storage="nm2:4") <= high


def test_half_of_the_weights_is_not_two_of_four():
    run = _run(LARGE, "a100", density=0.5)
    assert run.formats[run.executed[0]] == "dense"
    assert run.total_s == pytest.approx(_run(LARGE, "a100", density=1.0).total_s)


def test_the_pattern_is_found_in_real_weights_whatever_their_format(tmp_path):
    """The same 2:4 weights in a file of fp32 values: a mask, not a name, decides."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(512, 512)).astype(np.float32)
    groups = weights.reshape(-1, 4)
    np.put_along_axis(groups, np.argsort(np.abs(groups), axis=1)[:, :2], 0, axis=1)
    graph = load_model("gemm:M=2048,N=512,K=512").graph
    name = next(iter(graph.parameters))
    model = replace(load_model("gemm:M=2048,N=512,K=512"), graph=graph.with_parameters({name: weights}))
    run = plan(make_workload(model), load_target("a100"))
    assert run.formats[run.executed[0]] == "nm2:4"
    broken = weights.copy()
    broken[0, :3] = 1
    model = replace(model, graph=graph.with_parameters({name: broken}))
    run = plan(make_workload(model), load_target("a100"))
    assert run.formats[run.executed[0]] == "dense"


def test_one_vector_at_a_time_gains_nothing():
    """github.com/pytorch/pytorch issues 111339 and 115077: batch 1 is padded, and no faster."""
    run = _run("gemm:M=1,N=4096,K=4096", "a100", density=0.5, storage="nm2:4")
    assert run.formats[run.executed[0]] == "dense"


def test_before_ampere_there_is_no_kernel_and_the_answer_says_so(capsys):
    assert main(["estimate", LARGE, "--target", "v100", "--density", "0.5", "--format", "nm2:4"]) == 0
    assert "P6: 50% nm2:4 sparsity: no kernel on this target gains" in capsys.readouterr().out
    assert main(["estimate", LARGE, "--target", "a100", "--density", "0.5"]) == 0
    assert "time unchanged (it has kernels for nm2:4 and block64x64)" in capsys.readouterr().out
    assert main(["estimate", LARGE, "--target", "a100", "--density", "0.5", "--format", "nm2:4", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert any(line.startswith("P10: nm2:4") for line in document["assumptions"])
    assert document["layers"][0]["executed_as"] == "nm2:4"


def test_blocks_gain_below_eleven_percent_of_them():
    """ViT-B/16's linear layers, nine tenths of the blocks gone: 5 % of the whole, 8 % of those layers."""
    assert _speed_up(LARGE, "a100", density=0.1, storage="block64x64") == pytest.approx(1.1, abs=0.02)
    run = _run(LARGE, "a100", density=0.2, storage="block64x64")
    assert run.break_even[0] == pytest.approx(0.11, rel=0.01)


def test_a_format_asked_for_runs_even_where_it_loses():
    run = _run(LARGE, "a100", density=0.5, storage="block64x64")
    assert run.formats[run.executed[0]] == "block64x64"
    assert run.compute_s > _run(LARGE, "a100", density=1.0).compute_s


def test_pointwise_convolutions_gain_on_a_raspberry_pi_from_two_thirds_of_zeros():
    workload = make_workload(load_model("mobilenet-v2"), 1, Overrides(density=0.25))
    run = plan(workload, load_target("raspberry-pi-4"))
    pointwise = run.kernels.is_class("conv_pointwise")
    assert (run.executed[pointwise] > 0).all()
    assert (run.executed[~pointwise] == 0).all()
    none = plan(make_workload(load_model("mobilenet-v2"), 1, Overrides(density=0.4)), load_target("raspberry-pi-4"))
    assert (none.executed == 0).all()


def test_what_a_kernel_stores_is_read_and_performed():
    """By hand, 4096 x 4096 in fp16: 2:4 keeps half the values with 2 bits each; bias none."""
    run = _run(LARGE, "a100", density=0.5, storage="nm2:4")
    assert run.weight_bits[0] == 4096 * 4096 / 2 * (16 + 2)
    assert run.performed[0] == 4096**3 / 2
    blocks = _run(LARGE, "a100", density=0.0625, storage="block64x64")
    assert blocks.weight_bits[0] == 256 * (64 * 64 * 16 + 32) + 65 * 32


@settings(max_examples=40)
@given(
    st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.sampled_from([(2, 2), (4, 1), (3, 5)]),
    st.integers(0, 99),
)  # fmt: skip
def test_stored_share_against_scipy_and_a_slow_walk(rows, columns, density, block, seed):
    mask = np.random.default_rng(seed).random((rows, columns)) < density
    structure = structure_of(mask)
    high, wide = block
    padded = np.zeros((-(-rows // high) * high, -(-columns // wide) * wide), np.int8)
    padded[:rows, :columns] = mask
    bsr = scipy.sparse.csr_array(padded).tobsr(block)
    assert stored_share(structure, f"block{high}x{wide}") == bsr.data.size / (rows * columns)
    groups = itertools.product(range(rows), range(0, columns, 4))
    most = max(int(mask[row, first : first + 4].sum()) for row, first in groups)
    expected = -(-columns // 4) * 2 / columns if most <= 2 else np.inf
    assert stored_share(structure, "nm2:4") == expected


@settings(max_examples=30)
@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 1), st.integers(1, 7), st.integers(1, 7))
def test_random_blocks_hold_the_number_asked_for_in_as_few_blocks_as_can(rows, columns, density, high, wide):
    nonzeros = round(density * rows * columns)
    found = random_blocks(rows, columns, nonzeros, 1, high, wide)
    assert found.nonzeros == nonzeros == len(np.unique(found.positions))
    assert found.positions.max(initial=0) < rows * columns
    whole = WeightStructure(rows, columns, np.arange(rows * columns), "exact").blocks(high, wide)
    partial = -(-rows // high) + -(-columns // wide)  # blocks at the lower and right edges may be smaller
    assert found.blocks(high, wide) <= min(whole, -(-nonzeros // (high * wide)) + partial)


def test_every_design_against_a_scalar_choice():
    """Dense, CSR and patterns one by one: the least time among the kernels that exist is what runs."""
    target = load_target("a100")
    one = {}
    for storage in ("dense", "csr", "nm2:4", "block64x64"):
        one[storage] = _run("gemm:M=64,N=1024,K=1024", "a100", density=0.05, storage=storage)
    free = _run("gemm:M=64,N=1024,K=1024", "a100", density=0.05)
    unstructured = {name: one[name] for name in ("dense", "csr") if name in target.executes}
    times = {name: float(np.maximum(run.compute_s, run.memory_s)[0]) for name, run in unstructured.items()}
    assert float(np.maximum(free.compute_s, free.memory_s)[0]) == pytest.approx(min(times.values()))
    assert free.formats[free.executed[0]] == min(times, key=times.__getitem__)


def test_energy_follows_the_products_performed():
    dense, pattern = (
        estimate(load_model(LARGE), load_target("a100"), density=0.5, format=name) for name in ("dense", "nm2:4")
    )
    energies = [one.energy_by_component_pj()["mac"].sum() for one in (dense, pattern)]
    assert energies[1] == pytest.approx(energies[0] / 2)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"format": "bitmask"}, "format"),
        ({"format": "nm1:4"}, "format"),
        ({"kernels": ("pooling",)}, "kernels"),
        ({"relative_rate": Constant(value=2.0, source="spec", status="assumed")}, "relative_rate"),
    ],
)
def test_a_kernel_that_cannot_be_is_refused_with_its_place(tmp_path, change, field):
    from picojoule.simulator.target_rules import check_rules

    target = load_target("a100")
    first = type(target.sparse_kernels[0])(
        **{name: change.get(name, getattr(target.sparse_kernels[0], name)) for name in
           ("format", "kernels", "precisions", "relative_rate")}
    )  # fmt: skip
    wrong = type(target)(**{
        name: getattr(target, name) for name in target.__struct_fields__ if name != "sparse_kernels"
    }, sparse_kernels=(first,))  # fmt: skip
    with pytest.raises(TargetError, match=rf"sparse_kernels\[0\]\.{field}"):
        check_rules(wrong, "a100")
