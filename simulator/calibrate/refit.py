"""The shipped CPU and GPU targets, fitted again to the published times that they come from.

`refit` gives what the TOML files print; a test holds the two together, so that no table drifts from its
data. `with_fit` puts other factors into a target, so that validation predicts through the product's own code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from msgspec.structs import replace

from ...models.errors import InputError
from ...models.load import load_model
from ..processors.roofline import kernel_time
from ..target import Kernel, RooflineTarget, load_target
from ..workload import Overrides, Workload, make_workload
from .fit import Measurement, RooflineFit, fit_roofline
from .published import PublishedTime, benchmarks, published_times

__all__ = ["PLATFORMS", "KernelCase", "kernel_cases", "refit", "with_fit"]

# Target: its name in EIE's Table IV.
PLATFORMS = {"core-i7-5930k": "CPU Core i7-5930k", "titan-x": "GPU Titan X"}
FORMATS = {"dense": "dense", "sparse": "csr"}


@dataclass(frozen=True, eq=False)
class KernelCase:
    """A published time beside what it ran: one layer at one batch, in one kernel of the target."""

    published: PublishedTime
    measurement: Measurement
    workload: Workload
    kernel: Kernel

    @property
    def batch(self) -> int:
        return self.workload.batch


def _case(target: RooflineTarget, row: PublishedTime) -> KernelCase:
    layer, stored = benchmarks()[row.layer], FORMATS[row.matrix]
    kernel = next(k for k in target.kernels if k.format == stored and (k.min_batch > 1) == (row.batch > 1))
    model = load_model(f"gemm:M=1,N={layer.rows},K={layer.columns}")
    workload = make_workload(model, row.batch, Overrides(density=layer.weight_density, storage=stored))
    at_the_roof = kernel_time(workload, target, kernel, efficiency=1.0)
    roof_s = float(np.maximum(at_the_roof.compute_s, at_the_roof.memory_s)[0])
    name = f"{row.layer}, {row.matrix}, batch {row.batch}"
    measurement = Measurement(name, layer.shape, kernel.name, roof_s, row.time_s * row.batch, row.power_w, row.source)
    return KernelCase(row, measurement, workload, kernel)


@cache
def kernel_cases(target_name: str) -> tuple[KernelCase, ...]:
    """The 36 published times of a target, in the order of EIE's Table IV.

    Times in `measurement` are per batch, in `published` per frame, as the tables print them.
    """
    if target_name not in PLATFORMS:
        raise InputError("target", target_name, f"a target with published times: {', '.join(PLATFORMS)}")
    target = load_target(target_name)
    assert isinstance(target, RooflineTarget)
    return tuple(_case(target, row) for row in published_times(PLATFORMS[target_name]))


def refit(target_name: str, without_fold: str | None = None) -> RooflineFit:
    """The fit to a target's published times; `without_fold` leaves one shape out ("4096x4096").

    >>> refit("titan-x").rounded().power_w["dense_mv"]
    159.0
    """
    rows = [case.measurement for case in kernel_cases(target_name)]
    return fit_roofline([row for row in rows if row.fold != without_fold])


def with_fit(target: RooflineTarget, fit: RooflineFit) -> RooflineTarget:
    """The target with a fit's overhead, efficiencies and powers in the place of its own."""
    kernels = tuple(
        replace(
            kernel,
            efficiency=replace(kernel.efficiency, value=fit.efficiency[kernel.name]),
            power_w=replace(kernel.power_w, value=fit.power_w[kernel.name]),
        )
        for kernel in target.kernels
    )
    return replace(target, overhead_s=replace(target.overhead_s, value=fit.overhead_s), kernels=kernels)
