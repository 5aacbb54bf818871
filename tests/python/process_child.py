"""What a process does that forks, ends without `close` or meets green threads; see test_processes.

Each scenario runs in a process of its own, and prints what the test is to see.
"""

import contextlib
import gc
import importlib
import inspect
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stageroute import DecisionLog, Model, StageRouter
from stageroute.decision_log import log
from stageroute.errors import ForkedRouterError, HardLimitError
from stageroute.router import events

if TYPE_CHECKING:
    from multiprocessing.context import ForkContext, SpawnContext
    from multiprocessing.synchronize import Barrier

MODELS: Final = [Model("a", expected_cost=0.001), Model("b", expected_cost=0.002, max_concurrent=9)]
FORKS: Final = 40
KEPT: Final[list[StageRouter]] = []


def make(folder: str) -> StageRouter:
    """Make a router with all that stands beside one."""
    return StageRouter(
        MODELS,
        budget=0.01,
        max_deployed=2,
        seed=1,
        stage_queries=50,
        journal=f"{folder}/journal",
        decision_log=DecisionLog(f"{folder}/log.jsonl", seconds=0.01),
    )


def calls_of(router: StageRouter, folder: str) -> dict[str, Callable[[], object]]:
    """Everything that can be asked of a router, but to close it; to be listed before a fork."""
    given = {
        "name": "a",
        "model": "c",
        "plan": router.plan_stage(),
        "path": f"{folder}/snapshot",
        "decision_or_id": 0,
        "ids": [0],
        "reason": "error",
        "budget": 0.02,
        "cost": 0.001,
        "stage": 1,
        "remaining": 5,
        "reset": 1.0,
    }
    further: dict[str, dict[str, object]] = {
        "observe": {"reward": 1.0},
        "observe_many": {"rewards": [1.0]},
    }
    calls: dict[str, Callable[[], object]] = {"__enter__": router.__enter__}
    for name in dir(StageRouter):
        if name.startswith("_") or name in {"close", "restore"}:
            continue
        if not callable(getattr(StageRouter, name)):
            calls[name] = partial(getattr, router, name)
            continue
        call = getattr(router, name)
        needed = [p for p in inspect.signature(call).parameters.values() if p.default is p.empty]
        places = [given[p.name] for p in needed if p.kind < p.VAR_POSITIONAL]
        names = {p.name: given[p.name] for p in needed if p.kind == p.KEYWORD_ONLY}
        calls[name] = partial(call, *places, **names, **further.get(name, {}))
    return calls


def in_child(work: Callable[[], None]) -> int:
    """Fork; return the child's exit status, or the signal that ended it, below 0."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def step(router: StageRouter) -> None:
    router.observe(router.route(), reward=0.5, cost=0.001)


@contextlib.contextmanager
def loaded(router: StageRouter) -> Iterator[None]:
    """Have other threads call a router all the time."""
    logging.getLogger("stageroute").setLevel(logging.ERROR)  # each plan overtakes another
    stopped = threading.Event()

    def route() -> None:
        while not stopped.is_set():
            step(router)
            _ = router.counters

    def plan() -> None:
        while not stopped.is_set():
            router.advance_stage()
            router.flush()

    threads = [threading.Thread(target=work) for work in (route, route, plan)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def every_call(folder: str) -> None:
    """Ask an inherited router for everything, close it, and let it go."""
    router = make(folder)
    for _ in range(100):
        step(router)
    calls = calls_of(router, folder)

    def child() -> None:
        for name, call in calls.items():
            try:
                call()
            except ForkedRouterError:
                continue
            except BaseException as error:  # noqa: BLE001
                print(name, "raised", repr(error), flush=True)
            else:
                print(name, "answered", flush=True)
        router.close()
        os._exit(0)

    print("child", in_child(child))
    for _ in range(100):
        step(router)
    print("queries", router.counters.queries)
    router.close()


def leaving(folder: str) -> None:
    """Leave children by the usual exit, and drop the router there first."""
    kept = [make(folder)]
    for _ in range(100):
        step(kept[0])
    for drops in (True, False):
        pid = os.fork()
        if pid == 0:
            if drops:
                kept.clear()
                gc.collect()
            sys.exit(3)
        print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        for _ in range(100):
            step(kept[0])
    print("queries", kept[0].counters.queries)


def under_load(folder: str) -> None:
    """Fork while other threads are in calls, and while journal, log and stages are at work."""
    router = make(folder)
    calls = calls_of(router, folder)

    def child() -> None:
        for call in calls.values():
            with contextlib.suppress(ForkedRouterError):
                call()
        router.close()
        with StageRouter(MODELS, budget=0.01, max_deployed=2, journal=f"{folder}/own") as own:
            step(own)
        os._exit(7)

    with loaded(router):
        for _ in range(FORKS):
            status = in_child(child)
            for path in Path(folder).glob("own*"):
                path.unlink()
            if status != 7:
                print("child", status)
    print("queries", router.counters.queries)
    router.close()


def fork(folder: str) -> None:
    """Fork workers from a process that has a router too, and is in the middle of its work."""
    router = make(folder)
    with loaded(router):
        workers(multiprocessing.get_context("fork"), folder)
    router.close()


def spawn(folder: str) -> None:
    """Start workers anew."""
    workers(multiprocessing.get_context("spawn"), folder)


def workers(context: "ForkContext | SpawnContext", folder: str) -> None:
    """Have workers with routers of their own spend what they may, and then one in their place."""
    barrier = context.Barrier(4)
    together = [context.Process(target=spend, args=(folder, barrier)) for _ in range(4)]
    for worker in together:
        worker.start()
    for worker in together:
        worker.join()
    later = context.Process(target=spend, args=(folder, None))
    later.start()
    later.join()
    print("exits", *(worker.exitcode for worker in (*together, later)))


def spend(folder: str, barrier: "Barrier | None") -> None:
    """Spend all that a worker's router may spend."""
    os.chdir(folder)
    sys.path.insert(0, folder)
    router = importlib.import_module("service").make_router()
    if barrier is not None:
        barrier.wait()
    spent = 0
    with contextlib.suppress(HardLimitError):
        while True:
            router.observe(router.route(), reward=0.5, cost=0.01)
            spent += 1
    os.write(1, f"spent {spent}\n".encode())  # in one go
    router.close()


def no_close(folder: str) -> None:
    """End with a router that was not closed."""
    KEPT.append(make(folder))
    for _ in range(1_000):
        step(KEPT[0])


def planning(_: str) -> None:
    """End while stages are being planned."""
    KEPT.append(StageRouter(MODELS, budget=0.01, max_deployed=2, stage_seconds=1e-4))
    time.sleep(0.05)


def hanging_callback(_: str) -> None:
    """End while a callback hangs."""
    events.LONGEST_END = 0.1  # type: ignore[misc]
    hang = threading.Event()
    router = StageRouter(MODELS, budget=0.01, max_deployed=2, on_event=lambda _: hang.wait())
    KEPT.append(router)
    time.sleep(0.05)


def hanging(folder: str) -> None:
    """End while a sink hangs."""
    log.LONGEST_END = 0.1  # type: ignore[misc]
    sink = DecisionLog(lambda _: threading.Event().wait())
    KEPT.append(StageRouter(MODELS, budget=0.01, max_deployed=2, decision_log=sink))
    KEPT[0].route()
    sink.catch_up(0.01)


def dropped(folder: str) -> None:
    """End with a router that is long gone, and was not closed."""
    router = make(folder)
    for _ in range(1_000):
        step(router)


def elsewhere(folder: str) -> None:
    """Go to another folder after the router was made with relative paths."""
    os.chdir(folder)
    router = make(".")
    (Path(folder) / "other").mkdir()
    os.chdir("other")
    step(router)
    router.close()
    print(sorted(path.name for path in Path(folder).iterdir()))


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
