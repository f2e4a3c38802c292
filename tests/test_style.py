"""Files short enough to read in one sitting, text that is true on every machine, links that lead somewhere.

ruff and pyright run in `make lint`, not here.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CODE = ("api", "models", "simulator", "dashboard", "benchmarks")
FILE_LINES, FUNCTION_LINES = 350, 60
SKIPPED = {".git", ".venv", "__pycache__", "build", "dist", ".pytest_cache", ".ruff_cache", ".hypothesis"}

# Written in pieces, so that this file does not find itself.
MACHINE_PATH = re.compile(r"(?<![\w.~*/-])/(?:work|root|home|Users)" + r"/[\w.]")
REGISTRIES = [
    ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("yarnpkg", "com"),
    ("deb.debian", "org"), ("archive.ubuntu", "com"), ("anaconda", "org"), ("crates", "io"),
    ("download.pytorch", "org"), ("proxy.golang", "org"), ("repo.maven.apache", "org"), ("rubygems", "org"),
]  # fmt: skip
REGISTRY = re.compile("|".join(re.escape(f"{name}.{end}") for name, end in REGISTRIES))
LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")


def repository_files() -> list[Path]:
    """Files that git keeps or would keep; all files where there is no git, as in a source archive."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return sorted(p for name in done.stdout.split("\0") if name and (p := ROOT / name).is_file())
    found = (p for p in ROOT.rglob("*") if p.is_file() and not SKIPPED & set(p.relative_to(ROOT).parts))
    return sorted(p for p in found if ".egg-info" not in str(p))


def texts() -> list[tuple[str, str]]:
    """(path, content) of every text file of the repository."""
    found = []
    for path in repository_files():
        content = path.read_bytes()
        if b"\0" not in content[:8192]:
            found.append((str(path.relative_to(ROOT)), content.decode("utf-8", "replace")))
    return found


def code_texts() -> list[tuple[str, str]]:
    """The same for the product's own modules."""
    return [(name, text) for name, text in texts() if name.endswith(".py") and name.split("/")[0] in CODE]


def lines_matching(pattern: re.Pattern[str], text: str) -> list[int]:
    return [number for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)]


def report(found: list[str]) -> str:
    return "\n" + "\n".join(found)


def test_files_are_short() -> None:
    sizes = {name: text.count("\n") for name, text in code_texts()}
    found = [f"{name}: {n} lines, at most {FILE_LINES}" for name, n in sizes.items() if n > FILE_LINES]
    assert not found, report(found)


def long_functions(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                found.append(f"{node.lineno}: {node.name} has {lines} lines, at most {FUNCTION_LINES}")
    return found


def test_functions_are_short() -> None:
    found = [f"{name}:{line}" for name, text in code_texts() for line in long_functions(text)]
    assert not found, report(found)


def test_no_path_of_one_machine() -> None:
    found = [f"{name}:{line}" for name, text in texts() for line in lines_matching(MACHINE_PATH, text)]
    assert not found, report(found)


def test_no_registry_host() -> None:
    found = [f"{name}:{line}" for name, text in texts() for line in lines_matching(REGISTRY, text)]
    assert not found, report(found)


def test_text_files_end_cleanly() -> None:
    kinds = (".py", ".toml", ".md", ".cff", "Makefile", ".ci/run")
    marker = re.compile("^(<<<<<<< |>>>>>>> )")
    ours = [(name, text) for name, text in texts() if name.endswith(kinds)]
    bad = [name for name, text in ours if (text and not text.endswith("\n")) or "\r\n" in text]
    bad += [name for name, text in ours if lines_matching(marker, text)]
    assert not bad, report(bad)


def broken_links(page: Path, text: str) -> list[str]:
    without_code = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = []
    for target in LINK.findall(without_code):
        path = target.split("#")[0]
        if path and not re.match(r"[a-z]+:", path) and not (page.parent / path).exists():
            found.append(target)
    return found


def test_links_between_pages_resolve() -> None:
    pages = [(name, text) for name, text in texts() if name.endswith(".md")]
    found = [f"{name}: {target}" for name, text in pages for target in broken_links(ROOT / name, text)]
    assert not found, report(found)


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("open('" + "/home" + "/ann/x')", True),
        ("see " + "/work" + "/main/x", True),
        ("https://example.org" + "/work" + "/x", False),
        ("a" + "/home" + "/b", False),
    ],
)
def test_path_finder(text: str, is_found: bool) -> None:
    assert bool(lines_matching(MACHINE_PATH, text)) is is_found


def test_function_finder() -> None:
    assert len(long_functions("def f():\n" + "    x = 1\n" * 60)) == 1
    assert long_functions("def f():\n" + "    x = 1\n" * 59) == []


def test_link_finder(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("")
    text = "[a](there.md#part) [b](gone.md) ![c](https://example.org/x.png) [d](#part)\n"
    text += "```\n[e](code.md)\n```\n"
    assert broken_links(tmp_path / "page.md", text) == ["gone.md"]
