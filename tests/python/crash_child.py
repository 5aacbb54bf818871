"""A journaled router under load, in processes that are there to be killed.

They are forked from a server that has imported everything once, so that a start costs milliseconds
and not half a second of imports. Forking is sound here, because the server has one thread and has
opened nothing: no router, journal, database or solver, so that no lock is copied while another
thread holds it, and no file lock or mapping is shared. Each process checks that.
"""

import functools
import itertools
import json
import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from stageroute import (
    DecisionLog,
    FailureEffect,
    Health,
    JournalSettings,
    Model,
    Price,
    StageRouter,
    Tokens,
)
from stageroute.errors import AlreadyObservedError, JournalFullError, NoModelError

IMPORTED: Final = ["crash_child", "pytest"]
FORKS: Final = multiprocessing.get_context("forkserver")

WORKERS: Final = 3
"""Threads that route, where one more changes models and stages."""
OPEN_DECISIONS: Final = 4096
STEADY, CHANGING = PRICED = ("p0", "p1")
"""Models with prices: one that stays, and one that changes."""

CENT: Final = 2.0**-20
"""Bills are whole multiples of powers of two, so that their sum is exact in any order."""

BILL_PER_TOKEN: Final = 2.0**-26
"""What a token costs at a price level of 1, USD."""


def run_and_kill(delay: float, work: Callable[..., object], *arguments: object) -> list[str]:
    """Let a process work for `delay` seconds; return the lines that it had reported by then."""
    start_server()
    reader, writer = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=begin, args=(writer, work, *arguments))
    process.start()
    writer.close()
    timer = threading.Timer(delay, process.kill)
    timer.start()
    with open(reader.fileno(), "rb", closefd=False) as pipe:  # a descriptor
        reported = pipe.read()
    timer.join()
    process.join()
    assert process.exitcode == -signal.SIGKILL, reported[-3000:].decode()
    assert reported.endswith(b"\n") or not reported
    return reported.decode().splitlines()


def report(line: str) -> None:
    """Write a line in one go: a pipe takes a short one whole or not at all."""
    os.write(1, f"{line}\n".encode())


@functools.cache
def start_server() -> None:
    """Start the server, whose only thread is to be its own."""
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with patch.dict(os.environ, one_thread | {"PYTHONPATH": os.pathsep.join(sys.path)}):
        forkserver.set_forkserver_preload(IMPORTED)
        forkserver.ensure_running()


def begin(pipe: Connection, work: Callable[..., object], *arguments: object) -> None:
    """Begin to work in the new process, whose reports go to the pipe."""
    threads = Path(f"/proc/{os.getppid()}/task")
    assert not threads.exists() or len(list(threads.iterdir())) == 1, "a library has threads"
    os.dup2(pipe.fileno(), 1)
    pipe.close()
    logging.getLogger("stageroute").addHandler(logging.NullHandler())
    work(*arguments)


def price(level: int) -> Price:
    """Return the price at which a token costs `level` times `BILL_PER_TOKEN`."""
    usd_per_million = level * BILL_PER_TOKEN * 1e6
    return Price(usd_per_million, usd_per_million)


def log_of(path: Path) -> Path:
    """Name the decision log beside a journal."""
    return path.with_name("log.jsonl")


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
        decision_log=DecisionLog(log_of(path), seconds=0.02),
        seed=5,
    )


class Load:
    """Calls a router from one thread or several, and reports each call before and after."""

    def __init__(self, path: Path, seed: int, late: Sequence[int], threads: int) -> None:
        self.seed = seed
        self.late = late
        report(json.dumps([">", "admin", ["open"]]))
        self.router = open_router(path)
        report(json.dumps(["<", "admin", None]))
        workers = [self.work(number) for number in range(WORKERS if threads > 1 else 1)]
        administrator = self.administer("admin", 0.003 if threads > 1 else 0.0)
        if threads > 1:
            works: list[Iterator[None]] = [*workers, administrator]
        else:
            works = [mixed(workers[0], administrator)]
        for work in works:
            threading.Thread(target=guard, args=(deque, work, 0)).start()

    def call(self, thread: object, what: Sequence[object], call: Callable[[], object]) -> bool:
        """Report a call, make it, report what came of it, if that is plain."""
        report(json.dumps([">", thread, what]))
        try:
            result = call()
        except (JournalFullError, NoModelError):  # the last live model may have retired
            report(json.dumps(["<", thread, "refused"]))
            time.sleep(0.001)
            return False
        report(json.dumps(["<", thread, result], default=lambda _: None))
        return True

    def work(self, thread: int) -> Iterator[None]:
        """Route, and give feedback of all kinds, at once and late; step by step."""
        generator = random.Random(f"{self.seed} {thread}")
        waiting: deque[tuple[int, str]] = deque()
        for number in self.late[thread::WORKERS]:
            self.observe(thread, number, reward=0.5)
        while True:
            yield
            self.route(thread, waiting)
            if len(waiting) > generator.randrange(60):
                self.give_feedback(thread, waiting, generator)

    def route(self, thread: int, waiting: deque[tuple[int, str]]) -> None:
        """Make a decision."""

        def decide() -> tuple[int, str]:
            decision = self.router.route()
            waiting.append((decision.id, decision.model))
            return waiting[-1]

        self.call(thread, ["route"], decide)

    def observe(self, thread: int, number: int, **feedback: float) -> bool:
        """Report an outcome of a decision."""
        what = ["observe", [(number, feedback)]]
        return self.call(thread, what, partial(self.router.observe, number, **feedback))  # type: ignore[arg-type]

    def give_feedback(
        self, thread: int, waiting: deque[tuple[int, str]], generator: random.Random
    ) -> None:
        """Report an outcome of the oldest decision, or two halves of it, or a batch."""
        router = self.router
        number, model = waiting.popleft()
        cost = generator.randrange(2000) * CENT
        kind = generator.choices(
            ["both", "apart", "cost", "reward", "error", "refusal", "timeout", "again", "many"],
            [30, 20, 8, 8, 5, 5, 5, 10, 9],
        )[0]
        if kind == "many":
            batch = [number, *(waiting.popleft()[0] for _ in range(min(5, len(waiting))))]
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
        elif kind == "cost" and model == STEADY:
            tokens = Tokens(generator.randrange(4000), generator.randrange(4000))
            bill = (tokens.input + tokens.output) * BILL_PER_TOKEN
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

    def administer(self, thread: str, pause: float) -> Iterator[None]:
        """Change models, prices and the budget, and end stages; with a pause after each step."""
        router = self.router
        generator = random.Random(f"{self.seed} {thread}")
        added = [
            model.name
            for model in router.models
            if model.name.startswith("x") and not router.state(model.name).is_retired
        ]
        fresh = [f"x{self.seed}"]
        kinds = ["price", "budget", "stage", "add", "retire"]
        # Each life begins with another one, so that short lives come to all of them.
        drawn = (generator.choices(kinds, [4, 3, 3, 1, 1])[0] for _ in itertools.count())
        for kind in itertools.chain([kinds[self.seed % len(kinds)]], drawn):
            yield
            if kind == "price":
                level = generator.randrange(1, 9)
                change = partial(router.update_model, CHANGING, price=price(level))
                self.call(thread, ["price", CHANGING, level], change)
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
            time.sleep(generator.uniform(0.0, 2.0 * pause))

    def advance(self) -> tuple[int, tuple[str, ...]]:
        """End the stage."""
        deployment = self.router.advance_stage()
        return deployment.stage, deployment.models


def mixed(work: Iterator[None], administrator: Iterator[None]) -> Iterator[None]:
    """Take a step of the one after some of the other."""
    for step, _ in enumerate(work):
        if step % 20 == 0:
            next(administrator)
        yield


def guard(function: Callable[..., object], *arguments: Any) -> None:
    """Report what should not have happened."""
    try:
        function(*arguments)
    except BaseException:
        report(json.dumps(["!", "", traceback.format_exc()[-3000:]]))
        raise


def work_until_killed(path: Path, seed: int, late: Sequence[int], threads: int) -> None:
    """Open the router, or go on, and call it from that many threads."""
    guard(Load, path, seed, late, threads)
