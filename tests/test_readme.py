"""The README's Python example runs, and its command lines parse."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import picojoule
from picojoule.cli import build_parser

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) <= 15
    exec(compile(block, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "compressed" in out
    assert "eie.imbalance_time" in out


def test_every_command_line_of_the_readme_parses():
    lines = re.findall(r"^picojoule ([^\n#]+)", README, re.MULTILINE)
    commands = [shlex.split(line) for line in lines if not line.startswith("predicts")]
    assert len(commands) >= 10
    for command in commands:
        build_parser().parse_args(command)


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r"^[A-Z]+_[A-Z]+$", README, re.MULTILINE)


def test_the_demo_prints_what_the_readme_shows(run_python):
    (block,) = re.findall(r"```\n(1\. lenet.*?)```", README, re.DOTALL)
    done = run_python("-m", "picojoule", "demo")
    assert done.returncode == 0, done.stderr
    assert block.rstrip().splitlines() == done.stdout.rstrip().splitlines()


def test_the_validation_tables_are_what_validate_says():
    lines = re.findall(r"^\| [a-z0-9-]+ \| .* \| (?:datasheet|calibrated) \| .*$", README, re.MULTILINE)
    found = picojoule.validate()
    said = [f"| {r['target']} | {r['metric']} | {r['mode']} | {r['n']} | {r['median']:.1%} | {r['p90']:.1%} | "
            f"{r['worst']:.1%} | {r['within_15_pct']} |" for r in found.summary() if r["target"] == "eie"]  # fmt: skip
    assert lines == said
    for goal in found.goals:
        assert f"| {goal['goal']} | {goal['n']} | {goal['median']:.1%} | {goal['p90']:.1%} |" in README


def test_every_dependency_has_its_line():
    """The table names what pyproject.toml asks for, and nothing else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = ("run", "train", "tflite", "zoo", "ans", "gpu", "report")
    wanted = [*project["dependencies"], *(d for name in named for d in extras[name])]
    wanted = [text for text in wanted if not text.startswith("picojoule[")]
    names = {re.split(r"[<>=]", text)[0] for text in wanted}
    table = README.split("## What each dependency is for")[1]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert {name.strip() for cell in cells for name in re.sub(r"\(.*?\)", "", cell).split(",")} == names
