"""Access counts against Timeloop's own for the Sparseloop artifact's mappings of AlexNet conv3 and conv5."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from picojoule.models.loops import LoopBounds
from picojoule.simulator.mapper.charge import charge, fits
from picojoule.simulator.mapper.hierarchy import make_hierarchy
from picojoule.simulator.mapper.machine import make_machine
from picojoule.simulator.mapper.mapping import parse_mapping
from picojoule.simulator.mapper.problem import make_problem
from picojoule.simulator.mapper.traffic import count_accesses
from picojoule.simulator.target import load_target

DATA = Path(__file__).parent / "data"
LAYERS = {
    "conv3": (
        LoopBounds(N=4, K=384, C=256, P=13, Q=13, R=3, S=3),
        ["DRAM: M6 C64", "shared_glb: N4 P13", "spatial_x: Q13", "spatial_y: M4 S3", "weights_spad: R3 C4",
         "psum_spad: M16"],
    ),
    "conv5": (
        LoopBounds(N=4, K=256, C=192, P=13, Q=13, R=3, S=3),
        ["DRAM: M4 C48", "shared_glb: P13", "spatial_x: Q13", "between: N4", "spatial_y: M4 S3",
         "weights_spad: R3 C4", "psum_spad: M16"],
    ),
}  # fmt: skip


def timeloop_rows(layer: str) -> list[dict[str, str]]:
    lines = (DATA / "timeloop" / "eyeriss168_alexnet_counts.csv").read_text("utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return [row for row in rows if row["layer"] == layer]


@pytest.mark.parametrize("layer", LAYERS)
def test_every_row_of_timeloop_is_reproduced(layer: str) -> None:
    """Integers exactly, energies to 1e-6; 60 rows a layer."""
    bounds, lines = LAYERS[layer]
    target = load_target("eyeriss-168")
    hierarchy, machine, problem = make_hierarchy(target), make_machine(target), make_problem(bounds)
    mapping = parse_mapping(lines, hierarchy, problem)
    counts = count_accesses(problem, hierarchy, mapping.factors[None], mapping.orders)
    cost = charge(counts, hierarchy, machine)
    assert fits(counts, machine).all()
    compared = 0
    for row in timeloop_rows(layer):
        level = row["level"].lower()
        quantity, wanted = row["quantity"], float(row["value"])
        if level == "summary":
            got = {
                "utilization": counts.instances[0, -1] / machine.n_pe,
                "cycles": cost.cycles[0],
                "energy_uj": cost.energy_pj[0] / 1e6,
            }[quantity]
            assert got == pytest.approx(wanted, abs=0.00501), row
        elif quantity == "cycles":
            assert cost.cycles[0] == wanted, row
        elif level == "macs":
            got = {
                "utilized_instances": counts.instances[0, -1],
                "computes_total": counts.macs,
                "energy_total_pj": float(cost.mac_pj),
            }[quantity]
            assert got == pytest.approx(wanted, rel=1e-6 if "energy" in quantity else 0), row
        else:
            at = hierarchy.levels.index(level), ("Weights", "Inputs", "Outputs").index(row["tensor"])
            if quantity == "energy_total_pj":
                assert cost.access_pj[0, at[0], at[1]] == pytest.approx(wanted, rel=1e-6), row
            else:
                each = {
                    "tile_words": counts.tile[0, at[0], at[1]] * counts.instances[0, at[0]],
                    "instances": counts.instances[0, at[0]] ** 2,
                    "scalar_reads_per_instance": counts.reads[0, at[0], at[1]],
                    "scalar_updates_per_instance": counts.updates[0, at[0], at[1]],
                    "scalar_fills_per_instance": counts.fills[0, at[0], at[1]],
                }[quantity]
                assert each == wanted * counts.instances[0, at[0]], row
        compared += 1
    assert compared == 60
