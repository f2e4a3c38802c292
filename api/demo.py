"""`picojoule demo`: the main job, on what ships with the package, in under a minute."""

from __future__ import annotations

import argparse

from .files import check_output
from .models.compress.baselines import baseline_bytes
from .models.data import load_split
from .models.load import load_model
from .models.model import Model
from .models.run import measure_accuracy
from .models.zoo import build_network
from .simulator.cost import Cost
from .simulator.estimate import estimate, estimate_many
from .simulator.explore import Exploration, best, explore
from .simulator.ladder import size_ladder
from .simulator.report import build_report, write_report
from .simulator.target import DEFAULT_TARGETS
from .text import energy, latency, size, table

__all__ = ["demo"]

NETWORK = "lenet-300-100"
REMARKS = (
    "  CPU and GPU: power x time; the split over components is assumed.",
    "  EIE skips zero activations: measured for the compressed network, none assumed for the dense one.",
)
TARGETS = ("core-i7-5930k", "titan-x", "eie")


def demo(arguments: argparse.Namespace) -> None:
    """Decode, measure, cost, explore, report."""
    check_output(arguments.output)
    compressed = load_model(f"{NETWORK}@deep-compression")
    dense = Model(NETWORK, build_network(NETWORK))
    print(f"1. {compressed.name}: decode the shipped file and run it on the 10,000 test images of MNIST")
    measured = measure_accuracy(compressed.graph, load_split("mnist", "test"))
    print(
        f"   {size(compressed.file_bytes)}, error {measured.error_pct:.2f} % "
        f"(the paper: 27 KB, 1.58 %; its dense network: 1.64 %)\n"
    )
    print("2. Size ladder\n" + _ladder(compressed) + "\n")
    print("3. Dense against compressed, one inference\n" + _comparison(dense, compressed) + "\n")
    print("4. The same weights from SRAM and from DRAM (45 nm, Horowitz)\n" + _memories(dense, compressed) + "\n")
    print("5. Bits x density x format x hardware: errors measured on 5,000 validation images, without retraining")
    found = explore(compressed.name)
    print(_trade_off(found) + "\n")
    report = build_report(compressed, list(DEFAULT_TARGETS), exploration=found, command="picojoule demo")
    write_report(report, arguments.output)
    print(f"6. The whole story: {arguments.output}")
    print("   In the browser: .venv/bin/picojoule dashboard")


def _ladder(model: Model) -> str:
    rows = []
    for rung in size_ladder(model):
        paper = f"{rung.paper_bytes / 1000:,.0f} KB" if rung.paper_bytes else "-"
        ratio = f"{rung.paper_ratio:.0f}x" if rung.paper_ratio else "-"
        rows.append([rung.step, size(rung.bytes), f"{rung.ratio:.1f}x", paper, ratio])
    dense = 4 * model.graph.parameter_count
    for key, value in baseline_bytes(model).items():
        found = ["not in this build of Arrow", "-"] if value is None else [size(value), f"{dense / value:.1f}x"]
        rows.append([key.replace("_", ", "), *found, "-", "-"])
    return table(["step", "bytes", "ratio", "paper", "paper's ratio"], rows)


def _row(cost: Cost, name: str) -> list[str]:
    totals = cost.totals
    parts = {key: float(value.sum()) for key, value in cost.energy_by_component_pj().items()}
    shown = [energy(parts[key]) for key in ("mac", "sram", "dram", "noc", "static")]
    return [
        f"{cost.target.name}, {name}",
        energy(totals["energy_pj"]),
        *shown,
        latency(totals["latency_s"]),
        size(totals["weight_bytes"]),
    ]


def _comparison(dense: Model, compressed: Model) -> str:
    rows, notes = [], []
    costs = estimate_many([dense, compressed], TARGETS)
    for before, after in zip(costs[: len(TARGETS)], costs[len(TARGETS) :], strict=True):
        rows += [_row(before, "dense"), _row(after, "compressed")]
        gain = before.totals["energy_pj"] / after.totals["energy_pj"]
        speed = before.totals["latency_s"] / after.totals["latency_s"]
        said = [_times(gain, "less energy", "more energy"), _times(speed, "faster", "slower")]
        notes.append(f"  {before.target.name}: {', '.join(said)}")
    text = table(["target", "energy", "mac", "sram", "dram", "noc", "static", "latency", "weights"], rows)
    return "\n".join([text, *notes, *REMARKS])


def _trade_off(found: Exploration) -> str:
    """Counts, and the least energy on EIE for a few bounds on the error."""
    lines = [f"  {len(found.points):,} designs, {len(found.front):,} on the Pareto front of their target"]
    rows = []
    for limit in (2.0, 3.0, 5.0, 10.0):
        design = best(found.points, target="eie", max_error_pct=limit, objective="size")
        rows.append(
            [
                f"at most {limit:g} %",
                design["bits"],
                f"{100 * design['weight_density']:.1f} %",
                f"{design['error_pct']:.2f} %",
                f"{design['test_error_pct']:.2f} %",
                energy(design["energy_pj"]),
                latency(design["latency_s"]),
                size(design["storage_bytes"]),
            ]
        )
    headers = ["smallest on EIE", "bits", "kept", "error", "on test", "energy", "latency", "file"]
    return "\n".join([*lines, table(headers, rows)])


def _times(ratio: float, better: str, worse: str) -> str:
    return f"{ratio:.2f}x {better}" if ratio >= 1 else f"{1 / ratio:.2f}x {worse}"


def _memories(dense: Model, compressed: Model) -> str:
    rows = []
    for name, model in (("dense", dense), ("compressed", compressed)):
        costs = {where: estimate(model, "generic-45nm", residency=where) for where in ("cold", "warm")}
        dram, sram = (costs[where].totals["energy_pj"] for where in ("cold", "warm"))
        rows.append([name, energy(dram), energy(sram), f"{dram / sram:.0f}x"])
    return table(["weights", "from DRAM", "from SRAM", "ratio"], rows)
