"""`stageroute report`: the page as text, and what it is made of."""

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from page_cases import HOSTILE, Outline, crowded, empty, hostile, page_of, scaling
from stageroute.cli.report import result_folders
from stageroute.cli.settings import command_line, settings_of
from stageroute.config.confidence import Confidence
from stageroute.config.settings import Drift
from stageroute.errors import InvalidInputError, MissingExtraError, ResultsError
from stageroute.lab import page
from stageroute.lab.engines import local_engine
from stageroute.lab.page.drawing import front, looks
from stageroute.lab.page.page import Section, describe, to_html
from stageroute.lab.results import StudyResults, read_results
from stageroute.lab.studies import STUDIES
from stageroute.lab.study import StudySettings, run_study
from stageroute.lab.summary import HeatMap, Point
from stageroute.lab.text import to_markdown, to_text
from stageroute.workloads import parse_workload

pytestmark = pytest.mark.slow

Cli = Callable[..., tuple[str, str]]
SECTIONS = (crowded, scaling, hostile, empty)


STUDY = STUDIES["comparison"]
FULL = STUDY.full
POLICIES = ("stageroute", "greedy", "uniform", "oracle")
SMALL = replace(STUDY.small, policies=POLICIES, seeds=(0, 1))


@pytest.fixture(scope="module")
def results_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small comparison's results."""
    folder = tmp_path_factory.mktemp("studies") / "comparison"
    run_study(STUDY, SMALL, folder, local_engine(1))
    return folder


@pytest.fixture(scope="module")
def results(results_folder: Path) -> StudyResults:
    """Return them as they are read."""
    return read_results(results_folder)


# --- the page


def test_a_page_is_well_formed_and_its_references_lead_somewhere() -> None:
    outline = Outline(page_of(*SECTIONS))
    names = outline.values("id")
    assert len(names) == len(set(names))
    links = [value for value in outline.values("href", "xlink:href") if value.startswith("#")]
    clips = re.findall(r"url\(#([^)]+)\)", " ".join(outline.values("clip-path", "style")))
    targets = [*(link[1:] for link in links), *clips, *outline.values("aria-labelledby")]
    assert clips
    assert set(targets) <= set(names)


def test_a_page_loads_nothing() -> None:
    page = page_of(*SECTIONS)
    outline = Outline(page)
    assert not {"script", "link", "img", "iframe", "object"} & set(outline.tags)
    assert outline.values("src", "srcset", "data", "action") == []
    links = outline.values("href", "xlink:href")
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in links)
    assert not re.search(r"@import|url\((?!#)", page)
    assert "default-src 'none'" in page


def test_names_are_escaped_wherever_they_stand() -> None:
    outline = Outline(page_of(hostile))
    assert "b" not in outline.tags
    assert "49" not in "".join(outline.texts)
    # Title, heading, question, contents, part, figures, notes, table, settings, command; drawn:
    # axes, curves, points, rows and what a map's values are.
    assert outline.texts.count(HOSTILE) >= 25
    words = [label for label in outline.values("aria-label") if not label.startswith("study-")]
    assert len(words) == 3
    assert all(HOSTILE in label for label in words)


def test_a_page_is_the_same_bytes_every_time_and_stays_small() -> None:
    first = page_of(scaling, hostile)
    with mpl.rc_context({"lines.linewidth": 9.0, "font.size": 30.0, "svg.hashsalt": "other"}):
        assert to_html([scaling(), hostile()]) == first
    # Two budgets here, three in a full study, which may take 2 MB.
    assert len(page_of(crowded).encode()) < 1.2e6


def test_what_is_missing_is_said() -> None:
    texts = Outline(page_of(empty)).texts
    assert texts.count("There is nothing to draw.") == 5
    assert "No command line says these settings: they were made in Python." in texts
    with pytest.raises(InvalidInputError, match="at least 1"):
        to_html([])


@pytest.mark.parametrize("package", ["jinja2", "matplotlib", "textalloc"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=f"{package}: pip install 'stageroute"):
        to_html([scaling(), crowded()])


def test_one_study_has_no_contents_and_several_do() -> None:
    one = Outline(page_of(scaling))
    several = Outline(page_of(*SECTIONS))
    assert "nav" not in one.tags
    assert several.tags.count("nav") == 1
    assert "#study-1-part-1" in several.values("href")
    assert [text for text in several.texts if text == "Studies"]
    assert one.tags.count("h1") == several.tags.count("h1") == 1


def test_tables_and_figures_say_everything_in_words() -> None:
    page = page_of(crowded)
    assert page.count('<th colspan="4" scope="colgroup">regret, %</th>') == 2
    assert page.count("-12.34<small>-13.00 to 11.00</small>") == 2 * 200
    assert page.count('class="best"') == 2
    labels = Outline(page).values("aria-label")
    assert len(labels) == 8
    assert labels[0].startswith("Regret. Lines: reward lost over query. At the end: stageroute -21")
    assert "rival-number-17" not in labels[0]
    assert "Heat map: 11 rows over 33 of stage." in labels[3]
    # No more than can be listened to.
    rows = tuple(f"m{k}" for k in range(20))
    figure = HeatMap("x", "stage", ("1",), rows, tuple([0.05] for _ in rows))
    assert describe(figure).endswith("and 12 more.")


def test_the_lines_in_focus_are_told_apart_without_colour() -> None:
    known = looks(crowded().summary)
    assert list(known.items())[:2] == [("stageroute", 0), ("oracle", 1)]
    assert sorted(known.values()) == list(range(5))
    sheet = files(page) / "figures.mplstyle"
    cycle = mpl.rc_params_from_file(str(sheet), use_default_template=False)["axes.prop_cycle"]
    for name, looked in cycle.by_key().items():
        assert len(set(map(str, looked))) == 8, name


def test_the_front_holds_what_nothing_beats() -> None:
    points = tuple(
        Point(n, x, y) for n, x, y in [("a", 1, 1), ("b", 2, 3), ("c", 3, 2), ("d", 1, 0.5)]
    )
    assert [point.label for point in front(points)] == ["a", "b"]


# --- the comparison


def test_the_comparison_fills_a_page(results: StudyResults) -> None:
    summary = STUDY.summarise(results)
    (part,) = summary.parts
    assert part == "b = 0.0003 USD per query"
    outline = Outline(to_html([Section(summary)]))
    assert outline.tags.count("svg") == 6
    assert {"Who serves: stageroute", "Who serves: oracle"} <= set(outline.texts)
    (table,) = summary.tables
    policies = [row[0] for row in table.rows]
    assert table.best
    # Greedy overspends in so short a stream; oracles are told what others learn.
    for row, column in table.best:
        spend = np.mean([record.spend for record in results.of(policy=policies[row])])
        assert spend <= 1.01
        assert policies[row] != "oracle"
        assert column in (1, 2, 3, 4, 11)
    maps = [figure for figure in summary.figures if isinstance(figure, HeatMap)]
    shares = np.array([np.asarray(row) for row in maps[0].values])
    assert np.isnan(shares).any()
    assert np.nansum(shares, axis=0) == pytest.approx(np.ones(shares.shape[1]))
    largest = [float(np.nanmax(np.asarray(row))) for figure in maps for row in figure.values[:5]]
    assert maps[0].top == pytest.approx(max(largest))


def test_heads_and_marks_in_text(results: StudyResults) -> None:
    summary = STUDY.summarise(results)
    lines = to_text(summary).splitlines()
    heads = next(line for line in lines if "regret, %" in line)
    columns = lines[lines.index(heads) + 1]
    assert heads.index("spend / b") > columns.index("worst")
    markdown = to_markdown(summary)
    assert "| policy | regret, %: mean | regret, %: median |" in markdown
    assert markdown.count("**") >= 2 * len(summary.tables[0].best)


# --- the command


def test_report_writes_a_page(results_folder: Path, tmp_path: Path, cli: Cli) -> None:
    page, again = tmp_path / "page.html", tmp_path / "again.html"
    assert "page.html" in cli("report", results_folder, "--out", page)[0]
    text = page.read_text(encoding="utf-8")
    assert "Comparison of policies" in text
    assert "stageroute study comparison --small --policies stageroute greedy" in text
    # The folder of folders gives the same page, and a folder that is named twice is shown once.
    cli("report", results_folder.parent, results_folder, "--out", again)
    assert again.read_text(encoding="utf-8") == text


def test_report_says_what_is_wrong(results_folder: Path, tmp_path: Path, cli: Cli) -> None:
    page, stopped = tmp_path / "page.html", tmp_path / "stopped"

    def error(folder: Path, out: Path = page) -> str:
        return cli("report", folder, "--out", out, status=1)[1]

    assert "no study ran there" in error(tmp_path)
    assert "there is no folder" in error(results_folder, tmp_path / "none" / "page.html")
    shutil.copytree(results_folder, stopped)
    header = (stopped / "study.json").read_text(encoding="utf-8")
    (stopped / "study.json").write_text(header.replace('"comparison"', '"another"'), "utf-8")
    assert "study 'another' is none of" in error(stopped)
    (stopped / "episodes.parquet").unlink()
    assert "its study was not finished" in error(stopped)
    assert not page.exists()


def test_folders_are_found_in_the_order_named(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.json").write_text("{}", encoding="utf-8")
    found = result_folders([tmp_path / "c", tmp_path])
    assert [folder.name for folder in found] == ["c", "a", "b"]
    with pytest.raises(ResultsError, match="no study ran there"):
        result_folders([tmp_path / "missing"])


ASKED: dict[str, Any] = {
    "use_prices": False,
    "throughput_cap": (0.5, 0.6),
    "start_cost": 0.1,
    "confidence": Confidence("kl", growth=0.0),
    "drift": Drift(forget_per_stage=0.9),
}


@pytest.mark.parametrize(
    "settings",
    [
        FULL,
        SMALL,
        replace(SMALL, budgets=(0.0007, 0.002), policies=("uniform",), num_queries=900),
        replace(SMALL, workload=parse_workload("builtin:num_initial=3")),
        replace(SMALL, seeds=(7, 8), limits=replace(FULL.limits, pacing_horizon=None)),
        replace(SMALL, limits=replace(FULL.limits, **ASKED)),
        replace(SMALL, workload=parse_workload("sota:N=50+outage:at=0.3+noisy:flips=0.1")),
    ],
)
def test_the_command_runs_the_same_again(settings: StudySettings) -> None:
    written = json.loads(json.dumps(settings.to_json()))
    command = command_line(STUDY, StudyResults("comparison", "0", written, []))
    assert command is not None
    program, study, name, *words, out, folder = shlex.split(command)
    assert (program, study, name, out, folder) == (
        "stageroute", "study", "comparison", "--out", "FOLDER",
    )  # fmt: skip
    assert json.loads(json.dumps(settings_of(STUDY, words).to_json())) == written


def test_settings_beyond_the_options_have_no_command() -> None:
    written = json.loads(json.dumps(replace(SMALL, seeds=(5, 7)).to_json()))
    assert command_line(STUDY, StudyResults("comparison", "0", written, [])) is None
