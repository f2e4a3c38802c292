"""The command line as a script sees it: exit codes, one-line errors, JSON documents."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from picojoule.cli import main
from picojoule.commands import parse_quantity
from picojoule.models.errors import InputError

TOTALS = {
    "energy_pj", "latency_s", "energy_pj_per_inference", "latency_s_per_inference", "macs", "macs_performed",
    "macs_gated", "weight_bytes", "file_bytes", "dram_bytes", "load_bytes", "peak_activation_bytes", "weight_density",
    "error_pct",
}  # fmt: skip
KEYS = {
    "schema", "version", "model", "target", "batch", "fits", "overflow_bytes", "partial", "totals",
    "energy_by_component_pj", "bytes_by_level", "intervals", "layers", "assumptions", "unmodelled",
}  # fmt: skip


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    try:
        code = main(argv)
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def estimate(capsys: pytest.CaptureFixture[str], *argv: str) -> dict:
    code, out, err = run(capsys, "estimate", *argv, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


@pytest.mark.parametrize("target", ["eie", "core-i7-5930k", "titan-x", "generic-45nm"])
def test_estimate_document_has_every_key_of_the_contract(capsys, target):
    document = estimate(capsys, "lenet-300-100@deep-compression", "--target", target)
    assert set(document) >= KEYS
    assert set(document["totals"]) >= TOTALS
    assert set(document["energy_by_component_pj"]) == {"mac", "sram", "dram", "noc", "static"}
    parts = sum(document["energy_by_component_pj"].values())
    assert parts == pytest.approx(document["totals"]["energy_pj"])
    assert sum(row["energy_pj"] for row in document["layers"]) == pytest.approx(parts)
    assert document["totals"]["macs"] == 266_200


def test_several_targets_come_as_a_list(capsys):
    documents = estimate(capsys, "lenet-5", "--target", "eie,titan-x")["estimates"]
    assert [document["target"] for document in documents] == ["eie", "titan-x"]


def test_macs_of_a_layer_written_out_by_hand(capsys):
    """Alex-6: 9216 x 4096 products a sample, batch 64; dense fp32 weights are 4 bytes each."""
    document = estimate(capsys, "gemm:M=64,N=4096,K=9216", "--target", "core-i7-5930k")
    assert document["totals"]["macs"] == 64 * 4096 * 9216
    assert document["totals"]["weight_bytes"] == 4 * 4096 * 9216
    assert document["totals"]["dram_bytes"] == 4 * (4096 * 9216 + 64 * (4096 + 9216))


def test_convolutions_on_eie_are_named_and_not_free(capsys):
    document = estimate(capsys, "lenet-5", "--target", "eie")
    assert document["partial"] is True
    assert {row["layer"] for row in document["unmodelled"]} == {"conv1", "pool1", "conv2", "pool2"}
    conv = next(row for row in document["layers"] if row["name"] == "conv1")
    assert conv["energy_pj"] is None
    assert conv["modelled"] is False
    assert document["intervals"] is None


def test_a_network_larger_than_eie_does_not_fit(capsys):
    """37.7 M dense weights against 8 MiB of sparse matrix memory."""
    document = estimate(capsys, "gemm:M=1,N=4096,K=9216", "--target", "eie")
    assert document["fits"] is False
    assert document["overflow_bytes"] == 4096 * 9216 - 8 * 2**20
    assert run(capsys, "check", "gemm:M=1,N=4096,K=9216", "--target", "eie", "--max", "energy=1J")[0] == 3


def test_check_keeps_a_budget(capsys):
    model = "lenet-300-100@deep-compression"
    assert run(capsys, "check", model, "--target", "eie", "--max", "energy=1mJ", "--max", "latency=1ms")[0] == 0
    code, out, err = run(capsys, "check", model, "--target", "eie", "--max", "energy=1nJ", "--json")
    assert code == 3
    assert json.loads(out)["ok"] is False
    assert len(err.splitlines()) == 1


def test_storage_is_not_execution(capsys):
    """Huffman-coded weights on a CPU cost the energy and time of the format its kernel executes."""
    model = "lenet-300-100@deep-compression"
    plain = estimate(capsys, model, "--target", "core-i7-5930k", "--format", "relative5")
    coded = estimate(capsys, model, "--target", "core-i7-5930k", "--format", "relative5+huffman")
    for key in ("energy_pj", "latency_s", "dram_bytes"):
        assert coded["totals"][key] == plain["totals"][key]
    assert coded["totals"]["load_bytes"] < plain["totals"]["load_bytes"]


def test_recompressing_drops_the_error_until_it_is_measured(capsys):
    model = "lenet-300-100@deep-compression"
    assert estimate(capsys, model, "--target", "titan-x")["totals"]["error_pct"]["n"] == 10_000
    document = estimate(capsys, model, "--target", "titan-x", "--density", "0.05", "--bits", "4")
    assert document["totals"]["error_pct"] is None
    assert document["totals"]["weight_density"] == pytest.approx(0.05, abs=0.001)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["estimate", "nowhere.onnx", "--target", "eie"], "nowhere.onnx: got no such file"),
        (["estimate", "nowhere.pico", "--target", "eie"], "nowhere.pico: got no such file"),
        (["estimate", "lenet-6", "--target", "eie"], "lenet-6"),
        (["estimate", "lenet-5", "--target", "eye"], "--target: got eye"),
        (["estimate", "lenet-5", "--target", "eie", "--bits", "-3"], "--bits: got -3"),
        (["estimate", "lenet-5", "--target", "eie", "--bits", "many"], "--bits: got many"),
        (["estimate", "lenet-5", "--target", "eie", "--density", "1.5"], "--density: got 1.5"),
        (["estimate", "lenet-5", "--target", "eie", "--density", "nan"], "--density: got nan"),
        (["estimate", "lenet-5", "--target", "eie", "--batch", "0"], "--batch: got 0"),
        (["estimate", "lenet-5", "--target", "eie", "--format", "zip"], "--format: got zip"),
        (["estimate", "lenet-5", "--target", "eie", "--layer", "fc9"], "--layer: got fc9"),
        (["estimate", "lenet-5", "--target", "eie", "--strict"], "--strict"),
        (["estimate", "gemm:M=0,N=1,K=1", "--target", "eie"], "M"),
        (["check", "lenet-5", "--target", "eie", "--max", "energy=5"], "--max energy: got 5"),
        (["check", "lenet-5", "--target", "eie", "--max", "colour=5"], "--max: got colour=5"),
        (["compress", "lenet-5", "-o", "x.onnx"], "--output: got x.onnx"),
        (["export", "lenet-5", "-o", "no/such/folder/x.onnx"], "folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(capsys, argv, said):
    code, out, err = run(capsys, *argv)
    assert code == 1
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("content", ["", "nothing = here", "schema = [", "\x00\xff"])
def test_a_wrong_target_file_is_one_line(capsys, tmp_path, content):
    path = tmp_path / "mine.toml"
    path.write_bytes(content.encode("latin-1"))
    code, _, err = run(capsys, "estimate", "lenet-5", "--target", str(path))
    assert code == 1
    assert re.fullmatch(r"picojoule: .*mine\.toml.*\n", err)


def test_unknown_flag_and_missing_argument_exit_with_2(capsys):
    assert run(capsys, "estimate", "lenet-5", "--target", "eie", "--colour")[0] == 2
    assert run(capsys, "estimate", "lenet-5")[0] == 2


def test_quantities_with_units_by_hand():
    assert parse_quantity("5mJ", "energy", "--max") == 5e9
    assert parse_quantity("1MiB", "size", "--max") == 1_048_576
    assert parse_quantity("20ms", "latency", "--max") == pytest.approx(0.02)
    with pytest.raises(InputError):
        parse_quantity("5 apples", "energy", "--max")


def test_json_is_always_finite(capsys):
    document = estimate(capsys, "gemm:M=1,N=1,K=1", "--target", "eie,titan-x,core-i7-5930k,generic-45nm")
    text = json.dumps(document, allow_nan=False)
    assert "NaN" not in text
    assert all(np.isfinite(e["totals"]["energy_pj"]) for e in document["estimates"])


def test_networks_and_targets_list_what_ships(capsys):
    _, out, _ = run(capsys, "networks", "--json")
    names = {row["name"]: row for row in json.loads(out)["networks"]}
    assert names["lenet-300-100"]["parameters"] == 266_610
    assert names["lenet-5"]["parameters"] == 431_080
    assert "lenet-5@deep-compression" in names
    _, out, _ = run(capsys, "targets", "--json")
    assert {row["name"] for row in json.loads(out)["targets"]} >= {"eie", "core-i7-5930k", "titan-x", "generic-45nm"}


def test_inspect_accounts_for_every_byte(capsys):
    _, out, _ = run(capsys, "inspect", "lenet-300-100@deep-compression", "--json")
    document = json.loads(out)
    assert sum(row["bytes"] for row in document["ledger"]) == document["file_bytes"]
    assert {row["section"] for row in document["ledger"]} >= {"codes", "indices", "padding", "codebook", "header"}


def test_explain_terms_sum_to_the_estimate(capsys):
    total = estimate(capsys, "lenet-300-100@deep-compression", "--target", "eie")["totals"]["energy_pj"]
    _, out, _ = run(capsys, "explain", "lenet-300-100@deep-compression", "--target", "eie", "--json")
    document = json.loads(out)
    assert sum(sum(term["energy_pj"]) for term in document["terms"]) == pytest.approx(total)
    constants = [q for term in document["terms"] for q in term["inputs"] if q["status"]]
    assert constants
    assert all(q["source"] for q in constants)


def test_what_is_left_out_is_said_first(run_python: Callable[..., Any]) -> None:
    """No layer of SqueezeNet runs on EIE: no 0 J; of LeNet-5 two of six layers do."""
    nothing = run_python("-m", "picojoule", "estimate", "squeezenet-1.1", "--target", "eie")
    assert "NOTHING MODELLED" in nothing.stdout
    assert "0 J" not in nothing.stdout.split("layer ")[0]
    some = run_python("-m", "picojoule", "estimate", "lenet-5@deep-compression", "--target", "eie")
    assert "PARTIAL, 2 of 6 layers" in some.stdout
