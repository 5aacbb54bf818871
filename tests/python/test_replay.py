"""Streams, replay, metrics: the native loop against a plain one, figures by their definition."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import wrong_policies
from stageroute import Confidence, solve_deployment
from stageroute.config.confidence import CONFIDENCE_FAMILIES
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import Regime, Stream, draw_stream, even_arrivals, stage_starts
from stageroute.errors import PolicyError
from stageroute.policies import POLICIES, Limits, Setting, make_policy
from stageroute.replay import ReplayResult, replay
from stageroute.replay.metrics import expected_outcomes, measure, oracle_parts

LIMITS = Limits(budget=0.0008, max_deployed=2, throughput_cap=0.7)


def run(
    name: str, stream: Stream, limits: Limits, num_stages: int, *, native: bool = True
) -> ReplayResult:
    policy = make_policy(name, Setting(stream, limits, num_stages, 3))
    return replay(policy, stream, num_stages, native=native)


@pytest.fixture
def growing(small_table: OutcomeTable) -> Stream:
    """Two models, and a third from query 150 of 300."""
    return draw_stream(small_table, 0, num_queries=300, num_initial=2)


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("family", "delay"), [*((f, 0) for f in CONFIDENCE_FAMILIES), ("bernstein", 70)]
)
def test_native_replay_equals_step_by_step(
    small_table: OutcomeTable, policy: str, family: str, delay: int
) -> None:
    limits = Limits(0.0008, 2, 0.7, Confidence(family, min_visits=3), use_prices=delay == 0)
    stream = draw_stream(
        small_table, 1, num_queries=1_500, num_initial=2, retirements={"middling": 1_200}
    )
    if delay:
        reported = np.clip(small_table.reward + 0.2, 0.0, 1.0)
        stream = replace(stream, delay=delay, reported_reward=reported)
    native, steps = (run(policy, stream, limits, 10, native=native) for native in (True, False))
    assert native.deployments == steps.deployments
    for field in ("arm", "probability", "budget_price", "reward", "cost"):
        np.testing.assert_array_equal(getattr(native, field), getattr(steps, field), field)
    assert native.lp_counts == steps.lp_counts
    # What was earned is what counts, whatever was reported.
    earned = small_table.reward[stream.rows, native.arm]
    np.testing.assert_array_equal(native.reward, earned)


class Diary(wrong_policies.EvenPolicy):
    """Writes down when it hears of which query, and what."""

    asked: list[int]
    heard: list[tuple[int, int, float, float]]

    def draw(self, row: int) -> int:
        self.asked.append(row)
        return super().draw(row)

    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:
        self.heard.append((len(self.asked), row, reward, cost))


def test_feedback_comes_as_late_as_it_says(small_table: OutcomeTable) -> None:
    reported, cost = 1.0 - small_table.reward, small_table.cost
    stream = replace(draw_stream(small_table, 0, num_queries=50), delay=7, reported_reward=reported)
    diary = Diary(Setting(stream, LIMITS, 5, 3))
    diary.asked, diary.heard = [], []
    result = replay(diary, stream, 5)
    assert diary.asked == stream.rows.tolist()
    assert diary.heard == [
        (t + 8, row, reported[row, arm], cost[row, arm])
        for t, (row, arm) in enumerate(zip(stream.rows[:43], result.arm[:43], strict=True))
    ]


def test_regret_follows_the_means_of_the_time(small_table: OutcomeTable) -> None:
    stream = draw_stream(small_table, 0, num_queries=100)
    first = stream.regimes[0]
    swapped = replace(stream, regimes=(first, Regime(45, first.reward[::-1], first.cost[::-1])))
    limits = Limits(1.0, 1, 1.0)
    starts = swapped.stage_starts(4)
    best = oracle_parts(swapped, limits, starts).rewards()
    np.testing.assert_allclose(best, first.reward.max())
    result = run("oracle", swapped, limits, 4)
    # At query 45 the means are swapped; the oracle redeploys at the boundary, at query 50.
    good = int(np.argmax(first.reward))
    assert result.arm.tolist() == [good] * 50 + [2 - good] * 50
    expected, _ = expected_outcomes(swapped, result.arm)
    lost = first.reward.max() - first.reward[2 - good]
    np.testing.assert_allclose(best - expected, [0.0] * 45 + [lost] * 5 + [0.0] * 50)


def test_stages_by_the_clock(small_table: OutcomeTable) -> None:
    stream = draw_stream(small_table, 0, num_queries=10)
    times = np.array([0, 0, 1, 2, 3, 3, 3, 80, 90, 100], dtype=np.float64)
    assert replace(stream, times=times).stage_starts(4).tolist() == [0, 7]
    assert replace(stream, times=times).stage_starts(10).tolist() == [0, 7, 8]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (wrong_policies.DeploysWhatIsToCome, "stage 0.*expected models of cheap, mid"),
        (wrong_policies.ServesByOthers, "expected cheap, seen middling"),
        (wrong_policies.TellsPercentages, r"expected \(0, 1\], seen 33.3"),
        (wrong_policies.TellsNoProbability, r"expected \(0, 1\], seen nan"),
    ],
)
def test_what_no_replay_can_mean_ends_it(
    growing: Stream, policy: type[wrong_policies.EvenPolicy], message: str
) -> None:
    with pytest.raises(PolicyError, match=message) as caught:
        replay(policy(Setting(growing, LIMITS, 3, 0)), growing, 3)
    assert caught.value.rule == policy.name


@pytest.mark.parametrize(
    ("policy", "caps", "over"),
    [
        (wrong_policies.EvenPolicy, 0.7, {}),
        (wrong_policies.Rotates, 0.7, {}),
        (wrong_policies.DeploysTooMany, 0.7, {"max_deployed": 1}),
        (wrong_policies.IgnoresCaps, 0.7, {"caps": 3}),
        (wrong_policies.Unsaid, 0.7, {"probability": 300}),
        (wrong_policies.EvenPolicy, 0.45, {}),  # that no live set can keep, so nothing breaks them
        (wrong_policies.EvenPolicy, (0.8, 0.2, 0.5), {"caps": 3}),
    ],
)
def test_what_goes_over_the_limits_is_counted(
    growing: Stream, policy: type[wrong_policies.EvenPolicy], caps: Any, over: dict[str, int]
) -> None:
    limits = replace(LIMITS, throughput_cap=caps)
    result = replay(policy(Setting(growing, limits, 3, 0)), growing, 3, limits=limits)
    assert result.over == measure(result, growing, limits).over == over


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_goes_over_its_limits(small_table: OutcomeTable, policy: str) -> None:
    stream = draw_stream(
        small_table, 4, num_queries=4_000, num_initial=2, retirements={"cheap": 2_900}
    )
    limits = replace(LIMITS, throughput_cap=(0.6, 0.5, 0.55))
    made = make_policy(policy, Setting(stream, limits, 7, 3))
    # One of the two models that it knows is left, and has every query to itself.
    over = {"caps": 1} if policy == "static" else {}
    assert replay(made, stream, 7, limits=limits).over == over


def test_metrics_by_their_definition(small_table: OutcomeTable) -> None:
    stream = draw_stream(small_table, 2, num_queries=2_000, num_initial=2)
    result = run("stageroute", stream, LIMITS, 7)
    metrics = measure(result, stream, LIMITS)
    reward, cost = small_table.mean_reward(), small_table.mean_cost()
    best = np.empty(2_000)
    for start in result.stage_starts.tolist():
        arms = stream.candidates(start)
        problem = reward[arms], cost[arms], np.full(arms.size, 0.7), 0.0008, 2
        best[start:] = solve_deployment(*problem).objective
    assert metrics.regret == pytest.approx((best - reward[result.arm]).sum() / best.sum())
    assert metrics.spend == pytest.approx(result.cost.sum() / (0.0008 * 2_000))
    stages = [part.mean() / 0.0008 for part in np.split(result.cost, result.stage_starts[1:])]
    np.testing.assert_allclose(metrics.stage_violation, np.maximum(stages, 1.0) - 1.0, atol=1e-12)
    running = np.cumsum(result.cost) / (0.0008 * np.arange(1, 2_001))
    assert metrics.worst_running_spend == pytest.approx(running[999:].max())
    assert metrics.shares.sum() == pytest.approx(1.0)
    assert metrics.stages_deployed.sum() == sum(map(len, result.deployments))


def test_the_oracle_has_no_regret_and_keeps_to_the_budget(small_table: OutcomeTable) -> None:
    limits = Limits(budget=0.0008, max_deployed=3, throughput_cap=0.7)
    stream = draw_stream(small_table, 0, num_queries=50_000)
    metrics = measure(run("oracle", stream, limits, 5), stream, limits)
    assert abs(metrics.regret) < 0.01
    assert metrics.spend == pytest.approx(1.0, abs=0.02)


def test_weights_decide_how_often_a_row_is_drawn() -> None:
    reward, cost = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    table = OutcomeTable("t", ("m",), reward, cost, weights=np.array([1.0, 3.0]))
    stream = draw_stream(table, 0, num_queries=40_000)
    assert (stream.rows == 1).mean() == pytest.approx(0.75, abs=0.01)


def test_orders_of_a_stream(small_table: OutcomeTable) -> None:
    in_order = draw_stream(small_table, 0, num_queries=500, order="in_order")
    assert in_order.rows.tolist() == [t % 200 for t in range(500)]
    shuffled, again = (draw_stream(small_table, 0, order="shuffled").rows.tolist() for _ in "12")
    assert sorted(shuffled) == list(range(200)) != shuffled == again
    given = draw_stream(small_table, 0, arrival_order=("expensive", "cheap", "middling"))
    assert given.table.models == ("expensive", "cheap", "middling")
    orders = {
        draw_stream(small_table, seed, arrival_order="shuffled").table.models for seed in range(30)
    }
    assert len(orders) == 6


def test_stage_starts_are_even_and_arrivals_lie_inside() -> None:
    assert stage_starts(10, 3).tolist() == [0, 3, 6]
    assert even_arrivals(4, 2, 90).tolist() == [0, 0, 30, 60]
