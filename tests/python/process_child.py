"""What a process does that forks, ends without `close` or meets green threads; see test_processes.

Each scenario runs in a process of its own, and prints what the test is to see.
"""

import contextlib
import gc
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from stageroute import DecisionLog, HardLimit, Model, StageRouter
from stageroute.errors import ForkedRouterError, StageRouteError

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
    """Everything that can be asked of a router; to be listed before a fork."""
    plan = router.plan_stage()
    return {
        "route": router.route,
        "observe": lambda: router.observe(0, reward=1.0),
        "observe_many": lambda: router.observe_many([0], rewards=[1.0]),
        "fail": lambda: router.fail(0, "error"),
        "release": lambda: router.release(0),
        "add_model": lambda: router.add_model("c"),
        "update_model": lambda: router.update_model("a", throughput_cap=0.9),
        "retire_model": lambda: router.retire_model("a"),
        "end_cooldown": lambda: router.end_cooldown("a"),
        "set_budget": lambda: router.set_budget(0.02),
        "configure": lambda: router.configure(max_deployed=1),
        "state": lambda: router.state("a"),
        "models": lambda: router.models,
        "settings": lambda: router.settings,
        "deployment": lambda: router.deployment,
        "counters": lambda: router.counters,
        "limits": lambda: router.limits,
        "plan_stage": router.plan_stage,
        "commit": lambda: router.commit(plan),
        "call": router.call,
        "recovered": lambda: router.recovered,
        "advance_stage": router.advance_stage,
        "snapshot": lambda: router.snapshot(f"{folder}/snapshot"),
        "flush": router.flush,
        "__enter__": router.__enter__,
    }


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
    public = {name for name in dir(StageRouter) if not name.startswith("_")}
    print("not asked for:", *public - calls.keys() - {"close", "restore"})

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
    logging.getLogger("stageroute").setLevel(logging.ERROR)  # each plan overtakes another
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


def workers(folder: str) -> None:
    """Fork workers, each of which makes a router of its own with a share of the limit."""
    pids = []
    for worker in range(3):
        pid = os.fork()
        if pid == 0:
            router = StageRouter(
                [Model("a", expected_cost=0.001, max_cost=0.002)],
                budget=0.01,
                max_deployed=1,
                hard_limits=[HardLimit(0.1 / 3, per="total")],
                journal=f"{folder}/journal-{worker}",
            )
            with contextlib.suppress(StageRouteError):
                while True:
                    step(router)
            router.close()
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def no_close(folder: str) -> None:
    """End with a router that was not closed."""
    KEPT.append(make(folder))
    for _ in range(1_000):
        step(KEPT[0])


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
