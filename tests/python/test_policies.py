"""Baselines against what is known of them, so that none is weak by a fault of ours."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from other_solver import joint_value
from stageroute import solve_routing_lp
from stageroute._core import FACTS, Kernel
from stageroute.config.confidence import Confidence
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import Regime, Stream, draw_stream
from stageroute.errors import InvalidInputError, NoModelError
from stageroute.policies import Limits, Setting, make_policy
from stageroute.policies.oracles.stage import stage_problems
from stageroute.replay import ReplayResult, replay
from stageroute.replay.metrics import expected_outcomes

T = 100_000
INDEX_POLICIES = ("ucb1", "kl-ucb", "thompson", "epsilon-greedy")
KNAPSACK_POLICIES = (*INDEX_POLICIES, "bwk", "bwk-agrawal-devanur", "linucb")


def bernoulli_table(means: list[float], costs: list[float], rows: int = 50_000) -> OutcomeTable:
    """Bernoulli rewards with these shares of ones exactly; costs uniform around their means."""
    generator = np.random.default_rng(8)
    ranks = np.argsort(generator.random((rows, len(means))), axis=0)
    reward = (ranks < np.array(means) * rows).astype(float)
    cost = generator.uniform(0.5, 1.5, reward.shape) * costs
    names = tuple(f"m{arm}" for arm in range(len(means)))
    return OutcomeTable("bernoulli", names, reward, cost)


def run(name: str, stream: Stream, limits: Limits, num_stages: int = 20) -> ReplayResult:
    policy = make_policy(name, Setting(stream, limits, num_stages, seed=4))
    return replay(policy, stream, num_stages)


def pseudo_regret(result: ReplayResult, stream: Stream) -> np.ndarray:
    expected, _ = expected_outcomes(stream, result.arm)
    return np.asarray(np.cumsum(stream.regimes[0].reward.max() - expected))


def lai_robbins(means: list[float]) -> float:
    """Regret per ln T of the best policy there can be (Lai & Robbins 1985)."""
    best = max(means)

    def kl(p: float) -> float:
        return p * math.log(p / best) + (1 - p) * math.log((1 - p) / (1 - best))

    return sum((best - mean) / kl(mean) for mean in means if mean < best)


MEANS = [0.3, 0.4, 0.5, 0.6]


@pytest.fixture(scope="module")
def regrets() -> dict[str, np.ndarray]:
    """Mean pseudo-regret over 6 streams of each index policy, without budget or caps."""
    table = bernoulli_table(MEANS, [1e-4] * 4)
    limits = Limits(budget=1.0, max_deployed=4, throughput_cap=1.0, use_prices=True)
    streams = [draw_stream(table, seed, num_queries=T) for seed in range(6)]
    return {
        name: np.mean([pseudo_regret(run(name, s, limits, 1), s) for s in streams], axis=0)
        for name in INDEX_POLICIES
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kl-ucb", "thompson"])
def test_index_policies_reach_the_rate_of_lai_and_robbins(
    regrets: dict[str, np.ndarray], name: str
) -> None:
    rate, regret = lai_robbins(MEANS), regrets[name]
    assert 0.4 * rate < regret[-1] / np.log(T) < 1.5 * rate
    slope = (regret[-1] - regret[T // 10 - 1]) / np.log(10)
    assert 0.4 * rate < slope < 1.8 * rate


def test_ucb1_keeps_its_bound_and_kl_ucb_does_better(regrets: dict[str, np.ndarray]) -> None:
    gaps = max(MEANS) - np.array(MEANS)
    bound = sum(8 * np.log(T) / gap + (1 + np.pi**2 / 3) * gap for gap in gaps if gap > 0)
    assert 1.5 * regrets["kl-ucb"][-1] < regrets["ucb1"][-1] < bound
    assert regrets["epsilon-greedy"][-1] < bound


CASES = {
    # The optimum mixes the first and the last; the middle one falls short of them by more than the
    # gap that epsilon-greedy is set up for.
    "money": ([0.4, 0.36, 0.9], [0.0002, 0.0008, 0.003], 0.001, 1.0),
    # The cap of the cheapest binds, and money mixes the other two.
    "money and caps": ([0.5, 0.7, 0.9], [0.0001, 0.0008, 0.003], 0.001, 0.5),
    # Money is plenty: the two best fill their caps.
    "caps": ([0.5, 0.7, 0.9, 0.6], [0.0001, 0.0004, 0.0005, 0.0002], 0.01, 0.4),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", KNAPSACK_POLICIES)
def test_policies_reach_the_optimum_of_a_known_knapsack(name: str, case: str) -> None:
    means, costs, budget, cap = CASES[case]
    table = bernoulli_table(means, costs)
    stream = draw_stream(table, 3, num_queries=T)
    limits = Limits(budget, len(means), cap, use_prices=True)
    caps = np.full(len(means), cap)
    best = solve_routing_lp(table.mean_reward(), table.mean_cost(), caps, budget).objective
    result = run(name, stream, limits)
    assert expected_outcomes(stream, result.arm)[0].mean() >= 0.98 * best
    assert result.cost.mean() <= 1.01 * budget
    shares = np.bincount(result.arm, minlength=len(means)) / T
    assert shares.max() <= cap + 0.01


def task_table() -> OutcomeTable:
    """Two tasks, on each of which another model is good."""
    generator = np.random.default_rng(2)
    task = np.resize(["sums", "poems"], 20_000)
    means = np.where((task == "sums")[:, None], [0.9, 0.3, 0.5], [0.2, 0.8, 0.5])
    reward = (generator.random(means.shape) < means).astype(float)
    return OutcomeTable("tasks", ("a", "b", "c"), reward, np.full(means.shape, 1e-4), task=task)


def test_linucb_learns_which_model_suits_which_task() -> None:
    table = task_table()
    stream = draw_stream(table, 0, num_queries=20_000)
    limits = Limits(1.0, 3, 1.0)
    blind, sighted = (run(name, stream, limits, 4) for name in ("linucb", "linucb-task"))
    assert blind.reward.mean() < 0.57
    assert sighted.reward.mean() > 0.98 * 0.85
    good = np.where(table.task[stream.rows] == "sums", 0, 1)  # type: ignore[index]
    assert (sighted.arm == good)[5_000:].mean() > 0.98


def joint_optimum(stream: Stream, limits: Limits, num_stages: int) -> float:
    """Mean reward of the joint LP over all stages, M_max aside, solved as one."""
    caps = limits.caps(stream.table.num_models)
    problems = list(stage_problems(stream, num_stages))
    most = np.zeros((len(problems), caps.size))
    for row, problem in zip(most, problems, strict=True):
        row[problem.candidates] = caps[problem.candidates]
    weights = np.array([problem.queries for problem in problems]) / stream.num_queries
    reward, cost = (np.array([getattr(p, of) for p in problems]) for of in ("reward", "cost"))
    return joint_value(weights, reward, cost, limits.budget, most, 1.0)


def planned(name: str, stream: Stream, limits: Limits, num_stages: int) -> tuple[float, float]:
    """Expected reward and spend of an oracle's mixtures, per query."""
    policy = make_policy(name, Setting(stream, limits, num_stages, 0))
    reward = spend = 0.0
    for problem in stage_problems(stream, num_stages):
        policy.begin_stage(problem.candidates)
        probabilities = np.array(policy.kernel.probabilities())
        reward += problem.queries * float(problem.reward @ probabilities)
        spend += problem.queries * float(problem.cost @ probabilities)
    return reward / stream.num_queries, spend / stream.num_queries


def cheapest(stream: Stream, cap: float) -> float:
    """Cost of the cheapest mixture of the most expensive stage: with more, every stage has one."""
    return max(
        solve_routing_lp(-cost, cost, np.full(cost.size, cap), 1.0).spend
        for problem in stage_problems(stream, 7)
        for cost in (problem.cost[problem.candidates],)
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_the_clairvoyant_is_the_optimum_of_the_joint_lp(seed: int) -> None:
    generator = np.random.default_rng(seed)
    means = generator.uniform(0.1, 0.9, 5)
    costs = 1e-3 * 10 ** generator.uniform(-1.5, 0.8, 5)
    table = bernoulli_table(means.tolist(), costs.tolist(), rows=100)
    stream = draw_stream(table, seed, num_queries=970, num_initial=2)
    later = Regime(500, means[::-1].copy(), costs[::-1].copy())
    for world in (stream, replace(stream, regimes=(*stream.regimes, later))):
        limits = Limits(1.1 * cheapest(world, 0.6), 5, 0.6)
        reward, spend = planned("clairvoyant", world, limits, 7)
        assert reward == pytest.approx(joint_optimum(world, limits, 7), abs=1e-7)
        assert spend <= limits.budget * (1 + 1e-9)
        if world is stream:
            assert reward >= planned("oracle", world, limits, 7)[0] - 1e-12


def test_without_arrivals_all_that_know_do_the_same(small_table: OutcomeTable) -> None:
    stream = draw_stream(small_table, 0)
    limits = Limits(0.0008, 3, 0.7)
    rewards = [planned(name, stream, limits, 5) for name in ("clairvoyant", "static", "oracle")]
    np.testing.assert_allclose(rewards, np.tile(rewards[2], (3, 1)), rtol=1e-9)


def test_the_clairvoyant_saves_money_for_a_model_to_come() -> None:
    table = bernoulli_table([0.5, 0.6, 0.95], [0.0001, 0.002, 0.002], rows=1_000)
    stream = draw_stream(table, 0, num_queries=2_000, num_initial=2)
    limits = Limits(0.0006, 2, 1.0)
    (oracle, spent), (best, spend) = (
        planned(name, stream, limits, 10) for name in ("oracle", "clairvoyant")
    )
    assert best > 1.05 * oracle
    assert spend == pytest.approx(spent, rel=1e-6)
    result = run("clairvoyant", stream, limits, 10)
    assert result.cost[:900].mean() < 0.0003


NO_PRIOR: Any = {"reward": None, "cost": None, "tokens": None}
COMMON: dict[str, Any] = {"throughput_cap": [1.0], "priors": [NO_PRIOR], "budget": 0.001}
PACING = FACTS["pacing"]
GOOD: dict[str, dict[str, Any]] = {
    "index": {"index": {"kl_ucb": {"c": 0.0}}, "pacing": PACING, "seed": 0},
    "knapsack": {"method": "gradient_descent", "step": 0.1, "horizon": 10, "stage_queries": 5.0}
    | {"confidence": Confidence().resolved(0.001, [])},
    "linucb": {"width": 1.0, "step": 0.1, "horizon": 10},
}


def kernel(name: str, **changes: Any) -> Kernel:
    features = changes.pop("features", np.ones((4, 2)) if name == "linucb" else None)
    return Kernel(name, COMMON | GOOD.get(name, {}) | changes, features)


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"throughput_cap": [0.0]}, r"throughput_cap\[0\] = 0: must be in"),
        ({"throughput_cap": [1.0, 1.0]}, "priors has 1 elements; it must have 2"),
        ({"budget": 0.0}, "budget = 0: must be finite and above 0"),
        ({"priors": [NO_PRIOR | {"cost": (-1.0, 5)}]}, "cost_prior = -1"),
    ],
)
def test_bad_settings_of_every_kernel(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        kernel(name, **changes)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("index", {"index": "best"}, r"config of .index.: unknown variant `best`"),
        ("index", {"index": {"kl_ucb": {"c": -1.0}}}, "c = -1: must be finite and not negative"),
        ("index", {"index": {"epsilon_greedy": {"scale": 0.0}}}, "scale = 0: must be finite and"),
        ("index", {"pacing": PACING | {"horizon": 0.0}}, "pacing_horizon = 0"),
        ("knapsack", {"method": "simplex"}, "unknown variant `simplex`"),
        ("knapsack", {"step": 0.0}, "step = 0: must be finite and above 0"),
        ("linucb", {"width": -1.0}, "width = -1: must be finite, not negative"),
        ("linucb", {"step": np.nan}, "step = NaN"),
        ("linucb", {"features": np.full((2, 2), np.inf)}, r"features\[0\] = inf: must be finite"),
        ("linucb", {"features": np.ones((2, 0))}, "dimension = 0: must be at least 1"),
        ("linucb", {"features": None}, "features has 0 elements"),
        ("guess", {}, "name = .guess.: must be one of mixture, greedy"),
        ("mixture", {"arms": 3}, "config of .mixture.: missing field `seed`"),
    ],
)
def test_bad_settings(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        kernel(name, **changes)


@pytest.mark.parametrize("name", GOOD)
def test_a_kernel_refuses_what_it_cannot_learn(name: str) -> None:
    made = kernel(name)
    with pytest.raises(NoModelError):
        made.route(0)
    with pytest.raises(InvalidInputError, match="deployed names arm 1"):
        made.publish([1])
    made.publish([0])
    assert made.route(0)[0] == 0
    for arm, reward, cost, message in (
        (0, 1.5, 0.0, "reward = 1.5"),
        (0, 0.5, -1.0, "cost = -1"),
        (3, 0.5, 0.0, "arm names arm 3"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            made.observe(0, arm, reward, cost)
    if name == "linucb":
        with pytest.raises(InvalidInputError, match="row = 4: must be a row of the features"):
            made.route(4)
        made.route(2)
        assert made.seen() == [1, 0, 1, 0]
