"""Eyeriss against the chip of JSSC 2017: the convolutions of AlexNet, batch 4, and of VGG-16, batch 3.

No number is fitted, but the mapping objective (energy x delay) and strips that round up were chosen after
seeing AlexNet's rows.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from ...models.loops import LoopBounds
from ..accelerator import AcceleratorTarget
from ..processors.accelerator import map_layer
from ..processors.accelerator_chain import LayerOnChip
from ..target import load_target
from .rows import ValidationRow

__all__ = ["eyeriss_rows", "input_densities"]

DATA = "data sheet: sizes, clocks, buses and published energy ratios; zeros of the inputs from memory; no number fitted"
CHOSEN = f"{DATA}, but the mapping objective (energy x delay) and strips that round up were chosen on these rows"
UNSEEN = f"{DATA}; nothing was chosen on these rows"
TABLES = "Chen et al., Eyeriss, IEEE JSSC 52(1), 2017, Tables V and VI"


@dataclass(frozen=True)
class _Network:
    """What the paper's text says of a whole network: power in W, DRAM bytes of a batch, seconds per frame."""

    name: str
    file: str
    batch: int
    power_w: float
    dram_bytes: float
    frame_s: float
    protocol: str
    left_out: str


ALEXNET = _Network("AlexNet", "eyeriss_jssc2017_alexnet_n4.csv", 4, 0.278, 15.4e6, 1 / 34.7, CHOSEN,
                   "every number; not the choice of mapping objective")  # fmt: skip
VGG = _Network("VGG-16", "eyeriss_jssc2017_vgg16_n3.csv", 3, 0.236, 321.1e6, 1 / 0.7, UNSEEN, "everything")


@cache
def _published(file: str) -> tuple[dict[str, str], ...]:
    text = resources.files(str(__package__)).joinpath(file).read_text("utf-8")
    return tuple(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def input_densities() -> dict[str, float]:
    """Non-zeros among the inputs of AlexNet's convolutions, by layer: conv1, conv2, ..."""
    return {row["layer"].lower(): 1 - float(row["zeros_ifmap_pct"]) / 100 for row in _published(ALEXNET.file)}


def _bounds(row: dict[str, str], batch: int) -> LoopBounds:
    k, c, p, r, stride, groups = (int(row[name]) for name in ("K", "C", "P", "R", "stride", "groups"))
    return LoopBounds(N=batch, K=k, C=c, P=p, Q=p, R=r, S=r, groups=groups, stride=(stride, stride))


def _layers(target: AcceleratorTarget, network: _Network) -> list[LayerOnChip]:
    rows = _published(network.file)
    density = [1 - float(row["zeros_ifmap_pct"]) / 100 for row in rows]
    after = [*density[1:], density[-1]]  # of what the last layer writes nothing is published: as what it reads
    return [
        map_layer(target, _bounds(row, network.batch), input_density=given, output_density=left)
        for row, given, left in zip(rows, density, after, strict=True)
    ]


def eyeriss_rows() -> list[ValidationRow]:
    """Latency by layer, DRAM bytes by layer (AlexNet) or in all, power, and VGG-16's time per frame."""
    target = load_target("eyeriss")
    assert isinstance(target, AcceleratorTarget)
    return [row for network in (ALEXNET, VGG) for row in _network_rows(target, network)]


def _network_rows(target: AcceleratorTarget, network: _Network) -> list[ValidationRow]:
    layers, clock, published = _layers(target, network), target.clock_hz.value, _published(network.file)
    common = ("datasheet", network.protocol, network.left_out, False)
    rows = [
        ValidationRow("eyeriss", "processing latency", "s", row["layer"], float(row["processing_latency_ms"]) * 1e-3,
                      layer.cycles / clock, *common, row["status"], TABLES)
        for row, layer in zip(published, layers, strict=True)
    ]  # fmt: skip
    rows += [
        ValidationRow("eyeriss", "DRAM traffic", "B", row["layer"], float(row["dram_mb"]) * 1e6,
                      layer.off_chip_bits / 8, *common, row["status"], TABLES)
        for row, layer in zip(published, layers, strict=True)
    ]  # fmt: skip
    time_s = sum(layer.cycles for layer in layers) / clock
    power_w = sum(layer.chip_energy_pj for layer in layers) * 1e-12 / time_s
    dram = sum(layer.off_chip_bits for layer in layers) / 8
    whole = f"{network.name}, batch {network.batch}"
    for metric, unit, measured, predicted in (
        ("power", "W", network.power_w, power_w),
        ("DRAM traffic", "B", network.dram_bytes, dram),
        ("time per frame", "s", network.frame_s, time_s / network.batch),
    ):
        rows.append(ValidationRow("eyeriss", metric, unit, whole, measured, predicted, *common, "published", TABLES))
    return rows
