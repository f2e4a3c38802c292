"""How fast files are described: structure and shapes, no weights."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from .harness import Row, time_command


def bench_light_vgg19() -> list[Row]:
    """The onnx package's own VGG-19, 143 M weights that are never made."""
    import onnx

    path = Path(onnx.__file__).parent / "backend/test/data/light/light_vgg19.onnx"
    timing = time_command(["-m", "picojoule", "inspect", str(path), "--json"], expect="143667240")
    return [Row("picojoule inspect light_vgg19.onnx", timing.cpu_s, "CPU s", "< 1")]


def bench_large_onnx() -> list[Row]:
    """500 MB of weights in one file: shapes alone are asked for."""
    import onnx
    from onnx import helper, numpy_helper

    weight = numpy_helper.from_array(np.zeros((8192, 15_360), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], "g",
        [helper.make_tensor_value_info("x", 1, (1, 15_360))],
        [helper.make_tensor_value_info("y", 1, (1, 8192))], [weight],
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
        timing = time_command(["-m", "picojoule", "inspect", str(path), "--json"], expect="125829120")
    return [Row("picojoule inspect, 503 MB in one file", timing.cpu_s, "CPU s", "< 1")]


def bench_networks() -> list[Row]:
    timing = time_command(["-m", "picojoule", "networks", "--json"], expect="efficientnet-b7")
    return [Row("picojoule networks, all of them built", timing.cpu_s, "CPU s", "< 2")]
