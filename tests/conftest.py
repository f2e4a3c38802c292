"""What every test shares: slow tests on request only, a browser if there is one, no network, an empty folder.

CI=true makes hypothesis repeatable. PICOJOULE_REQUIRE_BROWSER=1 turns a missing Chromium into a failure.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic", "--no-first-run",
]  # fmt: skip
LEFT_OUT = pytest.StashKey[int]()
Done = subprocess.CompletedProcess[str]

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

# The programs that tests start should see what a user's shell gives them, not the tester's own settings.
for _name in ("PYTHONWARNINGS", "PYTHONPATH", "PYTHONOPTIMIZE"):
    os.environ.pop(_name, None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="run the tests marked slow too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave slow tests out unless asked for by --run-slow or by an -m expression that names them."""
    config.stash[LEFT_OUT] = 0
    if config.getoption("--run-slow") or "slow" in config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.stash[LEFT_OUT] = len(slow)
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if find_browser() is None:
        terminalreporter.write_line(
            f"BROWSER TESTS WERE SKIPPED: no browser found, looked for {', '.join(BROWSERS)}.", red=True, bold=True
        )
    left_out = config.stash.get(LEFT_OUT, 0)
    if left_out:
        terminalreporter.write_line(f"Slow tests left out: {left_out}. `make test-all` runs them too.")


def find_browser() -> str | None:
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and find_browser() is None:
        message = f"no browser found, looked for {', '.join(BROWSERS)}"
        if os.environ.get("PICOJOULE_REQUIRE_BROWSER") == "1":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


@pytest.fixture(scope="session")
def browser_path() -> str:
    """Path of an installed Chromium, for Playwright's `executable_path`. Needs `pytest.mark.browser`."""
    path = find_browser()
    assert path is not None, "mark the test with pytest.mark.browser"
    return path


@pytest.fixture(scope="session")
def browser(browser_path: str) -> Iterator[Browser]:
    """A headless Chromium that looks nothing up by itself."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser_path, args=BROWSER_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def work_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder. A test that writes files uses it, so that nothing lands in the repository."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., Done]:
    """`run_python("-m", "picojoule", "--version")`: Python in its own process, outside the repository."""

    def run(*args: str, cwd: Path = tmp_path, timeout: float = 300, **env: str) -> Done:
        return subprocess.run(
            [sys.executable, *args],
            cwd=cwd,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **env},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return run


def is_local(address: object) -> bool:
    """True for loopback addresses and for socket files. Names other than localhost count as the network."""
    if not isinstance(address, tuple) or not address:
        return True
    host = str(address[0])
    return host in ("", "localhost", "::1", "0.0.0.0") or host.startswith("127.")


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """A test that reaches for the network fails at once, with the address it asked for."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded_connect(self: socket.socket, address: object) -> None:
        if not is_local(address):
            raise OSError(f"tests use no network: connect to {address!r} refused")
        connect(self, address)  # pyright: ignore[reportArgumentType]

    def guarded_connect_ex(self: socket.socket, address: object) -> int:
        if not is_local(address):
            raise OSError(f"tests use no network: connect to {address!r} refused")
        return connect_ex(self, address)  # pyright: ignore[reportArgumentType]

    socket.socket.connect = guarded_connect
    socket.socket.connect_ex = guarded_connect_ex
    yield
    socket.socket.connect, socket.socket.connect_ex = connect, connect_ex


@pytest.fixture(scope="session")
def mapper_cases() -> ModuleType:
    """Random layers, nests and machines for the mapper's tests: tests/mapper_cases.py."""
    spec = importlib.util.spec_from_file_location("mapper_cases", Path(__file__).parent / "mapper_cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
