"""The README's Python example runs, and its command lines parse."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from picojoule.cli import build_parser

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


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
