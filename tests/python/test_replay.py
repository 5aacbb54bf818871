"""Streams, replay, metrics: the native loop against a plain one, figures by their definition."""

import numpy as np
import pytest

from stageroute import Confidence, solve_deployment
from stageroute.confidence import CONFIDENCE_FAMILIES
from stageroute.datasets import OutcomeTable
from stageroute.errors import InvalidInputError
from stageroute.metrics import measure, oracle_rewards
from stageroute.policies import POLICIES, Limits, Policy, make_policy
from stageroute.replay import replay, stage_starts
from stageroute.streams import Stream, draw_stream, even_arrivals

LIMITS = Limits(budget=0.0008, max_deployed=2, throughput_cap=0.7)


def policy_for(name: str, stream: Stream, limits: Limits, seed: int = 3) -> Policy:
    table = stream.table
    return make_policy(name, table.models, table.mean_reward(), table.mean_cost(), limits, seed)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("family", CONFIDENCE_FAMILIES)
def test_native_replay_equals_step_by_step(
    small_table: OutcomeTable, policy: str, family: str
) -> None:
    limits = Limits(0.0008, 2, 0.7, Confidence(family, min_visits=3), use_prices=True)
    stream = draw_stream(
        small_table, 1, num_queries=1_500, num_initial=2, retirements={"middling": 1_200}
    )
    native = replay(policy_for(policy, stream, limits), stream, 10)
    steps = replay(policy_for(policy, stream, limits), stream, 10, native=False)
    assert native.deployments == steps.deployments
    for field in ("arm", "probability", "budget_price", "reward", "cost"):
        np.testing.assert_array_equal(getattr(native, field), getattr(steps, field), field)
    assert native.lp_counts == steps.lp_counts


class CheapestPolicy(Policy):
    """A policy written in Python: the live candidate that has cost least so far, from the first."""

    name = "cheapest"

    def __init__(self, num_models: int) -> None:
        self.total = np.zeros(num_models)
        self.count = np.zeros(num_models)
        self.live: tuple[int, ...] = ()

    def begin_stage(self, candidates: np.ndarray) -> tuple[int, ...]:
        self.live = tuple(candidates.tolist())
        return self.live

    def route(self) -> tuple[int, float, float]:
        mean = self.total / np.maximum(self.count, 1)
        return min(self.live, key=lambda arm: mean[arm]), 1.0, 0.0

    def observe(self, arm: int, reward: float, cost: float) -> None:
        self.total[arm] += cost
        self.count[arm] += 1


def test_a_policy_written_in_python_runs_in_the_same_replay(small_table: OutcomeTable) -> None:
    stream = draw_stream(small_table, 0, num_queries=900, num_initial=1)
    result = replay(CheapestPolicy(3), stream, 9)
    metrics = measure(result, stream, LIMITS)
    assert metrics.shares[0] > 0.99
    assert metrics.spend < 0.2


def test_only_arrived_and_staying_models_serve(small_table: OutcomeTable) -> None:
    stream = draw_stream(small_table, 0, num_queries=900, num_initial=1, retirements={"cheap": 700})
    limits = Limits(budget=0.01, max_deployed=3, throughput_cap=1.0)
    for policy in POLICIES:
        result = replay(policy_for(policy, stream, limits), stream, 9)
        assert stream.arrivals.tolist() == [0, 300, 600]
        for start, live in zip(result.stage_starts, result.deployments, strict=True):
            served = set(result.arm[start : start + 100].tolist())
            assert served <= set(live) <= set(stream.candidates(int(start)).tolist())


def test_metrics_by_their_definition(small_table: OutcomeTable) -> None:
    stream = draw_stream(small_table, 2, num_queries=2_000, num_initial=2)
    result = replay(policy_for("stageroute", stream, LIMITS), stream, 7)
    metrics = measure(result, stream, LIMITS)
    mean_reward = small_table.mean_reward()
    regret = 0.0
    oracle_total = 0.0
    for k, start in enumerate(result.stage_starts):
        end = [*result.stage_starts, 2_000][k + 1]
        arms = stream.candidates(int(start))
        best = solve_deployment(
            mean_reward[arms], small_table.mean_cost()[arms], np.full(arms.size, 0.7), 0.0008, 2
        ).objective
        for t in range(start, end):
            regret += best - mean_reward[result.arm[t]]
            oracle_total += best
        stage_spend = result.cost[start:end].mean() / 0.0008
        assert metrics.stage_violation[k] == pytest.approx(max(stage_spend - 1, 0))
    assert metrics.regret == pytest.approx(regret / oracle_total)
    assert metrics.spend == pytest.approx(result.cost.sum() / (0.0008 * 2_000))
    running = [result.cost[:t].sum() / (0.0008 * t) for t in range(1_000, 2_001)]
    assert metrics.worst_running_spend == pytest.approx(max(running))
    assert metrics.shares.sum() == pytest.approx(1.0)
    assert metrics.stages_deployed.sum() == sum(map(len, result.deployments))


def test_the_oracle_has_no_regret_and_keeps_to_the_budget(small_table: OutcomeTable) -> None:
    limits = Limits(budget=0.0008, max_deployed=3, throughput_cap=0.7)
    stream = draw_stream(small_table, 0, num_queries=50_000)
    result = replay(policy_for("oracle", stream, limits), stream, 5)
    metrics = measure(result, stream, limits)
    assert abs(metrics.regret) < 0.01
    assert metrics.spend == pytest.approx(1.0, abs=0.02)
    assert oracle_rewards(stream, limits, result.stage_starts).shape == (50_000,)


def test_weights_decide_how_often_a_row_is_drawn() -> None:
    reward, cost = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    table = OutcomeTable("t", ("m",), reward, cost, weights=np.array([1.0, 3.0]))
    stream = draw_stream(table, 0, num_queries=40_000)
    assert (stream.rows == 1).mean() == pytest.approx(0.75, abs=0.01)
    with pytest.raises(InvalidInputError, match="the table has weights"):
        draw_stream(table, 0, order="shuffled")


def test_orders_of_a_stream(small_table: OutcomeTable) -> None:
    in_order = draw_stream(small_table, 0, num_queries=500, order="in_order")
    assert in_order.rows.tolist() == [t % 200 for t in range(500)]
    shuffled = draw_stream(small_table, 0, order="shuffled")
    assert sorted(shuffled.rows.tolist()) == list(range(200))
    assert shuffled.rows.tolist() != list(range(200))
    again = draw_stream(small_table, 0, order="shuffled")
    assert shuffled.rows.tolist() == again.rows.tolist()


def test_order_of_arrival(small_table: OutcomeTable) -> None:
    given = draw_stream(small_table, 0, arrival_order=("dear", "cheap", "middling"))
    assert given.table.models == ("dear", "cheap", "middling")
    orders = {
        draw_stream(small_table, seed, arrival_order="shuffled").table.models for seed in range(30)
    }
    assert len(orders) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": "random"}, "order = 'random': must be one of"),
        ({"num_queries": 0}, "num_queries = 0: must be at least 1"),
        ({"num_initial": 4}, r"num_initial = 4: must be in \[1, 3\]"),
        ({"arrival_order": "release"}, "arrival_order = 'release': must be one of"),
        ({"arrival_order": ("cheap", "dear")}, "must name each of the table's models once"),
        ({"retirements": {"x": 3}}, "retirements names 'x'; the table's models are cheap"),
        ({"retirements": {"cheap": 0}}, "each must be after the model's arrival"),
    ],
)
def test_bad_streams(small_table: OutcomeTable, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        draw_stream(small_table, 0, **changes)  # type: ignore[arg-type]


def test_bad_limits(small_table: OutcomeTable) -> None:
    stream = draw_stream(small_table, 0)
    with pytest.raises(InvalidInputError, match=r"num_stages = 0: must be in \[1, 200\]"):
        replay(policy_for("uniform", stream, LIMITS), stream, 0)
    with pytest.raises(InvalidInputError, match="throughput_cap has 2 elements"):
        policy_for("uniform", stream, Limits(1.0, throughput_cap=(0.5, 0.5)))
    with pytest.raises(InvalidInputError, match="policy = 'best': must be one of stageroute"):
        policy_for("best", stream, LIMITS)


def test_stage_starts_are_even_and_arrivals_lie_inside() -> None:
    assert stage_starts(10, 3).tolist() == [0, 3, 6]
    assert even_arrivals(4, 2, 90).tolist() == [0, 0, 30, 60]
