"""StageRouter as a service uses it."""

import dataclasses
import inspect
import logging
import math
import time
from functools import partial
from typing import Any

import numpy as np
import pytest

import router_world
from in_threads import own_threads, wait_until
from router_world import serve
from stageroute import Confidence, Model, StageRouter
from stageroute.config.router import RouterSettings
from stageroute.errors import (
    AlreadyObservedError,
    DecisionError,
    ExpiredDecisionError,
    InvalidInputError,
    NoModelError,
    SolverError,
    UnknownDecisionError,
    UnknownModelError,
)

make = partial(router_world.make, models=[Model("a", 0.5), Model("b", 0.5), Model("c", 0.5)])


def test_decision_fields() -> None:
    router = make()
    first, second = router.route(), router.route()
    assert (first.id, second.id) == (0, 1)
    assert first.model in {"a", "b", "c"}
    assert 0.0 < first.probability <= 1.0
    assert first.stage == 1
    assert repr(first).startswith(f'Decision(id=0, model="{first.model}", probability=0.5')


def served_in_turn(seed: int | None) -> tuple[str, ...]:
    router = make(seed=seed)
    return tuple(router.route().model for _ in range(60))


def test_same_seed_same_decisions_and_other_seeds_differ() -> None:
    assert served_in_turn(3) == served_in_turn(3)
    assert served_in_turn(3) != served_in_turn(4)
    # Without a seed, each router has its own.
    assert len({served_in_turn(None) for _ in range(3)}) > 1


def test_numpy_numbers_are_numbers() -> None:
    half: Any = np.float32(0.5)
    zero: Any = np.int64(0)
    models = [Model("a", half), Model("b", np.float64(1.0), np.float64(0.001))]
    router = make(models=models, budget=half, max_deployed=np.int64(2), seed=np.uint8(1))
    assert router.route().id == 0
    router.observe(zero, reward=half, cost=zero)
    assert router.counters.costs == 1


@pytest.mark.parametrize(
    ("decision", "given", "error", "message"),
    [
        (5, {"reward": 1.5}, InvalidInputError, r"reward = 1.5: a reward must be .* in \[0, 1\]"),
        (5, {"reward": math.nan}, InvalidInputError, r"reward = NaN: a reward must be a number"),
        (5, {"cost": -1.0}, InvalidInputError, r"cost = -1: a cost must be .* not negative"),
        (5, {"cost": math.inf}, InvalidInputError, r"cost = inf: a cost must be finite"),
        (5, {"cost": 1e10}, InvalidInputError, r"cost = 10000000000: a cost must .* at most 1e9"),
        (5, {}, InvalidInputError, "needs a reward, a cost, or tokens; got none of them"),
        (5, {"reward": "good"}, InvalidInputError, "reward = .good.: must be a number"),
        ("0", {"reward": 0.5}, InvalidInputError, "must be a Decision or its id"),
        (99, {"reward": 0.5}, UnknownDecisionError, "decision 99 was never issued"),
        (3, {"cost": 0.1}, AlreadyObservedError, "the cost of decision 3 was already"),
        (0, {"cost": 0.1}, ExpiredDecisionError, "decision 0 has expired: only the last 4"),
    ],
)
def test_bad_feedback_changes_nothing(
    decision: Any, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    router = make(open_decisions=4)
    for _ in range(6):
        router.route()
    router.observe(3, cost=0.0001)
    before = router.counters, [router.state(name) for name in "abc"]
    with pytest.raises(error, match=message):
        router.observe(decision, **given)
    # That feedback was refused is counted, and nothing else has changed.
    after = dataclasses.replace(router.counters, unknown=0, repeated=0, expired=0)
    assert (after, [router.state(name) for name in "abc"]) == before


def test_observe_many_is_all_or_nothing() -> None:
    router = make()
    ids = np.array([router.route().id for _ in range(10)])
    rewards = np.full(10, 0.5)
    rewards[7] = 2.0
    for batch, values, error, message in (
        (ids, {"rewards": rewards}, InvalidInputError, "element 7: reward = 2.*nothing of"),
        ([0, 1, 0], {"rewards": [0.1, 0.1, 0.1]}, AlreadyObservedError, "element 2"),
        ([0], {"costs": [0.1, 0.2]}, InvalidInputError, "costs has 2 elements; it must have 1"),
        ([0], {}, InvalidInputError, "got neither"),
    ):
        with pytest.raises(error, match=message):
            router.observe_many(batch, **values)
        assert (router.counters.rewards, router.counters.costs) == (0, 0)
    router.observe_many(ids, rewards=np.full(10, 0.5), costs=np.full(10, 0.001))
    assert (router.counters.rewards, router.counters.costs) == (10, 10)


def test_observe_many_equals_one_by_one() -> None:
    one, many = make(seed=8), make(seed=8)
    ids = [one.route().id for _ in range(40)]
    assert [many.route().id for _ in range(40)] == ids
    generator = np.random.default_rng(0)
    rewards, costs = generator.random(40), generator.random(40) * 0.001
    for k, reward, cost in zip(ids, rewards, costs, strict=True):
        one.observe(k, reward=reward, cost=cost)
    # A strided view, to be copied on the way.
    many.observe_many(ids, rewards=np.repeat(rewards, 2)[::2], costs=costs.tolist())
    assert one.counters == many.counters
    assert [one.state(m) for m in "abc"] == [many.state(m) for m in "abc"]
    assert [one.route().model for _ in range(99)] == [many.route().model for _ in range(99)]


def test_stages_by_query_count() -> None:
    router = make(stage_queries=10, controller="inline")
    stages = [router.route().stage for _ in range(35)]
    assert stages == [1 + k // 10 for k in range(35)]


def test_stages_by_the_clock_and_close() -> None:
    with make(stage_seconds=0.02) as router:
        wait_until(lambda: router.route().stage >= 3)
    wait_until(lambda: "stageroute-stages" not in own_threads())
    stage = router.route().stage
    time.sleep(0.06)
    assert router.route().stage == stage


def test_new_models_can_be_live_from_the_next_stage() -> None:
    router = make(max_deployed=4)
    with pytest.raises(InvalidInputError, match="has a model of that name already"):
        router.add_model("a")
    router.add_model(Model("d", 0.5))
    assert "d" not in router.deployment.models
    assert "d" in router.advance_stage().models
    assert [model.name for model in router.models] == ["a", "b", "c", "d"]


def test_a_retired_model_serves_no_more_and_still_learns() -> None:
    router = make(max_deployed=3, models=[Model(name) for name in "abc"])
    decision = router.route()
    router.retire_model(decision.model)
    assert serve(router, 50)[decision.model] == 0
    router.observe(decision, reward=1.0)
    state = router.state(decision.model)
    assert state.reward_count == 1
    assert state.is_retired
    assert not state.is_live
    assert decision.model not in router.advance_stage().models
    with pytest.raises(UnknownModelError, match="has retired; resume"):
        router.retire_model(decision.model)
    with pytest.raises(UnknownModelError, match=r"name = 'x': no such model.*knows a, b, c"):
        router.state("x")


def test_retiring_every_model() -> None:
    router = make(models=["a"], max_deployed=1, stage_queries=5)
    router.retire_model("a")
    with pytest.raises(NoModelError, match="no arm is live"):
        router.route()
    with pytest.raises(NoModelError, match="every model has retired"):
        router.advance_stage()
    router.add_model("b")
    assert router.advance_stage().models == ("b",)
    assert router.route().model == "b"


def test_a_failed_boundary_keeps_the_old_set(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    router = make(stage_queries=10, controller="inline")
    serve(router, 10)

    def fail(*_: object, **__: object) -> None:
        raise SolverError("no proven optimum")

    monkeypatch.setattr("stageroute.deployment.plan.solve_deployment", fail)
    with caplog.at_level(logging.WARNING, logger="stageroute"):
        assert router.route().stage == 1
    assert "no proven optimum" in caplog.text
    assert router.counters.failed_stages == 1
    with pytest.raises(SolverError):
        router.advance_stage()
    monkeypatch.undo()
    serve(router, 9)
    assert router.route().stage == 2


def test_an_infeasible_budget_serves_the_cheapest_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    models = [Model("costly", expected_cost=3.0), Model("cheap", expected_cost=2.0)]
    with caplog.at_level(logging.WARNING, logger="stageroute"):
        router = make(models=models, budget=1.0)
    assert router.deployment.status == "budget_infeasible"
    assert "budget_infeasible" in caplog.text
    decision = router.route()
    assert decision.model == "cheap"
    assert decision.budget_price == np.inf
    assert router.counters.budget_infeasible == 1


def test_the_paper_family_is_as_published_by_default() -> None:
    paper = Confidence("paper")
    assert (paper.gamma, paper.growth, paper.min_visits) == (0.1, 0.0, 0)
    assert Confidence("paper", gamma=0.3).gamma == 0.3
    assert Confidence().min_visits > 0


def test_signatures_name_every_setting() -> None:
    names = list(inspect.signature(StageRouter).parameters)
    assert names[:3] == ["models", "budget", "max_deployed"]
    assert {field.name for field in dataclasses.fields(RouterSettings)} < set(names)
    assert "settings" not in names
    signature = "(self, /, *, allowed=None, max_cost=None, tokens=None)"
    assert str(inspect.signature(StageRouter.route)) == signature
    assert "reward=None" in str(inspect.signature(StageRouter.observe))
    assert issubclass(DecisionError, LookupError)


def test_what_a_model_costs_does_not_depend_on_how_many_there_are() -> None:
    """Names are found in one map, whose look-ups do not compare them one by one."""

    class Name(str):
        comparisons = 0

        def __eq__(self, other: object) -> bool:
            Name.comparisons += 1
            return str(self) == other

        __hash__ = str.__hash__

    router = StageRouter([Model(Name("m0"))], budget=0.001, max_deployed=1, seed=1)
    for number in range(1, 200):
        router.add_model(Model(Name(f"m{number}")))
        router.update_model(Name(f"m{number}"), max_cost=1.0)
        assert router.state(Name(f"m{number}")).model.max_cost == 1.0
        if number > 100:
            router.retire_model(Name(f"m{number}"))
    router.advance_stage()
    # Each is looked up a few times; a scan of all names would compare some 100 times per call.
    assert Name.comparisons < 10 * 200


def test_a_stage_is_expected_to_be_as_long_as_the_last_one() -> None:
    router = make()
    assert router.plan_stage().stage_queries == 1_000, "nothing is known of it yet"
    serve(router, 37)
    assert router.plan_stage().stage_queries == 37
    router.advance_stage()
    serve(router, 5)
    assert router.plan_stage().stage_queries == 5
    assert make(stage_queries=250).plan_stage().stage_queries == 250


def test_each_stage_is_warned_of_for_its_own_queries(caplog: pytest.LogCaptureFixture) -> None:
    router = make(models=[Model(name, expected_cost=0.01) for name in "ab"], pacing_horizon=None)
    for stage, queries in enumerate((10, 0, 3), start=1):
        caplog.clear()
        for _ in range(queries):
            router.route()
        assert not caplog.records
        router.advance_stage()
        told = [record.message for record in caplog.records if "decisions" in record.message]
        expected = f"stage {stage}: {queries} decisions were budget_infeasible: no mixture"
        assert [message[: len(expected)] for message in told] == ([expected] if queries else [])
