"""VGG-16 at its full 138 M weights, from weights to file and back; prints what it took as one JSON line.

The weights are synthetic (normal), pruned to the densities of Deep Compression's Table 5 and shared in its 8 and 5
bits: the time depends on sizes and densities, not on what a weight is good for.
"""

# pyright: reportMissingImports=false
# (the editable install's hook is not visible to a type checker)
from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from picojoule.models.compress import compress_without_training
from picojoule.models.pico import read_pico, write_pico
from picojoule.models.zoo import build_network

DENSITY = {
    "conv1_1": 0.58, "conv1_2": 0.22, "conv2_1": 0.34, "conv2_2": 0.36, "conv3_1": 0.53, "conv3_2": 0.24,
    "conv3_3": 0.42, "conv4_1": 0.32, "conv4_2": 0.27, "conv4_3": 0.34, "conv5_1": 0.35, "conv5_2": 0.29,
    "conv5_3": 0.36, "fc6": 0.04, "fc7": 0.04, "fc8": 0.23,
}  # fmt: skip
BITS = {"conv*": 8, "fc*": 5}


def main() -> None:
    graph = build_network("vgg-16")
    rng = np.random.default_rng(0)
    scale = np.float32(0.02)
    graph = graph.with_parameters(
        {name: rng.standard_normal(p.shape, dtype=np.float32) * scale for name, p in graph.parameters.items()}
    )
    start = time.process_time()
    model = compress_without_training(graph, DENSITY, BITS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vgg-16.pico"
        write_pico(model, path)
        size, back = path.stat().st_size, read_pico(path)
    same = all(np.array_equal(back.graph.parameters[n].values, p.values) for n, p in model.graph.parameters.items())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bytes_each = 1 if sys.platform == "darwin" else 1024
    found = {"cpu_s": time.process_time() - start, "peak_bytes": peak * bytes_each, "file_bytes": size, "same": same}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
