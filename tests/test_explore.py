"""Exploration: the exact front against brute force, every design against the single estimate, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import picojoule
from picojoule.models.data import load_split
from picojoule.models.errors import BudgetExceededError, FileFormatError, InputError, OutputError
from picojoule.models.load import load_model
from picojoule.models.run import Runner
from picojoule.simulator.estimate import recompress
from picojoule.simulator.explore import (
    Study,
    best,
    explore,
    pareto,
    pareto_mask,
    read_exploration,
    read_study,
    run_study,
)
from picojoule.simulator.explore.accuracy import (
    ErrorTable,
    Measured,
    binomial_interval,
    content_key,
    measure_errors,
    shipped_errors,
)
from picojoule.simulator.explore.study import BITS, DENSITIES, FORMATS, SHIPPED
from picojoule.simulator.workload import Overrides

LENET = "lenet-300-100@deep-compression"
TARGETS = ("core-i7-5930k", "eie", "generic-45nm", "titan-x")
SMALL = Study(models=(LENET,), targets=TARGETS, bits=(2, 4, 6), densities=(0.05, 1.0))


@pytest.fixture(scope="module")
def small() -> pd.DataFrame:
    return run_study(SMALL).points


def dominated(row: np.ndarray, others: np.ndarray) -> bool:
    """By the definition: some other row is no larger anywhere and smaller somewhere."""
    pairs = [list(zip(other, row, strict=True)) for other in others]
    return any(all(o <= r for o, r in pair) and any(o < r for o, r in pair) for pair in pairs)


@given(hnp.arrays(float, st.tuples(st.integers(1, 40), st.integers(1, 4)), elements=st.integers(0, 6).map(float)))
def test_pareto_mask_against_the_definition(values: np.ndarray) -> None:
    assert pareto_mask(values).tolist() == [not dominated(row, values) for row in values]


@given(hnp.arrays(float, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(0, 6).map(float)))
def test_pareto_mask_does_not_depend_on_order(values: np.ndarray) -> None:
    order = np.random.default_rng(0).permutation(len(values))
    assert pareto_mask(values)[order].tolist() == pareto_mask(values[order]).tolist()


def test_pareto_mask_with_unknown_values() -> None:
    nan = float("nan")
    assert pareto_mask([[1, nan], [2, nan]]).tolist() == [True, False]  # nobody has it: left out
    assert pareto_mask([[1, nan], [2, 3]]).tolist() == [False, True]  # one lacks it: never on the front
    assert pareto_mask(np.empty((0, 2))).tolist() == []
    assert pareto_mask([[nan], [nan]]).tolist() == [False, False]


def test_pareto_keeps_groups_apart() -> None:
    points = pd.DataFrame({"target": ["a", "a", "b"], "energy_pj": [1, 2, 9], "error_pct": [1, 2, 9]})
    assert pareto(points, ["energy_pj", "error_pct"]).index.tolist() == [0, 2]
    with pytest.raises(InputError, match="no_such"):
        pareto(points, ["no_such"])


def test_every_design_costs_what_estimate_says(small: pd.DataFrame) -> None:
    """The vectorised exploration against one `estimate` per design: the slow twin, all targets and formats."""
    chosen = np.random.default_rng(1).choice(len(small), 60, replace=False)
    seen = set()
    for row in small.iloc[np.sort(chosen)].to_dict("records"):
        cost = picojoule.estimate(
            row["network"], row["target"], bits=row["bits"], density=row["density"], format=row["format"]
        )
        totals = cost.totals
        assert row["energy_pj"] == pytest.approx(totals["energy_pj"], rel=1e-12)
        if totals["latency_s"] is None:
            assert np.isnan(row["latency_s"])
        else:
            assert row["latency_s"] == pytest.approx(totals["latency_s"], rel=1e-12)
        for name in ("weight_bytes", "load_bytes", "dram_bytes", "macs", "macs_performed", "weight_density"):
            assert row[name] == pytest.approx(totals[name], rel=1e-12), name
        assert row["fits"] == bool(cost.fits)
        assert row["partial"] == cost.partial
        seen.add((row["target"], row["format"]))
    assert {target for target, _ in seen} == set(TARGETS)
    assert {fmt for _, fmt in seen} == set(FORMATS)


def test_the_study_is_the_whole_product(small: pd.DataFrame) -> None:
    """EIE computes with at most 16 shared values, and its file format has 4-bit codes: nothing wider there."""
    combinations = len(SMALL.bits) * len(SMALL.densities)
    narrow = sum(bits <= 4 for bits in SMALL.bits) * len(SMALL.densities)
    anywhere = combinations * (len(FORMATS) - 1) + narrow
    counts = small.groupby("target").size().to_dict()
    assert counts == {"core-i7-5930k": anywhere, "generic-45nm": anywhere, "titan-x": anywhere,
                      "eie": narrow * len(FORMATS)}  # fmt: skip
    assert small["design"].is_unique
    assert small.loc[small["target"] == "eie", "bits"].max() == 4


def test_the_front_is_exact(small: pd.DataFrame) -> None:
    """Every design off the front is beaten or equalled by one on it, and none on it is beaten."""
    for target in TARGETS:
        mine = small[small["target"] == target]
        names = ["error_pct", "energy_pj", "storage_bytes", *([] if target == "generic-45nm" else ["latency_s"])]
        values = mine[names].to_numpy(float)
        front = values[mine["front"].to_numpy(bool)]
        assert len(front)
        for row in values:
            assert (front <= row).all(axis=1).any()
        assert not any(dominated(row, values) for row in front)


def test_errors_are_those_of_the_weights(small: pd.DataFrame) -> None:
    """One design's error, measured again from its weights on the validation images."""
    model = load_model(LENET)
    coded, _ = recompress(model, Overrides(bits=2, density=0.05))
    values = {name: tensor.values for name, tensor in coded.coded.items()}
    error = Runner(model.graph).error_pct(values, load_split("mnist", "validation"))
    mine = small[(small["bits"] == 2) & (small["density"] == 0.05)]
    assert mine["error_pct"].unique().tolist() == [pytest.approx(error)]
    assert mine["error_n"].unique().tolist() == [5000]


def test_unpruned_weights_of_the_file_have_the_error_it_states(small: pd.DataFrame) -> None:
    """At 6 bits and nothing pruned further, the decoded file itself is measured: its test error is its own."""
    row = small[(small["bits"] == 6) & (small["density"] == 1.0) & small["front"]].iloc[0]
    accuracy = load_model(LENET).accuracy
    assert accuracy is not None
    assert row["test_error_pct"] == pytest.approx(accuracy.error_pct)


def test_test_errors_are_on_the_front_only(small: pd.DataFrame) -> None:
    assert small.loc[~small["front"], "test_error_pct"].isna().all()
    assert small.loc[small["front"], "test_error_pct"].notna().all()


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_errors_belong_to_the_shipped_weights(name: str) -> None:
    """errors.csv is keyed by content: new weights without new measurements would be noticed here."""
    key = content_key(load_model(name))
    rows = [row for row in shipped_errors().values() if row.key == key and row.split == "validation"]
    measured = {(row.bits, row.density) for row in rows}
    assert measured >= {(bits, density) for bits in BITS for density in DENSITIES}


def test_shipped_errors_are_measured_again() -> None:
    """Three of them, measured now without the table."""
    model = load_model(LENET)
    pairs = [(1, 1.0), (3, 0.07), (8, 0.02)]
    table = ErrorTable()
    table._rows = {}
    again = measure_errors(model, pairs, "validation", table)
    for pair in pairs:
        assert abs(again[pair].wrong - shipped_errors()[(again[pair].key, "mnist", "validation", *pair)].wrong) <= 1


def test_workers_do_not_change_the_result(tmp_path: Path) -> None:
    model = load_model(LENET)
    pairs = [(bits, 0.033) for bits in (1, 2, 3, 4)]
    one = measure_errors(model, pairs, "validation", ErrorTable(tmp_path / "a.csv"), workers=1)
    two = measure_errors(model, pairs, "validation", ErrorTable(tmp_path / "b.csv"), workers=3)
    assert one == two
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_content_key_follows_the_weights() -> None:
    model = load_model(LENET)
    other, _ = recompress(model, Overrides(bits=4))
    assert content_key(model) == content_key(load_model(LENET))
    assert content_key(model) != content_key(other)


def test_binomial_interval_of_a_textbook_case() -> None:
    """Clopper-Pearson 95 % for 5 of 20: 0.0866 to 0.4910 (Hollander and Wolfe, Nonparametric Statistics)."""
    low, high = binomial_interval(5, 20)
    assert float(low) == pytest.approx(0.0866, abs=5e-5)
    assert float(high) == pytest.approx(0.4910, abs=5e-5)
    assert binomial_interval(20, 20)[1] == 1


def test_files_are_the_same_again_and_read_back(tmp_path: Path) -> None:
    study = Study(models=(LENET,), targets=("eie",), bits=(4,), densities=(0.05, 1.0))
    found = run_study(study, output=str(tmp_path / "a"))
    run_study(study, output=str(tmp_path / "b"), workers=2)
    first, second = (tmp_path / name / "designs.parquet" for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    back = read_exploration(str(tmp_path / "a"))
    assert back.study == study
    pd.testing.assert_frame_equal(back.points, found.points)
    assert len(back.front) == found.points["front"].sum()


def test_units_are_in_the_column_names(small: pd.DataFrame) -> None:
    bare = {"design", "network", "target", "bits", "density", "format", "batch", "error_split", "error_n",
            "weight_density", "macs", "macs_performed", "fits", "partial", "basis", "front"}  # fmt: skip
    for name in set(small.columns) - bare:
        assert name.endswith(("_pct", "_pj", "_s", "_bytes")), name


def test_an_interrupted_study_is_resumed(tmp_path: Path) -> None:
    """Ctrl-C after two measurements: both are kept, and the end is what it would have been."""
    study = Study(models=(LENET,), targets=("eie",), bits=(1, 2, 3, 4), densities=(0.037,))

    def stop(_stage: str, done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study, output=str(tmp_path / "cut"), progress=stop)
    assert len((tmp_path / "cut/errors.csv").read_text().splitlines()) == 3
    seen: list[int] = []
    run_study(study, output=str(tmp_path / "cut"), resume=True,
              progress=lambda stage, _done, total: seen.append(total) if "valid" in stage else None)  # fmt: skip
    assert seen == [2, 2]
    run_study(study, output=str(tmp_path / "whole"))
    assert (tmp_path / "cut/designs.parquet").read_bytes() == (tmp_path / "whole/designs.parquet").read_bytes()


def test_another_study_is_not_overwritten(tmp_path: Path) -> None:
    study = Study(models=(LENET,), targets=("eie",), bits=(4,), densities=(1.0,))
    run_study(study, output=str(tmp_path))
    before = (tmp_path / "designs.parquet").read_bytes()
    with pytest.raises(OutputError, match="another study"):
        run_study(Study(models=(LENET,), targets=("eie",), bits=(2,), densities=(1.0,)), output=str(tmp_path))
    assert (tmp_path / "designs.parquet").read_bytes() == before
    with pytest.raises(InputError, match="--resume"):
        run_study(study, output=str(tmp_path / "new"), resume=True)


def test_without_weights_errors_are_unknown_and_the_front_goes_without() -> None:
    found = explore("lenet-5", ["generic-45nm"], bits=[4, 8], densities=[0.1, 0.5], formats=["dense", "relative5"])
    assert found.points["error_pct"].isna().all()
    assert set(found.points["basis"]) == {"statistical"}
    assert len(found.front)


class TestBest:
    """The least energy within limits, by a plain search over the rows."""

    def test_against_a_plain_search(self, small: pd.DataFrame) -> None:
        rows = small[(small["target"] == "eie") & small["fits"] & ~small["partial"] & (small["error_pct"] <= 30)]
        found = best(small, target="eie", max_error_pct=30)
        assert found["energy_pj"] == rows["energy_pj"].min()
        smallest = best(small, target="eie", max_error_pct=30, objective="size")
        assert smallest["storage_bytes"] == rows["storage_bytes"].min()

    def test_json_has_no_nan(self, small: pd.DataFrame) -> None:
        json.dumps(best(small, target="generic-45nm"), allow_nan=False)

    def test_nothing_within_the_limits(self, small: pd.DataFrame) -> None:
        with pytest.raises(BudgetExceededError, match=r"none of \d+ designs is within error_pct <= 0\.1"):
            best(small, target="eie", max_error_pct=0.1)

    def test_partial_designs_are_not_eligible(self) -> None:
        points = explore(SHIPPED[1], ["eie"], bits=[4], densities=[1.0]).points
        with pytest.raises(InputError, match="runs whole"):
            best(points, target="eie")

    def test_unknown_names(self, small: pd.DataFrame) -> None:
        with pytest.raises(InputError, match="--target"):
            best(small, target="no-such")
        with pytest.raises(InputError, match="beauty"):
            best(small, objective="beauty")


STUDY_TOML = """
models = ["lenet-300-100@deep-compression"]
targets = ["eie"]
bits = [2, 4]
densities = [0.05, 1.0]
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models = [", "TOML"),
        (STUDY_TOML + "colour = 'red'", "colour"),
        (STUDY_TOML.replace("2, 4", "0, 4"), "bits"),
        (STUDY_TOML.replace("0.05", "1.5"), "densities"),
        (STUDY_TOML.replace("2, 4", "4, 4"), "twice"),
        (STUDY_TOML.replace('["eie"]', "[]"), "targets"),
        (STUDY_TOML + 'formats = ["zip"]', "zip"),
        (STUDY_TOML.replace("[0.05, 1.0]", str([n / 1e5 for n in range(1, 80001)])).replace("[2, 4]", "[1, 2, 3, 4]"),
         "at most 2,000,000"),
    ],
)  # fmt: skip
def test_a_wrong_study_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as error:
        read_study(str(path))
    assert "\n" not in str(error.value)


def test_damaged_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        read_exploration(str(tmp_path / "nowhere"))
    run_study(Study(models=(LENET,), targets=("eie",), bits=(4,), densities=(1.0,)), output=str(tmp_path / "x"))
    points = tmp_path / "x/designs.parquet"
    content = points.read_bytes()
    points.write_bytes(content[: len(content) // 2])
    with pytest.raises(FileFormatError, match="Parquet"):
        read_exploration(str(tmp_path / "x"))
    pd.DataFrame({"design": ["a"]}).to_parquet(points)
    with pytest.raises(FileFormatError, match="no column"):
        read_exploration(str(tmp_path / "x"))
    (tmp_path / "x/study.json").write_text("{}")
    with pytest.raises(FileFormatError, match=r"study\.json"):
        read_exploration(str(tmp_path / "x"))


@pytest.mark.parametrize(
    "text",
    ["key\n1", "key,dataset,split,bits,density,wrong,n\na,mnist,validation,4,0.5,9,5\n",
     "key,dataset,split,bits,density,wrong,n\na,mnist,validation,four,0.5,9,5\n", "\0\0"],
)  # fmt: skip
def test_a_damaged_table_of_errors_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "errors.csv"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=r"errors\.csv"):
        ErrorTable(path)


def test_measured_orders_and_counts() -> None:
    assert Measured("k", "mnist", "validation", 4, 0.5, 50, 5000).error_pct == 1.0


def test_the_commands(run_python: Callable[..., Any], tmp_path: Path) -> None:
    """explore STUDY.toml, front, best, report: what a user types, and exit codes."""
    (tmp_path / "study.toml").write_text(STUDY_TOML)
    made = run_python("-m", "picojoule", "explore", "study.toml", "-o", "found", "--json")
    assert made.returncode == 0, made.stderr
    document = json.loads(made.stdout)
    assert document["designs"] == 32
    shown = run_python("-m", "picojoule", "front", "found", "--json")
    assert json.loads(shown.stdout)["front"] == document["front"]
    found = run_python("-m", "picojoule", "best", "found", "--target", "eie", "--max-error", "30", "--json")
    design = json.loads(found.stdout)["best"]
    told = run_python(
        "-m", "picojoule", "estimate", design["network"], "--target", "eie", "--bits", str(design["bits"]),
        "--density", str(design["density"]), "--format", design["format"], "--json",
    )  # fmt: skip
    assert json.loads(told.stdout)["totals"]["energy_pj"] == pytest.approx(design["energy_pj"])
    nothing = run_python("-m", "picojoule", "best", "found", "--target", "eie", "--max-error", "0.1")
    assert nothing.returncode == 3
    assert nothing.stderr.count("\n") == 1
    written = run_python("-m", "picojoule", "report", "found", "-o", "r.html")
    assert written.returncode == 0, written.stderr
    assert (tmp_path / "r.html").stat().st_size > 1e6
