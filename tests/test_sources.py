"""Which layers feed which: views and fused operators walked through, branches seen."""

from __future__ import annotations

from picojoule import estimate
from picojoule.models.load import load_model
from picojoule.simulator.sources import row_sources, sole_reader
from picojoule.simulator.workload import make_workload


def test_a_residual_block_by_hand() -> None:
    """ResNet-18's first block: the pool feeds the first convolution and the sum behind the second."""
    workload = make_workload(load_model("resnet-18"))
    rows = dict(zip(workload.names, workload.sources, strict=True))
    place = {name: i for i, name in enumerate(workload.names)}
    assert rows["stem.conv"] == (-1,)
    assert rows["stage1.1.add"] == (place["stage1.1.2.conv"], place["stem.pool"])
    assert sole_reader(workload.sources, place["stem.pool"]) is None
    assert sole_reader(workload.sources, place["stage1.1.1.conv"]) == place["stage1.1.2.conv"]


def test_views_are_walked_through() -> None:
    """LeNet-5's first fully connected layer reads the flattened second pool."""
    model = load_model("lenet-5")
    workload = make_workload(model)
    kinds = [workload.kinds[source] for source in workload.sources[workload.kinds.index("gemm")]]
    assert kinds == ["max_pool"]
    nodes = [node for node in model.graph if node.name in workload.names]
    assert row_sources(model.graph, nodes) == workload.sources


def test_what_two_layers_read_goes_off_the_chip() -> None:
    """MobileNetV2 on TPU v1: the buffer keeps activations for the next layer only. What a sum reads again further on
    comes back from DRAM, so it was written there."""
    cost = estimate("mobilenet-v2", "tpu-v1")
    sources, kinds = cost.workload.sources, cost.workload.kinds
    written = sum(move.write_bits for move in cost.traffic if move.level == "dram" and move.operand == "output")
    convs = [place for place, kind in enumerate(kinds) if kind == "conv"]
    shared = [place for place in convs if sum(place in read for read in sources) > 1]
    kept = [place for place in convs if not written[place]]
    assert len(shared) == 5  # the blocks' outputs that a sum and the next block read, where no sum made them
    assert kept
    assert not set(shared) & set(kept)
