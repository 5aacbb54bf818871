"""The router: what a service calls."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np

from stageroute import _core, router_memory
from stageroute.checks import require, require_one_of
from stageroute.confidence import Confidence
from stageroute.decision_log import DecisionLog
from stageroute.deployment import caps_suffice
from stageroute.errors import (
    InvalidInputError,
    JournalError,
    NoModelError,
    StageRouteError,
    StalePlanError,
    UnknownModelError,
)
from stageroute.fleet import Fleet
from stageroute.journal import Journal
from stageroute.models import Model
from stageroute.router_memory import Facts, JournalSettings
from stageroute.router_state import Deployment, LimitState, ModelState, RouterCounters
from stageroute.settings import Drift, FailureEffect, HardLimit, Health, RouterSettings
from stageroute.stage_controller import StageController
from stageroute.stage_plan import StagePlan, make_plan

__all__ = ["StageRouter"]

logger = logging.getLogger("stageroute")

INFEASIBLE_STATUSES: Final[dict[Literal["budget_infeasible", "cap_infeasible"], str]] = {
    "budget_infeasible": "no mixture of the live models met the budget; the cheapest served",
    "cap_infeasible": "the live models' caps sum to less than 1; traffic was split in proportion",
}
"""What a counter of decisions outside the limits means."""

CHANGEABLE: Final = frozenset(Model.__dataclass_fields__) - {
    "name",
    *(
        f"expected_{what}{suffix}"
        for what in ("cost", "reward", "tokens")
        for suffix in ("", "_weight")
    ),
}
"""Fields of a model that can be changed while it is there: all but its name and what was believed of
it beforehand."""


class StageRouter(_core.Router):
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
        What happens to the slot of a live model that retires or fails: it stays empty until the next
        stage, or the next stage comes at once.
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
    journal : path-like or JournalSettings, optional
        Keeps every call: a router that is made with the path of a journal goes on where the last
        one stood, even if that was killed. Its settings must be the same; models that it does not
        know are added, those that it knows stay as they were last.
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

    _facts: Facts
    _infeasible_before: dict[str, int]
    _stage_lock: threading.RLock
    _start_models: Callable[[StagePlan], object] | None
    _controller: StageController | None
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
            seed=_random_seed() if seed is None else seed,
        )
        _check_caps(candidates, max_deployed)
        _check_controller(controller, start_models, settings)
        if journal is None:
            self = cls._begin(settings, candidates, clock, decision_log)
        else:
            if not isinstance(journal, JournalSettings):
                journal = JournalSettings(journal)
            self = cls._resume(
                journal, settings, candidates, clock, decision_log, is_seeded=seed is not None
            )
        self._control(controller, start_models)
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
        facts, state = router_memory.load(path)
        router_memory.require_settings(str(path), facts.settings, settings)
        _check_controller(controller, start_models, facts.settings)
        self = cls._make(facts, clock, decision_log, state)
        self._start_log()
        self._control(controller, start_models)
        return self

    @classmethod
    def _begin(
        cls,
        settings: RouterSettings,
        models: list[Model],
        clock: Callable[[], float] | None,
        decision_log: DecisionLog | None,
    ) -> Self:
        """Start from nothing."""
        self = cls._make(Facts(settings, models), clock, decision_log, None)
        self._start_log()
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
        decision_log: DecisionLog | None,
        *,
        is_seeded: bool,
    ) -> Self:
        """Start from a journal, or start one."""
        journal, recovered = router_memory.open_journal(where)
        try:
            if recovered.snapshot is None:
                self = cls._begin(settings, models, clock, decision_log)
            else:
                wanted = settings.to_json() | ({} if is_seeded else {"seed": None})
                facts, state = router_memory.decode(recovered.snapshot, str(where.path))
                self = cls._make(facts, clock, decision_log, state)
                for record in recovered.records():
                    self._repeat(record)
                router_memory.require_settings(str(where.path), self._facts.settings, wanted)
                self._start_log()
        except BaseException:
            journal.abandon()
            raise
        self._attach_journal(journal.tail)
        journal.start(self._take_snapshot)
        self._journal = journal
        if recovered.snapshot is None:
            journal.compact(self._take_snapshot)
        known = {model.name for model in self._facts.models}
        for model in models:
            if model.name not in known:
                self.add_model(model)
        return self

    @classmethod
    def _make(
        cls,
        facts: Facts,
        clock: Callable[[], float] | None,
        decision_log: DecisionLog | None,
        state: bytes | None,
    ) -> Self:
        """Create the native half, new or from its saved state."""
        capacity = 0 if decision_log is None else decision_log.capacity
        core = facts.settings.to_core(facts.models, capacity)
        self = super().__new__(cls, core, clock, state)
        if state is not None:
            self._name_arms([model.name for model in facts.models])
        self._facts = facts
        self._infeasible_before = dict.fromkeys(INFEASIBLE_STATUSES, 0)
        # Held while a stage changes, so that two boundaries never overlap. Routing never takes it.
        self._stage_lock = threading.RLock()
        self._start_models = None
        self._controller = None
        self._journal = None
        self._decision_log = decision_log
        return self

    def _start_log(self) -> None:
        """Log decisions from here on; what a journal repeated was logged when it was made."""
        self._drain_log()
        if self._decision_log is not None:
            self._decision_log.attach(self)

    def _control(self, controller: str, start_models: Callable[[StagePlan], object] | None) -> None:
        """Start the background thread, if stages end by themselves and not inline."""
        settings = self._facts.settings
        self._start_models = start_models
        ends_by_itself = (
            settings.stage_queries is not None
            or settings.stage_seconds is not None
            or settings.on_lost_slot == "redeploy"
        )
        if ends_by_itself and controller == "background":
            self._controller = StageController(self._next_stage, settings.stage_seconds)

    @property
    def models(self) -> tuple[Model, ...]:
        """Every model ever added, in that order, as it is now."""
        return tuple(self._facts.models)

    @property
    def settings(self) -> RouterSettings:
        """All settings, defaults filled in."""
        return self._facts.settings

    @property
    def deployment(self) -> Deployment:
        """The live set."""
        deployment = self._facts.deployment
        if deployment is None:
            raise NoModelError("nothing was deployed yet")
        return deployment

    @property
    def counters(self) -> RouterCounters:
        """What was done and spent so far."""
        log = self._decision_log
        return RouterCounters(
            **self._counters(),
            failed_stages=self._facts.failed_stages,
            log_dropped=0 if log is None else log.dropped,
        )

    @property
    def limits(self) -> tuple[LimitState, ...]:
        """What each hard limit stands at."""
        return tuple(LimitState(*state) for state in self._limits())

    def add_model(self, model: Model | str) -> None:
        """Add a candidate; it can be live from the next stage on.

        Raises
        ------
        InvalidInputError
            If its name is taken, or a hard limit needs its `max_cost`.
        """
        model = _as_model(model)
        with self._stage_lock:
            if any(model.name == known.name for known in self._facts.models):
                raise InvalidInputError(
                    f"name = {model.name!r}: this router has a model of that name already"
                )
            self._check_foreseeable(model)
            note = router_memory.note(model=model)
            self._add_arm(model.name, model.core_settings(), model.core_prior(), note)
            self._facts.models.append(model)

    def update_model(self, name: str, **changes: Any) -> Model:
        """Change a model's price, limits or other fields; they apply to the next query.

        Decisions already made are billed at the price under which they were made.

        Parameters
        ----------
        name : str
        **changes
            Fields of `Model` with their new values: all but the name and what was expected of the
            model before it was added.

        Returns
        -------
        Model
            As it is now.

        Raises
        ------
        UnknownModelError
            If there is no such model, or it has retired.
        InvalidInputError
            If a field cannot be changed, or a value breaks its rule.
        """
        for field in changes:
            rule = f"cannot be changed; these can: {', '.join(sorted(CHANGEABLE))}"
            require(field in CHANGEABLE, field, changes[field], rule)
        with self._stage_lock:
            arm = self._arm_in_service(name)
            model = replace(self._facts.models[arm], **changes)
            self._check_foreseeable(model)
            self._set_arm(arm, model.core_settings(), router_memory.note(model=model))
            self._facts.models[arm] = model
            return model

    def retire_model(self, name: str) -> None:
        """Retire a model for good: no new decisions, while feedback for earlier ones still counts.

        Its slot follows `on_lost_slot`.

        Raises
        ------
        UnknownModelError
            If there is no such model, or it has retired already.
        """
        with self._stage_lock:
            self._retire_arm(self._arm_in_service(name))
        if self._is_stage_due():
            self._on_stage_due()

    def set_budget(self, budget: float) -> None:
        """Change the average budget from the next query on.

        Parameters
        ----------
        budget : float
            USD per query, above 0. What was over- or underspent is measured against it from the
            first query.

        Raises
        ------
        InvalidInputError
            If it breaks its rule.
        """
        with self._stage_lock:
            settings = replace(self._facts.settings, budget=budget)
            note = router_memory.note(settings=settings.to_json())
            self._set_budget(float(budget), note)
            self._facts.settings = settings

    def plan_stage(self) -> StagePlan:
        """Choose the next live set from what is known now, and change nothing.

        Returns
        -------
        StagePlan
            What would start, stop and stay, and why. `commit` makes it live.

        Raises
        ------
        NoModelError
            If every model has retired or failed.
        DeploymentConflictError
            If no set satisfies the fleet's constraints.
        SolverError
            If the MIP ended without a proven optimum.
        """
        with self._stage_lock:
            planning, facts = self._planning(), self._facts
            models, settings = list(facts.models), facts.settings
            stage, live = self._plan()
        return make_plan(settings, planning, models, live, stage)

    def commit(self, plan: StagePlan) -> Deployment:
        """End the stage: switch to a planned live set in one step.

        Parameters
        ----------
        plan : StagePlan
            What `plan_stage` returned during this stage.

        Returns
        -------
        Deployment
            The live set of the new stage.

        Raises
        ------
        StalePlanError
            If another plan was committed since, or a model of this one has retired.
        """
        with self._stage_lock:
            stage, _ = self._plan()
            if plan.after_stage != stage:
                raise StalePlanError(
                    f"this plan follows stage {plan.after_stage}, and stage {stage} is running: "
                    "plan again"
                )
            arms = [self._arm(name) for name in plan.models]
            retired = [name for name in plan.models if self.state(name).is_retired]
            if retired:
                raise StalePlanError(
                    f"{', '.join(retired)} retired after this plan was made: plan again"
                )
            self._warn_of_last_stage(stage)
            deployment = Deployment(
                stage=stage + 1,
                models=plan.models,
                status=plan.status,
                weights=plan.weights,
                expected_reward=plan.expected_reward,
                expected_spend=plan.expected_spend,
            )
            note = router_memory.note(deployment=deployment)
            self._publish(arms, plan.start_cost, note)
            self._facts.deployment = deployment
            if plan.status != "optimal":
                logger.warning("stage %d: deployment is %s", stage + 1, plan.status)
            return deployment

    def advance_stage(self) -> Deployment:
        """End the stage: plan and commit at once.

        Returns
        -------
        Deployment
            The live set of the new stage.

        Raises
        ------
        NoModelError, DeploymentConflictError, SolverError
            As `plan_stage`; the old set stays live.
        """
        with self._stage_lock:
            return self.commit(self.plan_stage())

    def state(self, name: str) -> ModelState:
        """Return what is known of a model.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        """
        with self._stage_lock:
            arm = self._arm(name)
            _, live = self._plan()
            known = self._arm_state(arm)
            return ModelState(model=self._facts.models[arm], is_live=arm in live, **known)

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
            _, state = self._snapshot()
            facts = deepcopy(self._facts)
        router_memory.save(path, facts, state)

    def flush(self) -> None:
        """Wait until the journal has committed and the decision log has written all so far.

        Raises
        ------
        JournalError
            If that cannot be done now; nothing is lost.
        """
        if self._journal is not None:
            self._journal.flush()
        if self._decision_log is not None:
            self._decision_log.flush()

    def close(self) -> None:
        """Stop the background threads and close journal and log.

        Without a journal, routing can go on over the last set; with one, it is refused from here on.
        """
        if self._controller is not None:
            self._controller.stop()
            self._controller.join()
        if self._journal is not None:
            self._journal.close()
        if self._decision_log is not None:
            self._decision_log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _on_stage_due(self) -> None:
        """Have the next stage deployed: called once when `route` finds it due."""
        if self._controller is not None:
            self._controller.request()
            return
        with self._stage_lock:
            if self._is_stage_due():
                self._next_stage()

    def _next_stage(self) -> None:
        """Plan, have models started, commit; a stage that fails keeps the old set and is counted."""
        try:
            plan = self.plan_stage()
            if self._start_models is not None:
                self._start_models(plan)
            self.commit(plan)
        except StageRouteError as error:
            self._extend(error)
        except Exception as error:  # noqa: BLE001  # whatever the operator's callback raises
            self._extend(error)

    def _extend(self, error: Exception) -> None:
        self._extend_stage(router_memory.note(failed_stages=1))
        self._facts.failed_stages += 1
        logger.warning("stage not advanced, the live set stays as it was: %s", error)

    def _repeat(self, record: bytes) -> None:
        """Do what a record of the journal says, once more."""
        note = self._replay(record)
        if note is not None:
            model = self._facts.apply(note)
            if model is not None:
                self._name_arms([model.name])

    def _take_snapshot(self) -> tuple[tuple[int, int], bytes]:
        """Where the journal stands, and everything there is at that point."""
        with self._stage_lock:
            head, state = self._snapshot()
            facts = deepcopy(self._facts)
        if head is None:
            raise JournalError("this router has no journal")
        return head, router_memory.encode(facts, state)

    def _arm(self, name: str) -> int:
        for arm, model in enumerate(self._facts.models):
            if model.name == name:
                return arm
        known = ", ".join(model.name for model in self._facts.models)
        raise UnknownModelError(f"name = {name!r}: no such model; this router knows {known}")

    def _arm_in_service(self, name: str) -> int:
        arm = self._arm(name)
        if self._arm_state(arm)["is_retired"]:
            raise UnknownModelError(f"name = {name!r}: this model has retired already")
        return arm

    def _check_foreseeable(self, model: Model) -> None:
        rule = "hard limits must foresee the worst: give it, or a price and max_tokens"
        ok = model.largest_cost is not None or not self._facts.settings.hard_limits
        require(ok, f"max_cost of model {model.name!r}", None, rule)

    def _warn_of_last_stage(self, stage: int) -> None:
        """Say once, at the boundary, that queries of the stage were served outside the limits."""
        counters = self._counters()
        for status, reason in INFEASIBLE_STATUSES.items():
            since = counters[status] - self._infeasible_before[status]
            if since:
                logger.warning("stage %d: %d decisions were %s: %s", stage, since, status, reason)
            self._infeasible_before[status] = counters[status]


def _as_model(model: Model | str) -> Model:
    return Model(model) if isinstance(model, str) else model


def _as_models(models: Iterable[Model | str]) -> list[Model]:
    candidates = [_as_model(model) for model in models]
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
    ok = start_models is None or (callable(start_models) and not is_inline)
    require(ok, "start_models", start_models, "must be callable, and needs the background")


def _check_caps(models: list[Model], max_deployed: int) -> None:
    caps = sorted((model.throughput_cap for model in models), reverse=True)[:max_deployed]
    require(
        caps_suffice(caps, max_deployed),
        "throughput_cap",
        caps,
        f"the largest {len(caps)} caps must sum to at least 1, or live models could not take all "
        "the traffic: raise them, or max_deployed, or add models",
    )
