"""The examples in docstrings, and those in README.md and docs/, print what they say.

pytest's own --doctest-modules cannot import these folders under their installed names, so this does.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"api": "picojoule", **{f: f"picojoule.{f}" for f in ("models", "simulator", "dashboard")}}
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
OPTIONAL = {"torch", "onnxruntime", "tflite", "constriction", "dask", "pynvml"}
PARSER = doctest.DocTestParser()
AT_LEAST = 10  # examples in docstrings; raise it as the code grows

PAGES = [p for p in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if p.exists()]
FENCE = re.compile(r"^```(?:python|pycon)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def module_names() -> list[str]:
    """Installed names of all modules, read off the folders so that a broken one fails alone."""
    names = []
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            names.append(".".join([package, *(part for part in parts if part != "__init__")]))
    return [name for name in names if not name.endswith("__main__")]


def load(name: str) -> types.ModuleType:
    """Import a module; skip the test where an extra that only it needs is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in OPTIONAL:
            pytest.skip(f"{name} needs {error.name}")
        raise


@pytest.mark.parametrize("name", module_names())
def test_docstring_examples(name: str) -> None:
    result = doctest.testmod(load(name), optionflags=FLAGS)
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples failed, see the output"


def test_docstring_examples_are_found() -> None:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = 0
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        nodes = [node for node in ast.walk(tree) if isinstance(node, documented)]
        found += sum(len(PARSER.get_examples(ast.get_docstring(node) or "")) for node in nodes)
    assert found >= AT_LEAST


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_examples(page: Path, work_dir: Path) -> None:
    blocks = [block for block in FENCE.findall(page.read_text("utf-8")) if ">>>" in block]
    test = PARSER.get_doctest("\n".join(blocks), {}, page.name, str(page), 0)
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test)
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples failed, see the output"
