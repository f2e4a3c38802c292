"""Rows whose results ship as CSV, and what measures them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .experiments import EXPERIMENTS
from .lab import Lab
from .questions import IMAGES, equal_bytes, output_error, rethinking
from .results import read_results, run_rows

__all__ = ["RUNS", "Run", "rerun"]

Row = dict[str, Any]
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Run:
    """One experiment: its networks and seeds, and the split on which its rows are measured."""

    rows: Callable[[Lab, Callable[[Row], bool]], Iterator[Row]]
    networks: tuple[str, ...]
    seeds: tuple[int, ...] = SEEDS
    split: str = "test"
    n: int = 10_000


RUNS: Mapping[str, tuple[Run, ...]] = {
    **{name: (Run(rows, networks),) for name, (networks, rows) in EXPERIMENTS.items()},
    "rethinking": (Run(rethinking, ("lenet-300-100", "lenet-5")),),
    "theory": (
        Run(output_error, ("lenet-300-100", "lenet-5"), (0,), "validation", IMAGES),
        Run(equal_bytes, ("lenet-300-100",)),
    ),
}


def rerun(name: str, folder: Path, done: Callable[[str, int], None] = lambda run, rows: None) -> list[Row]:
    """Measure what is missing of an experiment in `folder`, one row at a time, and return all its rows.

    `folder` keeps the rows (NAME.csv) and the dense networks: the same call goes on after an interruption. `done`
    hears which network and seed is at work, and how many rows it gave. Needs the extras [train] and [run].
    """
    file = folder / f"{name}.csv"
    for run in RUNS[name]:
        about = {"dataset": "mnist", "n": run.n, "split": run.split, "status": "measured",
                 "source": f"picojoule paper {name} --rerun DIR"}  # fmt: skip
        for network in run.networks:
            for seed in run.seeds:
                lab = Lab(network, seed, folder)
                rows = run_rows(file, lambda todo, lab=lab, run=run: run.rows(lab, todo), about)
                for count, _ in enumerate(rows, 1):
                    done(f"{network}, seed {seed}", count)
    return read_results(file)
