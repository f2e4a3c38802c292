"""`picojoule map` and accelerators in TOML: what it prints, what it refuses, and how it says so."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from picojoule.cli import main
from picojoule.models.errors import InputError, TargetError
from picojoule.models.loops import LoopBounds
from picojoule.simulator.accelerator import AcceleratorTarget
from picojoule.simulator.estimate import estimate
from picojoule.simulator.mapper import best_mapping, evaluate_mapping
from picojoule.simulator.target import load_target, parse_target, target_template

CONV3 = "conv:N=4,K=384,C=256,H=13,W=13,R=3,S=3,pad=1"
MAPPING = ["DRAM: M6 C64", "shared_glb: N4 P13", "spatial_x: Q13", "spatial_y: M4 S3", "weights_spad: R3 C4",
           "psum_spad: M16"]  # fmt: skip
TEMPLATE = target_template("mine.toml", "accelerator")


def eyeriss() -> AcceleratorTarget:
    target = load_target("eyeriss-168")
    assert isinstance(target, AcceleratorTarget)
    return target


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["map", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_given_mapping_is_costed_as_timeloop_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "conv3.toml"
    file.write_text(f"[layer.conv]\nmapping = {json.dumps(MAPPING)}\n")
    document = run_json(capsys, CONV3, "--target", "eyeriss-168", "--mapping", str(file))
    (layer,) = document["layers"]
    rows = {(row["level"], row["operand"]): row for row in layer["levels"]}
    assert rows["psum_spad", "output"]["reads_words_per_instance"] == 3828864
    assert rows["shared_glb", "input"]["fills_words"] == 1382400
    assert layer["energy_pj"] == pytest.approx(2927.08e6, rel=1e-5)
    assert layer["cycles"] == layer["cycles_by_resource"]["compute"] == 3833856
    assert not layer["proven"]


def test_the_best_mapping_is_proven_and_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    document = run_json(capsys, CONV3, "--target", "eyeriss-168", "--mapspace", "a")
    (layer,) = document["layers"]
    assert layer["proven"]
    assert layer["gap"] == 0
    assert layer["energy_pj"] == pytest.approx(2791.795218e6, rel=1e-9)  # exhaustion of mapspace a says the same
    assert layer["evaluated"] + layer["pruned"] == layer["mapspace_size"]
    assert sum(layer["energy_by_part_pj"].values()) == pytest.approx(layer["energy_pj"], rel=1e-12)


def test_energy_alone_costs_cycles_and_the_front_shows_both(capsys: pytest.CaptureFixture[str]) -> None:
    document = run_json(capsys, "conv:N=1,K=32,C=16,H=14,W=14,R=3,S=3,pad=1", "--target", "eyeriss-168",
                        "--objective", "pareto")  # fmt: skip
    front = document["layers"][0]["front"]
    assert len(front) > 2
    assert sorted(front, key=lambda point: point["cycles"]) == sorted(front, key=lambda point: -point["energy_pj"])


def test_a_network_is_mapped_layer_by_layer_and_says_what_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    document = run_json(capsys, "lenet-5", "--target", "eyeriss-168", "--mapspace", "a")
    assert [layer["name"] for layer in document["layers"]] == ["conv1", "conv2", "ip1", "ip2"]
    assert {row["layer"] for row in document["unmodelled"]} == {"pool1", "pool2"}
    assert document["totals"]["energy_pj"] == pytest.approx(sum(x["energy_pj"] for x in document["layers"]))
    assert main(["map", "lenet-5", "--target", "eyeriss-168", "--layer", "conv1"]) == 0
    assert "proven the best by energy" in capsys.readouterr().out


def test_a_budget_gives_the_best_found_and_its_gap() -> None:
    result = best_mapping(LoopBounds(N=4, K=96, C=64, P=13, Q=13, R=3, S=3), eyeriss(), budget_s=1e-6)
    best = best_mapping(LoopBounds(N=4, K=96, C=64, P=13, Q=13, R=3, S=3), eyeriss())
    assert not result.proven
    assert best.proven
    assert result.bound <= best.energy_pj <= result.energy_pj
    assert result.gap == pytest.approx(result.energy_pj / result.bound - 1)


WRONG = [
    (["DRAM: N4 K6"], "mapping: K: got loops of 6, wanted factors of 384"),
    (["DRAM: K6 K2"], "mapping[0]: got K2, wanted K once"),
    (["cache: K384"], "mapping[0]: got cache, wanted a block: dram, shared_glb"),
    (["DRAM K384"], "mapping[0]: got DRAM K384, wanted a block and its loops"),
    (["DRAM: X3"], "mapping[0]: got X3, wanted a dim among"),
    (["DRAM: K384 C256 N4 P13 R3 S3", "spatial_x: Q13", "psum_spad: K1", "spatial_y: N1"], None),
    (["DRAM: K12 C256 N4 P13 Q13 R3 S3", "spatial_x: K32"], "mapping: spatial_x: got 32, wanted at most 14 PEs"),
    (["DRAM: C256 N4 P13 Q13 R3 S3", "psum_spad: K384"], "mapping: weights_spad: got tiles of 6144 bits"),
]


@pytest.mark.parametrize(("lines", "message"), WRONG)
def test_a_wrong_mapping_is_refused_with_its_line(lines: list[str], message: str | None) -> None:
    bounds = LoopBounds(N=4, K=384, C=256, P=13, Q=13, R=3, S=3)
    if message is None:
        assert evaluate_mapping(bounds, eyeriss(), lines).energy_pj > 0
        return
    with pytest.raises(InputError) as caught:
        evaluate_mapping(bounds, eyeriss(), lines)
    assert str(caught.value).startswith(message)


def test_a_layer_that_fits_nothing_is_refused_and_says_why() -> None:
    with pytest.raises(InputError, match=r"S = 13, which may loop in spatial_y only"):
        best_mapping(LoopBounds(K=4, P=9, Q=9, R=13, S=13), eyeriss())
    with pytest.raises(InputError, match=r"tiles that do not fit ifmap_spad, wanted a mapping in mapspace b"):
        best_mapping(LoopBounds(K=4, P=9, Q=9, R=13, S=3), eyeriss())


TARGETS = [
    ('keeps = ["weight", "input", "output"]', 'keeps = ["input", "output"]', "levels[0].keeps: got no weight"),
    ("read_bits_per_cycle = { value = 256", "read_bits_per_cycle = { value = 0", "levels[1].read_bits_per_cycle.value"),
    ('formats = ["dense"] ', 'formats = ["csr"] ', "levels[0].formats: got csr, wanted a format that the hardware"),
    ('below = "buffer"', 'below = "cache"', "arrays[0].below: got cache, wanted a level: dram, buffer, registers"),
    ('mapspace = "free"', 'mapspace = "b"', "mapspace: got b, wanted one of free"),
    ("pe_y = {", "pe_z = {", "mapspaces.free.blocks.pe_z: got pe_z, wanted a block"),
    ('pe_x = { free = ["K"] }', 'pe_x = { free = ["K"], rest = ["K"] }', "mapspaces.free.blocks.pe_x: got K both"),
    ('pe_x = { free = ["K"] }', 'pe_x = { free = ["K", "C"], order = "K" }', "mapspaces.free.blocks.pe_x.order"),
    ('name = "registers"', 'name = "buffer"', "levels, arrays: got two blocks named 'buffer'"),
    ("value = 64, source", "value = 2, source", "levels[2].capacity_bits: got 2.0, wanted room for one word"),
    ("[node_nm] ", "[area_mm2] ", "levels[1].energy_fit: got cacti-lstp"),
    ("value = 1048576", "value = 8", "levels[1].capacity_bits: got 8.0, wanted room for one word each of"),
    ('pe_x = { free = ["K"] }', 'pe_x = { free = ["Z"] }', "mapspaces.free.blocks.pe_x.free[0]: got Z, wanted a value"),
    ('pe_x = { free = ["K"] }', 'pe_x = { fre = ["K"] }', "mapspaces.free.blocks.pe_x.fre: got a key nobody knows"),
    ("[mapspaces.free]", '[mapspaces.free]\npreset = "spiral"', "mapspaces.free.preset: got spiral, wanted a value"),
    ('formats = ["dense"] ', 'formats = ["zip"] ', "levels[0].formats[0]: got zip, wanted a storage format: dense"),
    ('reduce = ["y"]', 'bits_per_cycle = { input = { value = 0, source = "guess", status = "assumed" } }',
     "arrays[0].bits_per_cycle.input.value: got 0, wanted"),
]


@pytest.mark.parametrize(("old", "new", "message"), TARGETS)
def test_a_wrong_accelerator_is_refused_on_load(old: str, new: str, message: str) -> None:
    assert old in TEMPLATE
    with pytest.raises(TargetError) as caught:
        parse_target(TEMPLATE.replace(old, new, 1).encode(), "mine.toml")
    assert str(caught.value).startswith(f"mine.toml: {message}")


def test_the_template_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    assert main(["targets", "new", str(file), "--kind", "accelerator"]) == 0
    capsys.readouterr()
    document = run_json(capsys, "conv:N=1,K=32,C=16,H=14,W=14,R=3,S=3,pad=1", "--target", str(file))
    assert document["totals"]["proven"]
    assert main(["map", "lenet-5", "--target", "eie"]) == 1
    assert "wanted an accelerator" in capsys.readouterr().err


@pytest.mark.parametrize("spec", ["conv:N=1,K=50,C=20,H=12,W=12,R=5,S=5", "gemm:M=4,N=500,K=800"])
def test_estimate_of_one_layer_is_its_best_mapping(spec: str) -> None:
    """Where no layer follows, nothing stays on the chip, and all the energy is the mapping's."""
    cost = estimate(spec, "eyeriss-168")
    (bounds,) = cost.workload.bounds
    assert bounds is not None
    results = [best_mapping(bounds, eyeriss(), objective) for objective in ("energy", "edp")]
    found = (cost.totals["energy_pj"], cost.totals["latency_s"])
    assert any(found == pytest.approx((r.energy_pj, r.cycles / 200e6), rel=1e-9) for r in results)


def test_layers_in_a_chain_cost_no_more_than_their_best_mappings() -> None:
    cost = estimate("lenet-5", "eyeriss-168")
    results = [best_mapping(bounds, eyeriss(), "edp") for bounds in cost.workload.bounds if bounds is not None]
    assert cost.totals["energy_pj"] <= sum(result.energy_pj for result in results)
    assert np.count_nonzero(cost.macs_performed) == len(results)


def test_an_interrupted_search_says_so_and_nothing_else() -> None:
    """Ctrl-C in the middle: exit 130, one line, and no promise of what was kept, as nothing is."""
    command = [sys.executable, "-m", "picojoule", "map", "mobilenet-v2", "--target", "eyeriss", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the first layer is being mapped
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not out
    assert err.splitlines()[-1] == "picojoule: interrupted"
