"""Reading and writing files so that nothing is lost and nothing is half-written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import InputError, OutputError

__all__ = ["open_atomic", "read_bytes", "write_atomic"]


@contextmanager
def open_atomic(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file that appears under `path` whole, when the block ends, or not at all.

    Written beside its final place under a temporary name, flushed to disk, then renamed.
    Raises OutputError when the folder is missing, not writable, or the disk is full.
    """
    final = Path(path)
    temporary: Path | None = None
    try:
        if "\0" in str(final) or (final.exists() and not final.is_file()):  # a rename would replace a device by a file
            raise OutputError(str(final), "not a regular file", "name a file")
        descriptor, name = tempfile.mkstemp(prefix=f".{final.name}.", suffix=".part", dir=final.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(final)
        temporary = None
    except OSError as error:
        raise OutputError(str(final), error.strerror or error, "nothing was changed there") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_atomic(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a whole file, or leave what was there as it was."""
    with open_atomic(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def read_bytes(path: str | os.PathLike[str], *, limit_bytes: int, what: str) -> bytes:
    """The bytes of an existing, regular file of at most `limit_bytes`."""
    file = Path(path)
    try:
        if file.is_dir():
            raise InputError(str(file), "a folder", what, "name a file inside it")
        size = file.stat().st_size
        if size > limit_bytes:
            raise InputError(str(file), f"{size} bytes", f"{what} of at most {limit_bytes} bytes")
        with file.open("rb") as stream:
            content = stream.read(limit_bytes + 1)
    except FileNotFoundError:
        raise InputError(str(file), "no such file", what, "check the path") from None
    except OSError as error:
        raise InputError(str(file), error.strerror, f"{what} that can be read") from error
    if len(content) > limit_bytes:
        raise InputError(str(file), "a file that does not end", f"{what} of at most {limit_bytes} bytes")
    return content
