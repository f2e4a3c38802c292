"""`picojoule paper figure-5` to `figure-8`, `rethinking`, `theory`: our runs, shipped as CSV or measured again."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import __version__
from .commands import print_json
from .files import check_output
from .models.errors import InputError, OutputError
from .models.files import write_atomic
from .models.literature.distribution import SymbolCounts, symbol_counts
from .models.literature.results import shipped_results
from .models.literature.sweep import curve
from .models.load import load_model
from .progress import StageBar
from .text import count, table

__all__ = ["print_distribution", "print_figure", "print_rethinking", "print_sweep", "print_theory"]

Row = dict[str, Any]
TITLES = {
    "figure-6": "Accuracy against compression by method: pruning, quantization, both, SVD (LeNet-300-100, MNIST)",
    "figure-7": "Bits of convolutions, of fully connected layers, of all, unpruned and pruned (LeNet-5, MNIST)",
    "figure-8": "Where k-means starts: linear, density, random (pruned LeNet-300-100, MNIST)",
}
NOTES = {
    "figure-6": "sizes: weights with indices and codebooks, real streams; retrained: 4 epochs of pruning or factors,\n"
                "  1 of shared values; 1 bit holds one shared value besides zero",
    "figure-7": "shared as they are, without training after; the pruned network has the paper's densities; 1 bit\n"
                "  holds one shared value besides zero",
    "figure-8": "on the network pruned to the paper's densities; retrained: shared values trained for a quarter epoch",
}  # fmt: skip
AXIS = {"figure-6": "ratio", "figure-7": "bits", "figure-8": "bits"}
LARGEST_ERROR_PCT = {"figure-6": 14.0, "figure-7": 6.0, "figure-8": 4.0}


def _rows(arguments: argparse.Namespace) -> list[Row]:
    """Shipped rows, or those of --rerun."""
    if not arguments.rerun:
        return shipped_results(arguments.row)
    from .models.literature.catalogue import rerun

    folder = Path(arguments.rerun)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(str(folder), error.strerror or error, "name a folder that can be made") from error
    bar = StageBar()
    try:
        return rerun(arguments.row, folder, lambda stage, done: bar(stage, done, done))
    finally:
        bar.close()


def _finish(arguments: argparse.Namespace, document: Row, text: str, figures: Sequence[tuple[Any, str]]) -> None:
    """Print the table or the document, and write the page where one is asked for."""
    if arguments.output:
        if not arguments.output.endswith(".html"):
            raise InputError("--output", arguments.output, "a file ending in .html", "for example -o figure.html")
        check_output(arguments.output)
        from .simulator.figures.page import figures_page

        write_atomic(arguments.output, figures_page(document["title"], figures, text))
    if arguments.json:
        print_json(document)
        return
    print(document["title"])
    print(text)
    if arguments.output:
        print(arguments.output)


def _document(arguments: argparse.Namespace, title: str, **more: Any) -> Row:
    return {"schema": 1, "version": __version__, "row": arguments.row, "title": title, **more}


def print_figure(arguments: argparse.Namespace) -> None:
    """Figures 6 to 8: mean and deviation over seeds by point."""
    import pandas as pd

    from .simulator.figures.tradeoff import tradeoff_figure

    name = arguments.row
    rows = _rows(arguments)
    points = curve(rows)
    lines = [
        [p["method"], p["point"], "yes" if p["retrained"] else "no", count(p["bytes"]), f"{p['ratio']:.2f}x",
         f"{p['error_pct']:.2f}", f"{p['error_sd_pct']:.2f}", p["seeds"]]
        for p in points
    ]  # fmt: skip
    text = table(["method", "point", "retrained", "bytes", "ratio", "error %", "sd", "seeds"], lines)
    text += f"\n  {NOTES[name]}\n  test split of MNIST, n = 10,000; one standard error is about 0.12 points"
    figure = tradeoff_figure(pd.DataFrame(points), AXIS[name], LARGEST_ERROR_PCT[name])
    _finish(arguments, _document(arguments, TITLES[name], points=points, rows=rows), text, [(figure, NOTES[name])])


def print_distribution(arguments: argparse.Namespace) -> None:
    """Figure 5: symbols of the streams of a shipped file."""
    import pandas as pd

    from .simulator.figures.distribution import distribution_figure

    if arguments.rerun:
        raise InputError("--rerun", arguments.row, "a row that trains", "figure-5 reads the file that ships")
    name = arguments.networks[0] if arguments.networks else "lenet-5@deep-compression"
    streams = symbol_counts(load_model(name))
    if not streams:
        raise InputError(f"model {name}", "no shared weights", "a model with shared weights",
                         "for example lenet-5@deep-compression")  # fmt: skip
    lines = [
        [s.layer, s.stream, count(int(s.counts.sum())), s.fixed_bits, f"{s.huffman_bits:.2f}", f"{s.entropy:.2f}",
         f"{100 * (1 - s.huffman_bits / s.fixed_bits):.1f} %", f"{100 * s.counts.max() / s.counts.sum():.1f} %"]
        for s in streams
    ]  # fmt: skip
    text = table(["layer", "stream", "entries", "fixed bits", "Huffman", "entropy", "saved", "commonest"], lines)
    saved = _saved_pct(streams)
    text += f"\n  Huffman coding saves {saved:.1f} % of codes and gaps together (the paper: 20 to 30 % of storage)"
    shown = max(streams, key=lambda s: int(s.counts.sum())).layer
    frame = pd.DataFrame([
        {"layer": s.layer, "stream": s.stream, "symbol": symbol, "count": int(found)}
        for s in streams if s.layer == shown for symbol, found in enumerate(s.counts)
    ])  # fmt: skip
    records = [
        {"layer": s.layer, "stream": s.stream, "fixed_bits": s.fixed_bits, "huffman_bits": s.huffman_bits,
         "entropy_bits": s.entropy, "counts": s.counts.tolist()} for s in streams
    ]  # fmt: skip
    document = _document(arguments, f"Codes and gaps of {name}", streams=records, saved_pct=saved)
    _finish(arguments, document, text, [(distribution_figure(frame), f"{name}, {shown}")])


def _saved_pct(streams: Sequence[SymbolCounts]) -> float:
    fixed = sum(int(s.counts.sum()) * s.fixed_bits for s in streams)
    return 100 * (1 - sum(int(s.counts @ s.lengths) for s in streams) / fixed)


def print_rethinking(arguments: argparse.Namespace) -> None:
    """Structured pruning and fine-tuning beside the same small network from random weights."""
    rows = _rows(arguments)
    points = curve(rows)
    epochs = {(r["network"], r["method"], r["point"]): r["epochs"] for r in rows}
    lines = [
        [p["network"], p["point"], p["method"], f"{epochs[p['network'], p['method'], p['point']]:g}", count(p["bytes"]),
         f"{p['ratio']:.1f}x", f"{p['speedup']:.1f}x", f"{p['error_pct']:.2f}", f"{p['error_sd_pct']:.2f}", p["seeds"]]
        for p in sorted(points, key=lambda p: (p["network"], p["point"]))
    ]  # fmt: skip
    headers = ["network", "channels", "weights from", "epochs", "bytes", "ratio", "speed-up", "error %", "sd", "seeds"]
    text = table(headers, lines) + (
        "\n  channels by L1 norm of their filters (Li et al. 2017); fine-tuning and scratch-E take as many epochs as\n"
        "  the dense network, scratch-B twice as many (Liu et al. 2019); the dense network's own epochs come on top\n"
        "  of fine-tuning; test split of MNIST"
    )
    title = "Rethinking the value of pruning: fine-tuned against trained from scratch"
    _finish(arguments, _document(arguments, title, points=points, rows=rows), text, [])


BOUNDS = ("best k, measured", "best k, isotropic", "best k, bound", "rank, measured", "rank, isotropic", "rank, bound")


def print_theory(arguments: argparse.Namespace) -> None:
    """How many weights a layer can lose, and index-free layers against magnitude pruning at equal bytes."""
    rows = _rows(arguments)
    bounds = [row for row in rows if row["method"] in BOUNDS]
    points = curve([row for row in rows if row["method"] not in BOUNDS])
    by: dict[tuple[str, str], Row] = {}
    for row in bounds:
        by.setdefault((row["network"], row["point"]), {})[row["method"]] = 100 * row["density"]
    lines = [
        [network, *point.split(" "), *(f"{kept[method]:.1f} %" for method in BOUNDS)]
        for (network, point), kept in by.items()
    ]
    text = table(["network", "layer", "epsilon", *BOUNDS], lines) + (
        "\n  numbers stored, in percent of the layer's weights, for a relative output error of epsilon: the k largest\n"
        "  weights, or the factors of a truncated SVD (over 100 %: no saving). measured: on validation images; bound:\n"
        "  ||W - W'|| ||X|| promises it for these inputs; isotropic: exact for inputs without correlation\n\n"
    )
    text += table(
        ["network", "bytes of dense", "method", "bytes", "error %", "sd", "seeds"],
        [[p["network"], p["point"], p["method"], count(p["bytes"]), f"{p['error_pct']:.2f}", f"{p['error_sd_pct']:.2f}",
          p["seeds"]] for p in sorted(points, key=lambda p: -p["bytes"])],
    )  # fmt: skip
    text += (
        "\n  fp32 values; pruned layers store 8-bit gaps with padding, expander masks and hashed places come from a\n"
        "  seed; 14 epochs in all for every method; test split of MNIST"
    )
    title = "How many weights can go: bounds beside measurements; sketches and expanders at equal bytes"
    _finish(arguments, _document(arguments, title, bounds=bounds, points=points, rows=rows), text, [])


def print_sweep(arguments: argparse.Namespace) -> None:
    """The curve that `compress lenet-300-100 --sweep` gave."""
    import pandas as pd

    from .sweep import sweep_figures, sweep_text

    if arguments.rerun:
        raise InputError("--rerun", "sweep", "another row",
                         "picojoule compress lenet-300-100 --sweep --epochs 1 -o DIR")  # fmt: skip
    rows = shipped_results("sweep")
    points = curve(rows)
    title = "Accuracy against compression as Blalock et al. (2020) ask for, LeNet-300-100, MNIST"
    text = sweep_text(points) + f"\n  made by: {rows[0]['source']}"
    figures = sweep_figures(pd.DataFrame(points), "lenet-300-100")
    _finish(arguments, _document(arguments, title, points=points, rows=rows), text, figures)
