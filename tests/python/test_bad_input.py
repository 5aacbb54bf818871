"""Whatever the interface is given: an error of this package, or none.

Values are those that people, JSON, pandas and numpy really send, and some that nobody does.
"""

import contextlib
import math
import random
from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stageroute import (
    ChangeTest,
    Confidence,
    Drift,
    FailureEffect,
    Fleet,
    HardLimit,
    Health,
    JournalSettings,
    Model,
    Price,
    StageRouter,
    Tokens,
    solve_deployment,
    solve_routing_lp,
)
from stageroute.errors import StageRouteError, UnknownDecisionError

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**63, 2**64, -(2**64), 10**400, 10**5000, 0.0, 0.5, 1.0, -0.5,
    1e308, 5e-324, math.nan, math.inf, -math.inf, 0.1j, "", "0", "0.5", "a", "b", "nobody",
    "\ud800", "a\0b", "é" * 300, b"a", b"\xff", Decimal("0.5"), Decimal("1e400"), Decimal("NaN"),
    Decimal("sNaN"), Fraction(1, 3), Fraction(10**400, 3), np.float32(0.5), np.int64(1),
    np.uint64(2**64 - 1), np.bool_(True), np.str_("0.5"), np.array([1.0, 2.0]), np.array(["a"]),
    np.array([[1]]), np.array(1.0), [], ["a"], ["a", 1], [1, 2], [0.5, None], [[1], [1, 2]], (1, 2),
    (1, 2, 3), (900, None), (1, 2, 3, 4), ("a", "b"), {"a"}, {1}, {"a": 1}, {"id": 1}, range(3),
    object(), int, Path("/"), Path("nowhere/at/all"), [10**400], [-1], [2**64], [True],
    ["0.5"],
]  # fmt: skip
HARMLESS = (StageRouteError, OSError)
"""OSError is what a path of no file leads to, as documented."""


class Unhelpful:
    """Fails whatever it is asked for."""

    def __repr__(self) -> str:
        raise ValueError("cannot be shown")

    def __float__(self) -> float:
        raise OverflowError("cannot be a number")

    def __index__(self) -> int:
        raise ZeroDivisionError

    def __len__(self) -> int:
        raise KeyError


VALUES.append(Unhelpful())


def make(**settings: Any) -> StageRouter:
    models = [Model("a", price=Price(1, 2), max_tokens=1e5), Model("b", max_cost=0.5)]
    return StageRouter(models, **({"budget": 1.0, "max_deployed": 2, "seed": 1} | settings))


def calls(router: StageRouter, draw: random.Random) -> list[Callable[[], object]]:
    """Return calls of every method, each with bad values in some places and good ones elsewhere."""

    def some(good: Any) -> Any:
        return draw.choice(VALUES) if draw.random() < 0.6 else good

    try:
        decision: Any = router.route()
    except StageRouteError:  # all are cooling down
        decision = 0
    return [
        lambda: router.route(allowed=some(["a"]), max_cost=some(1.0), tokens=some((10, 20))),
        lambda: router.observe(
            some(decision), reward=some(0.5), cost=some(0.1), tokens=some((1, 2, 0))
        ),
        lambda: router.observe_many(
            some([0]), rewards=some([0.5]), costs=some([0.1]), all_or_none=some(False)
        ),
        lambda: router.fail(some(decision), some("timeout"), cost=some(0.1), retry_after=some(1.0)),
        lambda: router.release(some(decision)),
        lambda: router.state(some("a")),
        lambda: router.update_model(some("a"), max_cost=some(0.5)),
        lambda: router.retire_model(some("nobody")),
        lambda: router.set_budget(some(1.0), carry=draw.random() < 0.5),
        lambda: router.correct(some(decision), some(0.1)),
        lambda: router.commit(some(router.plan_stage())),
        lambda: router.add_model(draw.choice(VALUES)),
        lambda: router.snapshot(draw.choice(VALUES)),
    ]


def test_every_error_of_a_router_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Some of the values are paths.
    monkeypatch.chdir(tmp_path)
    draw = random.Random(1)
    router, refusals = make(open_decisions=64, max_age=1e6), []
    for _ in range(100):
        for call in calls(router, draw):
            counters, state = router.counters, router._control.snapshot()[1]
            try:
                call()
            except HARMLESS as error:
                refusals.append(str(error))
                # That some feedback was refused is counted, and nothing else changes.
                assert router.counters != counters or router._control.snapshot()[1] == state
    assert len(refusals) > 500
    assert max(map(len, refusals)) < 2_000


KINDS: list[tuple[Any, dict[str, Any]]] = [
    (StageRouter, {"models": ["a"], "budget": 1.0, "max_deployed": 1}),
    (Model, {"name": "a"}),
    (Price, {"input": 1.0, "output": 1.0}),
    (HardLimit, {"usd": 1.0, "per": "day"}),
    (FailureEffect, {"reward": 0.5, "charge": "open", "health": "none"}),
    (Health, {}),
    (Drift, {}),
    (ChangeTest, {}),
    (Confidence, {}),
    (Fleet, {}),
    (JournalSettings, {"path": "journal"}),
    (solve_routing_lp, {"reward": [1.0], "cost": [1.0], "throughput_cap": [1.0], "budget": 1.0}),
    (solve_deployment, {"reward": [1.0], "cost": [1.0], "throughput_cap": [1.0], "budget": 1.0,
                        "max_deployed": 1}),
]  # fmt: skip
NAMES: dict[Any, list[str]] = {
    StageRouter: [*StageRouter.__signature__.parameters],  # type: ignore[attr-defined]
    solve_deployment: ["solver", "previous", "current_price", "time_limit", "constraints"],
    solve_routing_lp: [],
}
"""Arguments beside the good ones of what is no dataclass."""


@pytest.mark.parametrize(("kind", "good"), KINDS, ids=lambda kind: getattr(kind, "__name__", ""))
def test_every_error_of_a_setting_is_typed(
    kind: Any, good: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = NAMES[kind] if kind in NAMES else [field.name for field in fields(kind)]
    for name, value in product(dict.fromkeys([*good, *names]), VALUES):
        with contextlib.suppress(*HARMLESS):
            made = kind(**(good | {name: value}))
            if isinstance(made, StageRouter):
                made.close()
            elif kind in (Health, Drift, Confidence, Fleet):
                make(**{kind.__name__.lower(): made}).close()
            elif kind is ChangeTest:
                make(drift=Drift(change_test=made)).close()


def test_decisions_of_another_router_are_refused(tmp_path: Path) -> None:
    first, second = make(), make()
    decision = first.route()
    second.route()
    for call in (second.release, lambda d: second.fail(d, "error"),
                 lambda d: second.observe(d, reward=1.0)):  # fmt: skip
        with pytest.raises(UnknownDecisionError, match="another router made it"):
            call(decision)
    # One that goes on where the first stood takes what that has decided until then, and no more.
    first.snapshot(tmp_path / "snapshot")
    later = first.route()
    third = StageRouter.restore(tmp_path / "snapshot")
    third.route()
    third.observe(decision, reward=1.0)
    with pytest.raises(UnknownDecisionError, match="another router made it"):
        third.observe(later, reward=1.0)


def test_decimals_are_money() -> None:
    usd: Any = Decimal
    model = Model("a", price=Price(usd("0.25"), usd(2)), max_tokens=10**6)
    limit = HardLimit(usd("18.27"), per="day")
    router = StageRouter([model], budget=usd("0.01"), max_deployed=1, hard_limits=[limit])
    assert router.settings.budget == 0.01
    assert router.limits[0].usd == 18.27
    router.observe(router.route(max_cost=usd(3)), cost=usd("0.1"), tokens=(1, 2))
    router.set_budget(usd("0.02"))
    assert router.counters.billed == 0.1
    with pytest.raises(
        StageRouteError, match=r"budget = Decimal\('-1'\): must be finite and not negative"
    ):
        router.set_budget(usd(-1))
    assert Model("b", expected_cost=usd("0.001")).expected_cost == 0.001
    assert Model("c", price=Price(1, 2), expected_tokens=Tokens(usd(1), 2)).prior_cost == 5e-6
