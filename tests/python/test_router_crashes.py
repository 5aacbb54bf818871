"""The whole router, killed at any moment: nothing acknowledged is lost, nothing counts twice.

``make kills`` does the same for longer: KILLS says how many there are with each number of threads.
"""

import json
import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crash_child import (
    OPEN_DECISIONS,
    PRICED,
    WORKERS,
    log_of,
    open_router,
    price,
    run_and_kill,
    work_until_killed,
)
from stageroute import StageRouter
from stageroute.errors import AlreadyObservedError, UnknownDecisionError

LIVES = int(os.environ.get("KILLS", "60"))
LINES = 2_000  # of the decision log that one life leaves to the next

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@dataclass
class Known:
    """Everything that the router must know, as far as it was acknowledged or found out."""

    outcomes: dict[int, set[str]] = field(default_factory=dict)
    """What each decision has had, those that were made without a word included."""
    estimated: set[int] = field(default_factory=set)
    """Those whose bill was only assumed, so that a real one takes its place."""
    count: Counter[str] = field(default_factory=Counter)
    billed: float = 0.0
    repeated: tuple[int, int] = (0, 0)
    """At least and at most."""
    levels: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PRICED, 1))
    added: list[str] = field(default_factory=list)
    retired: set[str] = field(default_factory=set)
    budget: float = 0.001
    stage: int = 1
    live: tuple[str, ...] | None = None

    def take(self, what: list[Any], result: Any) -> None:
        """Note that a call was done."""
        self.count[what[0]] += 1
        match what:
            case ["route"]:
                assert result[0] not in self.outcomes, "an id was given twice"
                self.outcomes[result[0]] = set()
            case ["observe" | "fail", given, *reason]:
                self.count.update(reason)
                self.estimated.update(number for number, _ in given if reason == ["error"])
                for number, feedback in given:
                    self.observe(number, feedback)
            case ["again"]:
                self.repeated = self.repeated[0] + 1, self.repeated[1] + 1
            case ["price", name, level]:
                self.levels[name] = level
            case ["budget", budget]:
                self.budget = budget
            case ["add", name]:
                self.added.append(name)
            case ["retire", name]:
                self.retired.add(name)
            case ["stage"]:
                stage, live = result
                assert stage == self.stage + 1
                self.stage, self.live = stage, tuple(live)
            case _:
                assert what == ["open"]

    def observe(self, number: int, feedback: dict[str, float]) -> None:
        """Note feedback; the same twice is the router's mistake."""
        assert self.outcomes[number].isdisjoint(feedback)
        self.outcomes[number].update(feedback)
        self.billed += feedback.get("cost", 0.0)
        self.count.update(f"{kind}s" for kind in feedback)


def read(report: list[str], known: Known) -> list[list[Any]]:
    """Note what was acknowledged; return the calls that were under way at the end."""
    under_way: dict[str, list[Any]] = {}
    for line in report:
        sign, thread, value = json.loads(line)
        assert sign in "<>", value
        if sign == ">":
            assert thread not in under_way
            under_way[thread] = value
        else:
            what = under_way.pop(thread)
            if value != "refused":
                known.take(what, value)
    return list(under_way.values())


def is_counted(router: StageRouter, number: int, kind: str) -> bool:
    """Whether a decision has had such feedback; if not, it has now."""
    try:
        router.observe(number, **{kind: 0.0})  # type: ignore[arg-type]
    except AlreadyObservedError:
        return True
    return False


def has_failed(router: StageRouter, number: int, reason: str) -> bool:
    """Whether a decision has failed; if not, it has now."""
    try:
        router.fail(number, reason)
    except AlreadyObservedError:
        return True
    return False


def is_done(router: StageRouter, known: Known, what: list[Any]) -> bool:
    """Whether a call that was never acknowledged was done all the same, if anything tells."""
    models = {model.name: model for model in router.models}
    match what:
        case ["fail", [[number, _]], reason]:
            return has_failed(router, number, reason)
        case ["observe", given]:
            kinds = [(number, kind) for number, feedback in given for kind in feedback]
            found = {is_counted(router, number, kind) for number, kind in kinds}
            assert len(found) == 1, f"{what} was done by half"
            return found.pop()
        case ["price", name, level]:
            return models[name].price == price(level)
        case ["budget", budget]:
            return bool(router.settings.budget == budget)
        case ["add", name]:
            return name in models
        case ["retire", name]:
            return router.state(name).is_retired
        case ["stage"]:
            return router.deployment.stage == known.stage + 1
    return False


def settle(router: StageRouter, known: Known, under_way: list[list[Any]]) -> int:
    """Find out what became of calls that were under way, and note what was done."""
    # It may have died with its tail full.
    router.flush()
    queries = router.counters.queries
    orphans = set(range(queries)) - known.outcomes.keys()
    assert len(orphans) <= under_way.count(["route"])
    for number in orphans:
        known.take(["route"], [number])
    done = len(orphans)
    for what in under_way:
        if what == ["again"]:
            known.repeated = known.repeated[0], known.repeated[1] + 1
        elif is_done(router, known, what):
            done += 1
            known.take(what, [router.deployment.stage, router.deployment.models])
    return done


def check_books(router: StageRouter, known: Known) -> None:
    """Compare counters and settings; exactly, for all bills are multiples of a power of two."""
    counters = router.counters
    assert counters.queries == len(known.outcomes) == max(known.outcomes, default=-1) + 1
    assert counters.rewards == known.count["rewards"]
    assert counters.costs == known.count["costs"]
    assert counters.billed == known.billed
    for reason in ("error", "refusal", "timeout"):
        assert counters.failures[reason] == known.count[reason]
    assert known.repeated[0] <= counters.repeated <= known.repeated[1]
    known.repeated = counters.repeated, counters.repeated
    assert counters.unknown == counters.expired == counters.failed_stages == 0
    assert [model.name for model in router.models[4 + len(PRICED) :]] == known.added
    prices = {m.name: m.price for m in router.models if m.price is not None}
    assert prices == {name: price(level) for name, level in known.levels.items()}
    assert {m.name for m in router.models if router.state(m.name).is_retired} == known.retired
    assert router.settings.budget == known.budget
    assert router.deployment.stage == known.stage
    if known.live is not None:
        assert router.deployment.models == known.live
    live = set(router.deployment.models) - known.retired
    assert {m.name for m in router.models if router.state(m.name).is_live} == live


def check_decisions(router: StageRouter, known: Known) -> None:
    """Each decision that can still take feedback takes what it has not had, and nothing else."""
    queries = len(known.outcomes)
    numbers = range(max(0, queries - OPEN_DECISIONS), queries)
    for what in ("reward", "cost"):
        open_to_all = known.estimated if what == "cost" else set()
        for has_had in (True, False):
            is_shut = {k: what in known.outcomes[k] and k not in open_to_all for k in numbers}
            group = [k for k in numbers if is_shut[k] == has_had]
            effect = "repeated" if has_had else "counted"
            assert feed(router, f"{what}s", group) == Counter({effect: len(group)})
    with pytest.raises(UnknownDecisionError):
        router.observe(queries, reward=0.0)
    assert router.route().id == queries


def feed(router: StageRouter, what: str, numbers: Sequence[int]) -> Counter[str]:
    """Give rewards or costs of 0, as many at once as the small journal takes; count the effects."""
    effects = Counter[str]()
    for start in range(0, len(numbers), 500):
        chunk = numbers[start : start + 500]
        router.flush()
        values: dict[str, Any] = {what: [0.0] * len(chunk)}
        batch = router.observe_many(chunk, **values, all_or_none=False)
        for effect in ("counted", "repeated", "unknown", "expired"):
            effects[effect] += getattr(batch, effect)
    return effects


def open_copy(path: Path, folder: Path) -> StageRouter:
    """Open a copy of a journal that nobody has open."""
    shutil.copytree(path.parent, folder)
    return open_router(folder / path.name)


def snapshot_position(path: Path) -> int:
    """How many records the snapshot of a closed journal stands for."""
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute("SELECT next_seq FROM snapshot").fetchone()
    return 0 if row is None else int(row[0])


def check_log(path: Path, first: int, queries: int) -> None:
    """The log has each decision from the first to the last, and twice only what is marked."""
    rows = [json.loads(line) for line in log_of(path).read_bytes().splitlines() if is_whole(line)]
    told = Counter(row["id"] for row in rows if not row["is_repeated"])
    assert set(told.values()) <= {1}
    assert {row["id"] for row in rows if row["id"] >= first} == set(range(first, queries))


def is_whole(line: bytes) -> bool:
    """Whether a kill has not cut a line of the log."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def shorten_log(path: Path) -> int:
    """Leave the last lines, a torn one too; return the id of the first that is whole."""
    lines = log_of(path).read_bytes().splitlines(keepends=True)[-LINES:]
    log_of(path).write_bytes(b"".join(lines))
    ids = [json.loads(line)["id"] for line in lines if is_whole(line)]
    return min(ids, default=0)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, WORKERS + 1])
def test_no_kill_loses_or_doubles_what_was_acknowledged(
    journal_path: Path, tmp_path: Path, threads: int
) -> None:
    generator = random.Random(7)
    known = Known()
    cut = done = compacted = position = first_logged = 0
    for life in range(LIVES):
        # Every fourth is killed about when it opens the journal.
        delay = generator.uniform(0.0, 0.03) if life % 4 == 3 else generator.uniform(0.05, 0.25)
        newest = sorted(known.outcomes)[-OPEN_DECISIONS // 4 :]
        late = [number for number in newest if "reward" not in known.outcomes[number]][-30:]
        report = run_and_kill(delay, work_until_killed, journal_path, life, late, threads)
        under_way = read(report, known)
        assert len(under_way) <= threads
        # A copy is asked, so that the next life finds what this one left.
        with open_copy(journal_path, tmp_path / f"asked {life}") as router:
            done += settle(router, known, under_way)
        # And another one, for asking was feedback.
        with open_copy(journal_path, tmp_path / f"checked {life}") as router:
            check_books(router, known)
            check_decisions(router, known)
        checked = tmp_path / f"checked {life}" / journal_path.name
        check_log(checked, first_logged, len(known.outcomes) + 1)
        first_logged = shorten_log(journal_path)
        before, position = position, snapshot_position(checked)
        compacted += position > before
        for copy in ("asked", "checked"):
            shutil.rmtree(tmp_path / f"{copy} {life}")
        cut += len(under_way)
    print(f"{LIVES} kills with {threads} thread(s); {cut} calls cut, {done} of them done;")
    print(f"{compacted} lives compacted; {len(known.outcomes)} decisions, and each in the log")
    print(known.count)
    assert compacted > LIVES // 4
    assert cut > 0
    calls = {"route", "observe", "fail", "again", "price", "budget", "add", "retire", "stage"}
    assert known.count.keys() >= calls
