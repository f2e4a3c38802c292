"""Commands of a study: explore, front, best, report, dashboard."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .commands import parse_quantity, print_json
from .models.errors import InputError, OutputError
from .simulator.target import target_names
from .text import energy, latency, size, table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["best", "dashboard", "explore", "front", "progress_bar", "report", "split_targets"]


def split_targets(text: str | None) -> list[str]:
    """Names or files, separated by commas; all shipped targets when nothing is said."""
    return [name.strip() for name in text.split(",")] if text else target_names()


def progress_bar() -> tuple[Callable[[str, int, int], None], Callable[[], None]]:
    """(progress callback, close): tqdm bars on standard error, one per stage."""
    from .files import StageBar

    bar = StageBar()
    return bar, bar.close


def _rows(points: pd.DataFrame) -> list[list[Any]]:
    rows = []
    for point in points.to_dict("records"):
        error = "-" if point["error_pct"] is None else f"{point['error_pct']:.2f} %"
        time = point["latency_s"]
        rows.append(
            [
                point["design"],
                point["target"],
                point["bits"],
                f"{point['density']:.3f}",
                point["format"],
                error,
                energy(point["energy_pj"]),
                latency(None if time != time else time),
                size(point["weight_bytes"]),
            ]
        )
    return rows


HEADERS = ["design", "target", "bits", "density", "format", "error", "energy", "latency", "weights"]


def explore(arguments: argparse.Namespace) -> None:
    from .simulator.explore import explore as run_exploration

    bar, close = progress_bar()
    try:
        found = run_exploration(
            arguments.model, targets=split_targets(arguments.target), output=arguments.output, progress=bar
        )
    finally:
        close()
    if arguments.json:
        print_json(found.document())
        return
    print(f"{len(found.points):,} designs, {len(found.front):,} on the front, in {arguments.output}")
    print(table(HEADERS, _rows(found.front)))


def front(arguments: argparse.Namespace) -> None:
    from .simulator.explore import read_exploration

    found = read_exploration(arguments.directory)
    if arguments.json:
        print_json(found.document(arguments.target))
        return
    chosen = found.front if arguments.target is None else found.front[found.front["target"] == arguments.target]
    print(table(HEADERS, _rows(chosen)))


def best(arguments: argparse.Namespace) -> None:
    from .simulator.explore import best as find_best
    from .simulator.explore import explore as run_exploration
    from .simulator.explore import read_exploration

    limits = {
        "max_error": ("error", arguments.max_error),
        "max_energy_pj": ("energy", arguments.max_energy),
        "max_latency_s": ("latency", arguments.max_latency),
        "max_size_bytes": ("size", arguments.max_size),
    }
    asked = {
        name: parse_quantity(text, kind, f"--max-{kind}") for name, (kind, text) in limits.items() if text is not None
    }
    if arguments.directory:
        found = read_exploration(arguments.directory)
    else:
        found = run_exploration(arguments.model, targets=[arguments.target])
    point = find_best(found.points, target=arguments.target, **asked)
    if arguments.json:
        print_json({"schema": 1, "best": point})
        return
    print(point)


def report(arguments: argparse.Namespace) -> None:
    from .simulator.report import build_report, write_report

    folder = Path(arguments.output).resolve().parent
    if not folder.is_dir():
        raise OutputError(arguments.output, "its folder does not exist", f"make it first: mkdir -p {folder.name}")
    exploration, model = None, arguments.model
    if Path(model).is_dir():
        from .simulator.explore import read_exploration

        exploration = read_exploration(model)
        model = exploration.space.model
    command = "picojoule " + " ".join(sys.argv[1:]) if sys.argv[1:] else ""
    made = build_report(
        model, split_targets(arguments.target), exploration=exploration, against=arguments.against, command=command
    )
    write_report(made, arguments.output)
    print(f"{arguments.output}: {size(Path(arguments.output).stat().st_size)}")


def dashboard(arguments: argparse.Namespace) -> None:
    from .dashboard import create_app, serve
    from .simulator.explore import read_exploration

    if not 1 <= arguments.port <= 65535:
        raise InputError("--port", arguments.port, "a port from 1 to 65535", "for example --port 8050")
    exploration = read_exploration(arguments.directory) if arguments.directory else None
    print(f"picojoule: open http://{arguments.host}:{arguments.port} in a browser; Ctrl-C ends it", file=sys.stderr)
    serve(create_app(exploration), host=arguments.host, port=arguments.port)
