"""What an interrupted run needs to go on: arrays by name and a few numbers, in one safetensors file.

No pickle: opening a checkpoint runs nothing. It is written whole or not at all, carries a fingerprint of
the run it belongs to, and another run's checkpoint is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..errors import FileFormatError, InputError
from ..files import read_bytes, write_atomic

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

LIMIT_BYTES = 1 << 31
NEXT_STEP = "delete it to start over, or name another output"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run at the end of an epoch.

    `stage` and `epoch` say what comes next (epoch 0: the stage has not begun); `arrays` holds weights,
    masks, codes, codebooks and the optimiser's moments by name, `errors_pct` what was measured so far.
    Random numbers need no state: every epoch draws its own from the seed, the stage and its number.
    """

    stage: str
    epoch: int
    arrays: Mapping[str, NDArray[Any]]
    errors_pct: Mapping[str, float] = field(default_factory=dict)


def save_checkpoint(path: Path, checkpoint: Checkpoint, fingerprint: str, run: str) -> None:
    """Write `checkpoint` to `path`; `run` describes its run in words, for whoever meets it later."""
    about = {
        "kind": "picojoule checkpoint 1", "fingerprint": fingerprint, "run": run, "stage": checkpoint.stage,
        "epoch": str(checkpoint.epoch), "errors_pct": json.dumps(dict(checkpoint.errors_pct)),
    }  # fmt: skip
    arrays = {name: np.array(array, order="C") for name, array in checkpoint.arrays.items()}
    write_atomic(path, save(arrays, metadata=about))


def load_checkpoint(path: Path, fingerprint: str, run: str) -> Checkpoint | None:
    """The checkpoint at `path`, or None where there is none.

    Raises InputError for another run's checkpoint, FileFormatError for a damaged one.
    """
    if not path.exists():
        return None
    content = read_bytes(path, limit_bytes=LIMIT_BYTES, what="a checkpoint")
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        about = header["__metadata__"]
        arrays = load(content)
        stage, epoch, errors = about["stage"], int(about["epoch"]), json.loads(about["errors_pct"])
        found, described = about["fingerprint"], about["run"]
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        wanted = "one that picojoule compress wrote"
        raise FileFormatError(str(path), "a damaged checkpoint", wanted, NEXT_STEP) from error
    if found != fingerprint:
        got = f"a checkpoint of {described}" + (" with other settings, data or versions" if described == run else "")
        raise InputError(str(path), got, f"one of {run}", NEXT_STEP)
    return Checkpoint(stage, epoch, arrays, errors)
