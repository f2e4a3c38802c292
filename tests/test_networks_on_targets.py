"""What holds for any network on any target, on a drawn sample of both: sums, levels, intervals, JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from picojoule import estimate, targets
from picojoule.simulator.document import estimate_document

SMALL = ("lenet-300-100", "lenet-5", "lenet-5@deep-compression", "lenet-300-100@deep-compression", "mlperf-tiny-ad",
         "mlperf-tiny-ic", "mlperf-tiny-kws", "mobilenet-v2-0.35-96")  # fmt: skip
SLOW_MAPPERS = ("eyeriss", "eyeriss-v2", "nvdla-small")
CASES = 60


def _cases() -> list[tuple[str, str, int, float | None]]:
    names = [target["name"] for target in targets()]
    rng, found = np.random.default_rng(20), []
    while len(found) < CASES:
        name, target = str(rng.choice(SMALL)), str(rng.choice(names))
        if target in SLOW_MAPPERS and not name.startswith("lenet"):
            continue
        batch, density = int(rng.choice([1, 1, 3])), [None, None, 0.3][int(rng.integers(3))]
        found.append((name, target, batch, density))
    return found


def _finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(_finite(one) for one in value.values())
    if isinstance(value, list):
        return all(_finite(one) for one in value)
    return not isinstance(value, float) or (math.isfinite(value) and value >= 0)


@pytest.mark.parametrize(("name", "target", "batch", "density"), _cases())
def test_a_sample_of_estimates_adds_up(name: str, target: str, batch: int, density: float | None) -> None:
    """Layers add up to totals, components to energy, levels to DRAM traffic; intervals hold the value."""
    cost = estimate(name, target, batch=batch, density=density)
    document = json.loads(json.dumps(estimate_document(cost, "0")))
    totals, layers = document["totals"], document["layers"]
    assert _finite(document)
    for key in ("energy_pj", "latency_s"):
        if totals[key] is None:
            continue
        assert sum(layer[key] or 0 for layer in layers) == pytest.approx(totals[key], rel=1e-9)
        assert totals[f"{key}_per_inference"] == pytest.approx(totals[key] / batch)
        if document["intervals"] and document["intervals"].get(key):
            low, high = document["intervals"][key]
            assert low <= totals[key] * (1 + 1e-9)
            assert high >= totals[key] * (1 - 1e-9)
    if totals["energy_pj"] is not None:
        assert sum(document["energy_by_component_pj"].values()) == pytest.approx(totals["energy_pj"], rel=1e-9)
    assert sum(layer["macs"] for layer in layers) == totals["macs"]
    assert document["partial"] == bool(document["unmodelled"])
    assert document["fits"] == (document["overflow_bytes"] == 0)
    assert {one["layer"] for one in document["unmodelled"]} <= {layer["name"] for layer in layers}
