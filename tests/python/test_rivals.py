"""Rivals as policies: what each must keep to, with the real packages where they are installed."""

import gc
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import Stream, draw_stream
from stageroute.errors import MissingExtraError
from stageroute.policies import RIVALS, Limits, Policy, Setting, make_policy
from stageroute.policies.rivals.adapting import TaskContexts, best_ranked
from stageroute.replay import ReplayResult, replay

# LiteLLM's own types, read by pydantic.
pytestmark = pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning")

MODULES = {
    "paretobandit": ("pareto_bandit",),
    "mabwiser": ("mabwiser", "mabwiser.mab"),
    "litellm": ("litellm",),
}
LIMITS = Limits(budget=0.0008, max_deployed=2, throughput_cap=0.7)
ALL_LIVE = replace(LIMITS, max_deployed=3)
LEARNERS = [name for name in RIVALS if not name.startswith("litellm")]


def skip_without(module: str) -> None:
    """Leave the test out; an import here would come before LiteLLM is told to stay offline."""
    if importlib.util.find_spec(module) is None:
        pytest.skip("left out: stageroute[rivals] is not installed")


def made(name: str, stream: Stream, limits: Limits = LIMITS) -> Policy:
    """Make a rival, or leave the test out."""
    skip_without(MODULES[name.split("-")[0]][0])
    return make_policy(name, Setting(stream, limits, 10, 3))


def run(name: str, stream: Stream, limits: Limits = LIMITS) -> ReplayResult:
    result = replay(made(name, stream, limits), stream, 10)
    gc.collect()  # What a rival leaves behind in its own threads and loops is closed by then.
    return result


def easy_table(costs: Sequence[float] = (0.0005, 0.0005, 0.0005)) -> OutcomeTable:
    """Three models at the same or other prices; the last is right 9 times in 10, others twice."""
    generator = np.random.default_rng(5)
    reward = (generator.random((500, 3)) < [0.2, 0.2, 0.9]).astype(float)
    cost = generator.uniform(0.5, 1.5, (500, 3)) * costs
    return OutcomeTable("easy", ("first", "second", "third"), reward, cost)


def task_table() -> OutcomeTable:
    """Two tasks, two models, each right on its own task alone."""
    is_second = np.arange(400) % 2
    reward = np.column_stack([1 - is_second, is_second]).astype(float)
    tasks = np.where(is_second, "writing", "algebra")
    cost = np.full((400, 2), 0.0005)
    return OutcomeTable("tasks", ("algebraist", "writer"), reward, cost, task=tasks)


def test_no_rival_is_imported_before_one_is_made() -> None:
    code = """
import sys
from stageroute.policies import RIVALS, find_policy
assert all(map(find_policy, RIVALS))
print([name for name in sys.modules if name.startswith("stageroute.policies.rivals.")])
import stageroute.cli, stageroute.lab.studies
print([name for name in ("litellm", "mabwiser", "pareto_bandit") if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert answer.stdout.decode().split() == ["[]", "[]"]


@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_that_is_not_installed(
    name: str, small_table: OutcomeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in MODULES[name.split("-")[0]]:
        monkeypatch.setitem(sys.modules, module, None)
    setting = Setting(draw_stream(small_table, 1), LIMITS, 1, 3)
    with pytest.raises(MissingExtraError, match=r"pip install 'stageroute\[rivals\]'"):
        make_policy(name, setting)


def test_the_command_says_so(
    monkeypatch: pytest.MonkeyPatch, cli: Callable[..., tuple[str, str]]
) -> None:
    for module in MODULES["mabwiser"]:
        monkeypatch.setitem(sys.modules, module, None)
    arguments = ["bench", "--queries", "500", "--seeds", "1", "--workers", "1", "--no-progress"]
    output, errors = cli(*arguments, "--policies", "uniform", "mabwiser-ucb1", status=1)
    assert output == ""
    assert "the comparison with MABWiser needs mabwiser" in errors


def test_the_best_ranked_are_live_and_ties_are_drawn() -> None:
    candidates = np.array([2, 3, 5, 7])
    score = np.array([0.1, 0.7, np.inf, 0.2])
    for seed in range(5):
        generator = np.random.default_rng(seed)
        assert best_ranked(candidates, score, 3, generator) == (3, 5, 7)
        assert best_ranked(candidates, score, 9, generator) == (2, 3, 5, 7)
    generator = np.random.default_rng(0)
    tied = [best_ranked(candidates, np.zeros(4), 2, generator) for _ in range(600)]
    pairs, counts = np.unique(tied, axis=0, return_counts=True)
    assert len(pairs) == 6
    assert counts.min() > 60


def test_contexts_of_tasks(small_table: OutcomeTable) -> None:
    contexts = TaskContexts(task_table(), with_bias=True)
    assert contexts.of_task.tolist() == [[1, 0, 1], [0, 1, 1]]
    assert contexts.of_row(3).tolist() == [0, 1, 1]
    assert contexts.shares().tolist() == [0.5, 0.5]
    for row in (0, 2, 4, 1):
        contexts.count(row)
    assert contexts.shares().tolist() == [0.75, 0.25]
    assert TaskContexts(task_table(), with_bias=False).of_row(3).tolist() == [0, 1]
    constant = TaskContexts(replace(small_table, task=None), with_bias=True)
    assert constant.of_row(7).tolist() == [1.0]


@pytest.mark.parametrize("name", RIVALS)
def test_only_live_models_serve(name: str, small_table: OutcomeTable) -> None:
    stream = draw_stream(small_table, 1, num_queries=600, num_initial=1, retirements={"cheap": 400})
    result = run(name, replace(stream, delay=7))
    is_restricted = name.endswith("-affordable")
    for start, live in zip(result.stage_starts, result.deployments, strict=True):
        candidates = stream.candidates(int(start)).tolist()
        assert set(live) <= set(candidates)
        assert list(live) == sorted(live)
        assert 1 <= len(live) <= 2
        assert is_restricted or len(live) == min(2, len(candidates))
        assert set(result.arm[start : start + 60].tolist()) <= set(live)


@pytest.mark.parametrize("name", LEARNERS)
def test_learners_learn(name: str) -> None:
    stream = draw_stream(easy_table(), 1, num_queries=1_500)
    result = run(name, stream)
    assert (result.arm[750:] == 2).mean() > 0.8
    late = run(name, replace(stream, delay=50))
    assert (late.arm[750:] == 2).mean() > 0.8


@pytest.mark.parametrize("name", ["paretobandit-tasks", "mabwiser-linucb"])
def test_those_with_context_route_by_it(name: str) -> None:
    stream = draw_stream(task_table(), 1, num_queries=600)
    assert run(name, stream).reward[300:].mean() > 0.95


def test_paretobandit_hears_what_its_own_decisions_cost(small_table: OutcomeTable) -> None:
    stream = replace(draw_stream(small_table, 1, num_queries=300), delay=40)
    policy: Any = made("paretobandit", stream)
    result = replay(policy, stream, 1)
    router = policy.router
    asked = list(router.logs)[-300:]  # Before them it was asked for its ranking.
    assert len(router.logs) == 302
    names = [small_table.models[arm] for arm in result.arm]
    assert [log.selected_model for log in asked] == names
    assert [log.cost_usd for log in asked[:260]] == result.cost[:260].tolist()
    assert policy.pacer.n_observations == 260
    # What is on its way at the end is never delivered: these keep its own estimates.
    assert not {log.cost_usd for log in asked[260:]} & set(result.cost[260:].tolist())


def test_paretobandit_keeps_what_it_learnt_of_a_withdrawn_model() -> None:
    stream = draw_stream(easy_table(), 1, num_queries=300)
    policy: Any = made("paretobandit", stream, ALL_LIVE)
    replay(policy, stream, 1)
    bandit, models = policy.router.bandit, stream.table.models
    learnt = [bandit.get_expected_reward(model, np.ones(1)) for model in models]
    policy.offer([0])
    assert {policy.route(0)[0] for _ in range(20)} == {0}
    policy.offer([0, 1, 2])
    assert [bandit.get_expected_reward(model, np.ones(1)) for model in models] == learnt
    assert policy.ranking([0, 1, 2], 2)[0] == 2


def test_mabwiser_hears_the_rewards_of_its_own_decisions(small_table: OutcomeTable) -> None:
    stream = replace(draw_stream(small_table, 1, num_queries=300), delay=40)
    policy: Any = made("mabwiser-ucb1", stream)
    result = replay(policy, stream, 1)
    heard_arm, heard_reward = result.arm[:260], result.reward[:260]
    expectations = policy._bandit.predict_expectations()
    for arm in result.deployments[0]:
        rewards = heard_reward[heard_arm == arm]
        bound = rewards.mean() + np.sqrt(2 * np.log(260) / rewards.size)
        assert expectations[arm] == pytest.approx(bound)


def test_affordable_means_by_the_price(small_table: OutcomeTable) -> None:
    stream = draw_stream(small_table, 1, num_queries=300)
    for budget, expected in ((0.0008, {0, 1}), (0.00005, {0})):
        result = run("mabwiser-thompson-affordable", stream, replace(LIMITS, budget=budget))
        assert set(result.arm.tolist()) == expected


def test_litellm_by_price_takes_the_cheapest() -> None:
    table = easy_table((0.0005, 0.0002, 0.0008))
    result = run("litellm-cost", draw_stream(table, 1, num_queries=300))
    assert set(result.arm.tolist()) == {1}
    assert set(result.deployments) == {(0, 1)}


def test_litellm_shuffles_in_proportion_to_the_caps() -> None:
    limits = Limits(0.001, max_deployed=3, throughput_cap=(0.2, 0.8, 1.0))
    result = run("litellm-shuffle", draw_stream(easy_table(), 1, num_queries=3_000), limits)
    shares = np.bincount(result.arm) / 3_000
    np.testing.assert_allclose(shares, [0.1, 0.4, 0.5], atol=0.03)
    np.testing.assert_allclose(result.probability, np.array([0.1, 0.4, 0.5])[result.arm])


def test_litellm_by_usage_balances_tokens() -> None:
    table = easy_table((0.0005, 0.0002, 0.0008))
    result = run("litellm-usage", draw_stream(table, 1, num_queries=3_000), ALL_LIVE)
    tokens = np.bincount(result.arm, result.cost) / table.mean_cost()
    assert tokens.max() / tokens.min() < 1.05


def test_litellm_is_offline_and_quiet() -> None:
    skip_without("litellm")
    code = """
import socket
def refuse(*arguments, **named):
    raise AssertionError("something reaches for the network")
socket.getaddrinfo = socket.socket.connect = refuse
from stageroute.datasets import routerbench_synthetic
from stageroute.policies import Limits, Setting, make_policy
from stageroute.replay import replay
from stageroute.datasets.streams import draw_stream
stream = draw_stream(routerbench_synthetic(), 0, num_queries=60)
for name in ("litellm-shuffle", "litellm-cost", "litellm-usage"):
    replay(make_policy(name, Setting(stream, Limits(0.001), 2, 0)), stream, 2)
"""
    command = [sys.executable, "-W", "error", "-c", code]
    answer = subprocess.run(command, capture_output=True, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, b"", b"")
