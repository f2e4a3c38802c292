"""Pruning methods and scalar quantizers against plain loops and exhaustive search."""

from __future__ import annotations

import itertools
import zlib
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from picojoule.cli import main
from picojoule.models import compress
from picojoule.models.compress.baselines import BASELINES, baseline_bytes
from picojoule.models.compress.masks import global_densities, parse_method, prune_mask
from picojoule.models.compress.prune import magnitude_mask, weight_names
from picojoule.models.compress.recipe import load_recipe
from picojoule.models.compress.scalar import entropy_constrained_1d, exact_kmeans_1d, uniform_levels
from picojoule.models.compress.share import METHODS, kmeans_1d, share_weights, squared_error
from picojoule.models.errors import InputError, RecipeError
from picojoule.models.load import load_model
from picojoule.models.zoo import build_network

RNG = np.random.default_rng(2)
WHOLE = st.integers(-9, 9).map(float)
MATRICES = hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 13)), elements=WHOLE)


def error_to_nearest(values: NDArray, centroids: NDArray) -> float:
    return float(np.square(np.subtract.outer(values, centroids)).min(axis=1).sum())


def best_partition(values: NDArray, k: int) -> float:
    """Least error over all splits of the sorted values into at most k ranges."""
    ordered = np.sort(values.astype(np.float64))
    best = np.inf
    for parts in range(1, min(k, len(ordered)) + 1):
        for cut in itertools.combinations(range(1, len(ordered)), parts - 1):
            best = min(best, sum(float(np.square(p - p.mean()).sum()) for p in np.split(ordered, list(cut))))
    return best


@given(MATRICES, st.integers(1, 4), st.integers(1, 4))
def test_n_of_m_by_a_plain_loop(values: NDArray, n: int, m: int) -> None:
    """In every group of M neighbours of a row, the N largest; of equals the first."""
    n = min(n, m)
    wanted = np.zeros(values.shape, bool)
    for row in range(len(values)):
        for start in range(0, values.shape[1], m):
            group = [(-abs(float(values[row, c])), c) for c in range(start, min(start + m, values.shape[1]))]
            for _, column in sorted(group)[:n]:
                wanted[row, column] = True
    assert prune_mask(values, 1.0, f"{n}:{m}").tolist() == wanted.tolist()


def test_n_of_m_of_a_convolution_runs_along_its_input_channels() -> None:
    """Tensor cores take 2 of 4 input channels at every kernel place."""
    mask = prune_mask(RNG.normal(size=(6, 8, 3, 3)), 1.0, "2:4")
    assert mask.reshape(6, 2, 4, 3, 3).sum(axis=2).tolist() == np.full((6, 2, 3, 3), 2).tolist()


@given(MATRICES, st.floats(0, 1), st.integers(0, 5))
def test_random_masks_are_nested_and_count(values: NDArray, density: float, seed: int) -> None:
    """As many as magnitude keeps; a lower density of one seed is a subset of a higher: gradual pruning needs it."""
    mask = prune_mask(values, density, "random", seed)
    assert mask.sum() == magnitude_mask(values, density).sum()
    assert not (prune_mask(values, density / 2, "random", seed) & ~mask).any()


@given(MATRICES, st.floats(0, 1), st.integers(1, 4), st.integers(1, 4))
def test_blocks_are_whole_and_the_largest(values: NDArray, density: float, rows: int, columns: int) -> None:
    mask = prune_mask(values, density, f"block{rows}x{columns}")
    kept, left = [], []
    for top in range(0, values.shape[0], rows):
        for side in range(0, values.shape[1], columns):
            part = mask[top : top + rows, side : side + columns]
            assert part.all() or not part.any()
            energy = float((values[top : top + rows, side : side + columns].astype(float) ** 2).sum())
            (kept if part.all() else left).append(energy)
    assert mask.sum() <= round(density * values.size)
    assert not kept or not left or min(kept) >= max(left)


def test_global_magnitude_is_one_threshold() -> None:
    """Of two layers the one with larger weights keeps more; together they keep the share asked for."""
    graph = build_network("lenet-300-100")
    values = {name: RNG.normal(size=p.shape).astype(np.float32) for name, p in graph.parameters.items()}
    values["ip2.weight"] *= 5
    graph = graph.with_parameters(values)
    found = global_densities(graph, 0.2)
    sizes = {layer: graph.parameters[name].elements for layer, name in weight_names(graph).items()}
    assert sum(found[layer] * size for layer, size in sizes.items()) == round(0.2 * sum(sizes.values()))
    assert found["ip2"] > 0.7 > 0.2 > found["ip1"]
    threshold = min(np.abs(values["ip1.weight"][magnitude_mask(values["ip1.weight"], found["ip1"])]))
    assert np.count_nonzero(np.abs(values["ip2.weight"]) >= threshold) == round(found["ip2"] * sizes["ip2"])


@given(hnp.arrays(np.float32, st.integers(1, 9), elements=st.integers(-20, 20).map(float)), st.integers(1, 4))
def test_exact_kmeans_against_every_partition(values: NDArray, k: int) -> None:
    centroids = exact_kmeans_1d(values, k)
    assert len(centroids) <= k
    assert error_to_nearest(values.astype(np.float64), centroids) == pytest.approx(best_partition(values, k), abs=1e-9)


def test_exact_is_never_worse_than_lloyd() -> None:
    """On a real layer of 18,816 shared and perturbed weights, at 5 bits."""
    weights = load_model("lenet-300-100@deep-compression").graph.parameters["ip1.weight"].values
    assert weights is not None
    remaining = weights[weights != 0] + RNG.normal(size=np.count_nonzero(weights)).astype(np.float32) * 0.01
    best = error_to_nearest(remaining, exact_kmeans_1d(remaining, 31))
    for init in ("linear", "density", "random"):
        assert best <= error_to_nearest(remaining, kmeans_1d(remaining, 31, init=init)) + 1e-9


@given(st.integers(2, 8))
def test_uniform_levels_are_a_grid_with_zero(bits: int) -> None:
    levels = uniform_levels([-3.0, 1.0, 2.5], bits)
    assert len(levels) == 2**bits - 1
    assert levels[len(levels) // 2] == 0
    assert (levels[0], levels[-1]) == (-3.0, 3.0)
    np.testing.assert_allclose(np.diff(levels), levels[1] - levels[0])


def entropy_bits(values: NDArray, centroids: NDArray) -> float:
    counts = np.bincount(np.abs(np.subtract.outer(values, centroids)).argmin(axis=1))
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def test_entropy_constraint_trades_error_for_bits() -> None:
    """A larger weight on the rate: fewer coded bits, more error; at 0 it is k-means from the same start."""
    values = RNG.laplace(size=4000)
    runs = [entropy_constrained_1d(values, 31, weight) for weight in (0.0, 0.01, 0.1, 1.0)]
    bits = [entropy_bits(values, run) for run in runs]
    errors = [error_to_nearest(values, run) for run in runs]
    assert bits == sorted(bits, reverse=True)
    assert errors == sorted(errors)
    np.testing.assert_allclose(runs[0], kmeans_1d(values, 31, iterations=60), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("method", METHODS)
def test_sharing_by_every_method(method: str) -> None:
    """Zeros stay zeros, at most 2^bits - 1 shared values, and exact has the least error of all."""
    values = RNG.normal(size=(40, 50)).astype(np.float32)
    values[RNG.random(values.shape) < 0.7] = 0
    coded = share_weights(values, 4, method=method)  # type: ignore[arg-type]
    assert len(coded.codebook) <= 16
    assert (coded.values[values == 0] == 0).all()
    assert squared_error(values, share_weights(values, 4, method="exact")) <= squared_error(values, coded) + 1e-6


@pytest.mark.parametrize("text", ["5:4", "0:4", "2:", "blockx", "block0x4", "biggest", "2:4 "])
def test_unknown_methods_are_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"prune\.method") as error:
        parse_method(text)
    assert "\n" not in str(error.value)


def test_recipes_name_methods(tmp_path: Path) -> None:
    text = resources.files(compress).joinpath("deep-compression-lenet-300-100.toml").read_text("utf-8")
    changed = text.replace('method = "magnitude"', 'method = "2:4"').replace('method = "kmeans"', 'method = "exact"')
    (tmp_path / "r.toml").write_text(changed)
    recipe = load_recipe(tmp_path / "r.toml")
    assert (recipe.prune.method, recipe.share.method) == ("2:4", "exact")
    (tmp_path / "w.toml").write_text(text.replace('"magnitude"', '"largest"'))
    with pytest.raises(RecipeError, match=r"prune\.method"):
        load_recipe(tmp_path / "w.toml")


def test_general_compressors_as_the_baseline() -> None:
    """Shipped LeNet-300-100, 30,884 bytes of ours: plain fp32 and byte codes take more, through zlib as through zstd.

    zstd's size is that of the reference library's Python binding, frame headers apart.
    """
    model = load_model("lenet-300-100@deep-compression")
    found = baseline_bytes(model)
    assert list(found) == list(BASELINES)
    for kind in ("zlib", "zstd"):
        assert found[f"{kind}_fp32"] > found[f"{kind}_codes"] > 30_327
    plain = b"".join(np.asarray(p.values, "<f4").tobytes() for p in model.graph.parameters.values())
    assert found["zlib_fp32"] == len(zlib.compress(plain, 9))
    reference = len(zstandard.ZstdCompressor(level=19).compress(plain))
    assert found["zstd_fp32"] == pytest.approx(reference, rel=0.005)
    assert baseline_bytes(load_model("lenet-5")) == {}


def test_a_build_of_arrow_without_zstd_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(pyarrow, "Codec", SimpleNamespace(is_available=lambda name: False))
    assert main(["inspect", "lenet-5@deep-compression"]) == 0
    printed = capsys.readouterr().out
    assert "every value in fp32, zstd: not in this build of Arrow" in printed
    assert "every value in fp32, zlib: " in printed
