"""The router: what a service calls."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Self

import numpy as np

from stageroute.checks import require, require_one_of
from stageroute.config.confidence import Confidence
from stageroute.config.fleet import Fleet
from stageroute.config.models import Model
from stageroute.config.settings import Drift, FailureEffect, HardLimit, Health, RouterSettings
from stageroute.decision_log.log import DecisionLog
from stageroute.deployment.plan import StagePlan
from stageroute.deployment.solve import caps_suffice
from stageroute.errors import InvalidInputError, JournalError, StageRouteError
from stageroute.journal.journal import Journal
from stageroute.router import memory
from stageroute.router.memory import Facts, JournalSettings
from stageroute.router.models import as_model
from stageroute.router.stages import RouterStages
from stageroute.router.state import RouterCounters

__all__ = ["StageRouter"]


class StageRouter(RouterStages):
    """Decide which models are live and which of them serves each query.

    Parameters
    ----------
    models : iterable of Model or str
        The first candidates; more can be added at any time. At least one.
    budget : float
        Average USD per query, above 0.
    max_deployed : int
        How many models can be live at once, at least 1.
    confidence : Confidence or str, default ``Confidence()``
        How statistics become optimistic estimates; a string names the family.
    drift : Drift, optional
        What is forgotten, and what counts as a change; nothing by default.
    pacing_horizon : float or None, default 500
        A deviation of the spend from the budget is made good over so many queries, at least 1.
        None gives every LP the budget itself, as published: optimistic costs then overspend.
    pacing_burst : float, default 2.0
        Unspent budget is given back to a query up to so many times the budget, at least 1.
    hard_limits : iterable of HardLimit
        Limits on money that no decision can break; every model then needs a `max_cost`.
    failures : mapping of str to FailureEffect, optional
        What reasons of `fail` do, where that is not to be `settings.FAILURES`.
    health : Health, optional
        When models cool down, and for how long.
    fleet : Fleet, optional
        What a live set must satisfy beside `max_deployed`.
    on_lost_slot : {"leave_empty", "redeploy"}, default "leave_empty"
        What happens to the slot of a live model that retires or fails: it stays empty until the
        next stage, or the next stage comes at once.
    stage_queries : int, optional
        A stage ends after so many queries.
    stage_seconds : float, optional
        A stage ends after so much time. With neither, stages end by `advance_stage`, or by
        `plan_stage` and `commit`, alone.
    controller : {"background", "inline"}, default "background"
        Who deploys a stage that is due: a background thread, while routing goes on over the old
        set; or the very call of `route` that finds it due, which makes runs repeatable.
    start_models : callable, optional
        Called by the background controller with the `StagePlan` before it is committed: it starts
        what the plan starts, for as long as that takes. If it raises, the plan is dropped.
    open_decisions : int, default 65536
        How many recent decisions can take feedback; rounded up to a power of two.
    max_age : float, optional
        For how long a decision can take feedback, seconds; as long as it is among the
        `open_decisions` by default.
    time_limit : float, optional
        Seconds that the deployment MIP may take; see `solve_deployment`.
    solver : {"highs", "native"}, default "highs"
        What solves it.
    journal : path-like or JournalSettings, optional
        Keeps every call: a router that is made with the path of a journal goes on where the last
        one stood, even if that was killed. Its settings must be the same; models that it does not
        know are added, those that it knows stay as they were last, and so does a budget that
        `set_budget` has changed.
    decision_log : DecisionLog, optional
        Where every decision is written with its grounds.
    clock : callable, optional
        Returns the time in seconds since 1970; the system's by default. For simulations.
    seed : int, optional
        Fixes every random draw; drawn from the operating system by default.

    Raises
    ------
    InvalidInputError
        If an argument breaks its rule, names are not unique, or the caps of any `max_deployed`
        models sum to less than 1, so that traffic could not be served within them.
    JournalLockedError, JournalError, SnapshotError
        If the journal is open elsewhere, cannot be read or written, or cannot be used.

    Examples
    --------
    >>> router = StageRouter(["small", "large"], budget=0.001, max_deployed=2, seed=7)
    >>> decision = router.route()
    >>> router.observe(decision, reward=1.0, cost=0.0004)
    >>> router.counters.billed
    0.0004

    Notes
    -----
    One router may be used from many threads, and from an event loop: no call waits for the
    deployment, for a disk or for a callback.
    """

    _journal: Journal | None
    _decision_log: DecisionLog | None

    def __new__(
        cls,
        models: Iterable[Model | str],
        *,
        budget: float,
        max_deployed: int,
        confidence: Confidence | str | None = None,
        drift: Drift | None = None,
        pacing_horizon: float | None = 500.0,
        pacing_burst: float = 2.0,
        hard_limits: Iterable[HardLimit] = (),
        failures: Mapping[str, FailureEffect] | None = None,
        health: Health | None = None,
        fleet: Fleet | None = None,
        on_lost_slot: str = "leave_empty",
        stage_queries: int | None = None,
        stage_seconds: float | None = None,
        controller: str = "background",
        start_models: Callable[[StagePlan], object] | None = None,
        open_decisions: int = 65_536,
        max_age: float | None = None,
        time_limit: float | None = None,
        solver: str = "highs",
        journal: str | Path | JournalSettings | None = None,
        decision_log: DecisionLog | None = None,
        clock: Callable[[], float] | None = None,
        seed: int | None = None,
    ) -> Self:
        """Check the settings, create the native half and deploy the first stage, or resume."""
        candidates = _as_models(models)
        if isinstance(confidence, str):
            confidence = Confidence(family=confidence)
        settings = RouterSettings(
            budget=budget,
            max_deployed=max_deployed,
            confidence=Confidence() if confidence is None else confidence,
            drift=Drift() if drift is None else drift,
            pacing_horizon=pacing_horizon,
            pacing_burst=pacing_burst,
            hard_limits=tuple(hard_limits),
            failures={} if failures is None else dict(failures),
            health=Health() if health is None else health,
            fleet=Fleet() if fleet is None else fleet,
            on_lost_slot=on_lost_slot,
            stage_queries=stage_queries,
            stage_seconds=stage_seconds,
            open_decisions=open_decisions,
            max_age=max_age,
            time_limit=time_limit,
            solver=solver,
            seed=_random_seed() if seed is None else seed,
        )
        _check_caps(candidates, max_deployed)
        _check_controller(controller, start_models, settings)
        log_capacity = 0 if decision_log is None else decision_log.capacity
        if journal is None:
            self = cls._begin(settings, candidates, clock, log_capacity)
        else:
            if not isinstance(journal, JournalSettings):
                journal = JournalSettings(journal)
            self = cls._resume(
                journal, settings, candidates, clock, log_capacity, is_seeded=seed is not None
            )
        self._start(candidates, decision_log, controller, start_models)
        return self

    @classmethod
    def restore(
        cls,
        path: str | Path,
        *,
        controller: str = "background",
        start_models: Callable[[StagePlan], object] | None = None,
        decision_log: DecisionLog | None = None,
        clock: Callable[[], float] | None = None,
        **settings: Any,
    ) -> Self:
        """Go on from a snapshot with the decisions that the saved router would have made.

        Parameters
        ----------
        path : path-like
            What `snapshot` wrote; it is not changed.
        controller, start_models, decision_log, clock
            As for a new router: they are no part of a snapshot.
        **settings
            Settings that the saved router must have; whatever is not named is as it was saved.

        Raises
        ------
        SnapshotVersionError, SnapshotMismatchError, SnapshotCorruptError
            If the snapshot was written by another version, has other settings, or is damaged.
        OSError
            If it cannot be read.
        """
        facts, state = memory.load(path)
        memory.require_settings(str(path), facts, settings)
        _check_controller(controller, start_models, facts.settings)
        log_capacity = 0 if decision_log is None else decision_log.capacity
        self = cls._make(facts, clock, log_capacity, state)
        self._start([], decision_log, controller, start_models)
        return self

    @classmethod
    def _begin(
        cls,
        settings: RouterSettings,
        models: list[Model],
        clock: Callable[[], float] | None,
        log_capacity: int,
    ) -> Self:
        """Start from nothing."""
        self = cls._make(Facts(settings, models), clock, log_capacity, None)
        self._facts.models = []
        for model in models:
            self.add_model(model)
        self.advance_stage()
        return self

    @classmethod
    def _resume(
        cls,
        where: JournalSettings,
        settings: RouterSettings,
        models: list[Model],
        clock: Callable[[], float] | None,
        log_capacity: int,
        *,
        is_seeded: bool,
    ) -> Self:
        """Start from a journal, or start one."""
        journal, recovered = memory.open_journal(where)
        try:
            if recovered.snapshot is None:
                self = cls._begin(settings, models, clock, log_capacity)
            else:
                wanted = settings.to_json() | ({} if is_seeded else {"seed": None})
                facts, state = memory.decode(recovered.snapshot, str(where.path))
                self = cls._make(facts, clock, log_capacity, state)
                for record in recovered.records():
                    self._repeat(record)
                memory.require_settings(str(where.path), self._facts, wanted)
        except BaseException:
            journal.abandon()
            raise
        self._control.attach_journal(journal.tail)
        self._journal = journal
        return self

    @classmethod
    def _make(
        cls,
        facts: Facts,
        clock: Callable[[], float] | None,
        log_capacity: int,
        state: bytes | None,
    ) -> Self:
        """Create the native half, new or from its saved state."""
        core = facts.settings.to_core(facts.models)
        self = super().__new__(cls, core, clock, log_capacity=log_capacity, state=state)
        if state is not None:
            self._control.name_arms([model.name for model in facts.models])
        self._facts = facts
        self._count_from_here()
        # Held while a stage changes, so that two boundaries never overlap. Routing never takes it.
        self._stage_lock = threading.RLock()
        self._start_models = None
        self._controller = None
        self._journal = None
        self._decision_log = None
        return self

    def _start(
        self,
        models: list[Model],
        decision_log: DecisionLog | None,
        controller: str,
        start_models: Callable[[StagePlan], object] | None,
    ) -> None:
        """Go on, now that what is past has been repeated: add new models, start the threads."""
        try:
            self._count_from_here()
            if self._journal is not None:
                self._start_journal(self._journal, models)
            if decision_log is not None:
                # What was repeated from the journal was logged when it was first done.
                self._control.drain_log()
                decision_log.attach(self)
                self._decision_log = decision_log
            self._start_stages(controller, start_models)
        except BaseException:
            # The traceback keeps `self` alive and with it the journal's lock, so close first.
            with contextlib.suppress(StageRouteError):
                self.close()
            raise

    def _start_journal(self, journal: Journal, models: list[Model]) -> None:
        known = {model.name for model in self._facts.models}
        new = [model for model in models if model.name not in known]
        for model in new:
            self._check_foreseeable(model)
        journal.start(self._take_snapshot)
        if not journal.has_snapshot:
            journal.compact(self._take_snapshot)
        for model in new:
            self.add_model(model)

    @property
    def counters(self) -> RouterCounters:
        """What was done and spent so far."""
        log = self._decision_log
        return RouterCounters(
            **self._control.counters(),
            failed_stages=self._facts.failed_stages,
            log_dropped=0 if log is None else log.dropped,
        )

    def snapshot(self, path: str | Path) -> None:
        """Write all that the router is to a file: `restore` goes on from there.

        Statistics, open decisions, budget and pacing, limits, health, live set, generator and
        counters; not the decision log. The file of that name is the old one or the new one, never
        half.

        Parameters
        ----------
        path : path-like

        Raises
        ------
        OSError
            If it cannot be written.
        """
        with self._stage_lock:
            _, state = self._control.snapshot()
            facts = deepcopy(self._facts)
        memory.save(path, facts, state)

    def flush(self) -> None:
        """Wait until the journal has committed and the decision log has written all so far.

        Raises
        ------
        JournalError
            If that cannot be done now; nothing is lost.
        """
        try:
            if self._journal is not None:
                self._journal.flush()
        finally:
            if self._decision_log is not None:
                self._decision_log.flush()

    def close(self) -> None:
        """Stop the background threads and close journal and log.

        Without a journal, routing can go on over the last set; with one, it is refused from now on.
        """
        if self._controller is not None:
            self._controller.stop()
            self._controller.join()
        try:
            if self._journal is not None:
                self._journal.close()
        finally:
            if self._decision_log is not None:
                self._decision_log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _repeat(self, record: bytes) -> None:
        """Do what a record of the journal says, once more."""
        note = self._control.repeat(record)
        if note is not None:
            model = self._facts.apply(note)
            if model is not None:
                self._control.name_arms([model.name])

    def _take_snapshot(self) -> tuple[tuple[int, int], bytes]:
        """Where the journal stands, and everything there is at that point."""
        with self._stage_lock:
            head, state = self._control.snapshot()
            facts = deepcopy(self._facts)
        if head is None:
            raise JournalError("this router has no journal")
        return head, memory.encode(facts, state)


def _as_models(models: Iterable[Model | str]) -> list[Model]:
    candidates = [as_model(model) for model in models]
    if not candidates:
        raise InvalidInputError("models is empty: a router needs at least one model to start")
    return candidates


def _random_seed() -> int:
    return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])


def _check_controller(
    controller: str,
    start_models: Callable[[StagePlan], object] | None,
    settings: RouterSettings,
) -> None:
    require_one_of("controller", controller, ("background", "inline"))
    is_inline = controller == "inline"
    ok = not (is_inline and settings.stage_seconds is not None)
    require(ok, "controller", controller, "stages by the clock need the background")
    ok = start_models is None or not is_inline
    require(ok, "start_models", start_models, "needs the background")


def _check_caps(models: list[Model], max_deployed: int) -> None:
    caps = sorted((model.throughput_cap for model in models), reverse=True)[:max_deployed]
    require(
        caps_suffice(caps, max_deployed),
        "throughput_cap",
        caps,
        f"the largest {len(caps)} caps must sum to at least 1, or live models could not take all "
        "the traffic: raise them, or max_deployed, or add models",
    )
