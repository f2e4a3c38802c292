"""Reports to print and to calculate with, read back by other programs' readers: pypdf and openpyxl."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from functools import cache

import openpyxl
import pypdf
import pytest

from picojoule.cli import main
from picojoule.models.errors import MissingExtraError
from picojoule.models.load import load_model
from picojoule.simulator.explain import format_si
from picojoule.simulator.report import Report, build_report
from picojoule.simulator.report.content import Chart
from picojoule.simulator.report.pdf import render_pdf
from picojoule.simulator.report.spreadsheet import render_xlsx


@cache
def report() -> Report:
    return build_report("lenet-300-100@deep-compression", ["eie", "core-i7-5930k"], version="1", command="by hand")


def _sheet(name: str, made: Report | None = None) -> list[dict[str, object]]:
    book = openpyxl.load_workbook(io.BytesIO(render_xlsx(made or report())))
    headers, *rows = book[name].iter_rows(values_only=True)
    return [dict(zip(headers, row, strict=True)) for row in rows]


def test_workbook_holds_the_documents_numbers():
    documents = report().documents
    totals = _sheet("totals")
    assert [row["target"] for row in totals] == [d["target"] for d in documents]
    for row, document in zip(totals, documents, strict=True):
        assert row["energy_pj"] == pytest.approx(document["totals"]["energy_pj"], rel=1e-12)
        assert row["batch"] == 1
    layers = _sheet("layers")
    wanted = [layer for document in documents for layer in document["layers"]]
    assert [row["name"] for row in layers] == [layer["name"] for layer in wanted]
    for row, layer in zip(layers, wanted, strict=True):
        assert row["latency_s"] == pytest.approx(layer["latency_s"], rel=1e-12)
        assert row["energy_by_component_pj_sram"] == pytest.approx(layer["energy_by_component_pj"]["sram"], rel=1e-12)


def test_what_is_not_modelled_is_an_empty_cell_not_a_zero():
    made = build_report("lenet-5@deep-compression", ["eie"], version="1")
    rows = {row["name"]: row for row in _sheet("layers", made) if "@" in str(row["model"])}
    assert rows["conv1"]["energy_pj"] is None
    assert rows["ip1"]["energy_pj"] > 0


def test_no_text_becomes_a_formula_or_a_link():
    model = load_model("lenet-300-100")
    for name in ("=HYPERLINK(1)", "http://example.org", "+1"):
        made = build_report(replace(model, name=name), ["eie"], version="1")
        book = openpyxl.load_workbook(io.BytesIO(render_xlsx(made)))
        found = [cell for row in book["totals"].iter_rows() for cell in row if cell.value == name]
        assert found
        assert all(cell.data_type == "s" and cell.hyperlink is None for cell in found)


def _text(made: Report | None = None) -> str:
    return " ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(render_pdf(made or report()))).pages)


def test_pdf_has_every_table_row():
    """Cells are broken into lines where they are long: words are compared."""
    words = set(_text().split())
    for section in report().sections:
        if not all(isinstance(block, Chart) for block in section.blocks):
            assert set(section.title.split()) <= words
    energy = format_si(report().documents[0]["totals"]["energy_pj"] * 1e-12, "J").split()
    for text in ("ip1", "ip2", "ip3", "eie_csc4", *energy):
        assert text in words


def test_pdf_of_names_that_its_font_has_no_letters_for():
    made = build_report(replace(load_model("lenet-300-100"), name="網路 \x07 μJ – ok"), ["eie"], version="1")
    assert "?? µJ - ok" in " ".join(_text(made).split())


@pytest.mark.parametrize("render", [render_pdf, render_xlsx])
def test_the_same_report_is_the_same_file(render):
    assert render(report()) == render(report())


@pytest.mark.parametrize(("suffix", "module"), [("pdf", "fpdf"), ("xlsx", "xlsxwriter")])
def test_without_the_extra_it_is_one_line_and_no_file(suffix, module, work_dir, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)  # as if not installed
    assert main(["report", "lenet-300-100", "--target", "eie", "-o", f"r.{suffix}"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "pip install 'picojoule[report]'" in error
    assert not list(work_dir.iterdir())
    with pytest.raises(MissingExtraError):
        (render_pdf if suffix == "pdf" else render_xlsx)(report())
