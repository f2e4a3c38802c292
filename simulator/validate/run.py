"""validate(target): all comparisons, or one target's."""

from __future__ import annotations

from ...models.errors import InputError
from ..calibrate.refit import PLATFORMS
from .eie_paper import eie_rows
from .platforms import platform_rows
from .rows import Validation

__all__ = ["VALIDATED", "validate"]

VALIDATED = ("eie", *PLATFORMS)


def validate(target: str | None = None) -> Validation:
    """Predicted beside measured, out of fold; every validated target when none is named.

    Raises InputError for a target without published measurements.
    """
    if target is not None and target not in VALIDATED:
        raise InputError("--target", target, f"a target with measurements: {', '.join(VALIDATED)}")
    chosen = (target,) if target else VALIDATED
    return Validation(tuple(row for name in chosen for row in (eie_rows() if name == "eie" else platform_rows(name))))
