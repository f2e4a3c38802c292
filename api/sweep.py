"""`picojoule compress MODEL --sweep`: the trade-off curve by method, resumable."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .models.compress.dataset import check_data, load_data
from .models.errors import InputError, OutputError
from .models.files import write_atomic
from .models.literature.lab import DENSE_EPOCHS, Lab
from .models.literature.results import read_results, run_rows
from .models.literature.sweep import SWEEP_COLUMNS, Subject, curve, sweep, sweep_methods, trained_subject
from .models.load import load_model
from .models.model import Model
from .progress import StageBar
from .text import count, table

__all__ = ["run_sweep", "sweep_figures", "sweep_text"]

DEFAULT_EPOCHS = 2


def run_sweep(arguments: argparse.Namespace) -> None:
    """Measure what is missing in the folder, print the curve, draw it."""
    model = load_model(arguments.model)
    folder = Path(arguments.output or f"{model.name.replace('/', '-')}-sweep")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(str(folder), error.strerror or error, "name a folder that can be made") from error
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    if arguments.seeds < 1:
        raise InputError("--seeds", arguments.seeds, "at least 1")
    file = folder / "sweep.csv"
    points = sum(len(points) for points in sweep_methods().values())
    bar, done = StageBar(), 0
    try:
        for place, seed in enumerate(seeds):
            subject, about = _subject(model, arguments, seed, folder)
            done = place * points
            for _ in _missing(subject, model.name, file, about):
                done += 1
                bar(f"{model.name}, seed {seed}", min(done - place * points, points), points)
    finally:
        bar.close()
    text = sweep_text(curve(_of(file, model.name, seeds)))
    print(text)
    _draw(folder, model.name, curve(_of(file, model.name, seeds)), text)
    print(f"{file} {folder / 'curve.csv'} {folder / 'curve.html'}")


def _of(file: Path, network: str, seeds: range) -> list[dict[str, Any]]:
    rows = read_results(file, SWEEP_COLUMNS)
    return [row for row in rows if row["network"] == network and int(row["seed"]) in seeds]


PRUNED_ONCE = ("magnitude", "global magnitude", "random")


def _missing(subject: Subject, name: str, file: Path, about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows as they are measured; a file made with other epochs is another curve."""
    for row in read_results(file, SWEEP_COLUMNS):
        same = row["network"] == name and row["method"] in PRUNED_ONCE
        if same and row["epochs"] is not None and float(row["epochs"]) != subject.epochs:
            got = f"points of {row['epochs']:g} epochs, with --epochs {subject.epochs:g}"
            raise InputError(str(file), got, "the same settings", "name another folder with -o")
    return run_rows(file, lambda todo: sweep(subject, name, todo), about, SWEEP_COLUMNS)


def _subject(model: Model, arguments: argparse.Namespace, seed: int, folder: Path) -> tuple[Subject, dict[str, Any]]:
    """The network trained here, or a model's own weights as they are."""
    graph = model.graph
    source = arguments.data or ("mnist" if graph.name in DENSE_EPOCHS else None)
    if source is None:
        raise InputError("--data", "nothing", "an .npz file with train and test images and labels",
                         f"{model.name} brings no data set")  # fmt: skip
    data = load_data(source)
    check_data(data, graph)
    epochs = "" if arguments.epochs is None else f" --epochs {arguments.epochs:g}"
    about = {"dataset": data.test.dataset, "n": len(data.test), "split": "test", "status": "measured",
             "source": f"picojoule compress {model.name} --sweep{epochs}"}  # fmt: skip
    if graph.has_weights:
        if arguments.epochs:
            raise InputError("--epochs", arguments.epochs, "0 for a model with weights of its own",
                             "points are measured as they are, without training")  # fmt: skip
        values = {name: parameter.values for name, parameter in graph.parameters.items()}
        return Subject(graph, {k: v for k, v in values.items() if v is not None}, data, seed, 0), about
    if graph.name not in DENSE_EPOCHS:
        raise InputError(f"model {model.name}", "no weights", f"weights, or one of {', '.join(DENSE_EPOCHS)}",
                         "name a .pico or .onnx file")  # fmt: skip
    length = DEFAULT_EPOCHS if arguments.epochs is None else arguments.epochs
    return trained_subject(Lab(graph.name, seed, folder, data), length), about


def sweep_text(points: list[dict[str, Any]]) -> str:
    """Operating points by method as a table."""
    rows = []
    for point in points:
        top5 = "-" if point["top5_error_pct"] is None else f"{100 - point['top5_error_pct']:.2f}"
        accuracy = [f"{100 - point['error_pct']:.2f}", f"{point['error_sd_pct']:.2f}", top5]
        gains = [f"{point['ratio']:.2f}x", f"{point['speedup']:.2f}x"]
        rows.append([point["method"], point["point"], count(point["bytes"]), *gains, *accuracy, point["seeds"]])
    headers = ["method", "point", "bytes", "ratio", "speed-up", "top-1 %", "sd", "top-5 %", "seeds"]
    return table(headers, rows) + (
        "\n  ratio: dense fp32 bytes of the weights over bytes with indices and codebooks; speed-up: theoretical,\n"
        "  multiply-adds over those whose weight is not zero; test split, mean and sample deviation over seeds"
    )


def _draw(folder: Path, name: str, points: list[dict[str, Any]], text: str) -> None:
    import pandas as pd

    from .simulator.figures.page import figures_page

    frame = pd.DataFrame(points)
    write_atomic(folder / "curve.csv", frame.to_csv(index=False))
    figures = sweep_figures(frame, name)
    write_atomic(folder / "curve.html", figures_page(f"{name}: accuracy against compression", figures, text))
    sys.stdout.flush()


def sweep_figures(frame: Any, name: str) -> list[tuple[Any, str]]:
    """Accuracy against ratio and against speed-up, with captions."""
    from .simulator.figures.tradeoff import tradeoff_figure

    return [
        (tradeoff_figure(frame, x, 12.0), f"{name}: top-1 accuracy against {what}; bars are one deviation over seeds.")
        for x, what in (("ratio", "compression ratio"), ("speedup", "theoretical speed-up"))
    ]
