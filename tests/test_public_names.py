"""Every name that the package offers is there, is explained, and does something."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import picojoule  # pyright: ignore[reportMissingImports]

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"api": "picojoule", **{f: f"picojoule.{f}" for f in ("models", "simulator", "dashboard")}}
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
FRONT_DOOR = {
    "__version__", "estimate", "estimate_many", "compress", "explore", "pareto", "best",
    "from_onnx", "from_torch", "networks", "targets", "validate",
}  # fmt: skip


def installed_name(path: Path) -> str:
    top, *rest = path.relative_to(ROOT).with_suffix("").parts
    return ".".join([FOLDERS[top], *(part for part in rest if part != "__init__")])


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def declares_names(path: Path) -> bool:
    body = ast.parse(path.read_text("utf-8")).body
    targets = [t for node in body if isinstance(node, ast.Assign) for t in node.targets]
    targets += [node.target for node in body if isinstance(node, ast.AnnAssign)]
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)


def test_the_front_door_offers_what_it_promises() -> None:
    assert set(picojoule.__all__) >= FRONT_DOOR


def test_the_front_door_is_explained() -> None:
    assert picojoule.__doc__
    for name in picojoule.__all__:
        value = getattr(picojoule, name)
        if name != "__version__" and not inspect.ismodule(value):
            assert (value.__doc__ or "").strip(), f"picojoule.{name} has no docstring"
            assert not value.__doc__.startswith(f"{name}("), f"picojoule.{name}: an automatic docstring"
        assert name in dir(picojoule), f"picojoule.{name} is missing from dir()"


def test_the_front_door_refuses_a_wrong_name() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(picojoule, "no_such_name")  # noqa: B009


@pytest.mark.parametrize("path", [p for p in SOURCES if declares_names(p)], ids=relative)
def test_all_resolves(path: Path) -> None:
    module = importlib.import_module(installed_name(path))
    names = list(module.__all__)
    assert len(names) == len(set(names)), "a name stands in __all__ twice"
    assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_module_is_explained(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert not tree.body or ast.get_docstring(tree), "the first line of a module says what it is for"


def stubs(tree: ast.AST) -> Iterator[str]:
    """Functions whose body is nothing but `...`, a docstring or NotImplementedError.

    Methods of a Protocol, abstract methods and overloads are declarations, not stubs.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            declared = {ast.unparse(d).split(".")[-1] for d in node.decorator_list}
            if not declared & {"abstractmethod", "overload"} and not does_something(node):
                yield f"line {node.lineno}: {node.name}"
        yield from stubs(node)


def does_something(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    if ast.get_docstring(function) and len(function.body) == 1:
        return ast.unparse(function.returns or ast.Constant("")) == "None"  # it means to do nothing
    return not all(is_empty(statement) for statement in function.body)


def is_empty(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise) and statement.exc is not None:
        return ast.unparse(statement.exc).startswith("NotImplementedError")
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_stub(path: Path) -> None:
    assert list(stubs(ast.parse(path.read_text("utf-8")))) == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("def f(): ...", 1),
        ("def f():\n    'Says much.'", 1),
        ("class A:\n    def f(self):\n        'Doc.'\n        raise NotImplementedError('later')", 1),
        ("def f():\n    def g(): ...\n    return g", 1),
        ("class P(Protocol):\n    def f(self): ...", 0),
        ("class A:\n    @abc.abstractmethod\n    def f(self): ...", 0),
        ("@overload\ndef f(x: int): ...", 0),
        ("def f():\n    'Doc.'\n    return 1", 0),
        ("def silent(done: int) -> None:\n    'Shows nothing.'", 0),
        ("def f() -> None:\n    'Doc.'\n    ...", 1),
        ("def f():\n    raise ValueError", 0),
    ],
)
def test_stub_finder(source: str, count: int) -> None:
    assert len(list(stubs(ast.parse(source)))) == count
