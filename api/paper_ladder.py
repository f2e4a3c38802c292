"""`picojoule paper ladder`: what each step of Deep Compression leaves of every network, and bytes by method."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from . import __version__
from .commands import print_json
from .models.errors import InputError, MissingExtraError
from .models.literature.ladder import LADDER_NETWORKS, METHODS_BELOW, NetworkLadder, network_ladder
from .models.zoo import network_names
from .progress import StageBar
from .text import count, table

__all__ = ["print_ladder"]

STEPS = ("dense", "pruned", "shared", "Huffman")


def print_ladder(arguments: argparse.Namespace) -> None:
    """Ladders of the networks named ("all": every one by name), or of the usual ones."""
    names = list(network_names()) if arguments.networks == ["all"] else arguments.networks or list(LADDER_NETWORKS)
    if arguments.weights and len(names) != 1:
        raise InputError("--weights", f"{len(names)} networks", "one network", "paper ladder NETWORK")
    found = [one for name in names if (one := _ladder(name, arguments)) is not None]
    if arguments.json:
        print_json({"schema": 1, "version": __version__, "row": "ladder", "networks": [_record(one) for one in found]})
        return
    _print_steps(found)
    _print_methods([one for one in found if len(one.methods) > len(STEPS)])


def _ladder(name: str, arguments: argparse.Namespace) -> NetworkLadder | None:
    bar, done = StageBar(), [0]

    def tell(layer: str, layers: int) -> None:
        done[0] += 1
        bar(layer, done[0], layers)

    try:
        return network_ladder(
            name, density=arguments.density, bits=arguments.bits, seed=arguments.seed, weights=arguments.weights,
            done=tell,
        )  # fmt: skip
    except MissingExtraError as error:
        if name in arguments.networks:
            raise
        print(f"picojoule: left out: {error}", file=sys.stderr)
        return None
    finally:
        bar.close()


def _record(one: NetworkLadder) -> dict[str, Any]:
    return {
        "network": one.network, "basis": one.basis, "weights": one.weights, "nonzeros": one.nonzeros,
        "weight_density": one.nonzeros / one.weights,
        "steps_bytes": dict(one.steps), "methods_bytes": dict(one.methods), "weight_error": one.weight_error,
    }  # fmt: skip


def _print_steps(found: Sequence[NetworkLadder]) -> None:
    rows = []
    for one in found:
        dense = one.steps["dense"]
        sizes = [f"{count(one.steps[step])} ({dense / one.steps[step]:.3g}x)" for step in STEPS[1:]]
        kept = f"{100 * one.nonzeros / one.weights:.1f} %"
        lost = "-" if one.weight_error is None else f"{one.weight_error:.2f}"
        rows.append([one.network, count(dense), kept, *sizes, lost, "synthetic" if "SYNTH" in one.basis else "real"])
    print(table(["network", "dense, bytes", "kept", *STEPS[1:], "lost", "weights"], rows))
    print(
        "  all parameters, biases and scales in fp32; pruned: fp32 values and relative indices; Huffman: codes, gaps,\n"
        "  tables and codebooks as they are in a .pico file, without its header; lost: squared error over squared\n"
        "  weights (no training: what it does to accuracy is not known here)"
    )


def _print_methods(found: Sequence[NetworkLadder]) -> None:
    if not found:
        return
    names = list(dict.fromkeys(method for one in found for method in one.methods))
    rows = []
    for method in names:
        sizes = [one.methods.get(method) for one in found]
        if any(size is not None for size in sizes):
            rows.append([method, *("-" if size is None else count(size) for size in sizes)])
    print(f"\nbytes by method (networks below {METHODS_BELOW / 1e6:.0f} M weights)")
    print(table(["method", *(one.network.replace("@deep-compression", "@d-c") for one in found)], rows))
    absent = [method for method in names if all(one.methods.get(method) is None for one in found)]
    print(f"  cannot hold these weights: {', '.join(absent)}")
