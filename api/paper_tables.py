"""`picojoule paper table-2` to `table-5`: Deep Compression's tables beside ours."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import __version__
from .commands import print_json
from .models.compress.prune import known_values, weight_names
from .models.errors import InputError
from .models.graph import Graph
from .models.literature import TABLES, PaperNetwork, contradictions, paper_network, synthetic_layer
from .models.literature.compare import NEAR_PCT, Comparison, compare, comparison_record, tally
from .models.literature.synthetic import FAMILY
from .models.literature.tables import LayerFigures, figures_of_model, figures_of_weights, layer_figures
from .models.load import load_model
from .models.model import Model
from .models.zoo import build_network
from .text import count, table

__all__ = ["print_table"]

HEADERS = (
    "layer", "weights", "kept", "paper", "code bits", "paper", "H", "paper", "gap bits", "paper", "H", "paper",
    "P+Q", "paper", "off", "P+Q+H", "paper", "off",
)  # fmt: skip
MATCHED_HEADERS = ("matched: P+Q", "P+Q+H")
CANDIDATES = {"alexnet": ("alexnet", "alexnet-torchvision")}


def print_table(arguments: argparse.Namespace) -> None:
    """One table, printed or as JSON."""
    network = paper_network(TABLES[arguments.row])
    if arguments.row in ("table-2", "table-3"):
        document = _shipped(network, arguments)
    else:
        document = _computed(network, arguments)
    if arguments.json:
        print_json(document)


def _document(row: str, network: PaperNetwork, rows: Sequence[Comparison], **more: Any) -> dict[str, Any]:
    return {
        "schema": 1, "version": __version__, "row": row, "network": network.name, **more,
        "layers": [comparison_record(one) for one in rows[:-1]], "total": comparison_record(rows[-1]),
        "contradictions": [
            {"layer": c.layer, "column": c.column, "printed": c.printed, "why": c.why} for c in contradictions(network)
        ],
    }  # fmt: skip


def _shipped(network: PaperNetwork, arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.weights:
        raise InputError("--weights", arguments.weights, "table-4 or table-5",
                         f"{arguments.row} reads the file that ships")  # fmt: skip
    model = load_model(f"{network.name}@deep-compression")
    index_bits = {row.layer: int(row.index_bits) for row in network.layers}
    rows = compare(network, figures_of_model(model, index_bits))
    accuracy = model.accuracy
    errors = {
        "paper_reference_pct": network.reference_error_pct, "paper_pct": network.error_pct,
        "reference_pct": model.provenance.get("test_dense_error_pct"),
        "value": accuracy.error_pct if accuracy else None, "dataset": accuracy.dataset if accuracy else None,
        "n": accuracy.n if accuracy else None, "split": accuracy.split if accuracy else None,
        "status": accuracy.status if accuracy else None,
    }  # fmt: skip
    if not arguments.json:
        print(f"{network.name}, recipe deep-compression, the file that ships: {count(model.file_bytes or 0)} bytes "
              f"with header and biases (paper {network.size})")  # fmt: skip
        _print_rows(network, rows)
        print(_error_line(model, network))
    return _document(arguments.row, network, rows, basis="shipped", file_bytes=model.file_bytes, error_pct=errors)


def _error_line(model: Model, network: PaperNetwork) -> str:
    known = model.accuracy
    ours = f"{known.error_pct:.2f} % on {known.n:,} {known.split} images" if known else "not known"
    dense = model.provenance.get("test_dense_error_pct")
    before = f"{dense:.2f}" if isinstance(dense, int | float) else "-"
    return (
        f"  error: {ours}, dense {before} %; the paper {network.error_pct:.2f} %, dense "
        f"{network.reference_error_pct:.2f} % (one standard error of 10,000 images is about 0.1)"
    )


def _print_rows(network: PaperNetwork, rows: Sequence[Comparison]) -> None:
    matched = any(row.matched is not None for row in rows)
    print(table((*HEADERS, *MATCHED_HEADERS) if matched else HEADERS, [_cells(row, matched) for row in rows]))
    print("  kept and rates in percent of the dense fp32 weights; bits per stored entry, padding included; H: after "
          "Huffman coding;\n  rates as the paper counts them, with a codebook of 2^bits fp32 entries")  # fmt: skip
    if matched:
        print("  matched: real streams of a second tensor, made to the row: density within its printed rounding, codes "
              "and zeros\n  spread so that both cost the printed bits after Huffman coding")  # fmt: skip
    spared = [(row.paper.layer, row.unused_entries, row.ours.weights) for row in rows[:-1] if row.unused_entries > 1]
    for layer, entries, weights in spared:
        if 100 * entries / weights > 1:
            print(f"  {layer}: {entries} codebook entries are not used and not in the stream: its size is "
                  f"{100 * entries / weights:.1f} points less than the rates say")  # fmt: skip
    for found in contradictions(network):
        print(f"  CONTRADICTED  {found.layer} {found.column} {found.printed}: {found.why}")


def _cells(row: Comparison, matched: bool) -> list[str]:
    ours, paper = row.ours, row.paper
    off = [row.matched_shared_off_pct, row.matched_huffman_off_pct] if matched else []
    return [
        paper.layer, count(ours.weights), f"{ours.density_pct:.1f}", paper.density_pct,
        f"{ours.code_bits:.2g}", paper.weight_bits, f"{ours.code_bits_huffman:.1f}", paper.weight_bits_huffman,
        f"{ours.index_bits:.2g}", paper.index_bits, f"{ours.index_bits_huffman:.1f}", paper.index_bits_huffman,
        f"{row.shared_pct:.2f}", paper.rate_shared_pct, f"{row.shared_off_pct:+.1f} %",
        f"{row.huffman_pct:.2f}", paper.rate_huffman_pct, f"{row.huffman_off_pct:+.1f} %",
        *("-" if value is None else f"{value:+.1f} %" for value in off),
    ]  # fmt: skip


def _reader(network: PaperNetwork, arguments: argparse.Namespace) -> tuple[str, Callable[[str], np.ndarray]]:
    """(what the weights are, a function that gives a layer's)."""
    if not arguments.weights:
        graph = build_network(network.name)
        names = weight_names(graph)
        return (
            f"SYNTHETIC weights ({FAMILY}, seed {arguments.seed})",
            lambda layer: synthetic_layer(graph.parameters[names[layer]].shape, layer, arguments.seed),
        )
    known = _with_file(network, arguments.weights)
    mine = weight_names(known)
    return f"weights of {arguments.weights} ({known.name})", lambda layer: known_values(known, mine[layer])


def _with_file(network: PaperNetwork, path: str) -> Graph:
    """The network that the file's shapes fit."""
    candidates = CANDIDATES.get(network.name, (network.name,))
    for name in candidates:
        try:
            return load_model(name, weights=path).graph
        except InputError:
            if name == candidates[-1]:
                raise
    raise InputError("--weights", path, f"weights of {' or '.join(candidates)}")


def _computed(network: PaperNetwork, arguments: argparse.Namespace) -> dict[str, Any]:
    from .progress import StageBar
    basis, read = _reader(network, arguments)
    bar = StageBar()
    done: list[str] = []

    def tell(layer: str) -> None:
        done.append(layer)
        bar(arguments.row, len(done), len(network.layers))

    try:
        matched = [] if arguments.weights else _matched(network, arguments.seed)
        rows = compare(network, list(figures_of_weights(network, read, tell)), matched)
    finally:
        bar.close()
        sys.stderr.flush()
    if not arguments.json:
        print(f"{network.name}: {basis}, pruned to the printed densities and shared to the printed bits, no training")
        _print_rows(network, rows)
        _print_tally(rows)
    return _document(arguments.row, network, rows, basis=basis, tally=tally(rows), error_pct=None)


def _matched(network: PaperNetwork, seed: int) -> list[LayerFigures]:
    from .models.literature.matched import matched_layer
    graph = build_network(network.name)
    names = weight_names(graph)
    tensors = ((row, matched_layer(row, graph.parameters[names[row.layer]].shape, seed)) for row in network.layers)
    return [layer_figures(row.layer, tensor, int(row.index_bits)) for row, tensor in tensors]


def _print_tally(rows: Sequence[Comparison]) -> None:
    found = tally(rows)
    layers = found["layers"]
    print(f"  within {NEAR_PCT:g} % of the printed rate: P+Q {found['shared_within_5_pct']} of {layers} layers, P+Q+H "
          f"{found['huffman_within_5_pct']}")  # fmt: skip
    if "matched_shared_within_5_pct" in found:
        print(f"  matched to the printed bits: P+Q {found['matched_shared_within_5_pct']} of {layers} layers, P+Q+H "
              f"{found['matched_huffman_within_5_pct']}")  # fmt: skip
    for row in rows[:-1]:
        for reason in row.reasons():
            print(f"  {row.paper.layer}: {reason}")
