"""`picojoule paper`: rows of the literature, each a printed table."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module

from . import __version__
from .commands import print_json
from .models.errors import InputError
from .text import table

__all__ = ["ROWS", "paper"]

# row: (what it shows, module, function)
ROWS: dict[str, tuple[str, str, str]] = {
    "table-2": ("LeNet-300-100 by the paper's recipe, layer by layer (Deep Compression, Table 2)", ".paper_tables",
                "print_table"),
    "table-3": ("LeNet-5 by the paper's recipe, layer by layer (Table 3)", ".paper_tables", "print_table"),
    "table-4": ("AlexNet at the printed densities and bits: synthetic, or --weights FILE (Table 4)", ".paper_tables",
                "print_table"),
    "table-5": ("VGG-16 at the printed densities and bits: synthetic, or --weights FILE (Table 5)", ".paper_tables",
                "print_table"),
    "ladder": ("dense, pruned, shared, Huffman for any NETWORK ..., and bytes by method", ".paper_ladder",
               "print_ladder"),
    "figure-5": ("how codes and gaps of a shipped file are distributed (Figure 5)", ".paper_results",
                 "print_distribution"),
    "figure-6": ("accuracy against compression: pruning, quantization, both, SVD (Figure 6)", ".paper_results",
                 "print_figure"),
    "figure-7": ("bits against accuracy, convolutions and fully connected, unpruned and pruned (Figure 7)",
                 ".paper_results", "print_figure"),
    "figure-8": ("where k-means starts: linear, density, random (Figure 8)", ".paper_results", "print_figure"),
    "rethinking": ("pruned and fine-tuned against trained from scratch (Liu et al. 2019)", ".paper_results",
                   "print_rethinking"),
    "sweep": ("accuracy against compression, five points a method and more, with controls (Blalock et al. 2020)",
              ".paper_results", "print_sweep"),
    "theory": ("how many weights can go, bounds and measurements; sketches and expanders", ".paper_results",
               "print_theory"),
}  # fmt: skip


def paper(arguments: argparse.Namespace) -> None:
    """Print one row, or the list of them."""
    if arguments.row is None:
        if arguments.json:
            rows = [{"row": name, "shows": text} for name, (text, _, _) in ROWS.items()]
            print_json({"schema": 1, "version": __version__, "rows": rows})
        else:
            print(table(["row", "shows"], [[name, text] for name, (text, _, _) in ROWS.items()]))
        return
    if arguments.row not in ROWS:
        raise InputError("ROW", arguments.row, f"one of {', '.join(ROWS)}", "see: picojoule paper")
    _, module, function = ROWS[arguments.row]
    show: Callable[[argparse.Namespace], None] = getattr(import_module(module, __package__), function)
    show(arguments)
