"""Under energies that grow with size, a buffer can be too small and too large: the U of energy against its size."""

from __future__ import annotations

import json

import pytest

from picojoule.cli import main
from picojoule.models.errors import InputError
from picojoule.models.loops import LoopBounds
from picojoule.simulator.accelerator import AcceleratorTarget
from picojoule.simulator.mapper.sweep import buffer_sweep
from picojoule.simulator.target import load_target

LAYER = LoopBounds(N=1, K=64, C=64, P=14, Q=14, R=3, S=3)
KIB = 8192


def eyeriss() -> AcceleratorTarget:
    target = load_target("eyeriss-168")
    assert isinstance(target, AcceleratorTarget)
    return target


def test_energy_against_buffer_size_is_a_u() -> None:
    points = buffer_sweep(LAYER, eyeriss(), "shared_glb", [KIB * 2**i for i in range(-2, 10)])
    energies = [point.result.energy_pj for point in points]
    least = energies.index(min(energies))
    assert 0 < least < len(energies) - 1
    assert energies[0] > 1.5 * energies[least]
    assert energies[-1] > 1.02 * energies[least]
    assert all(point.result.proven for point in points)
    dram = [point.result.access_pj[0].sum() for point in points]
    assert dram == sorted(dram, reverse=True)


def test_a_level_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"^buffer_sweep: got cache, cacti-lstp.*wanted a level among shared_glb"):
        buffer_sweep(LAYER, eyeriss(), "cache", [KIB])


def test_the_command_shows_the_u(capsys: pytest.CaptureFixture[str]) -> None:
    """Least energy inside the range, more at both ends; the size of the target's own buffer among them."""
    arguments = ["map", "alexnet", "--target", "eyeriss-168", "--layer", "conv3", "--sweep", "shared_glb"]
    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    sizes, energies = ([row[key] for row in document["sizes"]] for key in ("capacity_bytes", "energy_pj"))
    assert 102_400 in sizes
    assert energies[0] > min(energies) < energies[-1]
    assert energies.index(min(energies)) not in (0, len(energies) - 1)
    assert main(arguments) == 0
    assert "least" in capsys.readouterr().out


@pytest.mark.parametrize(("wrong", "message"), [
    (["--layer", "conv3", "--sweep", "cache"], "a level with a capacity: shared_glb, ifmap_spad"),
    (["--layer", "conv3", "--sweep", "dram"], "a level with a capacity: shared_glb"),
    (["--sweep", "shared_glb"], "one --layer and one objective"),
    (["--layer", "conv3", "--sweep", "shared_glb", "--objective", "pareto"], "one --layer and one objective"),
])  # fmt: skip
def test_a_wrong_sweep_is_refused(wrong: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", "alexnet", "--target", "eyeriss-168", *wrong]) == 1
    assert message in capsys.readouterr().err
