"""Eyeriss v2 against its paper: AlexNet and MobileNet with all their weights, batch 1.

The paper's sparse networks (1,470.6 inferences/s for MobileNet) are left out: their masks were never published.
"""

from __future__ import annotations

from dataclasses import replace

from ..estimate import as_model, estimate
from .eyeriss_chip import input_densities
from .rows import ValidationRow

__all__ = ["PUBLISHED", "eyeriss_v2_rows"]

SOURCE = "Chen et al., Eyeriss v2, IEEE JETCAS 9(2), 2019, comparison of AlexNet and MobileNet, dense"
PROTOCOL = "data sheet: sizes, clock, published energy ratios; {}; no number fitted, nothing chosen on these rows"
# network, case, inferences per second and per joule of the chip (recalled, not confirmed in text), what inputs are
PUBLISHED = (
    ("alexnet", "AlexNet, dense", 102.1, 174.8, "zeros of the inputs as on Eyeriss and EIE"),
    ("mobilenet-v1-0.5-128", "MobileNet 0.5, 128 x 128, dense", 1282.1, 1969.8, "inputs taken as dense, none known"),
)


def eyeriss_v2_rows(published: tuple[tuple[str, str, float, float, str], ...] = PUBLISHED) -> list[ValidationRow]:
    """Time and energy of an inference; the chip alone, as it was measured."""
    rows = []
    for name, case, per_second, per_joule, inputs in published:
        model = as_model(name)
        if name == "alexnet":
            model = replace(model, activation_density={**input_densities(), **model.activation_density})
        cost = estimate(model, "eyeriss-v2")
        chip_pj = sum(float(pj.sum()) for part, pj in cost.energy_by_component_pj().items() if part != "dram")
        common = ("datasheet", PROTOCOL.format(inputs), "everything", False, "recalled", SOURCE)
        time_s = float(cost.latency_s.sum())
        rows += [
            ValidationRow("eyeriss-v2", "time per inference", "s", case, 1 / per_second, time_s, *common),
            ValidationRow("eyeriss-v2", "energy per inference", "J", case, 1 / per_joule, chip_pj * 1e-12, *common),
        ]
    return rows
