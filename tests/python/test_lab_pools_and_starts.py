"""Feedback, pools, start costs, newcomers: what is measured."""

import math
from dataclasses import replace

import numpy as np
import pytest

from stageroute.datasets.streams import Stream
from stageroute.lab.episodes import Episode, Record, run_episode
from stageroute.lab.shares import adoption
from stageroute.policies import Limits, RewardPrior, Setting, make_policy
from stageroute.replay import ReplayResult, replay
from stageroute.workloads import (
    BetterNewcomer,
    BuiltIn,
    Delayed,
    LargePool,
    Noisy,
    workload_from_json,
)

LIMITS = Limits(0.001, use_prices=True)
T, K = 2_000, 10


def episode(policy: str = "stageroute", limits: Limits = LIMITS) -> Episode:
    return Episode(BuiltIn(), policy, limits, T, K, seed=2)


def replayed(policy: str, limits: Limits, stream: Stream) -> ReplayResult:
    return replay(make_policy(policy, Setting(stream, limits, K, 2)), stream, K)


# ---- start costs --------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["stageroute", "oracle", "greedy"])
def test_starts_are_paid_in_full(policy: str) -> None:
    limits = replace(LIMITS, start_cost=0.01)
    record, _ = run_episode(episode(policy, limits))
    result = replayed(policy, limits, BuiltIn().stream(T, 2))
    live: set[int] = set()
    starts = 0
    for models in result.deployments:
        starts += len(set(models) - live)
        live = set(models)
    assert record.starts == starts > 0
    assert record.start_spend == pytest.approx(0.01 * starts / (0.001 * T))
    assert record.spend == pytest.approx(result.cost.sum() / (0.001 * T) + record.start_spend)
    spent = np.array(record.running_spend) * 0.001 * np.array(record.curve_queries)
    assert spent[0] >= 0.01 * len(result.deployments[0])


def test_starts_beyond_the_budget_are_charged() -> None:
    """Who is not told decides as if starts were free, and what it pays has the oracle's price."""
    free, _ = run_episode(episode())
    blind, _ = run_episode(episode("stageroute-start-blind", replace(LIMITS, start_cost=0.01)))
    assert blind.shares == free.shares
    assert blind.stage_live == free.stage_live
    assert blind.total_regret == free.total_regret
    assert blind.overspend_charge > free.overspend_charge
    assert free.start_spend == 0.0


@pytest.mark.parametrize("policy", ["stageroute", "oracle"])
def test_start_costs_are_weighed(policy: str) -> None:
    free, _ = run_episode(episode(policy))
    dear = replace(LIMITS, start_cost=0.1 * 0.001 * T / K)
    told, _ = run_episode(episode(policy, dear))
    assert told.starts < free.starts


def test_a_start_that_takes_a_whole_stage_pays_only_over_several() -> None:
    dear = replace(LIMITS, start_cost=1.0 * 0.001 * T / K)
    first = run_episode(episode("oracle", dear))[0]
    patient = run_episode(episode("oracle", replace(dear, start_stages=10)))[0]
    assert patient.total_regret < first.total_regret
    assert run_episode(episode(limits=replace(dear, start_stages=10)))[0].starts > 2


# ---- what is known beforehand -------------------------------------------------------------------


def test_scores_scatter_around_the_means() -> None:
    stream = LargePool(1_000).stream(10, 0)
    means = stream.regimes[0].reward
    exact = RewardPrior("scores", 0.0).expected_rewards(stream, 0)
    np.testing.assert_array_equal(exact, means)
    scores = RewardPrior("scores", 0.05).expected_rewards(stream, 0)
    assert np.std(scores - means) == pytest.approx(0.05, rel=0.1)
    assert np.any(scores != RewardPrior("scores", 0.05).expected_rewards(stream, 1))


def test_prices_tell_part_of_the_quality() -> None:
    stream = LargePool(1_000).stream(10, 0)
    means = stream.regimes[0].reward
    told = RewardPrior("prices").expected_rewards(stream, 0)
    error = told - means
    assert error.mean() == pytest.approx(0.0, abs=1e-3)
    assert 0.2 < np.std(error) / np.std(means) < 0.9
    assert np.corrcoef(error, np.log(stream.regimes[0].cost))[0, 1] == pytest.approx(0, abs=0.02)


def test_stageroute_is_told_its_priors() -> None:
    limits = replace(LIMITS, reward_prior=RewardPrior("scores", 0.0, weight=30))
    stream = BuiltIn().stream(T, 0)
    models = Setting(stream, limits, K, 0).models()
    assert [model.expected_reward for model in models] == stream.regimes[0].reward.tolist()
    assert {model.expected_reward_weight for model in models} == {30}
    assert Setting(stream, LIMITS, K, 0).models()[0].expected_reward is None


def test_good_scores_rescue_a_pool_that_is_too_large() -> None:
    pool = Episode(LargePool(300), "stageroute", replace(LIMITS, budget=0.003), 4_000, 10, seed=0)
    plain, _ = run_episode(pool)
    prior = RewardPrior("scores", 0.05)
    told, _ = run_episode(replace(pool, limits=replace(pool.limits, reward_prior=prior)))
    assert told.regret < 0.5 * plain.regret


def test_a_shortlist_leaves_half_of_the_slots_to_what_is_known() -> None:
    stream = LargePool(200).stream(T, 0)
    limits = replace(LIMITS, budget=0.003, max_deployed=6)
    result = replayed("stageroute-shortlist", limits, stream)
    used = np.unique(np.concatenate(result.deployments))
    arrived = stream.arrivals[used]
    edges = [0, *result.stage_starts.tolist()]
    counts = np.histogram(arrived[arrived > 0], bins=edges[1:])[0]
    assert counts.max() <= 3
    everything = replayed("stageroute", limits, stream)
    assert len(set().union(*everything.deployments)) > used.size


def test_newcomers_tried_are_those_that_served() -> None:
    record, _ = run_episode(episode("uniform"))
    shares, arrivals = np.array(record.shares), np.array(record.arrivals)
    assert record.newcomers_tried == pytest.approx(np.mean(shares[arrivals > 0] > 0))
    alone, _ = run_episode(replace(episode(), workload=BuiltIn(num_initial=11)))
    assert alone.newcomers_tried is None


# ---- newcomers ----------------------------------------------------------------------------------


def test_the_newcomer_is_as_much_better_as_it_says() -> None:
    workload = BetterNewcomer(BuiltIn(num_initial=11), advantage=0.1)
    table = workload.table()
    reward, cost = table.mean_reward(), table.mean_cost()
    twin = int(np.flatnonzero(np.all(table.cost[:, :-1] == table.cost[:, -1:], axis=0))[0])
    assert cost[twin] <= np.median(cost[:-1])
    assert reward[-1] - reward[twin] == pytest.approx(0.1, abs=0.01)
    assert np.all(table.reward[:, -1] >= table.reward[:, twin])
    moments = [workload.stream(1_000, seed).arrivals[-1] for seed in range(20)]
    assert min(moments) >= 200
    assert max(moments) < 400
    assert len(set(moments)) > 10
    rebuilt = workload_from_json({"kind": "newcomer", "base": {"kind": "builtin"}})
    assert rebuilt == BetterNewcomer(BuiltIn())


def by_hand(record: Record, first_live: int, shares: list[float]) -> Record:
    """Make a record of two models and five stages of 100 queries; the second arrives at 130."""
    return replace(
        record,
        num_queries=500,
        models=["old", "new"],
        arrivals=[0, 130],
        first_live=[0, first_live],
        stage_starts=[0, 100, 200, 300, 400],
        stage_shares=[part for share in shares for part in (1.0 - share, share)],
    )


def test_adoption_by_hand() -> None:
    record, _ = run_episode(episode())
    oracle = by_hand(record, 200, [0.0, 0.0, 0.5, 0.5, 0.4])
    slow = adoption(by_hand(record, 200, [0.0, 0.0, 0.1, 0.3, 0.2]), oracle, "new")
    assert (slow.live, slow.used, slow.settled) == (70.0, 170.0, 170.0)
    assert slow.traffic == pytest.approx(0.6 / 1.4)
    fickle = adoption(by_hand(record, 200, [0.0, 0.0, 0.5, 0.1, 0.4]), oracle, "new")
    assert (fickle.used, fickle.settled) == (70.0, 270.0)
    lost = adoption(by_hand(record, 200, [0.0, 0.0, 0.5, 0.5, 0.1]), oracle, "new")
    assert (lost.used, lost.settled) == (70.0, math.inf)
    never = adoption(by_hand(record, -1, [0.0] * 5), oracle, "new")
    assert (never.live, never.used, never.traffic) == (math.inf, math.inf, 0.0)
    itself = adoption(oracle, oracle, "new")
    assert (itself.live, itself.used, itself.settled, itself.traffic) == (70.0, 70.0, 70.0, 1.0)


# ---- feedback -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["stageroute", "thompson", "linucb", "bwk"])
def test_no_delay_is_no_change(policy: str) -> None:
    plain, _ = run_episode(episode(policy))
    for workload in (Delayed(BuiltIn(), 0), Noisy(BuiltIn(), noise=0.0)):
        same, _ = run_episode(replace(episode(policy), workload=workload))
        assert same.shares == plain.shares
        assert same.spend == plain.spend
