"""What a record of an episode keeps: regret, waiting, starts, live sets, what newcomers came to."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from stageroute import Confidence
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import NEVER, Stream
from stageroute.lab.episodes import Episode, Record, run_episode
from stageroute.lab.shares import adoption, agreement, mean_shares
from stageroute.policies import Limits, RewardPrior, Setting, make_policy
from stageroute.policies.ours.stageroute import as_published
from stageroute.replay import ReplayResult, replay
from stageroute.replay.metrics import measure, waiting_cost
from stageroute.workloads import (
    BetterNewcomer,
    BuiltIn,
    Delayed,
    LargePool,
    Noisy,
    RandomArrivals,
    Workload,
)
from wrong_policies import EvenPolicy

FREE = Limits(0.001, max_deployed=3, throughput_cap=1.0)
LIMITS = Limits(0.001, use_prices=True)
T, K = 2_000, 10
BASE = BuiltIn()
ARRIVING = Episode(RandomArrivals(BuiltIn()), "stageroute", LIMITS, 3_500, 7, seed=1)


def recorded(
    policy: str = "stageroute", limits: Limits = LIMITS, workload: Workload = BASE
) -> Record:
    return run_episode(Episode(workload, policy, limits, T, K, seed=2))[0]


def replayed(
    policy: str, limits: Limits, stream: Stream, num_stages: int = K, seed: int = 2
) -> ReplayResult:
    made = make_policy(policy, Setting(stream, limits, num_stages, seed))
    return replay(made, stream, num_stages)


def two_models(arrival: int, num_queries: int = 400) -> Stream:
    """A model of mean reward 0.25 and 0.0005 USD; one of 0.75 and 0.002 USD that arrives."""
    reward = np.array([[0.25, 0.75]] * 4)
    cost = np.array([[0.0005, 0.002]] * 4)
    table = OutcomeTable("two", ("first", "second"), reward, cost)
    rows = np.zeros(num_queries, dtype=np.uint32)
    return Stream(table, rows, np.array([0, arrival]), np.full(2, NEVER))


# At b = 0.001 a third of the queries can go to the second model: 0.25 + 0.5 / 3.
GAIN = 0.5 / 3.0


@pytest.mark.parametrize(("arrival", "waits"), [(100, 0), (101, 99), (150, 50), (399, 1)])
def test_waiting_is_what_arrivals_wait_for_a_boundary(arrival: int, waits: int) -> None:
    assert waiting_cost(two_models(arrival), FREE, 4) == pytest.approx(GAIN * waits)
    # A model without use costs none.
    poor = replace(FREE, budget=0.0005)
    assert waiting_cost(two_models(arrival), poor, 4) == pytest.approx(0.0)


CHARGE = 0.5 / 0.0015 * (0.002 - 0.001) * 400
"""Of the second model alone, at the price of money: a mixture would have done as well."""


@pytest.mark.parametrize(("arm", "regret", "charge"), [(0, GAIN * 400, 0.0), (1, -CHARGE, CHARGE)])
def test_overspending_is_charged_and_saving_buys_nothing(
    monkeypatch: pytest.MonkeyPatch, arm: int, regret: float, charge: float
) -> None:
    stream = two_models(0)
    policy = EvenPolicy(Setting(stream, FREE, 4, 0))
    monkeypatch.setattr(policy, "choose", lambda _: (arm,))
    metrics = measure(replay(policy, stream, 4), stream, FREE)
    assert metrics.cumulative_regret[-1] == pytest.approx(regret)
    assert metrics.overspend_charge == pytest.approx(charge)


@pytest.mark.parametrize("policy", ["stageroute", "stageroute-published", "greedy", "uniform"])
@pytest.mark.parametrize("budget", [0.0003, 0.001])
def test_charged_regret_is_not_negative(policy: str, budget: float) -> None:
    """Weak duality; without caps, which chance exceeds, it holds for every single replay."""
    limits = Limits(budget, max_deployed=11, throughput_cap=1.0)
    record, _ = run_episode(Episode(BuiltIn(), policy, limits, 2_000, 5, seed=3))
    assert record.total_regret + record.overspend_charge >= -1e-6


def test_the_record_repeats_the_replay() -> None:
    record, _ = run_episode(ARRIVING)
    stream = ARRIVING.workload.stream(3_500, 1)
    result = replayed("stageroute", ARRIVING.limits, stream, 7, 1)
    live = np.reshape(record.stage_live, (7, 11))
    assert [tuple(np.flatnonzero(row)) for row in live] == list(result.deployments)
    assert record.early_spend == pytest.approx(result.cost[:1_000].mean() / 0.001)
    windows = result.arm[:3_000].reshape(3, 1_000)
    largest = max((window == arm).mean() for window in windows for arm in range(11))
    assert record.largest_cap_excess == pytest.approx(largest - 0.5)
    assert record.largest_probability_excess == result.probability.max() - 0.5
    assert record.waiting_cost == waiting_cost(stream, ARRIVING.limits, 7)
    assert record.caps == [0.5] * 11


@pytest.mark.slow
def test_large_pools_have_no_waiting_cost() -> None:
    pool = LargePool(1_001)
    record, _ = run_episode(Episode(pool, "uniform", Limits(0.001), 300, 3, seed=0))
    assert record.waiting_cost is None
    assert record.stage_live == []


def test_agreement_is_whole_with_oneself_and_partial_with_others() -> None:
    oracle, _ = run_episode(replace(ARRIVING, policy="oracle"))
    ours, _ = run_episode(ARRIVING)
    whole = agreement(oracle, oracle)
    np.testing.assert_allclose([whole.live, whole.needed, whole.served], 1.0)
    part = agreement(ours, oracle)
    shares = np.reshape(ours.stage_shares, (7, 11))
    best = np.reshape(oracle.stage_shares, (7, 11))
    np.testing.assert_allclose(part.served, 1.0 - 0.5 * np.abs(shares - best).sum(axis=1))
    assert np.all(part.live[part.needed == 0] < 1.0)


def test_mean_shares_leave_out_models_that_are_not_there() -> None:
    records = [run_episode(replace(ARRIVING, seed=seed))[0] for seed in (1, 2)]
    shares = mean_shares(records)
    assert shares.shape == (11, 7)
    np.testing.assert_allclose(np.nansum(shares, axis=0), 1.0)
    first = np.min([record.arrivals for record in records], axis=0)
    absent = np.asarray(records[0].stage_starts)[None, :] < first[:, None]
    np.testing.assert_array_equal(np.isnan(shares), absent)


def test_random_arrivals() -> None:
    workload = RandomArrivals(BuiltIn(num_initial=4), within=0.25)
    first = workload.stream(8_000, 5)
    np.testing.assert_array_equal(first.rows, BuiltIn(num_initial=4).stream(8_000, 5).rows)
    assert np.all(first.arrivals[:4] == 0)
    assert np.all(np.diff(first.arrivals) >= 0)
    assert first.arrivals[-1] < 2_000
    draws = np.array([workload.stream(8_000, seed).arrivals[4:] for seed in range(200)])
    assert draws.mean() == pytest.approx(1_000, rel=0.05)


def test_published_is_stageroute_with_published_settings(small_table: OutcomeTable) -> None:
    stream = BuiltIn().stream(3_000, 2)
    limits = Limits(0.001, confidence=Confidence("kl"), use_prices=True)
    settings = as_published(limits)
    published, again = (
        replayed(name, used, stream)
        for name, used in (("stageroute-published", limits), ("stageroute", settings))
    )
    np.testing.assert_array_equal(published.arm, again.arm)
    assert settings.confidence == Confidence("paper", gamma=0.1, growth=0.0, min_visits=0)
    assert (settings.pacing_horizon, settings.use_prices) == (None, False)


# ---- start costs --------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["stageroute", "oracle", "greedy"])
def test_starts_are_paid_in_full(policy: str) -> None:
    limits = replace(LIMITS, start_cost=0.01)
    record = recorded(policy, limits)
    result = replayed(policy, limits, BuiltIn().stream(T, 2))
    live = [set(), *map(set, result.deployments)]
    starts = sum(len(after - before) for before, after in pairwise(live))
    assert record.starts == starts > 0
    assert record.start_spend == pytest.approx(0.01 * starts / (0.001 * T))
    assert record.spend == pytest.approx(result.cost.sum() / (0.001 * T) + record.start_spend)
    spent = np.array(record.running_spend) * 0.001 * np.array(record.curve_queries)
    assert spent[0] >= 0.01 * len(result.deployments[0])


def test_starts_beyond_the_budget_are_charged() -> None:
    """A policy that is not told decides as if they were free, and pays at the oracle's price."""
    free = recorded()
    blind = recorded("stageroute-start-blind", replace(LIMITS, start_cost=0.01))
    for of in ("shares", "stage_live", "total_regret"):
        assert getattr(blind, of) == getattr(free, of)
    assert blind.overspend_charge > free.overspend_charge
    assert free.start_spend == 0.0


@pytest.mark.parametrize("policy", ["stageroute", "oracle"])
def test_start_costs_are_weighed(policy: str) -> None:
    stage = 0.001 * T / K
    free = recorded(policy)
    told = recorded(policy, replace(LIMITS, start_cost=0.1 * stage))
    assert told.starts < free.starts
    # A start that takes a whole stage's money pays only over several.
    first, patient = (
        recorded(policy, replace(LIMITS, start_cost=stage, start_stages=stages))
        for stages in (1, 10)
    )
    assert patient.starts > 2
    assert policy != "oracle" or patient.total_regret < first.total_regret


# ---- what is known beforehand -------------------------------------------------------------------


def test_scores_scatter_around_the_means() -> None:
    stream = LargePool(1_000).stream(10, 0)
    means = stream.regimes[0].reward
    exact = RewardPrior("scores", 0.0).expected_rewards(stream, 0)
    np.testing.assert_array_equal(exact, means)
    scores = RewardPrior("scores", 0.05).expected_rewards(stream, 0)
    assert np.std(scores - means) == pytest.approx(0.05, rel=0.1)
    assert np.any(scores != RewardPrior("scores", 0.05).expected_rewards(stream, 1))

    # Prices tell part of the quality.
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
    record = recorded("uniform")
    shares, arrivals = np.array(record.shares), np.array(record.arrivals)
    assert record.newcomers_tried == pytest.approx(np.mean(shares[arrivals > 0] > 0))
    assert recorded(workload=BuiltIn(num_initial=11)).newcomers_tried is None


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
    record = recorded()
    oracle = by_hand(record, 200, [0.0, 0.0, 0.5, 0.5, 0.4])
    never = math.inf
    for first_live, shares, live, used, settled, traffic in (
        (200, [0.1, 0.3, 0.2], 70.0, 170.0, 170.0, 0.6 / 1.4),  # slow
        (200, [0.5, 0.1, 0.4], 70.0, 70.0, 270.0, 1.0 / 1.4),  # fickle
        (200, [0.5, 0.5, 0.1], 70.0, 70.0, never, 1.1 / 1.4),  # lost
        (-1, [0.0, 0.0, 0.0], never, never, never, 0.0),
        (200, [0.5, 0.5, 0.4], 70.0, 70.0, 70.0, 1.0),  # like the oracle
    ):
        found = adoption(by_hand(record, first_live, [0.0, 0.0, *shares]), oracle, "new")
        assert (found.live, found.used, found.settled) == (live, used, settled)
        assert found.traffic == pytest.approx(traffic)


# ---- feedback -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["stageroute", "thompson", "linucb", "bwk"])
def test_no_delay_is_no_change(policy: str) -> None:
    plain = recorded(policy)
    for workload in (Delayed(BuiltIn(), 0), Noisy(BuiltIn(), noise=0.0)):
        same = recorded(policy, workload=workload)
        assert same.shares == plain.shares
        assert same.spend == plain.spend
