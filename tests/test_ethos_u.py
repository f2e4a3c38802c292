"""Ethos-U by hand and by its own codec: weight streams, blocks, cycles of one block, what the cost says."""

from __future__ import annotations

import numpy as np
import pytest

from picojoule import estimate
from picojoule.simulator.ethos_u import Block, Operation, choose_block, operation_cycles, stream_bits
from picojoule.simulator.ethos_u.weights import golomb_bits, traverse
from picojoule.simulator.target import EthosUTarget, load_target

mlw_codec = pytest.importorskip("ethosu.mlw_codec", reason="ethos-u-vela has no wheel for this platform")


def target(name: str) -> EthosUTarget:
    found = load_target(name)
    assert isinstance(found, EthosUTarget)
    return found


def pruned(density: float, shape: tuple[int, ...], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.clip(np.round(rng.normal(size=shape) * 30), -127, 127)
    values[values == 0] = 1
    size = np.abs(values) + rng.random(shape)
    return (values * (size >= np.quantile(size, 1 - density))).astype(np.int16)


@pytest.mark.parametrize("density", [1.0, 0.5, 0.3, 0.2, 0.1, 0.05])
@pytest.mark.parametrize("shape", [(64, 64, 3, 3), (128, 64, 1, 1), (32, 24, 3, 3)])
def test_weight_stream_within_six_percent_of_the_real_encoder(shape: tuple[int, int, int, int], density: float) -> None:
    weights = pruned(density, shape, 1)
    ohwi = np.ascontiguousarray(weights.transpose(0, 2, 3, 1))
    real = 8 * len(mlw_codec.reorder_encode(8, 8, ohwi, 32, False, False, 8, 8, 8)[0])
    assert stream_bits(weights) == pytest.approx(real, rel=0.06)


def test_stream_order_by_loops() -> None:
    """Depth first: 8 output channels and 8 input channels innermost, kernel positions, then channels, outputs."""
    weights = np.arange(1, 16 * 32 * 2 + 1).reshape(16, 32, 1, 2)
    expected = [
        weights[8 * k + i, 8 * c + j, 0, s]
        for k in range(2) for c in range(4) for s in range(2) for i in range(8) for j in range(8)
    ]  # fmt: skip
    assert traverse(weights, part_kernel=False).tolist() == expected


def test_golomb_rice_by_its_code_words() -> None:
    """Divisor 4: 9 is quotient 2 in unary (3 bits) and remainder 1 in 2 bits."""
    assert golomb_bits(np.array([9, 9])) == 10


def test_cycles_of_one_block_by_hand() -> None:
    """U55-128, 8 x 8 x 16 outputs, 1 x 1 kernel, 32 inputs: 8 x 4 microblocks of 1 x 2 x 8 in area, 2 in depth.

    MACs: 4 cycles x 32 x 2 = 256. Output: 0.5 x 1024 = 512. Issue: (2 x 32 latency + 2048 / 8 + 1024 / 8
    bytes + 256 + 512) / 4 = 304. One block: 512 + max(256, 304).
    """
    layer = Operation("conv", (8, 8, 32), (8, 8, 16))
    block = Block((8, 8, 16), (8, 8, 32), (1, 2, 8), part_kernel=False)
    sram = target("ethos-u55-128").memory("sram")
    places = {"inputs_in": sram, "outputs_in": sram, "constants_in": sram}
    assert operation_cycles(layer, block, target("ethos-u55-128"), **places) == 512 + 304


def test_block_holds_twice_in_the_shared_memory() -> None:
    """U55-128: 24 banks less 2 reserved and 2 for output; inputs in fours, accumulators in eights, both double."""
    layer = Operation("conv", (16, 16, 64), (16, 16, 64), (3, 3))
    block = choose_block(layer, target("ethos-u55-128"))
    inputs = -(-2 * -(-block.inputs[0] * block.inputs[1] * block.inputs[2] // 1024) // 4) * 4
    sums = -(-2 * -(-block.outputs[0] * block.outputs[1] * block.outputs[2] * 4 // 1024) // 8) * 8
    assert inputs + sums <= 20
    assert (block.outputs, block.inputs) == ((8, 8, 16), (10, 10, 32))  # as ethos-u-vela 5.2.0 prints it


def test_traffic_falls_with_sparsity_and_the_answer_says_on_what_it_rests() -> None:
    layer = "conv:N=1,K=256,C=256,H=8,W=8,R=3,S=3,pad=1"
    dense, half = (estimate(layer, "ethos-u55-128", density=density) for density in (1.0, 0.5))
    assert half.bits_by_level()["flash"].sum() < 0.75 * dense.bits_by_level()["flash"].sum()
    assert half.totals["macs_performed"] == dense.totals["macs_performed"]  # zeros are multiplied all the same
    assert any("shorten the weight stream and nothing else" in text for text in half.assumptions)
    assert half.workload.basis == "statistical"


def test_the_answer_says_which_layers_run_as_2_of_4() -> None:
    """Half of the weights at random: no four in a row of channels has to have two."""
    layer = "conv:N=1,K=64,C=64,H=8,W=8,R=3,S=3,pad=1"
    cost = estimate(layer, "ethos-u85-256", density=0.5)
    assert any("0 of 1 layers; zeros of the others only shorten the weight stream" in text for text in cost.assumptions)


def test_a_layer_without_a_rule_is_unmodelled() -> None:
    """Groups of more than one channel are split over several operations by the compiler: no rule here."""
    cost = estimate("conv:N=1,K=8,C=8,H=8,W=8,R=3,S=3,pad=1,groups=2", "ethos-u85-256")
    assert cost.partial
    assert "no rule" in cost.unmodelled[0].reason


def test_a_kernel_too_large_for_two_blocks_runs_with_one() -> None:
    """ViT's 16 x 16 patches at stride 16 on U85: no block fits twice."""
    layer = Operation("conv", (224, 224, 3), (14, 14, 768), (16, 16), (16, 16))
    assert choose_block(layer, target("ethos-u85-256")).outputs[2] >= 8
