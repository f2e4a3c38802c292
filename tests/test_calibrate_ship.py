"""What a refit writes: the files that ship are what it gives, and nothing else in them moves."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picojoule.models.errors import InputError
from picojoule.simulator.calibrate.records import Record
from picojoule.simulator.calibrate.refit import fitted_rows, main, run, table_text
from picojoule.simulator.calibrate.ship import interval_text, read_records, ship, with_section, with_source

SIMULATOR = Path(__file__).parents[1] / "simulator"
PARTS = ("tables", "targets", "validate")


@pytest.fixture
def checkout(tmp_path):
    for part in PARTS:
        shutil.copytree(SIMULATOR / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def _files(folder: Path) -> dict[str, bytes]:
    paths = (path for part in PARTS for path in (folder / part).rglob("*") if path.suffix in (".toml", ".csv"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_shipped_files_are_what_their_rows_and_corrections_give(checkout):
    """Intervals from the shipped rows, corrections as fitted: every file comes out byte for byte as it ships."""
    rows = read_records(checkout / "validate" / "out_of_fold.csv")
    corrections = {}
    for target in sorted({row.target for row in rows if row.mode == "calibrated"}):
        known = tomllib.loads((checkout / "targets" / f"{target}.toml").read_text("utf-8"))
        corrections[target] = {name: constant["value"] for name, constant in known["corrections"].items()}
    assert len(corrections) >= 16
    tables = (checkout / "tables" / "processor_classes.toml").read_text("utf-8")
    ship(checkout, tables, fitted_rows(), corrections, rows)
    assert _files(checkout) == _files(SIMULATOR)


@pytest.mark.slow
def test_a_whole_refit_gives_what_ships(checkout):
    """Minutes long: all fits again. Values to three digits, as optimisers end a little apart on other machines."""
    fits, corrections, records = run()
    ship(checkout, table_text(fits), fitted_rows(), corrections, records)
    for name, shipped in _files(SIMULATOR).items():
        if name.endswith(".toml"):
            _close(tomllib.loads(shipped.decode()), tomllib.loads((checkout / name).read_text("utf-8")), name)


def _close(old, new, where):
    if isinstance(old, dict):
        assert list(old) == list(new), where
        for key in old:
            _close(old[key], new[key], f"{where}: {key}")
    elif isinstance(old, float):
        assert new == pytest.approx(old, rel=0.01), where
    elif isinstance(old, list):
        assert len(old) == len(new), where
        for place, value in enumerate(old):
            _close(value, new[place], f"{where}[{place}]")
    else:
        assert old == new, where


def test_another_folder_is_refused_before_anything_is_fitted(tmp_path):
    with pytest.raises(InputError, match="simulator of a checkout"):
        main(str(tmp_path))


def test_other_sections_and_comments_stay_byte_for_byte(checkout):
    text = (SIMULATOR / "targets" / "a100.toml").read_text("utf-8")
    changed = with_section(text, "corrections", ["gemm = 1"])
    head, _, tail = text.partition("[corrections]\n")
    assert changed.startswith(head + "[corrections]\ngemm = 1\n")
    assert changed.endswith(tail[tail.index("\n[interval]") :])
    assert with_section(changed, "new", ["a = 1"]) == changed + "\n[new]\na = 1\n"
    assert with_source(text, "fit", "other") == text
    assert with_source(text, "mine", "x").replace('mine = "x"\n', "") == text


def test_interval_by_hand():
    """Ten ratios 1.0 to 1.9: linear quantiles 1.09 and 1.81; no energies: a quarter wider."""
    rows = [Record("t", "d", "latency", str(k), 1 + k / 10, 1.0, "calibrated", "leave one out", "") for k in range(10)]
    assert interval_text(rows, "leave one out") == [
        "level = 0.8", "latency_ratio = [1, 1.81]", "energy_ratio = [0.872, 2.26]", "n = 10",
        'basis = "measured over predicted in 10 published times; energy as latency, 25 % wider, leave one out"',
    ]  # fmt: skip


@given(st.lists(st.floats(0.1, 10), min_size=8, max_size=30))
def test_interval_holds_one_and_four_fifths_of_the_rows(ratios):
    rows = [Record("t", "d", metric, str(k), ratio, 1.0, "calibrated", "p", "")
            for metric in ("latency", "energy") for k, ratio in enumerate(ratios)]  # fmt: skip
    known = tomllib.loads("\n".join(interval_text(rows, "p")))
    for low, high in (known["latency_ratio"], known["energy_ratio"]):
        assert low <= 1 <= high
        inside = np.mean([low * 0.995 <= ratio <= high * 1.005 for ratio in ratios])
        assert inside >= 0.8 - 2 / len(ratios)
