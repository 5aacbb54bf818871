"""Make the golden files: what this version writes, for later versions to read.

A router with everything switched on lives for a while. It is kept in three ways: as a snapshot, as
a journal that was closed, and as a journal whose process was killed before all was committed. Then
it goes on; ``next.json`` holds the calls with which it did, and what each of them answered.
``tests/python/test_golden.py`` opens all three and makes the same calls.

Golden files are made once for each version of the state and stay: what any version wrote is read by
all later ones. ``make golden`` refuses to replace those of the present one.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any, Final

from router_world import World
from stageroute import Decision, FeedbackBatch, HardLimit, JournalSettings, StageRouter
from stageroute.errors import StageRouteError
from stageroute.router.facts import STATE_VERSION

FOLDER: Final = Path(__file__).parent / f"version_{STATE_VERSION}"

QUERIES_BEFORE: Final = 600
QUERIES_AFTER: Final = 400


def answer_to_json(answer: object) -> list[Any]:
    """Return what can be seen of the answer to a call, or of its error."""
    if isinstance(answer, StageRouteError):
        return [type(answer).__name__, getattr(answer, "retry_after", None)]
    if isinstance(answer, Decision):
        probability, price = answer.probability, answer.budget_price
        return [answer.id, answer.model, probability, answer.stage, price, list(answer.reasons)]
    if isinstance(answer, FeedbackBatch):
        return [answer.counted, answer.repeated, answer.unknown, answer.expired]
    return []


def end_to_json(router: StageRouter) -> dict[str, Any]:
    """Return what a router says of itself."""
    return {
        "counters": asdict(router.counters),
        "deployment": asdict(router.deployment),
        "limits": [asdict(limit) for limit in router.limits],
        "states": [astuple(router.state(model.name))[1:] for model in router.models],
    }


class Recorder:
    """Passes calls on to a router; writes them down with their time and their answer."""

    def __init__(self, router: StageRouter, world: World) -> None:
        self._router = router
        self._world = world
        self.calls: list[tuple[float, str, Any, Any, list[Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            answer: object = None
            try:
                answer = getattr(self._router, name)(*args, **kwargs)
            except StageRouteError as error:
                answer = error
                raise
            finally:
                self.calls.append((self._world.now, name, args, kwargs, answer_to_json(answer)))
            return answer

        return call


def live(journal: Path | None, *, flushes: bool = False) -> tuple[StageRouter, World]:
    """Return a router that has lived for a while, and its world."""
    world = World(random.Random(3))
    where = journal and JournalSettings(journal, commit_seconds=5.0, tail_bytes=1 << 16)
    limits = [HardLimit(5.5, "hour"), HardLimit(90.0, "day", "refuse")]
    router = world.make(journal=where, solver="native", open_decisions=128, hard_limits=limits)
    world.drive(router, QUERIES_BEFORE // 2)
    if flushes:
        router.flush()
    world.drive(router, QUERIES_BEFORE // 2)
    return router, world


def make_all(folder: Path) -> None:
    """Write all golden files to an empty folder."""
    subprocess.run([sys.executable, __file__, str(folder / "killed")], check=True)
    live(folder / "closed")[0].close()
    router, world = live(None)
    router.snapshot(folder / "snapshot")
    world.administer = lambda *_: None  # type: ignore[method-assign]  # calls are plain values
    recorder = Recorder(router, world)
    world.drive(recorder, QUERIES_AFTER)  # type: ignore[arg-type]
    golden = {
        "state_version": STATE_VERSION,
        "calls": recorder.calls,
        "end": end_to_json(router),
    }
    (folder / "next.json").write_text(json.dumps(golden) + "\n")


def main() -> None:
    """Make the golden files of this version of the state; or be the process that is killed."""
    if sys.argv[1:]:
        live(Path(sys.argv[1]), flushes=True)
        os._exit(0)
    known = FOLDER / "next.json"
    if known.exists():
        sys.exit(f"these are of state version {STATE_VERSION} already: raise STATE_VERSION first")
    with tempfile.TemporaryDirectory() as folder:
        make_all(Path(folder))
        shutil.copytree(folder, FOLDER, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
