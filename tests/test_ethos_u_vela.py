"""Ethos-U against Arm's own compiler, ethos-u-vela, run here on the same .tflite files.

Six weights for each small int8 network: dense, 50, 80 and 90 % pruned, 16 shared values, 2:4. Bars: NPU cycles
within 15 %, total cycles within 25 %, the six in the right order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ethos_networks import KINDS, our_cycles, vela_cycles, write_network

pytest.importorskip("ethosu.vela.vela", reason="ethos-u-vela has no wheel for this platform")

TARGETS = ("ethos-u55-128", "ethos-u55-256", "ethos-u65-256", "ethos-u65-512", "ethos-u85-256")
SIZES = ("ethos-u55-32", "ethos-u55-64", "ethos-u85-128", "ethos-u85-512", "ethos-u85-1024", "ethos-u85-2048")
NETWORKS = {
    "weights outweigh": ([("conv", 256, 3, 2), ("conv", 512, 1, 1)], 8, 256),
    "pixels outweigh": ([("conv", 32, 3, 1), ("conv", 32, 3, 1), ("conv", 64, 3, 2), ("conv", 64, 3, 1)], 32, 16),
    "pointwise": ([("conv", 64, 1, 1), ("conv", 256, 1, 1), ("conv", 256, 3, 1)], 16, 64),
}
SLOW = {
    "from an image": ([("conv", 32, 3, 2), ("conv", 64, 3, 1), ("conv", 64, 1, 1), ("conv", 128, 3, 2)], 32, 3),
    "mixed": ([("conv", 64, 3, 1), ("conv", 128, 1, 1), ("conv", 128, 3, 2)], 16, 64),
}
UNSEEN = {
    "two of 3 x 3": ([("conv", 64, 3, 1), ("conv", 64, 3, 1)], 14, 64),
    "bottleneck": ([("conv", 128, 1, 1), ("conv", 128, 3, 1), ("conv", 256, 1, 1)], 14, 128),
    "5 x 5, few channels": ([("conv", 32, 5, 2), ("conv", 64, 3, 1)], 28, 8),
    "narrow": ([("conv", 16, 3, 1), ("conv", 16, 3, 1), ("conv", 16, 1, 1)], 48, 4),
    "small and deep": ([("conv", 256, 3, 1), ("conv", 128, 1, 1)], 7, 128),
    "7 x 7": ([("conv", 96, 7, 2), ("conv", 192, 1, 1)], 32, 16),
    "pointwise, deep": ([("conv", 512, 1, 1), ("conv", 128, 1, 1), ("conv", 512, 1, 1)], 7, 256),
    "strided": ([("conv", 64, 3, 2), ("conv", 128, 3, 2), ("conv", 256, 3, 2)], 56, 32),
}
# Every other kind of layer, on the sizes above.
LAYERS = {
    "14 x 14 x 64": ([("conv", 64, 3, 1)], 14, 64),
    "large kernels": ([("conv", 32, 7, 2), ("conv", 48, 5, 1), ("conv", 64, 5, 2)], 32, 8),
    "mobile": ([("conv", 32, 3, 2), ("depthwise", 3, 1), ("conv", 64, 1, 1), ("depthwise", 3, 2)], 32, 3),
    "depthwise, large": ([("conv", 64, 1, 1), ("depthwise", 5, 1), ("conv", 64, 1, 1)], 24, 32),
    "residual": ([("conv", 64, 3, 1), ("conv", 64, 3, 1), ("add",)], 16, 64),
    "pooled": ([("conv", 32, 3, 1), ("max", 3, 2), ("conv", 64, 3, 1), ("average", 2, 2)], 32, 16),
    "classifier": ([("conv", 32, 3, 2), ("conv", 64, 3, 2), ("fc", 128), ("fc", 10)], 28, 8),
    "fully connected": ([("fc", 512), ("fc", 256)], 1, 512),
}

Compared = dict[str, tuple[tuple[float, ...], tuple[float, ...]]]


@pytest.fixture(scope="module")
def compare(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Compared]:
    """(theirs, ours) for each of the six, by network and target; each pair is compiled once."""
    folder = tmp_path_factory.mktemp("vela")

    @cache
    def run(name: str, target: str) -> Compared:
        layers, size, channels = (NETWORKS | SLOW | UNSEEN | LAYERS)[name]
        found = {}
        for place, kind in enumerate(KINDS):
            path = write_network(folder / f"n{place}.tflite", kind, layers, size, channels)
            found[kind] = (vela_cycles(path, target), our_cycles(path, target))
        return found

    return run


def check_bars(found: Compared) -> None:
    for kind, (theirs, ours) in found.items():
        assert ours[0] == pytest.approx(theirs[0], rel=0.15), f"{kind}: NPU cycles"
        assert ours[1] == pytest.approx(theirs[1], rel=0.25), f"{kind}: total cycles"
        assert ours[3] == pytest.approx(theirs[3], rel=0.08), f"{kind}: weight stream"
    for a, b in itertools.combinations(found, 2):
        theirs, ours = found[a][0][1] - found[b][0][1], found[a][1][1] - found[b][1][1]
        if abs(theirs) > 0.01 * found[a][0][1]:  # nearer ones are scheduling noise in the compiler itself
            assert theirs * ours > 0, f"{a} and {b} in the wrong order"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_cycles_within_the_bars_of_vela(compare: Callable[[str, str], Compared], name: str, target: str) -> None:
    check_bars(compare(name, target))


@pytest.mark.parametrize("target", SIZES)
def test_other_sizes_within_the_bars(compare: Callable[[str, str], Compared], target: str) -> None:
    check_bars(compare("pixels outweigh", target))


@pytest.mark.parametrize("target", ["ethos-u55-256", "ethos-u65-512", "ethos-u85-512"])
@pytest.mark.parametrize("name", ["mobile", "residual", "pooled", "classifier"])
def test_other_kinds_of_layer_within_the_bars(compare: Callable[[str, str], Compared], name: str, target: str) -> None:
    for kind, (theirs, ours) in compare(name, target).items():
        assert ours[0] == pytest.approx(theirs[0], rel=0.15), f"{kind}: NPU cycles"
        assert ours[1] == pytest.approx(theirs[1], rel=0.25), f"{kind}: total cycles"


@pytest.mark.slow
def test_every_network_on_every_size(compare: Callable[[str, str], Compared]) -> None:
    """1,386 comparisons: all within 15 % in NPU cycles, all but one within 25 % in total (1.49 times, 50 % pruned on
    the U85-128: a weight stream predicted 3.5 % short tips the choice of copying the input)."""
    names, targets = NETWORKS | SLOW | UNSEEN | LAYERS, (*TARGETS, *SIZES)
    pairs = [pair for name in names for target in targets for pair in compare(name, target).values()]
    npu, total = (np.array([ours[k] / theirs[k] for theirs, ours in pairs]) for k in (0, 1))
    assert len(pairs) == 6 * 21 * 11
    assert np.abs(npu - 1).max() <= 0.15
    assert np.sum(np.abs(total - 1) > 0.25) <= 1
    assert np.median(np.maximum(npu, 1 / npu)) <= 1.001
    assert np.median(np.maximum(total, 1 / total)) <= 1.002


def _random_networks(seed: int, count: int) -> dict[str, tuple[list[tuple[str | int, ...]], int, int]]:
    """Chains of up to five layers that fit the staging memory, so that the compiler cascades nothing."""
    rng, found = np.random.default_rng(seed), {}

    def one(*choices: int) -> int:
        return int(rng.choice(choices))

    while len(found) < count:
        size, channels = one(7, 8, 12, 14, 16, 24), one(3, 8, 16, 24, 32, 64, 96, 128)
        layers: list[tuple[str | int, ...]] = []
        left = size
        for _ in range(one(1, 2, 3, 4, 5)):
            kernel, stride = one(1, 1, 3, 3, 5), one(1, 1, 2)
            if kernel > left:
                continue
            what = rng.choice(["conv", "conv", "conv", "depthwise", "max", "average"])
            if what == "conv":
                layers.append(("conv", one(16, 24, 32, 64, 96, 128), kernel, stride))
            elif what == "depthwise":
                layers.append(("depthwise", 3, stride) if left >= 3 else ("conv", 32, 1, stride))
            elif left >= 4 and layers:
                stride = 2
                layers.append((str(what), 2, 2))
            else:
                continue
            left = -(-left // stride)
        if layers:
            found[f"{seed}-{len(found)}"] = (layers, size, channels)
    return found


def test_networks_drawn_at_random(tmp_path: Path) -> None:
    """Nothing was mended for these: 30 networks, each on a target and with weights drawn too."""
    rng, ratios = np.random.default_rng(4), []
    for layers, size, channels in _random_networks(2026, 30).values():
        target, kind = str(rng.choice([*TARGETS, *SIZES])), str(rng.choice(KINDS))
        path = write_network(tmp_path / "n.tflite", kind, layers, size, channels)
        theirs, ours = vela_cycles(path, target), our_cycles(path, target)
        ratios.append((ours[0] / theirs[0], ours[1] / theirs[1]))
    off = np.abs(np.array(ratios) - 1)
    assert np.median(off, axis=0) == pytest.approx((0, 0), abs=0.01)
    assert (off[:, 0] <= 0.15).mean() >= 0.95
    assert (off[:, 1] <= 0.25).mean() >= 0.95


@pytest.mark.parametrize("target", TARGETS)
def test_order_of_the_six_where_weights_outweigh(compare: Callable[[str, str], Compared], target: str) -> None:
    """Every pair, however near: a longer stream never costs fewer cycles, and vela says the same."""
    found = compare("weights outweigh", target)
    ranks = [sorted(KINDS, key=lambda kind: round(found[kind][side][1])) for side in (0, 1)]
    assert ranks[0] == ranks[1]


def test_what_sparsity_gains_on_each_generation(compare: Callable[[str, str], Compared]) -> None:
    """U85: 2:4 nearly halves the NPU's cycles, 50 % unstructured does nothing; U55: only traffic falls."""
    u85, u55 = compare("pixels outweigh", "ethos-u85-256"), compare("weights outweigh", "ethos-u55-128")
    for side in (0, 1):
        assert u85["2:4"][side][0] < 0.6 * u85["dense"][side][0]
        assert u85["0.5"][side][0] > 0.98 * u85["dense"][side][0]
        for kind in ("0.5", "2:4"):
            assert u55[kind][side][0] > 0.98 * u55["dense"][side][0]
            assert u55[kind][side][2] < 0.75 * u55["dense"][side][2]
