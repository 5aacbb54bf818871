"""Serves queries where threads are green ones; see test_green_threads."""

import _thread
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock


def with_gevent() -> Callable[..., Any]:
    """Patch as ``gunicorn -k gevent`` does."""
    import gevent
    from gevent import monkey

    monkey.patch_all()
    return lambda work: gevent.spawn(work)


def with_eventlet() -> Callable[..., Any]:
    """Patch as ``gunicorn -k eventlet`` does."""
    import eventlet

    eventlet.monkey_patch()
    return lambda work: eventlet.spawn(work)


def with_neither() -> Callable[..., Any]:
    """Patch what those two patch, with threads that never get their turn."""

    def get_ident() -> int:
        return 1

    def start_new_thread(*_: object, **__: object) -> int:
        return 2

    ways: dict[str, Callable[..., int]] = {"get_ident": get_ident}
    ways |= dict.fromkeys(("start_new_thread", "start_joinable_thread"), start_new_thread)
    for name, way in ways.items():
        for module, place in ((_thread, name), (threading, name), (threading, f"_{name}")):
            if hasattr(module, place):
                mock.patch.object(module, place, way).start()
    return lambda work: work()


def serve(spawn: Callable[..., Any]) -> None:
    """Serve from five threads of that kind, with all that stands beside a router."""
    from stageroute import DecisionLog, StageRouter

    folder = tempfile.mkdtemp()
    with StageRouter(
        ["a", "b"],
        budget=0.01,
        max_deployed=2,
        stage_queries=50,
        journal=f"{folder}/journal",
        decision_log=DecisionLog(f"{folder}/log.jsonl", seconds=0.01),
    ) as router:

        def work() -> None:
            for _ in range(100):
                decision = router.route()
                time.sleep(0.0002)
                router.observe(decision, reward=0.5, cost=0.001)

        for _ in range(5):
            spawn(work)
        while router.counters.queries < 500 or router.deployment.stage < 3:
            time.sleep(0.002)
        router.flush()
        lines = Path(f"{folder}/log.jsonl").read_text().splitlines()
        print(router.counters.queries, len(lines))


if __name__ == "__main__":
    kind, when = sys.argv[1:]
    if when == "late":
        import stageroute  # noqa: F401
    serve(globals()[f"with_{kind}"]())
    mock.patch.stopall()
