"""Models come, pause, retire and come back while service goes on."""

import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stageroute import Fleet, HardLimit, Model, StagePlan, StageRouter, errors
from stageroute.router.roster import Roster


def serve(router: StageRouter, queries: int = 1) -> list[str]:
    served = []
    for _ in range(queries):
        decision = router.route()
        router.observe(decision, reward=1.0, cost=0.001)
        served.append(decision.model)
    return served


def a_router(*names: Model | str, **settings: Any) -> StageRouter:
    usual: dict[str, Any] = {"controller": "inline", "stage_queries": 100}
    return StageRouter(names, budget=0.01, max_deployed=2, seed=1, **usual | settings)


@pytest.mark.parametrize("slot", ["redeploy", "leave_empty"])
@pytest.mark.parametrize("query_between", [False, True])
def test_the_only_live_model_is_swapped(slot: str, query_between: bool) -> None:
    router = a_router("old", on_lost_slot=slot)
    serve(router, 50)
    router.retire_model("old")
    if query_between:
        with pytest.raises(errors.NoModelError):
            router.route()
    router.add_model("new")
    assert serve(router, 2) == ["new", "new"]
    assert router.deployment.models == ("new",)


def test_the_only_live_model_is_swapped_in_the_background() -> None:
    with a_router("old", controller="background", on_lost_slot="leave_empty") as router:
        serve(router, 5)
        router.retire_model("old")
        router.add_model("new")
        ends = time.monotonic() + 10.0
        while router.deployment.models != ("new",) and time.monotonic() < ends:
            time.sleep(0.001)
        assert serve(router) == ["new"]


def test_a_process_that_ended_with_nothing_live_starts_with_a_stage(tmp_path: Path) -> None:
    router = StageRouter(
        ["old", "new"], budget=0.01, max_deployed=1, stage_queries=100, controller="inline"
    )
    (live,) = router.deployment.models
    # As if it was killed before the stage that this makes due.
    router._control.retire_arm(router._control.arm(live))
    router.snapshot(tmp_path / "snapshot")
    again = StageRouter.restore(tmp_path / "snapshot", controller="inline")
    other = "new" if live == "old" else "old"
    assert again.deployment.models == (other,)
    assert serve(again) == [other]


def test_a_model_whose_start_fails_is_started_at_the_next_query() -> None:
    starts = []

    def start(plan: object) -> None:
        starts.append(plan)
        if len(starts) == 1:
            raise RuntimeError("no room for it yet")

    router = a_router("old", controller="background", start_models=start)
    with router:
        router.retire_model("old")
        router.add_model("new")
        ends = time.monotonic() + 10.0
        while router.deployment.models != ("new",) and time.monotonic() < ends:
            with suppress(errors.NoModelError):
                router.route()
            time.sleep(0.001)
        assert serve(router) == ["new"]
    assert len(starts) == 2


def test_a_paused_model_comes_back_with_what_was_learnt(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    with a_router("a", "b", journal=path) as router:
        serve(router, 150)
        router.pause("a")
        before = router.state("a")
        assert before.is_retired
        assert before.reward_count > 0
        assert set(serve(router, 50)) == {"b"}
        with pytest.raises(errors.UnknownModelError, match="resume brings it back"):
            router.pause("a")
    with a_router("a", "b", journal=path) as router:
        assert set(serve(router, 150)) == {"b"}, "a restart resumes nothing"
        router.resume("a")
        after = router.state("a")
        assert (after.reward_count, after.reward_mean) == (before.reward_count, before.reward_mean)
        with pytest.raises(errors.InvalidInputError, match="in service"):
            router.resume("a")
        assert "a" in serve(router, 400)
    with a_router("a", "b", journal=path) as router:
        assert not router.state("a").is_retired
        assert "a" in router.deployment.models


def test_a_retired_name_comes_back_as_another_model(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    with a_router("a", "b", journal=path) as router:
        serve(router, 150)
        late = router.route(allowed=["a"])
        router.retire_model("a")
        router.add_model(Model("a", expected_reward=0.5, expected_reward_weight=7))
        router.observe(late, reward=1.0, cost=0.002)
        assert router.counters.billed == pytest.approx(0.152), "the old one is still billed"
        state = router.state("a")
        assert (state.reward_count, state.cost_count) == (7, 0), "and teaches the new one nothing"
        with pytest.raises(errors.InvalidInputError, match="of that name already"):
            router.add_model("a")
        router.retire_model("a")
        router.resume("a")
        router.update_model("a", throughput_cap=0.9)
        state = router.state("a")
        router.snapshot(tmp_path / "snapshot")
    restored = StageRouter.restore(tmp_path / "snapshot")
    with a_router("a", "b", journal=path) as router:
        for again in (router, restored):
            assert again.state("a") == state
            assert [model.name for model in again.models] == ["a", "b", "a"]
            assert [model.throughput_cap for model in again.models] == [1.0, 1.0, 0.9]
        assert "a" in serve(router, 200)


def test_what_hard_limits_cannot_foresee_does_not_come_back() -> None:
    router = a_router("a", Model("b", max_cost=0.01))
    router.pause("a")
    router.configure(hard_limits=[HardLimit(1.0, per="day")])
    with pytest.raises(errors.InvalidInputError, match="max_cost"):
        router.resume("a")
    assert router.state("a").is_retired


def test_an_earlier_live_set_is_live_again(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    with a_router("a", "b", "c", journal=path, fleet=Fleet(forbidden=["c"])) as router:
        serve(router, 50)
        router.configure(fleet=Fleet(forbidden=["b"], max_changes=0))
        with pytest.raises(errors.InvalidInputError, match="another set"):
            router.rollback()
        router.configure(fleet=Fleet(forbidden=["b"]))
        assert router.advance_stage().models == ("a", "c")
        serve(router, 50)
        with pytest.raises(errors.InvalidInputError, match="forbidden"):
            router.rollback()
        router.configure(fleet=Fleet(pinned=["c"], max_changes=0))
        learnt = [router.state(name).reward_count for name in "abc"]
        again = router.rollback()
        assert (again.stage, again.models) == (3, ("a", "b"))
        assert [router.state(name).reward_count for name in "abc"] == learnt
        assert [d.models for d in router.deployments] == [("a", "b"), ("a", "c"), ("a", "b")]
        assert "c" not in serve(router, 99)
        assert router.deployment.stage == 3, "a whole stage, unless it is ended before"
        deployments = router.deployments
    with a_router("a", "b", "c", journal=path, fleet=Fleet(forbidden=["c"])) as router:
        assert router.deployments == deployments
        assert router.rollback(2).models == ("a", "c")


def test_a_stage_that_cannot_be_live_again_is_refused_by_name() -> None:
    router = a_router("a", "b", "c", fleet=Fleet(forbidden=["c"]))
    router.configure(fleet=Fleet(forbidden=["b"]))
    router.advance_stage()
    with pytest.raises(errors.InvalidInputError, match="are remembered: 1, 2"):
        router.rollback(3)
    router.configure(fleet=Fleet())
    router.pause("b")
    with pytest.raises(errors.InvalidInputError, match="b has retired or failed: resume"):
        router.rollback(1)
    assert router.deployment.stage == 2
    router.resume("b")
    for _ in range(40):
        router.rollback()
    assert [d.stage for d in router.deployments] == list(range(11, 43)), "the last 32"


def test_a_rollback_starts_what_it_needs() -> None:
    plans: list[StagePlan] = []
    settings = {"controller": "background", "start_models": plans.append}
    with a_router("a", "b", "c", fleet=Fleet(forbidden=["c"]), **settings) as router:
        router.configure(fleet=Fleet(forbidden=["b"]))
        router.advance_stage()
        router.configure(fleet=Fleet())
        router.rollback()
    assert [(plan.start, plan.stop, plan.stay) for plan in plans] == [(("b",), ("c",), ("a",))]


def test_a_newcomer_with_late_rewards_serves_few_queries_first(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    late = []
    with a_router("old", journal=path, canary=0.05) as router:
        serve(router, 200)
        router.add_model("new")
        router.advance_stage()
        for _ in range(1000):
            decision = router.route()
            if decision.model == "new":
                late.append(decision)
            else:
                router.observe(decision, reward=0.7, cost=0.001)
        assert 25 <= len(late) <= 80
        assert router.state("new").throughput_share == 0.05
        router.snapshot(tmp_path / "snapshot")
    with a_router("old", journal=path, canary=0.05) as router:
        for decision in late[:25]:
            router.observe(decision, reward=1.0, cost=0.001)
        assert router.state("new").throughput_share == pytest.approx(0.05 + 0.95 / 2)
        with pytest.raises(errors.InvalidInputError, match="canary"):
            router.configure(canary=0.0)
    restored = StageRouter.restore(tmp_path / "snapshot", canary=0.05)
    assert restored.state("new").throughput_share == 0.05


def test_a_roster_is_what_a_tuple_is() -> None:
    rng = random.Random(5)
    items: list[int] = []
    roster: Roster[int] = Roster()
    for step in range(700):
        at = len(items) if step % 2 or not items else rng.randrange(len(items))
        before, kept = roster, tuple(items)
        items[at : at + 1] = [step]
        roster = roster.put(at, step)
        assert (len(before), tuple(before)) == (len(kept), kept), "the one before is as it was"
        assert (len(roster), tuple(roster), roster[at]) == (len(items), tuple(items), step)
    assert tuple(Roster(items)) == tuple(items)
    assert (roster[-1], roster[100:300:7]) == (items[-1], tuple(items[100:300:7]))
    with pytest.raises(IndexError):
        roster[len(items)]
