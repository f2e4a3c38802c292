"""Processors: designs a CPU second through the whole model and from tables of layer costs; a cold estimate on many."""
# pyright: reportMissingImports=false

from __future__ import annotations

from dataclasses import replace

import numpy as np

from picojoule.models.load import load_model
from picojoule.simulator.processors.layer_table import layer_table
from picojoule.simulator.processors.plan import plan
from picojoule.simulator.target import ProcessorTarget, load_target
from picojoule.simulator.workload import Overrides, Workload, make_workload

from .harness import Row, time_call, time_command

DESIGNS = 20_000
LAYERS = 10
TARGETS = (
    "core-i7-5930k,titan-x,core-i9-10940x,xeon-e5-2630v3,zen3-core,knl-7250,raspberry-pi-3,raspberry-pi-4,"
    "raspberry-pi-5,pixel-3,titan-x-pascal,gtx-1080,tegra-k1,p100,v100,t4,a100,h100,rtx-3090,rtx-4090"
)


def _ten_layers() -> Workload:
    """The autoencoder of MLPerf Tiny: ten fully connected layers."""
    workload = make_workload(load_model("mlperf-tiny-ad"), 1, Overrides(density=0.3, storage="csr"))
    assert len(workload) == LAYERS
    return replace(workload, storage_asked=np.array("", workload.storage_asked.dtype))


def bench_processor_designs() -> list[Row]:
    """Every design has bits and a density of its own in every layer; the faster of dense and CSR runs."""
    base, target = _ten_layers(), load_target("titan-x")
    assert isinstance(target, ProcessorTarget)
    rng = np.random.default_rng(0)
    shape = (DESIGNS, LAYERS)
    designs = replace(
        base,
        weight_nonzeros=np.round(base.weight_elements * rng.uniform(0.02, 1.0, shape)),
        weight_bits=rng.choice([4.0, 8.0, 32.0], shape),
        activation_bits=np.full(shape, 32.0),
    )
    timing = time_call(lambda: plan(designs, target).total_s)
    choices = [make_workload(load_model("mlperf-tiny-ad"), 1, Overrides(density=d)) for d in (0.1, 0.3, 1.0)]
    table = layer_table(choices, target)
    picked = rng.integers(0, len(choices), (1_000_000, LAYERS))
    lookup = time_call(lambda: table.totals(picked), runs=3)
    return [
        Row("processor model, ten layers", DESIGNS / timing.cpu_s, "designs per CPU s", "> 2e5"),
        Row("layer cost tables, ten layers", len(picked) / lookup.cpu_s, "designs per CPU s", "> 2e6"),
    ]


def bench_estimate_on_twenty_targets() -> list[Row]:
    timing = time_command(["-m", "picojoule", "estimate", "mobilenet-v2", "--target", TARGETS, "--json"],
                          expect='"estimates"', runs=3)  # fmt: skip
    return [Row("picojoule estimate mobilenet-v2 on 20 targets", timing.cpu_s, "CPU s", "< 1.5")]


def bench_validate() -> list[Row]:
    timing = time_command(["-m", "picojoule", "validate", "--json"], expect='"goals"', runs=1)
    return [Row("picojoule validate", timing.cpu_s, "CPU s", "< 10")]
