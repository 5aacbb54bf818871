"""Money is what was billed: late bills, corrections, bills above the list, start costs, budgets."""

from typing import Any

import pytest

from stageroute import HardLimit, Model, Price, StageRouter, errors


def _router(*models: Model, **settings: Any) -> StageRouter:
    given: dict[str, Any] = {"budget": 1.0, "max_deployed": len(models), "seed": 1} | settings
    return StageRouter(models, **given)


def test_a_late_bill_replaces_what_a_failure_was_assumed_to_cost() -> None:
    model = Model("a", expected_cost=0.01, max_cost=1.0)
    router = _router(model, hard_limits=[HardLimit(10, per="total")])
    decision = router.route()
    router.fail(decision, "timeout")
    assert router.counters.billed == 0.01
    router.observe(decision, cost=0.5)
    assert router.counters.billed == router.limits[0].committed == 0.5
    assert router.counters.corrected == 1
    with pytest.raises(errors.AlreadyObservedError):
        router.observe(decision, cost=0.5)


def test_a_bill_is_corrected_and_refunded() -> None:
    router = _router(Model("a", max_cost=1.0), hard_limits=[HardLimit(10, per="total")])
    decision = router.route()
    with pytest.raises(errors.InvalidInputError, match="no bill that could be corrected"):
        router.correct(decision, cost=0.1)
    router.observe(decision, reward=1.0, cost=0.5)
    for cost in (0.75, 0.0, 0.25):
        router.correct(decision, cost=cost)
        assert router.counters.billed == router.limits[0].committed == cost
    assert router.counters.corrected == 3
    assert router.state("a").cost_mean == 0.5
    with pytest.raises(errors.InvalidInputError, match="cost = -1"):
        router.correct(decision, cost=-1.0)
    with pytest.raises(errors.UnknownDecisionError):
        router.correct(7, cost=0.1)


def test_a_start_that_no_hard_limit_allows_is_not_made() -> None:
    limits = [HardLimit(1.0, "total")]
    with pytest.raises(errors.DeploymentConflictError, match="hard limits leave for start costs"):
        _router(Model("a", max_cost=0.001, start_cost=5.0), stage_queries=100, hard_limits=limits)
    models = [
        Model("small", max_cost=0.001, start_cost=0.25, expected_reward=0.2),
        Model("large", max_cost=0.001, start_cost=5.0, expected_reward=0.9),
        Model("free", max_cost=0.001, expected_reward=0.1),
    ]
    for solver in ("highs", "native"):
        router = _router(*models, stage_queries=100, hard_limits=limits, solver=solver)
        assert router.deployment.models == ("small", "free")
        (plan,) = [c for c in router.plan_stage().candidates if c.model == "large"]
        assert (plan.action, plan.reason) == (
            "idle",
            "kept out by what hard limits leave for start costs",
        )
        for _ in range(100):
            router.observe(router.route(), reward=0.5, cost=0.001)
        assert router.limits[0].committed == pytest.approx(0.35)


def test_what_was_spent_since_the_plan_counts_when_it_is_committed() -> None:
    models = [Model("a", max_cost=0.5), Model("b", max_cost=0.5, start_cost=0.75)]
    router = _router(models[0], max_deployed=2, hard_limits=[HardLimit(1.0, "total")])
    router.add_model(models[1])
    plan = router.plan_stage()
    assert plan.start == ("b",)
    router.observe(router.route(), cost=0.5)
    with pytest.raises(
        errors.HardLimitError, match=r"costs 0\.75 USD, .* 1 USD per total has 0\.5"
    ):
        router.commit(plan)
    assert router.deployment.models == ("a",)
    assert router.limits[0].committed == 0.5


def _mean_spend(router: StageRouter, queries: int) -> float:
    before = router.counters.billed
    for _ in range(queries):
        decision = router.route()
        cost, reward = (0.0001, 0.3) if decision.model == "cheap" else (0.004, 0.9)
        router.observe(decision, reward=reward, cost=cost)
    return (router.counters.billed - before) / queries


@pytest.mark.parametrize(("before", "after"), [(0.002, 0.001), (0.001, 0.002)])
def test_a_new_budget_holds_from_the_next_query_on(before: float, after: float) -> None:
    models = Model("cheap", expected_cost=0.0001), Model("costly", expected_cost=0.004)
    router = _router(*models, budget=before)
    _mean_spend(router, 5_000)
    router.set_budget(after)
    assert router.counters.paced_budget == pytest.approx(after, rel=1e-9)
    assert _mean_spend(router, 3_000) == pytest.approx(after, rel=0.03)


def test_what_was_not_spent_is_carried_over_when_asked() -> None:
    left = {}
    for carry in (False, True):
        router = _router(Model("a", expected_cost=0.001), budget=0.002)
        for _ in range(100):
            router.observe(router.route(), cost=0.001)
        router.set_budget(0.0015, carry=carry)
        left[carry] = router.counters.paced_budget
        router.set_budget(0.002, carry=carry)
        assert router.counters.paced_budget == pytest.approx(left[carry] + 0.0005)
    # 100 x 0.001 USD were left, and come back over 500 queries.
    assert left == pytest.approx({False: 0.0015, True: 0.0015 + 0.1 / 500})


def test_a_budget_of_nothing_means_free_models_only() -> None:
    models = Model("free", price=Price(0, 0)), Model("paid", price=Price(1, 2)), Model("new")
    router = _router(*models)
    router.observe(router.route(allowed=["new"]), reward=1.0, cost=0.1)
    router.set_budget(0.0)
    assert {router.route().model for _ in range(50)} == {"free"}
    router.retire_model("free")
    with pytest.raises(errors.ExcludedError, match="or a budget of 0"):
        router.route()
    router.set_budget(1.0)
    assert router.route().model in {"paid", "new"}
    assert _router(models[0], models[1], budget=0.0).route().model == "free"
