"""The router: what a service calls."""

import contextlib
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, Unpack

from stageroute.checks import as_path, listed, require_one_of
from stageroute.config.journal import JournalSettings
from stageroute.config.models import Model
from stageroute.config.router import RouterArguments, RouterSettings
from stageroute.decision_log.log import DecisionLog
from stageroute.deployment.plan import StagePlan
from stageroute.errors import InvalidInputError, StageRouteError
from stageroute.journal.journal import Journal
from stageroute.router import facts as formats
from stageroute.router.calls import Calls
from stageroute.router.configure import Configurable, check_caps
from stageroute.router.events import Event
from stageroute.router.facts import FINGERPRINTS, Facts
from stageroute.router.memory import Memory
from stageroute.router.models import as_model
from stageroute.router.part import Clock, Surroundings
from stageroute.router.state import LimitState, Recovery, RouterCounters
from stageroute.router.telling import Telling
from stageroute.threads import make_lock


class StageRouter(Configurable, Calls, Memory, Telling):
    """Decide which models are live and which of them serves each query.

    Parameters
    ----------
    models : iterable of Model or str
        The first candidates; more can be added at any time. At least one.
    controller : {"background", "inline"}, default "background"
        What deploys a stage that is due: a background thread, while routing goes on over the old
        set; or the very call of `route` that finds it due, which makes runs repeatable.
    start_models : callable, optional
        Called by the background controller with the `StagePlan` before it is committed: it starts
        what the plan starts, for as long as that takes. If it raises, the plan is dropped.
    journal : path-like or JournalSettings, optional
        Keeps every call: a router that is made with the path of a journal goes on where the last
        one stood, even if that was killed. Its settings must be the same; models that it does not
        know are added, those that it knows stay as they were last, and so does a budget that
        `set_budget` has changed.
    decision_log : DecisionLog, optional
        Where every decision is written with its grounds.
    clock : callable, optional
        Returns the time in seconds since 1970; the system's by default. For simulations. Where it
        jumps, what it shows later is taken for time that has passed; if it returns a pair, with the
        time of a clock that never jumps, that is what passes.
    on_event : callable, optional
        Called with every `Event` (stages, cool-downs, refusals, changes), once each and in order,
        from a thread of its own. What it raises is logged.
    **settings
        All other settings; `budget` and `max_deployed` have no default. Each is documented in
        `RouterSettings`.

    Raises
    ------
    InvalidInputError
        If an argument breaks its rule, names are not unique, or the caps of any `max_deployed`
        models sum to less than 1, so that traffic could not be served within them.
    JournalLockedError, JournalError, SnapshotError
        If the journal is open elsewhere, cannot be read or written, or cannot be used.
    JournalGapError
        If acknowledged calls are missing from it; `JournalSettings` can allow that.
    ForkedRouterError
        From every call in a process that was forked after the router was made, but from `close`.

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

    Routing and feedback are the native half itself; models, stages and memory have a file each.
    """

    _decision_log: DecisionLog | None = None

    def __new__(
        cls,
        models: Iterable[Model | str],
        *,
        controller: str = "background",
        start_models: Callable[[StagePlan], object] | None = None,
        journal: str | Path | JournalSettings | None = None,
        decision_log: DecisionLog | None = None,
        clock: Clock | None = None,
        on_event: Callable[[Event], object] | None = None,
        on_difference: str = "apply",
        **settings: Unpack[RouterArguments],
    ) -> Self:
        """Check the settings, create the native half and deploy the first stage, or resume."""
        candidates = [as_model(model) for model in listed("models", models, "models or names")]
        if not candidates:
            raise InvalidInputError("models is empty: a router needs at least one model to start")
        checked = RouterSettings.of(**settings)
        check_caps(candidates, checked.max_deployed)
        around = Surroundings(controller, start_models, decision_log, clock, on_event)
        around.check(checked)
        require_one_of("on_difference", on_difference, ("apply", "refuse"))
        if journal is None:
            self = cls._begin(checked, candidates, around)
        else:
            where = journal if isinstance(journal, JournalSettings) else JournalSettings(journal)
            wanted = asdict(checked) | ({"seed": None} if settings.get("seed") is None else {})
            self = cls._resume(where, wanted, checked, candidates, around, on_difference)
        self._start(candidates, around)
        return self

    @classmethod
    def restore(
        cls,
        path: str | Path,
        *,
        controller: str = "background",
        start_models: Callable[[StagePlan], object] | None = None,
        decision_log: DecisionLog | None = None,
        clock: Clock | None = None,
        on_event: Callable[[Event], object] | None = None,
        **settings: Any,
    ) -> Self:
        """Go on from a snapshot with the decisions that the saved router would have made.

        Parameters
        ----------
        path : path-like
            What `snapshot` wrote; it is not changed.
        controller, start_models, decision_log, clock, on_event
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
        facts, state = formats.decode(as_path("path", path).read_bytes(), str(path))
        formats.require_settings(str(path), facts, settings)
        around = Surroundings(controller, start_models, decision_log, clock, on_event)
        around.check(facts.settings)
        self = cls._make(facts, facts.models, around, state)
        self._tell_events()
        self._start([], around)
        return self

    @classmethod
    def _begin(cls, settings: RouterSettings, models: list[Model], around: Surroundings) -> Self:
        """Start from nothing."""
        self = cls._make(Facts(settings), models, around, None)
        for model in models:
            self.add_model(model)
        self._tell_events()
        self.advance_stage()
        return self

    @classmethod
    def _resume(
        cls,
        where: JournalSettings,
        wanted: dict[str, Any],
        settings: RouterSettings,
        models: list[Model],
        around: Surroundings,
        on_difference: str,
    ) -> Self:
        """Start from a journal, or start one."""
        journal, recovered = Journal.open(where, FINGERPRINTS)
        try:
            repeated = 0
            if recovered.snapshot is None:
                self = cls._begin(settings, models, around)
            else:
                facts, state = formats.decode(recovered.snapshot, str(where.path))
                self = cls._make(facts, facts.models, around, state)
                repeated = self._repeat_all(recovered.records(), around.decision_log)
                if on_difference == "refuse":
                    formats.require_settings(str(where.path), self._facts, wanted)
            self._control.attach_journal(journal.tail)
            if recovered.snapshot is not None:
                journal.begin()
                self._tell_events()
                given = {name: getattr(settings, name) for name in wanted}
                self._reconcile(str(where.path), given | {"seed": wanted["seed"]}, models)
        except BaseException:
            journal.abandon()
            raise
        self._journal = journal
        self._recovered = Recovery(repeated, recovered.lost, recovered.cut, recovered.gap)
        return self

    @classmethod
    def _make(
        cls, facts: Facts, models: Sequence[Model], around: Surroundings, state: bytes | None
    ) -> Self:
        """Create the native half for these models, new or from its saved state."""
        core = facts.settings.to_core(models)
        self = super().__new__(
            cls, core, around.clock, log_capacity=around.log_capacity, state=state
        )
        if state is not None:
            self._control.name_arms([model.name for model in facts.models])
        self._changing, self._around = make_lock(), around
        self._control.set_facts(facts)
        self._count_from_here()
        return self

    def _start(self, models: list[Model], around: Surroundings) -> None:
        """Go on, now that what is past has been repeated: add new models, start the threads."""
        new = [model for model in models if not self._control.has(model.name)]
        try:
            self._count_from_here()
            for model in new:
                self._check_foreseeable(model)
            if around.decision_log is not None:
                # Before the journal: what it replaces by a snapshot has to be in the log.
                around.decision_log.attach(self)
                self._decision_log = around.decision_log
            self._start_journal()
            for model in new:
                self.add_model(model)
            self._start_stages()
            _, live = self._control.live()
            if not live:
                # The process before ended when the last live model had gone.
                self._control.tell_if_due()
        except BaseException:
            # The traceback keeps `self` alive and with it the journal's lock, so close first.
            with contextlib.suppress(StageRouteError):
                self.close()
            raise

    @property
    def limits(self) -> tuple[LimitState, ...]:
        """What each hard limit stands at."""
        return tuple(LimitState(*state) for state in self._control.limits())

    @property
    def counters(self) -> RouterCounters:
        """What was done and spent so far."""
        log = self._decision_log
        return RouterCounters(
            **self._control.counters(),
            failed_stages=self._facts.failed_stages,
            log_dropped=0 if log is None else log.dropped,
        )

    def flush(self) -> None:
        """Wait until the journal has committed, and decision log and events have told, all so far.

        Raises
        ------
        JournalError
            If that cannot be done now; nothing is lost.
        """
        self._require_own()
        try:
            if self._journal is not None:
                self._journal.flush()
        finally:
            if self._decision_log is not None:
                self._decision_log.flush()
            self._flush_events()

    def close(self) -> None:
        """Stop the background threads and close journal and log.

        Without a journal, routing can go on over the last set; with one, it is refused from now on.
        In a forked child it does nothing: all of this is the parent's.
        """
        if self._is_inherited:
            return
        self._stop_stages()
        try:
            if self._journal is not None:
                self._journal.close()
        finally:
            if self._decision_log is not None:
                self._decision_log.close()
            self._stop_events()

    def __enter__(self) -> Self:
        self._require_own()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._decision_log is not None and not self._is_inherited:
            self._decision_log.drain(self)


def _full_signature() -> inspect.Signature:
    """List every setting by name, as `help` and editors are to show them."""
    _, models, *others, _ = inspect.signature(StageRouter.__new__).parameters.values()
    settings = inspect.signature(RouterSettings).parameters.values()
    return inspect.Signature([models, *settings, *others])


StageRouter.__signature__ = _full_signature()  # type: ignore[attr-defined]
