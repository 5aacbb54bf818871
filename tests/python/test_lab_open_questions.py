"""The paper's three open questions: the studies run, and what they say follows the records."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from stageroute import solve_routing_lp
from stageroute.lab.engines import local_engine
from stageroute.lab.episodes import Record
from stageroute.lab.results import StudyResults
from stageroute.lab.studies import STUDIES
from stageroute.lab.studies.budget_price import price_bound
from stageroute.lab.studies.budget_price_summary import infinite_share
from stageroute.lab.studies.context import able
from stageroute.lab.studies.gamma_summary import derived_gamma
from stageroute.lab.study import run_study
from stageroute.lab.summary import LineFigure, Summary
from stageroute.workloads import BuiltIn
from study_cases import assert_well_formed, changed

pytest.importorskip("pyarrow", reason="left out: stageroute[lab] is not installed")

NAMES = ("gamma", "context", "budget-price")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StudyResults]:
    """The small setting of every study, with two seeds."""
    found = {}
    for name in NAMES:
        study = STUDIES[name]
        settings = replace(study.small(study.settings()), seeds=(0, 1), num_queries=1_200)
        found[name] = run_study(study, settings, tmp_path_factory.mktemp(name), local_engine(1))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_what_a_study_says_is_well_formed(results: dict[str, StudyResults], name: str) -> None:
    summary = STUDIES[name].summarise(results[name])
    assert_well_formed(summary)
    assert all(isinstance(figure, LineFigure) for figure in summary.figures)


def with_regret(record: Record, regret: float) -> Record:
    total = regret * record.oracle_reward * record.num_queries
    return replace(record, total_regret=total, overspend_charge=0.0)


def test_a_law_of_gamma_is_found_where_there_is_one(results: dict[str, StudyResults]) -> None:
    def like(best: Callable[[float], float]) -> Summary:
        """Regret is least at γ = best(b)."""
        return changed(
            results["gamma"],
            lambda r: with_regret(
                r, 0.01 + abs(np.log(r.cell_values["gamma"] / best(r.cell_values["nominal"])))
            ),
        )

    budgets = results["gamma"].settings["budgets"]
    slope = np.log(0.01 / 1.0) / np.log(budgets[1] / budgets[0])
    rising = like(lambda b: 1.0 * (b / budgets[0]) ** slope)
    assert f"γ* ~ b^{slope:.2f}" in rising.findings[0]
    assert "which differs from 0" in rising.findings[0]
    assert any("better in 1 and worse in 0 of 1" in finding for finding in rising.findings)
    flat = like(lambda _: 0.1)
    assert "γ is 0.1 at b" in flat.findings[0]
    assert "does not differ from 0" in flat.findings[0]
    assert not any("better in 1" in finding for finding in flat.findings)


def test_regret_below_0_is_told_as_well(results: dict[str, StudyResults]) -> None:
    summary = changed(
        results["gamma"], lambda r: with_regret(r, -0.02 + 0.01 * r.cell_values["gamma"])
    )
    assert summary.tables[0].rows[0][-2] == "0.01 to 0.1"


def test_the_derived_rule_is_the_default_at_the_mean_cost_and_grows_by_a_logarithm() -> None:
    budgets = np.array([1e-5, 1e-4, 1e-3])
    gammas = derived_gamma(0.1, budgets, 1e-3, 11, 36_497)
    assert gammas[2] == pytest.approx(0.1)
    assert np.diff(gammas)[0] == pytest.approx(np.diff(gammas)[1], rel=1e-3)
    assert np.diff(gammas)[0] == pytest.approx(-0.1 * np.log(10) / np.log(36_497 / 11), rel=1e-3)


def test_gains_of_context_follow_the_records(results: dict[str, StudyResults]) -> None:
    rewards = {"oracle": 0.6, "oracle-family": 0.7, "stageroute-family": 0.68}
    summary = changed(
        results["context"], lambda r: replace(r, reward=rewards.get(r.policy, 0.6), spend=1.0)
    )
    gain = "stageroute-family +0.0800 (+0.0800 to +0.0800), 80% of what its oracle gains"
    assert gain in summary.findings[0]
    sharing = "is worth +0.0800 (+0.0800 to +0.0800) to stageroute-family"
    assert any(sharing in finding for finding in summary.findings)


def test_only_policies_whose_context_the_table_has_are_run() -> None:
    table = BuiltIn().table()
    every = ("oracle", "stageroute-family", "stageroute-task", "stageroute-linear")
    assert able(every, table) == ["oracle", "stageroute-family"]
    assert able(every, replace(table, task=None)) == ["oracle"]
    with_prompts = replace(table, task=None, prompts=("a query",) * table.num_rows)
    assert able(every, with_prompts) == ["oracle", "stageroute-linear"]


def test_the_bound_on_the_price_of_a_known_lp() -> None:
    reward, cost, caps = np.array([0.2, 0.8]), np.array([1.0, 5.0]), np.ones(2)
    # One segment from (1, 0.2) to (5, 0.8): its slope is the price, and at b = 5 the bound.
    assert solve_routing_lp(reward, cost, caps, 3.0).budget_price == pytest.approx(0.15)
    assert price_bound(reward, cost, caps, 5.0) == pytest.approx(0.15)
    assert price_bound(reward, cost, caps, 3.0) == pytest.approx(0.3)
    assert price_bound(reward, cost, caps, 1.0) == np.inf


@pytest.mark.parametrize("seed", range(50))
def test_no_price_exceeds_its_bound(seed: int) -> None:
    generator = np.random.default_rng(seed)
    reward, cost = generator.random(6), generator.lognormal(sigma=2.0, size=6)
    caps = generator.uniform(0.3, 1.0, 6)
    cheapest = solve_routing_lp(reward, cost, caps, 0.0).spend
    for ratio in (1.001, 1.1, 2.0, 10.0):
        price = solve_routing_lp(reward, cost, caps, ratio * cheapest).budget_price
        assert price <= price_bound(reward, cost, caps, ratio * cheapest) * (1 + 1e-9)


def test_prices_are_told_in_rewards_per_budget(results: dict[str, StudyResults]) -> None:
    summary = changed(
        results["budget-price"],
        lambda r: replace(
            r,
            budget_price=[x / r.budget for x in (0.1, 0.2, 0.3, 7.0)],
            lp_counts=json.dumps({"optimal": r.num_queries - 12, "throttled": 12}),
        ),
    )
    assert "the largest finite λ of all is 7 rewards per b USD" in summary.findings[0]
    assert "1.0% of the queries have no finite price" in summary.findings[0]
    record = results["budget-price"].records[0]
    counts = json.dumps({"throttled": 3, "budget_infeasible": 9})
    assert infinite_share(replace(record, lp_counts=counts)) == 12 / record.num_queries
