"""What to explore: a frozen Study, from Python or from a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ...models.errors import InputError
from ...models.files import read_bytes
from ..formats import parse_format

__all__ = ["BITS", "DENSITIES", "FORMATS", "SHIPPED", "Study", "read_study"]

Bits = Annotated[int, Meta(ge=1, le=16)]
Density = Annotated[float, Meta(gt=0, le=1)]
BITS = (1, 2, 3, 4, 5, 6, 8)
DENSITIES = (0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.12, 0.15, 0.2, 0.3, 0.5, 1.0)
FORMATS = ("dense", "bitmask", "csr", "relative4", "relative5", "relative8", "relative5+huffman", "eie_csc4")
SHIPPED = ("lenet-300-100@deep-compression", "lenet-5@deep-compression")
STUDY_LIMIT_BYTES = 1 << 20
DESIGN_LIMIT = 2_000_000


class Study(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every combination of models, targets, bits, densities and formats is one design.

    `densities` are the most that any one layer keeps of its weights, so 1.0 leaves a network as it is.
    Errors are measured on `split`; those of the designs on the front also on the test split.

    >>> Study(models=("lenet-5@deep-compression",), targets=("eie",)).combinations
    105
    """

    models: tuple[str, ...]
    targets: tuple[str, ...]
    bits: tuple[Bits, ...] = BITS
    densities: tuple[Density, ...] = DENSITIES
    formats: tuple[str, ...] = FORMATS
    batch: Annotated[int, Meta(ge=1)] = 1
    energy: Literal["low", "default", "high"] = "default"
    residency: Literal["warm", "cold"] = "warm"

    def __post_init__(self) -> None:
        for name in ("models", "targets", "bits", "densities", "formats"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                got = "nothing" if not values else f"{list(values)}, with one of them twice"
                raise InputError(f"study: {name}", got, "at least one value, each once")
        for name in self.formats:
            parse_format(name)
        designs = self.combinations * len(self.formats) * len(self.targets) * len(self.models)
        if designs > DESIGN_LIMIT:
            raise InputError("study", f"{designs:,} designs", f"at most {DESIGN_LIMIT:,}", "leave some values out")

    @property
    def combinations(self) -> int:
        """How many pairs of bits and density, each measured once per model."""
        return len(self.bits) * len(self.densities)


def read_study(path: str) -> Study:
    """A Study from a TOML file. Raises InputError with the field's path."""
    name = Path(path).name
    content = read_bytes(path, limit_bytes=STUDY_LIMIT_BYTES, what="a study in TOML")
    try:
        return msgspec.convert(tomllib.loads(content.decode()), Study)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(name, error, "a TOML file", 'for example models = ["lenet-5@deep-compression"]') from None
    except msgspec.ValidationError as error:
        text, _, field = str(error).partition(" - at `$")
        where = f"{name}: {field.strip('`.') or 'document'}"
        raise InputError(where, text, "the fields of a study", "models, targets, bits, densities, formats") from None
