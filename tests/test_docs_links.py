"""Links between the documents resolve, and assumptions that the code names are in docs/assumptions.md, all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED = re.compile(r"\"((?:[A-Z]{1,2}\d+))(?::|\")")


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


def test_assumptions_named_in_code_are_listed() -> None:
    """Formulas say `H1: ...`; the table has a row `| H1 |`."""
    listed = set(re.findall(r"^\| ([A-Z]{1,2}\d+) \|", (ROOT / "docs/assumptions.md").read_text(), re.MULTILINE))
    named = {
        name
        for folder in ("simulator", "models", "dashboard", "api")
        for path in (ROOT / folder).rglob("*.py")
        for name in NAMED.findall(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 20
    assert named <= listed
