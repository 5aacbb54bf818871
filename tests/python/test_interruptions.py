"""Signal handlers and finalisers run in the middle of calls: a change is whole, or was not made.

A trace function raises at each line of a call in turn, as a handler of Ctrl-C can.
"""

import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

import stageroute
from in_threads import own_threads, wait_until
from stageroute import DecisionLog, HardLimit, JournalSettings, Model, StageRouter
from stageroute.errors import InvalidInputError

PACKAGE: Final = str(Path(stageroute.__file__).parent)


class Interruption(BaseException):
    """What a handler raises."""


def interrupt_everywhere(
    call: Callable[[int], object], event: str = "line", within: str = PACKAGE
) -> int:
    """Make a call again and again, ended a line later each time, until it comes to its end.

    The call is told how often it was made before; return how often it was ended.
    """
    for ended in itertools.count():
        left = ended

        def trace(frame: FrameType, what: str, _: object) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.startswith(within):
                return None
            if what == event:
                if left == 0:
                    raise Interruption
                left -= 1
            return trace

        sys.settrace(trace)
        try:
            call(ended)
        except Interruption:
            continue
        finally:
            sys.settrace(None)
        return ended
    raise AssertionError


def make(folder: Path, models: list[str | Model], **settings: Any) -> StageRouter:
    where = JournalSettings(folder / "journal", commit_seconds=5.0)
    arguments: dict[str, Any] = {"budget": 0.01, "max_deployed": 2, "seed": 1} | settings
    return StageRouter(models, **arguments, controller="inline", journal=where)


def told(router: StageRouter) -> str:
    """Say all that a router says of itself."""
    states = [asdict(router.state(model.name)) for model in router.models]
    parts = asdict(router.settings), states, asdict(router.deployment), asdict(router.counters)
    return json.dumps(parts, default=str)


def retire(router: StageRouter, model: str) -> None:
    if not router.state(model).is_retired:
        router.retire_model(model)


CHANGES: Final[dict[str, Callable[[StageRouter, int], object]]] = {
    "add_model": lambda router, n: router.add_model(Model(f"model {n}", expected_cost=0.001)),
    "update_model": lambda router, n: router.update_model("a", max_concurrent=n + 1),
    "retire_model": lambda router, _: retire(router, "c"),
    "set_budget": lambda router, n: router.set_budget(0.01 + n / 1e6),
    "configure": lambda router, n: router.configure(budget=0.01 + n / 1e6, open_decisions=n + 99),
    "plan and commit": lambda router, _: router.commit(router.plan_stage()),
    "route at a boundary": lambda router, _: [router.route() for _ in range(7)],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_is_interrupted_anywhere_is_whole_or_was_not_made(
    change: str, tmp_path: Path
) -> None:
    stages = {"stage_queries": 5} if change == "route at a boundary" else {}
    router = make(tmp_path, ["a", "b", "c"], **stages)

    def call(ended: int) -> None:
        CHANGES[change](router, ended)

    assert interrupt_everywhere(call) > 5
    before = told(router)
    assert len(router._control.bounds()[0]) == len(router.models)
    router.close()
    settings = {"budget": 0.01} | stages
    with make(tmp_path, ["a", "b", "c"], **settings) as again:
        assert told(again) == before
        # Those that were retired or never added are no model for the next stage, and the rest are.
        again.advance_stage()
        again.observe(again.route(), reward=1.0, cost=0.001)


def test_stages_end_as_configured_wherever_that_was_interrupted() -> None:
    router = StageRouter(["a", "b"], budget=0.01, max_deployed=2, stage_seconds=1e9)

    def call(_: int) -> None:
        router.configure(stage_seconds=None, stage_queries=5)

    # Not at each line: a trace function, and nothing else, can raise before a lock is let go.
    assert interrupt_everywhere(call, "call") > 5
    for _ in range(6):
        router.route()
    wait_until(lambda: router.deployment.stage == 2)
    router.configure(stage_queries=None, stage_seconds=0.001)
    wait_until(lambda: router.deployment.stage > 3)
    router.configure(stage_seconds=None)
    assert own_threads() == []
    router.close()
    router.configure(stage_seconds=0.001)
    assert own_threads() == []


def test_a_start_that_is_interrupted_anywhere_leaves_a_journal_that_opens(tmp_path: Path) -> None:
    made: list[StageRouter] = []

    def call(_: int) -> None:
        made.append(make(tmp_path, ["a", "b"]))

    assert interrupt_everywhere(call, "call") > 50
    made[0].observe(made[0].route(), reward=1.0, cost=0.001)
    made[0].close()
    with make(tmp_path, ["a", "b"]) as router:
        assert router.counters.queries == 1


@pytest.mark.parametrize("call", ["flush", "snapshot", "close"])
def test_what_is_written_can_be_interrupted_and_written_again(call: str, tmp_path: Path) -> None:
    written: list[int] = []
    log = DecisionLog(lambda batch: written.extend(batch.columns["id"].tolist()), seconds=1e9)
    router = make(tmp_path, ["a", "b"], decision_log=log)

    def write(_: int) -> None:
        router.route()
        if call == "snapshot":
            router.snapshot(tmp_path / "snapshot")
        else:
            getattr(router, call)()

    def close(_: int) -> None:
        router.close()

    ended = interrupt_everywhere(close if call == "close" else write, "call")
    assert ended > 5
    router.close()
    assert written == sorted(set(written))
    with make(tmp_path, ["a", "b"]) as again:
        assert again.counters.queries == (0 if call == "close" else ended + 1)


def test_what_was_taken_from_the_router_is_logged_whatever_interrupts_that() -> None:
    written: list[int] = []
    log = DecisionLog(lambda batch: written.extend(batch.columns["id"].tolist()), seconds=1e9)
    router = StageRouter(["a"], budget=0.01, max_deployed=1, decision_log=log)

    def call(_: int) -> None:
        router.route()
        router.flush()

    taking = str(Path(PACKAGE, "decision_log", "missing.py"))
    assert interrupt_everywhere(call, within=taking) > 1
    router.close()
    assert written == list(range(router.counters.queries))
    assert router.counters.log_dropped == 0


@pytest.mark.parametrize(
    "model",
    [
        "x\ud800",
        "a",
        Model("x", price=None),
        5,
        None,
    ],
)
def test_a_refused_model_leaves_nothing(model: Any, tmp_path: Path) -> None:
    limits = [HardLimit(1.0, per="total")]
    router = make(tmp_path, [Model("a", max_cost=0.01)], max_deployed=1, hard_limits=limits)
    before = told(router)
    with pytest.raises(InvalidInputError):
        router.add_model(model)
    assert told(router) == before
    router.add_model(Model("b", max_cost=0.01))
    router.advance_stage()
    before = told(router)
    router.close()
    with make(tmp_path, [Model("a", max_cost=0.01)], max_deployed=1, hard_limits=limits) as again:
        assert told(again) == before
        again.advance_stage()
