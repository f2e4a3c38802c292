"""An accelerator as a TOML file describes it: memory levels, PE arrays, MACs, sparse features, mapspaces.

`load_target("chip.toml")` gives an `AcceleratorTarget`; `simulator.mapper` maps layers on it:

    hierarchy, machine = make_hierarchy(target), make_machine(target)     # machine: energies, widths, bandwidths
    problem = make_problem(bounds)                                        # bounds: models.loops.LoopBounds
    mapping = parse_mapping(["dram: K6 C64", "buffer: N4 P13", ...], hierarchy, problem)
    counts = count_accesses(problem, hierarchy, mapping.factors[None], mapping.orders)
    counts.reads[mapping, level, operand]                                 # words, all instances of a level
    cost = charge(counts, hierarchy, machine)                             # energy_pj, cycles, by level and resource

and `best_mapping(bounds, target, objective="energy")` searches. Sparse and precision variants of one mapping:
`make_machine(target, weight_bits=..., word_bits=..., issued=..., gated=...)`, its arrays with leading axes.

`levels` and every list derived from them run from the OUTERMOST (DRAM) to the INNERMOST. The loop nest of
a mapping is a list of blocks, outermost first: each level's own temporal loops, and below the level that
an array names in `below`, that array's `<array>_x`, `<array>_between` (temporal) and `<array>_y` loops.
Dims: N, G (groups), K and C (channels of one group), P, Q, R, S.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .target_base import Constant, Count, Format, Name, Struct, TargetBase

__all__ = [
    "DIMS", "OPERANDS", "AcceleratorTarget", "Array", "BlockRule", "Dim", "Level", "Mac", "Mapspace", "Operand",
    "Precision", "Sparse", "Unit",
]  # fmt: skip

DIMS = ("N", "G", "K", "C", "P", "Q", "R", "S")
OPERANDS = ("weight", "input", "output")
Dim = Literal["N", "G", "K", "C", "P", "Q", "R", "S"]
Operand = Literal["weight", "input", "output"]
Order = Annotated[str, Meta(pattern=r"^[NGKCPQRS]( [NGKCPQRS])*$")]
Preset = Literal["row-stationary", "weight-stationary", "output-stationary", "input-stationary"]


class Level(Struct, frozen=True, kw_only=True):
    """One memory level. Sizes, bandwidths, leakage and energies are those of ONE instance.

    Capacity is shared by the operands kept, as `capacity_bits` of which `double_buffered` levels use half;
    left out it is unbounded. An access moves `width_bits`; bandwidths left out are unlimited, and `ports` allow
    as many accesses a cycle, reads and writes together. Energies are per access; where `energy_fit` names a CACTI
    fit, what is left out comes from capacity, width and node, and what is neither given nor fitted is 0.
    `resident_weights`, of the first level on the chip: weights of a network that all fit stay there between batches.
    """

    name: Name
    component: Literal["sram", "dram", "noc"] = "sram"
    keeps: tuple[Operand, ...]
    capacity_bits: Constant | None = None
    width_bits: Count
    ports: Count | None = None
    read_bits_per_cycle: Constant | None = None
    write_bits_per_cycle: Constant | None = None
    shared_bits_per_cycle: Constant | None = None
    read_pj: Constant | None = None
    write_pj: Constant | None = None
    leakage_w: Constant | None = None
    area_mm2: Constant | None = None
    energy_fit: Literal["cacti-hp", "cacti-lstp"] | None = None
    double_buffered: bool = False
    resident_weights: bool = False
    formats: tuple[Format, ...] = ("dense",)


class Array(Struct, frozen=True, kw_only=True):
    """A mesh of x times y copies of everything inside level `below`, and the network that feeds it.

    `multicast`: who shares one read of `below`: `any` PEs that need the same tile, whole `axis` only (an
    axis along which all PEs need the same tile), or `none`. `halo`: `tiles`, only identical tiles are
    shared; `words`, overlapping windows are too (a diagonal or a shift register delivers each word once).
    `reduce`: the axes along which partial sums add up on their way to `below`. `bits_per_cycle`: what the bus
    of an operand carries; a word that PEs share crosses once, partial sums have as much again the other way.
    """

    name: Name
    below: Name
    x: Count = 1
    y: Count = 1
    multicast: Literal["any", "axis", "none"] = "any"
    halo: Literal["tiles", "words"] = "tiles"
    reduce: tuple[Literal["x", "y"], ...] = ("x", "y")
    transfer_pj_per_bit: Constant | None = None
    bits_per_cycle: dict[Operand, Constant] = msgspec.field(default_factory=dict)


class Precision(Struct, frozen=True, kw_only=True):
    """Energy and rate of a MAC at other widths than its own."""

    weight_bits: Count
    input_bits: Count
    energy_pj: Constant
    macs_per_cycle: Count = 1


class Mac(Struct, frozen=True, kw_only=True):
    """The multiply-accumulate unit of each PE: its native widths, energy of one, energy of a gated one."""

    weight_bits: Count
    input_bits: Count
    output_bits: Count
    accumulator_bits: Count | None = None
    macs_per_cycle: Count = 1
    energy_pj: Constant
    gated_pj: Constant | None = None
    leakage_w: Constant | None = None
    precisions: tuple[Precision, ...] = ()


class Sparse(Struct, frozen=True, kw_only=True):
    """What zeros of one operand save.

    `gate`: the MAC's energy; `skip`: its cycle too; `n_m`: cycles of n in m weights, only where the weights
    have that pattern. `two_sided` saves the same where the other operand is zero. Compressed storage in `format` at
    `levels` costs `decode_pj_per_symbol` for each symbol read and `metadata_pj_per_bit` for each index bit.
    """

    operand: Literal["weight", "input"]
    saves: Literal["nothing", "gate", "skip", "n_m"]
    two_sided: bool = False
    n: Count | None = None
    m: Count | None = None
    format: Format = "dense"
    levels: tuple[Name, ...] = ()
    decode_pj_per_symbol: Constant | None = None
    metadata_pj_per_bit: Constant | None = None


class Unit(Struct, frozen=True, kw_only=True):
    """A unit beside the array that layers without weights stream through: pooling, sums, activations.

    `kinds` are the layers that it runs, `elements_per_cycle` how many it takes a cycle. Its inputs come from
    the outermost level and its outputs go there. A kind that no unit names is `unmodelled`.
    """

    name: Name
    kinds: tuple[Annotated[str, Meta(min_length=1)], ...]
    elements_per_cycle: Constant
    energy_pj: Constant | None = None


class BlockRule(Struct, frozen=True, kw_only=True):
    """Loops allowed in one block of the nest; a dim named nowhere has factor 1 there.

    `free` dims take any factor, `rest` dims what remains of them. `order`, outermost first, fixes the
    loops' order; `innermost` keeps these dims inside all others of the block; with neither, every order.
    """

    free: tuple[Dim, ...] = ()
    rest: tuple[Dim, ...] = ()
    order: Order | None = None
    innermost: tuple[Dim, ...] = ()


class Mapspace(Struct, frozen=True, kw_only=True):
    """The mappings that a search may choose from: a preset dataflow, rules by block over it, bypasses.

    `bypass` lists (level, operand) pairs that may also skip the level; `ceil` allows spatial factors that
    do not divide (the outermost spatial factor of a dim is then rounded up).
    """

    preset: Preset | None = None
    blocks: dict[str, BlockRule] = msgspec.field(default_factory=dict)
    bypass: tuple[tuple[Name, Operand], ...] = ()
    ceil: bool = False
    note: str = ""


class AcceleratorTarget(TargetBase, frozen=True, kw_only=True, tag_field="model", tag="accelerator"):
    """energy = sum over levels and operands of accesses x energy + MACs x energy + leakage x time.

    `executes` are the storage formats that the hardware decodes; `mapspace` names the default of
    `mapspaces`. `extra_cycles_per_layer` are start and drain outside the model of resources.
    """

    clock_hz: Constant
    area_mm2: Constant | None = None
    mac: Mac
    levels: tuple[Level, ...]
    arrays: tuple[Array, ...] = ()
    sparse: tuple[Sparse, ...] = ()
    units: tuple[Unit, ...] = ()
    mapspaces: dict[Name, Mapspace]
    mapspace: Name
    fill_drain: Literal["none", "tile"] = "none"
    extra_cycles_per_layer: Constant | None = None
    scaled_from_nm: Constant | None = None

    def level(self, name: str) -> Level:
        return next(level for level in self.levels if level.name == name)

    @property
    def blocks(self) -> tuple[tuple[str, str, int], ...]:
        """(name, "temporal" | "spatial", place) of every block of the nest, outermost first.

        `place` is the index of the level for a level's own loops, of the array for an array's.
        """
        found: list[tuple[str, str, int]] = []
        for place, level in enumerate(self.levels):
            found.append((level.name, "temporal", place))
            for number, array in enumerate(self.arrays):
                if array.below == level.name:
                    found += [(f"{array.name}_x", "spatial", number), (f"{array.name}_between", "between", number)]
                    found.append((f"{array.name}_y", "spatial", number))
        return tuple(found)
