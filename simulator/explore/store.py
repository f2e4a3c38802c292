"""A study's folder: designs.parquet, study.json, errors.csv."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ...models.errors import FileFormatError, InputError, OutputError
from ...models.files import read_bytes, write_atomic
from .study import Study

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_folder", "errors_path", "read_points", "read_stored_study", "write_points"]

POINTS, STUDY, ERRORS = "designs.parquet", "study.json", "errors.csv"
POINTS_LIMIT_BYTES = 1 << 32
NEEDED = ("design", "network", "target", "bits", "density", "format", "error_pct", "energy_pj", "latency_s",
          "storage_bytes", "weight_bytes", "fits", "partial", "front")  # fmt: skip


def check_folder(path: str, study: Study, resume: bool) -> Path:
    """The folder of a study, made if it is not there. Raises OutputError where another study lies in it."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(path, error.strerror or error, "name a folder that can be made") from error
    if (folder / STUDY).exists():
        if read_stored_study(folder) != study:
            raise OutputError(path, "another study lies there", "name another folder; nothing was changed")
    elif resume:
        raise InputError("--resume", path, "a folder in which a study was begun", "leave --resume out")
    write_atomic(folder / STUDY, msgspec.json.format(msgspec.json.encode(study), indent=1))
    return folder


def errors_path(folder: Path) -> Path:
    """Where a study keeps the errors it measured."""
    return folder / ERRORS


def write_points(folder: Path, points: pd.DataFrame) -> None:
    """Write the designs; the same points give the same bytes."""
    content = io.BytesIO()
    points.to_parquet(content, index=False, compression="zstd")
    write_atomic(folder / POINTS, content.getvalue())


def read_stored_study(folder: Path) -> Study:
    """The study that a folder was made for."""
    content = read_bytes(folder / STUDY, limit_bytes=1 << 20, what="a study")
    try:
        return msgspec.json.decode(content, type=Study)
    except (msgspec.DecodeError, InputError) as error:
        raise FileFormatError(STUDY, error, "a study written by picojoule", "explore again") from None


def read_points(folder: Path) -> pd.DataFrame:
    """The designs of a folder. Raises FileFormatError for a file that is none of ours."""
    import pandas as pd
    import pyarrow as pa

    content = read_bytes(folder / POINTS, limit_bytes=POINTS_LIMIT_BYTES, what="explored designs")
    try:
        points = pd.read_parquet(io.BytesIO(content))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FileFormatError(POINTS, error, "a Parquet file", "explore again") from None
    missing = [name for name in NEEDED if name not in points]
    if missing:
        raise FileFormatError(POINTS, f"no column {missing[0]}", "the columns of an exploration", "explore again")
    return points
