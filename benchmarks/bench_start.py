"""How long the command line takes to answer from a standing start."""

from __future__ import annotations

from .harness import Row, time_command

ESTIMATE = ("estimate", "lenet-300-100@deep-compression", "--target", "eie", "--json")


def bench_version() -> list[Row]:
    timing = time_command(["-m", "picojoule", "--version"])
    return [Row("picojoule --version", timing.cpu_s, "CPU s", "< 0.3")]


def bench_estimate() -> list[Row]:
    timing = time_command(["-m", "picojoule", *ESTIMATE], expect='"energy_pj"')
    return [Row(f"picojoule {' '.join(ESTIMATE[:4])}", timing.cpu_s, "CPU s", "< 1")]


def bench_demo() -> list[Row]:
    """One run: it is a minute at most, and a user runs it once."""
    timing = time_command(["-m", "picojoule", "demo"], runs=1, warm_up=False)
    return [
        Row("picojoule demo", timing.wall_s, "wall s", "< 60"),
        Row("picojoule demo", timing.cpu_s, "CPU s", "< 60"),
    ]
