"""The dashboard in a real Chromium: it loads, it answers, and it says what the command line says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser
LENET = "lenet-300-100@deep-compression"
NUMBERS = ("energy_pj", "latency_s", "weight_bytes", "load_bytes", "dram_bytes", "weight_density")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard over what ships, on a free port."""
    command = [sys.executable, "-m", "picojoule", "dashboard", "--port", "0"]
    folder = tmp_path_factory.mktemp("dashboard")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line
        yield found[0]
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A page that fails the test for an error on its console or a request to anywhere else."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda m: wrong.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(f"page: {error}"))
    page.on("requestfailed", lambda r: wrong.append(f"failed: {r.url}") if "_dash-update" not in r.url else None)
    page.on("request", lambda r: wrong.append(f"foreign: {r.url}") if not local(r.url, address) else None)
    page.on("response", lambda r: wrong.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
    yield page
    context.close()
    assert wrong == []


def local(url: str, address: str) -> bool:
    return url.startswith((address, "data:", "blob:"))


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    expect(page.locator("#number-energy_pj")).to_be_visible(timeout=30_000)
    expect(page.locator("#front .plot-container")).to_be_visible()
    return page


def shown(page: Page) -> dict[str, float | None]:
    """The exact numbers behind the rounded ones."""
    texts = {name: page.locator(f"#number-{name}").get_attribute("data-value") for name in NUMBERS}
    return {name: None if text in (None, "None") else float(str(text)) for name, text in texts.items()}


def estimated(page: Page, run_python: Callable[..., Any]) -> dict[str, Any]:
    """What the command line that the page prints says."""
    command = page.locator("#command").inner_text().split()
    assert command[:2] == ["picojoule", "estimate"]
    done = run_python("-m", "picojoule", *command[1:], "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def agree(page: Page, run_python: Callable[..., Any]) -> dict[str, Any]:
    document, numbers = estimated(page, run_python), shown(page)
    wanted = {name: document["totals"][name] for name in NUMBERS}
    assert {name for name in NUMBERS if numbers[name] is None} == {name for name in NUMBERS if wanted[name] is None}
    for name in NUMBERS:
        assert numbers[name] is None or numbers[name] == pytest.approx(wanted[name], rel=1e-12), name
    return document


def choose(page: Page, name: str, option: str) -> None:
    page.locator(f"#{name}").click()
    page.get_by_role("option", name=option, exact=True).click()


def settled(page: Page, before: str) -> None:
    expect(page.locator("#command")).not_to_have_text(before, timeout=20_000)
    page.wait_for_function("document.querySelectorAll('[data-dash-is-loading=true]').length === 0")


def test_it_opens_on_what_ships(page: Page, address: str, run_python: Callable[..., Any]) -> None:
    opened(page, address)
    document = agree(page, run_python)
    assert document["model"] == LENET
    for name in ("front", "layers", "roofline", "network-graph", "traffic"):
        box = page.locator(f"#{name} .main-svg").first.bounding_box()
        assert box is not None
        assert box["width"] > 200
        assert box["height"] > 100
    rows = page.locator("#layer-table tbody tr")
    assert rows.count() == len(document["layers"])


def test_a_click_on_the_front_shows_that_design(page: Page, address: str, run_python: Callable[..., Any]) -> None:
    opened(page, address)
    before = page.locator("#command").inner_text()
    mark = page.locator("#front .scatterlayer .trace.scatter .points path").first
    box = mark.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_timeout(300)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    settled(page, before)
    agree(page, run_python)
    error = page.locator("#number-error_pct").get_attribute("data-value")
    assert float(str(error)) > 5  # the upper end of the front: its first mark has the largest error


def test_sliders_move_the_numbers(page: Page, address: str, run_python: Callable[..., Any]) -> None:
    opened(page, address)
    first = float(re.findall(r"--density ([\d.]+)", page.locator("#command").inner_text())[0])
    for label, keys in (("bits", ["Home", "ArrowRight"]), ("density", ["ArrowLeft"] * 3)):
        before = page.locator("#command").inner_text()
        page.locator(f"#{label}").get_by_role("slider").focus()
        for key in keys:
            page.keyboard.press(key)
        settled(page, before)
        page.wait_for_timeout(500)
        agree(page, run_python)
    assert "--bits 2" in page.locator("#command").inner_text()
    assert f"--density {first - 0.003:g} " in page.locator("#command").inner_text()


def test_a_density_typed_in(page: Page, address: str, run_python: Callable[..., Any]) -> None:
    """5 % of each layer's weights: less energy than what is shown first, and the error that was measured for it."""
    opened(page, address)
    before, numbers = page.locator("#command").inner_text(), shown(page)
    field = page.locator("#density").get_by_role("spinbutton")
    if not field.count():
        field = page.locator("input.dash-range-slider-input, .dash-slider-container input[type=number]").last
    field.fill("5")
    field.press("Enter")
    settled(page, before)
    page.wait_for_timeout(500)
    agree(page, run_python)
    now = shown(page)
    assert now["energy_pj"] < numbers["energy_pj"]  # type: ignore[operator]
    assert "--density 0.05" in page.locator("#command").inner_text()
    assert float(str(page.locator("#number-error_pct").get_attribute("data-value"))) > 30


@pytest.mark.parametrize("target", ["core-i7-5930k", "generic-45nm", "titan-x"])
def test_every_target(page: Page, address: str, run_python: Callable[..., Any], target: str) -> None:
    opened(page, address)
    before = page.locator("#command").inner_text()
    choose(page, "target", target)
    settled(page, before)
    document = agree(page, run_python)
    assert document["target"] == target


def test_another_network_and_axis(page: Page, address: str, run_python: Callable[..., Any]) -> None:
    """LeNet-5 on EIE: convolutions are not modelled, and the page says so."""
    opened(page, address)
    before = page.locator("#command").inner_text()
    choose(page, "across", "Weights in the file")
    choose(page, "network", "lenet-5@deep-compression")
    settled(page, before)
    assert agree(page, run_python)["partial"]
    expect(page.locator("#numbers")).to_contain_text("conv1")
    expect(page.locator("#front")).to_contain_text("Weights in the file")
    expect(page.locator("#front-note")).to_contain_text("not counted")


def test_measuring_the_error_of_a_design_in_between(page: Page, address: str) -> None:
    opened(page, address)
    page.locator("#density").get_by_role("slider").focus()
    before = page.locator("#command").inner_text()
    page.keyboard.press("ArrowRight")
    settled(page, before)
    expect(page.locator("#number-error_pct")).to_have_text("not measured")
    page.locator("#measure").click()
    expect(page.locator("#number-error_pct")).to_have_text(re.compile(r"^\d+\.\d\d %$"), timeout=20_000)


def test_pinned_designs_are_compared(page: Page, address: str) -> None:
    opened(page, address)
    expect(page.locator("#pins")).to_contain_text("Nothing is pinned")
    page.locator("#pin").click()
    expect(page.locator("#pins tbody tr")).to_have_count(1)
    before = page.locator("#command").inner_text()
    choose(page, "target", "titan-x")
    settled(page, before)
    page.locator("#pin").click()
    expect(page.locator("#pins tbody tr")).to_have_count(2)
    page.locator("#unpin").click()
    expect(page.locator("#pins")).to_contain_text("Nothing is pinned")


def test_the_page_on_trust(page: Page, address: str, run_python: Callable[..., Any]) -> None:
    page.goto(f"{address}trust")
    expect(page.locator("#trust-summary tbody tr").first).to_be_visible(timeout=60_000)
    document = json.loads(run_python("-m", "picojoule", "validate", "--json").stdout)
    assert page.locator("#trust-summary tbody tr").count() == len(document["summary"])
    first = page.locator("#trust-summary tbody tr").first.inner_text()
    assert f"{document['summary'][0]['median']:.1%}" in first
    page.locator("summary").click()
    assert page.locator("#trust-table tbody tr").count() == sum(min(10, line["n"]) for line in document["summary"])


def test_the_page_of_networks(page: Page, address: str) -> None:
    """Every family with a published accuracy has a name in the legend; the axis can be chosen."""
    page.goto(f"{address}networks")
    expect(page.locator("#families .legendtext").first).to_be_visible(timeout=60_000)
    names = set(page.locator("#families .legendtext").all_text_contents())
    assert {"alexnet", "resnet", "mobilenet-v2", "efficientnet", "squeezenet", "vgg"} <= names
    choose(page, "family-axis", "Energy, 45 nm view")
    expect(page.locator("#families")).to_contain_text("Energy per batch")


def test_links_lead_from_page_to_page(page: Page, address: str) -> None:
    opened(page, address)
    page.get_by_role("link", name="How far to trust it").click()
    expect(page.locator("#trust-figure")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name="Explore").click()
    expect(page.locator("#number-energy_pj")).to_be_visible()


def test_every_input_has_a_name(page: Page, address: str) -> None:
    """What a screen reader reads: each control is labelled."""
    opened(page, address)
    for name in ("network", "target", "across", "bits", "density", "storage"):
        assert page.locator(f"label[for='{name}']").count() == 1, name
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select')].filter(e => !(e.innerText.trim() || e.ariaLabel"
        " || e.labels?.length || e.getAttribute('aria-labelledby') || e.closest('[aria-label], .control'))).length"
    )
    assert unnamed == 0


@pytest.mark.parametrize("width", [400, 800, 1400])
def test_nothing_overflows(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    opened(page, address)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width


def test_no_button_that_uploads(page: Page, address: str) -> None:
    opened(page, address)
    page.locator("#front").hover()
    titles = page.locator("#front .modebar-btn").evaluate_all("nodes => nodes.map(n => n.dataset.title)")
    assert titles
    assert not [title for title in titles if title and re.search("cloud|share|edit", title, re.IGNORECASE)]


def test_another_host_is_refused(address: str) -> None:
    """A page elsewhere whose name resolves to this machine does not reach the dashboard."""
    import urllib.error
    import urllib.request

    request = urllib.request.Request(address, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    assert error.value.code == 400
    error.value.close()


def test_a_port_that_is_taken(address: str, run_python: Callable[..., Any], tmp_path: Path) -> None:
    port = address.rstrip("/").rpartition(":")[2]
    done = run_python("-m", "picojoule", "dashboard", "--port", port, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert "a free port" in done.stderr
