"""The whole router, killed at any moment: nothing acknowledged is lost, nothing counts twice."""

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

from crash_child import OPEN_DECISIONS, PRICED, WORKERS, open_router, price, work_until_killed
from killed_processes import run_and_kill
from stageroute import StageRouter
from stageroute.errors import AlreadyObservedError, UnknownDecisionError

LIVES = 100

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@dataclass
class Outcome:
    """What a decision has had."""

    has_reward: bool = False
    has_cost: bool = False


@dataclass
class Known:
    """Everything that the router must know, as far as it was acknowledged or found out."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    """By decision, those that were made without a word included."""
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

    def take(self, what: str, result: str) -> None:
        """Note that a call was done."""
        words = what.split()
        self.count[words[0]] += 1
        match words:
            case ["route"]:
                decision = int(result.split()[0])
                assert decision not in self.outcomes, "an id was given twice"
                self.outcomes[decision] = Outcome()
            case ["price", name, level]:
                self.levels[name] = int(level)
            case ["budget", budget]:
                self.budget = float(budget)
            case ["add", name]:
                self.added.append(name)
            case ["retire", name]:
                self.retired.add(name)
            case ["stage"]:
                stage, live = result.split()
                assert int(stage) == self.stage + 1
                self.stage, self.live = int(stage), tuple(live.split(","))
            case ["open"]:
                pass
            case _:
                self._take_feedback(words)

    def _take_feedback(self, words: list[str]) -> None:
        match words:
            case ["reward", number]:
                self.observe(number, reward=True)
            case ["cost", number, cost]:
                self.observe(number, cost=float(cost))
            case ["both", number, cost]:
                self.observe(number, reward=True, cost=float(cost))
            case ["many", *batch]:
                for number, cost in zip(batch[::2], batch[1::2], strict=True):
                    self.observe(number, cost=float(cost))
            case ["fail", number, "refusal" as reason, _]:
                # A reward of 0, whose cost is still to come.
                self.count[reason] += 1
                self.observe(number, reward=True)
            case ["fail", number, reason, cost]:
                self.count[reason] += 1
                self.observe(number, cost=0.0 if cost == "None" else float(cost))
            case ["again", _]:
                self.repeated = self.repeated[0] + 1, self.repeated[1] + 1
            case _:
                raise AssertionError(f"no such call: {words}")

    def observe(self, number: str, *, reward: bool = False, cost: float | None = None) -> None:
        """Note feedback; the same twice is the router's mistake."""
        outcome = self.outcomes[int(number)]
        assert not (reward and outcome.has_reward)
        assert not (cost is not None and outcome.has_cost)
        outcome.has_reward |= reward
        outcome.has_cost |= cost is not None
        self.billed += cost or 0.0
        self.count["rewards"] += reward
        self.count["costs"] += cost is not None


def read(report: list[str], known: Known) -> list[str]:
    """Note what was acknowledged; return the calls that were under way at the end."""
    under_way: dict[str, str] = {}
    for line in report:
        sign, thread, rest = [*line.split(" ", 2), ""][:3]
        assert sign in "<>", line.replace("\\n", "\n")
        if sign == ">":
            assert thread not in under_way
            under_way[thread] = rest
        else:
            what = under_way.pop(thread)
            if rest != "full":
                known.take(what, rest)
    return list(under_way.values())


def is_counted(router: StageRouter, number: int, **feedback: float) -> bool:
    """Whether a decision has had such feedback; if not, it has now."""
    try:
        router.observe(number, **feedback)  # type: ignore[arg-type]
    except AlreadyObservedError:
        return True
    return False


def is_done(router: StageRouter, known: Known, what: str) -> bool | None:
    """Whether a call that was never acknowledged was done all the same; None if nothing tells."""
    kind, *words = what.split()
    if kind in {"cost", "reward", "both", "many", "fail"}:
        has_reward = kind in {"reward", "both"} or "refusal" in words
        has_cost = kind in {"cost", "both", "many"} or (kind == "fail" and not has_reward)
        numbers = words[::2] if kind == "many" else words[:1]
        found = {
            is_counted(router, int(number), **feedback)
            for number in numbers
            for feedback in [{"reward": 0.0}] * has_reward + [{"cost": 0.0}] * has_cost
        }
        assert len(found) == 1, f"{what} was done by half"
        return found.pop()
    models = {model.name: model for model in router.models}
    return {
        "price": lambda: models[words[0]].price == price(int(words[1])),
        "budget": lambda: router.settings.budget == float(words[0]),
        "add": lambda: words[0] in models,
        "retire": lambda: router.state(words[0]).is_retired,
        "stage": lambda: router.deployment.stage == known.stage + 1,
    }.get(kind, lambda: None)()


def settle(router: StageRouter, known: Known, under_way: list[str]) -> int:
    """Find out what became of calls that were under way, and note what was done."""
    # It may have died with its tail full.
    router.flush()
    queries = router.counters.queries
    orphans = set(range(queries)) - known.outcomes.keys()
    assert len(orphans) <= under_way.count("route")
    for number in orphans:
        known.take("route", f"{number}")
    done = len(orphans)
    for what in under_way:
        if what.startswith("again"):
            known.repeated = known.repeated[0], known.repeated[1] + 1
        elif is_done(router, known, what):
            done += 1
            deployment = router.deployment
            known.take(what, f"{deployment.stage} {','.join(deployment.models)}")
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
        for has_had in (True, False):
            group = [k for k in numbers if getattr(known.outcomes[k], f"has_{what}") == has_had]
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


@pytest.mark.slow
def test_no_kill_loses_or_doubles_what_was_acknowledged(journal_path: Path, tmp_path: Path) -> None:
    generator = random.Random(7)
    known = Known()
    cut = done = compacted = position = 0
    for life in range(LIVES):
        # Every fourth is killed about when it opens the journal.
        delay = generator.uniform(0.0, 0.03) if life % 4 == 3 else generator.uniform(0.05, 0.25)
        newest = sorted(known.outcomes)[-OPEN_DECISIONS // 4 :]
        late = [number for number in newest if not known.outcomes[number].has_reward][-30:]
        report = run_and_kill(delay, work_until_killed, journal_path, life, late)
        under_way = read(report, known)
        assert len(under_way) <= WORKERS + 1
        # A copy is asked, so that the next life finds what this one left.
        with open_copy(journal_path, tmp_path / f"asked {life}") as router:
            done += settle(router, known, under_way)
        # And another one, for asking was feedback.
        with open_copy(journal_path, tmp_path / f"checked {life}") as router:
            check_books(router, known)
            check_decisions(router, known)
        before, position = position, snapshot_position(tmp_path / f"checked {life}" / "journal")
        compacted += position > before
        cut += len(under_way)
    print(f"{LIVES} kills; {cut} calls cut, {done} of them done; {compacted} lives compacted")
    print(known.count)
    assert compacted > LIVES // 4
    assert cut > 0
    assert min(known.count.values()) > 0
