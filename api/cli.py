"""The command line: arguments in, one call each, exit codes out. See `picojoule --help`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from . import __version__, arguments
from .models.errors import PicojouleError

__all__ = ["build_parser", "main"]

INTERRUPTED = 130
RESUMED = ("compress", "explore")  # they keep what they did

COMMANDS: dict[str, tuple[str, str, Callable[[argparse.ArgumentParser], None]]] = {
    "demo": ("what picojoule does, on what ships with it", ".demo", arguments.demo),
    "networks": ("networks and shipped weights by name", ".commands", arguments.as_json),
    "targets": ("hardware by name, or a template for your own", ".commands", arguments.targets),
    "estimate": ("energy, latency, traffic and size on hardware", ".commands", arguments.estimate),
    "explain": ("every term of an estimate, with formulas and sources", ".commands", arguments.explain),
    "check": ("exit with 3 when a budget is exceeded", ".commands", arguments.check),
    "compress": ("train, prune, share and encode for real", ".files", arguments.compress),
    "inspect": ("what is in a file, byte by byte", ".files", arguments.inspect),
    "export": ("write decoded weights as ONNX, safetensors or npz", ".files", arguments.export),
    "validate": ("predicted beside measured", ".commands", arguments.validate),
    "map": ("the best mapping of each layer on an accelerator, proven", ".mapping", arguments.map_layers),
    "explore": ("bits x density x format x hardware, and the Pareto front", ".study", arguments.explore),
    "front": ("the Pareto front of an exploration", ".study", arguments.front),
    "best": ("the design of least energy within limits", ".study", arguments.best),
    "report": ("a report to send", ".study", arguments.report),
    "paper": ("rows of the literature: printed tables beside ours", ".paper", arguments.paper),
    "calibrate": ("describe this machine, or a measured one, as a target", ".machine", arguments.calibrate),
    "measure": ("run a network here, predicted beside measured", ".machine", arguments.measure),
    "dashboard": ("the explorer in the browser", ".study", arguments.dashboard),
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


def _join_options(given: argparse.Namespace) -> None:
    """--phase and --context become part of the MODEL string, which says the same in Python."""
    chosen = {name: getattr(given, name, None) for name in ("phase", "context")}
    settings = [f"{name}={value}" for name, value in chosen.items() if value is not None]
    if settings:
        given.model = f"{given.model}:{','.join(settings)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 1 wrong input, 2 usage, 3 over budget, 130 interrupted)."""
    command = ""
    try:
        given = build_parser().parse_args(argv)
        command = given.command
        _join_options(given)
        module = import_module(COMMANDS[given.command][1], __package__)
        code = int(getattr(module, given.command)(given) or 0)
        sys.stdout.flush()
        return code
    except PicojouleError as error:
        print(f"picojoule: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        kept = "; what is done is kept: the same command goes on from there" if command in RESUMED else ""
        print(f"picojoule: interrupted{kept}", file=sys.stderr)
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
