"""A cost is the sum of its terms, whoever reads it; what is not modelled is never free."""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picojoule.models.errors import InputError
from picojoule.simulator import processors
from picojoule.simulator.cost import Cost
from picojoule.simulator.document import estimate_document
from picojoule.simulator.estimate import estimate, estimate_many
from picojoule.simulator.explain import format_si
from picojoule.simulator.target import DEFAULT_TARGETS
from picojoule.simulator.terms import COMPONENTS, Formula

ROOT = Path(__file__).resolve().parent.parent
MODELS_OF_COST = (*DEFAULT_TARGETS, "rtx-3090", "stm32l4r5")  # every kind of target, and of runtime
SHIPPED = ["lenet-300-100@deep-compression", "lenet-5@deep-compression"]
CASES = [(model, target) for model in SHIPPED for target in MODELS_OF_COST]
LABEL = re.compile(r"[A-Z]\d+")


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].partition('@')[0]} on {case[1]}")
def cost(request: pytest.FixtureRequest) -> Cost:
    model, target = request.param
    return estimate(model, target, batch=3)


def document_of(cost: Cost) -> dict[str, Any]:
    return json.loads(json.dumps(estimate_document(cost, "test"), allow_nan=False))


def test_terms_add_up_to_totals_and_layers_and_components(cost: Cost) -> None:
    layers, totals = len(cost.workload), cost.totals
    energy, latency = [0.0] * layers, [0.0] * layers
    by_component = {component: [0.0] * layers for component in COMPONENTS}
    for term in cost.terms:
        assert term.value.shape == (layers,)
        for place, value in enumerate(term.value.tolist()):
            if term.component == "time":
                latency[place] += value
            else:
                energy[place] += value
                by_component[term.component][place] += value
    assert totals["energy_pj"] == pytest.approx(sum(energy), rel=1e-12)
    assert totals["energy_pj_per_inference"] == pytest.approx(sum(energy) / 3, rel=1e-12)
    if cost.has_latency:
        assert totals["latency_s"] == pytest.approx(sum(latency), rel=1e-12)
    for place, row in enumerate(cost.layer_rows()):
        if row["modelled"]:
            assert row["energy_pj"] == pytest.approx(energy[place], rel=1e-12)
            assert row["latency_s"] == (pytest.approx(latency[place], rel=1e-12) if cost.has_latency else None)
        expected = {component: values[place] for component, values in by_component.items()}
        assert row["energy_by_component_pj"] == pytest.approx(expected, rel=1e-12)


def test_no_term_is_negative_or_infinite(cost: Cost) -> None:
    for term in cost.terms:
        assert np.isfinite(term.value).all(), term.formula.id
        assert (term.value >= 0).all(), term.formula.id
    assert (cost.latency_s >= 0).all()


def test_totals_are_the_sums_of_the_layers_in_the_document(cost: Cost) -> None:
    document = document_of(cost)
    rows, totals = document["layers"], document["totals"]
    assert totals["energy_pj"] == pytest.approx(sum(row["energy_pj"] or 0.0 for row in rows))
    assert totals["energy_pj"] == pytest.approx(sum(document["energy_by_component_pj"].values()))
    for name in ("macs", "macs_performed"):
        assert totals[name] == pytest.approx(sum(row[name] for row in rows))
    # a row's bytes are rounded up one by one
    for name in ("weight_bytes", "dram_bytes"):
        assert 0 <= sum(row[name] for row in rows) - totals[name] <= len(rows)
    if cost.has_latency:
        assert totals["latency_s"] == pytest.approx(sum(row["latency_s"] or 0.0 for row in rows))


def test_bytes_by_level_are_the_traffic(cost: Cost) -> None:
    by_level: dict[str, float] = {}
    for move in cost.traffic:
        moved = float((move.read_bits + move.write_bits).sum()) / 8
        by_level[move.level] = by_level.get(move.level, 0.0) + moved
    document = document_of(cost)
    assert document["bytes_by_level"] == pytest.approx(by_level)
    far = sum(by_level.get(level, 0.0) for level in cost.target.off_chip_levels)
    assert document["totals"]["dram_bytes"] == pytest.approx(far, abs=1)


def test_flash_behind_the_edge_counts_as_dram_traffic() -> None:
    """Weights of the U55 come from external flash in every inference: bytes and energy say so alike."""
    cost = estimate("lenet-5", "ethos-u55-128")
    assert cost.totals["dram_bytes"] == pytest.approx(cost.bits_by_level()["flash"].sum() / 8, abs=1)
    assert cost.energy_by_component_pj()["dram"].sum() > 0


def numbers(node: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from numbers(value, f"{path}.{key}")
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from numbers(value, f"{path}[{place}]")
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield path, node


UNITS = ("_pj", "_s", "_bytes", "_pct", "_bits", "macs", "_density", "density", "_per_inference", "_elements")
PURE = {"schema", "batch", "level", "value", "n"}  # counts, a share, and `error_pct.value`


def test_documents_are_finite_and_every_number_has_its_unit_in_a_key(cost: Cost) -> None:
    found = list(numbers(document_of(cost)))
    assert len(found) > 50
    for path, value in found:
        assert math.isfinite(value), path
        keys = [re.sub(r"\[\d+\]", "", key) for key in path.split(".")[1:]]
        named = any(key.endswith(UNITS) or key in ("macs_performed", "macs_gated", "bytes_by_level") for key in keys)
        assert named or keys[-1] in PURE, path


def test_the_frame_holds_what_the_rows_hold(cost: Cost) -> None:
    frame, rows = cost.layers, cost.layer_rows()
    assert frame["name"].tolist() == [row["name"] for row in rows]
    for component in COMPONENTS:
        expected = [row["energy_by_component_pj"][component] for row in rows]
        assert frame[f"energy_{component}_pj"].tolist() == expected


@pytest.mark.parametrize("metric", ["energy", "latency"])
def test_explain_names_every_term_with_its_value_inputs_and_sources(cost: Cost, metric: str) -> None:
    unit, scale, key = ("J", 1e-12, "energy_pj") if metric == "energy" else ("s", 1.0, "latency_s")
    text = cost.explain(metric=metric)
    lines = text.splitlines()
    terms = [term for term in cost.terms if term.metric == key]
    for term in terms:
        shown = format_si(float(term.value.sum()) * scale, unit)
        assert any(line.startswith(f"  {shown} ") and line.endswith(f"  {term.formula.id}") for line in lines), shown
        assert f"    = {term.formula.equation}" in lines
        assert f"rests on {LABEL.match(term.formula.assumption)[0]}" in text  # type: ignore[index]
        for quantity in term.inputs:
            assert f"      {quantity.name} = " in text
            assert not quantity.source or f"[{quantity.source}, {quantity.status}]" in text
    if terms:
        total = format_si(float(sum(term.value.sum() for term in terms)) * scale, unit)
        assert lines[0] == f"{metric} of all layers: {total}"
    assert [line[2:] for line in lines[lines.index("assumptions") + 1 :]] == list(cost.assumptions)


def test_explain_of_a_layer_shows_its_own_values() -> None:
    cost = estimate(SHIPPED[0], "eie")
    text = cost.explain("ip2", metric="latency")
    assert text.startswith(f"latency of ip2: {format_si(float(cost.latency_s[1]), 's')}\n")
    entries = next(t for t in cost.terms if t.formula.id == "eie.balanced_time").inputs[0].value[1]
    assert f"entries = {entries:,.6g}" in text


def test_explain_refuses_unknown_layers_and_metrics() -> None:
    cost = estimate(SHIPPED[0], "eie")
    with pytest.raises(InputError, match=r"--layer: got ip9, wanted one of ip1, ip2, ip3"):
        cost.explain("ip9")
    with pytest.raises(InputError, match=r"--metric: got area, wanted energy or latency"):
        cost.explain(metric="area")


def test_a_convolution_on_eie_is_never_free() -> None:
    """The paper gives no figures for convolutions: named, None, and the sums say that they are partial."""
    document = document_of(estimate("lenet-5@deep-compression", "eie"))
    assert document["partial"] is True
    assert document["intervals"] is None
    missing = {row["layer"]: row["kind"] for row in document["unmodelled"]}
    assert {"conv1": "conv", "conv2": "conv"}.items() <= missing.items()
    assert all(row["reason"] for row in document["unmodelled"])
    for row in document["layers"]:
        modelled = row["kind"] == "gemm"
        assert row["modelled"] is modelled
        assert (row["name"] in missing) is not modelled
        assert (row["energy_pj"] is None) is (row["latency_s"] is None) is not modelled
        assert row["bound_by"] is None or modelled


def test_a_whole_network_is_not_partial() -> None:
    document = document_of(estimate("lenet-300-100@deep-compression", "eie"))
    assert (document["partial"], document["unmodelled"]) == (False, [])
    assert document["intervals"]["energy_pj"][0] <= document["totals"]["energy_pj"]


def test_overflow_bytes_are_the_bits_rounded_up() -> None:
    """33 rows x 4096 columns on each of 64 PEs are 135,168 one-byte entries, and 131,072 fit."""
    document = document_of(estimate("gemm:M=1,N=2112,K=4096,act_density=0.001", "eie"))
    assert document["fits"] is False
    assert document["overflow_bytes"] == 64 * (135_168 - 131_072)


def formulas() -> list[Formula]:
    """Formulas of every cost model in simulator/processors."""
    found = []
    for module in pkgutil.iter_modules(processors.__path__):
        found += getattr(importlib.import_module(f"{processors.__name__}.{module.name}"), "FORMULAS", ())
    return found


def test_assumptions_that_costs_rest_on_are_those_that_the_docs_explain() -> None:
    page = (ROOT / "docs" / "assumptions.md").read_text("utf-8")
    explained = set(re.findall(r"^\| ([A-Z]\d+) \|", page, re.MULTILINE))
    costs = estimate_many([*SHIPPED, "lenet-5"], MODELS_OF_COST)
    texts = [text for cost in costs for text in cost.assumptions] + [formula.assumption for formula in formulas()]
    used = {label[0] for text in texts if (label := LABEL.match(text))}
    assert len(formulas()) >= 10
    assert all(LABEL.match(formula.assumption) for formula in formulas())
    assert used <= explained
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "simulator").rglob("*.py"))
    written = set(re.findall(r'"([A-Z]\d+): ', sources))
    letters = {label[0] for label in written}
    assert {label for label in explained if label[0] in letters} == written


def test_formula_ids_are_unique_and_every_cost_says_the_assumptions_of_its_terms(cost: Cost) -> None:
    ids = [formula.id for formula in formulas()]
    assert len(ids) == len(set(ids))
    said = {label[0] for text in cost.assumptions if (label := LABEL.match(text))}
    for term in cost.terms:
        assert term.formula.id in ids
        assert LABEL.match(term.formula.assumption)[0] in said  # type: ignore[index]
