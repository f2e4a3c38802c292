"""What runs inside another layer: by hand on small graphs, and a network by name against its folded ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import picojoule
from picojoule.models.build import GraphBuilder
from picojoule.models.exporters.onnx import export_onnx
from picojoule.models.fusion import folded_biases, fused_nodes
from picojoule.models.memory import peak_activation_bits
from picojoule.models.zoo import build_network


def test_convolution_normalization_activation() -> None:
    net = GraphBuilder("net", (1, 3, 8, 8))
    net.conv("conv", 4, 3, pad=1, bias=False)
    net.norm("norm")
    net.relu("relu")
    graph = net.build()
    assert fused_nodes(graph) == {"norm", "relu"}
    assert folded_biases(graph, {"norm", "relu"}) == {"conv": 4}
    # input 3 x 64 and output 4 x 64 values of 32 bits: both others reuse the output's memory
    assert peak_activation_bits(graph) == 7 * 64 * 32


def test_a_bias_takes_the_shift_in() -> None:
    net = GraphBuilder("net", (1, 8))
    net.gemm("fc", 4)
    net.norm("norm")
    assert folded_biases(net.build(), {"norm"}) == {}


def test_what_another_node_reads_stays() -> None:
    net = GraphBuilder("net", (1, 3, 8, 8))
    conv = net.conv("conv", 3, 1)
    norm = net.norm("norm")
    net.add("add", "sum", (conv, norm))
    assert fused_nodes(net.build()) == set()


def test_a_networks_output_stays() -> None:
    net = GraphBuilder("net", (1, 3, 8, 8))
    conv = net.conv("conv", 3, 1)
    norm = net.norm("norm")
    assert fused_nodes(net.build(norm, conv)) == set()


def test_normalization_before_a_convolution_stays() -> None:
    """DenseNet: only the normalizations between two convolutions fold, and the stem's."""
    graph = build_network("densenet-121")
    kept = [n.name for n in graph if n.op == "batch_normalization" and n.name not in fused_nodes(graph)]
    assert len(kept) == 58 + 3 + 1  # first of each layer, transitions, head


@pytest.mark.parametrize("name", ["resnet-18", "mobilenet-v1-0.25-128", "mlperf-tiny-kws", "mlperf-tiny-vww"])
def test_a_name_costs_what_its_onnx_file_costs(name: str, tmp_path: Path) -> None:
    """The importer folds normalization into the weights; the named network must not be dearer for keeping it."""
    graph = build_network(name)
    values = {n: np.full(p.shape, 0.01, np.float32) for n, p in graph.parameters.items()}
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(export_onnx(graph.with_parameters(values)))
    named, read = (picojoule.estimate(model, "generic-45nm").totals for model in (name, str(path)))
    keys = ("energy_pj", "macs", "weight_bytes", "dram_bytes", "peak_activation_bytes")
    wanted: dict[str, Any] = {key: pytest.approx(read[key], rel=1e-9) for key in keys}
    assert {key: named[key] for key in keys} == wanted
