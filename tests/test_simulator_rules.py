"""Targets that would crash or mislead later are refused when their file is read."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from picojoule.models.errors import TargetError
from picojoule.simulator import targets
from picojoule.simulator.target import load_target, parse_target, target_template


def text_of(name: str) -> str:
    return resources.files(targets).joinpath(f"{name}.toml").read_text("utf-8")


def cut(text: str, start: str, end: str | None = None) -> str:
    """Without the lines from the one that begins with `start` up to the one that begins with `end`."""
    lines, out, inside = text.splitlines(), [], False
    for line in lines:
        if line.startswith(start):
            inside = True
        elif inside and end is not None and line.startswith(end):
            inside = False
        if not inside:
            out.append(line)
    return "\n".join(out)


CASES = {
    "no place for weights": (
        "stm32l4r5", lambda t: t.replace('holds = ["weight"]', 'holds = ["activation"]'), "memories: got none that"),
    "no peak": (
        "core-i7-5930k", lambda t: cut(t, "[peak_macs", "[[memories]]") + "\n[peak_macs_per_s]\n", "peak_macs_per_s"),
    "matrix precision": ("rtx-3090", lambda t: t.replace('precision = "fp16"', 'precision = "int4"'), "precision: got"),
    "index": ("core-i7-5930k", lambda t: t.replace("units = 6", "units = 6\nindex_bits = 99"), "index_bits"),
    "interval": (
        "core-i7-5930k",
        lambda t: re.sub(r"latency_ratio = \[.*?\]", "latency_ratio = [9.0, 0.1]", t), "latency_ratio: got 9"),
    "fifo": ("eie", lambda t: t.replace("fifo_depth = 8", "fifo_depth = 10000000000"), "fifo_depth: got 10000000000"),
    "runs": ("eie", lambda t: t.replace("zero_run_bits = 4", "zero_run_bits = 100"), "zero_run_bits: got 100"),
    "pointers": ("eie", lambda t: t.replace("pointer_bits = 16", "pointer_bits = 99999999"), "pointer_bits"),
    "no access energy": (
        "generic-45nm", lambda t: "\n".join(line for line in t.splitlines() if not line.startswith("access_pj")),
        "access_pj_per_bit: got nothing"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_refused_with_the_field(case: str) -> None:
    name, change, said = CASES[case]
    changed = change(text_of(name))
    assert changed != text_of(name)
    with pytest.raises(TargetError, match=said) as error:
        parse_target(changed.encode(), f"{name}.toml")
    assert "\n" not in str(error.value)


def test_the_template_is_a_target() -> None:
    """What `picojoule targets new` writes can be used as it is."""
    target = parse_target(target_template("My Chip!.toml").encode(), "mine.toml")
    assert target.name == "my-chip"


def test_names_with_a_zero_byte_are_refused() -> None:
    with pytest.raises(TargetError):
        load_target("a\0.toml")
