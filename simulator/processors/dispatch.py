"""cost(workload, target): the one verb of the simulator."""

from __future__ import annotations

from ..cost import Cost
from ..target import (
    AcceleratorTarget,
    AccessEnergyTarget,
    EieTarget,
    EthosUTarget,
    ProcessorTarget,
    SystolicTarget,
    Target,
)
from ..workload import Workload
from .accelerator import accelerator_cost
from .access_energy import access_energy_cost
from .eie_chip import eie_cost
from .ethos_u import ethos_u_cost
from .processor import processor_cost
from .systolic_array import systolic_cost

__all__ = ["ENERGY_LEVELS", "RESIDENCIES", "cost"]

ENERGY_LEVELS = ("low", "default", "high")
RESIDENCIES = ("warm", "cold")


def cost(workload: Workload, target: Target, *, energy: str = "default", residency: str = "warm") -> Cost:
    """Energy, time and traffic of `workload` on `target`.

    `energy` chooses low, default or high values where a source gives a range; `residency` says whether
    weights that fit on chip stay there between inferences ("warm") or nothing does ("cold").
    """
    if isinstance(target, EieTarget):
        return eie_cost(workload, target)
    if isinstance(target, AccessEnergyTarget):
        return access_energy_cost(workload, target, energy=energy, residency=residency)
    if isinstance(target, EthosUTarget):
        return ethos_u_cost(workload, target, energy=energy)
    if isinstance(target, AcceleratorTarget):
        return accelerator_cost(workload, target, energy=energy, residency=residency)
    if isinstance(target, SystolicTarget):
        return systolic_cost(workload, target, energy=energy)
    assert isinstance(target, ProcessorTarget)
    return processor_cost(workload, target, energy=energy, residency=residency)
