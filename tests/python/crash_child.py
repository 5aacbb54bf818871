"""A journaled router under load, in a process that is there to be killed."""

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
from stageroute import Decision, FailureEffect, Health, Model, Price, StageRouter, Tokens
from stageroute.errors import AlreadyObservedError, JournalFullError
from stageroute.router.memory import JournalSettings

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
        report("> admin open")
        self.router = open_router(path)
        report("< admin")
        self.levels = {
            model.name: round(model.price.input / price(1).input)
            for model in self.router.models
            if model.price is not None
        }
        # Changes of a price that have begun, and that are done: where both are the same before and
        # after a decision, its price is known.
        self.begun = dict.fromkeys(PRICED, 0)
        self.done = dict.fromkeys(PRICED, 0)

    def call(self, thread: object, what: str, function: Callable[[], object]) -> bool:
        """Report a call, make it, report what came of it."""
        report(f"> {thread} {what}")
        try:
            result = function()
        except JournalFullError:
            report(f"< {thread} full")
            time.sleep(0.001)
            return False
        report(f"< {thread} {result if isinstance(result, str) else ''}")
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
            report("! " + traceback.format_exc()[-3000:].replace("\n", "\\n"))
            raise

    def work(self, thread: object) -> None:
        """Route, and give feedback of all kinds, at once and late."""
        generator = random.Random(f"{self.seed} {thread}")
        waiting: deque[Pending] = deque()
        router = self.router
        for number in self.late[int(str(thread)) :: WORKERS]:
            self.call(thread, f"reward {number}", partial(router.observe, number, reward=0.5))
        while True:
            self.route(thread, waiting)
            if len(waiting) > generator.randrange(60):
                self.give_feedback(thread, waiting, generator)

    def route(self, thread: object, waiting: "deque[Pending]") -> None:
        """Make a decision; what it was made at is known unless a price changed meanwhile."""
        before = dict(self.begun)
        is_calm = before == self.done
        decisions: list[Decision] = []

        def decide() -> str:
            decisions.append(self.router.route())
            return f"{decisions[0].id} {decisions[0].model}"

        levels = dict(self.levels)
        if self.call(thread, "route", decide):
            decision = decisions[0]
            is_sure = is_calm and before == self.begun and decision.model in PRICED
            waiting.append(Pending(decision.id, levels[decision.model] if is_sure else None))

    def give_feedback(
        self, thread: object, waiting: "deque[Pending]", generator: random.Random
    ) -> None:
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
            what = " ".join(f"{k} {c!r}" for k, c in zip(batch, costs, strict=True))
            self.call(thread, f"many {what}", partial(router.observe_many, batch, costs=costs))
        elif kind in {"error", "refusal", "timeout"}:
            bill = cost if kind == "timeout" else None
            what = f"fail {number} {kind} {bill!r}"
            self.call(thread, what, partial(router.fail, number, kind, cost=bill))
        elif kind == "cost" and level is not None:
            tokens = Tokens(generator.randrange(4000), generator.randrange(4000))
            bill = (tokens.input + tokens.output) * level * BILL_PER_TOKEN
            what = f"cost {number} {bill!r}"
            self.call(thread, what, partial(router.observe, number, tokens=tokens))
        elif kind == "both":
            what = f"both {number} {cost!r}"
            self.call(thread, what, partial(router.observe, number, reward=0.25, cost=cost))
        else:
            if kind != "reward":
                what = f"cost {number} {cost!r}"
                if not self.call(thread, what, partial(router.observe, number, cost=cost)):
                    return
            if kind in {"reward", "apart"}:
                self.call(thread, f"reward {number}", partial(router.observe, number, reward=0.75))
            if kind == "again":
                self.call(thread, f"again {number}", partial(self.repeat, number))

    def repeat(self, number: int) -> None:
        """Observe a cost that has been observed: it must be refused."""
        try:
            self.router.observe(number, cost=1.0)
        except AlreadyObservedError:
            return
        raise AssertionError(f"the cost of {number} counted twice")

    def administer(self, thread: object) -> None:
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
                self.call(thread, f"budget {budget!r}", partial(router.set_budget, budget))
            elif kind == "stage":
                self.call(thread, "stage", self.advance)
            elif kind == "add" and fresh:
                name = fresh.pop()
                if self.call(thread, f"add {name}", partial(router.add_model, Model(name, 0.5))):
                    added.append(name)
            elif kind == "retire" and len(added) > 2:
                name = added[0]
                if self.call(thread, f"retire {name}", partial(router.retire_model, name)):
                    del added[0]
            time.sleep(generator.uniform(0.0, 0.006))

    def change_price(self, thread: object, name: str, level: int) -> None:
        """Change a price, so that other threads can tell at which one they decide."""
        self.begun[name] += 1

        def change() -> None:
            self.router.update_model(name, price=price(level))
            self.levels[name] = level

        self.call(thread, f"price {name} {level}", change)
        self.done[name] += 1

    def advance(self) -> str:
        """End the stage."""
        deployment = self.router.advance_stage()
        return f"{deployment.stage} {','.join(deployment.models)}"


def work_until_killed(path: Path, seed: int, late: Sequence[int]) -> None:
    """Open the router, or go on, and call it from several threads."""
    load = Load(seed, late)
    load.guard(load.open, path)
    load.run()
