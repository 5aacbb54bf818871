"""Routing with context: features, the joint LP, policies and oracles against what is known."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from stageroute import solve_routing_lp
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import Stream, draw_stream
from stageroute.policies import CONTEXTUAL, Limits, Setting, make_policy
from stageroute.policies.optimum import optimum
from stageroute.policies.oracles.context import context_means, joint_optimum
from stageroute.policies.ours.contexts import (
    families,
    family_features,
    prompt_features,
    task_features,
)
from stageroute.replay import ReplayResult, replay

Labels = Callable[[OutcomeTable], np.ndarray]


def world(rows: int = 6_000) -> OutcomeTable:
    """Easy queries, which any model answers, and hard ones, which the expensive one alone does."""
    generator = np.random.default_rng(3)
    hard = generator.random(rows) < 0.5
    means = np.where(hard[:, None], [0.1, 0.2, 0.9], [0.88, 0.9, 0.92])
    reward = (generator.random(means.shape) < means).astype(float)
    cost = generator.uniform(0.5, 1.5, means.shape) * [0.0001, 0.0002, 0.002]
    task = np.where(hard, "sums-long", "poems")
    prompts = tuple(
        f"add {a} and {b} and carry" if h else f"a poem about {a} in {b} lines"
        for h, a, b in zip(hard, *generator.integers(100, size=(2, rows)), strict=True)
    )
    return OutcomeTable("world", ("small", "middling", "large"), reward, cost, task=task,
                        prompts=prompts)  # fmt: skip


def run(name: str, stream: Stream, limits: Limits) -> ReplayResult:
    policy = make_policy(name, Setting(stream, limits, 10, seed=4))
    return replay(policy, stream, 10)


@pytest.mark.parametrize("seed", range(12))
def test_the_joint_lp_is_proved_optimal_by_its_prices(seed: int) -> None:
    generator = np.random.default_rng(seed)
    contexts, models = generator.integers(1, 30), generator.integers(3, 9)
    weights = generator.dirichlet(np.ones(contexts))
    reward = generator.random((contexts, models))
    cost = 1e-3 * generator.lognormal(sigma=1.5, size=(contexts, models))
    caps = generator.uniform(0.4, 1.0, models)
    budget = float(np.quantile(weights @ cost, generator.uniform(0.5, 0.95)))
    ours = joint_optimum(weights, reward, cost, caps, budget)
    served = weights[:, None] * ours.probabilities
    assert ours.reward == pytest.approx((served * reward).sum(), abs=1e-7)
    assert (served * cost).sum() <= budget * (1 + 1e-6)
    assert np.all(served.sum(axis=0) <= caps + 1e-6)
    # Weak duality: at prices that are not negative no mixture earns more than this.
    assert min(ours.budget_price, *ours.cap_prices) >= -1e-9
    best = (reward - ours.budget_price * cost - ours.cap_prices).max(axis=1)
    bound = weights @ best + ours.budget_price * budget + ours.cap_prices @ caps
    assert ours.reward == pytest.approx(bound, abs=1e-7)


def test_with_one_context_the_joint_lp_is_the_routing_lp() -> None:
    reward, cost = np.array([0.3, 0.6, 0.9]), np.array([0.0001, 0.0005, 0.003])
    caps = np.array([0.9, 0.5, 0.5])
    one = solve_routing_lp(reward, cost, caps, 0.001)
    joint = joint_optimum(np.ones(1), reward[None], cost[None], caps, 0.001)
    assert joint.reward == pytest.approx(one.objective, abs=1e-8)
    assert joint.budget_price == pytest.approx(one.budget_price, rel=1e-5)
    assert np.allclose(joint.probabilities[0], one.probabilities, atol=1e-6)


def without(table: OutcomeTable) -> np.ndarray:
    return np.full(table.num_rows, "all")


def tasks(table: OutcomeTable) -> np.ndarray:
    return np.asarray(table.task)


def best(table: OutcomeTable, labels: Labels, budget: float, cap: float) -> float:
    """Most reward of routing by these labels."""
    _, weights, reward, cost = context_means(table, labels(table))
    caps = np.full(table.num_models, cap)
    return joint_optimum(weights, reward, cost, caps, budget).reward


@pytest.mark.slow
@pytest.mark.parametrize(("labels", "worth"), [(without, 0.675), (families, 0.746), (tasks, 0.774)])
def test_what_context_is_worth_on_the_surrogate(
    surrogate: OutcomeTable, labels: Labels, worth: float
) -> None:
    assert best(surrogate, labels, 0.001, 0.5) == pytest.approx(worth, abs=0.001)


@pytest.mark.parametrize("budget", [0.0003, 0.001, 0.002])
def test_the_live_set_without_context_costs_context_little(
    surrogate: OutcomeTable, budget: float
) -> None:
    every = np.arange(surrogate.num_models)
    means = surrogate.mean_reward(), surrogate.mean_cost()
    live, _ = optimum(every, *means, Limits(budget))
    part = surrogate.select([surrogate.models[arm] for arm in live])
    most = best(surrogate, families, budget, 0.5)
    assert most - 0.003 < best(part, families, budget, 0.5) < most


def test_families_are_what_task_names_begin_with() -> None:
    names = ["mmlu-law", "mmlu-virology", "arc-challenge", "bbh/a", "bbh/b", "rare-one"]
    task = np.repeat(names, [100, 100, 100, 50, 50, 1])
    values = np.full((task.size, 1), 0.5)
    found = families(OutcomeTable("t", ("a",), values, values, task=task))
    by_name = dict(zip(task.tolist(), found.tolist(), strict=True))
    assert by_name == {
        "mmlu-law": "mmlu", "mmlu-virology": "mmlu", "arc-challenge": "arc-challenge",
        "bbh/a": "bbh", "bbh/b": "bbh", "rare-one": "other",
    }  # fmt: skip


@pytest.mark.slow
def test_prompt_features_know_prompts_and_no_outcomes() -> None:
    table = world(400)
    other = replace(table, reward=1.0 - table.reward, cost=table.cost[::-1])
    features = prompt_features(table)
    assert np.array_equal(features, prompt_features(other))
    assert np.all(features[:, 0] == 1.0)
    hard = table.task == "sums-long"
    assert features.shape == (400, 25)
    apart = np.linalg.norm(features[hard].mean(axis=0) - features[~hard].mean(axis=0))
    assert apart > 4 * np.abs(features[hard].std(axis=0)[1:]).min()


BUDGET, CAP = 0.0008, 0.8


@pytest.fixture(scope="module")
def runs() -> dict[str, ReplayResult]:
    """Every policy on the same stream of easy and hard queries."""
    stream = draw_stream(world(), 2, num_queries=30_000)
    limits = Limits(BUDGET, 3, CAP, use_prices=True)
    return {name: run(name, stream, limits) for name in (*CONTEXTUAL, "oracle", "stageroute")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stageroute-family", "stageroute-task", "stageroute-linear"])
def test_policies_with_context_reach_the_joint_optimum(
    runs: dict[str, ReplayResult], name: str
) -> None:
    """Money goes to the hard queries; without context it buys much less."""
    blind, sighted = (best(world(), labels, BUDGET, CAP) for labels in (without, tasks))
    assert sighted > blind + 0.1
    found = runs[name]
    assert found.reward.mean() > blind + 0.93 * (sighted - blind)
    assert found.cost.mean() <= 1.005 * BUDGET
    shares = np.bincount(found.arm, minlength=3) / found.arm.size
    assert shares.max() <= CAP + 0.001


def test_a_budget_for_each_query_gains_less(runs: dict[str, ReplayResult]) -> None:
    for context in ("family", "task", "linear"):
        shared = runs[f"stageroute-{context}"].reward.mean()
        own = runs[f"stageroute-{context}-own-budget"].reward.mean()
        assert own < shared - 0.05
    assert runs["oracle-family-own-budget"].reward.mean() < best(world(), tasks, BUDGET, CAP) - 0.05


def test_oracles_with_context_earn_the_joint_optimum(runs: dict[str, ReplayResult]) -> None:
    for name in ("oracle-family", "oracle-task"):
        most = best(world(), tasks, BUDGET, CAP)
        assert runs[name].reward.mean() == pytest.approx(most, abs=0.01)
        assert runs[name].cost.mean() == pytest.approx(BUDGET, rel=0.02)


def test_shares_hold_in_every_stage() -> None:
    stream = draw_stream(world(2_000), 2, num_queries=6_000)
    result = run("stageroute-task", stream, Limits(1.0, 3, 0.4, use_prices=True))
    for part in np.split(result.arm, result.stage_starts[1:]):
        assert np.bincount(part, minlength=3).max() <= 0.4 * part.size + 2


def test_task_features_hold_the_family_as_well() -> None:
    table = world(50)
    assert family_features(table).shape == (50, 3)
    assert np.array_equal(task_features(table)[:, :3], family_features(table))
