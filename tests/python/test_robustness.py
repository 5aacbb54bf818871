"""The study of robustness: whom it has play what, at which budgets, and what it says of it."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from stageroute.errors import InvalidInputError
from stageroute.lab.episodes import Record
from stageroute.lab.studies import STUDIES
from stageroute.lab.studies.robustness import PARTS, between, budget_range, favourite
from stageroute.policies import Limits
from stageroute.workloads import BuiltIn, HalfAtStart, OtherPrices, StateOfTheArt
from study_cases import changed, small_results, table

STUDY = STUDIES["robustness"]


def test_budgets_lie_between_the_cheapest_mixture_and_the_best() -> None:
    means = BuiltIn().stream(1, 0).regimes[0]
    cheap, best = np.sort(means.cost), np.argsort(-means.reward)
    half, whole = (Limits(1.0, 4, cap, solver="native") for cap in (0.5, 1.0))
    workload = HalfAtStart(BuiltIn())
    assert budget_range(workload, 3, half) == pytest.approx(
        (cheap[:2].mean(), means.cost[best[:2]].mean())
    )
    assert budget_range(workload, 3, whole) == pytest.approx((cheap[0], means.cost[best[0]]))
    assert between((0.0001, 0.01), 0.5) == 0.001
    # Prices that are drawn by seed have budgets by seed.
    ends = {budget_range(OtherPrices(workload), seed, half) for seed in range(3)}
    assert len(ends) == 3


def test_the_favourite_is_the_model_of_the_start_that_the_oracle_uses_most() -> None:
    base = STUDY.episodes(replace(STUDY.small, parts=("usual",)))[0]
    assert favourite(base) == "zero-one-ai/Yi-34B-Chat"
    order = ("gpt-4-1106-preview", "gpt-3.5-turbo-1106", "claude-v1", "claude-v2")
    late = BuiltIn(models=(*order, "zero-one-ai/Yi-34B-Chat"), num_initial=4)
    assert favourite(replace(base, workload=late)) == "gpt-3.5-turbo-1106"


def test_every_policy_plays_where_it_can() -> None:
    players: dict[str, set[str]] = {}
    for episode in STUDY.episodes(STUDY.small):
        players.setdefault(episode.part, set()).add(dict(episode.cell)["who"])  # type: ignore[arg-type]
    everyone = set(STUDY.small.policies)
    assert players.keys() == PARTS.keys()
    assert players["sparse"] == {"stageroute"}
    for part in PARTS.keys() - {"sparse"}:
        assert players[part] - everyone == (
            {"stageroute, change test"} if part in ("usual", "drift") else set()
        )


def test_parts_of_a_study() -> None:
    few = STUDY.episodes(replace(STUDY.small, parts=("late", "judge")))
    every = STUDY.episodes(STUDY.small)
    assert [e.key() for e in few] == [e.key() for e in every if e.part in ("late", "judge")]
    for name in ("robustness", "quality"):
        with pytest.raises(InvalidInputError, match="parts = 'soon'"):
            STUDIES[name].episodes(replace(STUDIES[name].small, parts=("late", "soon")[1:]))


def test_held_out_tables_are_suites_or_ones_own() -> None:
    full = replace(STUDY.full, seeds=(0,), parts=("held-out",), policies=("stageroute",))
    own = replace(full, workload=StateOfTheArt(num_models=20))
    for settings, tables in ((full, 13), (own, 1)):
        episodes = STUDY.episodes(settings)
        assert len({episode.workload for episode in episodes}) == tables
        assert len({episode.key() for episode in episodes}) == len(episodes) == 12 * tables
        assert {episode.num_queries for episode in episodes} == {20_000}


def lead(points: float, spread: float) -> Callable[[Record], Record]:
    """Make Thompson sampling better by so many points, more or less, and LinUCB overspend."""

    def change(record: Record) -> Record:
        regret = 5.0
        if record.policy == "thompson":
            regret -= points + spread * (2 * record.seed - 1)
        spend = 1.02 if record.policy == "linucb" else 1.0
        total = regret / 100.0 * record.oracle_reward * record.num_queries
        return replace(
            record, total_regret=total, overspend_charge=0.0, spend=spend, largest_cap_excess=0.0
        )

    return change


@pytest.mark.slow
@pytest.mark.parametrize(
    ("points", "spread", "verdict"),
    [(0.3, 0.1, "better"), (0.3, 0.2, "level"), (0.15, 0.0, "level"), (-0.3, 0.1, "worse")],
)
def test_what_is_better_beyond_margin_and_noise(points: float, spread: float, verdict: str) -> None:
    """With two seeds, the standard error of the lead is its spread."""
    summary = changed("robustness", lead(points, spread))
    found = {row[0]: row for row in table(summary, "Others against StageRoute").rows}
    cells = len({record.cell for record in small_results("robustness").of(policy="thompson")})
    counts = {v: str(cells if v == verdict else 0) for v in ("better", "level", "worse")}
    assert found["thompson"] == ("thompson", str(cells), *counts.values(), f"{points:+.2f}")
    assert "linucb" not in found
    shown = [t for t in summary.tables if t.title.startswith("Where another")]
    assert len(shown) == (verdict == "better")
    for t in shown:
        assert [row[1:] for row in t.rows] == [("thompson", "5.00", "4.70", "0.30", "0.10")] * cells


@pytest.mark.slow
def test_the_best_of_the_others_keeps_to_the_limits() -> None:
    rows = table(changed("robustness", lead(1.0, 0.0)), "StageRoute and the best").rows
    by_case = {row[0]: row[1:] for row in rows}
    assert by_case["As usual"] == (
        *("5.00", "5.00", "5.0", "1.000"), "thompson", *("4.00", "4.00", "4.0", "1.000"),
    )  # fmt: skip
    assert by_case["No rewards"][4:] == ("-",) * 5
    assert len(by_case) == len(
        {json.loads(r.cell)["case"] for r in small_results("robustness").records}
    )
