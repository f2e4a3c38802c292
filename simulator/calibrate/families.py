"""What is fitted for each family: the unknown numbers of its class table, guesses, bounds, and the cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .cases import Cases, join, kernel_cases, network_cases
from .cases_published import eie_cases, tiny_cases
from .classes_fit import Unknown

__all__ = ["FAMILIES", "Family", "family_cases"]

LAYERS = ("gemm", "conv", "conv_pointwise", "conv_first", "conv_depthwise", "conv_grouped", "recurrent", "attention")


@dataclass(frozen=True)
class Family:
    """Targets whose cases are fitted together. `nuisances` are corrections fitted beside the table and dropped."""

    targets: tuple[str, ...]
    unknowns: tuple[Unknown, ...]
    fixed: Mapping[str, float]
    power: Mapping[str, float]
    nuisances: tuple[tuple[str, str], ...] = ()


def _efficiency(names: str, guess: float, low: float, high: float, spread: float = 2.0) -> Unknown:
    return Unknown("efficiency", tuple(names.split()), guess, low, high, spread)


def _bandwidth(names: str, guess: float, low: float, high: float, spread: float = 2.0) -> Unknown:
    return Unknown("bandwidth", tuple(names.split()), guess, low, high, spread)


def _parameter(name: str, guess: float, low: float, high: float, spread: float = 2.0) -> Unknown:
    return Unknown("parameters", (name,), guess, low, high, spread)


GPU = Family(
    ("titan-x-cudnn", "titan-x", "tegra-k1", "v100", "t4-int8", "titan-x-pascal", "a100", "rtx-3090", "gtx-1080"),
    (
        _efficiency("gemm", 0.85, 0.3, 1.0), _efficiency("conv", 0.85, 0.3, 1.0),
        _efficiency("conv_first", 0.6, 0.05, 1.0), _efficiency("conv_pointwise", 0.8, 0.2, 1.0),
        _efficiency("conv_depthwise", 0.2, 0.02, 1.0), _efficiency("attention", 0.6, 0.1, 1.0),
        _efficiency("conv_grouped recurrent gemv", 0.5, 0.1, 1.0, 1.05),
        _efficiency("csr_mv", 0.1, 0.01, 1.0), _efficiency("csr_mm", 0.02, 0.002, 0.2),
        _efficiency("other", 0.05, 0.01, 1.0, 1.2),
        _bandwidth("gemm conv conv_pointwise conv_first", 0.75, 0.3, 1.0), _bandwidth("conv_depthwise", 0.3, 0.05, 1.0),
        _bandwidth("elementwise normalization", 0.75, 0.3, 1.0), _bandwidth("gemv", 0.8, 0.3, 1.0),
        _bandwidth("csr_mv csr_mm", 0.6, 0.1, 1.0), _bandwidth("other", 0.7, 0.3, 1.0),
        _parameter("overhead_s", 8e-6, 2e-6, 2e-5), _parameter("cache_speedup", 2.5, 1.0, 6.0, 1.5),
        _parameter("winograd", 1.7, 1.0, 2.25, 1.5), _parameter("narrow_first", 0.17, 0.02, 1.0, 3.0),
        _parameter("tile_reuse", 100.0, 5.0, 1000.0, 4.0), _parameter("tile_reuse_power", 1.5, 0.5, 3.0, 1.5),
        _parameter("k_half", 8.0, 0.5, 100.0, 3.0), _parameter("matrix_k_half", 40.0, 1.0, 300.0, 3.0),
        _parameter("matrix_efficiency", 0.9, 0.5, 1.1, 1.3),
        _parameter("csr_rows_per_unit", 20.0, 1.0, 200.0), _parameter("csr_operand_power", 0.3, 0.02, 1.0),
        _parameter("gemv_unaligned", 0.7, 0.3, 1.0, 1.5),
    ),
    {"cache_usable": 0.7},
    {"csr_mv": 0.62, "csr_mm": 0.62, "gemv": 0.55, "other": 0.62},
    (("titan-x", "overhead"),),
)  # fmt: skip
CPU = Family(
    ("knl-7250", "core-i9-10940x", "core-i7-5930k"),
    (
        _efficiency("gemm", 0.7, 0.1, 1.0, 1.3), _efficiency("conv", 0.7, 0.05, 1.0, 1.5),
        _efficiency("conv_first", 0.4, 0.02, 1.0), _efficiency("conv_pointwise", 0.7, 0.1, 1.0, 1.5),
        _efficiency("conv_depthwise", 0.05, 0.005, 0.5), _efficiency("attention", 0.5, 0.1, 1.0),
        _efficiency("conv_grouped recurrent", 0.4, 0.1, 1.0, 1.05), _efficiency("gemv", 0.3, 0.05, 1.0),
        _efficiency("csr_mv", 0.02, 0.002, 0.2), _efficiency("csr_mm", 0.007, 0.001, 0.1),
        _efficiency("other", 0.05, 0.005, 1.0),
        _bandwidth("gemm conv conv_pointwise conv_first conv_depthwise", 0.65, 0.1, 1.0),
        _bandwidth("gemv", 0.2, 0.03, 1.0), _bandwidth("csr_mv csr_mm", 0.14, 0.03, 1.0),
        _bandwidth("other", 0.6, 0.1, 1.0, 1.5),
        _parameter("overhead_s", 1.5e-5, 1e-6, 1e-4), _parameter("cache_speedup", 3.0, 1.0, 10.0, 1.5),
        _parameter("m_half", 20.0, 1.0, 100.0), _parameter("n_half", 12.0, 1.0, 100.0),
        _parameter("k_half", 5.0, 0.1, 100.0), _parameter("pixels_half", 20.0, 0.1, 2000.0, 5.0),
    ),
    {"cache_usable": 0.7, "winograd": 1.0, "narrow_first": 1.0},
    {"csr_mv": 0.1, "csr_mm": 0.1, "other": 0.5},
    (("core-i9-10940x", "gemv"), ("core-i9-10940x", "conv_depthwise"), ("core-i7-5930k", "gemm")),
)  # fmt: skip
MOBILE = Family(
    ("pixel-3", "iphone-7", "raspberry-pi-3"),
    (
        _efficiency("gemm", 0.4, 0.1, 1.0, 1.5), _efficiency("conv", 0.4, 0.05, 1.0, 1.5),
        _efficiency("conv_first", 0.3, 0.02, 1.0), _efficiency("conv_pointwise", 0.4, 0.1, 1.0, 1.5),
        _efficiency("conv_depthwise", 0.05, 0.005, 0.5), _efficiency("attention", 0.4, 0.1, 1.0, 1.2),
        _efficiency("conv_grouped recurrent", 0.3, 0.1, 1.0, 1.05), _efficiency("gemv", 0.3, 0.05, 1.0),
        _efficiency("csr_mv csr_mm", 0.05, 0.005, 0.5, 1.2), _efficiency("other", 0.05, 0.005, 1.0),
        _bandwidth("gemm conv conv_pointwise conv_first conv_depthwise", 0.6, 0.1, 1.0),
        _bandwidth("gemv", 0.1, 0.03, 1.0), _bandwidth("csr_mv csr_mm", 0.2, 0.03, 1.0, 1.2),
        _bandwidth("other", 0.6, 0.1, 1.0, 1.5),
        _parameter("overhead_s", 1e-5, 1e-6, 1e-4), _parameter("cache_speedup", 2.0, 1.0, 10.0, 1.5),
        _parameter("m_half", 15.0, 1.0, 100.0), _parameter("n_half", 10.0, 1.0, 100.0),
        _parameter("k_half", 5.0, 0.1, 100.0),
    ),
    {"cache_usable": 0.7, "winograd": 1.0, "narrow_first": 1.0},
    {"other": 0.8},
)  # fmt: skip
MCU = Family(
    (),
    (
        _efficiency("gemv", 1.0, 0.2, 2.0), _efficiency("conv gemm", 1.0, 0.3, 2.0),
        _efficiency("conv_first", 0.5, 0.1, 2.0), _efficiency("conv_pointwise", 1.0, 0.3, 2.0),
        _efficiency("conv_depthwise", 0.35, 0.05, 1.0), _efficiency("other", 0.3, 0.03, 3.0),
        _bandwidth("other", 1.0, 0.99, 1.01, 1.01),
        _parameter("overhead_cycles", 2000.0, 200.0, 50000.0, 3.0), _parameter("n_half", 2.0, 0.1, 20.0),
        _parameter("k_half", 6.0, 0.1, 50.0), _parameter("tuning_library", 0.75, 0.3, 1.0),
        _parameter("tuning_portable", 0.45, 0.1, 1.0),
    ),
    {"cache_usable": 0.7, "cache_speedup": 1.0, "winograd": 1.0, "narrow_first": 1.0, "m_half": 0.0,
     "tuning_tuned": 1.0},
    {"other": 1.0},
)  # fmt: skip
FAMILIES: Mapping[str, Family] = {"gpu": GPU, "cpu": CPU, "mobile": MOBILE, "mcu": MCU}


def family_cases(name: str) -> Cases:
    """The cases that a family is fitted to: what was run by a library, not by loops written out.

    Left out: convolutions of DeepBench on the Raspberry Pi 3 and networks by Torch7 without cuDNN or on a Xeon, whose
    kernels reach a hundredth of the peak; they are predicted by no class table.
    """
    if name == "mcu":
        return tiny_cases()
    cases = join([kernel_cases(), network_cases(), eie_cases()])
    family = FAMILIES[name]
    keep = [
        label.target in family.targets and "no cuDNN" not in label.case
        and not (label.target == "raspberry-pi-3" and label.case.startswith("conv"))
        for label in cases.labels
    ]  # fmt: skip
    return cases.select(np.array(keep))
