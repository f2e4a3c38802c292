"""Reports in files: self-contained, complete, with the numbers of the estimate documents, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import picojoule
from picojoule.models.errors import InputError, OutputError, PicojouleError
from picojoule.models.load import load_model
from picojoule.simulator.document import estimate_document
from picojoule.simulator.explain import format_si
from picojoule.simulator.ladder import size_ladder
from picojoule.simulator.report import SUFFIXES, Report, build_report, write_report
from picojoule.simulator.report.content import Chart, Section, Table
from picojoule.simulator.report.export import render_csv, render_json, render_markdown
from picojoule.simulator.report.page import render_html
from picojoule.simulator.report.pdf import render_pdf
from picojoule.simulator.report.spreadsheet import render_xlsx
from picojoule.simulator.target import DEFAULT_TARGETS

MODEL = "lenet-300-100@deep-compression"
COMMAND = f"picojoule report {MODEL} -o r.html"
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>|=1+1"
RENDERERS = (render_html, render_markdown, render_csv, render_json, render_pdf, render_xlsx)


@cache
def exploration() -> Any:
    return picojoule.explore(MODEL, list(DEFAULT_TARGETS), bits=[2, 4], densities=[0.05, 1.0])


@cache
def report_of(model: str = MODEL, explored: bool = True) -> Report:
    found = exploration() if explored else None
    return build_report(model, list(DEFAULT_TARGETS), exploration=found, command=COMMAND, version="1.2.3")


def section(report: Report, start: str) -> Section:
    return next(s for s in report.sections if s.title.startswith(start))


def tables(report: Report) -> list[Table]:
    return [block for s in report.sections for block in s.blocks if isinstance(block, Table)]


class Page(HTMLParser):
    """Tags, ids, headings and every address that a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.headings: list[str] = []
        self.styles = self.visible = ""
        self.handlers: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            elif name == "style":
                self.styles += str(value)
            elif name.startswith("on"):
                self.handlers.append(name)
            elif name == "href" and tag == "a":
                self.links.append(str(value))
            elif name in ("src", "href", "srcset", "data", "poster", "action"):
                self.loads.append(str(value))
        if tag in ("h1", "h2", "h3"):
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside == "style":
            self.styles += data
        elif inside != "script":
            self.visible += data
        if inside in ("h1", "h2", "h3"):
            self.headings[-1] += data


def test_html_loads_nothing() -> None:
    text = render_html(report_of())
    page = Page(text)
    assert page.loads == ["data:,"]
    assert page.handlers == []
    assert "url(" not in page.styles
    assert "@import" not in page.styles
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert re.search(r'Content-Security-Policy" content="default-src \'none\'', text)
    assert not {"iframe", "object", "embed", "base", "form"} & set(page.tags)


@pytest.mark.parametrize(
    "words",
    ["Verdict", "On each target", f"Size of {MODEL}", "Designs explored", "From DRAM and from SRAM",
     "By layer and memory level", "Assumptions", "The network lenet-300-100", "Sources",
     "How to make this report again"],
)  # fmt: skip
def test_sections_that_a_reader_looks_for(words: str) -> None:
    assert any(heading.startswith(words) for heading in Page(render_html(report_of())).headings)
    drawn_only = words.startswith("The network")
    assert drawn_only or re.search(rf"^##+ {re.escape(words)}", render_markdown(report_of()), re.MULTILINE)


def test_without_an_exploration_there_is_no_front() -> None:
    assert not any(s.title == "Designs explored" for s in report_of(explored=False).sections)


def test_the_command_stands_in_the_report() -> None:
    assert COMMAND in Page(render_html(report_of())).visible
    assert f"    {COMMAND}\n" in render_markdown(report_of())
    assert "picojoule 1.2.3" in Page(render_html(report_of())).visible


def test_documents_are_the_estimates() -> None:
    """Compressed on each target, then the dense network in fp32 on each."""
    wanted = [
        estimate_document(picojoule.estimate(model, target), "1.2.3")
        for model in (MODEL, "lenet-300-100")
        for target in list(DEFAULT_TARGETS)
    ]
    assert json.loads(render_json(report_of())) == {"estimates": wanted}
    alone = build_report("lenet-300-100", ["eie"], version="1.2.3")
    assert json.loads(render_json(alone)) == wanted[4 + list(DEFAULT_TARGETS).index("eie")]


def test_dense_against_compressed_has_the_numbers_of_the_documents() -> None:
    table = next(b for b in section(report_of(), "On each target").blocks if isinstance(b, Table))
    columns = [table.headers.index(name) for name in ("target", "model", "energy per batch", "weights on target")]
    shown = {tuple(row[c] for c in columns) for row in table.rows}
    assert shown == {
        (d["target"], d["model"], format_si(d["totals"]["energy_pj"] * 1e-12, "J"),
         format_si(d["totals"]["weight_bytes"], "B"))
        for d in report_of().documents
    }  # fmt: skip


def test_layer_tables_have_the_numbers_of_the_documents() -> None:
    """One table a target, in order: MACs, energy, time, and energy by component below it."""
    by_layer = [t for t in tables(report_of()) if t.caption.startswith("Per batch")]
    by_component = [t for t in tables(report_of()) if t.caption.startswith("Energy per batch by component")]
    for document, layers, parts in zip(report_of().documents[:4], by_layer, by_component, strict=True):
        for row, part, layer in zip(layers.rows, parts.rows[:-1], document["layers"], strict=True):
            cells = dict(zip(layers.headers, row, strict=True))
            assert cells["layer"] == part[0] == layer["name"]
            assert cells["MACs, dense"] == f"{layer['macs']:,}"
            assert cells["energy"] == format_si(layer["energy_pj"] * 1e-12, "J")
            time = layer["latency_s"]
            assert cells["time"] == ("not modelled" if time is None else format_si(time, "s"))
            wanted = layer["energy_by_component_pj"]
            assert part[1:] == tuple(format_si(wanted[name] * 1e-12, "J") for name in parts.headers[1:])
        assert set(parts.headers[1:]) == {n for n, v in document["energy_by_component_pj"].items() if v}


def test_traffic_tables_sum_to_the_bytes_by_level() -> None:
    found = [t for t in tables(report_of()) if t.caption.startswith("Traffic")]
    for document, table in zip(report_of().documents[:4], found, strict=True):
        sums = dict.fromkeys(document["bytes_by_level"], 0.0)
        for level, _, *cells in table.rows:
            for cell in cells:
                number, unit = cell.split()
                sums[level] += float(number) * {"B": 1, "kB": 1e3, "MB": 1e6}[unit]
        assert sums == pytest.approx(document["bytes_by_level"], rel=5e-3)  # three digits are shown


def test_size_ladder_is_in_the_table() -> None:
    table = next(b for b in section(report_of(), "Size of").blocks if isinstance(b, Table))
    assert [row[:2] for row in table.rows] == [(r.step, f"{r.bytes:,.0f}") for r in size_ladder(load_model(MODEL))]


def test_the_front_is_in_the_table() -> None:
    points = exploration().points
    table = next(b for b in section(report_of(), "Designs explored").blocks if isinstance(b, Table))
    wanted = {
        (row["target"], str(row["bits"]), f"{row['density']:.3g}", row["format"])
        for row in points[points["front"]].to_dict("records")
    }
    assert {row[:4] for row in table.rows} == wanted


def test_assumptions_and_sources_are_listed() -> None:
    page = Page(render_html(report_of())).visible
    for document in report_of().documents[:4]:
        assert all(assumption in page for assumption in document["assumptions"])
    for cost in report_of().costs[:4]:
        used = {q.source for term in cost.terms for q in term.inputs if q.source}
        assert used
        assert all(cost.target.sources.get(key, key) in page for key in used)


def test_what_is_not_modelled_is_said_first() -> None:
    """LeNet-5's convolutions on EIE: in the verdict's warnings, in the tables, in no total."""
    page = Page(render_html(report_of("lenet-5@deep-compression", False))).visible
    said = "Not modelled, and in no total: lenet-5@deep-compression on eie. conv1 (conv), pool1 (max_pool)"
    assert 0 < page.find(said) < page.index("On each target")


def test_every_chart_has_its_data() -> None:
    text = render_html(report_of())
    found = dict(re.findall(r'<script type="application/json" id="(.*?)-data">(.*?)</script>', text, re.DOTALL))
    charts = sum(isinstance(block, Chart) for s in report_of().sections for block in s.blocks)
    assert len(found) == charts > 10
    assert all(json.loads(figure)["data"] for name, figure in found.items() if "without a clock" not in figure)


@pytest.mark.parametrize("render", RENDERERS)
def test_the_same_inputs_give_the_same_bytes(render: Any) -> None:
    again = build_report(MODEL, list(DEFAULT_TARGETS), exploration=exploration(), command=COMMAND, version="1.2.3")
    assert render(again) == render(report_of())


def test_csv_reads_back_with_units_in_its_headers() -> None:
    frame = pd.read_csv(io.StringIO(render_csv(report_of("lenet-5@deep-compression", False))))
    rows = [(d, layer) for d in report_of("lenet-5@deep-compression", False).documents for layer in d["layers"]]
    assert len(frame) == len(rows)
    for column in ("energy_pj", "latency_s", "weight_bytes", "dram_bytes", "macs", "weight_density"):
        wanted = [np.nan if layer[column] is None else float(layer[column]) for _, layer in rows]
        assert np.array_equal(frame[column].to_numpy(float), wanted, equal_nan=True), column
    assert frame["energy_sram_pj"].tolist() == [layer["energy_by_component_pj"]["sram"] for _, layer in rows]
    words = {"model", "target", "batch", "name", "kind", "modelled", "stored_as", "executed_as", "bound_by",
             "macs", "macs_performed", "weight_elements", "weight_density", "input_density"}  # fmt: skip
    assert all(name.endswith(("_pj", "_s", "_bytes", "_bits")) for name in set(frame.columns) - words)


def hostile() -> Report:
    model = load_model(MODEL)
    return build_report(replace(model, name=HOSTILE), ["eie"], command=HOSTILE, version="1.2.3")


def test_a_hostile_name_is_only_text_in_html() -> None:
    sound, found = Page(render_html(report_of())), Page(render_html(hostile()))
    assert found.tags.count("script") - len(re.findall("-data", " ".join(found.ids))) == (
        sound.tags.count("script") - len(re.findall("-data", " ".join(sound.ids)))
    )
    assert "img" not in found.tags
    assert HOSTILE in found.visible


def test_a_hostile_name_is_only_text_in_markdown_and_csv() -> None:
    text = render_markdown(hostile())
    body = text.replace(f"    {HOSTILE}\n", "")
    assert "<" not in body
    assert "&lt;/script&gt;" in body
    assert all(len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", rule)) for line, rule in
               zip(body.splitlines(), body.splitlines()[1:], strict=False) if rule.startswith("| :--"))  # fmt: skip
    formula = build_report(replace(load_model(MODEL), name="=HYPERLINK(1)"), ["eie"], version="1")
    assert {row[0] for row in csv.reader(render_csv(formula).splitlines()[1:5])} <= {"'=HYPERLINK(1)", "lenet-300-100"}


def test_models_of_one_name_stay_apart() -> None:
    """Two files made from one network: without names of their own, rows and markers would run together."""
    model = load_model(MODEL)
    other = build_report(model, ["eie"], against=replace(model, file_bytes=1), version="1")
    assert [d["model"] for d in other.documents] == [MODEL, f"{MODEL} (against)"]
    both = build_report([model, replace(model, file_bytes=1)], ["eie"], version="1")
    assert [d["model"] for d in both.documents[:2]] == [MODEL, f"{MODEL} (2)"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_are_what_was_rendered(work_dir: Path, suffix: str) -> None:
    write_report(report_of(), f"r{suffix}")
    render = dict(zip((".html", ".md", ".csv", ".json", ".pdf", ".xlsx"), RENDERERS, strict=True))[suffix]
    made = render(report_of())
    assert (work_dir / f"r{suffix}").read_bytes() == (made.encode() if isinstance(made, str) else made)


@pytest.mark.parametrize("name", ["r.docx", "r", "r.html.gz"])
def test_another_suffix_is_refused(work_dir: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"--output: got .*wanted a name ending in \.html, \.pdf, \.md, \.csv, \.json"):
        write_report(report_of(), name)
    assert not list(work_dir.iterdir())


@pytest.mark.parametrize("name", ["missing/r.html", "folder.html", "file/r.md", f"{'n' * 300}.json"])
def test_what_cannot_be_written_is_one_line(work_dir: Path, name: str) -> None:
    (work_dir / "folder.html").mkdir()
    (work_dir / "file").write_text("kept")
    with pytest.raises(OutputError) as error:
        write_report(report_of(), name)
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in work_dir.iterdir()) == ["file", "folder.html"]
    assert (work_dir / "file").read_text() == "kept"


@pytest.mark.parametrize(("models", "targets"), [([], ["eie"]), (MODEL, []), (MODEL, "eie"), (MODEL, ["no-such"])])
def test_nothing_to_report_on_is_one_line(models: Any, targets: Any) -> None:
    with pytest.raises(PicojouleError) as error:
        build_report(models, targets)
    assert "\n" not in str(error.value)
