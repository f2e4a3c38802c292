"""Targets: what ships loads with a source on every number; what is wrong is refused with file, path, got, wanted."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from picojoule.models.errors import InputError, TargetError
from picojoule.simulator.estimate import estimate
from picojoule.simulator.target import Constant, EieTarget, load_target, parse_target, target_names, target_template

FOLDER = resources.files("picojoule.simulator.targets")
SHIPPED = sorted(file.name.removesuffix(".toml") for file in FOLDER.iterdir() if file.name.endswith(".toml"))
STATUSES = {"measured", "published", "derived", "assumed"}


def text_of(name: str) -> str:
    return FOLDER.joinpath(f"{name}.toml").read_text("utf-8")


def rows_with_values(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every table of a TOML document that holds a `value`, or a bare float outside [interval]."""
    if isinstance(node, dict):
        if "value" in node:
            yield path, node
        for key, value in node.items():
            yield from rows_with_values(value, f"{path}.{key}")
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from rows_with_values(value, f"{path}[{place}]")
    elif isinstance(node, float) and not path.startswith(".interval") and path.split(".")[-1] not in (
        "value", "low", "high",
    ):  # fmt: skip
        raise AssertionError(f"{path}: a number without a source")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_targets_load_and_every_number_has_a_source(name: str) -> None:
    document = tomllib.loads(text_of(name))
    target = load_target(name)
    assert target.name == name == document["name"]
    rows = list(rows_with_values(document))
    assert len(rows) >= 5  # a clock, a peak, memories, two powers
    for path, row in rows:
        assert row["status"] in STATUSES, path
        assert document["sources"][row["source"]], path
    used = {row["source"] for _, row in rows}
    assert all(len(text) > 20 for key, text in document["sources"].items() if key in used)


def test_shipped_names_are_the_files() -> None:
    assert target_names() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_an_alias_is_the_same_target(name: str) -> None:
    target = load_target(name)
    assert target.aliases
    assert all(load_target(alias) == target for alias in target.aliases)


def test_aliases_and_names_are_unique() -> None:
    known = [label for name in SHIPPED for label in (name, *load_target(name).aliases)]
    assert len(known) == len(set(known))


# (what is replaced in titan-x.toml, by what, the field's path, got, wanted)
PEAK = 'fp32 = { value = 3.302e12, source = "spec", status = "published" }'
TITAN_X = [
    ('schema = 1\n', 'schema = 1\ncolour = "green"\n', "colour", "a key nobody knows", "a known key"),
    (PEAK, PEAK.replace("value", "valeu"), "peak_macs_per_s.fp32.valeu", "a key nobody knows", "a known key"),
    (PEAK, PEAK.replace("value = 3.302e12, ", ""), "peak_macs_per_s.fp32.value", "nothing", "a value"),
    (PEAK, PEAK.replace('source = "spec", ', ""), "peak_macs_per_s.fp32.source", "nothing", "a value"),
    (PEAK, PEAK.replace(', status = "published"', ""), "peak_macs_per_s.fp32.status", "nothing", "source and status"),
    (PEAK, PEAK.replace("3.302e12", "-1"), "peak_macs_per_s.fp32.value", "-1", "> 0"),
    (PEAK, PEAK.replace("3.302e12", "0"), "peak_macs_per_s.fp32.value", "0", "> 0"),
    (PEAK, PEAK.replace("3.302e12", "nan"), "peak_macs_per_s.fp32.value", "nan", "> 0"),
    (PEAK, PEAK.replace("3.302e12", "inf"), "peak_macs_per_s.fp32", "inf", "finite"),
    (PEAK, PEAK.replace("3.302e12", '"fast"'), "peak_macs_per_s.fp32.value", "fast", "float"),
    (PEAK, PEAK.replace("fp32", "fp31"), "peak_macs_per_s", "fp31", "a value that the template names"),
    (PEAK, PEAK.replace("fp32", "int8"), "precision", "fp32", "a precision with a peak"),
    ("value = 25165824", "value = -4", "memories[0].capacity_bits.value", "-4", "> 0"),
    ("value = 14, low = 12", "value = 14, low = 15", "memories[1].access_pj_per_bit", "15", "low <= value <= high"),
    ("low = 12, high = 18", "low = 18, high = 12", "memories[1].access_pj_per_bit", "18", "low <= value <= high"),
    ('name = "dram"', 'name = "l2"', "memories", "two entries named 'l2'", "unique names"),
    ('source = "oconnor"', 'source = "hearsay"', "memories[1].access_pj_per_bit.source", "hearsay", "[sources]"),
    ('executes = ["dense", "csr"]', 'executes = ["zip"]', "executes[0]", "zip", "dense, bitmask"),
    ('executes = ["dense", "csr"]', 'executes = ["dense", "csr", "nm4:2"]', "executes[2]", "nm4:2", "N below M"),
    ('executes = ["dense", "csr"]', 'executes = ["dense", "csr", "block65x1"]', "executes[2]", "block65x1", "64x64"),
    ('component = "sram"', 'component = "tape"', "memories[0].component", "tape", "a value that the template names"),
    ('family = "gpu"', 'family = "toaster"', "family", "toaster", "a value that the template names"),
    ('tiles = "few"', 'tiles = "none"', "tiles", "none", "a value that the template names"),
    ("schema = 1", "schema = 2", "schema", "2", "a value that the template names"),
    ("schema = 1\n", "", "schema", "nothing", "a value"),
    ('model = "processor"', 'model = "magic"', "model", "magic", "a value that the template names"),
    ('kind = "gpu"', 'kind = "toaster"', "kind", "toaster", "a value that the template names"),
    ('name = "titan-x"', 'name = "Titan X!"', "name", "Titan X!", "regex"),
    ("units = 24", "units = 24.5", "units", "24.5", "int"),
    ("units = 24", "units = 0", "units", "0", ">= 1"),
    ("[busy_w]\nvalue = 250", "[busy_w]\nvalue = 5", "busy_w", "5", "at least idle_w"),
    ("gemv = {", "gemm_v = {", "corrections", "gemm_v", "a value that the template names"),
    ("level = 0.8", "level = 8", "interval.level", "8", "<= 1"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "path", "got", "wanted"), TITAN_X)
def test_a_wrong_field_is_refused_with_file_path_got_and_wanted(
    old: str, new: str, path: str, got: str, wanted: str
) -> None:
    text = text_of("titan-x")
    assert old in text
    with pytest.raises(TargetError) as caught:
        parse_target(text.replace(old, new, 1).encode(), "mine.toml")
    message = str(caught.value)
    assert message.startswith(f"mine.toml: {path}: got ")
    said, _, asked = message.partition(", wanted ")
    assert got in said
    assert wanted in asked
    assert "\n" not in message


EIE = [
    ('act_queue = "noc"\n', "", "power_component", "'act_rw'", "act_queue"),
    ('act_queue = "noc"', 'act_queue = "gpu"', "power_component", "gpu", "a value that the template names"),
    ("pointer_bits = 16", "pointer_bits = 262144", "pointer_bits", "262144", "pointer_memory_bits_per_pe"),
    ("n_pe = 64", "n_pe = 0", "n_pe", "0", ">= 1"),
    ("fifo_depth = 8", 'fifo_depth = "deep"', "fifo_depth", "deep", "int"),
]


@pytest.mark.parametrize(("old", "new", "path", "got", "wanted"), EIE)
def test_a_wrong_field_of_eie_is_refused(old: str, new: str, path: str, got: str, wanted: str) -> None:
    with pytest.raises(TargetError) as caught:
        parse_target(text_of("eie").replace(old, new, 1).encode(), "mine.toml")
    said, _, asked = str(caught.value).partition(", wanted ")
    assert said.startswith(f"mine.toml: {path}")
    assert got in said
    assert wanted in asked


@pytest.mark.parametrize(
    "content",
    [b"this is = = not TOML", b"\xff\xfe\x00", b"a = " + b"[" * 5000, b"a = 1\na = 2", b"{}", b'{"schema": 1}'],
)
def test_what_is_no_toml_is_refused(content: bytes) -> None:
    with pytest.raises(TargetError, match=r"^mine\.toml: got .*wanted a TOML file; see: picojoule targets new FILE$"):
        parse_target(content, "mine.toml")


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(TargetError, match=r"^mine\.toml: "):
        parse_target(b"", "mine.toml")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.toml"
    with huge.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(InputError, match=r"huge\.toml: got 1099511627776 bytes, wanted a target in TOML of at most"):
        load_target(str(huge))


@pytest.mark.parametrize("name", ["", "titan", "../eie", "eie.tom", "EIE", "a\0b", "x" * 10_000])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(InputError) as caught:
        load_target(name)
    assert ", ".join(target_names()[:3]) in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    for name, got in (("none.toml", "no such file"), ("folder.toml", "a folder")):
        with pytest.raises(InputError, match=got):
            load_target(str(tmp_path / name))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_users_file_costs_what_the_shipped_one_costs(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.toml"
    copy.write_text(text_of(name), "utf-8")
    ours, theirs = (estimate("gemm:N=70,K=50,density=0.3", target) for target in (name, str(copy)))
    assert ours.totals == theirs.totals


def test_the_template_is_a_target_that_runs(tmp_path: Path) -> None:
    file = tmp_path / "My Board (v2).toml"
    file.write_text(target_template(str(file)), "utf-8")
    target = load_target(str(file))
    assert target.name == "my-board-v2"
    assert estimate("gemm:N=70,K=50,density=0.3", target).totals["latency_s"] > 0


def test_energy_levels_fall_back_to_the_default() -> None:
    known = Constant(value=2.0, low=1.0, high=3.0, source="s", status="assumed")
    alone = Constant(value=2.0, source="s", status="assumed")
    assert [known.at(level) for level in ("low", "default", "high")] == [1.0, 2.0, 3.0]
    assert [alone.at(level) for level in ("low", "default", "high")] == [2.0, 2.0, 2.0]


def test_eie_power_against_isca2016_table2() -> None:
    """Table II: one PE 9.157 mW as printed (its parts sum to 9.158); 64 of them and the detection tree: 0.587 W."""
    target = load_target("eie")
    assert isinstance(target, EieTarget)
    assert sum(c.value for c in target.pe_power_w.values()) == pytest.approx(9.157e-3, rel=2e-4)
    assert sum(target.power_w.values()) == pytest.approx(0.587, abs=0.0005)
