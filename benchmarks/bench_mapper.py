"""How fast mappings are costed, and the best one of a mapspace found and proven."""

# pyright: reportMissingImports=false
# (the editable install's hook is not visible to a type checker)

from __future__ import annotations

from dataclasses import replace

import numpy as np

from picojoule.models.load import load_model
from picojoule.models.loops import LoopBounds
from picojoule.simulator.accelerator import AcceleratorTarget
from picojoule.simulator.mapper import (
    charge,
    count_accesses,
    make_hierarchy,
    make_machine,
    make_problem,
    make_space,
    parse_mapping,
    search,
)
from picojoule.simulator.target import load_target
from picojoule.simulator.workload import make_workload

from .harness import Row, cpu_seconds, time_call

CONV3 = LoopBounds(N=4, K=384, C=256, P=13, Q=13, R=3, S=3)
CONV5 = LoopBounds(N=4, K=256, C=192, P=13, Q=13, R=3, S=3)
MAPPING = ["dram: K6 C64", "shared_glb: N4 P13", "spatial_x: Q13", "spatial_y: K4 S3", "weights_spad: R3 C4",
           "psum_spad: K16"]  # fmt: skip
VARIANTS = 100_000


def accelerator(name: str) -> AcceleratorTarget:
    target = load_target(name)
    assert isinstance(target, AcceleratorTarget)
    return target


def solve(target: AcceleratorTarget, bounds: LoopBounds, mapspace: str | None = None) -> None:
    found = search(make_problem(bounds), make_space(target, mapspace), make_machine(target))
    assert found.proven
    assert found.points


def distinct_layers(model: str) -> list[LoopBounds]:
    """The multiplying layers of a network, those that are the same once; no fully connected ones in VGG."""
    workload = make_workload(load_model(model))
    kinds = zip(workload.bounds, workload.kinds, strict=True)
    return list(dict.fromkeys(bounds for bounds, kind in kinds if bounds and (kind == "conv" or "vgg" not in model)))


def bench_mapper_optimum() -> list[Row]:
    """Eyeriss-168 on AlexNet conv3 and conv5, batch 4: proven optimum of both mapspaces."""
    target = accelerator("eyeriss-168")
    rows = []
    for mapspace, aim in (("a", "< 0.5"), ("b", "< 1")):
        for name, bounds in (("conv3", CONV3), ("conv5", CONV5)):
            timing = time_call(lambda b=bounds, m=mapspace: solve(target, b, m), runs=3)
            rows.append(Row(f"proven optimum of {name}, mapspace {mapspace}", timing.cpu_s, "CPU s", aim))
    return rows


def bench_mapper_networks() -> list[Row]:
    """Whole networks, each distinct layer solved once."""
    rows = []
    for title, target, model, aim in (
        ("all convolutions of VGG-16 on Eyeriss-168, mapspace b", accelerator("eyeriss-168"), "vgg-16", "< 6"),
        ("ResNet-50 on TPU v1, rounded up", accelerator("tpu-v1"), "resnet-50", "< 6"),
        ("MobileNetV2 on NVDLA small, rounded up", accelerator("nvdla-small"), "mobilenet-v2", "< 3"),
    ):
        layers = distinct_layers(model)
        timing = time_call(lambda t=target, found=layers: [solve(t, b) for b in found], runs=1, warm_up=False)
        rows.append(Row(title, timing.cpu_s, "CPU s", aim))
    return rows


def bench_mapper_rate() -> list[Row]:
    """Energy and cycles of every mapping of a layer that differs in reuse, nothing pruned."""
    target = accelerator("eyeriss-168")
    problem, space = make_problem(CONV5), make_space(target, "b")
    start = cpu_seconds()
    found = search(problem, space, make_machine(target), prune=False)
    used = cpu_seconds() - start
    title = f"{found.evaluated / 1e6:.0f} M mappings of conv5 costed"
    return [Row(title, found.evaluated / used, "per CPU s", "> 1e7")]


def bench_mapper_variants() -> list[Row]:
    """100,000 hardware variants of one sparse layer, its mapping fixed, in one call."""
    target = accelerator("eyeriss-168")
    hierarchy, machine, problem = make_hierarchy(target), make_machine(target), make_problem(CONV3)
    mapping = parse_mapping(MAPPING, hierarchy, problem)
    counts = count_accesses(problem, hierarchy, mapping.factors[None], mapping.orders)
    random = np.random.default_rng(0)
    scale = random.uniform(0.5, 2, (VARIANTS, len(hierarchy.levels)))
    density = random.uniform(0.05, 1, VARIANTS)
    words = np.broadcast_to(machine.word_bits, (VARIANTS, *machine.word_bits.shape)).copy()
    words[:, :, 0] *= density[:, None]
    variants = replace(machine, read_pj=machine.read_pj * scale, write_pj=machine.write_pj * scale, word_bits=words,
                       read_bandwidth=machine.read_bandwidth * scale, issued=density)  # fmt: skip
    timing = time_call(lambda: charge(counts, hierarchy, variants).energy_pj, runs=3)
    return [Row("100,000 hardware variants of a sparse layer", timing.cpu_s, "CPU s", "< 1")]
