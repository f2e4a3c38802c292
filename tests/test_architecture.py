"""The arrows of the house run one way: api -> dashboard -> simulator -> models.

A small checker reads every module with `ast`. Its own tests, below, show on made-up trees that it catches
each thing that it forbids.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "picojoule"
RANKS = {"models": 0, "simulator": 1, "dashboard": 2, "api": 3}
ONLY_IN = {
    "dash": ("picojoule.dashboard",),
    "torch": ("picojoule.models.train", "picojoule.models.importers", "picojoule.simulator.calibrate"),
    "onnxruntime": ("picojoule.models.run", "picojoule.simulator.calibrate"),
}
PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
NOT_AT_START = ("torch", "onnxruntime", "dash", "plotly", "pandas", "onnx")


@dataclass(frozen=True)
class Module:
    """One source file: its folder, its installed name, and the package its relative imports start from."""

    folder: str
    name: str
    package: str
    path: Path
    tree: ast.Module


def read_modules(root: Path) -> list[Module]:
    modules = []
    for folder in RANKS:
        for path in sorted((root / folder).rglob("*.py")):
            parts = [PACKAGE, *([] if folder == "api" else [folder]), *path.relative_to(root / folder).parts]
            parts[-1] = parts[-1].removesuffix(".py")
            package = ".".join(parts[:-1])
            name = package if parts[-1] == "__init__" else ".".join(parts)
            modules.append(Module(folder, name, package, path, ast.parse(path.read_text("utf-8"), str(path))))
    return modules


def imported_names(module: Module, known: set[str]) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything imported anywhere in the file; relative names are resolved."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.package.split(".")
                kept = parents[: len(parents) - node.level + 1]
                base = ".".join([*kept, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield node.lineno, full if full in known else base
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value[:1] != ".":
                yield node.lineno, first.value


def called(node: ast.Call) -> str:
    return getattr(node.func, "id", None) or getattr(node.func, "attr", "")


def folder_of(name: str) -> str | None:
    """The folder that an installed name lives in; None for other people's packages."""
    first, *rest = name.split(".")
    if first != PACKAGE:
        return None
    return rest[0] if rest and rest[0] in RANKS else "api"


def inside(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def import_violations(module: Module, known: set[str]) -> Iterator[tuple[int, str]]:
    for line, name in imported_names(module, known):
        folder = folder_of(name)
        if folder is not None and RANKS[folder] > RANKS[module.folder]:
            yield line, f"back-edge: {module.folder} imports {name}"
        top = name.split(".")[0]
        if top in ONLY_IN and not inside(module.name, ONLY_IN[top]):
            yield line, f"{top} imported outside {', '.join(ONLY_IN[top])}"
        if top in PICKLERS:
            yield line, f"{top}: a pickle runs whatever code its author wrote"
    for node in ast.walk(module.tree):
        absolute = []
        if isinstance(node, ast.Import):
            absolute = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            absolute = [node.module or ""]
        for name in absolute:
            if name.split(".")[0] in {PACKAGE, *RANKS}:
                line = getattr(node, "lineno", 0)
                yield line, f"absolute import of {name}: import relatively inside the folders"


def is_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def handler_violations(node: ast.ExceptHandler) -> Iterator[tuple[int, str]]:
    if node.type is None:
        yield node.lineno, "bare except"
        return
    kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    broad = {getattr(kind, "id", "") for kind in kinds} & {"Exception", "BaseException"}
    if broad and all(is_nothing(statement) for statement in node.body):
        yield node.lineno, f"except {broad.pop()}: pass hides every mistake"


def call_violations(node: ast.Call, folder: str) -> Iterator[tuple[int, str]]:
    keywords = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
    owner = getattr(getattr(node.func, "value", None), "id", "")
    if isinstance(node.func, ast.Name) and node.func.id == "print" and folder != "api":
        yield node.lineno, "print: only api/ talks to the terminal"
    if called(node) in ("read_pickle", "to_pickle") or keywords.get("allow_pickle") not in (None, False):
        yield node.lineno, "pickle read or written"
    if owner == "torch" and called(node) == "load" and keywords.get("weights_only") is not True:
        yield node.lineno, "torch.load without weights_only=True unpickles"


def violations(root: Path) -> list[str]:
    modules = read_modules(root)
    known = {module.name for module in modules}
    found = []
    for module in modules:
        lines = list(import_violations(module, known))
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler):
                lines += handler_violations(node)
            elif isinstance(node, ast.Call):
                lines += call_violations(node, module.folder)
        found += [f"{module.path.relative_to(root)}:{line}: {what}" for line, what in sorted(lines)]
    return found + import_cycles(modules, known)


def import_cycles(modules: list[Module], known: set[str]) -> list[str]:
    """Modules that import each other, in a ring of any length; an import inside a function counts."""
    edges = [(module.name, name) for module in modules for _, name in imported_names(module, known)]
    graph = nx.DiGraph([edge for edge in edges if edge[1] in known])
    rings = [ring for ring in nx.strongly_connected_components(graph) if len(ring) > 1]
    rings += [{name} for name, _ in nx.selfloop_edges(graph)]
    return [f"import cycle: {', '.join(sorted(ring))}" for ring in rings]


def test_the_arrows_run_one_way() -> None:
    assert not (found := violations(ROOT)), "\n" + "\n".join(found)


def test_the_walk_sees_every_folder() -> None:
    names = {module.name for module in read_modules(ROOT)}
    assert {"picojoule", "picojoule.models.graph", "picojoule.simulator", "picojoule.dashboard"} <= names


RUN_VERSION = "import runpy; sys.argv[1:] = ['--version']; runpy.run_module('picojoule', run_name='__main__')"


@pytest.mark.parametrize("start", ["import picojoule", RUN_VERSION], ids=["import", "--version"])
def test_starting_loads_nothing_heavy(start: str, run_python) -> None:
    code = (
        "import json, sys\n"
        f"try:\n    {start}\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('\\n' + json.dumps(sorted(set({NOT_AT_START!r}) & set(sys.modules))))"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


# The checker itself, on made-up trees: path, source, and what it must say.
CAUGHT = [
    ("models/a.py", "from ..simulator import cost", "back-edge"),
    ("models/a.py", "from .. import simulator", "back-edge"),
    ("models/a.py", "from .. import __version__", "back-edge"),
    ("models/zoo/a.py", "def f():\n    from ...dashboard.app import create_app", "back-edge"),
    ("simulator/a.py", "from ..dashboard import app", "back-edge"),
    ("dashboard/a.py", "from ..cli import main", "back-edge"),
    ("simulator/a.py", "import dash", "dash imported outside"),
    ("api/a.py", "from dash import html", "dash imported outside"),
    ("models/a.py", "import torch.nn as nn", "torch imported outside"),
    ("models/training.py", "import torch", "torch imported outside"),
    ("api/a.py", "import importlib\nimportlib.import_module('torch')", "torch imported outside"),
    ("models/a.py", "import onnxruntime", "onnxruntime imported outside"),
    ("models/a.py", "print('x')", "print"),
    ("simulator/a.py", "def f():\n    print('x')", "print"),
    ("dashboard/a.py", "print('x')", "print"),
    ("api/a.py", "try:\n    f()\nexcept:\n    raise", "bare except"),
    ("models/a.py", "try:\n    f()\nexcept Exception:\n    pass", "hides every mistake"),
    ("models/a.py", "try:\n    f()\nexcept (OSError, BaseException) as e:\n    ...", "hides every mistake"),
    ("models/a.py", "import pickle", "pickle"),
    ("models/a.py", "from pickle import loads", "pickle"),
    ("models/a.py", "import numpy as np\nnp.load('f', allow_pickle=True)", "pickle"),
    ("models/train/a.py", "import torch\ntorch.load('f')", "weights_only"),
    ("models/a.py", "from picojoule.models.graph import Graph", "absolute import"),
    ("api/a.py", "import picojoule", "absolute import"),
    ("simulator/a.py", "from models.graph import Graph", "absolute import"),
]
ALLOWED = [
    ("api/a.py", "from .dashboard import app\nfrom .simulator.cost import cost\nprint('x')"),
    ("dashboard/a.py", "import dash\nfrom ..simulator import cost\nfrom ..models import graph"),
    ("simulator/a.py", "from ..models.graph import Graph\nimport numpy"),
    ("simulator/a.py", "from .. import models"),
    ("simulator/calibrate/a.py", "import torch, onnxruntime"),
    ("models/train/a.py", "import torch\ntorch.load('f', weights_only=True)"),
    ("models/importers/a.py", "import torch"),
    ("models/run.py", "import onnxruntime"),
    ("models/a.py", "import numpy as np\nnp.load('f', allow_pickle=False)"),
    ("models/a.py", "try:\n    f()\nexcept Exception as error:\n    raise ValueError from error"),
    ("models/a.py", "try:\n    f()\nexcept KeyError:\n    pass"),
]


def make_tree(root: Path, files: dict[str, str]) -> Path:
    for folder in (*RANKS, "models/zoo", "models/train", "models/importers", "simulator/calibrate"):
        (root / folder).mkdir(parents=True)
        (root / folder / "__init__.py").write_text("")
    for name, source in files.items():
        (root / name).write_text(source)
    return root


@pytest.mark.parametrize(("path", "source", "message"), CAUGHT)
def test_checker_catches(path: str, source: str, message: str, tmp_path: Path) -> None:
    found = violations(make_tree(tmp_path, {path: source}))
    assert found
    assert all(message in line and line.startswith(path) for line in found), found


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_checker_allows(path: str, source: str, tmp_path: Path) -> None:
    assert violations(make_tree(tmp_path, {path: source})) == []


def test_checker_catches_a_cycle_of_three(tmp_path: Path) -> None:
    files = {"a": "from .b import x", "b": "from . import c", "c": "def f():\n    from .a import x"}
    found = violations(make_tree(tmp_path, {f"models/{name}.py": source for name, source in files.items()}))
    assert found == ["import cycle: picojoule.models.a, picojoule.models.b, picojoule.models.c"]


def test_checker_catches_a_module_that_imports_its_own_package(tmp_path: Path) -> None:
    files = {"models/zoo/__init__.py": "from .names import N", "models/zoo/names.py": "from . import N"}
    found = violations(make_tree(tmp_path, files))
    assert found == ["import cycle: picojoule.models.zoo, picojoule.models.zoo.names"]
