"""Ethos-U by hand and by its own codec: weight streams, blocks, cycles of one block, what the cost says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from picojoule import estimate
from picojoule.models.load import load_model
from picojoule.simulator.ethos_u import Block, Operation, choose_block, run_layers, stream_bits
from picojoule.simulator.ethos_u.cycles import Reads, Tensor, array_cycles, channel_rate, memory_cycles
from picojoule.simulator.ethos_u.weights import golomb_bits, traverse
from picojoule.simulator.processors.ethos_u import ethos_u_cost
from picojoule.simulator.target import EthosUTarget, load_target
from picojoule.simulator.workload import make_workload

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

    MACs: 4 cycles x 32 x 2 = 256. Output: 0.5 x 1024 = 512. Read: 32 + 2048 / 8 = 288, write: 32 + 1024 / 8 = 160.
    Issue: (256 + 512) / 4 = 192, a single block's transfers apart. One block: 256 + 512 + 288 + 160.
    """
    layer = Operation("conv", (8, 8, 32), (8, 8, 16))
    block = Block((8, 8, 16), (8, 8, 32), (1, 2, 8), part_kernel=False)
    sram = Tensor(target("ethos-u55-128").memory("sram"), bricks=True)
    assert array_cycles(layer, block, target("ethos-u55-128"), sram, sram, sram.memory) == 256 + 512 + 288 + 160


def test_reads_by_hand() -> None:
    """14 x 14 x 64 in blocks of 4 x 14 x 32 outputs: 4 x 1 x 2 blocks; a 3 x 3 kernel reads 6 x 14 of 14 columns."""
    layer = Operation("conv", (14, 14, 64), (14, 14, 64), (3, 3))
    block = Block((4, 14, 32), (6, 16, 64), (1, 4, 8), part_kernel=False)
    assert Reads.of(layer, block, bricks=True) == Reads(inputs=6 * 14 * 64 * 8, weights=4)


def test_reads_in_flight_bound_a_channel_by_hand() -> None:
    """U85-256, DRAM: 500 cycles latency, bursts of 128 bytes, 8 beats each. Scales have 16 beats: 2 bursts in
    flight, 0.8 x 128 x 2 / 500 bytes a cycle; weights 128 beats: 16 bursts; the bandwidth is 12."""
    u85 = target("ethos-u85-256")
    dram = u85.memory("dram")
    assert channel_rate(dram, u85, "scale") == pytest.approx(0.8 * 128 * 2 / 500)
    assert channel_rate(dram, u85, "weight") == pytest.approx(0.8 * 128 * 16 / 500)
    assert channel_rate(dram, u85) == 12
    assert memory_cycles({"dram": {"scale": 640, "weight": 6400}}, u85) == {"dram": int(6400 / (0.8 * 128 * 16 / 500))}


def test_input_is_copied_where_its_reads_hold_the_first_layer_up() -> None:
    """7 x 7 x 128 to 512 by 1 x 1 on U85-256: 16 blocks read the input again, which DRAM cannot keep up with;
    at 32 outputs it is read once. Both as ethos-u-vela 5.2.0 does."""
    u85 = target("ethos-u85-256")
    many, once = (
        run_layers([Operation("conv", (7, 7, 128), (7, 7, out))], [128 * out * 0.95], u85)[0] for out in (512, 32)
    )
    assert once.copy is None
    assert many.copy is not None
    assert many.copy.block is not None
    assert many.copy.block.outputs == (3, 4, 128)  # as ethos-u-vela 5.2.0 prints it
    assert many.all_npu_cycles == many.npu_cycles + many.copy.npu_cycles


def test_a_sum_behind_a_layer_costs_no_cycles_of_its_own_on_u85() -> None:
    """It runs in the output stage; its operand's bytes and what it writes are still moved."""
    layers = [Operation("conv", (16, 16, 64), (16, 16, 64), (3, 3)), Operation("elementwise", *[(16, 16, 64)] * 2)]
    sources = [(-1,), (0, -1)]
    names = ("ethos-u85-256", "ethos-u55-256")
    u85, u55 = (run_layers(layers, [35_000.0, 0.0], target(name), sources) for name in names)
    assert u85[1].cycles == 0
    assert u55[1].cycles > 0
    alone = run_layers(layers[:1], [35_000.0], target("ethos-u85-256"))[0]
    assert u85[0].moved_by("dram", "input")[0] > alone.moved_by("dram", "input")[0]
    assert u85[0].moved_by("dram", "output")[1] > 0


def test_a_sum_is_not_chained_where_another_layer_reads_what_it_adds() -> None:
    layers = [
        Operation("conv", (16, 16, 64), (16, 16, 64), (3, 3)), Operation("elementwise", *[(16, 16, 64)] * 2),
        Operation("conv", (16, 16, 64), (16, 16, 64), (3, 3)),
    ]  # fmt: skip
    costs = run_layers(layers, [35_000.0, 0.0, 35_000.0], target("ethos-u85-256"), [(-1,), (0, -1), (0,)])
    assert costs[1].cycles > 0


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


@pytest.mark.parametrize("name", ["ethos-u55-128", "ethos-u65-256", "ethos-u85-256"])
@pytest.mark.parametrize("layer", ["conv:N=1,K=256,C=128,H=16,W=16,R=3,S=3,pad=1", "gemm:M=1,N=512,K=512"])
def test_every_byte_of_the_weights_leaves_its_memory(name: str, layer: str) -> None:
    """Staged or not, early or not: at least the stream and 10 bytes of scale and bias an output."""
    chip = target(name)
    cost = estimate(layer, name)
    read = sum(
        move.read_bits.sum() for move in cost.traffic if (move.level, move.operand) == (chip.weights_in, "weight")
    )
    assert read >= cost.stored_bits.sum()


def test_weights_that_come_early_are_counted_all_the_same() -> None:
    """Two layers: the second's first slice comes while the first runs; its bytes are moved, not waited for."""
    layers = [Operation("conv", (16, 16, 64), (16, 16, 64), (3, 3))] * 2
    for name in ("ethos-u65-256", "ethos-u85-256"):
        second = run_layers(layers, [35_000.0] * 2, target(name))[1]
        read, written = second.moved_by(target(name).weights_in, "weight")
        assert read >= 35_000 + 10 * 64
        assert not written


def test_designs_with_other_codebooks_have_other_streams() -> None:
    """Two designs of one workload that share their masks: 4 shared values take fewer bits than 16."""
    workload = make_workload(load_model("gemm:M=1,N=256,K=256"))
    both = replace(workload, codebook_entries=np.array([[4.0], [16.0]]), structures=np.stack([workload.structures] * 2))
    few, many = ethos_u_cost(both, target("ethos-u55-128"), energy="default").stored_bits.sum(axis=-1)
    assert few < many


def plain_bits(symbols: list[int]) -> int:
    """Golomb-Rice symbol by symbol, the best of six divisors."""
    return min(sum((symbol >> d) + 1 + d for symbol in symbols) for d in range(6))


@pytest.mark.parametrize("density", [1.0, 0.5, 0.1, 0.0])
def test_stream_symbol_by_symbol(density: float) -> None:
    """The histograms give what a walk over every weight gives: values, palette of up to 32, and runs of zeros."""
    rng = np.random.default_rng(7)
    weights = np.round(rng.normal(size=(16, 40, 3, 1)) * 6).astype(int) * (rng.random((16, 40, 3, 1)) < density)
    walked = [int(value) for value in traverse(weights, part_kernel=False)]

    def values_bits(values: list[int]) -> int:
        if not values:
            return 0
        folded = [2 * v if v >= 0 else -2 * v - 1 for v in values]
        choices = [plain_bits([f - min(31, min(folded)) for f in folded]), 8 * len(values)]
        if len(set(values)) <= 32:
            ranked = sorted(set(values), key=lambda value: -values.count(value))
            choices += [plain_bits([ranked.index(v) for v in values])]
            choices += [len(values) * max(1, (len(ranked) - 1).bit_length())]
        return min(choices)

    runs, run = [], 0
    for value in walked:
        if value:
            runs.append(run)
            run = 0
        else:
            run += 1
    body = [value for value in walked if value]
    bits = min(values_bits(walked), values_bits(body) + plain_bits([*runs, run]))
    assert stream_bits(weights) == -(-bits // 128) * 128
