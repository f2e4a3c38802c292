"""Idle and busy watts of this machine from its energy counters, where they may be read."""

from __future__ import annotations

import time

import numpy as np

from .counters import RaplCounter, find_counter

__all__ = ["measured_power_w"]

IDLE_S, BUSY_S = 1.0, 2.0
SIDE = 512


def measured_power_w(counter: RaplCounter | None = None, *, tiny: bool = False) -> tuple[float, float] | None:
    """(idle, busy) watts of the processor packages; None without a counter, or where it did not move.

    Idle is a pause, busy a run of matrix products on the libraries' own threads; both count whatever else ran.
    """
    counter = counter or find_counter()
    if counter is None:
        return None
    matrix = np.ones((SIDE, SIDE), np.float32)
    watts = []
    for seconds, work in ((IDLE_S, False), (BUSY_S, True)):
        before, began = counter.read_uj(), time.perf_counter()
        while time.perf_counter() - began < (0.02 if tiny else seconds):
            if work:
                np.matmul(matrix, matrix)
            else:
                time.sleep(0.01)
        watts.append(counter.joules(before, counter.read_uj()) / (time.perf_counter() - began))
    idle, busy = watts
    return (idle, max(idle, busy)) if idle > 0 else None
