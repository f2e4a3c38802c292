"""Figures 5 to 8, rethinking and theory: the bounds hold, runs resume, shipped rows are whole, commands print them."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from picojoule.cli import main
from picojoule.models.codecs import encode
from picojoule.models.compress.dataset import Data
from picojoule.models.compress.prune import magnitude_mask
from picojoule.models.data.mnist import Split, load_split
from picojoule.models.literature.bounds import best_k_error, low_rank, patch_energy, svd, svd_tail
from picojoule.models.literature.catalogue import RUNS
from picojoule.models.literature.distribution import symbol_counts
from picojoule.models.literature.experiments import factored
from picojoule.models.literature.lab import Lab
from picojoule.models.literature.questions import equal_bytes, hashed, output_error, rethinking, signed_hashed
from picojoule.models.literature.results import run_rows, shipped_results
from picojoule.models.literature.sweep import curve
from picojoule.models.load import load_model
from picojoule.models.run import Runner
from picojoule.simulator.figures.distribution import distribution_figure
from picojoule.simulator.figures.page import figures_page
from picojoule.simulator.figures.tradeoff import tradeoff_figure

MATRICES = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
                      elements=st.floats(-100, 100, width=32))  # fmt: skip
SHIPPED = sorted(RUNS)


@given(MATRICES, st.integers(0, 2**32 - 1))
def test_no_other_mask_of_its_size_is_better_than_the_k_largest(matrix, seed):
    """The best-k error is that of magnitude pruning, and at most that of any other mask with as many weights."""
    random = np.random.default_rng(seed)
    kept = int(random.integers(0, matrix.size + 1))
    bound = best_k_error(matrix)[kept]
    mine = np.where(magnitude_mask(matrix, kept / matrix.size), 0, matrix.astype(np.float64))
    assert np.linalg.norm(mine) == pytest.approx(bound, rel=1e-9, abs=1e-9)
    other = np.zeros(matrix.size, bool)
    other[random.permutation(matrix.size)[:kept]] = True
    assert bound <= np.linalg.norm(np.where(other.reshape(matrix.shape), 0, matrix.astype(np.float64))) + 1e-9


@given(MATRICES, st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_svd_tail_is_the_truncation_error_and_the_least_of_its_rank(matrix, rank, seed):
    """Eckart-Young: both norms from numpy's own truncation, and a random matrix of that rank does no better."""
    rank = min(rank, min(matrix.shape))
    frobenius, spectral = svd_tail(matrix)
    off = matrix.astype(np.float64) - low_rank(svd(matrix), rank).astype(np.float64)
    scale = 1e-5 * (1 + float(np.abs(matrix).max()) * matrix.size)
    assert np.linalg.norm(off) == pytest.approx(frobenius[rank], abs=scale)
    assert np.linalg.norm(off, 2) == pytest.approx(spectral[rank], abs=scale)
    random = np.random.default_rng(seed)
    other = random.normal(size=(matrix.shape[0], rank)) @ random.normal(size=(rank, matrix.shape[1]))
    assert frobenius[rank] <= np.linalg.norm(matrix.astype(np.float64) - other) + scale
    vector = random.normal(size=matrix.shape[1])
    assert np.linalg.norm(off @ vector) <= spectral[rank] * np.linalg.norm(vector) + scale * 10


@given(st.integers(1, 3), st.integers(2, 6))
def test_patch_energy_against_a_slow_walk(kernel, size):
    images = np.random.default_rng(size).normal(size=(2, 3, size, size))
    if kernel > size:
        return
    total = sum(
        float(np.square(images[:, :, r : r + kernel, c : c + kernel]).sum())
        for r in range(size - kernel + 1) for c in range(size - kernel + 1)
    )  # fmt: skip
    assert patch_energy(images, (kernel, kernel)) == pytest.approx(total)


def test_hashed_weights_store_their_buckets_only():
    tensor = hashed((40, 50), 77, 3)
    assert len(np.unique(tensor.values)) <= 77
    assert np.count_nonzero(tensor.codes == 0) == 0
    assert tensor.values.std() == pytest.approx(1 / math.sqrt(50), rel=0.3)


def test_signed_hashed_weights_are_a_real_format_of_the_same_bytes():
    """Places and signs come from the seed in the name; a CountSketch's sums are unbiased: the signs are even."""
    tensor, plain = signed_hashed((40, 50), 77, 3, "ip1"), hashed((40, 50), 77, 3)
    encoded = encode(tensor)
    assert {name: len(data) for name, data in encoded.sections.items()} == {"codebook": 4 * 77}
    assert tensor.codebook_bits == plain.codebook_bits == 32 * 77
    assert abs(np.mean(tensor.codes > 77) - 0.5) < 5 * 0.5 / math.sqrt(2000)
    assert len(np.unique(np.abs(tensor.values))) == 77


def test_factors_at_full_rank_compute_the_same_network():
    """Rank 100 of the 784-300 layer is an approximation; at its full rank the layer stays whole."""
    model = load_model("lenet-300-100@deep-compression")
    values = {name: np.asarray(p.values) for name, p in model.graph.parameters.items()}
    images = load_split("mnist", "test").images[:50]
    exact = Runner(model.graph).logits(images)
    graph, whole, size = factored(model.graph, values, 300)
    assert size == 4 * 266_200
    assert Runner(graph.with_parameters(dict(whole))).logits(images) == pytest.approx(exact, abs=1e-4)
    graph, factors, size = factored(model.graph, values, 100)
    assert size == 4 * (100 * (784 + 300) + 100 * 300 + 1000)
    product = factors["ip1.weight"] @ factors["ip1_v.weight"]
    left = np.linalg.norm(values["ip1.weight"] - product)
    assert left == pytest.approx(svd_tail(values["ip1.weight"])[0][100], rel=1e-3)


def test_symbol_counts_are_those_of_the_real_streams():
    """Figure 5's Huffman bits come to the length of the file's own streams, padding included."""
    model = load_model("lenet-5@deep-compression")
    for row in symbol_counts(model):
        encoded = encode(model.coded[f"{row.layer}.weight"])
        assert int(row.counts.sum()) == encoded.entries
        assert -(-int(row.counts @ row.lengths) // 8) == len(encoded.sections[row.stream])
        assert row.entropy <= row.huffman_bits + 1e-9 <= row.fixed_bits + 1e-9


@pytest.fixture(scope="module")
def tiny_lab(tmp_path_factory) -> Lab:
    splits = {name: load_split("mnist", name) for name in ("train", "validation", "test")}
    parts = [Split("mnist", name, s.images[:n], s.labels[:n]) for (name, s), n in zip(splits.items(), (600, 200, 200),
                                                                                      strict=True)]  # fmt: skip
    return Lab("lenet-300-100", 0, tmp_path_factory.mktemp("lab"), Data(*parts))


def test_measured_errors_stay_below_their_bounds(tiny_lab):
    """Every layer and epsilon: no more weights are needed than the bound asks for, for masks and for ranks."""
    rows = list(output_error(tiny_lab, lambda row: row["point"].startswith("ip2") or row["point"].startswith("ip3")))
    by = {(row["point"], row["method"]): row["value"] for row in rows}
    points = {point for point, _ in by}
    assert len(points) == 8
    grid = {"ip2": 30_000 / 200, "ip3": 1_000 / 200}
    for point in points:
        assert by[point, "best k, measured"] <= by[point, "best k, bound"] + grid[point[:3]] + 1
        assert by[point, "rank, measured"] <= by[point, "rank, bound"]
        assert by[point, "best k, isotropic"] <= by[point, "best k, bound"]


def test_small_runs_give_whole_rows(tiny_lab):
    """One budget of sketches and expanders, and the small networks, on 600 images."""
    rows = list(equal_bytes(tiny_lab, lambda row: row["point"] == "1/64" and "hashed" not in row["method"]))
    sizes = [row["bytes"] for row in rows]
    assert len(rows) == 3
    assert max(sizes) <= 1.25 * min(sizes)
    rows = list(rethinking(tiny_lab, lambda row: row["point"] == "60-30" and row["method"] != "scratch-B"))
    assert {row["method"] for row in rows} == {"fine-tuned", "scratch-E", "pruned, not fine-tuned"}
    assert {round(row["speedup"], 2) for row in rows} == {round(266_200 / (784 * 60 + 60 * 30 + 300), 2)}


def test_rows_resume_after_a_cut_line(tmp_path):
    def rows(todo):
        for seed in range(4):
            row = {"network": "n", "method": "m", "retrained": 0, "point": "p", "seed": seed}
            if todo(row):
                yield {**row, "error_pct": seed / 3}

    file = tmp_path / "x.csv"
    about = {"dataset": "d", "n": 1, "split": "test", "status": "measured", "source": "s"}
    assert len(list(run_rows(file, rows, about))) == 4
    whole = file.read_text()
    file.write_text(whole[:-3 * len(whole.splitlines()[-1]) // 2])
    missing = run_rows(file, rows, about)
    assert next(missing)["seed"] == 2
    assert file.read_text().count("\n") == 4  # what was there is on disk while the rest is measured
    assert [row["seed"] for row in missing] == [3]
    assert file.read_text() == whole


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_rows_are_whole_and_unique(name):
    rows = shipped_results(name)
    keys = [(r["network"], r["method"], r["retrained"], r["point"], r["seed"]) for r in rows]
    assert len(set(keys)) == len(keys) > 20
    for row in rows:
        assert row["status"] == "measured"
        assert row["source"] == f"picojoule paper {name} --rerun DIR"
        assert row["dataset"] == "mnist"
        assert (row["error_pct"] is None) != (row["value"] is None)
    networks = {network for run in RUNS[name] for network in run.networks}
    assert {row["network"] for row in rows} <= networks


@pytest.mark.parametrize("row", ["figure-5", *SHIPPED])
def test_rows_are_printed_and_written(row, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["paper", row, "-o", str(page)]) == 0
    text = capsys.readouterr().out
    assert text.count("\n") > 6
    assert "<pre>" in page.read_text("utf-8")
    assert main(["paper", row, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["row"] == row
    assert main(["paper", row, "-o", str(tmp_path / "page.png")]) == 1


def test_figures_draw_what_they_are_given():
    base = {"network": "n", "point": "p", "retrained": 1, "bytes": 10, "speedup": 2.0}
    rows = [{**base, "method": m, "seed": s, "ratio": r, "error_pct": e, "bits": b}
            for m, s, r, e, b in [("dense", 0, 1.0, 1.5, 32), ("a", 0, 2.0, 2.0, 3), ("a", 1, 2.0, 4.0, 3),
                                  ("b<i>", 0, 4.0, 9.0, 2)]]  # fmt: skip
    frame = pd.DataFrame(curve(rows))
    figure = tradeoff_figure(frame)
    names = [trace["name"] for trace in figure.data]
    assert names == ["a", "b&lt;i&gt;"]
    assert figure.data[0]["y"].tolist() == [97.0]
    assert figure.data[0]["error_y"]["array"].tolist() == pytest.approx([math.sqrt(2)])
    assert len(tradeoff_figure(frame.head(0)).data) == 0
    counts = pd.DataFrame({"layer": "x", "stream": ["codes", "gaps"], "symbol": [0, 0], "count": [3, 4]})
    assert [list(trace["y"]) for trace in distribution_figure(counts).data] == [[3.0], [4.0]]
    assert "<script" in figures_page("t", [(figure, "c")])
