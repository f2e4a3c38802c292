"""Timing on a machine that others use too: the minimum of CPU time, and how busy the clock was with us."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["LOW_QUALITY_BUSY", "Timing", "time_call"]

LOW_QUALITY_BUSY = 0.8  # below this share of the wall clock, others had the processor too
SAMPLE_S = 2e-3  # shorter calls are repeated until a sample takes about this long


@dataclass(frozen=True)
class Timing:
    """`seconds` of one call: the least CPU time over `samples`, over `threads`. `busy` = CPU time / wall time."""

    seconds: float
    busy: float
    samples: int
    threads: int = 1


def time_call(call: Callable[[], object], *, budget_s: float = 0.3, threads: int = 1, samples: int = 3) -> Timing:
    """Call until `budget_s` of wall time and at least `samples` samples have gone.

    seconds = min over samples of (CPU time of all threads / (calls x threads))

    CPU time leaves out what other processes took, the minimum leaves out the interrupts and cold caches
    that CPU time still holds. With several threads it supposes that they share the work evenly.

    >>> time_call(lambda: sum(range(1000)), budget_s=0.01).seconds > 0
    True
    """
    call()  # caches, lazy initialisation
    started = time.perf_counter()
    call()
    calls = max(1, round(SAMPLE_S / max(1e-9, time.perf_counter() - started)))
    least, cpu_total, taken = float("inf"), 0.0, 0
    began = time.perf_counter()
    while taken < samples or time.perf_counter() - began < budget_s:
        cpu = time.process_time()
        for _ in range(calls):
            call()
        cpu = time.process_time() - cpu
        least, cpu_total, taken = min(least, cpu), cpu_total + cpu, taken + 1
    busy = min(1.0, cpu_total / (max(1e-9, time.perf_counter() - began) * threads))
    return Timing(max(least, 1e-9) / (calls * threads), busy, taken, threads)
