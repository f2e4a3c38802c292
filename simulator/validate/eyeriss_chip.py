"""Eyeriss against the chip of JSSC 2017: AlexNet's convolutions, batch 4.

No number is fitted, but the mapping objective (energy x delay) was chosen after seeing these rows.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources

from ...models.loops import LoopBounds
from ..accelerator import AcceleratorTarget
from ..processors.accelerator import LayerOnChip, map_layer
from ..target import load_target
from .rows import ValidationRow

__all__ = ["eyeriss_rows"]

PROTOCOL = (
    "data sheet: sizes, clocks and published energy ratios; published zeros of the inputs; no number fitted, "
    "but the mapping objective (energy x delay) was chosen on these rows"
)
SOURCE = "Chen et al., Eyeriss, IEEE JSSC 52(1), 2017, Table V"
BATCH, CHIP_POWER_W = 4, 0.278


@cache
def _published() -> tuple[dict[str, str], ...]:
    text = resources.files(str(__package__)).joinpath("eyeriss_jssc2017_alexnet_n4.csv").read_text("utf-8")
    return tuple(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def _bounds(row: dict[str, str]) -> LoopBounds:
    k, c, p, r, stride, groups = (int(row[name]) for name in ("K", "C", "P", "R", "stride", "groups"))
    return LoopBounds(N=BATCH, K=k, C=c, P=p, Q=p, R=r, S=r, groups=groups, stride=(stride, stride))


def _layers(target: AcceleratorTarget) -> list[LayerOnChip]:
    density = [1 - float(row["zeros_ifmap_pct"]) / 100 for row in _published()]
    after = [*density[1:], density[-1]]  # of what CONV5 writes nothing is published: as what it reads
    return [
        map_layer(target, _bounds(row), input_density=given, output_density=left)
        for row, given, left in zip(_published(), density, after, strict=True)
    ]


def eyeriss_rows() -> list[ValidationRow]:
    """Latency and DRAM bytes by layer, and the chip's power over the five."""
    target = load_target("eyeriss")
    assert isinstance(target, AcceleratorTarget)
    layers, clock = _layers(target), target.clock_hz.value
    common = ("datasheet", PROTOCOL, "every number; not the choice of mapping objective", False)
    rows = [
        ValidationRow("eyeriss", "processing latency", "s", row["layer"], float(row["processing_latency_ms"]) * 1e-3,
                      layer.cycles / clock, *common, row["status"], SOURCE)
        for row, layer in zip(_published(), layers, strict=True)
    ]  # fmt: skip
    rows += [
        ValidationRow("eyeriss", "DRAM traffic", "B", row["layer"], float(row["dram_mb"]) * 1e6,
                      layer.off_chip_bits / 8, *common, row["status"], SOURCE)
        for row, layer in zip(_published(), layers, strict=True)
    ]  # fmt: skip
    power_w = sum(layer.chip_energy_pj for layer in layers) * 1e-12 / (sum(layer.cycles for layer in layers) / clock)
    case = ("eyeriss", "power", "W", "CONV1 to CONV5", CHIP_POWER_W, power_w)
    rows.append(ValidationRow(*case, *common, "published", SOURCE))
    return rows
