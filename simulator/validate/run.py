"""validate(target): all comparisons, or one target's."""

from __future__ import annotations

from functools import partial

from ...models.errors import InputError
from .bars import bar_rows
from .eie_paper import eie_rows
from .mapped import MAPPED, mapped_rows
from .npus import NPUS, npu_rows
from .processors import PROCESSORS, processor_rows
from .rows import Validation

__all__ = ["VALIDATED", "validate"]

VALIDATED = ("eie", *MAPPED, *PROCESSORS, *NPUS)
OWN_ROWS = {"eie": eie_rows} | {name: partial(mapped_rows, name) for name in MAPPED}
OWN_ROWS |= {name: partial(npu_rows, name) for name in NPUS}


def validate(target: str | None = None) -> Validation:
    """Predicted beside measured, out of fold; every validated target when none is named.

    Raises InputError for a target without published measurements.
    """
    if target is not None and target not in VALIDATED:
        raise InputError("--target", target, f"a target with measurements: {', '.join(VALIDATED)}")
    chosen = (target,) if target else VALIDATED
    goals = () if target else tuple(bar_rows())
    rows = [row for name in chosen for row in (OWN_ROWS[name]() if name in OWN_ROWS else processor_rows(name))]
    return Validation(tuple(rows), goals)
