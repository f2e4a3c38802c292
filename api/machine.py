"""`picojoule calibrate` and `measure`: this machine, or one measured elsewhere, as a target."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from .commands import parse_shapes, print_json
from .files import StageBar, check_output
from .models.errors import InputError
from .models.files import write_atomic
from .simulator.calibrate.corrections import Observation, fit_corrections, interval_of, leave_one_out, predict
from .simulator.calibrate.write import target_toml
from .simulator.target import load_target, target_name_for
from .simulator.target_processor import ProcessorTarget
from .text import energy, latency, table

__all__ = ["calibrate", "measure"]

MOST_THREADS = 1024


def calibrate(arguments: argparse.Namespace) -> None:
    """Write a target: from a user's CSV, from a GPU, or from this machine."""
    check_output(arguments.output)
    if not arguments.output.endswith(".toml"):
        raise InputError("-o", arguments.output, "a file ending in .toml", "for example -o my_machine.toml")
    if arguments.measured and arguments.gpu:
        raise InputError("--from", "--gpu beside it", "one of them", "leave one out")
    if arguments.measured:
        _from_file(arguments)
    elif arguments.target:
        raise InputError("--target", arguments.target, "--from FILE.csv beside it", "measurements of that target")
    elif arguments.gpu:
        _gpu(arguments)
    else:
        _machine(arguments)


def _threads(arguments: argparse.Namespace) -> int:
    if not 1 <= arguments.threads <= MOST_THREADS:
        raise InputError("--threads", arguments.threads, f"a whole number from 1 to {MOST_THREADS}")
    return arguments.threads


def _machine(arguments: argparse.Namespace) -> None:
    from .simulator.calibrate.machine import calibrate_machine

    with closing(StageBar()) as bar:
        target = calibrate_machine(threads=_threads(arguments), name=target_name_for(arguments.output),
                                   progress=lambda what, done, total: bar("calibrate", done, total))  # fmt: skip
    write_atomic(arguments.output, target_toml(target, "Measured by picojoule calibrate."))
    _say(target, arguments)


def _gpu(arguments: argparse.Namespace) -> None:
    from .simulator.calibrate.gpu import NOT_ON_SILICON, calibrate_gpu, gpu_csv
    from .simulator.calibrate.gpu_torch import TorchDevice

    with closing(StageBar()) as bar:
        target, rows = calibrate_gpu(TorchDevice(), name=target_name_for(arguments.output),
                                     progress=lambda what, done, total: bar("calibrate", done, total))  # fmt: skip
    beside = str(Path(arguments.output).with_suffix(".csv"))
    write_atomic(beside, gpu_csv(rows))
    write_atomic(arguments.output, target_toml(target, f"Measured by picojoule calibrate --gpu.\n{NOT_ON_SILICON}"))
    _say(target, arguments, measurements=beside)


def _say(target: ProcessorTarget, arguments: argparse.Namespace, **more: object) -> None:
    powered = target.idle_w.status == "measured"
    document = {
        "schema": 1, "target": target.name, "file": arguments.output, "title": target.title,
        "quality": target.quality, "busy": target.busy_share, "energy_measured": powered, **more,
        "peak_macs_per_s": {name: constant.value for name, constant in target.peak_macs_per_s.items()},
        "bandwidth_bits_per_s": {
            memory.name: memory.bandwidth_bits_per_s.value for memory in target.memories if memory.bandwidth_bits_per_s
        },
        "corrections": {name: constant.value for name, constant in target.corrections.items()},
    }  # fmt: skip
    if arguments.json:
        print_json(document)
        return
    rows = [(f"peak {name}", f"{value / 1e9:,.1f} GMAC/s") for name, value in document["peak_macs_per_s"].items()]
    rows += [(f"read {name}", f"{value / 8e9:,.1f} GB/s") for name, value in document["bandwidth_bits_per_s"].items()]
    rows += [(f"x {name}", f"{value:.2f}") for name, value in document["corrections"].items()]
    print(f"{arguments.output}: {target.title}\n{table(['measured', 'value'], rows)}")
    modelled = "modelled from assumed power; no energy counter could be read"
    print(f"  energy: {'from a counter' if powered else modelled}")
    for note in target.notes:
        print(f"  {note}")


def _from_file(arguments: argparse.Namespace) -> None:
    from .simulator.calibrate.measured import read_measured

    if not arguments.target:
        raise InputError("--from", "no --target", "the target that was measured", "for example --target raspberry-pi-4")
    target = load_target(arguments.target)
    if not isinstance(target, ProcessorTarget):
        raise InputError("--target", arguments.target, "a processor: only those have correction factors",
                         "see: picojoule targets")  # fmt: skip
    rows = read_measured(arguments.measured)
    fit = fit_corrections(target, rows)
    left_out = leave_one_out(target, rows) if len(rows) > 1 else []
    fitted = msgspec.structs.replace(fit.target, name=target_name_for(arguments.output), aliases=(),
                                     interval=interval_of(rows, left_out) if left_out else None)  # fmt: skip
    write_atomic(arguments.output, target_toml(fitted, f"{target.title}, fitted to {Path(arguments.measured).name}."))
    _print_fit(target, fit.factors, rows, left_out, arguments)


def _print_fit(
    target: ProcessorTarget, factors: dict[str, float], rows: list[Observation], left_out: list[tuple[float, float]],
    arguments: argparse.Namespace,
) -> None:  # fmt: skip
    """Errors before and after, each row predicted by a fit that did not see it."""
    cases: list[dict[str, Any]] = []
    for place, row in enumerate(rows):
        before = predict(target, row)
        for which, (metric, value) in enumerate((("latency_s", row.latency_s), ("energy_pj", row.energy_pj))):
            if value:
                after = left_out[place][which] if left_out else None
                cases.append({"case": row.case, "metric": metric, "measured": value, "before": before[which],
                              "error_before": _error(before[which], value), "left_out": after,
                              "error_left_out": None if after is None else _error(after, value)})  # fmt: skip
    document = {"schema": 1, "target": target.name, "file": arguments.output, "n": len(rows), "factors": factors,
                "rows": cases}  # fmt: skip
    if arguments.json:
        print_json(document)
        return
    show = {"latency_s": latency, "energy_pj": energy}
    lines = [
        (c["case"], show[c["metric"]](c["measured"]), show[c["metric"]](c["before"]), f"{c['error_before']:.0%}",
         show[c["metric"]](c["left_out"]), "-" if c["error_left_out"] is None else f"{c['error_left_out']:.0%}")
        for c in cases
    ]  # fmt: skip
    print(table(["case", "measured", "before", "error", "left out", "error"], lines))
    print(f"  {arguments.output}: " + ", ".join(f"{name} x {value:.2f}" for name, value in sorted(factors.items())))


def _error(predicted: float, measured: float) -> float:
    return max(predicted / measured, measured / predicted) - 1


def _percent(predicted: float | None, measured: float | None) -> str:
    return f"{_error(predicted, measured):.0%}" if predicted and measured else "-"


def measure(arguments: argparse.Namespace) -> None:
    """Run the real network here and print predicted beside measured."""
    from .simulator.calibrate.measure import measure_model

    found = measure_model(arguments.model, load_target(arguments.target), threads=_threads(arguments),
                          batch=arguments.batch, shapes=parse_shapes(arguments.shape))  # fmt: skip
    if arguments.json:
        print_json(found.document())
        return
    print(f"{found.model}, batch {found.batch}, {found.threads} thread{'s' * (found.threads > 1)}, on {found.machine}")
    metrics = (
        ("latency", latency, found.measured_s, found.predicted_s),
        ("energy", energy, found.measured_pj, found.predicted_pj),
    )
    rows = [(name, show(here), show(there), _percent(there, here)) for name, show, here, there in metrics]
    print(table(["metric", "measured here", f"predicted for {found.target}", "error"], rows))
    for line in found.warnings:
        print(f"picojoule: {line}", file=sys.stderr)
