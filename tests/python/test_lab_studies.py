"""Studies: they run, and what they say follows the records."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stageroute.cli import main
from stageroute.lab.engines import local_engine
from stageroute.lab.episodes import Record
from stageroute.lab.results import StudyResults, read_results
from stageroute.lab.studies import STUDIES
from stageroute.lab.study import run_study
from study_cases import assert_well_formed, changed

NAMES = ("scaling", "sweeps", "checks", "feedback", "pools", "starts", "newcomer")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StudyResults]:
    """The small setting of every study; two seeds, or shorter streams, will do here."""
    found = {}
    for name in NAMES:
        study = STUDIES[name]
        settings = replace(study.small(study.settings()), seeds=(0, 1))
        settings = replace(settings, num_queries=3_000 if name == "scaling" else 1_200)
        folder = tmp_path_factory.mktemp(name)
        found[name] = run_study(study, settings, folder, local_engine(1))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_what_a_study_says_is_well_formed(results: dict[str, StudyResults], name: str) -> None:
    assert_well_formed(STUDIES[name].summarise(results[name]))


@pytest.mark.parametrize("name", NAMES)
def test_a_study_runs_from_the_command_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    options = ["--small", "--seeds", "2", "--queries", "1000", "--workers", "1", "--no-progress"]
    if name == "scaling":
        options[4] = "3000"
    status = main(
        ["study", name, *options, "--out", str(tmp_path / "out"), "--markdown", str(page)]
    )
    assert status == 0
    summary = STUDIES[name].summarise(read_results(tmp_path / "out"))
    assert summary.findings[0] in capsys.readouterr().out
    assert summary.tables[0].title in page.read_text()


@pytest.mark.parametrize(
    ("exponent", "verdict"), [(0.4, "slower than"), (2.0 / 3.0, "in agreement"), (0.95, "faster")]
)
def test_scaling_tells_a_known_exponent(
    results: dict[str, StudyResults], exponent: float, verdict: str
) -> None:
    generator = np.random.default_rng(1)

    def power_law(record: Record) -> Record:
        regret = 2.0 * record.num_queries**exponent * generator.lognormal(0.0, 0.02)
        return replace(record, total_regret=regret, overspend_charge=0.0, waiting_cost=0.0)

    summary = changed(results["scaling"], power_law, copies=8)
    for finding in summary.findings:
        for found in re.findall(r"T\^(\d\.\d\d)", finding):
            assert float(found) == pytest.approx(exponent, abs=0.05)
    assert all(verdict in finding for finding in summary.findings if ", K = T^(1/3)" in finding)


def test_scaling_does_not_judge_what_varies_too_much(results: dict[str, StudyResults]) -> None:
    generator = np.random.default_rng(2)
    summary = changed(
        results["scaling"],
        lambda record: replace(
            record,
            total_regret=record.num_queries * generator.lognormal(0.0, 1.5),
            overspend_charge=0.0,
            waiting_cost=0.0,
        ),
    )
    assert "too uncertain to be held against" in " ".join(summary.findings)


def test_scaling_says_that_there_is_no_exponent(results: dict[str, StudyResults]) -> None:
    summary = changed(
        results["scaling"],
        lambda record: replace(record, total_regret=-1.0, overspend_charge=0.0, waiting_cost=0.0),
    )
    assert "is not positive throughout, and has no exponent" in summary.findings[0]


def test_scaling_separates_waiting_from_learning(results: dict[str, StudyResults]) -> None:
    summary = changed(
        results["scaling"],
        lambda record: replace(
            record,
            total_regret=record.num_queries**0.25,
            overspend_charge=0.0,
            waiting_cost=3.0 * record.num_queries**0.75,
        ),
    )
    finding = summary.findings[0]
    assert "learning grows as T^0.25" in finding
    assert "waiting for stage boundaries grows as T^0.75" in finding


def loses(record: Record, share: float, waiting: float) -> Record:
    """Make a record of one that loses so much of what could be had, so much of it by waiting."""
    oracle = record.oracle_reward * record.num_queries
    available = oracle / (1.0 - waiting)
    regret = (share - waiting) * available
    return replace(
        record, total_regret=regret, overspend_charge=0.0, waiting_cost=waiting * available
    )


@pytest.mark.parametrize(("waiting", "enough"), [(0.0002, 5), (0.02, 20)])
def test_sweeps_say_how_often_to_redeploy(
    results: dict[str, StudyResults], waiting: float, enough: int
) -> None:
    """Waiting grows with the interval; where it is little, seldom is often enough."""

    def change(record: Record) -> Record:
        waits = waiting * 20 / record.num_stages
        return loses(record, 0.03 + waits, waits)

    finding = changed(results["sweeps"], change).findings[0]
    assert f"(K = {enough}) is often enough" in finding
    assert f"which then loses {0.03 + waiting * 20 / enough:.2%} in all" in finding
    assert "to the power of 1.00" in finding
    assert f"there are {enough * 4 / 11:.0f} slots for each candidate" in finding


def test_sweeps_find_where_a_loss_is_largest(results: dict[str, StudyResults]) -> None:
    def change(record: Record) -> Record:
        cell = record.cell_values
        is_worst = cell["sweep"] == "γ" and cell["value"] == 1.0
        return loses(record, 0.5 if is_worst else 0.1, 0.0)

    summary = changed(results["sweeps"], change)
    (finding,) = (text for text in summary.findings if text.startswith("Over γ"))
    assert finding.count("10.00% (at 0.1) to 50.00% (at 1)") == 3


def test_sweeps_count_agreement_with_the_oracle(results: dict[str, StudyResults]) -> None:
    summary = changed(
        results["sweeps"],
        lambda record: replace(record, stage_live=[1] * len(record.stage_live)),
    )
    (finding,) = (text for text in summary.findings if text.startswith("Share of the stages"))
    assert finding.count("100% (100% of the candidates)") == 3


def test_checks_tell_the_largest_violation(results: dict[str, StudyResults]) -> None:
    def change(record: Record) -> Record:
        share = 0.37 if record.policy == "stageroute" else 0.02
        return replace(record, stage_violation=[0.0] * 9 + [share])

    finding = changed(results["checks"], change).findings[0]
    assert "stageroute exceeds b by more than 5 % in 10% of the stages and by 37% at" in finding
    assert (
        "stageroute-published exceeds b by more than 5 % in 0% of the stages and by 2%" in finding
    )


def test_checks_tell_which_start_is_worst(results: dict[str, StudyResults]) -> None:
    def change(record: Record) -> Record:
        is_worst = record.cell_values.get("start") == "no forced visits"
        record = replace(record, early_spend=2.5 if is_worst else 1.0)
        return loses(record, 0.2 if is_worst else 0.01, 0.0)

    summary = changed(results["checks"], change)
    starts = [text for text in summary.findings if text.startswith("Start")]
    assert len(starts) == 2
    for finding in starts:
        assert "1.00% as it is" in finding
        assert "to 20.00% (no forced visits)" in finding
        assert "2.50 b (no forced visits)" in finding


def test_checks_tell_whether_caps_are_kept(results: dict[str, StudyResults]) -> None:
    kept = STUDIES["checks"].summarise(results["checks"]).findings
    assert sum("never draws a model with a probability above its cap" in text for text in kept) == 2
    broken = changed(
        results["checks"],
        lambda record: replace(record, largest_probability_excess=0.125, largest_cap_excess=0.25),
    ).findings
    assert sum("a probability up to 0.125 above their caps" in text for text in broken) == 2
    assert sum("exceeds its cap by 0.250 at most (0.250 by chance" in text for text in broken) == 2


def test_checks_price_the_caps(results: dict[str, StudyResults]) -> None:
    def change(record: Record) -> Record:
        is_tight = record.cell_values.get("caps") == "0.25"
        return replace(record, oracle_reward=0.6 if is_tight else 0.8)

    findings = changed(results["checks"], change).findings
    (finding,) = (text for text in findings if text.startswith("Of the caps tried"))
    assert "α = 0.25 costs the oracle most: 25.0%" in finding
