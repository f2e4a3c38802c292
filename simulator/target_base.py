"""What every target file shares: numbers with a source and a status, names, scope, measured intervals."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "Constant", "Count", "Format", "Fraction", "Interval", "Name", "Positive", "Status", "Struct", "TargetBase",
]  # fmt: skip

Status = Literal["measured", "published", "derived", "assumed"]
Positive = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)]
FORMAT_PATTERN = (
    r"^(dense|bitmask|csr|csc|coo|rlc|eie_csc4|relative([1-9]|1[0-6])|nm[1-9]\d?:[1-9]\d?|block[1-9]\d?x[1-9]\d?)$"
)
Format = Annotated[str, Meta(pattern=FORMAT_PATTERN)]


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Frozen, and refusing keys it does not know."""


class Constant(Struct, frozen=True, kw_only=True):
    """One number with its origin; the unit is in the name of the field that holds it."""

    value: Positive
    source: str
    status: Status
    low: Positive | None = None
    high: Positive | None = None
    note: str = ""

    def at(self, level: str) -> float:
        """The value at `low`, `default` or `high`; the default where no range is given."""
        chosen = {"low": self.low, "high": self.high}.get(level)
        return self.value if chosen is None else chosen


class Interval(Struct, frozen=True, kw_only=True):
    """Measured over predicted, as quantiles of the out-of-fold residuals of `validate`."""

    level: Fraction
    latency_ratio: tuple[Positive, Positive]
    energy_ratio: tuple[Positive, Positive]
    n: Count
    basis: str


class TargetBase(Struct, frozen=True, kw_only=True):
    schema: Literal[1]
    name: Name
    title: str
    kind: Literal["cpu", "gpu", "mcu", "accelerator", "view"]
    scope: str
    sources: dict[str, str]
    executes: tuple[Format, ...]
    aliases: tuple[Name, ...] = ()
    node_nm: Constant | None = None
    interval: Interval | None = None
    notes: tuple[str, ...] = ()

    @property
    def off_chip_levels(self) -> tuple[str, ...]:
        """Memory levels behind the chip's edge, whose traffic is `dram_bytes`."""
        return ("dram",)
