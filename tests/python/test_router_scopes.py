"""Limits and budgets of a model, a provider, a pool: what their models take together."""

import random
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stageroute import Fleet, HardLimit, Model, Price, StageRouter
from stageroute.errors import (
    HardLimitError,
    InvalidInputError,
    RateLimitedError,
    RefusedError,
    StageRouteError,
)

MODELS = (
    Model("a", provider="acme", pool="account", max_cost=0.5, expected_reward=0.9),
    Model("b", provider="acme", max_cost=0.5, expected_reward=0.8),
    Model("c", provider="other", pool="account", max_cost=0.5, expected_reward=0.1),
)


def _router(*models: Model, **settings: Any) -> StageRouter:
    given: dict[str, Any] = {"budget": 9.0, "max_deployed": len(models), "seed": 1} | settings
    return StageRouter(models, **given)


@pytest.mark.parametrize(
    ("scope", "members"), [("acme", {"a", "b"}), ("account", {"a", "c"}), ("b", {"b"})]
)
def test_a_prepaid_credit_is_never_exceeded_and_others_go_on(
    scope: str, members: set[str], tmp_path: Path
) -> None:
    router = _router(*MODELS, hard_limits=[HardLimit(5.0, "total", scope=scope)])
    spent: dict[str, float] = {}
    for k in range(200):
        decision = router.route()
        cost = 0.5 if k % 3 else 0.25
        router.observe(decision, cost=cost, reward=0.5)
        spent[decision.model] = spent.get(decision.model, 0.0) + cost
        if k == 100:
            router.snapshot(tmp_path / "snapshot")
            router = StageRouter.restore(tmp_path / "snapshot")
    assert sum(spent.get(name, 0.0) for name in members) <= 5.0
    assert sum(spent.values()) > 20.0
    with suppress(HardLimitError):
        while True:
            decision = router.route(allowed=sorted(members))
            spent[decision.model] += 0.5
    assert sum(spent.get(name, 0.0) for name in members) <= 5.0


@pytest.mark.parametrize("what", ["requests", "tokens"])
def test_models_of_a_pool_share_a_minute(what: str) -> None:
    now = [1_800_000_000.0]
    models = [
        Model(name, pool="account", price=Price(1, 1), max_tokens=1_000) for name in ("a", "b")
    ]
    limits: dict[str, Any] = {"requests_per_minute": {"account": 60}}
    if what == "tokens":
        limits = {"tokens_per_minute": {"account": 60_000}}
    router = _router(*models, fleet=Fleet(**limits), clock=lambda: now[0])
    sent: list[float] = []
    for _ in range(600):
        now[0] += 0.3
        try:
            decision = router.route(tokens=(900, 100))
        except RateLimitedError:
            continue
        router.observe(decision, tokens=(900, 100), reward=0.5)
        sent.append(now[0])
    assert len(sent) > 120
    for start in sent:
        assert sum(start <= at < start + 60.0 for at in sent) <= 60


@pytest.mark.parametrize("scope", ["large", "acme", "account"])
def test_an_average_budget_of_some_models_holds(scope: str) -> None:
    models = [
        Model("large", provider="acme", pool="account", expected_cost=0.01),
        Model("small", expected_cost=0.001),
    ]
    router = _router(*models, budget=0.02, fleet=Fleet(budgets={scope: 0.002}))
    spent = 0.0
    for _ in range(3_000):
        decision = router.route()
        is_large = decision.model == "large"
        cost = 0.01 if is_large else 0.001
        spent += cost if is_large else 0.0
        router.observe(decision, cost=cost, reward=0.9 if is_large else 0.3)
    assert 0.95 <= spent / 3_000 / 0.002 <= 1.01


def test_a_start_counts_in_the_limit_of_its_provider() -> None:
    models = [
        Model("a", provider="acme", max_cost=0.01, start_cost=3.0, expected_reward=0.9),
        Model("b", max_cost=0.01, expected_reward=0.1),
    ]
    limit = HardLimit(2.0, "total", scope="acme")
    with pytest.raises(StageRouteError, match="hard limit"):
        _router(*models, hard_limits=[limit], stage_queries=100)


def test_no_thread_and_no_change_exceeds_a_limit_of_some_models() -> None:
    limits = [HardLimit(3.0, "total", scope="acme"), HardLimit(9.0, "total")]
    router = _router(*MODELS, hard_limits=limits)
    spent: list[tuple[str, float]] = []

    def work(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(200):
            try:
                decision = router.route()
            except RefusedError:
                return
            cost = draw.choice([0.0, 0.125, 0.25])
            if draw.random() < 0.2:
                router.fail(decision, "error", cost=cost)
            else:
                router.observe(decision, cost=cost)
            spent.append((decision.model, cost))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for usd in (8.5, 8.0):
        router.configure(hard_limits=[limits[0], HardLimit(usd, "total")])
    for thread in threads:
        thread.join()
    assert sum(cost for name, cost in spent if name != "c") <= 3.0
    assert sum(cost for _, cost in spent) <= 9.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hard_limits": [HardLimit(1, "day", scope="acme")]}, "max_cost of model 'x' = None"),
        ({"fleet": Fleet(tokens_per_minute={"acme": 5})}, "max_tokens of model 'x' = None"),
    ],
)
def test_limits_of_some_models_must_foresee_the_worst(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        _router(Model("x", provider="acme"), **settings)
    router = _router(Model("y"), **settings)
    with pytest.raises(InvalidInputError, match=message):
        router.add_model(Model("x", provider="acme"))


def test_what_is_no_scope_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="scope = ''"):
        HardLimit(1, "day", scope="")
    with pytest.raises(InvalidInputError, match="must be 'cheapest'"):
        HardLimit(1, "day", "refuse", scope="acme")
    with pytest.raises(InvalidInputError, match=r"budgets\['acme'\] = -1"):
        Fleet(budgets={"acme": -1})
    bad: Any = [1]
    with pytest.raises(InvalidInputError, match="requests_per_minute = "):
        Fleet(requests_per_minute=bad)
