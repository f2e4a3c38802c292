"""`compress --sweep`: Blalock et al.'s practice, resumable; errors, sizes and speed-ups counted again."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from picojoule.cli import main
from picojoule.models.compress.dataset import Data
from picojoule.models.data.mnist import Split, load_split
from picojoule.models.literature.experiments import prune_values
from picojoule.models.literature.lab import Lab
from picojoule.models.literature.results import shipped_results
from picojoule.models.literature.sweep import _top, curve, speedup, sweep, sweep_methods, trained_subject
from picojoule.models.load import load_model
from picojoule.models.ops import loop_bounds

NAME = "lenet-300-100@deep-compression"


def part(name: str, count: int) -> Split:
    split = load_split("mnist", name)
    return Split(split.dataset, name, split.images[:count], split.labels[:count])


@pytest.fixture(scope="module")
def small() -> Data:
    return Data(part("train", 2000), part("validation", 300), part("test", 500))


@pytest.fixture
def data_file(small, tmp_path):
    path = tmp_path / "digits.npz"
    arrays = {f"{s.name}_{kind}": getattr(s, kind) for s in (small.train, small.validation, small.test)
              for kind in ("images", "labels")}  # fmt: skip
    np.savez(path, **arrays)
    return path


def read(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_sweep_has_the_controls_five_points_and_goes_on_where_it_stopped(data_file, tmp_path, capsys):
    folder = tmp_path / "sweep"
    command = ["compress", NAME, "--sweep", "--seeds", "2", "--data", str(data_file), "-o", str(folder)]
    assert main(command) == 0
    text = capsys.readouterr().out
    rows = read(folder / "sweep.csv")
    methods = {row["method"] for row in rows}
    assert {"dense", "random"} <= methods
    for method in methods - {"dense"}:
        assert len({row["point"] for row in rows if row["method"] == method}) >= 5
    assert {row["seed"] for row in rows} == {"0", "1"}
    assert "speed-up" in text
    page = (folder / "curve.html").read_text("utf-8")
    assert "Plotly" in page
    assert "http-equiv" not in page
    whole = (folder / "sweep.csv").read_text("utf-8")
    (folder / "sweep.csv").write_text(whole[: len(whole) // 2], "utf-8")  # killed in the middle of a line
    assert main(command) == 0
    capsys.readouterr()
    again = read(folder / "sweep.csv")
    assert sorted(map(str, again)) == sorted(map(str, rows))


def test_points_counted_again(small):
    """Top-1 from labels, top-5 by sorting, speed-up as multiply-adds by hand, for a pruned LeNet-5."""
    model = load_model("lenet-5@deep-compression")
    dense = {name: p.values for name, p in model.graph.parameters.items()}
    values = prune_values(model.graph, dense, 0.04, "magnitude", 0)
    macs, left = 0, 0.0
    for node in model.graph:
        bounds = loop_bounds(model.graph, node)
        if bounds:
            weight = values[node.parameters["weight"]]
            macs += bounds.macs
            left += bounds.macs * np.count_nonzero(weight) / weight.size
    assert macs == 2_293_000
    assert speedup(model.graph, values) == pytest.approx(macs / left)
    logits = np.random.default_rng(0).normal(size=(300, 10)).astype(np.float32)
    split = Split("x", "test", np.zeros((300, 1), np.float32), np.arange(300) % 10)
    slow = [label not in np.argsort(-row)[:5] for row, label in zip(logits, split.labels, strict=True)]
    assert _top(logits, split, 5) == pytest.approx(100 * np.mean(slow))
    assert _top(logits, split, 1) == pytest.approx(100 * np.mean(logits.argmax(1) != split.labels))


def test_trained_points_keep_their_masks_and_beat_the_random_control(small, tmp_path):
    """2,000 images: magnitude pruning to 10 % stays ahead of random pruning; weights pruned away stay at zero."""
    lab = Lab("lenet-300-100", 0, tmp_path, small)
    subject = trained_subject(lab, 1)
    wanted = {("dense", "fp32"), ("magnitude", "density 0.05"), ("random", "density 0.05"),
              ("magnitude, k-means 5 bits", "density 0.05")}  # fmt: skip
    rows = {row["method"]: row for row in sweep(subject, "x", lambda row: (row["method"], row["point"]) in wanted)}
    assert len(rows) == 4
    assert rows["magnitude"]["error_pct"] < rows["random"]["error_pct"]
    assert rows["magnitude"]["speedup"] == pytest.approx(20, rel=0.01)
    assert rows["dense"]["ratio"] == rows["dense"]["speedup"] == 1
    both, alone = rows["magnitude, k-means 5 bits"], rows["magnitude"]
    assert both["bytes"] < alone["bytes"] / 3
    assert (tmp_path / "dense-lenet-300-100-0.npz").exists()
    once = Lab("lenet-300-100", 0, tmp_path, small).dense
    assert all(np.array_equal(once[name], lab.dense[name]) for name in once)


def test_curve_is_mean_and_sample_deviation():
    base = {"network": "n", "method": "m", "retrained": 1, "point": "p", "bytes": 1, "ratio": 1, "speedup": 1}
    [point] = curve([{**base, "seed": s, "error_pct": e} for s, e in enumerate((1.0, 2.0, 4.0))])
    assert point["error_pct"] == pytest.approx(7 / 3)
    assert point["error_sd_pct"] == pytest.approx(np.std([1, 2, 4], ddof=1))
    assert min(len(points) for method, points in sweep_methods().items() if method != "dense") >= 5


def test_the_sweep_that_ships_is_whole(tmp_path, capsys):
    """Three seeds of every point; the controls; magnitude ahead of random wherever a tenth or less stays."""
    rows = shipped_results("sweep")
    assert len(rows) == 3 * sum(len(points) for points in sweep_methods().values())
    assert {row["source"] for row in rows} == {"picojoule compress lenet-300-100 --sweep --epochs 1"}
    assert {(row["split"], row["n"], row["status"]) for row in rows} == {("test", 10_000, "measured")}
    points = {(point["method"], point["point"]): point for point in curve(rows)}
    assert {point["seeds"] for point in points.values()} == {3}
    for density in ("0.1", "0.05", "0.02"):
        kept, control = (points[method, f"density {density}"] for method in ("magnitude", "random"))
        assert kept["error_pct"] + 3 * kept["error_sd_pct"] < control["error_pct"]
    page = tmp_path / "sweep.html"
    assert main(["paper", "sweep", "-o", str(page)]) == 0
    assert capsys.readouterr().out.count("density 0.02") == 4
    assert page.read_text("utf-8").count("bars are one deviation") == 2
    assert main(["paper", "sweep", "--rerun", str(tmp_path / "x")]) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["squeezenet-1.1"], "--data"),
        ([NAME, "--epochs", "2"], "--epochs"),
        ([NAME, "--seeds", "0"], "--seeds"),
        (["no-such-network"], "MODEL"),
    ],
)
def test_wrong_sweeps_are_one_line(arguments, says, tmp_path, capsys):
    assert main(["compress", *arguments, "--sweep", "-o", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error


def test_compress_without_an_output_is_a_usage_error(capsys):
    assert main(["compress", "lenet-5"]) == 2
    assert "-o" in capsys.readouterr().err
