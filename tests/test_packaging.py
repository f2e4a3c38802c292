"""What is in the folders is in the wheel, and the wheel works away from the repository.

An editable install hides both mistakes that matter: a subpackage left out of `packages`, and a data file left
out of `package-data`. So the wheel is built here, from a source archive, and used from a folder of its own.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"api": "picojoule", **{f: f"picojoule.{f}" for f in ("models", "simulator", "dashboard")}}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "tests", "docs")
Done = subprocess.CompletedProcess[str]


def package_name(folder: Path) -> str:
    """The installed name of a source folder: models/zoo -> picojoule.models.zoo."""
    top, *rest = folder.relative_to(ROOT).parts
    return ".".join([FOLDERS[top], *rest])


def source_files() -> list[Path]:
    """Every file under the package folders that the wheel should hold."""
    files = [p for folder in FOLDERS for p in (ROOT / folder).rglob("*") if p.is_file()]
    return sorted(p for p in files if "__pycache__" not in p.parts and not p.name.startswith("."))


def installed_path(path: Path) -> str:
    """Where a source file lands in the wheel: api/cli.py -> picojoule/cli.py."""
    top, *rest = path.relative_to(ROOT).parts
    return "/".join([*FOLDERS[top].split("."), *rest])


def test_packages_are_the_folders_with_an_init() -> None:
    listed = PROJECT["tool"]["setuptools"]["packages"]
    found = {package_name(p.parent) for p in source_files() if p.name == "__init__.py"}
    assert len(listed) == len(set(listed))
    assert set(listed) == found


def test_every_module_lies_in_a_package() -> None:
    bare = {p.parent for p in source_files() if p.suffix == ".py" and not (p.parent / "__init__.py").exists()}
    assert not bare, "these folders hold modules and have no __init__.py"


def test_every_data_file_is_package_data() -> None:
    matched: set[Path] = set()
    for package, patterns in PROJECT["tool"]["setuptools"]["package-data"].items():
        top, *rest = package.split(".")[1:] or ["api"]
        folder = ROOT.joinpath(top, *rest)
        matched.update(path for pattern in patterns for path in folder.glob(pattern))
    missing = [str(p.relative_to(ROOT)) for p in source_files() if p.suffix != ".py" and p not in matched]
    assert not missing, "no pattern of [tool.setuptools.package-data] matches these"


def test_one_version_everywhere() -> None:
    version = PROJECT["project"]["version"]
    for name, pattern in {
        "api/__init__.py": r'^__version__ = "(.+)"$',
        "CITATION.cff": r"^version: (.+)$",
        "CHANGELOG.md": r"^## \[(\d.+?)\]",
    }.items():
        found = re.search(pattern, (ROOT / name).read_text("utf-8"), re.MULTILINE)
        assert found is not None, name
        assert found[1] == version, name


def test_extras_the_tests_need_include_what_users_can_ask_for() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert {"run", "train"} <= set(extras)
    assert any(need.startswith("picojoule[") for need in extras["test"])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive and the wheel made from it."""
    source, out = tmp_path_factory.mktemp("source") / "picojoule", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, source, ignore=NOT_COPIED)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=out, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in a folder of its own."""
    target = tmp_path_factory.mktemp("target") / "lib"
    [wheel] = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    command = [*pip, "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def run_installed(run_python, target: Path, code: str) -> Done:
    """Run code with the installed copy and nothing of the repository.

    -S leaves the editable install's import hook out, which would quietly supply what the wheel lacks.
    """
    dependencies = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    start = f"import sys; sys.path[:0] = {[str(target), *dependencies]!r}\n"
    done = run_python("-I", "-S", "-c", start + code)
    assert done.returncode == 0, done.stderr
    return done


def test_wheel_holds_every_file(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == {installed_path(path) for path in source_files()}


def test_wheel_and_source_archive_carry_the_licences(built: Path) -> None:
    [wheel], [archive] = built.glob("*.whl"), built.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert any(name.endswith("LICENSE-MNIST.txt") and "licenses" in name for name in names)
    with tarfile.open(archive) as tar:
        assert {"LICENSE", "README.md", "pyproject.toml"} <= {Path(name).name for name in tar.getnames()}


def test_installed_packages_import_from_the_wheel(installed: Path, run_python) -> None:
    code = (
        "import importlib, json\n"
        f"names = {PROJECT['tool']['setuptools']['packages']!r}\n"
        "print(json.dumps([importlib.import_module(name).__file__ for name in names]))"
    )
    files = json.loads(run_installed(run_python, installed, code).stdout)
    assert all(Path(file).is_relative_to(installed) for file in files)


def test_installed_data_load_from_the_wheel(installed: Path, run_python) -> None:
    code = "from picojoule.models.data import load_split\nprint(len(load_split('mnist', 'test')))"
    assert run_installed(run_python, installed, code).stdout.strip() == "10000"


def test_installed_command_says_its_version(installed: Path, run_python) -> None:
    code = "import runpy; sys.argv[1:] = ['--version']; runpy.run_module('picojoule', run_name='__main__')"
    assert PROJECT["project"]["version"] in run_installed(run_python, installed, code).stdout
    assert (installed / "bin" / "picojoule").exists()
