"""The JSON documents of the command line: names with units, plain numbers, never NaN."""

from __future__ import annotations

import math
from typing import Any

from .cost import Cost

__all__ = ["SCHEMA", "estimate_document"]

SCHEMA = 1


def _error_pct(cost: Cost) -> dict[str, Any] | None:
    accuracy = cost.workload.accuracy
    if accuracy is None or any(text.startswith("A4") for text in cost.assumptions):
        return None
    return {
        "value": accuracy.error_pct,
        "dataset": accuracy.dataset,
        "n": accuracy.n,
        "split": accuracy.split,
        "status": accuracy.status,
    }


def _finite(node: Any, path: str = "") -> Any:
    """The same document; a number that is not finite is a defect and raises ValueError here."""
    if isinstance(node, dict):
        return {key: _finite(value, f"{path}.{key}") for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_finite(value, f"{path}[{place}]") for place, value in enumerate(node)]
    if isinstance(node, float) and not math.isfinite(node):
        raise ValueError(f"{path} is {node}")
    return node


def estimate_document(cost: Cost, version: str) -> dict[str, Any]:
    """`picojoule estimate --json` for one model on one target."""
    w = cost.workload
    overflow_bytes = math.ceil(float(cost.overflow_bits) / 8)
    by_level = {level: float(bits.sum()) / 8 for level, bits in cost.bits_by_level().items()}
    by_component = {name: float(value.sum()) for name, value in cost.energy_by_component_pj().items()}
    document = {
        "schema": SCHEMA,
        "version": version,
        "model": w.model,
        "target": cost.target.name,
        "batch": w.batch,
        "fits": bool(cost.fits),
        "overflow_bytes": overflow_bytes,
        "partial": cost.partial,
        "basis": w.basis,
        "activation_density_basis": w.activation_basis,
        "scope": cost.target.scope,
        "totals": cost.totals | {"error_pct": _error_pct(cost)},
        "energy_by_component_pj": by_component,
        "bytes_by_level": by_level,
        "intervals": cost.intervals,
        "layers": cost.layer_rows(),
        "assumptions": list(cost.assumptions),
        "unmodelled": [{"layer": u.layer, "kind": u.kind, "reason": u.reason} for u in cost.unmodelled],
    }
    return _finite(document)
