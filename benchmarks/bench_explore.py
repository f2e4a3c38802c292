"""How fast designs are costed, once their errors are known."""

from __future__ import annotations

from .harness import Row, time_command

COUNT = "from picojoule import explore; print(len(explore('lenet-300-100@deep-compression').points))"
DESIGNS = 2865


def bench_explore() -> list[Row]:
    """A whole exploration in its own process, imports and recompression included."""
    timing = time_command(["-c", COUNT], expect=str(DESIGNS))
    return [
        Row("explore lenet-300-100, errors known", timing.cpu_s, "CPU s", "< 5"),
        Row("explore lenet-300-100, errors known", DESIGNS / timing.cpu_s, "designs per CPU s", "> 1000"),
    ]


def bench_report() -> list[Row]:
    timing = time_command(["-m", "picojoule", "report", "lenet-300-100@deep-compression", "-o", "bench_report.html"])
    return [Row("picojoule report, all targets", timing.cpu_s, "CPU s", "< 3")]
