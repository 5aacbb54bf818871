"""A world for routers with everything switched on: queries, outcomes and trouble from one seed."""

import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from stageroute import (
    ChangeTest,
    Decision,
    Drift,
    HardLimit,
    Health,
    JournalSettings,
    Model,
    Price,
    StageRouter,
    Tokens,
)
from stageroute.errors import StageRouteError
from stageroute.journal.store import JournalStore

MODELS: Final = (
    Model("small", 0.6, price=Price(0.2, 0.4), expected_tokens=Tokens(800, 300), max_tokens=8000),
    Model("middle", 0.6, max_cost=0.02, requests_per_minute=900, max_concurrent=12),
    Model(
        "large",
        0.6,
        price=Price(2.0, 8.0, 0.5),
        max_tokens=8000,
        tokens_per_minute=800_000,
        burst_seconds=10.0,
    ),
    Model("other", 0.6, expected_cost=0.0004, max_cost=0.02),
    Model("spare", 0.6, max_cost=0.02, start_cost=0.01),
)


@dataclass
class World:
    """Everything that happens to a router; a deep copy does the same to another one."""

    generator: random.Random
    now: float = 1_700_000_000.0
    waiting: list[int] = field(default_factory=list)
    added: int = 0

    def clock(self) -> float:
        """Return the time of the world."""
        return self.now

    def make(self, **changes: Any) -> StageRouter:
        """Make a router with everything switched on."""
        settings: dict[str, Any] = {
            "models": MODELS,
            "budget": 0.002,
            "max_deployed": 3,
            "drift": Drift(
                forget_per_stage=0.98, change_test=ChangeTest(threshold=12.0, slack=0.2)
            ),
            "hard_limits": [HardLimit(7.0, "hour"), HardLimit(80.0, "day", "refuse")],
            "health": Health(failures=2, cooldown=2.0, max_cooldown=30.0, failed_after=2),
            "on_lost_slot": "redeploy",
            "stage_queries": 250,
            "controller": "inline",
            "open_decisions": 512,
            "max_age": 90.0,
            "clock": self.clock,
            "seed": 11,
        }
        return StageRouter(**(settings | changes))

    def drive(self, router: StageRouter, queries: int) -> list[Any]:
        """Let queries happen; return everything that can be seen of them."""
        seen: list[Any] = []
        for _ in range(queries):
            # Rushes, and pauses in which windows end, cool-downs pass and decisions grow old.
            is_pause = self.generator.random() < 0.01
            self.now += 240.0 if is_pause else self.generator.expovariate(20.0)
            decision = self.attempt(seen, partial(router.route, **self.query()))
            if isinstance(decision, Decision):
                self.waiting.append(decision.id)
            while len(self.waiting) > self.generator.randrange(25):
                self.give_feedback(router, seen)
            if self.generator.random() < 0.003:
                self.administer(router, seen)
        return seen

    def query(self) -> dict[str, Any]:
        """Return the arguments of a query."""
        query: dict[str, Any] = {}
        if self.generator.random() < 0.3:
            query["tokens"] = (self.generator.randrange(2000), self.generator.randrange(1, 1000))
        if self.generator.random() < 0.05:
            query["max_cost"] = self.generator.choice([0.001, 0.01])
        if self.generator.random() < 0.05:
            query["allowed"] = self.generator.sample([model.name for model in MODELS], 3)
        return query

    def attempt(self, seen: list[Any], call: "partial[Any]") -> Any:
        """Make a call and note what came of it."""
        try:
            result = call()
        except StageRouteError as error:
            seen.append((type(error), str(error), getattr(error, "retry_after", None)))
            return None
        if isinstance(result, Decision):
            fields = ("id", "model", "probability", "stage", "budget_price", "reasons")
            seen.append([getattr(result, field) for field in fields])
        else:
            seen.append(result)
        return result

    def give_feedback(self, router: StageRouter, seen: list[Any]) -> None:
        """Report what became of some decision, of whatever age."""
        generator = self.generator
        number = self.waiting.pop(generator.randrange(len(self.waiting)))
        tokens = (generator.randrange(2000), generator.randrange(1000), 0)
        # The world changes after a while, for change tests to see.
        cost = generator.random() * (0.001 if self.now % 600.0 < 300.0 else 0.008)
        reward = float(generator.random() < 0.7)
        calls: list[tuple[int, partial[Any]]] = [
            (40, partial(router.observe, number, reward=reward, cost=cost, tokens=tokens)),
            (15, partial(router.observe, number, reward=reward, cost=cost)),
            (10, partial(router.observe, number, tokens=tokens)),
            (10, partial(router.observe, number, reward=reward)),
            (5, partial(router.observe, number, reward=3.0)),
            (4, partial(router.fail, number, "timeout")),
            (4, partial(router.fail, number, "error", retry_after=1.5)),
            (2, partial(router.fail, number, "rate_limit", retry_after=4.0)),
            (4, partial(router.fail, number, "refusal", cost=cost)),
            (1, partial(router.fail, number, "cancelled")),
            (1, partial(router.fail, number, "bad_request", cost=cost)),
            (5, partial(router.release, number)),
            (5, partial(router.observe_many, [number, number + 1], costs=[cost, cost])),
        ]
        call = generator.choices([call for _, call in calls], [weight for weight, _ in calls])[0]
        self.attempt(seen, call)
        # Some is reported again, or never.
        if generator.random() < 0.1:
            self.attempt(seen, call)

    def administer(self, router: StageRouter, seen: list[Any]) -> None:
        """Change something."""
        generator = self.generator
        self.added += 1
        price = Price(generator.uniform(0.1, 3.0), generator.uniform(0.1, 9.0))
        new = Model(f"new{self.added}", 0.6, max_cost=0.02, expected_reward=0.6)
        retiring = f"new{generator.randrange(1, self.added + 1)}"
        calls: list[partial[Any]] = [
            partial(router.update_model, generator.choice(["small", "large"]), price=price),
            partial(
                router.update_model, "middle", requests_per_minute=generator.randrange(300, 900, 20)
            ),
            partial(router.set_budget, generator.uniform(0.0005, 0.003)),
            partial(router.add_model, new),
            partial(router.retire_model, retiring),
            partial(router.advance_stage),
        ]
        self.attempt(seen, generator.choice(calls))


def make(**changes: Any) -> StageRouter:
    """Make a plain router of three models."""
    settings: dict[str, Any] = {
        "models": list("abc"),
        "budget": 0.001,
        "max_deployed": 2,
        "seed": 1,
    }
    return StageRouter(**(settings | changes))


def serve(
    router: StageRouter, queries: int, rewards: dict[str, float] | None = None
) -> Counter[str]:
    """Route and observe, with rewards of 0.5 by default; return how often each model served."""
    served: Counter[str] = Counter()
    for _ in range(queries):
        decision = router.route()
        reward = 0.5 if rewards is None else rewards[decision.model]
        router.observe(decision, reward=reward, cost=0.0005)
        served[decision.model] += 1
    return served


def everything(router: StageRouter) -> list[Any]:
    """Return all that a router says of itself."""
    return [
        router.counters,
        router.limits,
        router.deployment,
        router.settings,
        router.models,
        [astuple(router.state(model.name)) for model in router.models],
    ]


def small_journal(path: Path) -> JournalSettings:
    """Return settings of a journal that is compacted all the time."""
    return JournalSettings(path, commit_seconds=0.002, compact_bytes=1 << 15)


@contextmanager
def broken_disk() -> Iterator[None]:
    """Have no journal commit anything."""
    execute = JournalStore._execute

    def fail(self: JournalStore, statement: str, values: tuple[object, ...] = ()) -> Any:
        if statement.startswith("BEGIN"):
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return execute(self, statement, values)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(JournalStore, "_execute", fail)
        yield
