"""Fit every class table and every correction again, and predict each case without its own measurement.

    python -m picojoule.simulator.calibrate.refit simulator

run in a checkout, writes simulator/tables/processor_classes.toml, the corrections and intervals in simulator/targets/
and simulator/validate/out_of_fold.csv, the table that `picojoule validate` reads: two minutes. Datasheet mode leaves a
device out of its family's fit; calibrated mode fits corrections on the family's table to nine tenths of the device's
shapes or networks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...models.errors import InputError
from ..processors.timing import Table
from .cases import Cases, join, kernel_cases, network_cases
from .cases_published import eie_cases
from .classes_fit import corrected, fit_corrections, fit_table, merged, table_of
from .energies import eie_energy_rows, power_shares, tiny_energy_rows
from .families import FAMILIES, Family, family_cases
from .records import Record, records_of
from .ship import ship

__all__ = ["Fitted", "calibrated", "datasheet", "fit_family", "fitted_rows", "main"]

Array = NDArray[np.float64]
FOLDS = 10
CORRECTED = (
    "gemm", "gemv", "conv", "conv_first", "conv_pointwise", "conv_depthwise", "attention", "elementwise",
    "normalization", "pooling", "csr_mv", "csr_mm", "overhead",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Fitted:
    """A family's fit: values in the order of its unknowns, and the Table they make."""

    family: Family
    values: Array
    table: Table


def fit_family(name: str, without: str = "", start: Array | None = None, shape: str = "") -> Fitted:
    """The fit of one family; `without` leaves a device out, whatever its runtime, `shape` a layer of EIE's Table IV."""
    family, cases = FAMILIES[name], merged(family_cases(name))
    keep = np.array([
        label.device != without and not (label.fold == shape and label.dataset.startswith("eie"))
        for label in cases.labels
    ])  # fmt: skip
    nuisances = [pair for pair in family.nuisances if pair[0] != without]
    values = fit_table(cases.select(keep), family.unknowns, family.fixed, start, nuisances=nuisances)
    return Fitted(family, values, table_of(family.unknowns, values, family.fixed))


def datasheet(name: str, cases: Cases, whole: Fitted) -> Array:
    """Seconds of every case, its device left out of the fit where it was in."""
    devices = np.array([label.device for label in cases.labels])
    fitted = {label.device for label in family_cases(name).labels}
    out = np.zeros(len(devices))
    for device in sorted(set(devices)):
        found = fit_family(name, device, whole.values) if device in fitted else whole
        own = devices == device
        out[own] = cases.select(own).seconds(found.table)
    return out


def _names(cases: Cases) -> tuple[str, ...]:
    """Corrections that these cases can say something about."""
    from ..target_processor import CLASSES

    seen = {CLASSES[place] for place in np.unique(cases.shapes.place)}
    if cases.passes.any():
        seen.add("elementwise")
    return tuple(name for name in CORRECTED if name in seen or name == "overhead")


def folds_of(labels: Iterable[str], folds: int = FOLDS) -> NDArray[np.intp]:
    """A fold for each label, equal labels in one: sorted, then dealt out in turn.

    >>> folds_of(["b", "a", "b", "c"], 2).tolist()
    [1, 0, 1, 0]
    """
    labels = list(labels)
    place = {label: turn % folds for turn, label in enumerate(sorted(set(labels)))}
    return np.array([place[label] for label in labels])


def calibrated(
    cases: Cases, table: Table, folds: int = FOLDS, spread: float = 2.0, tables: Mapping[str, Table] | None = None
) -> tuple[dict[str, float], Array]:
    """(corrections from all cases of one target, seconds with each case's fold left out of them).

    `tables` holds the family's table fitted without a fold, by its label, where folds are single labels.
    """
    target = cases.labels[0].target
    pairs = [(target, name) for name in _names(cases)]
    few = merged(cases)
    place = folds_of([label.fold for label in cases.labels], folds)
    by_label = dict(zip((label.fold for label in cases.labels), place, strict=True))
    few_place = np.array([by_label[label.fold] for label in few.labels])
    out = np.zeros(len(cases.labels))
    for fold in np.unique(place):
        own = cases.select(place == fold)
        unseen = tables[own.labels[0].fold] if tables else table
        values = fit_corrections(few.select(few_place != fold), unseen, pairs, spread)
        out[place == fold] = own.seconds(corrected(unseen, own, pairs, values))
    whole = fit_corrections(few, table, pairs, spread)
    return {name: float(value) for (_, name), value in zip(pairs, whole, strict=True)}, out


def _by(cases: Cases, **wanted: str) -> Cases:
    return cases.select(np.array([all(getattr(x, k) == v for k, v in wanted.items()) for x in cases.labels]))


def run() -> tuple[dict[str, Fitted], dict[str, dict[str, float]], list[Record]]:
    """(fits by family, corrections by target, all out-of-fold predictions)."""
    fits = {name: fit_family(name) for name in FAMILIES}
    records: list[Record] = []
    corrections: dict[str, dict[str, float]] = {}
    everything = join([kernel_cases(), network_cases()])
    ran = np.array(["no cuDNN" not in label.case for label in everything.labels])
    everything = everything.select(ran)
    families = {t: n for n, f in FAMILIES.items() for t in f.targets} | {"xeon-e5-2630v3": "cpu"}
    for target in sorted({label.target for label in everything.labels}):
        own, name = _by(everything, target=target), families[target]
        records += records_of(own, datasheet(name, own, fits[name]), "datasheet", "leave one device out")
        for dataset in sorted({label.dataset for label in own.labels}):
            for part in _by_precision(_by(own, dataset=dataset)):
                found, seconds = calibrated(part, fits[name].table)
                kind = "network" if dataset in ("timm", "jcjohnson", "tflite") else "shape"
                records += records_of(part, seconds, "calibrated", f"leave one {kind} out, in ten folds")
                corrections.setdefault(target, {}).update(found)
    eie = eie_cases()
    shapes = sorted({label.fold for label in eie.labels})
    unseen = {
        name: {shape: fit_family(name, shape=shape, start=fits[name].values).table for shape in shapes}
        for name in ("cpu", "gpu")
    }
    for target in sorted({label.target for label in eie.labels}):
        own, name = _by(eie, target=target), families[target]
        found, seconds = calibrated(own, fits[name].table, len(shapes), 8.0, unseen[name])
        corrections[target] = found
        records += records_of(own, seconds, "calibrated", "leave one shape out", per_batch=True)
    tiny = family_cases("mcu")
    seconds = datasheet("mcu", tiny, fits["mcu"])
    records += records_of(tiny, seconds, "datasheet", "leave one board out")
    records += eie_energy_rows(eie, records) + tiny_energy_rows(tiny, seconds)
    return fits, corrections, records


def _by_precision(cases: Cases) -> list[Cases]:
    """Apart by precision: another peak is another runtime. Networks stay together."""
    if cases.labels[0].dataset != "deepbench":
        return [cases]
    kinds = np.array([label.case.split()[1] for label in cases.labels])
    return [cases.select(kinds == kind) for kind in sorted(set(kinds))]


def _line(name: str, value: float, source: str, status: str, note: str = "") -> str:
    tail = f', note = "{note}"' if note else ""
    return f'{name} = {{ value = {value:.4g}, source = "{source}", status = "{status}"{tail} }}'


def table_text(fits: Mapping[str, Fitted]) -> str:
    """processor_classes.toml."""
    lines = [
        "# What each family of processors makes of its peak and bandwidth, by kernel class. Written by",
        "# python -m picojoule.simulator.calibrate.refit; see simulator/calibrate/families.py for guesses and bounds.",
        "schema = 1", "", "[sources]",
        'fit = "picojoule fit over many devices to published times, see simulator/calibrate/refit.py"',
        'guess = "held near a first guess: no published time that ships determines it"',
        'power = "shares of rated power, medians over published powers (Deep Compression, Table 9; MLPerf Tiny)"',
        'horowitz = "Horowitz, ISSCC 2014, Fig. 1.1.9 at 45 nm: 4.6 pJ per fp32 multiply and add, by bits"',
        'symbols = "about 10 cycles a symbol on one core"',
    ]  # fmt: skip
    shares = power_shares()
    for name in ("cpu", "gpu", "mobile", "mcu", "npu"):
        fitted = fits["mcu" if name == "npu" else name]
        family, source, status = (
            fitted.family,
            "guess" if name == "npu" else "fit",
            "assumed" if name == "npu" else "derived",
        )
        for field in ("efficiency", "bandwidth"):
            lines += ["", f"[{name}.{field}]"]
            for unknown, value in zip(family.unknowns, fitted.values, strict=True):
                if unknown.field == field:
                    tight = unknown.spread < 1.3
                    lines += [
                        _line(n, value, "guess" if tight else source, "assumed" if tight else status)
                        for n in unknown.names
                    ]
        lines += ["", f"[{name}.power]"]
        lines += [_line(n, v, "power", "derived") for n, v in {**family.power, **shares.get(name, {})}.items()]
        lines += ["", f"[{name}.parameters]"]
        for unknown, value in zip(family.unknowns, fitted.values, strict=True):
            if unknown.field == "parameters":
                lines += [_line(n, value, source, status) for n in unknown.names]
        lines += [_line(n, max(v, 1e-9), "guess", "assumed") for n, v in family.fixed.items()]
        lines += [_line("mac_energy_pj_per_bit", 0.14375, "horowitz", "assumed")]
        lines += [_line("decode_s_per_symbol", 3e-9, "symbols", "assumed")]
    return "\n".join(lines) + "\n"


def fitted_rows() -> dict[str, frozenset[tuple[str, str]]]:
    """(target, case) of every row that a family is fitted to."""
    return {name: frozenset((label.target, label.case) for label in family_cases(name).labels) for name in FAMILIES}


def main(folder: str) -> None:
    """Refit everything, then write it into the folder `simulator` of a checkout."""
    simulator = Path(folder)
    missing = [name for name in ("tables", "targets", "validate") if not (simulator / name).is_dir()]
    if missing:
        raise InputError("OUT", folder, f"the folder simulator of a checkout, with {', '.join(missing)} in it")
    fits, corrections, records = run()
    ship(simulator, table_text(fits), fitted_rows(), corrections, records)


if __name__ == "__main__":
    main(sys.argv[1])
