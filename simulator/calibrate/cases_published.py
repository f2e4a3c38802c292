"""Cases of two published sets: EIE's Table IV on three platforms, and MLPerf Tiny on Cortex-M boards."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import msgspec
import numpy as np

from ...models.load import load_model
from ..formats import csr_bits
from ..target import ProcessorTarget, load_target
from ..target_processor import CLASSES, bits_of
from ..workload import Overrides, make_workload
from .cases import Cases, Label, case_of, join
from .published import PublishedTime, benchmarks, published_times, read_rows

__all__ = ["BEST_OF", "CORES", "PLATFORMS", "TUNING", "eie_cases", "tiny_cases", "tiny_target"]

# Target: its name in EIE's Table IV.
PLATFORMS = {"core-i7-5930k": "CPU Core i7-5930k", "titan-x": "GPU Titan X", "tegra-k1": "mGPU Tegra K1"}
# Board of MLPerf Tiny: the shipped target with the same core, and the chip that is left out with it.
CORES = {
    "stm32l4r5": ("stm32l4r5", "stm32l4r5"), "stm32u575": ("stm32u575", "stm32u575"),
    "stm32u585": ("stm32u575", "stm32u575"), "stm32h7a3": ("stm32h7a3", "stm32h7a3"),
    "stm32f746": ("stm32h7a3", "stm32f746"), "nrf5340": ("stm32u575", "nrf5340"), "psoc62": ("stm32l4r5", "psoc62"),
    "m467": ("stm32l4r5", "m467"), "stm32g0b1": ("", "stm32g0b1"),
}  # fmt: skip
# How far each runtime goes; all others are a kernel library.
TUNING = {
    "Plumerai 2023.05": "tuned", "X-CUBE-AI 8.1": "tuned", "microTVM, CMSIS-NN": "portable",
    "microTVM, generated C": "portable",
}  # fmt: skip
PLAIN_MACS_PER_CYCLE = 0.15  # Cortex-M0+: no SIMD, loads of two cycles, about 6.7 cycles a product
TINY_SOURCE = "MLPerf Tiny v1.0 and v1.1, closed division, github.com/mlcommons/tiny_results_v1.0 and _v1.1"
BEST_OF = 4  # benchmarks that a runtime must have run to be a board's best


def _sparse(case: Cases, published: PublishedTime, target: ProcessorTarget) -> Cases:
    """The same product from CSR: its non-zeros with their indices, each a product of its own."""
    layer = benchmarks()[published.layer]
    bits = float(bits_of(target.precision))
    nonzeros = round(layer.rows * layer.columns * layer.weight_density)
    stored = csr_bits(np.array([layer.rows]), np.array([nonzeros]), bits, target.index_bits, target.index_bits)
    place = np.array([CLASSES.index("csr_mm" if published.batch > 1 else "csr_mv")])
    work = np.array([float(nonzeros * published.batch)])
    return replace(case, weights=stored, network_weights=stored, shapes=replace(case.shapes, place=place, work=work))


@cache
def eie_cases() -> Cases:
    """EIE's Table IV: nine layers, dense and CSR, at batch 1 and 64, on a CPU and two GPUs."""
    out = []
    for name, platform in PLATFORMS.items():
        target = load_target(name)
        assert isinstance(target, ProcessorTarget)
        for published in published_times(platform):
            layer = benchmarks()[published.layer]
            workload = make_workload(
                load_model(f"gemm:M=1,N={layer.rows},K={layer.columns}"), published.batch, Overrides()
            )
            text = f"{published.layer}, {published.matrix}, batch {published.batch}"
            label = Label(name, name, f"eie {published.batch}", text, layer.shape, published.time_s * published.batch,
                          published.source)  # fmt: skip
            case = case_of(label, workload, target)
            out.append(_sparse(case, published, target) if published.matrix == "sparse" else case)
    return join(out)


def tiny_target(row: dict[str, str]) -> ProcessorTarget:
    """The board of one row: a shipped target's core at the board's clock, under the row's runtime."""
    base = load_target(CORES[row["board"]][0] or "stm32l4r5")
    assert isinstance(base, ProcessorTarget)
    hertz = float(row["clock_mhz"]) * 1e6
    peak = base.peak_macs_per_s["int8"]
    per_cycle = peak.value / base.clock_hz.value if CORES[row["board"]][0] else PLAIN_MACS_PER_CYCLE
    return msgspec.structs.replace(
        base, tuning=TUNING.get(row["runtime"], "library"), corrections={}, overhead_s=None,
        clock_hz=msgspec.structs.replace(base.clock_hz, value=hertz),
        peak_macs_per_s={"int8": msgspec.structs.replace(peak, value=per_cycle * hertz)},
    )  # fmt: skip


@cache
def tiny_cases() -> Cases:
    """MLPerf Tiny on Cortex-M boards, performance mode; the fold is the chip."""
    out = []
    for row in read_rows("mlperf_tiny.csv"):
        if row["board"] not in CORES or row["mode"] != "performance":
            continue
        workload = make_workload(load_model(row["benchmark"]), 1, Overrides())
        text = f"{row['benchmark']}, {row['runtime']}, {row['submitter']}"
        label = Label(row["board"], CORES[row["board"]][1], row["runtime"], text, row["benchmark"],
                      float(row["latency_ms"]) * 1e-3, TINY_SOURCE)  # fmt: skip
        out.append(case_of(label, workload, tiny_target(row)))
    return join(out)
