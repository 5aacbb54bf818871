"""Settings of a router in service: how they change, and how code and journal are reconciled."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import router_world
from in_threads import wait_until
from stageroute import FailureEffect, Fleet, HardLimit, Health, Model, StageRouter
from stageroute.errors import HardLimitError, InvalidInputError, ModelsDownError

make = partial(router_world.make, models=[Model("a", max_cost=1.0), Model("b", max_cost=1.0)])


def serve(router: StageRouter, queries: int, cost: float = 0.5) -> int:
    """Serve queries until one is refused; return how many were served."""
    for served in range(queries):
        try:
            router.observe(router.route(), reward=0.5, cost=cost)
        except HardLimitError:
            return served
    return queries


CHANGES: list[tuple[str, Any]] = [
    ("hard_limits", [HardLimit(20.0, "day")]),
    ("max_deployed", 1),
    ("fleet", Fleet(forbidden=("b",))),
    ("health", Health(failures=7)),
    ("stage_queries", 500),
    ("stage_seconds", 100.0),
    ("pacing_horizon", 1_000.0),
    ("pacing_horizon", None),
    ("open_decisions", 16),
    ("max_age", 60.0),
    ("on_lost_slot", "redeploy"),
    ("solver", "native"),
    ("confidence", "kl"),
    ("budget", 0.5),
]


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_every_setting_changes_in_service_and_at_restart(
    name: str, value: Any, journal_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = [HardLimit(10.0, "day")]
    with make(journal=journal_path, hard_limits=limits) as router:
        serve(router, 10)
        before = router.counters
        router.configure(**{name: value})
        changed = router.settings
        assert router.counters.costs == before.costs
        assert router.limits[0].committed == 5.0
        committed = router.limits[0].committed
    # The code still says what it said: what was set in service stays. Then it says something new.
    for given, told in (({}, True), ({name: value}, False), ({}, True)):
        caplog.clear()
        with make(journal=journal_path, **({"hard_limits": limits} | given)) as router:
            is_new = told and router.counters.queries > 10
            assert (getattr(router.settings, name) == getattr(changed, name)) is not is_new
            assert (f": {name} is " in caplog.text) == told
            assert router.limits[0].committed == committed
            serve(router, 1)
            router.advance_stage()
            serve(router, 1)
            committed = router.limits[0].committed


def test_a_limit_goes_on_from_what_was_spent() -> None:
    router = make(hard_limits=[HardLimit(10.0, "day")])
    assert serve(router, 100) == 19
    router.configure(hard_limits=[HardLimit(12.0, "day", "refuse"), HardLimit(1.0, "hour")])
    assert [limit.committed for limit in router.limits] == [9.5, 0.0]
    assert serve(router, 100) == 1
    router.configure(hard_limits=[HardLimit(12.0, "day")])
    assert serve(router, 100) == 3
    router.configure(hard_limits=())
    assert serve(router, 100) == 100


def test_of_open_decisions_the_latest_are_kept() -> None:
    router = make()
    decisions = [router.route() for _ in range(40)]
    router.configure(open_decisions=16)
    for decision in decisions[-16:]:
        router.observe(decision, cost=0.001)
    assert (router.counters.evicted, router.counters.costs) == (24, 16)
    router.configure(open_decisions=64)
    for decision in decisions[-16:]:
        router.observe(decision, reward=1.0)
    assert router.counters.rewards == 16


def test_stages_end_as_they_are_set_to_end() -> None:
    router = make()
    serve(router, 100)
    assert router.deployment.stage == 1
    router.configure(stage_queries=10)
    serve(router, 11)
    wait_until(lambda: router.deployment.stage == 2)
    router.configure(stage_queries=None)
    stage = router.deployment.stage
    serve(router, 100)
    assert router.deployment.stage == stage
    router.configure(stage_seconds=0.01)
    wait_until(lambda: router.deployment.stage > stage)
    router.close()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"seed": 3}, "seed = 3: cannot be changed"),
        ({"colour": 3}, "colour = 3: is no setting"),
        ({"max_deployed": 0}, "max_deployed = 0"),
        ({"hard_limits": [HardLimit(1.0, "day")]}, "max_cost"),
        ({"open_decisions": 2**40}, "open_decisions"),
    ],
)
def test_what_cannot_be_set_changes_nothing(changes: dict[str, Any], match: str) -> None:
    router = make(models=[Model("a", max_cost=1.0), "b"])
    before = router.settings
    with pytest.raises(InvalidInputError, match=match):
        router.configure(**changes)
    assert router.settings == before
    serve(router, 10)


def test_what_differs_of_models_is_told_and_stays(
    journal_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with make(journal=journal_path) as router:
        router.update_model("a", max_cost=0.5)
    caplog.set_level(logging.WARNING)
    with make(models=[Model("a", max_cost=1.0)], journal=journal_path, max_deployed=2) as router:
        assert router.models[0].max_cost == 0.5
    assert "max_cost=0.5" in caplog.text
    assert "model 'b' is not among the models here" in caplog.text


def test_a_cooldown_can_be_ended(journal_path: Path) -> None:
    clock = [1e9]
    made = partial(make, models=["a"], max_deployed=1, journal=journal_path, clock=lambda: clock[0])
    with made() as router:
        router.fail(router.route(), "rate_limit", retry_after=100.0)
        assert router.state("a").health == "paused"
        with pytest.raises(ModelsDownError) as error:
            router.route()
        assert error.value.retry_after == 100.0
        router.end_cooldown("a")
        assert router.state("a").health == "healthy"
        router.route()
    with made() as router:
        assert router.counters.queries == 2


def test_failures_have_names_of_their_own() -> None:
    effect = FailureEffect(0.0, "nothing", "none")
    router = make(failures={"blocked_by_policy": effect})
    router.fail(router.route(), "blocked_by_policy")
    router.fail(router.route(), "cancelled")
    counters = router.counters
    assert (counters.failures["blocked_by_policy"], counters.failures["cancelled"]) == (1, 1)
    assert counters.rewards == 1
    assert all(router.state(model.name).answer_chance == 1.0 for model in router.models)
    with pytest.raises(InvalidInputError, match=r'"gone": must be one of .*"blocked_by_policy"'):
        router.fail(router.route(), "gone")
    # Counted reasons stay; others come behind them.
    with pytest.raises(InvalidInputError, match="must stay, in their order"):
        router.configure(failures={})
