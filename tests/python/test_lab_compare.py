"""Comparing two runs: what got worse is found, and noise is not taken for it."""

import itertools
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stageroute.cli.compare import EXIT_WORSE, to_text
from stageroute.config.confidence import Confidence
from stageroute.errors import MissingExtraError, ResultsError
from stageroute.lab.compare import compare
from stageroute.lab.engines import local_engine
from stageroute.lab.figures import FIGURES, MEASURES, Figures, Row, read_figures, write_figures
from stageroute.lab.results import StudyResults, read_results
from stageroute.lab.statistics import holm, least_paired_p, paired_p_values, unpaired_p_values
from stageroute.lab.studies import STUDIES
from stageroute.lab.study import StudySettings, run_study

Cli = Callable[..., tuple[str, str]]

NORMAL = (0.02, 1.0, 1.05, 0.6, 0.2, 10.0)
"""Values of `FIGURES`."""

SPREAD = (0.003, 0.001, 0.02, 0.003, 0.05, 1.0)


def figures(
    seeds: range,
    noise: int,
    rows: int = 4,
    settings: dict[str, object] | None = None,
    shift: dict[str, float] | None = None,
) -> Figures:
    """Make up a run: normal figures with a spread, and a shift of some in its first row."""
    moved = np.array([(shift or {}).get(name, 0.0) for name in FIGURES])

    def drawn(number: int, seed: int) -> tuple[float, ...]:
        values = np.random.default_rng([noise, number, seed]).normal(NORMAL, SPREAD)
        return tuple((values + moved * (number == 0)).tolist())

    values = {
        Row("builtin", json.dumps({"row": number}), 0.001, "stageroute"): {
            seed: drawn(number, seed) for seed in seeds
        }
        for number in range(rows)
    }
    return Figures("study", "0.1.0", settings or {}, values)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shift", "measure", "verdict"),
    [
        ({"regret": 0.01}, "regret", "worse"),
        ({"regret": -0.01}, "regret", "better"),
        ({"spend": 0.03}, "spend above b", "worse"),
        ({"worst_running_spend": 0.1}, "worst running spend above b", "worse"),
        ({"reward": -0.02}, "reward", "worse"),
        ({"reward": 0.02}, "reward", "better"),
        ({"largest_stage_violation": 0.4}, "largest stage violation", "worse"),
        ({"starts": 5.0}, "starts", "worse"),
        ({"starts": -5.0}, "starts", "better"),
    ],
)
@pytest.mark.parametrize("first_seed", [0, 100])
def test_a_change_is_found_where_it_is(
    shift: dict[str, float], measure: str, verdict: str, first_seed: int
) -> None:
    """With seeds in common, and with none."""
    seeds = range(first_seed, first_seed + 16)
    comparison = compare(figures(range(16), noise=1), figures(seeds, noise=2, shift=shift))
    (change,) = comparison.of("worse") + comparison.of("better")
    assert (change.row.cell, change.figure, change.verdict) == ('{"row": 0}', measure, verdict)


def test_to_spend_less_than_the_budget_is_neither_better_nor_worse() -> None:
    before = figures(range(16), noise=1, shift={"spend": -0.2})
    after = figures(range(16), noise=2, shift={"spend": -0.5})
    changes = [change for change in compare(before, after).changes if "spend" in change.figure]
    assert [change.verdict for change in changes[::2]] == ["same"] * 4


def test_a_difference_within_its_tolerance_is_the_same() -> None:
    row = Row("builtin", "{}", 0.001, "stageroute")
    tolerance = MEASURES[0].tolerance
    for share, verdict in ((0.9, "same"), (1.1, "worse")):
        shifted = (NORMAL[0] + share * tolerance, *NORMAL[1:])
        runs = [
            Figures("s", "v", {}, {row: dict.fromkeys(range(16), v)}) for v in (NORMAL, shifted)
        ]
        assert compare(*runs).changes[0].verdict == verdict


@pytest.mark.slow
def test_noise_is_hardly_ever_taken_for_a_change() -> None:
    """Each of 20 comparisons, paired or not, errs with at most 5 %: more than 4 would be odd."""
    wrong = 0
    for number in range(20):
        seeds = range(12) if number % 2 else range(50, 62)
        comparison = compare(figures(range(12), 2 * number), figures(seeds, 2 * number + 1))
        wrong += any(change.verdict in ("worse", "better") for change in comparison.changes)
    assert wrong <= 4


def test_what_exists_in_one_run_only_is_listed() -> None:
    before, after = figures(range(16), 1, rows=3), figures(range(16), 1, rows=4)
    comparison = compare(before, after)
    assert [row.cell for row in comparison.only_after] == ['{"row": 3}']
    assert comparison.only_before == ()
    assert "Only after:\n  stageroute, b = 0.001, builtin, row = 3" in to_text(comparison)
    assert len(compare(after, before).only_before) == 1
    gone = replace(after, rows={row: after.rows[row] for row in list(after.rows)[3:]})
    with pytest.raises(ResultsError, match=r"no row .* in common"):
        compare(before, gone)


def test_settings_that_differ_are_said_first() -> None:
    before = figures(range(3), 1, settings={"limits": {"gamma": 0.1, "cap": 0.5}, "T": 100})
    after = figures(range(3), 1, settings={"limits": {"gamma": 1.0, "cap": 0.5}, "T": 100})
    comparison = compare(before, replace(after, version="0.2.0"))
    expected = (("version", "0.1.0", "0.2.0"), ("limits.gamma", 0.1, 1.0))
    assert comparison.settings == expected
    text = to_text(comparison)
    assert text.startswith("The runs differ in:\n  version: '0.1.0' before, '0.2.0' after\n")
    assert "Too few seeds" in text
    assert "Too few seeds" not in to_text(compare(*[figures(range(16), 1)] * 2))


# The tests behind the verdicts.


def test_p_values_agree_with_going_through_all_cases() -> None:
    generator = np.random.default_rng(3)
    values = generator.normal(0.5, 1.0, (7, 2))
    signs = np.array(list(itertools.product([1, -1], repeat=7)))
    expected = (np.abs(signs @ values) >= np.abs(values.sum(axis=0)) - 1e-12).mean(axis=0)
    np.testing.assert_allclose(paired_p_values(values), expected)
    before, after = generator.normal(0.0, 1.0, (5, 1)), generator.normal(1.0, 1.0, (4, 1))
    pooled = np.concatenate([before, after])[:, 0]
    observed = abs(after.mean() - before.mean())
    drawn = [
        abs(pooled[list(part)].mean() - np.delete(pooled, part).mean())
        for part in itertools.combinations(range(9), 4)
    ]
    expected_p = np.mean(np.array(drawn) >= observed - 1e-12)
    assert unpaired_p_values(before, after)[0] == pytest.approx(expected_p, abs=0.006)


def test_more_pairs_than_can_be_gone_through() -> None:
    generator = np.random.default_rng(4)
    none, clear = generator.normal(0.0, 1.0, 40), generator.normal(2.0, 1.0, 40)
    p_values = paired_p_values(np.stack([none, clear], axis=1))
    assert p_values[0] > 0.05
    assert p_values[1] == pytest.approx(least_paired_p(40))
    assert paired_p_values(np.ones((16, 1)))[0] == least_paired_p(16) == 2.0**-15
    assert paired_p_values(np.zeros((9, 1)))[0] == 1.0
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_scipy_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtraError, match=r"scipy: pip install 'stageroute\[lab\]'"):
        compare(figures(range(3), 1), figures(range(3), 2))


# Files, and the command on real studies.


@pytest.fixture(scope="module")
def settings() -> StudySettings:
    return replace(
        STUDIES["comparison"].full, policies=("stageroute",), budgets=(0.0003, 0.001),
        num_queries=4_000, num_stages=10, seeds=tuple(range(14)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, settings: StudySettings) -> Path:
    folder = tmp_path_factory.mktemp("run") / "results"
    run_study(STUDIES["comparison"], settings, folder, local_engine(1))
    return folder


@pytest.mark.slow
def test_a_weakened_policy_is_worse(
    run: Path, settings: StudySettings, tmp_path: Path, cli: Cli
) -> None:
    weakened = replace(settings.limits, confidence=Confidence(gamma=10.0 * Confidence().gamma))
    weak = replace(settings, limits=weakened)
    run_study(STUDIES["comparison"], weak, tmp_path / "weak", local_engine(1))
    out = tmp_path / "out.json"
    assert EXIT_WORSE == 3
    text, _ = cli("compare", run, tmp_path / "weak", "--json", out, status=EXIT_WORSE)
    assert text.startswith("The runs differ in:\n  limits.confidence.gamma: 0.15 before, ")
    assert "Got worse" in text
    result = json.loads(out.read_text())
    worse = [change for change in result["changes"] if change["verdict"] == "worse"]
    changed = {(change["row"]["budget"], change["figure"]) for change in worse}
    assert changed >= {(0.0003, "regret"), (0.001, "regret")}
    assert result["verdicts"]["worse"] == len(worse)
    # The other way round it is better.
    assert "Got better" in cli("compare", tmp_path / "weak", run)[0]


@pytest.mark.slow
def test_other_seeds_are_not_worse(
    run: Path, settings: StudySettings, tmp_path: Path, cli: Cli
) -> None:
    other = replace(settings, seeds=tuple(range(20, 34)))
    run_study(STUDIES["comparison"], other, tmp_path / "other", local_engine(1))
    text, _ = cli("compare", run, tmp_path / "other")
    assert "12 comparisons: 0 worse, 0 better" in text
    assert "none in common" in text


def test_folder_figures_and_json_say_the_same(run: Path, tmp_path: Path) -> None:
    results = read_results(run)
    write_figures(tmp_path / "figures.json", results)
    (tmp_path / "all.json").write_text(json.dumps(results.to_json()))
    assert (tmp_path / "figures.json").stat().st_size < 5_000
    expected = read_figures(run)
    for name in ("figures.json", "all.json"):
        found = read_figures(tmp_path / name)
        assert (found.study, found.version) == (expected.study, expected.version)
        assert found.settings == expected.settings
        assert list(found.rows) == list(expected.rows)
        for row, seeds in found.rows.items():
            assert list(seeds) == list(expected.rows[row])
            values = list(expected.rows[row].values())
            np.testing.assert_allclose(list(seeds.values()), values, rtol=1e-4)
        assert len(compare(expected, found).of("same")) == 12


@pytest.mark.parametrize("content", ["{}", "[]", "", '{"rows": [{"workload": "w"}]}'])
def test_another_file_is_refused(tmp_path: Path, run: Path, content: str, cli: Cli) -> None:
    path = tmp_path / "file.json"
    path.write_text(content)
    _, errors = cli("compare", run, path, status=1)
    assert errors.startswith(f"stageroute: {path}: ")


def test_two_episodes_with_one_seed_are_refused(run: Path) -> None:
    results = read_results(run)
    twice = StudyResults("s", "v", {}, [*results.records, results.records[0]])
    with pytest.raises(ResultsError, match=r"two episodes of stageroute, b = 0\.0003.* seed 0"):
        Figures.of(twice)


def test_every_figure_has_a_tolerance() -> None:
    assert len(MEASURES) == len(FIGURES)
    assert all(math.isfinite(m.tolerance) and m.tolerance > 0.0 for m in MEASURES)
