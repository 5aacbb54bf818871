"""What a record keeps beside regret: waiting, overspending, caps, live sets; random arrivals."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from stageroute import Confidence
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import NEVER, Stream
from stageroute.lab.episodes import Episode, run_episode
from stageroute.lab.shares import agreement, mean_shares
from stageroute.policies import Limits, Policy, Setting, make_policy
from stageroute.policies.ours.stageroute import as_published
from stageroute.replay import replay
from stageroute.replay.metrics import measure, waiting_cost
from stageroute.workloads import BuiltIn, LargePool, RandomArrivals, workload_from_json

LIMITS = Limits(0.001, max_deployed=3, throughput_cap=1.0)


def two_models(arrival: int, num_queries: int = 400) -> Stream:
    """A model of mean reward 0.25 and 0.0005 USD; one of 0.75 and 0.002 USD that arrives."""
    reward = np.array([[0.25, 0.75]] * 4)
    cost = np.array([[0.0005, 0.002]] * 4)
    table = OutcomeTable("two", ("first", "second"), reward, cost)
    rows = np.zeros(num_queries, dtype=np.uint32)
    return Stream(table, rows, np.array([0, arrival]), np.full(2, NEVER))


class Fixed(Policy):
    """Sends every query to one model."""

    name = "fixed"

    def __init__(self, arm: int) -> None:
        self.arm = arm

    def begin_stage(self, candidates: np.ndarray) -> tuple[int, ...]:
        return (self.arm,)

    def route(self, row: int) -> tuple[int, float, float]:
        return self.arm, 1.0, 0.0

    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:
        pass


# At b = 0.001 a third of the queries can go to the second model: 0.25 + 0.5 / 3.
GAIN = 0.5 / 3.0


@pytest.mark.parametrize(("arrival", "waits"), [(100, 0), (101, 99), (150, 50), (399, 1)])
def test_waiting_is_what_arrivals_wait_for_a_boundary(arrival: int, waits: int) -> None:
    assert waiting_cost(two_models(arrival), LIMITS, 4) == pytest.approx(GAIN * waits)


def test_a_model_without_use_costs_no_waiting() -> None:
    assert waiting_cost(two_models(150), replace(LIMITS, budget=0.0005), 4) == pytest.approx(0.0)


def test_overspending_is_charged_at_the_price_of_money() -> None:
    stream = two_models(0)
    metrics = measure(replay(Fixed(1), stream, 4), stream, LIMITS)
    price = 0.5 / 0.0015
    assert metrics.cumulative_regret[-1] < 0
    assert metrics.overspend_charge == pytest.approx(price * (0.002 - 0.001) * 400)
    # Money cannot buy more than it is worth: a mixture of the two would have done as well.
    assert metrics.cumulative_regret[-1] + metrics.overspend_charge == pytest.approx(0.0)


def test_saving_buys_nothing() -> None:
    stream = two_models(0)
    metrics = measure(replay(Fixed(0), stream, 4), stream, LIMITS)
    assert metrics.overspend_charge == 0.0
    assert metrics.cumulative_regret[-1] == pytest.approx(GAIN * 400)


@pytest.mark.parametrize("policy", ["stageroute", "stageroute-published", "greedy", "uniform"])
@pytest.mark.parametrize("budget", [0.0003, 0.001])
def test_charged_regret_is_not_negative(policy: str, budget: float) -> None:
    """Weak duality; without caps, which chance exceeds, it holds for every single replay."""
    limits = Limits(budget, max_deployed=11, throughput_cap=1.0)
    record, _ = run_episode(Episode(BuiltIn(), policy, limits, 2_000, 5, seed=3))
    assert record.total_regret + record.overspend_charge >= -1e-6


@pytest.fixture
def episode() -> Episode:
    workload = RandomArrivals(BuiltIn())
    return Episode(workload, "stageroute", Limits(0.001, use_prices=True), 3_500, 7, seed=1)


def test_the_record_repeats_the_replay(episode: Episode) -> None:
    record, _ = run_episode(episode)
    stream = episode.workload.stream(3_500, 1)
    setting = Setting(stream, episode.limits, 7, 1)
    result = replay(make_policy("stageroute", setting), stream, 7)
    live = np.reshape(record.stage_live, (7, 11))
    assert [tuple(np.flatnonzero(row)) for row in live] == list(result.deployments)
    assert record.early_spend == pytest.approx(result.cost[:1_000].mean() / 0.001)
    windows = result.arm[:3_000].reshape(3, 1_000)
    largest = max((window == arm).mean() for window in windows for arm in range(11))
    assert record.largest_cap_excess == pytest.approx(largest - 0.5)
    assert record.largest_probability_excess == result.probability.max() - 0.5
    assert record.waiting_cost == waiting_cost(stream, episode.limits, 7)
    assert record.caps == [0.5] * 11


@pytest.mark.slow
def test_large_pools_have_no_waiting_cost() -> None:
    pool = LargePool(1_001)
    record, _ = run_episode(Episode(pool, "uniform", Limits(0.001), 300, 3, seed=0))
    assert record.waiting_cost is None
    assert record.stage_live == []


def test_agreement_is_whole_with_oneself_and_partial_with_others(episode: Episode) -> None:
    oracle, _ = run_episode(replace(episode, policy="oracle"))
    ours, _ = run_episode(episode)
    whole = agreement(oracle, oracle)
    for values in (whole.live, whole.needed, whole.served):
        np.testing.assert_allclose(values, 1.0)
    part = agreement(ours, oracle)
    shares = np.reshape(ours.stage_shares, (7, 11))
    best = np.reshape(oracle.stage_shares, (7, 11))
    np.testing.assert_allclose(part.served, 1.0 - 0.5 * np.abs(shares - best).sum(axis=1))
    assert np.all(part.live[part.needed == 0] < 1.0)


def test_mean_shares_leave_out_models_that_are_not_there(episode: Episode) -> None:
    records = [run_episode(replace(episode, seed=seed))[0] for seed in (1, 2)]
    shares = mean_shares(records)
    assert shares.shape == (11, 7)
    np.testing.assert_allclose(np.nansum(shares, axis=0), 1.0)
    first = np.min([record.arrivals for record in records], axis=0)
    absent = np.asarray(records[0].stage_starts)[None, :] < first[:, None]
    np.testing.assert_array_equal(np.isnan(shares), absent)


def test_random_arrivals() -> None:
    workload = RandomArrivals(BuiltIn(num_initial=4), within=0.25)
    base, first, again = (
        BuiltIn(num_initial=4),
        workload.stream(8_000, 5),
        workload.stream(8_000, 5),
    )
    np.testing.assert_array_equal(first.arrivals, again.arrivals)
    np.testing.assert_array_equal(first.rows, base.stream(8_000, 5).rows)
    assert np.all(first.arrivals[:4] == 0)
    assert np.all(np.diff(first.arrivals) >= 0)
    assert first.arrivals[-1] < 2_000
    assert not np.array_equal(first.arrivals, workload.stream(8_000, 6).arrivals)
    draws = np.array([workload.stream(8_000, seed).arrivals[4:] for seed in range(200)])
    assert draws.mean() == pytest.approx(1_000, rel=0.05)
    assert workload_from_json(asdict(workload)) == workload


def test_published_is_stageroute_with_published_settings(small_table: OutcomeTable) -> None:
    stream = BuiltIn().stream(3_000, 2)
    limits = Limits(0.001, confidence=Confidence("kl"), use_prices=True)
    published, again = (
        replay(make_policy(name, Setting(stream, used, 10, 4)), stream, 10)
        for name, used in (
            ("stageroute-published", limits),
            ("stageroute", as_published(limits)),
        )
    )
    np.testing.assert_array_equal(published.arm, again.arm)
    settings = as_published(limits)
    assert settings.confidence == Confidence("paper", gamma=0.1, growth=0.0, min_visits=0)
    assert settings.pacing_horizon is None
    assert not settings.use_prices
