"""CPU and GPU against EIE's Table IV and Deep Compression's Tables 8 and 9, with each shape left out of the fit."""

from __future__ import annotations

from ..calibrate.refit import KernelCase, kernel_cases, refit, with_fit
from ..processors.roofline import kernel_time
from ..target import RooflineTarget, load_target
from .rows import ValidationRow

__all__ = ["platform_rows"]

PROTOCOL = "leave one shape out (Alex-7 with VGG-7, Alex-8 with VGG-8), refit the rest"
ENERGY_SOURCE = "Han et al., ICLR 2016, arXiv:1510.00149v5, Tables 8 and 9"


def _rows(case: KernelCase, target: RooflineTarget) -> list[ValidationRow]:
    """Time and, where power was published, energy of one case; per frame, as the tables print them."""
    fitted = with_fit(target, refit(target.name, case.measurement.fold))
    kernel = next(kernel for kernel in fitted.kernels if kernel.name == case.kernel.name)
    time_s = float(kernel_time(case.workload, fitted, kernel).total_s[0]) / case.batch
    published = case.published
    common = ("calibrated", PROTOCOL, case.measurement.fold, False)
    rows = [
        ValidationRow(target.name, "latency", "s", case.measurement.case, published.time_s, time_s, *common,
                      "published", published.source)
    ]  # fmt: skip
    if published.power_w is not None:
        energy_j = time_s * kernel.power_w.value
        rows.append(
            ValidationRow(target.name, "energy", "J", case.measurement.case, published.time_s * published.power_w,
                          energy_j, *common, "derived", ENERGY_SOURCE)
        )  # fmt: skip
    return rows


def platform_rows(name: str) -> list[ValidationRow]:
    """Every comparison of a CPU or GPU target, times first."""
    target = load_target(name)
    assert isinstance(target, RooflineTarget)
    rows = [row for case in kernel_cases(name) for row in _rows(case, target)]
    return sorted(rows, key=lambda row: row.metric != "latency")
