"""What a router remembers: snapshots, journals, and what becomes of them in trouble."""

import os
import random
import shutil
import stat
import time
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from in_threads import wait_until
from router_world import World, broken_disk, everything, make, small_journal
from stageroute import DecisionLog, HardLimit, JournalSettings, Model, StageRouter
from stageroute.errors import (
    AlreadyObservedError,
    InvalidInputError,
    JournalError,
    JournalFullError,
    SnapshotCorruptError,
    SnapshotError,
    SnapshotMismatchError,
    SnapshotVersionError,
)
from stageroute.journal import snapshot_file
from stageroute.journal.store import JournalStore


@pytest.mark.slow
def test_a_restored_router_decides_as_the_one_that_never_stopped(tmp_path: Path) -> None:
    world = World(random.Random(3))
    router = world.make()
    world.drive(router, 3_000)
    router.snapshot(tmp_path / "snapshot")
    before = (tmp_path / "snapshot").read_bytes()
    twin_world = deepcopy(world)
    twin = StageRouter.restore(tmp_path / "snapshot", controller="inline", clock=twin_world.clock)
    assert everything(twin) == everything(router)
    seen, twin_seen = world.drive(router, 10_000), twin_world.drive(twin, 10_000)
    assert twin_seen == seen
    assert everything(twin) == everything(router)
    # What was to be on really was: refusals of each kind, changes, failures, stages.
    counters = router.counters
    print(counters)
    assert counters.refused_traffic + counters.restricted > 100
    assert counters.refused_cooling + counters.cooldowns > 10
    assert min(counters.refused_hard_limit, counters.refused_excluded) > 4
    assert min(counters.repeated, counters.costs_without_tokens, *counters.failures.values()) > 10
    assert counters.expired > 0
    assert sum(router.state(model.name).changes for model in router.models) > 0
    assert router.deployment.stage > 20
    # The snapshot is as it was, and can be gone on from again.
    assert (tmp_path / "snapshot").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["snapshot"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_journal_goes_on_as_the_router_that_never_stopped(tmp_path: Path, seed: int) -> None:
    world = World(random.Random(seed))
    journal_world = deepcopy(world)
    router = world.make()
    folder = tmp_path / "0"
    folder.mkdir()
    journaled = journal_world.make(journal=small_journal(folder / "journal"))
    generator = random.Random(seed)
    queries = 0
    for life in range(12):
        length = generator.randrange(500, 1_500)
        queries += length
        assert journal_world.drive(journaled, length) == world.drive(router, length)
        if generator.random() < 0.6:
            # As a kill would leave them, at a moment when nobody calls.
            folder = shutil.copytree(folder, tmp_path / f"{life + 1}")
        journaled.close()
        journaled = journal_world.make(journal=small_journal(folder / "journal"))
        assert everything(journaled) == everything(router)
    journaled.close()
    assert queries > 5_000


def snapshot(path: Path, **changes: Any) -> bytes:
    """Write a snapshot and return it."""
    router = make(**changes)
    for _ in range(20):
        router.observe(router.route(), reward=0.5, cost=0.0004)
    router.snapshot(path)
    return path.read_bytes()


def refuse(
    path: Path, data: bytes, error: type[SnapshotError], match: str | None = None, **named: Any
) -> None:
    """Check that a snapshot is refused and left as it is."""
    path.write_bytes(data)
    with pytest.raises(error, match=match):
        StageRouter.restore(path, **named)
    assert path.read_bytes() == data
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_snapshots_that_cannot_be_used_are_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    data = snapshot(path)
    newer = data.replace(b'"format": 1', b'"format": 2', 1)
    refuse(path, newer, SnapshotVersionError, "has format 2, written by .* upgrade stageroute")
    match = r"other settings: budget: 0.001 there, 0.5 here; max_deployed: 2 there, 3 here\. Open"
    refuse(path, data, SnapshotMismatchError, match, budget=0.5, max_deployed=3)
    header, body = snapshot_file.loads(data, "it")
    own = {name: header[name] for name in ("fingerprint", "facts")}
    other = snapshot_file.dumps(own | {"fingerprint": "a router's state of version 9"}, body)
    refuse(path, other, SnapshotMismatchError, "there: a router's state of version 9")
    no_facts = snapshot_file.dumps(own | {"facts": {"settings": 3}}, body)
    refuse(path, no_facts, SnapshotCorruptError, "without the facts")
    refuse(path, snapshot_file.dumps(own, body[:-2]), SnapshotCorruptError)
    refuse(path, snapshot_file.dumps(own, body + b"x"), SnapshotCorruptError, "1 bytes are left")
    refuse(path, data[:-2], SnapshotCorruptError, "is cut short")
    path.write_bytes(data)
    assert StageRouter.restore(path, budget=0.001).counters.queries == 20
    with pytest.raises(InvalidInputError, match="journal = 'x': is no setting of a router"):
        StageRouter.restore(path, journal="x")
    with pytest.raises(FileNotFoundError):
        StageRouter.restore(tmp_path / "nothing")


@pytest.mark.slow
def test_a_router_with_a_lowered_limit_can_be_restored(tmp_path: Path) -> None:
    generator = random.Random(0)
    for _ in range(100):
        high = generator.uniform(300.0, 900.0)
        router = make(models=[Model("a", requests_per_minute=high)], max_deployed=1)
        router.update_model("a", requests_per_minute=generator.uniform(60.0, high))
        router.snapshot(tmp_path / "snapshot")
        StageRouter.restore(tmp_path / "snapshot")


@pytest.mark.skipif(os.name != "posix", reason="only there can folders be synchronised")
@pytest.mark.parametrize("failing", ["file", "rename", "folder", None])
def test_a_snapshot_is_never_half_there(
    tmp_path: Path, failing: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill or a power cut leaves the old file or the new one: first its bytes, then its name."""
    path = tmp_path / "snapshot"
    old = snapshot(path)
    steps: list[str | None] = []

    def trace(owner: Any, name: str, what: Callable[[Any], str]) -> None:
        do = getattr(owner, name)

        def call(*arguments: Any) -> Any:
            steps.append(what(arguments[0]))
            if steps[-1] == failing:
                raise OSError("disk full")
            return do(*arguments)

        monkeypatch.setattr(owner, name, call)

    trace(os, "fsync", lambda file: "folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file")
    trace(Path, "replace", lambda _: "rename")
    with pytest.raises(OSError, match="disk full") if failing else nullcontext():
        make().snapshot(path)
    assert steps == ["file", "rename", "folder"][: len(steps)]
    assert steps[-1] == failing or len(steps) == 3
    assert (path.read_bytes() == old) == (failing in {"file", "rename"})
    assert [file.name for file in tmp_path.iterdir()] == ["snapshot"]


def test_other_settings_are_refused_and_named(journal_path: Path) -> None:
    refusing = partial(make, on_difference="refuse")
    make(journal=journal_path).close()
    differing = "max_deployed: 2 there, 3 here; stage_queries: None there, 10 here. Open"
    message = f"{journal_path} belongs to a router with other settings: {differing}"
    with pytest.raises(SnapshotMismatchError, match=message):
        refusing(journal=journal_path, max_deployed=3, stage_queries=10, seed=None)
    with pytest.raises(SnapshotMismatchError, match="settings: seed: 1 there, 2 here"):
        refusing(journal=journal_path, seed=2)
    # Refused without a trace: it opens as it was, by its seed or without one.
    make(journal=journal_path, seed=None).close()


def test_a_changed_budget_stays_until_the_code_says_something_new(journal_path: Path) -> None:
    with make(journal=journal_path) as router:
        router.set_budget(0.002)
    for budget, present in ((0.001, 0.002), (0.001, 0.002), (0.002, 0.002), (0.001, 0.001)):
        with make(journal=journal_path, budget=budget) as router:
            assert router.settings.budget == present
    with pytest.raises(SnapshotMismatchError, match=r"budget: 0\.001 there, 0\.003 here"):
        make(journal=journal_path, budget=0.003, on_difference="refuse")


def test_models_on_resume(journal_path: Path) -> None:
    with make(journal=journal_path, models=[Model("a"), Model("b"), Model("c")]) as router:
        router.update_model("a", throughput_cap=0.7)
        router.retire_model("c")
        router.add_model("d")
    with make(journal=journal_path, models=[Model("a", 0.2), Model("b"), Model("e")]) as router:
        # What is known stays as it was last, also what is not named; what is new is added.
        assert [model.name for model in router.models] == ["a", "b", "c", "d", "e"]
        assert router.models[0].throughput_cap == 0.7
        assert router.state("c").is_retired
        assert "e" not in router.deployment.models
    with make(journal=journal_path, models=["b"]) as router:
        assert [model.name for model in router.models] == ["a", "b", "c", "d", "e"]


def repeat(call: Callable[[], object]) -> None:
    """Go on until it raises."""
    while True:
        call()


def fill(router: StageRouter) -> None:
    """Use the tail up with the shortest of records, so that no other fits either."""
    with pytest.raises(JournalFullError, match="the tail is full"):
        repeat(partial(router.release, 0))


def full_journal(path: Path) -> JournalSettings:
    return JournalSettings(path, tail_bytes=1 << 12, commit_seconds=5.0)


def test_a_full_journal_refuses_and_changes_nothing(
    journal_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    router = make(journal=full_journal(journal_path))
    decision = router.route()
    plan = router.plan_stage()
    calls: list[Callable[[], Any]] = [
        router.route,
        partial(router.observe, decision, reward=1.0),
        partial(router.observe, decision, cost=1.0),
        partial(router.observe_many, [decision.id], costs=[1.0]),
        partial(router.observe_many, [decision.id], costs=[1.0], all_or_none=False),
        partial(router.fail, decision, "error"),
        partial(router.release, decision),
        partial(router.add_model, "d"),
        partial(router.update_model, "a", throughput_cap=0.5),
        partial(router.retire_model, "a"),
        partial(router.set_budget, 0.5),
        router.advance_stage,
        partial(router.commit, plan),
    ]
    with broken_disk():
        fill(router)
        before = everything(router)
        for call in calls * 2:
            with pytest.raises(JournalFullError):
                call()
            assert everything(router) == before
        with pytest.raises(JournalError, match="disk I/O error"):
            router.flush()
    # The disk is back: everything goes on, and everything is kept.
    router.flush()
    assert everything(router) == before
    for call in (calls[7], calls[12], calls[1], calls[2]):
        call()
    assert router.route().id == 1
    after = everything(router)
    router.close()
    with make(journal=journal_path) as router:
        assert everything(router) == after
        with pytest.raises(AlreadyObservedError):
            router.observe(decision.id, cost=1.0)
    assert caplog.text.count("cannot commit or compact for now") <= 1


@pytest.mark.parametrize("controller", ["inline", "background"])
def test_a_stage_that_a_full_journal_holds_up_ends_later(
    journal_path: Path, controller: str
) -> None:
    router = make(journal=full_journal(journal_path), stage_queries=1, controller=controller)
    with broken_disk():
        # Boundaries take more room than queries: there comes one that the journal refuses.
        with pytest.raises(JournalFullError):
            repeat(router.route)
        fill(router)
        with pytest.raises(JournalFullError):
            router.route()
        time.sleep(0.01)
        stage = router.deployment.stage
    router.flush()
    wait_until(lambda: router.route().stage > stage)
    wait_until(lambda: router.route().stage > stage + 1)
    counters = router.counters
    router.close()
    with make(journal=journal_path, stage_queries=1, controller=controller) as router:
        assert router.counters == counters


def test_a_closed_router_with_a_journal_takes_nothing(journal_path: Path) -> None:
    router = make(journal=journal_path)
    decision = router.route()
    router.close()
    for call in (router.route, partial(router.observe, decision, cost=0.1), router.advance_stage):
        with pytest.raises(JournalError, match="the journal is closed"):
            call()
    assert (router.counters.queries, router.counters.costs) == (1, 0)
    router.flush()
    router.close()
    # Without a journal, routing goes on over the last set.
    router = make()
    router.close()
    assert router.route().id == 0


def test_close_writes_the_decision_log_whatever_the_journal_does(journal_path: Path) -> None:
    batches: list[Any] = []
    log = DecisionLog(batches.append, seconds=60.0)
    router = make(journal=journal_path, decision_log=log)
    router.route()
    with broken_disk(), pytest.raises(JournalError, match="disk I/O error"):
        router.close()
    assert sum(len(batch) for batch in batches) == 1
    # What could not be committed stayed in the tail.
    with make(journal=journal_path) as router:
        assert router.counters.queries == 1


def test_a_constructor_that_fails_leaves_the_journal_free(journal_path: Path) -> None:
    safe = Model("a", max_cost=0.1)
    limited = partial(make, max_deployed=1, hard_limits=[HardLimit(1.0, "day")])
    limited(models=[safe], journal=journal_path).close()
    used = DecisionLog(list)
    make(decision_log=used).close()
    attempts: list[tuple[dict[str, Any], str]] = [
        ({"models": [safe, Model("b", max_cost=0.1), "c"]}, "max_cost of model 'c'"),
        ({"models": [safe], "decision_log": used}, "this log belongs to another router"),
        ({"models": [safe], "controller": "none"}, "controller = 'none'"),
        (
            {"models": [safe], "budget": 3.0, "on_difference": "refuse"},
            "budget: 0.001 there, 3.0 here",
        ),
    ]
    errors = []
    for changes, match in attempts:
        with pytest.raises((InvalidInputError, SnapshotError), match=match) as error:
            limited(journal=journal_path, **changes)
        # To keep the error is not to keep the journal.
        errors.append(error)
        with limited(models=[safe], journal=journal_path) as router:
            assert [model.name for model in router.models] == ["a"]


def test_a_journal_whose_first_snapshot_fails_starts_anew(
    journal_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise JournalError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(JournalStore, "set_snapshot", fail)
        with pytest.raises(JournalError, match="disk full"):
            make(journal=journal_path)
    with make(journal=journal_path) as router:
        assert router.route().id == 0


def test_warnings_do_not_count_what_an_earlier_process_warned_of(
    journal_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    costly = [Model("a", expected_cost=3.0), Model("b", expected_cost=2.0)]
    for stage, queries in ((1, 10), (2, 3)):
        with make(models=costly, journal=journal_path) as router:
            for _ in range(queries):
                router.route()
            router.advance_stage()
        assert f"stage {stage}: {queries} decisions were budget_infeasible" in caplog.text
