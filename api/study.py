"""The command that sends a study on: report."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from .models.errors import OutputError
from .simulator.report import build_report, write_report
from .simulator.target import target_names
from .text import size

__all__ = ["report"]


def report(arguments: argparse.Namespace) -> None:
    """Write a report of a model on targets (default: all that ship)."""
    folder = Path(arguments.output).resolve().parent
    if not folder.is_dir():
        raise OutputError(arguments.output, "its folder does not exist", f"make it first: mkdir -p {folder.name}")
    names = [name.strip() for name in arguments.target.split(",")] if arguments.target else target_names()
    command = shlex.join(["picojoule", *sys.argv[1:]])
    write_report(build_report(arguments.model, names, against=arguments.against, command=command), arguments.output)
    print(f"{arguments.output}: {size(Path(arguments.output).stat().st_size)}")
