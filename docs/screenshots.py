"""The pictures in docs/, taken from the running dashboard and a fresh report: `make screenshots`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).resolve().parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
WAIT_MS = 1500  # for plotly's transitions to end


def dashboard(page: Page, address: str) -> None:
    """The first page, at the top, with the density of all designs on the 45 nm view."""
    page.goto(address)
    page.locator("#number-energy_pj").wait_for()
    page.locator("#target").click()
    page.get_by_role("option", name="generic-45nm", exact=True).click()
    page.wait_for_timeout(WAIT_MS)
    page.screenshot(path=DOCS / "dashboard.png", clip={"x": 0, "y": 0, "width": 1400, "height": 1080})


def trust(page: Page, address: str) -> None:
    page.goto(f"{address}trust")
    page.locator("#trust-summary tbody tr").first.wait_for(timeout=60_000)
    page.wait_for_timeout(WAIT_MS)
    page.screenshot(path=DOCS / "trust.png", full_page=True)


def report(page: Page, folder: str) -> None:
    path = Path(folder) / "report.html"
    subprocess.run([sys.executable, "-m", "picojoule", "demo", "-o", str(path)], check=True, stdout=subprocess.DEVNULL)
    page.goto(path.as_uri())
    page.wait_for_timeout(WAIT_MS)
    page.screenshot(path=DOCS / "report.png", clip={"x": 0, "y": 0, "width": 1400, "height": 1700}, full_page=True)


def figures(page: Page, folder: str) -> None:
    """Deep Compression's Figures 5 to 8 from our own runs, without the tables below them."""
    for number in (5, 6, 7, 8):
        name = f"figure-{number}"
        path = Path(folder) / f"{name}.html"
        command = [sys.executable, "-m", "picojoule", "paper", name, "-o", str(path)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        page.goto(path.as_uri())
        page.wait_for_timeout(WAIT_MS)
        page.locator("figure").first.screenshot(path=DOCS / f"{name}.png")


def main() -> None:
    browser_path = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser_path is None:
        sys.exit(f"no browser found, looked for {', '.join(BROWSERS)}")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = [sys.executable, "-m", "picojoule", "dashboard", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as server:
            line = server.stdout.readline() if server.stdout else ""
            address = re.search(r"http://\S+/", line)
            if address is None:
                sys.exit(f"the dashboard did not start: {line}")
            chromium = playwright.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
            page = chromium.new_page(viewport={"width": 1400, "height": 1080})
            dashboard(page, address[0])
            trust(page, address[0])
            report(page, folder)
            figures(page, folder)
            chromium.close()
            server.terminate()


if __name__ == "__main__":
    main()
