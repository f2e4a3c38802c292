"""picojoule: what a neural network costs on real hardware, before anyone deploys it.

>>> import picojoule
>>> cost = picojoule.estimate("gemm:M=1,N=4096,K=9216", "eie", density=0.09, act_density=0.351)
>>> bool(cost.fits)
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .front import compress, export, from_onnx, from_torch, load, networks, targets
    from .models.errors import PicojouleError
    from .models.model import Model
    from .simulator.cost import Cost
    from .simulator.estimate import estimate, estimate_many
    from .simulator.explore import best, explore, pareto, read_exploration
    from .simulator.report import build_report, write_report
    from .simulator.target import Target
    from .simulator.validate import validate

# Names are imported when first used, so that `import picojoule` and the command line start fast.
_HOMES = {
    "Cost": ".simulator.cost",
    "Model": ".models.model",
    "PicojouleError": ".models.errors",
    "Target": ".simulator.target",
    "best": ".simulator.explore",
    "build_report": ".simulator.report",
    "compress": ".front",
    "estimate": ".simulator.estimate",
    "estimate_many": ".simulator.estimate",
    "explore": ".simulator.explore",
    "export": ".front",
    "from_onnx": ".front",
    "from_torch": ".front",
    "load": ".front",
    "networks": ".front",
    "pareto": ".simulator.explore",
    "read_exploration": ".simulator.explore",
    "targets": ".front",
    "validate": ".simulator.validate",
    "write_report": ".simulator.report",
}

__all__ = [
    "Cost",
    "Model",
    "PicojouleError",
    "Target",
    "__version__",
    "best",
    "build_report",
    "compress",
    "estimate",
    "estimate_many",
    "explore",
    "export",
    "from_onnx",
    "from_torch",
    "load",
    "networks",
    "pareto",
    "read_exploration",
    "targets",
    "validate",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
