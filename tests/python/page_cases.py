"""Summaries that pages are made of in tests: as studies write them, and worse."""

from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser

import numpy as np

from stageroute.lab.page.page import Section, to_html
from stageroute.lab.summary import (
    Curve,
    HeatMap,
    LineFigure,
    Point,
    PointFigure,
    Summary,
    Table,
)

HOSTILE = "<b>&\"'</b> $x^2$ {{ 7 * 7 }}"
"""A name that is no mark-up, no mathematics and no template."""

VOID = ("meta", "link", "br", "img", "input", "hr")


def crowded() -> Section:
    """Twenty policies, two parts, every kind of figure."""
    generator = np.random.default_rng(3)
    names = ["stageroute", "oracle", *(f"rival-number-{k}" for k in range(18))]
    queries = np.linspace(1.0, 36_497.0, 100)
    regret = [
        Curve(name, queries, y := (k - 1.0) * np.sqrt(queries) / 9, 0.9 * y, 1.1 * y,
              in_focus=k < 5)
        for k, name in enumerate(names)
    ]  # fmt: skip
    points = [
        Point(name, 1.0 + 0.02 * generator.normal(), 0.64 + 0.003 * generator.normal(),
              (0.98, 1.02), (0.63, 0.65), in_focus=k < 5)
        for k, name in enumerate(names)
    ]  # fmt: skip
    points[-1] = Point(names[-1], 4.0, 0.5, in_focus=False)
    shares = generator.dirichlet(np.full(11, 0.2), size=33).T
    shares[8:, :20] = np.nan
    models = [f"provider/a-model-with-a-long-name-{k}" for k in range(11)]
    parts = ("b = 0.0003 USD per query", "b = 0.001 USD per query")
    figures = [
        figure
        for part in parts
        for figure in (
            LineFigure("Regret", "query", "reward lost", tuple(regret), log_y=True,
                       note="Lower is better.", part=part),
            LineFigure("Spend", "query", "spend / budget", tuple(regret), level=1.0,
                       y_range=(0.5, 1.5), part=part),
            PointFigure("Reward", "spend / b", "mean reward", tuple(points), front=True,
                        upright=1.0, x_range=(0.8, 1.2), y_range=(0.6, 0.66), part=part),
            HeatMap("Who serves", "stage", tuple(map(str, range(1, 34))), tuple(models),
                    tuple(shares), top=0.9, part=part),
        )
    ]  # fmt: skip
    columns = ("policy", *(f"column {k}" for k in range(10)))
    rows = tuple((name, *["-12.34 (-13.00 to 11.00)"] * 10) for name in names)
    heads = (("", 1), ("regret, %", 4), ("spend / b", 6))
    tables = tuple(
        Table(f"All at {part}", columns, rows, "Over 8 seeds.", heads, frozenset({(2, 3)}), part)
        for part in parts
    )
    summary = Summary("Comparison", "Which is best?", (*figures, *tables))
    return Section(summary, (("seeds", "0 to 7"),), "stageroute study comparison --out FOLDER")


def scaling() -> Section:
    """A fit on two logarithmic axes, a price with gaps, a sweep without numbers on its end."""
    horizons = np.array([1e3, 1e4, 1e5, 1e6])
    total = 0.3 * horizons**0.66
    fit = Curve("slope 0.66 (0.63 to 0.69), where theory says 2/3", horizons, total,
                is_reference=True)  # fmt: skip
    curve = Curve("stageroute", horizons, 1.02 * total, 0.9 * total, 1.1 * total)
    queries = np.arange(1.0, 101.0)
    price = np.where((queries < 9) | (queries > 90), np.nan, 400.0 / queries)
    figures = (
        LineFigure("Regret", "T, queries", "total regret", (curve, fit), log_x=True, log_y=True),
        LineFigure("Price", "query", "λ, reward per USD", (Curve("oracle", queries, price),)),
        LineFigure("One point", "γ", "regret, %", (Curve("b", [0.1], [2.0]),), log_x=True),
    )
    return Section(Summary("Scaling", "How does regret grow?", figures))


def hostile() -> Section:
    """The same name everywhere that a name can be."""
    curve = Curve(HOSTILE, [1.0, 2.0], [1.0, 2.0])
    reference = Curve(HOSTILE, [1.0, 2.0], [2.0, 1.0], is_reference=True)
    figures = (
        LineFigure(HOSTILE, HOSTILE, HOSTILE, (curve, reference), note=HOSTILE, part=HOSTILE),
        PointFigure(HOSTILE, HOSTILE, HOSTILE, (Point(HOSTILE, 1.0, 1.0),), part=HOSTILE),
        HeatMap(HOSTILE, HOSTILE, (HOSTILE,), (HOSTILE,), ([0.5],), part=HOSTILE,
                value_label=HOSTILE),
    )  # fmt: skip
    table = Table(HOSTILE, (HOSTILE, HOSTILE), ((HOSTILE, HOSTILE),), HOSTILE, ((HOSTILE, 2),))
    summary = Summary(HOSTILE, HOSTILE, (table, *figures))
    return Section(summary, ((HOSTILE, HOSTILE),), HOSTILE)


def empty() -> Section:
    """A study that has figures without a value, and nothing else."""
    gaps = [float("nan")] * 3
    figures = (
        LineFigure("No curves", "x", "y", ()),
        LineFigure("Gaps only", "x", "y", (Curve("a", [1.0, 2.0, 3.0], gaps),)),
        PointFigure("No points", "x", "y", ()),
        HeatMap("No rows", "x", (), (), ()),
        HeatMap("Gaps only", "x", ("1", "2", "3"), ("a",), (gaps,)),
    )
    return Section(Summary("Nothing yet", "Is there anything?", figures))


@cache
def page_of(*makers: Callable[[], Section]) -> str:
    """Return the page of these studies, drawn once."""
    return to_html([make() for make in makers])


class Outline(HTMLParser):
    """What a page is made of; fails where elements do not close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == [], f"not closed: {self._open}"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())

    def values(self, *names: str) -> list[str]:
        """Return the values of attributes of these names."""
        return [value for name, value in self.attributes if name in names]
