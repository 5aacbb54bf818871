"""A journaled router under load, in a process that is there to be killed."""

import json
import random
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from killed_processes import report
from stageroute import FailureEffect, Health, JournalSettings, Model, Price, StageRouter, Tokens
from stageroute.errors import AlreadyObservedError, JournalFullError

WORKERS: Final = 3
OPEN_DECISIONS: Final = 4096
PRICED: Final = ("p0", "p1")

CENT: Final = 2.0**-20
"""Bills are whole multiples of powers of two, so that their sum is exact in any order."""

BILL_PER_TOKEN: Final = 2.0**-26
"""What a token costs at a price level of 1, USD."""


def price(level: int) -> Price:
    """Return the price at which a token costs `level` times `BILL_PER_TOKEN`."""
    usd_per_million = level * BILL_PER_TOKEN * 1e6
    return Price(usd_per_million, usd_per_million)


def open_router(path: Path) -> StageRouter:
    """Make the router, or go on: always by the same call."""
    models = [Model(f"m{k}", 0.5) for k in range(4)]
    models += [Model(name, 0.5, price=price(1)) for name in PRICED]
    return StageRouter(
        models,
        budget=0.001,
        max_deployed=4,
        # Trouble is part of the load, and is not to end the traffic.
        health=Health(failures=2**31),
        failures={"rate_limit": FailureEffect(None, "nothing", "none")},
        open_decisions=OPEN_DECISIONS,
        journal=JournalSettings(
            path, commit_seconds=0.002, tail_bytes=1 << 15, compact_bytes=1 << 14
        ),
        seed=5,
    )


class Pending(NamedTuple):
    """A decision that waits for feedback."""

    id: int
    level: int | None
    """Price level under which it was made, where that is sure and the model has a price."""


class Load:
    """Calls a router from several threads and reports each call before and after."""

    def __init__(self, seed: int, late: Sequence[int]) -> None:
        self.seed = seed
        self.late = late

    def open(self, path: Path) -> None:
        """Make the router, or go on."""
        report(json.dumps([">", "admin", ["open"]]))
        self.router = open_router(path)
        report(json.dumps(["<", "admin", None]))
        self.levels = {
            model.name: round(model.price.input / price(1).input)
            for model in self.router.models
            if model.price is not None
        }
        # Changes of a price that have begun, and that are done: where both are the same before and
        # after a decision, its price is known.
        self.begun = dict.fromkeys(PRICED, 0)
        self.done = dict.fromkeys(PRICED, 0)

    def call(self, thread: object, what: Sequence[object], call: Callable[[], object]) -> bool:
        """Report a call, make it, report what came of it, if that is plain."""
        report(json.dumps([">", thread, what]))
        try:
            result = call()
        except JournalFullError:
            report(json.dumps(["<", thread, "full"]))
            time.sleep(0.001)
            return False
        report(json.dumps(["<", thread, result], default=lambda _: None))
        return True

    def run(self) -> None:
        """Start all threads."""
        for number in range(WORKERS):
            threading.Thread(target=self.guard, args=(self.work, number)).start()
        threading.Thread(target=self.guard, args=(self.administer, "admin")).start()

    def guard(self, function: Callable[[Any], None], argument: object) -> None:
        """Report what should not have happened."""
        try:
            function(argument)
        except BaseException:
            report(json.dumps(["!", str(argument), traceback.format_exc()[-3000:]]))
            raise

    def work(self, thread: int) -> None:
        """Route, and give feedback of all kinds, at once and late."""
        generator = random.Random(f"{self.seed} {thread}")
        waiting: deque[Pending] = deque()
        for number in self.late[thread::WORKERS]:
            self.observe(thread, number, reward=0.5)
        while True:
            self.route(thread, waiting)
            if len(waiting) > generator.randrange(60):
                self.give_feedback(thread, waiting, generator)

    def route(self, thread: int, waiting: deque[Pending]) -> None:
        """Make a decision; what it was made at is known unless a price changed meanwhile."""
        before, levels = dict(self.begun), dict(self.levels)
        is_calm = before == self.done

        def decide() -> tuple[int, str]:
            decision = self.router.route()
            is_sure = is_calm and before == self.begun and decision.model in PRICED
            waiting.append(Pending(decision.id, levels[decision.model] if is_sure else None))
            return decision.id, decision.model

        self.call(thread, ["route"], decide)

    def observe(self, thread: int, number: int, **feedback: float) -> bool:
        """Report an outcome of a decision."""
        what = ["observe", [(number, feedback)]]
        return self.call(thread, what, partial(self.router.observe, number, **feedback))  # type: ignore[arg-type]

    def give_feedback(self, thread: int, waiting: deque[Pending], generator: random.Random) -> None:
        """Report an outcome of the oldest decision, or two halves of it, or a batch."""
        router = self.router
        number, level = waiting.popleft()
        cost = generator.randrange(2000) * CENT
        kind = generator.choices(
            ["both", "apart", "cost", "reward", "error", "refusal", "timeout", "again", "many"],
            [30, 20, 8, 8, 5, 5, 5, 10, 9],
        )[0]
        if kind == "many":
            batch = [number, *(waiting.popleft().id for _ in range(min(5, len(waiting))))]
            costs = [generator.randrange(2000) * CENT for _ in batch]
            given = [(k, {"cost": c}) for k, c in zip(batch, costs, strict=True)]
            many = partial(router.observe_many, batch, costs=costs)
            self.call(thread, ["observe", given], many)
        elif kind in {"error", "refusal", "timeout"}:
            # A refusal is a reward of 0, whose cost is still to come.
            bill = cost if kind == "timeout" else None
            counted = {"reward": 0.0} if kind == "refusal" else {"cost": bill or 0.0}
            fail = partial(router.fail, number, kind, cost=bill)
            self.call(thread, ["fail", [(number, counted)], kind], fail)
        elif kind == "cost" and level is not None:
            tokens = Tokens(generator.randrange(4000), generator.randrange(4000))
            bill = (tokens.input + tokens.output) * level * BILL_PER_TOKEN
            what = ["observe", [(number, {"cost": bill})]]
            self.call(thread, what, partial(router.observe, number, tokens=tokens))
        elif kind == "both":
            self.observe(thread, number, reward=0.25, cost=cost)
        elif kind == "reward" or self.observe(thread, number, cost=cost):
            if kind in {"reward", "apart"}:
                self.observe(thread, number, reward=0.75)
            if kind == "again":
                self.call(thread, ["again"], partial(self.repeat, number))

    def repeat(self, number: int) -> None:
        """Observe a cost that has been observed: it must be refused."""
        try:
            self.router.observe(number, cost=1.0)
        except AlreadyObservedError:
            return
        raise AssertionError(f"the cost of {number} counted twice")

    def administer(self, thread: str) -> None:
        """Change models, prices and the budget, and end stages."""
        router = self.router
        generator = random.Random(f"{self.seed} {thread}")
        added = [
            model.name
            for model in router.models
            if model.name.startswith("x") and not router.state(model.name).is_retired
        ]
        fresh = [f"x{self.seed}"]
        while True:
            kinds = ["price", "budget", "stage", "add", "retire"]
            kind = generator.choices(kinds, [4, 3, 3, 1, 1])[0]
            if kind == "price":
                self.change_price(thread, generator.choice(PRICED), generator.randrange(1, 9))
            elif kind == "budget":
                budget = generator.randrange(1, 3000) * CENT
                self.call(thread, ["budget", budget], partial(router.set_budget, budget))
            elif kind == "stage":
                self.call(thread, ["stage"], self.advance)
            elif kind == "add" and fresh:
                name = fresh.pop()
                if self.call(thread, ["add", name], partial(router.add_model, Model(name, 0.5))):
                    added.append(name)
            elif kind == "retire" and len(added) > 2:
                name = added[0]
                if self.call(thread, ["retire", name], partial(router.retire_model, name)):
                    del added[0]
            time.sleep(generator.uniform(0.0, 0.006))

    def change_price(self, thread: str, name: str, level: int) -> None:
        """Change a price, so that other threads can tell at which one they decide."""
        self.begun[name] += 1

        def change() -> None:
            self.router.update_model(name, price=price(level))
            self.levels[name] = level

        self.call(thread, ["price", name, level], change)
        self.done[name] += 1

    def advance(self) -> tuple[int, tuple[str, ...]]:
        """End the stage."""
        deployment = self.router.advance_stage()
        return deployment.stage, deployment.models


def work_until_killed(path: Path, seed: int, late: Sequence[int]) -> None:
    """Open the router, or go on, and call it from several threads."""
    load = Load(seed, late)
    load.guard(load.open, path)
    load.run()
