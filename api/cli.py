"""The command line: arguments in, one call each, exit codes out. See `picojoule --help`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from . import __version__
from .models.errors import InputError, PicojouleError

__all__ = ["build_parser", "main"]

INTERRUPTED = 130
ENERGY = ("low", "default", "high")


def _model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="a network's name, a .onnx, .tflite or .pico file, or gemm:M=..,N=..,K=.."
    )


def _network_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=1x3x224x224", help="of an ONNX input")
    parser.add_argument("--weights", metavar="FILE", help="weights for the network: .safetensors, .npz or a state dict")
    parser.add_argument("--data", metavar="FILE.npz", help="inputs to measure activation densities on ([run])")
    parser.add_argument("--phase", choices=("prefill", "decode"), help="of a decoder, such as gpt2")
    parser.add_argument("--context", type=_whole, metavar="N", help="tokens of a transformer")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")


def _costing(parser: argparse.ArgumentParser, *, target_required: bool = True) -> None:
    _model(parser)
    parser.add_argument("--target", metavar="T[,T2]", required=target_required, help="shipped names or .toml files")
    parser.add_argument("--batch", type=_whole, default=1, metavar="N", help="inferences at once (default 1)")
    parser.add_argument("--layer", metavar="L", help="only this layer")
    parser.add_argument("--bits", metavar="W[:A]", help="bits of weights and activations")
    parser.add_argument("--density", type=_number, metavar="D", help="keep this fraction of each layer's weights")
    parser.add_argument("--act-density", type=_number, metavar="D", help="fraction of non-zero activations")
    parser.add_argument("--format", metavar="F", help="how weights lie in memory: dense, csr, relative5+huffman, ...")
    parser.add_argument("--energy", choices=ENERGY, default="default", help="where a source gives a range")
    parser.add_argument("--residency", choices=("warm", "cold"), default="warm", help="whether weights stay on chip")
    parser.add_argument("--strict", action="store_true", help="a layer that the target cannot run is an error")
    _network_options(parser)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError("a number on the command line", text, "a whole number", "for example 1") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError("--density", text, "a fraction above 0 and at most 1", "for example 0.1") from None


def _estimate(sub: argparse.ArgumentParser) -> None:
    _costing(sub)
    sub.add_argument("--against", metavar="MODEL2", help="print this model beside it")
    _json(sub)


def _explain(sub: argparse.ArgumentParser) -> None:
    _costing(sub)
    sub.add_argument("--metric", choices=("energy", "latency"), default="energy")
    _json(sub)


def _check(sub: argparse.ArgumentParser) -> None:
    _costing(sub)
    sub.add_argument("--max", action="append", required=True, metavar="energy=5mJ", help="energy, latency or size")
    _json(sub)


def _compress(sub: argparse.ArgumentParser) -> None:
    _model(sub)
    sub.add_argument("--recipe", metavar="FILE|NAME", help="how to compress (default: deep-compression)")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("-o", "--output", required=True, metavar="FILE.pico")


def _inspect(sub: argparse.ArgumentParser) -> None:
    _model(sub)
    _network_options(sub)
    _json(sub)


def _export(sub: argparse.ArgumentParser) -> None:
    _model(sub)
    sub.add_argument("-o", "--output", required=True, metavar="FILE.{onnx,safetensors,npz}")


def _validate(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--target", metavar="T", help="only this target")
    _json(sub)


def _targets(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("action", nargs="?", choices=("new",), help="new: write a commented template to FILE")
    sub.add_argument("file", nargs="?", metavar="FILE.toml")
    _json(sub)


def _demo(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("-o", "--output", default="report.html", metavar="FILE.html", help="where the report is written")


def _explore(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("study", metavar="MODEL|STUDY.toml", help="a model, or a file that says what to explore")
    sub.add_argument("-o", "--output", required=True, metavar="DIR")
    sub.add_argument("--target", metavar="T[,T2]", help="default: all shipped targets")
    sub.add_argument("--resume", action="store_true", help="go on with a study that was interrupted in DIR")
    sub.add_argument("--workers", type=_whole, default=1, metavar="N", help="errors measured at once (default 1)")
    _json(sub)


def _front(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("directory", metavar="DIR")
    sub.add_argument("--target", metavar="T", help="only this target")
    _json(sub)


def _best(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("directory", metavar="DIR", nargs="?", help="an exploration (default: what ships)")
    sub.add_argument("--network", metavar="NETWORK", help="only this network (default: any)")
    sub.add_argument("--target", required=True, metavar="T")
    sub.add_argument("--max-error", metavar="E", help="percent on the validation split, for example 2")
    sub.add_argument("--max-energy", metavar="5mJ")
    sub.add_argument("--max-latency", metavar="20ms")
    sub.add_argument("--max-size", metavar="1MiB", help="of the file")
    sub.add_argument("--objective", choices=("energy", "latency", "size", "error"), default="energy")
    _json(sub)


def _report(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("model", metavar="MODEL|DIR", help="a model, or a folder written by picojoule explore")
    sub.add_argument("--target", metavar="T[,T2]", help="default: all shipped targets")
    sub.add_argument("--against", metavar="MODEL2", help="what to compare with (default: the dense network)")
    sub.add_argument("-o", "--output", required=True, metavar="FILE.{html,md,csv,json}")


def _dashboard(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("directory", metavar="DIR", nargs="?", help="an exploration (default: what ships)")
    sub.add_argument("--host", default="127.0.0.1", help="the address to listen on (default 127.0.0.1)")
    sub.add_argument("--port", type=_whole, default=8050, metavar="P")


COMMANDS: dict[str, tuple[str, str, Callable[[argparse.ArgumentParser], None]]] = {
    "demo": ("what picojoule does, on what ships with it", ".demo", _demo),
    "networks": ("networks and shipped weights by name", ".commands", _json),
    "targets": ("hardware by name, or a template for your own", ".commands", _targets),
    "estimate": ("energy, latency, traffic and size on hardware", ".commands", _estimate),
    "explain": ("every term of an estimate, with formulas and sources", ".commands", _explain),
    "check": ("exit with 3 when a budget is exceeded", ".commands", _check),
    "compress": ("train, prune, share and encode for real", ".files", _compress),
    "inspect": ("what is in a file, byte by byte", ".files", _inspect),
    "export": ("write decoded weights as ONNX, safetensors or npz", ".files", _export),
    "validate": ("predicted beside measured", ".commands", _validate),
    "explore": ("bits x density x format x hardware, and the Pareto front", ".study", _explore),
    "front": ("the Pareto front of an exploration", ".study", _front),
    "best": ("the design of least energy within limits", ".study", _best),
    "report": ("a report to send", ".study", _report),
    "dashboard": ("the explorer in the browser", ".study", _dashboard),
}


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = argparse.ArgumentParser(
        prog="picojoule", description="Know the energy before you deploy.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"picojoule {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (text, _, fill) in COMMANDS.items():
        fill(commands.add_parser(name, help=text, description=text, allow_abbrev=False))
    return parser


def _join_options(arguments: argparse.Namespace) -> None:
    """--phase and --context become part of the MODEL string, which says the same in Python."""
    chosen = {name: getattr(arguments, name, None) for name in ("phase", "context")}
    given = [f"{name}={value}" for name, value in chosen.items() if value is not None]
    if given:
        arguments.model = f"{arguments.model}:{','.join(given)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 1 wrong input, 2 usage, 3 over budget, 130 interrupted)."""
    try:
        arguments = build_parser().parse_args(argv)
        _join_options(arguments)
        module = import_module(COMMANDS[arguments.command][1], __package__)
        code = int(getattr(module, arguments.command)(arguments) or 0)
        sys.stdout.flush()
        return code
    except PicojouleError as error:
        print(f"picojoule: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("picojoule: interrupted; what is done is kept: the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        print("picojoule: memory: got less than is needed, wanted more; try a smaller model or batch", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"picojoule: {error.filename or 'output'}: {error.strerror or error}; nothing was changed", file=sys.stderr
        )
        return 1
