"""Money is what was billed: late bills, corrections, bills above the list, start costs, budgets."""

import random
from typing import Any

import pytest

from stageroute import HardLimit, Model, Price, StageRouter, Tokens, errors


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


def test_bills_teach_their_ratio_to_the_list_so_that_price_changes_apply() -> None:
    router = _router(Model("a", price=Price(1, 10)))
    tokens, list_price = (200_000, 1_000), 0.21
    for _ in range(50):
        router.observe(router.route(), tokens=tokens, cost=2 * list_price)
    state = router.state("a")
    assert state.cost_mean == pytest.approx(2 * list_price)
    assert state.expected_tokens == pytest.approx((*tokens, 0))
    router.update_model("a", price=Price(0.5, 5))
    assert router.state("a").cost_mean == pytest.approx(list_price)
    # Without a bill, tokens are billed at the list again.
    router.observe(router.route(), tokens=tokens)
    assert router.counters.billed == pytest.approx(50 * 2 * list_price + list_price / 2)


@pytest.mark.parametrize("price", [Price(1, 0), Price(0, 2), Price(0, 0, 1)])
def test_a_bill_without_tokens_is_learnt_where_tokens_have_any_price(price: Price) -> None:
    router = _router(Model("a", price=price))
    router.observe(router.route(), tokens=(0, 0), cost=0.01)
    assert router.state("a").cost_mean == pytest.approx(0.01)


def test_a_bill_of_a_model_whose_tokens_are_free_is_counted_as_not_learnt() -> None:
    router = _router(Model("a", price=Price(0, 0)))
    router.observe(router.route(), tokens=(10, 10), cost=0.01)
    assert router.state("a").cost_count == 0
    assert (router.counters.billed, router.counters.costs_without_tokens) == (0.01, 1)


def mean_spend_with_bills_above_list(seed: int, queries: int) -> float:
    """Return the mean bill in budgets, where half are billed twice their list."""
    draw = random.Random(seed)
    models = [Model(f"m{k}", price=Price(1 + k, 5 + 5 * k)) for k in range(4)]
    router = _router(*models, budget=0.03, stage_queries=500, seed=seed)
    for _ in range(queries):
        decision = router.route()
        number = int(decision.model[1])
        tokens = Tokens(draw.randrange(2_000, 18_000), draw.randrange(100, 900))
        bill = models[number].price.bill(tokens) * (2 if number % 2 else 1)  # type: ignore[union-attr]
        reward = float(draw.random() < 0.5 + 0.1 * number)
        router.observe(decision, tokens=tokens, cost=bill, reward=reward)
    return router.counters.billed / queries / 0.03


def test_an_average_budget_holds_with_bills_twice_the_list_price() -> None:
    assert all(mean_spend_with_bills_above_list(seed, 3_000) <= 1.01 for seed in range(3))
