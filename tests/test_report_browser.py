"""The HTML report in a real Chromium, opened as a file: every chart drawn, nothing fetched, nothing cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route

import picojoule
from picojoule.models.load import load_model
from picojoule.simulator.report import Report, build_report, write_report
from picojoule.simulator.report.content import Chart
from picojoule.simulator.target import DEFAULT_TARGETS

pytestmark = pytest.mark.browser
LENET = "lenet-300-100@deep-compression"
HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
Opened = Callable[[str, int], Page]

WIDTHS = """() => [...document.querySelectorAll('.chart')].map(chart => {
  const svg = chart.querySelector('svg.main-svg, canvas');
  const box = svg && svg.getBoundingClientRect();
  return box ? [box.width, box.height, chart.clientWidth] : [0, 0, chart.clientWidth];
})"""
# Texts of a chart that stick out of it are cut off by `overflow: hidden`, where scrollWidth does not show them.
CUT_OFF = """() => [...document.querySelectorAll('.chart')].flatMap(chart => {
  const frame = chart.getBoundingClientRect();
  return [...chart.querySelectorAll('svg text')].filter(text => {
    const box = text.getBoundingClientRect();
    return box.width && (box.left < frame.left - 2 || box.right > frame.right + 2);
  }).map(text => chart.id + ': ' + text.textContent);
})"""

FIRST = "[...document.querySelectorAll('.chart .main-svg:first-of-type')]"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Report]]:
    """One network on every target with an exploration, one with layers that are not modelled, one hostile name."""
    folder = tmp_path_factory.mktemp("reports")
    explored = picojoule.explore(LENET, list(DEFAULT_TARGETS), bits=[2, 4], densities=[0.05, 1.0])
    hostile = replace(load_model(LENET), name=HOSTILE)
    made = {
        "explored": build_report(LENET, DEFAULT_TARGETS, exploration=explored, command=f"picojoule report {LENET}"),
        "partial": build_report("lenet-5@deep-compression", list(DEFAULT_TARGETS), command="picojoule report"),
        "hostile": build_report(hostile, ["eie"], command=HOSTILE),
    }
    for name, report in made.items():
        write_report(report, folder / f"{name}.html")
    return {name: (folder / f"{name}.html", report) for name, report in made.items()}


@pytest.fixture
def opened(browser: Browser, reports: dict[str, tuple[Path, Report]]) -> Iterator[Opened]:
    """Opens a report by file://; the test fails for an error, a warning of the policy, or a request."""
    wrong: list[str] = []
    contexts: list[BrowserContext] = []

    def route(request: Route) -> None:
        if request.request.url.startswith(("file:", "data:", "blob:")):
            request.continue_()
        else:
            wrong.append(f"request: {request.request.url}")
            request.abort()

    def make(name: str, width: int) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        context.route("**/*", route)
        page = context.new_page()
        page.on("console", lambda m: wrong.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(f"page: {error}"))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else wrong.append(r.url))
        page.goto(reports[name][0].as_uri())
        page.wait_for_function(f"{FIRST}.length == document.querySelectorAll('.chart').length")
        return page

    yield make
    for context in contexts:
        context.close()
    assert wrong == []


def charts_of(report: Report) -> int:
    return sum(isinstance(block, Chart) for section in report.sections for block in section.blocks)


@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("name", ["explored", "partial"])
def test_every_chart_is_drawn_and_nothing_overflows(
    opened: Opened, reports: dict[str, tuple[Path, Report]], name: str, width: int
) -> None:
    page = opened(name, width)
    sizes = page.evaluate(WIDTHS)
    assert len(sizes) == charts_of(reports[name][1])
    for drawn, height, room in sizes:
        assert 0 < drawn <= room + 1
        assert height > 100
    shown, there = page.evaluate("[document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]")
    assert shown <= there + 1
    assert page.evaluate(CUT_OFF) == []


def test_a_hostile_name_runs_nothing(opened: Opened) -> None:
    page = opened("hostile", 1200)
    assert page.locator("img").count() == 0
    assert page.title().startswith("</script>")
    assert HOSTILE in page.locator("h1").inner_text()


def test_charts_answer_the_mouse(opened: Opened) -> None:
    """The layer with the most energy, hovered over, says its energy in words."""
    page = opened("partial", 1200)
    bar = page.locator(".chart .barlayer .point path").first
    bar.scroll_into_view_if_needed()
    bar.hover(force=True)
    page.locator(".hoverlayer .hovertext").first.wait_for(timeout=10_000)


def test_the_table_of_contents_leads_to_its_sections(opened: Opened) -> None:
    page = opened("explored", 1200)
    for link in page.locator("nav a").all():
        target: Any = link.get_attribute("href")
        assert page.locator(f"h2{target}").inner_text() == link.inner_text()


def test_on_paper_every_chart_fits(opened: Opened) -> None:
    """A4 less margins is about 700 px wide: charts and tables are set to that, and nothing is cut off."""
    page = opened("explored", 1200)
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function(f"{FIRST}.every(svg => svg.clientWidth <= 701)")
    assert not page.locator("nav").is_visible()
    content = page.pdf(format="A4")
    assert content.startswith(b"%PDF")
    page.emulate_media(media="screen")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    page.wait_for_function(f"{FIRST}.every(svg => svg.clientWidth > 900)")
