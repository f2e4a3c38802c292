"""An Arm Ethos-U microNPU: an array of 8-wide dot products over blocks held in internal memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from .target_base import Constant, Count, Name, Positive, Struct, TargetBase

__all__ = ["EthosUMemory", "EthosUTarget", "ethos_u_rules"]

Channel = Literal["input", "stream", "weight", "scale", "transfer"]
Shape = Annotated[tuple[Count, Count, Count], Meta(description="height, width, depth")]


class EthosUMemory(Struct, frozen=True, kw_only=True):
    """A memory behind an AXI port: bandwidth, latency, bursts, and reads and writes in flight a port."""

    name: Name
    component: Literal["sram", "dram"]
    bandwidth_bits_per_s: Constant
    burst_bytes: Count
    read_latency_cycles: Annotated[int, Meta(ge=0)]
    write_latency_cycles: Annotated[int, Meta(ge=0)]
    access_pj_per_bit: Constant
    capacity_bits: Constant | None = None
    max_reads: Count = 1
    max_writes: Annotated[int, Meta(ge=0)] = 1
    ports: Count = 1


class EthosUTarget(TargetBase, frozen=True, kw_only=True, tag_field="model", tag="ethos-u"):
    """Blocks of outputs are computed in microblocks; weights stream compressed, feature maps from SRAM or DRAM.

    U55 and U65 share one internal memory (`shared_banks` of 1 KiB) between inputs and accumulators; U85 has
    `input_ram_bytes`, `accumulator_ram_bytes` and `output_ram_bytes`, its `input_units` (by microblock, for at most
    16, at most 32 and more channels: height, width, bricks of 16 channels) and `read_buffer_beats` (reads in flight
    by channel, in beats of 16 bytes). `sparse_2_of_4` says whether 2:4 weights run twice as fast.
    """

    family: Literal["u55", "u65", "u85"]
    system_configuration: str
    clock_hz: Constant
    macs_per_cycle: Count
    cores: Count
    microblocks: tuple[Shape, ...]
    wide_microblocks: tuple[Shape, ...] = ()
    elementwise_microblocks: tuple[Shape, ...] = ()
    output_cycles_per_element: Constant
    activation_cycles_per_element: Constant
    add_cycles_per_element: Constant
    max_pool_cycles_per_element: Constant
    shared_banks: Annotated[int, Meta(ge=0)] = 0
    reserved_banks: Annotated[int, Meta(ge=0)] = 0
    input_granule_banks: Count = 1
    accumulator_granule_banks: Count = 1
    input_ram_bytes: Annotated[int, Meta(ge=0)] = 0
    accumulator_ram_bytes: Annotated[int, Meta(ge=0)] = 0
    output_ram_bytes: Annotated[int, Meta(ge=0)] = 0
    input_units: dict[str, tuple[Shape, Shape, Shape]] = msgspec.field(default_factory=dict)
    read_buffer_beats: dict[Channel, Count] = msgspec.field(default_factory=dict)
    sparse_2_of_4: bool
    feature_maps_in: Name
    weights_in: Name
    staging_in: Name
    memories: tuple[EthosUMemory, ...]
    mac_energy_pj: Constant
    static_power_w: Constant

    def memory(self, name: str) -> EthosUMemory:
        """The memory of that name; the rules make sure that it is there."""
        return next(memory for memory in self.memories if memory.name == name)

    @property
    def off_chip_levels(self) -> tuple[str, ...]:
        """DRAM, or the flash that the U55 reads its weights from."""
        return tuple(memory.name for memory in self.memories if memory.component == "dram")

    @property
    def peak_macs_per_s(self) -> Positive:
        return self.macs_per_cycle * self.clock_hz.value


def ethos_u_rules(target: Any) -> Iterator[tuple[str, object, str]]:
    """(field, got, wanted) for what a type cannot say."""
    names = [memory.name for memory in target.memories]
    for field in ("feature_maps_in", "weights_in", "staging_in"):
        if getattr(target, field) not in names:
            yield field, getattr(target, field), f"one of the memories: {', '.join(names)}"
    if target.staging_in in names and target.memory(target.staging_in).capacity_bits is None:
        yield f"memories: {target.staging_in}.capacity_bits", "nothing", "a value, as layers are staged there"
    if not target.microblocks:
        yield "microblocks", "none", "at least one"
    for height, width, depth in (*target.microblocks, *target.wide_microblocks):
        if 8 * height * width * depth * target.cores != target.macs_per_cycle and target.family != "u85":
            yield "microblocks", f"{height} x {width} x {depth}", f"{target.macs_per_cycle} MACs: 8 per output and core"
    separate = target.input_ram_bytes and target.accumulator_ram_bytes
    if bool(separate) == bool(target.shared_banks > target.reserved_banks + 2):
        yield "shared_banks", target.shared_banks, "either shared banks or input_ram_bytes and accumulator_ram_bytes"
    if target.family == "u85":
        yield from _u85_rules(target)
    for memory in target.memories:
        if memory.burst_bytes > 1 << 12:
            yield f"memories: {memory.name}.burst_bytes", memory.burst_bytes, "at most 4096"


def _u85_rules(target: Any) -> Iterator[tuple[str, object, str]]:
    wanted = [*target.microblocks, *target.wide_microblocks, *target.elementwise_microblocks]
    for name in sorted({"x".join(map(str, micro)) for micro in wanted} - set(target.input_units)):
        yield f"input_units.{name}", "nothing", "three sizes: for at most 16, at most 32 and more channels"
    for channel in get_args(Channel):
        if channel not in target.read_buffer_beats:
            yield f"read_buffer_beats.{channel}", "nothing", "the channel's beats of 16 bytes"
    if not target.output_ram_bytes:
        yield "output_ram_bytes", 0, "a positive integer"
