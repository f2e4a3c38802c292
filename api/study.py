"""Commands of a study: explore, front, best, report, dashboard."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .commands import parse_quantity, print_json
from .files import StageBar, check_output
from .models.errors import InputError
from .simulator.target import DEFAULT_TARGETS
from .text import energy, latency, size, table

if TYPE_CHECKING:
    import pandas as pd

    from .simulator.explore import Exploration

__all__ = ["best", "dashboard", "explore", "front", "front_text", "report"]

HEADERS = ("network", "target", "bits", "density", "format", "error", "on test", "energy", "latency", "file", "weights")
SHOWN = ("design", "network", "target", "bits", "density", "format", "error_pct", "error_low_pct", "error_high_pct",
         "error_split", "error_n", "test_error_pct", "energy_pj", "latency_s", "storage_bytes", "weight_bytes",
         "load_bytes", "dram_bytes", "macs_performed", "weight_density", "fits", "overflow_bytes", "partial",
         "basis")  # fmt: skip


def _known(value: float) -> float | None:
    return None if value != value else value


def front_text(points: pd.DataFrame) -> str:
    """Designs as a table, in the order of their energy within each network and target."""
    rows = []
    ordered = points.sort_values(["network", "target", "energy_pj", "storage_bytes"], kind="stable")
    for point in ordered.to_dict("records"):
        errors = (_known(point["error_pct"]), _known(point["test_error_pct"]))
        rows.append(
            [
                point["network"],
                point["target"] + (" (partial)" if point["partial"] else ""),
                point["bits"],
                f"{point['density']:g}",
                point["format"],
                *("-" if error is None else f"{error:.2f} %" for error in errors),
                energy(point["energy_pj"]),
                latency(_known(point["latency_s"])),
                size(point["storage_bytes"]),
                size(point["weight_bytes"]),
            ]
        )
    return table(HEADERS, rows)


def _records(points: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them: None for what is not known."""
    rows = points[[name for name in SHOWN if name in points]].to_dict("records")
    return [{name: None if value != value else value for name, value in row.items()} for row in rows]


def _front_document(found: Exploration, target: str | None = None) -> dict[str, Any]:
    chosen = found.front if target is None else found.front[found.front["target"] == target]
    return {
        "schema": 1,
        "version": __version__,
        "designs": len(found.points),
        "objectives": ["error_pct", "energy_pj", "latency_s", "storage_bytes"],
        "front": _records(chosen),
    }


def explore(arguments: argparse.Namespace) -> None:
    """Every combination of bits, density, format and target; results in a folder."""
    from .simulator.explore import Study, read_study, run_study

    if arguments.study.endswith(".toml"):
        if arguments.target:
            raise InputError("--target", arguments.target, "no --target beside a study", "write targets into the study")
        study = read_study(arguments.study)
    else:
        study = Study(models=(arguments.study,), targets=tuple(_targets(arguments.target)))
    bar = StageBar()
    try:
        found = run_study(
            study, output=arguments.output, resume=arguments.resume, workers=arguments.workers, progress=bar
        )
    finally:
        bar.close()
    if arguments.json:
        print_json(_front_document(found))
        return
    print(front_text(found.front))
    print(f"{len(found.points):,} designs, {len(found.front):,} of them on a front: {arguments.output}/designs.parquet")


def _targets(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",")] if text else list(DEFAULT_TARGETS)


def front(arguments: argparse.Namespace) -> None:
    """The Pareto front of an exploration."""
    from .simulator.explore import read_exploration

    found = read_exploration(arguments.directory)
    _known_target(found, arguments.target)
    if arguments.json:
        print_json(_front_document(found, arguments.target))
        return
    chosen = found.front if arguments.target is None else found.front[found.front["target"] == arguments.target]
    print(front_text(chosen))


def _known_target(found: Exploration, target: str | None) -> None:
    names = sorted(set(found.points["target"]))
    if target is not None and target not in names:
        raise InputError("--target", target, f"one of the explored targets: {', '.join(names)}")


def best(arguments: argparse.Namespace) -> None:
    """The design of least energy within limits, of an exploration or of what ships."""
    from .simulator.explore import best as find_best
    from .simulator.explore import explore as run_exploration
    from .simulator.explore import read_exploration
    from .simulator.target import load_target

    limits = {
        "max_error_pct": ("error", arguments.max_error),
        "max_energy_pj": ("energy", arguments.max_energy),
        "max_latency_s": ("latency", arguments.max_latency),
        "max_size_bytes": ("size", arguments.max_size),
    }
    asked = {
        name: parse_quantity(text, kind, f"--max-{kind}") for name, (kind, text) in limits.items() if text is not None
    }
    if arguments.directory:
        found, target = read_exploration(arguments.directory), arguments.target
    else:
        target = load_target(arguments.target).name
        found = run_exploration(targets=[arguments.target])
    points = found.points
    if arguments.network:
        points = points[points["network"].str.partition("@")[0] == arguments.network.partition("@")[0]]
        if not len(points):
            raise InputError("--network", arguments.network, f"one of {', '.join(found.study.models)}")
    design = find_best(points, target=target, objective=arguments.objective, **asked)
    if arguments.json:
        print_json({"schema": 1, "version": __version__, "objective": arguments.objective, "best": design})
        return
    print(_design_text(design))


def _design_text(design: dict[str, Any]) -> str:
    error = "not known"
    if design["error_pct"] is not None:
        error = (
            f"{design['error_pct']:.2f} % on {design['error_n']:,} {design['error_split']} images "
            f"(95 %: {design['error_low_pct']:.2f} to {design['error_high_pct']:.2f} %)"
        )
        if design["test_error_pct"] is not None:
            error += f", {design['test_error_pct']:.2f} % on the test images"
    command = (
        f"picojoule estimate {design['network']} --target {design['target']} --bits {design['bits']} "
        f"--density {design['density']:g} --format {design['format']}"
    )
    return "\n".join(
        [
            f"{design['network']} on {design['target']}: {design['bits']} bits, at most {design['density']:g} of each "
            f"layer's weights, stored as {design['format']}",
            f"  energy {energy(design['energy_pj'])}, latency {latency(design['latency_s'])}, "
            f"file {size(design['storage_bytes'])}, weights on target {size(design['weight_bytes'])}",
            f"  error {error}",
            f"  {command}",
        ]
    )


def report(arguments: argparse.Namespace) -> None:
    """Write a report of a model, or of an explored folder, on targets (default: all that ship)."""
    from .simulator.report import build_report, write_report

    check_output(arguments.output)
    command = shlex.join(["picojoule", *sys.argv[1:]])
    models: Any = arguments.model
    exploration, names = None, _targets(arguments.target)
    if Path(arguments.model).is_dir():
        from .simulator.explore import read_exploration

        exploration = read_exploration(arguments.model)
        models = list(exploration.study.models)
        names = _targets(arguments.target) if arguments.target else list(exploration.study.targets)
        for name in names:
            _known_target(exploration, name)
    built = build_report(models, names, exploration=exploration, against=arguments.against, command=command)
    write_report(built, arguments.output)
    print(f"{arguments.output}: {size(Path(arguments.output).stat().st_size)}")


def dashboard(arguments: argparse.Namespace) -> None:
    """Serve the explorer in the browser until Ctrl-C."""
    from .dashboard import create_app, serve
    from .simulator.explore import explore as run_exploration
    from .simulator.explore import read_exploration

    if not 0 <= arguments.port <= 65535:
        raise InputError("--port", arguments.port, "a port from 1 to 65535, or 0 for any free one", "try --port 8050")
    found = read_exploration(arguments.directory) if arguments.directory else run_exploration()
    serve(create_app(found), arguments.host, arguments.port, announce=lambda text: print(text, flush=True))
