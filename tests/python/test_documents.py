"""What the documents point to is there."""

import re
from pathlib import Path

import pytest

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_each_invariant_names_a_test_that_exists() -> None:
    page = ROOT / "docs" / "architecture.md"
    rows = re.findall(
        r"^\|.*\]\(\.\./(tests/\S+)\)(?:: `(\w+)`)? \|$", page.read_text(), re.MULTILINE
    )
    assert 0 < len(rows) <= 12
    for path, name in rows:
        assert not name or re.search(rf"\b(fn|def) {name}\b", (ROOT / path).read_text()), name
