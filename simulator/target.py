"""A piece of hardware, as a TOML file describes it. Every number carries a source and a status.

Six kinds of cost model read a target, named by its `model` key:

- `processor` (CPU, GPU, phone, microcontroller): a data sheet, class tables, corrections where it was measured;
- `eie`: the sparse accelerator of Han et al., ISCA 2016, from its component powers;
- `access-energy`: energy per operation and per access, no clock (Horowitz, ISSCC 2014);
- `accelerator`: memory levels, PE arrays and mapspaces, which simulator/mapper maps layers on (accelerator.py);
- `ethos-u`: Arm's microNPUs (target_ethos_u.py);
- `systolic`: a plain R x C array with one dataflow (target_systolic.py).
"""

from __future__ import annotations

import re
import tomllib
from copy import deepcopy
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from ..models.errors import TargetError
from ..models.files import read_bytes
from . import targets
from .accelerator import AcceleratorTarget
from .target_base import FORMAT_PATTERN, Constant, Count, Interval, Name, Struct, TargetBase
from .target_ethos_u import EthosUTarget
from .target_processor import ProcessorTarget
from .target_rules import check_rules
from .target_systolic import SystolicTarget

__all__ = [
    "DEFAULT_TARGETS",
    "AcceleratorTarget",
    "AccessEnergyTarget",
    "Constant",
    "EieTarget",
    "Interval",
    "MacEnergy",
    "Memory",
    "ProcessorTarget",
    "SystolicTarget",
    "Target",
    "load_target",
    "parse_target",
    "target_name_for",
    "target_names",
    "target_template",
]

TARGET_LIMIT_BYTES = 1 << 20
TEMPLATES = {"device": "template.txt", "accelerator": "template-accelerator.txt",
             "systolic": "template-systolic.txt"}  # fmt: skip
DEFAULT_TARGETS = ("core-i7-5930k", "eie", "generic-45nm", "titan-x")  # of explore, report and demo


class Memory(Struct, frozen=True, kw_only=True):
    """One level. `capacity_bits` may be left out (unbounded), `bandwidth_bits_per_s` too (unlimited)."""

    name: Name
    component: Literal["sram", "dram"]
    capacity_bits: Constant | None = None
    bandwidth_bits_per_s: Constant | None = None
    access_pj_per_bit: Constant | None = None


class MacEnergy(Struct, frozen=True, kw_only=True):
    """Energy of one multiply-accumulate of `bits`-wide operands."""

    bits: Count
    arithmetic: Literal["int", "float"]
    energy_pj: Constant


class EieTarget(TargetBase, frozen=True, kw_only=True, tag_field="model", tag="eie"):
    """64 processing elements over interleaved, compressed columns."""

    clock_hz: Constant
    n_pe: Count
    fifo_depth: Count
    max_codes: Count
    zero_run_bits: Count
    entry_bits: Count
    pointer_bits: Count
    activation_bits: Count
    spmat_bits_per_pe: Constant
    pointer_memory_bits_per_pe: Constant
    activation_register_words: Constant
    spmat_width_bits: Constant
    pe_power_w: dict[Name, Constant]
    shared_power_w: dict[Name, Constant]
    power_component: dict[Name, Literal["mac", "sram", "noc", "static"]]

    @property
    def power_w(self) -> dict[str, float]:
        """Power of the whole chip by component: n_pe times one PE's, and what the PEs share."""
        per_pe = {name: self.n_pe * constant.value for name, constant in self.pe_power_w.items()}
        return per_pe | {name: constant.value for name, constant in self.shared_power_w.items()}


class AccessEnergyTarget(TargetBase, frozen=True, kw_only=True, tag_field="model", tag="access-energy"):
    """Energy per operation and access only; latency is not modelled."""

    mac_energies: tuple[MacEnergy, ...]
    add_energies: tuple[MacEnergy, ...]
    memories: tuple[Memory, ...]


Target = ProcessorTarget | EieTarget | AccessEnergyTarget | AcceleratorTarget | EthosUTarget | SystolicTarget


def _at(document: object, path: str) -> object:
    """The value at a msgspec path such as `$.memories[1].capacity_bits`, if it is there."""
    here = document
    for part in path.removeprefix("$").replace("[", ".[").split("."):
        if not part:
            continue
        try:
            here = here[int(part[1:-1])] if part.startswith("[") else here[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError, ValueError):
            return "nothing there"
    return here


def _which(document: object, text: str) -> str:
    """A msgspec message with every `[...]`, some value of a table, resolved to its key.

    A table is cut down to one key at a time until the same message remains.
    """
    found = text
    while "[...]" in found:
        table = found.partition(" - at `")[2].partition("[...]")[0]
        keys = _at(document, table)
        for key in keys if isinstance(keys, dict) else ():
            less = deepcopy(document)
            _at(less, table.rpartition(".")[0])[table.rpartition(".")[2]] = {key: keys[key]}  # type: ignore[index]
            try:
                msgspec.convert(less, Target)
            except msgspec.ValidationError as error:
                if str(error) == text:
                    document, found = less, found.replace("[...]", f".{key}", 1)
                    break
        else:
            break
    return found


def _explain(error: msgspec.ValidationError, document: object, where: str) -> TargetError:
    text, _, path = _which(document, str(error)).partition(" - at `")
    if path.startswith("key` in `"):  # an enum as the key of a table
        field = path.removeprefix("key` in `").rstrip("`").removeprefix("$.")
        return TargetError(f"{where}: {field}", text.split("'")[1], "a value that the template names",
                           "see: picojoule targets new FILE")  # fmt: skip
    path = path.rstrip("`") or "$"
    field = path.removeprefix("$").lstrip(".")
    if text.startswith("Object contains unknown field"):
        unknown = text.split("`")[1]
        return TargetError(
            f"{where}: {field + '.' if field else ''}{unknown}",
            "a key nobody knows",
            "a known key",
            "see: picojoule targets new FILE",
        )
    if text.startswith("Object missing required field"):
        missing = text.split("`")[1]
        return TargetError(
            f"{where}: {field + '.' if field else ''}{missing}",
            "nothing",
            "a value",
            "every number needs value, source and status",
        )
    wanted = text.split(", got")[0].removeprefix("Expected ")
    if wanted.endswith(repr(FORMAT_PATTERN)):
        wanted = "a storage format: dense, bitmask, csr, csc, coo, rlc, eie_csc4, relative4, nm2:4, block4x4, ..."
    if text.startswith("Invalid"):  # an enum: msgspec repeats what it got
        return TargetError(f"{where}: {field}", _at(document, path), "a value that the template names",
                           "see: picojoule targets new FILE")  # fmt: skip
    return TargetError(f"{where}: {field or 'document'}", _at(document, path), wanted)


def parse_target(content: bytes, where: str) -> Target:
    """A Target from the text of a TOML file; raises TargetError with the field's path."""
    try:
        document = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TargetError(where, str(error), "a TOML file", "see: picojoule targets new FILE") from None
    try:
        target = msgspec.convert(document, Target)
    except msgspec.ValidationError as error:
        raise _explain(error, document, where) from None
    check_rules(target, where)
    return target


@cache
def _shipped() -> dict[str, Target]:
    folder = resources.files(targets)
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    parsed = [parse_target(file.read_bytes(), file.name) for file in files]
    return {target.name: target for target in parsed}


def target_names() -> list[str]:
    """Names of the targets that ship with the package."""
    return sorted(_shipped())


def target_name_for(path: str) -> str:
    """The name of a target that is to be written to `path`.

    >>> target_name_for("out/My Board.toml")
    'my-board'
    """
    name = re.sub(r"[^a-z0-9._-]+", "-", Path(path).stem.lower()).strip("-._") or "my-device"
    return name[:80]


def target_template(path: str, kind: str = "device") -> str:
    """The text of a commented target file, named after the file it is for; `kind` is one of TEMPLATES."""
    text = resources.files(targets).joinpath(TEMPLATES[kind]).read_text("utf-8")
    return text.replace("@NAME@", target_name_for(path)).replace("@FILE@", path)


def load_target(name_or_path: str) -> Target:
    """A shipped target by name or alias, or one described in a TOML file of the user's."""
    if name_or_path.endswith(".toml") and "\0" not in name_or_path:
        content = read_bytes(name_or_path, limit_bytes=TARGET_LIMIT_BYTES, what="a target in TOML")
        return parse_target(content, Path(name_or_path).name)
    direct = resources.files(targets).joinpath(f"{name_or_path}.toml")
    if re.fullmatch("[a-z0-9._-]{1,80}", name_or_path) and direct.is_file():
        return parse_target(direct.read_bytes(), direct.name)
    for target in _shipped().values():
        if name_or_path == target.name or name_or_path in target.aliases:
            return target
    raise TargetError(
        "--target", name_or_path, f"one of {', '.join(target_names())}, or a .toml file", "see: picojoule targets"
    )
