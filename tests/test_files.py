"""Files are written whole or not at all, and read only where they are what they should be."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picojoule.models.errors import InputError, OutputError, PicojouleError
from picojoule.models.files import open_atomic, read_bytes, write_atomic

FULL_DISK = """
import resource, signal, sys
from picojoule.models.errors import OutputError
from picojoule.models.files import write_atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_atomic("out.bin", bytes(5000))
except OutputError as error:
    sys.exit(str(error))
"""
KILLED = """
import os
from picojoule.models.files import open_atomic
with open_atomic("out.bin") as stream:
    stream.write(bytes(9999))
    stream.flush()
    os._exit(7)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def old(work_dir: Path) -> Path:
    path = work_dir / "out.bin"
    path.write_bytes(b"old")
    return path


@given(content=st.one_of(st.binary(max_size=300), st.text(st.characters(codec="utf-8"), max_size=300)))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, content: bytes | str) -> None:
    path = tmp_path_factory.getbasetemp() / "round.bin"
    write_atomic(path, content)
    wanted = content.encode() if isinstance(content, str) else content
    assert read_bytes(path, limit_bytes=2000, what="a file") == wanted


def test_the_old_file_stands_until_the_block_ends(old: Path) -> None:
    with open_atomic(old) as stream:
        stream.write(b"new")
        stream.flush()
        assert old.read_bytes() == b"old"
    assert old.read_bytes() == b"new"
    assert names(old.parent) == ["out.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_an_exception_leaves_the_old_file(old: Path, error: type[BaseException]) -> None:
    def write_half() -> None:
        with open_atomic(old) as stream:
            stream.write(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert old.read_bytes() == b"old"
    assert names(old.parent) == ["out.bin"]


def test_a_full_disk_leaves_the_old_file(old: Path, run_python: Callable[..., Any]) -> None:
    """5,000 bytes where the system allows 4,096: the write fails as it does on a full disk."""
    done = run_python("-c", FULL_DISK, cwd=old.parent)
    assert done.returncode == 1
    assert done.stderr == "out.bin: could not write: File too large; nothing was changed there\n"
    assert old.read_bytes() == b"old"
    assert names(old.parent) == ["out.bin"]


def test_a_killed_process_leaves_the_old_file(old: Path, run_python: Callable[..., Any]) -> None:
    """Nobody can tidy up then; what stays is beside the file, hidden, and never under its name."""
    assert run_python("-c", KILLED, cwd=old.parent).returncode == 7
    assert old.read_bytes() == b"old"
    assert all(name == "out.bin" or name.startswith(".out.bin.") for name in names(old.parent))


def test_written_files_are_readable_by_others(work_dir: Path) -> None:
    """mkstemp makes files that only their owner can read; a result is no secret."""
    write_atomic("a", b"")
    assert stat.S_IMODE((work_dir / "a").stat().st_mode) == 0o644


@pytest.mark.parametrize("path", ["missing/a", "file/a", "folder", "n" * 300, "", "a\0b", "pipe"])
def test_where_nothing_can_be_written(work_dir: Path, path: str) -> None:
    (work_dir / "file").write_text("kept")
    (work_dir / "folder").mkdir()
    os.mkfifo("pipe")
    before = names(work_dir)
    with pytest.raises(OutputError, match=r"could not write: .+; ") as error:
        write_atomic(path, b"x")
    assert "\n" not in str(error.value)
    assert names(work_dir) == before
    assert (work_dir / "file").read_text() == "kept"
    assert stat.S_ISFIFO((work_dir / "pipe").stat().st_mode)


def test_a_device_is_not_replaced_by_a_file() -> None:
    """A rename over the null device would work for root, and break the machine."""
    with pytest.raises(OutputError, match="not a regular file"):
        write_atomic(os.devnull, b"x")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_read_bytes_up_to_its_limit(work_dir: Path) -> None:
    (work_dir / "a").write_bytes(bytes(10))
    assert read_bytes("a", limit_bytes=10, what="a thing") == bytes(10)
    with pytest.raises(InputError, match="a: got 10 bytes, wanted a thing of at most 9 bytes"):
        read_bytes("a", limit_bytes=9, what="a thing")


def test_a_file_without_an_end_is_refused() -> None:
    """The size of a device is 0, whatever comes out of it."""
    with pytest.raises(InputError, match="a file that does not end"):
        read_bytes("/dev/zero", limit_bytes=1000, what="a thing")


@pytest.mark.parametrize(
    ("path", "said"),
    [("missing", "no such file"), ("missing/a", "no such file"), ("folder", "a folder"), ("file/a", "Not a directory"),
     ("loop", "symbolic links")],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line(work_dir: Path, path: str, said: str) -> None:
    (work_dir / "file").write_text("")
    (work_dir / "folder").mkdir()
    (work_dir / "loop").symlink_to("loop")
    with pytest.raises(PicojouleError, match=said) as error:
        read_bytes(path, limit_bytes=100, what="a thing")
    assert "\n" not in str(error.value)
    assert "a thing" in str(error.value)
