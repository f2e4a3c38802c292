"""CPUs, GPUs, phones and microcontrollers: a data sheet, a runtime and a clock; efficiencies come from class tables.

A file holds what a data sheet says (*datasheet* mode). Measurements of the very device enter as `corrections`, and
make it *calibrated*: a factor on the rate of a kernel class, on bandwidth, on the overhead of a call, on power.
"""

from __future__ import annotations

from typing import Literal

from msgspec import field

from .target_base import Constant, Count, Format, Fraction, Name, Struct, TargetBase

__all__ = [
    "CLASSES", "PRECISIONS", "Correction", "CurvePoint", "KernelClass", "Level", "Precision", "ProcessorTarget",
    "WEIGHTED_KERNELS", "SparseKernel", "bits_of",
]  # fmt: skip

Precision = Literal["fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "int4"]
PRECISIONS: dict[str, int] = {
    "fp64": 64, "fp32": 32, "tf32": 32, "bf16": 16, "fp16": 16, "fp8": 8, "int8": 8, "int4": 4,
}  # fmt: skip
KernelClass = Literal[
    "gemm", "gemv", "conv", "conv_first", "conv_pointwise", "conv_depthwise", "conv_grouped", "attention",
    "recurrent", "elementwise", "normalization", "pooling", "embedding", "move", "csr_mv", "csr_mm",
]  # fmt: skip
CLASSES: tuple[str, ...] = KernelClass.__args__  # type: ignore[attr-defined]
WEIGHTED_KERNELS = ("gemm", "gemv", "conv", "conv_first", "conv_pointwise", "conv_depthwise", "conv_grouped")
MATRIX_KERNELS = ("gemm", "conv", "conv_pointwise", "conv_grouped", "attention", "recurrent")
Correction = Literal[
    "gemm", "gemv", "conv", "conv_first", "conv_pointwise", "conv_depthwise", "conv_grouped", "attention",
    "recurrent", "elementwise", "normalization", "pooling", "embedding", "move", "csr_mv", "csr_mm",
    "bandwidth", "overhead", "power",
]  # fmt: skip


def bits_of(precision: str) -> int:
    """Bits of one value.

    >>> bits_of("fp16")
    16
    """
    return PRECISIONS[precision]


class Level(Struct, frozen=True, kw_only=True):
    """One memory level, nearest first. `holds` says what may lie there: a microcontroller's flash holds weights only.

    A capacity left out is unbounded; a bandwidth left out comes from the class table.
    """

    name: Name
    component: Literal["sram", "dram"]
    capacity_bits: Constant | None = None
    bandwidth_bits_per_s: Constant | None = None
    access_pj_per_bit: Constant | None = None
    holds: tuple[Literal["weight", "activation"], ...] = ("weight", "activation")


class CurvePoint(Struct, frozen=True, kw_only=True):
    """What one thread group of the target reads at, over and over, from a working set of this size."""

    working_set_bits: Count
    bandwidth_bits_per_s: Constant


class SparseKernel(Struct, frozen=True, kw_only=True):
    """A kernel for weights of one pattern, for the classes and precisions that the runtime has it for.

    It performs the products of the weights that `format` stores, at `relative_rate` of the dense kernel's products per
    second; it gains where the stored share of the weights is below `relative_rate`.
    """

    format: Format
    kernels: tuple[KernelClass, ...]
    precisions: tuple[Precision, ...]
    relative_rate: Constant


class ProcessorTarget(TargetBase, frozen=True, kw_only=True, tag_field="model", tag="processor"):
    """time = overhead + max(operations / (peak x efficiency(class, shape)), bits / bandwidth(working set)).

    `family` names the class table; `precision` what the runtime computes in where a layer does not say; `units` are
    cores or streaming multiprocessors; `idle_w` is drawn whatever runs, `busy_w` with every unit at work (often the
    rated power); `power_share` replaces the table's share of the difference for a class. `corrections` hold what was
    measured on this device, 1 meaning as the class table says. `fuses` says whether the runtime folds normalizations
    and activations into the layer before them ("layers"), sums behind a layer too ("sums"), or starts a kernel for
    each ("nothing"). `weight_only_bits` are widths of weights that
    kernels decode on the fly: they save bytes, not operations. `matrix_macs_per_s` is the peak of tensor cores and
    their like, which only `matrix_kernels` reach; all others run at `peak_macs_per_s`. `tiles` says how many shapes
    of output tile a GPU's library has: "few" before 2017 (one for matrix products), "one" for convolutions too.
    `bandwidth_curve`, smallest working set first, replaces the two bandwidths of cache and memory by one for each
    working set, interpolated in logarithms. `sparse_kernels` are those besides CSR's, which "csr" in `executes` stands
    for. `tuning` says how far a microcontroller's runtime goes: portable C, a kernel library, kernels made for the
    network.
    """

    family: Literal["cpu", "gpu", "mobile", "mcu", "npu"]
    runtime: str
    clock_hz: Constant
    units: Count
    precision: Precision
    peak_macs_per_s: dict[Precision, Constant]
    matrix_macs_per_s: dict[Precision, Constant] = field(default_factory=dict)
    matrix_kernels: tuple[KernelClass, ...] = MATRIX_KERNELS
    memories: tuple[Level, ...]
    idle_w: Constant
    busy_w: Constant
    mac_energy_pj: dict[Precision, Constant] = field(default_factory=dict)
    overhead_s: Constant | None = None
    decode_s_per_symbol: Constant | None = None
    corrections: dict[Correction, Constant] = field(default_factory=dict)
    power_share: dict[KernelClass, Constant] = field(default_factory=dict)
    fuses: Literal["nothing", "layers", "sums"] = "layers"
    tiles: Literal["one", "few", "many"] = "many"
    tuning: Literal["portable", "library", "tuned"] = "library"
    weight_only_bits: tuple[Count, ...] = ()
    sparse_kernels: tuple[SparseKernel, ...] = ()
    bandwidth_curve: tuple[CurvePoint, ...] = ()
    index_bits: Count = 32
    quality: Literal["good", "low"] | None = None
    busy_share: Fraction | None = None

    @property
    def precision_names(self) -> tuple[str, ...]:
        """The runtime's own precision, then the narrower ones that a layer may run in."""
        narrow: list[str] = [name for name in (*self.peak_macs_per_s, *self.matrix_macs_per_s) if bits_of(name) <= 16]
        return tuple(dict.fromkeys((self.precision, *narrow)))

    @property
    def mode(self) -> str:
        """"calibrated" where measurements of this device entered, else "datasheet"."""
        return "calibrated" if self.corrections or self.overhead_s is not None else "datasheet"

    @property
    def value_bits(self) -> int:
        """Bits of a value in the runtime's own precision."""
        return bits_of(self.precision)
