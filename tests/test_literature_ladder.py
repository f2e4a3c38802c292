"""The ladder of any network: its sizes are real streams and files, its synthetic weights say so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from picojoule.cli import main
from picojoule.models.codecs import encode
from picojoule.models.compress.post_training import compress_without_training
from picojoule.models.literature.lab import pruned_bytes
from picojoule.models.literature.ladder import network_ladder, plan_layers
from picojoule.models.load import load_model
from picojoule.models.pico import decode_pico, encode_pico
from picojoule.simulator.ladder import size_ladder


@pytest.mark.parametrize("name", ["lenet-300-100@deep-compression", "lenet-5@deep-compression"])
def test_huffman_step_is_the_shipped_file_without_its_header(name):
    """And every step within 16 bytes of the prediction that reports use, which is written apart from the encoders."""
    model, found = load_model(name), network_ladder(name)
    header = sum(row.bytes for row in model.ledger if row.section in ("header", "checksum"))
    assert found.steps["Huffman"] == (model.file_bytes or 0) - header
    assert found.methods["relative5+huffman"] == found.steps["Huffman"]
    assert found.weight_error is None
    for rung in size_ladder(model)[:3]:
        assert found.steps[rung.step] == pytest.approx(rung.bytes, abs=16)


def test_synthetic_network_against_its_pico_file():
    """The whole of MLPerf Tiny's keyword spotting network, coded layer by layer and as one file."""
    found = network_ladder("mlperf-tiny-kws", density=0.3, bits=4)
    assert found.basis.startswith("SYNTHETIC")
    from picojoule.models.literature import with_synthetic_weights

    graph = with_synthetic_weights(load_model("mlperf-tiny-kws").graph)
    model = compress_without_training(graph, density=0.3, bits=4)
    file = decode_pico(encode_pico(model), "kws.pico")
    header = sum(row.bytes for row in file.ledger if row.section in ("header", "checksum"))
    assert found.steps["Huffman"] == (file.file_bytes or 0) - header
    lost = sum(float(np.square(graph.parameters[n].values - t.values).sum()) for n, t in model.coded.items())
    energy = sum(float(np.square(graph.parameters[n].values).sum()) for n in model.coded)
    assert found.weight_error == pytest.approx(lost / energy, rel=1e-4)
    assert found.methods["csr"] is not None
    csr = sum(sum(map(len, encode(type(t)(t.codes, t.codebook, t.code_bits, "csr")).sections.values()))
              for t in model.coded.values())  # fmt: skip
    assert found.methods["csr"] - csr == 4 * (graph.parameter_count - found.weights)
    assert found.methods["nm2:4"] is None


def test_pruned_bytes_by_hand():
    """One weight, 70 zeros, one weight: gaps of at most 31 need 2 pads: 4 entries of 37 bits are 19 bytes."""
    array = np.zeros(72, np.float32)
    array[[0, 71]] = 1
    assert pruned_bytes([array]) == 19


def test_plans_come_from_the_tables_or_are_given():
    assert plan_layers(load_model("vgg-16").graph)["conv1_1"].density == 0.58
    assert {plan.bits for plan in plan_layers(load_model("squeezenet-1.1").graph).values()} == {8}
    given = plan_layers(load_model("vgg-16").graph, 0.5, 3)
    assert {(plan.density, plan.bits) for plan in given.values()} == {(0.5, 3)}


def test_command_prints_and_gives_json(capsys):
    assert main(["paper", "ladder", "lenet-5@deep-compression", "mlperf-tiny-kws"]) == 0
    text = capsys.readouterr().out
    assert "synthetic" in text
    assert "zstd on codes" in text
    assert main(["paper", "ladder", "mlperf-tiny-kws", "--json", "--density", "0.5"]) == 0
    document = json.loads(capsys.readouterr().out)
    [row] = document["networks"]
    assert row["weight_density"] == pytest.approx(0.5, abs=0.01)
    assert row["steps_bytes"]["dense"] == 4 * load_model("mlperf-tiny-kws").graph.parameter_count
    assert main(["paper", "ladder", "no-such-network"]) == 1
