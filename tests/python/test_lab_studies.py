"""Studies: what they show is what anyone works out from the records by hand."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stageroute import solve_routing_lp
from stageroute.lab.episodes import Record
from stageroute.lab.figures import Figures
from stageroute.lab.results import read_results, select
from stageroute.lab.shares import agreement
from stageroute.lab.studies import STUDIES
from stageroute.lab.studies.budget_price import infinite_share, price_bound
from stageroute.lab.studies.context import able
from stageroute.lab.studies.gamma import FIT, Grid, derived_gamma, law
from stageroute.lab.summary import HeatMap, LineFigure
from stageroute.workloads import BuiltIn
from study_cases import cell, changed, curve, small_results, table

pytestmark = pytest.mark.slow

pytest.importorskip("pyarrow", reason="left out: stageroute[lab] is not installed")

Records = Sequence[Record]
Floats = NDArray[np.float64]


def each(records: Records, name: str) -> Floats:
    return np.array([getattr(record, name) or 0.0 for record in records], dtype=np.float64)


def priced(records: Records) -> Floats:
    """Regret in rewards, overspending charged."""
    return each(records, "total_regret") + each(records, "overspend_charge")


def percent(records: Records) -> Floats:
    return 100 * priced(records) / each(records, "oracle_reward") / each(records, "num_queries")


def lost(records: Records) -> Floats:
    """The loss in %, against an oracle that does not wait."""
    waiting = each(records, "waiting_cost")
    best = each(records, "oracle_reward") * each(records, "num_queries") + waiting
    return 100 * (priced(records) + waiting) / best


BY_HAND: list[tuple[str, str, str, str, dict[str, object], Callable[[Records], str]]] = [
    # study, title, row, column, the records' values, the cell from these records
    ("quality", "stageroute, b = 0.0003", "kl", "regret, %: p90", {"bounds": "kl"},
     lambda rs: f"{np.quantile(100 * each(rs, 'regret'), 0.9):.2f}"),
    ("quality", "stageroute, b = 0.0003", "paper", "spend / b: worst", {"bounds": "paper"},
     lambda rs: f"{each(rs, 'spend').max():.3f}"),
    ("comparison", "All policies at b = 0.0003", "thompson", "regret, %: mean",
     {"policy": "thompson"}, lambda rs: f"{100 * each(rs, 'regret').mean():.2f}"),
    ("comparison", "All policies at b = 0.0003", "greedy", "spend / b: stage",
     {"policy": "greedy"}, lambda rs: f"{each(rs, 'largest_stage_violation').max():+.1%}"),
    ("comparison", "All policies at b = 0.0003", "greedy", "starts",
     {"policy": "greedy"}, lambda rs: f"{each(rs, 'starts').mean():.1f}"),
    ("scaling", "Regret with K = T^(1/3), needles, a = 1", "1,000", "stageroute",
     {"instance": "needles, a = 1", "rule": "T^(1/3)", "policy": "stageroute",
      "num_queries": 1_000},
     lambda rs: f"{(priced(rs) + each(rs, 'waiting_cost')).mean():.0f}"),
    ("sweeps", "Over M_max", "3", "greedy: loss %", {"sweep": "M_max", "value": 3, "who": "greedy"},
     lambda rs: f"{lost(rs).mean():.2f}"),
    ("sweeps", "Over K, b = 0.0003", "20", "stageroute: worst",
     {"sweep": "K", "value": 20, "who": "stageroute"}, lambda rs: f"{lost(rs).max():.1f}"),
    ("checks", "Spend per stage, b = 0.0003", "stageroute", "stages: by > 5 %",
     {"check": "spend", "policy": "stageroute"},
     lambda rs: f"{np.mean([v > 0.05 for r in rs for v in r.stage_violation]):.0%}"),
    ("checks", "Start, b = 0.0003, stageroute", "no forced visits", "early spend / b: worst",
     {"check": "start", "who": "stageroute", "start": "no forced visits"},
     lambda rs: f"{each(rs, 'early_spend').max():.2f}"),
    ("checks", "Throughput caps", "0.25 / stageroute", "share's excess: worst",
     {"check": "caps", "caps": "0.25", "policy": "stageroute"},
     lambda rs: f"{each(rs, 'largest_cap_excess').max():+.3f}"),
    ("gamma", "paper: regret by γ and b", "0.0003", "mean regret, %, at γ: 0.1",
     {"where": FIT, "bounds": "paper", "gamma": 0.1, "nominal": 0.0003},
     lambda rs: f"{percent(rs).mean():.2f}"),
    ("context", "b = 0.0003", "stageroute-family", "spend / b: mean",
     {"part": "budgets", "policy": "stageroute-family"},
     lambda rs: f"{each(rs, 'spend').mean():.3f}"),
    ("budget-price", "built-in, paced", "1.05", "λ b of StageRoute: largest",
     {"workload": "built-in", "pacing": "paced", "ratio": 1.05},
     lambda rs: f"{max(r.budget * r.budget_price[-1] for r in rs):.3g}"),
    ("feedback", "Late feedback, b = 0.0003", "200", "bwk: regret %",
     {"delay": 200, "judge": "exact", "who": "bwk", "budget": 0.0003},
     lambda rs: f"{percent(rs).mean():.2f}"),
    ("feedback", "Judges that err, b = 0.0003", "flips 20 %, 1,000 late", "linucb: worst",
     {"delay": 1_000, "judge": "flips 20 %", "who": "linucb"},
     lambda rs: f"{percent(rs).max():.1f}"),
    ("pools", "Over the size of the pool", "prices / 100", "tried %",
     {"part": "size", "N": 100, "who": "prices"},
     lambda rs: f"{100 * each(rs, 'newcomers_tried').mean():.0f}"),
    ("pools", "Over the slots", "prices / 33 / 20", "regret %",
     {"part": "slots", "K": 33, "M_max": 20, "who": "prices"},
     lambda rs: f"{percent(rs).mean():.2f}"),
    ("starts", "Start costs, b = 0.0003", "not told / 0.3", "starts",
     {"level": 0.3, "who": "not told"}, lambda rs: f"{each(rs, 'starts').mean():.1f}"),
    ("robustness", "20 % flipped", "thompson", "b = 0.0003: mean",
     {"case": "20 % flipped", "who": "thompson"}, lambda rs: f"{percent(rs).mean():.2f}"),
    ("robustness", "built-in, α = 1, prices unknown", "linucb", "95 %: spend",
     {"case": "built-in, α = 1, prices unknown", "who": "linucb", "level": "95 %"},
     lambda rs: f"{each(rs, 'spend').max():.3f}"),
    ("newcomer", "Adoption by policy, b = 0.0003", "thompson", "spend / b",
     {"sweep": "policy", "value": "thompson"}, lambda rs: f"{each(rs, 'spend').mean():.3f}"),
]  # fmt: skip


@pytest.mark.parametrize(("study", "title", "row", "column", "of", "by_hand"), BY_HAND)
def test_a_cell_is_what_the_records_say(
    study: str, title: str, row: str, column: str, of: Any, by_hand: Callable[[Records], str]
) -> None:
    results = small_results(study)
    records = results.of(**of)
    assert {record.seed for record in records} == {0, 1}
    shown = cell(STUDIES[study].summarise(results), title, row, column)
    assert shown.split(" (")[0] == by_hand(records)


@pytest.mark.parametrize("name", STUDIES)
def test_what_a_study_shows_is_well_formed(name: str) -> None:
    results = small_results(name)
    assert Figures.of(results).rows  # no two episodes of a seed have the same place
    summary = STUDIES[name].summarise(results)
    assert summary.tables
    for shown in summary.tables:
        assert shown.rows
        assert {len(row) for row in shown.rows} == {len(shown.columns)}
        assert len(set(shown.full_columns())) == len(shown.columns)
        assert "nan" not in {cell for row in shown.rows for cell in row}
    for figure in summary.figures:
        if isinstance(figure, LineFigure):
            assert figure.curves
            for line in figure.curves:
                assert len(line.x) == len(line.y) > 0
                assert line.low is None or np.all(np.asarray(line.low) <= line.y) or name == "gamma"
        elif isinstance(figure, HeatMap):
            assert np.array(figure.values).shape == (len(figure.rows), len(figure.columns))
        assert "{" not in figure.title + figure.note + figure.part
    assert len({shown.title for shown in summary.tables}) == len(summary.tables)
    assert len({(figure.part, figure.title) for figure in summary.figures}) == len(summary.figures)


@pytest.mark.parametrize("name", ["quality", "starts"])
def test_a_study_runs_from_the_command_line(
    name: str, tmp_path: Path, cli: Callable[..., tuple[str, str]]
) -> None:
    page, out = tmp_path / "page.md", tmp_path / "out"
    options = ["--small", "--seeds", "2", "--queries", "600", "--workers", "1", "--no-progress"]
    text, _ = cli("study", name, *options, "--out", out, "--markdown", page)
    title = STUDIES[name].summarise(read_results(out)).tables[0].title
    assert title in text
    assert title in page.read_text()


# ---- curves and maps ----------------------------------------------------------------------------


def test_curves_are_means_over_the_seeds() -> None:
    results = small_results("comparison")
    summary = STUDIES["comparison"].summarise(results)
    shown = curve(summary, "Spend against the budget", "ucb1")
    by_hand = np.mean([r.running_spend for r in results.of(policy="ucb1")], axis=0)
    np.testing.assert_allclose(shown.y, by_hand)
    assert list(shown.x) == results.records[0].curve_queries
    results = small_results("starts")
    shown = curve(STUDIES["starts"].summarise(results), "Starts and regret", "not told")
    of = [results.of(who="not told", level=level) for level in results.distinct("level")]
    np.testing.assert_allclose(shown.x, [each(rs, "starts").mean() for rs in of])
    np.testing.assert_allclose(shown.y, [percent(rs).mean() for rs in of])


def test_loss_is_learning_and_waiting() -> None:
    summary = STUDIES["sweeps"].summarise(small_results("sweeps"))
    title = "Loss over the update interval, b = 0.0003"
    whole, *parts = (curve(summary, title, of) for of in ("stageroute", "learning", "waiting"))
    np.testing.assert_allclose(np.sum([np.asarray(part.y) for part in parts], axis=0), whole.y)
    assert list(whole.x) == [60.0, 240.0]
    assert np.diff(parts[1].y) > 0


def test_agreement_with_the_oracle_is_counted() -> None:
    results = small_results("sweeps")
    ours, oracles = (results.of(sweep="none", policy=policy) for policy in ("stageroute", "oracle"))
    pairs = [agreement(*pair) for pair in zip(ours, oracles, strict=True)]
    summary = STUDIES["sweeps"].summarise(results)
    for column, values in (
        ("live: all", [pair.live for pair in pairs]),
        ("needed: first", [pair.needed[:3] for pair in pairs]),
        ("served: last", [pair.served[-3:] for pair in pairs]),
    ):
        shown = cell(summary, "Agreement with the oracle", "stageroute", column)
        assert shown == f"{np.mean(values):.1%}"


# ---- growth -------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.4, 2.0 / 3.0, 0.95])
def test_scaling_tells_a_known_exponent(exponent: float) -> None:
    generator = np.random.default_rng(1)

    def power_law(record: Record) -> Record:
        regret = 2.0 * record.num_queries**exponent * generator.lognormal(0.0, 0.02)
        waiting = 3.0 * record.num_queries**0.75
        return replace(record, total_regret=regret, overspend_charge=0.0, waiting_cost=waiting)

    summary = changed("scaling", power_law, copies=8)
    found = table(summary, "Exponents, needles, a = 1, from T = 1,000 on")
    for row in found.rows:
        values = dict(zip(found.columns, row, strict=True))
        assert float(values["learning"].split()[0]) == pytest.approx(exponent, abs=0.05)
        assert values["waiting"] == "0.75"


def test_scaling_says_that_there_is_no_exponent() -> None:
    summary = changed("scaling", lambda record: replace(record, total_regret=-1e9))
    for row in table(summary, "Exponents, needles, a = 1").rows:
        assert row[3] == row[-1] == "-"


def with_regret(record: Record, regret: float) -> Record:
    total = regret * record.oracle_reward * record.num_queries
    return replace(record, total_regret=total, overspend_charge=0.0)


def test_a_law_of_gamma_is_found_where_there_is_one() -> None:
    results = small_results("gamma")
    budgets = results.settings["budgets"]
    slope = np.log(0.01 / 1.0) / np.log(budgets[1] / budgets[0])
    laws: tuple[tuple[float, Callable[[float], float]], ...] = (
        (slope, lambda b: (b / budgets[0]) ** slope),
        (0.0, lambda _: 0.1),
    )
    for expected, best in laws:
        summary = changed(
            "gamma",
            lambda r, best=best: with_regret(  # type: ignore[misc]
                r, 0.01 + abs(np.log(r.cell_values["gamma"] / best(r.cell_values["nominal"])))
            ),
        )
        found = table(summary, "paper: regret by γ and b")
        assert f"is fitted by b^{expected:.2f}." in found.note
        marked = {found.rows[row][0]: found.columns[column] for row, column in found.best}
        assert marked == {f"{b:.4g}": f"{best(b):g}" for b in budgets}


def test_the_law_of_gamma_has_an_interval() -> None:
    runs = select(small_results("gamma").runs(), {"where": FIT, "bounds": "bernstein"})
    grid = Grid.of(runs)
    assert grid.regret.shape == (2, 2, 3)
    slope, _ = law(grid)
    assert slope.low <= slope.value <= slope.high


def test_regret_below_0_is_shown_as_well() -> None:
    summary = changed("gamma", lambda r: with_regret(r, -0.02 + 0.01 * r.cell_values["gamma"]))
    assert summary.tables[0].rows[0][-2] == "0.01 to 0.1"


def test_the_derived_rule_is_the_default_at_the_mean_cost_and_grows_by_a_logarithm() -> None:
    budgets = np.array([1e-5, 1e-4, 1e-3])
    grid = Grid(np.array([]), budgets, np.array([]), mean_cost=1e-3, candidates=11,
                num_queries=36_497)  # fmt: skip
    gammas = derived_gamma(0.1, grid)
    assert gammas[2] == pytest.approx(0.1)
    assert np.diff(gammas)[0] == pytest.approx(np.diff(gammas)[1], rel=1e-3)
    assert np.diff(gammas)[0] == pytest.approx(-0.1 * np.log(10) / np.log(36_497 / 11), rel=1e-3)


# ---- context and prices -------------------------------------------------------------------------


def test_gains_of_context_follow_the_records() -> None:
    rewards = {"oracle": 0.6, "oracle-family": 0.7, "stageroute-family": 0.68}
    summary = changed("context", lambda r: replace(r, reward=rewards.get(r.policy, 0.6)))
    expected = {"gain": "0.0800", "of the bound's": "80%", "by sharing": "0.0800"}
    for column, value in expected.items():
        assert cell(summary, "b = 0.0003", "stageroute-family", f"reward: {column}") == value
    assert cell(summary, "Gain over", "stageroute-family", "T = 300: of the bound's") == "80%"
    assert cell(summary, "b = 0.0003", "stageroute", "reward: of the bound's") == "-"


def test_only_policies_whose_context_the_table_has_are_run() -> None:
    outcomes = BuiltIn().table()
    every = ("oracle", "stageroute-family", "stageroute-task", "stageroute-linear")
    assert able(every, outcomes) == ["oracle", "stageroute-family"]
    assert able(every, replace(outcomes, task=None)) == ["oracle"]
    with_prompts = replace(outcomes, task=None, prompts=("a query",) * outcomes.num_rows)
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


def test_prices_are_shown_in_rewards_per_budget() -> None:
    summary = changed(
        "budget-price",
        lambda r: replace(
            r,
            budget_price=[x / r.budget for x in (0.1, 0.2, 0.3, 7.0)],
            lp_counts=json.dumps({"optimal": r.num_queries - 12, "throttled": 12}),
        ),
    )
    assert cell(summary, "Over all workloads", "paced", "largest λ b") == "7"
    assert cell(summary, "Over all workloads", "paced", "infinite") == "1.0%"
    assert cell(summary, "built-in, paced", "1.05", "λ b of StageRoute: p99") == "0.3"
    run = small_results("budget-price").runs()[0]
    counts = json.dumps({"throttled": 3, "budget_infeasible": 9})
    changed_run = replace(run, record=replace(run.record, lp_counts=counts))
    assert infinite_share(changed_run) == 12 / run.record.num_queries


# ---- newcomers ----------------------------------------------------------------------------------


def test_a_newcomer_that_serves_as_for_the_oracle_is_adopted_at_once() -> None:
    oracles = {
        (r.num_stages, r.seed, r.workload): r for r in small_results("newcomer").of(policy="oracle")
    }

    def copied(record: Record) -> Record:
        oracle = oracles[record.num_stages, record.seed, record.workload]
        return replace(record, first_live=oracle.first_live, stage_shares=oracle.stage_shares)

    def ignored(record: Record) -> Record:
        if record.policy == "oracle":
            return record
        zeros = [0.0] * len(record.stage_shares)
        return replace(record, first_live=[-1] * len(record.models), stage_shares=zeros)

    for change, settled, never in ((copied, "100%", False), (ignored, "0%", True)):
        for shown in changed("newcomer", change).tables:
            for row in shown.rows:
                values = dict(zip(shown.columns, row, strict=True))
                assert values["settled in"] == settled
                assert (values["in use"] == "never / never") == never
