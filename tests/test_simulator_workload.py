"""What a target has to execute, and many designs at once against each design alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from picojoule.models.build import GraphBuilder
from picojoule.models.errors import GraphError, InputError
from picojoule.models.load import load_model
from picojoule.models.model import Model
from picojoule.simulator.cost import Cost
from picojoule.simulator.estimate import estimate, recompress
from picojoule.simulator.explore.designs import stack_workloads, stored_as
from picojoule.simulator.processors import cost
from picojoule.simulator.target import DEFAULT_TARGETS, load_target
from picojoule.simulator.workload import Overrides, Workload, make_workload

MODELS_OF_COST = (*DEFAULT_TARGETS, "rtx-3090", "stm32l4r5")  # every kind of target, and of runtime
SHIPPED = ["lenet-300-100@deep-compression", "lenet-5@deep-compression"]


def test_lenet_300_100_by_hand() -> None:
    """784 x 300, 300 x 100, 100 x 10; ReLU runs inside the layer that feeds it, views move nothing."""
    w = make_workload(load_model("lenet-300-100"))
    assert w.names == ("ip1", "ip2", "ip3")
    assert w.macs.tolist() == w.weight_elements.tolist() == [235_200, 30_000, 1_000]
    assert w.input_elements.tolist() == [784, 300, 100]
    assert w.output_elements.tolist() == [300, 100, 10]
    assert w.bias_bits.tolist() == [32 * 300, 32 * 100, 32 * 10]
    assert w.storage_bits.tolist() == (32 * w.weight_elements).tolist()
    assert (w.basis, w.activation_basis, float(w.weight_density)) == ("exact", "assumed 1.0", 1.0)
    assert len(w.fused) == 2


def test_lenet_5_by_hand() -> None:
    """conv1: 20 x 5 x 5 on 24 x 24 places; conv2: 50 x 20 x 5 x 5 on 8 x 8; ip1: 800 x 500; ip2: 500 x 10."""
    w = make_workload(load_model("lenet-5"))
    macs = dict(zip(w.names, w.macs.tolist(), strict=True))
    assert macs == {
        "conv1": 288_000, "pool1": 0, "conv2": 1_600_000, "pool2": 0, "ip1": 400_000, "ip2": 5_000,
    }  # fmt: skip
    assert w.fused == ("relu1",)


@pytest.mark.parametrize("model", SHIPPED)
def test_shipped_weights_are_what_their_codes_say(model: str) -> None:
    loaded = load_model(model)
    w = make_workload(loaded)
    assert w.basis == "exact"
    assert w.activation_basis in ("measured", "assumed 1.0")
    for place, name in enumerate(w.names):
        tensor = loaded.coded.get(f"{name}.weight")
        if tensor is not None:
            assert w.weight_nonzeros[place] == np.count_nonzero(tensor.codes)
            assert w.weight_bits[place] == tensor.code_bits
            assert w.codebook_bits[place] == 32 * (len(tensor.codebook) - 1)
            assert w.storage[place] == tensor.encoding


@pytest.mark.parametrize("model", ["lenet-300-100", "lenet-5"])
@pytest.mark.parametrize("batch", [2, 64])
def test_batch_scales_products_and_activations_and_no_weights(model: str, batch: int) -> None:
    one, many = (make_workload(load_model(model), n) for n in (1, batch))
    for name in ("macs", "input_elements", "output_elements"):
        assert getattr(many, name).tolist() == (batch * getattr(one, name)).tolist()
    for name in ("weight_elements", "weight_nonzeros", "storage_bits", "bias_elements", "codebook_entries"):
        assert getattr(many, name).tolist() == getattr(one, name).tolist()
    assert many.peak_activation_bits == batch * one.peak_activation_bits
    assert (many.batch, many.repeats) == (batch, batch)


@pytest.mark.parametrize(("rows", "batch"), [(4, 1), (1, 4), (2, 2)])
def test_inputs_written_into_the_network_count_as_a_batch(rows: int, batch: int) -> None:
    """M=4 once, M=1 four times, M=2 twice: four inferences of one cost."""
    w = make_workload(load_model(f"gemm:M={rows},N=30,K=20"), batch)
    assert (w.batch, w.macs.sum(), w.products_per_weight.tolist()) == (4, 4 * 600, [4])
    found = estimate(f"gemm:M={rows},N=30,K=20", "titan-x", batch=batch).totals
    assert found == estimate("gemm:M=4,N=30,K=20", "titan-x").totals


@pytest.mark.parametrize("batch", [0, -1, 2.0, "2", None, (1 << 20) + 1])
def test_a_batch_that_is_none_is_refused(batch: Any) -> None:
    with pytest.raises(InputError, match=r"^--batch: got .*, wanted a whole number from 1 to 1048576; for example"):
        make_workload(load_model("lenet-5"), batch)


@pytest.mark.parametrize(
    ("asked", "where", "wanted"),
    [
        ({"bits": 0}, "--bits: got 0", "from 1 to 32"),
        ({"bits": 33}, "--bits: got 33", "from 1 to 32"),
        ({"activation_bits": 0}, "--bits W:A: got 0", "from 1 to 32"),
        ({"activation_bits": 33}, "--bits W:A: got 33", "from 1 to 32"),
        ({"density": 0.0}, "--density: got 0.0", "above 0 and at most 1"),
        ({"density": -0.1}, "--density: got -0.1", "above 0 and at most 1"),
        ({"density": 1.01}, "--density: got 1.01", "above 0 and at most 1"),
        ({"density": float("nan")}, "--density: got nan", "above 0 and at most 1"),
        ({"activation_density": 0.0}, "--act-density: got 0.0", "above 0 and at most 1"),
        ({"activation_density": 2.0}, "--act-density: got 2.0", "above 0 and at most 1"),
        ({"storage": "zip"}, "--format: got zip", "one of dense"),
    ],
)
def test_settings_out_of_range_are_refused(asked: dict[str, Any], where: str, wanted: str) -> None:
    with pytest.raises(InputError) as caught:
        Overrides(**asked)
    assert str(caught.value).startswith(where)
    assert wanted in str(caught.value)


@given(st.integers(1, 32), st.integers(1, 32), st.floats(0.001, 1))
@settings(max_examples=40)
def test_statistical_weights_have_the_asked_bits_and_density(bits: int, activation_bits: int, density: float) -> None:
    w = make_workload(load_model("gemm:N=50,K=40"), 1, Overrides(bits, activation_bits, density))
    assert w.weight_nonzeros.tolist() == [round(density * 2000)]
    assert (w.weight_bits.tolist(), w.activation_bits.tolist()) == ([bits], [activation_bits])
    assert w.codebook_entries.tolist() == [2**bits - 1 if bits <= 8 else 0]
    assert w.basis == ("statistical" if density < 1 else "exact")
    found = w.structures[0]()
    assert found.nonzeros == w.weight_nonzeros[0]
    assert w.storage_entries[0] == (2000 if density == 1 else found.nonzeros + found.relative_pads(5))


def test_real_zeros_count_as_zeros() -> None:
    builder = GraphBuilder("one", (1, 3))
    builder.gemm("fc", 2, bias=False)
    weights = np.array([[0, 1, 0], [2, 0, 0]], np.float32)
    w = make_workload(Model("one", builder.build().with_parameters({"fc.weight": weights})))
    assert (w.weight_nonzeros.tolist(), w.basis, w.storage.tolist()) == ([2], "exact", ["dense"])
    assert w.structures[0]().positions.tolist() == [1, 3]
    assert float(w.weight_density) == pytest.approx(2 / 6)


def designs(model: str, batch: int) -> list[Workload]:
    """Recompressed at several bits and densities, each in several storage formats; and the dense network."""
    found = []
    for bits, density in ((2, 0.05), (4, 0.3), (4, 1.0)):
        coded, overrides = recompress(load_model(model), Overrides(bits=bits, density=density))
        workload = make_workload(coded, batch, overrides)
        found += [stored_as(workload, name) for name in ("dense", "csr", "relative5+huffman", "eie_csc4")]
        found.append(workload)
    return found


def assert_same(found: Any, alone: Any, place: int, designs_: int) -> None:
    """Element `place` of a stacked array equals what one design alone gave, to the bit."""
    stacked = np.broadcast_to(np.asarray(found), (designs_, *np.shape(alone)))
    assert np.array_equal(stacked[place], alone)


@pytest.mark.parametrize("target_name", MODELS_OF_COST)
@pytest.mark.parametrize(("model", "batch"), [(SHIPPED[0], 1), (SHIPPED[0], 7), (SHIPPED[1], 1)])
@pytest.mark.parametrize("residency", ["warm", "cold"])
def test_many_designs_at_once_cost_what_each_costs_alone(
    model: str, batch: int, target_name: str, residency: str
) -> None:
    target, parts = load_target(target_name), designs(model, batch)
    together = cost(stack_workloads(parts), target, residency=residency)
    for place, part in enumerate(parts):
        alone = cost(part, target, residency=residency)
        _assert_design(together, alone, place, len(parts))


def _assert_design(together: Cost, alone: Cost, place: int, count: int) -> None:
    for name, value in alone.totals.items():
        if value is not None and name != "file_bytes":
            assert_same(together.totals[name], value, place, count)
    for term, same in zip(together.terms, alone.terms, strict=True):
        assert (term.formula, term.component) == (same.formula, same.component)
        assert_same(term.value, same.value, place, count)
    for name in ("executed", "bound_by", "stored_bits", "load_bits", "overflow_bits", "load_time_s", "fits"):
        assert_same(getattr(together, name), getattr(alone, name), place, count)
    for level, bits in alone.bits_by_level().items():
        assert_same(together.bits_by_level()[level], bits, place, count)
    assert together.unmodelled == alone.unmodelled


def test_a_format_chosen_later_is_the_format_asked_for() -> None:
    """stored_as(w, f) and Overrides(storage=f) are two ways to one workload."""
    model = load_model(SHIPPED[0])
    for name in ("dense", "bitmask", "relative4", "relative5+huffman"):
        later, asked = stored_as(make_workload(model), name), make_workload(model, 1, Overrides(storage=name))
        for field in ("storage_bits", "storage_entries", "storage", "storage_asked"):
            assert np.array_equal(getattr(later, field), getattr(asked, field))


def test_workloads_of_different_layers_or_batches_do_not_stack() -> None:
    first = make_workload(load_model("lenet-300-100"))
    for other in (make_workload(load_model("lenet-5")), make_workload(load_model("lenet-300-100"), 2)):
        with pytest.raises(ValueError, match="no common arrays"):
            stack_workloads([first, other])


def test_what_only_one_design_has_is_dropped_and_statistics_stay_statistics() -> None:
    real, made_up = make_workload(load_model(SHIPPED[0])), make_workload(
        load_model("lenet-300-100"), 1, Overrides(density=0.1)
    )  # fmt: skip
    stacked = stack_workloads([real, made_up])
    assert (stacked.file_bytes, stacked.accuracy, stacked.basis) == (None, None, "statistical")
    assert stack_workloads([real, real]).storage_bits.shape == (3,)
    assert stacked.storage_bits.shape == (2, 3)


def test_a_network_of_views_costs_nothing_and_is_refused() -> None:
    """A flatten alone: nothing to cost, so one line instead of a total of zero."""
    net = GraphBuilder("views", (1, 2, 3))
    net.flatten("flat")
    with pytest.raises(GraphError, match="no layer that computes"):
        make_workload(Model("views", net.build()))
