"""Run all benchmarks, or those whose name contains a word: `python -m benchmarks [--list] [WORD ...]`."""

from __future__ import annotations

import argparse
import platform
import sys

from .harness import BenchmarkError, Row, find_benchmarks, table


def main(arguments: list[str]) -> int:
    """Exit code 0 when every benchmark ran, 1 when one failed. A missed aim is shown, and is no failure."""
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure what should stay fast.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="run the benchmarks whose name contains it")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and stop")
    options = parser.parse_args(arguments)
    benchmarks = find_benchmarks(options.words)
    if not benchmarks:
        parser.error(f"no benchmark is named like {' or '.join(options.words)}; --list names them")
    if options.list:
        print("\n".join(benchmarks))
        return 0
    rows: list[Row] = []
    failures = []
    for name, run in benchmarks.items():
        print(f"{name} ...", file=sys.stderr)
        try:
            rows += run()
        except BenchmarkError as error:
            failures.append(f"{name} failed: {error}")
    print(f"Python {platform.python_version()} on {platform.machine()}; CPU s: user + system, the median")
    print(table(rows))
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
