"""Limits in tokens and in places: what is too large, what waits, what is lost."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stageroute import Model, Price, StageRouter, errors
from stageroute.errors import ExcludedError, InvalidInputError, RateLimitedError


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def _router(*models: Model, **settings: Any) -> tuple[StageRouter, Clock]:
    clock = Clock()
    given: dict[str, Any] = {"budget": 10.0, "max_deployed": len(models), "seed": 1} | settings
    return StageRouter(models, clock=clock, **given), clock


def test_a_limit_in_tokens_must_foresee_the_worst() -> None:
    unknown = Model("a", tokens_per_minute=1_000)
    with pytest.raises(
        InvalidInputError, match="max_tokens of model 'a' = None: a limit in tokens"
    ):
        _router(unknown)
    router, _ = _router(Model("b", tokens_per_minute=1_000, context_window=1_000))
    with pytest.raises(InvalidInputError, match="max_tokens of model 'a'"):
        router.add_model(unknown)
    # One query has reserved the whole minute.
    router.route()
    with pytest.raises(RateLimitedError) as refusal:
        router.route()
    assert refusal.value.retry_after == pytest.approx(60.0, abs=2.0)


def test_a_query_goes_to_models_that_take_it() -> None:
    router, _ = _router(
        Model("small", price=Price(1, 1), context_window=128_000),
        Model("large", price=Price(2, 2), context_window=1_000_000, max_tokens=500_000),
    )
    assert {router.route(tokens=(127_000, 1_000)).model for _ in range(50)} == {"small"}
    assert {router.route(tokens=(127_000, 1_001)).model for _ in range(50)} == {"large"}
    with pytest.raises(ExcludedError, match="501000 tokens, and none takes more than 500000"):
        router.route(tokens=(500_000, 1_000))


def test_a_large_query_is_served_after_waiting() -> None:
    model = Model("a", tokens_per_minute=60_000, burst_seconds=3.0, max_tokens=50_000)
    router, clock = _router(model)
    # Twelve times what comes at once, and still below the limit: it leaves a debt.
    router.route(tokens=(40_000, 0))
    with pytest.raises(RateLimitedError) as refusal:
        router.route(tokens=(15_000, 0))
    wait = refusal.value.retry_after
    assert wait is not None
    assert 36.0 < wait <= 41.0
    clock.now += wait
    router.route(tokens=(15_000, 0))
    with pytest.raises(ExcludedError, match="none takes more than 50000"):
        router.route(tokens=(60_001, 0))
    with pytest.raises(InvalidInputError, match="a query of that size would never fit"):
        router.update_model("a", tokens_per_minute=49_999)


def test_no_minute_sees_more_tokens_than_its_limit() -> None:
    router, clock = _router(Model("a", tokens_per_minute=10_000, max_tokens=9_000))
    sent: list[tuple[float, int]] = []
    for k in range(2_000):
        clock.now += 0.37
        size = (k * 7919) % 9_000
        with suppress(RateLimitedError):
            router.route(tokens=(size, 0))
            sent.append((clock.now, size))
    assert len(sent) > 50
    assert max(size for _, size in sent) > 500 * 10
    for start, _ in sent:
        assert sum(size for at, size in sent if start <= at < start + 60.0) <= 10_000


@pytest.mark.parametrize("restarts", [False, True])
def test_places_of_lost_queries_come_back(restarts: bool, tmp_path: Path) -> None:
    router, clock = _router(Model("a", max_concurrent=2), lost_after=60.0)
    first = router.route()
    clock.now += 20.0
    router.route()
    if restarts:
        router.snapshot(tmp_path / "snapshot")
        router = StageRouter.restore(tmp_path / "snapshot", clock=clock)
    with pytest.raises(RateLimitedError) as refusal:
        router.route()
    assert refusal.value.retry_after is None  # either may answer at any time
    clock.now += 40.0
    assert router.state("a").under_way == 2
    third = router.route()
    assert router.state("a").under_way == 2
    with pytest.raises(RateLimitedError):
        router.route()
    # Its answer still counts, and gives nothing back twice.
    router.observe(first, reward=1.0)
    assert router.state("a").under_way == 2
    router.observe(third, reward=1.0)
    assert router.state("a").under_way == 1


def test_places_are_kept_for_ever_where_that_is_asked_for() -> None:
    router, clock = _router(Model("a", max_concurrent=1), lost_after=None)
    router.route()
    clock.now += 1e7
    with pytest.raises(errors.RateLimitedError) as refusal:
        router.route()
    assert refusal.value.retry_after is None
