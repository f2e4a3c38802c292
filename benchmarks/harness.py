"""Rows, medians of CPU seconds, and one plain table.

A benchmark is a function `bench_NAME() -> list[Row]` in a file `bench_*.py` beside this one; it is found by
its name. CPU seconds, not wall seconds, because other work on the machine moves the wall clock.
"""

from __future__ import annotations

import importlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BenchmarkError", "Row", "Timing", "find_benchmarks", "table", "time_call", "time_command"]


@dataclass(frozen=True)
class Row:
    """One figure. `aim` is "< 1" or "> 1e6" in the row's unit, or empty where there is none."""

    name: str
    figure: float
    unit: str
    aim: str = ""

    @property
    def verdict(self) -> str:
        """
        >>> Row("start", 0.4, "CPU s", "< 1").verdict
        'met'
        """
        if not self.aim:
            return ""
        sign, bound = self.aim.split()
        met = self.figure < float(bound) if sign == "<" else self.figure > float(bound)
        return "met" if met else "MISSED"


@dataclass(frozen=True)
class Timing:
    """Medians over runs."""

    cpu_s: float
    wall_s: float
    runs: int


class BenchmarkError(Exception):
    """A command that was to be timed did not do its work."""


def cpu_seconds() -> float:
    """User and system time so far of this process and of the children it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def median_timing(run: Callable[[], None], runs: int, warm_up: bool) -> Timing:
    if warm_up:
        run()
    cpu, wall = [], []
    for _ in range(runs):
        before, start = cpu_seconds(), time.perf_counter()
        run()
        wall.append(time.perf_counter() - start)
        cpu.append(cpu_seconds() - before)
    return Timing(statistics.median(cpu), statistics.median(wall), runs)


def time_call(function: Callable[[], object], runs: int = 5, warm_up: bool = True) -> Timing:
    """Time a function in this process."""
    return median_timing(lambda: void(function()), runs, warm_up)


def void(_: object) -> None:
    """Drop a result."""


def time_command(arguments: Sequence[str], expect: str = "", runs: int = 5, warm_up: bool = True) -> Timing:
    """Time `python ARGUMENTS...`, each run in an empty folder. The warm-up writes the bytecode files.

    `expect` must stand in what the command prints, so that a quick wrong answer is not taken for a fast one.
    """

    def run() -> None:
        with tempfile.TemporaryDirectory(prefix="picojoule-bench-") as folder:
            done = subprocess.run(
                [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
            )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["nothing on standard error"]
            raise BenchmarkError(f"{' '.join(arguments)}: exit code {done.returncode}: {lines[-1]}")
        if expect not in done.stdout:
            raise BenchmarkError(f"{' '.join(arguments)}: {expect} is missing from what it printed")

    return median_timing(run, runs, warm_up)


def find_benchmarks(words: Sequence[str] = ()) -> dict[str, Callable[[], list[Row]]]:
    """All benchmarks by name, or those whose name contains one of the words."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        module = importlib.import_module(f"{__package__}.{path.stem}")
        for name, value in vars(module).items():
            if name.startswith("bench_") and getattr(value, "__module__", None) == module.__name__:
                found[name.removeprefix("bench_")] = value
    return {name: run for name, run in found.items() if not words or any(word in name for word in words)}


def table(rows: Sequence[Row]) -> str:
    """
    >>> print(table([Row("start", 0.4, "CPU s", "< 1")]))
    name   figure  unit   aim
    start     0.4  CPU s  < 1  met
    """
    cells = [("name", "figure", "unit", "aim", "")]
    cells += [(row.name, f"{row.figure:.3g}", row.unit, row.aim, row.verdict) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    lines = []
    for name, figure, *rest in cells:
        padded = [name.ljust(widths[0]), figure.rjust(widths[1])]
        padded += [text.ljust(width) for text, width in zip(rest, widths[2:], strict=True)]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)
