"""`stageroute report`: the page in a real browser, on a telephone, a desk and paper."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from page_cases import crowded, empty, hostile, page_of, scaling

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PHONE, TABLET, DESK = 375, 768, 1280
PAPER = 695
"""Width in pixels of what is printed on A4, within the margins; its height is below."""
PAPER_HEIGHT = 1016

SMALLEST_DRAWN = 10.0
SMALLEST_TEXT = 11.0
"""Pixels: of text in figures, and elsewhere."""

CONTRAST = 4.5
"""Of text against what is behind it: WCAG 2.2, 1.4.3."""

OVERFLOWING = """() => {
  const wide = document.documentElement.clientWidth + 0.5;
  return [...document.querySelectorAll('body *')]
    .filter(e => !e.closest('svg') && !e.closest('.scroll *'))
    .filter(e => e.getBoundingClientRect().right > wide)
    .map(e => e.tagName + '#' + e.id);
}"""

FIGURES = """() => [...document.querySelectorAll('figure svg')].map(svg => {
  const box = svg.getBoundingClientRect(), scale = svg.getScreenCTM().a;
  const texts = [...svg.querySelectorAll('text')];
  const inside = t => {
    const b = t.getBoundingClientRect();
    return b.left > box.left - 1 && b.right < box.right + 1
      && b.top > box.top - 1 && b.bottom < box.bottom + 1;
  };
  const covers = (t, o) => {
    const a = t.getBoundingClientRect(), b = o.getBoundingClientRect();
    return Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
  };
  return {
    width: box.width, height: box.height,
    drawn: svg.querySelectorAll('path, use, image').length,
    smallest: Math.min(...texts.map(t => scale * parseFloat(getComputedStyle(t).fontSize))),
    covered: texts.filter((t, k) => texts.slice(k + 1).some(o => covers(t, o)))
      .map(t => t.textContent),
    cut: texts.filter(t => !inside(t)).map(t => t.textContent),
    visible: svg.checkVisibility(),
  };
})"""

FONT_SIZES = """() => [...document.querySelectorAll('body *')]
  .filter(e => !e.closest('svg') && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
  .map(e => parseFloat(getComputedStyle(e).fontSize))"""

COLOURS = """() => [...document.querySelectorAll('h1, h2, h3, p, li, a, td, th, small, text')]
  .filter(e => e.tagName !== 'text' || getComputedStyle(e.closest('svg')).filter === 'none')
  .map(e => {
    const style = getComputedStyle(e);
    return [e.tagName, e.tagName === 'text' ? style.fill : style.color,
            getComputedStyle(document.body).backgroundColor];
  })"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser of this machine."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"left out: there is no browser; one of {', '.join(BROWSERS)} would do")
    with sync_playwright() as driver:
        # Without its sandbox, since containers run as root; the page is our own.
        started = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write a page with all that a page can hold."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page_of(crowded, scaling, hostile, empty), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    """Open the page as wide as the test asks, and listen to what it does."""
    shape: tuple[int, Any] = getattr(request, "param", (PHONE, "light"))
    width, scheme = shape
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    did: list[str] = []
    page.on("request", lambda request: did.append(request.url))
    page.on("console", lambda message: did.append(message.text))
    page.on("pageerror", lambda error: did.append(str(error)))
    page.goto(address, wait_until="networkidle")
    assert did == [address], "it loads itself alone, without complaint"
    yield page
    page.close()


def width(*widths: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", [(w, "light") for w in widths], indirect=True)


@width(PHONE, TABLET, DESK)
def test_figures_are_whole_and_readable_and_nothing_is_wider_than_the_screen(page: Page) -> None:
    assert page.viewport_size
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]
    assert page.evaluate(OVERFLOWING) == []
    figures = page.evaluate(FIGURES)
    assert len(figures) == 8 + 3 + 3
    for figure in figures:
        assert figure["visible"]
        assert figure["width"] > 300
        assert figure["height"] > 60
        assert figure["drawn"] > 5
        assert figure["covered"] == figure["cut"] == []
        assert figure["smallest"] >= SMALLEST_DRAWN
    assert min(page.evaluate(FONT_SIZES)) >= SMALLEST_TEXT


def test_headings_tables_and_folds_are_there(page: Page) -> None:
    assert page.locator("h1").all_inner_texts() == ["Studies"]
    assert page.locator("section.study > h2").count() == 4
    tables = page.locator("table")
    assert tables.count() == 3
    assert tables.first.locator("tbody tr").count() == 20
    # A wide table scrolls in its own box, by keyboard too, its first column standing still.
    box = page.locator(".scroll").first
    assert box.evaluate("e => e.scrollWidth > e.clientWidth && e.tabIndex === 0")
    before = page.locator("tbody th").first.bounding_box()
    box.evaluate("e => { e.scrollLeft = 200; }")
    assert page.locator("tbody th").first.bounding_box() == before
    command = page.get_by_text("stageroute study comparison --out FOLDER")
    assert not command.is_visible()
    page.locator("summary").first.click()
    assert command.is_visible()


@pytest.mark.parametrize(
    ("page", "is_dark"), [((DESK, "light"), False), ((DESK, "dark"), True)], indirect=["page"]
)
def test_text_stands_out(page: Page, is_dark: bool) -> None:
    colours = page.evaluate(COLOURS)
    assert len(colours) > 100
    assert (_luminance(colours[0][2]) < 0.1) == is_dark
    weak = {(tag, text) for tag, text, paper in colours if _contrast(text, paper) < CONTRAST}
    assert weak == set()


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance, as WCAG defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@width(PAPER)
def test_paper_shows_everything(page: Page, tmp_path: Path) -> None:
    page.emulate_media(media="print")
    assert page.evaluate(OVERFLOWING) == []
    assert page.evaluate("Math.max(...[...document.querySelectorAll('.scroll')]"
                         ".map(e => e.scrollWidth - e.clientWidth))") <= 0  # fmt: skip
    figures = page.evaluate(FIGURES)
    assert all(figure["cut"] == [] and figure["height"] < PAPER_HEIGHT for figure in figures)
    # What is folded away on a screen is printed.
    assert page.locator("details pre").first.evaluate("e => e.getBoundingClientRect().height") > 10
    path = tmp_path / "page.pdf"
    page.pdf(path=path, prefer_css_page_size=True)
    pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", path.read_bytes()))
    assert 4 <= pages <= 30
