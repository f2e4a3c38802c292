"""Energy, leakage and area of an SRAM by size, access width and node: power laws fitted to CACTI 7.0.

    ln y = a + b ln(size / 1 KiB) + c ln(width / 64 bit) + d ln(node / 45 nm)

least squares over 66 runs for each transistor type (1 KiB to 1 MiB, 32 to 128 bits, 22 to 65 nm). CACTI's
own points are not smooth (it picks another organisation from size to size), so a fit, not an
interpolation: 80 % of the runs lie within -22 to +30 % of it for reads, -11 to +12 % for writes.
tests/test_sram_fit.py fits them again. Source: CACTI 7.0 (Balasubramonian et al., TACO 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

__all__ = ["FITS", "SramCost", "sram_cost"]

# a, b (size), c (width), d (node), by quantity
FITS: dict[str, dict[str, tuple[float, float, float, float]]] = {
    "cacti-hp": {
        "read_pj": (0.5000, 0.5682, 0.4200, 1.7969),
        "write_pj": (0.9909, 0.4308, 0.7285, 1.8406),
        "leakage_mw": (0.1413, 0.9599, -0.0133, 1.4599),
        "area_mm2": (-5.6318, 0.9755, 0.0521, 1.9389),
    },
    "cacti-lstp": {
        "read_pj": (0.6130, 0.5861, 0.4488, 1.8627),
        "write_pj": (1.1658, 0.4481, 0.7465, 2.0136),
        "leakage_mw": (-10.5658, 0.9545, 0.0084, 0.2920),
        "area_mm2": (-5.6340, 0.9845, 0.0352, 1.9046),
    },
}


@dataclass(frozen=True)
class SramCost:
    """Of one instance: pJ per access of the whole width, watts, square millimetres."""

    read_pj: float
    write_pj: float
    leakage_w: float
    area_mm2: float


def sram_cost(fit: str, capacity_bits: float, width_bits: float, node_nm: float) -> SramCost:
    """What the fit says of one memory.

    >>> round(sram_cost("cacti-lstp", 32 * 8192, 64, 45).read_pj, 1)
    14.1
    """
    where = (1.0, log(capacity_bits / 8192), log(width_bits / 64), log(node_nm / 45))
    found = {name: exp(sum(k * x for k, x in zip(ks, where, strict=True))) for name, ks in FITS[fit].items()}
    return SramCost(found["read_pj"], found["write_pj"], found["leakage_mw"] * 1e-3, found["area_mm2"])
