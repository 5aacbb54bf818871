"""The drill itself: a caller, its requests and a router, in simulated time."""

import heapq
import os
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from stageroute.config.journal import JournalSettings
from stageroute.config.prices import Tokens
from stageroute.config.settings import ChangeTest, Drift, HardLimit, Health
from stageroute.datasets.trace import Trace
from stageroute.decision_log.log import DecisionLog
from stageroute.drill.environment import (
    ATTEMPTS,
    ROUNDING,
    Answer,
    Attempt,
    Environment,
    KnownLimits,
)
from stageroute.drill.fleet import (
    INITIAL,
    MOST_OUTPUT,
    STARTS,
    Event,
    clock_hour,
    in_ticks,
    timeline,
)
from stageroute.drill.results import DrillRecord, DrillResult, DrillSettings, Refusal
from stageroute.errors import (
    AlreadyObservedError,
    ExpiredDecisionError,
    ForkedRouterError,
    NoModelError,
    RefusedError,
)
from stageroute.router.router import StageRouter

MAX_AGE: Final = 900.0  # seconds after which a reward is too late
HEALTH: Final = Health(cooldown=5.0, max_cooldown=60.0)
# Overspend is corrected over 1/40 of the trace: what is left of it at the end does not depend on
# the length of the trace, so a short one needs a short horizon.
PACED_PARTS: Final = 40
REPEATED: Final = 0.002  # share of the rewards that are delivered twice
WATCHED: Final = 300  # decisions after a change of price that are looked at closely


def run_drill(
    trace: Trace,
    settings: DrillSettings | None = None,
    *,
    environment: Environment | None = None,
    progress: Callable[[], object] | None = None,
) -> DrillResult:
    """Replay a trace through a router in production's conditions.

    Parameters
    ----------
    trace : Trace
    settings : DrillSettings, optional
    environment : Environment, optional
        The world; by default one of the settings' seed.
    progress : callable, optional
        Called after each request.
    """
    settings = DrillSettings() if settings is None else settings
    trace = trace.faster(settings.scale)
    world = environment or Environment(trace, settings.seed, settings.fleet)
    return Simulation(trace, settings, world).run(progress or (lambda: None))


class Simulation:
    """One drill."""

    def __init__(self, trace: Trace, settings: DrillSettings, world: Environment) -> None:
        self._trace, self._settings, self._world = trace, settings, world
        self._now, self._clock_error = 0.0, 0.0
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self._pushed = 0
        self._present = list(INITIAL)
        self._record = DrillRecord()
        self._generator = np.random.default_rng([settings.seed, 3])
        # The environment's own ledger: the limits as told, and by clock hour the bills, and the
        # largest bills possible of what is under way.
        self._known = {name: KnownLimits(model, HEALTH) for name, model in settings.fleet.items()}
        self._limit = settings.hourly_limit(trace)
        self._committed: defaultdict[int, float] = defaultdict(float)
        self._router = self._make_router()

    def run(self, progress: Callable[[], object]) -> DrillResult:
        """Run to the end: until the last answer and the last reward are in."""
        trace, events = self._trace, timeline(self._trace.span)
        self._note_truth()
        for event in events:
            self._at(event.start, partial(self._begin, event))
            if event.end > event.start:
                self._at(event.end, partial(self._end, event))
        for query, seconds in enumerate(trace.seconds.tolist()):
            self._at(seconds, partial(self._try, query, ()))
            self._at(seconds, progress)
        while self._queue:
            self._now, _, do = heapq.heappop(self._queue)
            do()
        counters = self._router.counters
        self._router.close()
        self._record.peaks = {name: known.peak for name, known in self._known.items()}
        return DrillResult(trace, self._settings, self._limit, events, self._record, counters)

    def clock(self) -> tuple[float, float]:
        """Read the wall clock, seconds since 1970, and one that is never put right."""
        return STARTS + self._now + self._clock_error, self._now

    def _at(self, seconds: float, do: Callable[[], object]) -> None:
        self._pushed += 1
        heapq.heappush(self._queue, (in_ticks(seconds), self._pushed, do))

    def _make_router(self) -> StageRouter:
        """Start a router, or with a journal go on with the last one."""
        settings, queries = self._settings, len(self._trace)
        return StageRouter(
            [settings.fleet[name].to_model() for name in INITIAL],
            budget=settings.budget,
            max_deployed=settings.max_deployed,
            pacing_horizon=min(max(queries / PACED_PARTS, 50.0), 500.0),
            drift=Drift(forget_per_stage=0.9, change_test=ChangeTest()),
            hard_limits=[HardLimit(self._limit, "hour")],
            health=HEALTH,
            on_lost_slot="redeploy",
            stage_queries=max(queries // settings.stages, 1),
            max_age=MAX_AGE,
            seed=settings.seed,
            journal=None if settings.journal is None else JournalSettings(settings.journal),
            controller="inline",
            decision_log=DecisionLog(self._record.log.extend),
            clock=self.clock,
        )

    def _begin(self, event: Event) -> None:
        if event.kind == "price":
            self._change_price(event)
        elif event.kind == "arrival":
            self._present.append(event.model)
            self._router.add_model(self._settings.fleet[event.model].to_model())
        elif event.kind == "retirement":
            self._present.remove(event.model)
            self._router.retire_model(event.model)
        elif event.kind == "restart":
            self._restart()
        elif event.kind == "fork":
            self._fork()
        elif event.kind == "clock":
            self._clock_error = event.factor
        else:
            self._world.begin(event)
        self._note_truth()

    def _end(self, event: Event) -> None:
        self._clock_error = 0.0
        self._world.end(event)
        self._note_truth()

    def _note_truth(self) -> None:
        settings = self._settings
        up = [name for name in self._present if not self._world.providers[name].is_down]
        self._record.truths.append(
            self._world.truth(self._now, up, settings.budget, settings.max_deployed)
        )

    def _change_price(self, event: Event) -> None:
        """Tell the router the new price, and note what a query should cost by its own estimate."""
        before = self._router.state(event.model)
        self._router.update_model(event.model, price=event.price)
        self._world.begin(event)
        old, new = before.model.price, event.price
        if before.expected_tokens is not None and old is not None and new is not None:
            usage = Tokens(*before.expected_tokens)
            expected = before.cost_lcb * new.bill(usage) / old.bill(usage)
            self._record.cost_before[event.model] = expected

    def _known_now(self) -> dict[str, object]:
        router = self._router
        states = [router.state(model.name) for model in router.models]
        return {"counters": router.counters, "models": states, "live set": router.deployment}

    def _fork(self) -> None:
        """Have a child of this process use the router, and compare the router before and after."""
        if not hasattr(os, "fork"):
            return
        before = self._known_now()
        with warnings.catch_warnings():
            # Of threads, such as one that shows progress: the child does not meet them.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            status = 1
            try:
                self._router.route()
            except ForkedRouterError:
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        self._record.fork = {"child": status == 0} | _same(before, self._known_now())

    def _restart(self) -> None:
        """Stop the router, start it again from what it kept, and compare the two."""
        old, before = self._router, self._known_now()
        if self._settings.journal is None:
            with tempfile.TemporaryDirectory(prefix="stageroute-drill-") as folder:
                path = Path(folder) / "snapshot"
                old.snapshot(path)
                old.close()
                log = DecisionLog(self._record.log.extend)
                self._router = StageRouter.restore(
                    path, controller="inline", decision_log=log, clock=self.clock
                )
        else:
            old.close()
            self._router = self._make_router()
        self._record.restart = _same(before, self._known_now())

    def _try(self, query: int, failed: tuple[str, ...]) -> None:
        """Route a request, or route it again without the models that have failed it."""
        router, world, now = self._router, self._world, self._now
        most = Tokens(float(self._trace.tokens_in[query]), float(MOST_OUTPUT))
        allowed = None
        if failed:
            allowed = [model.name for model in router.models if model.name not in failed]
        watched = self._watch()
        try:
            decision = router.route(allowed=allowed, tokens=most[:2])
        except (RefusedError, NoModelError) as error:
            why = self._why_not(most, failed)
            self._record.refusals.append(Refusal(query, now, type(error).__name__, why))
            return
        if watched is not None and not decision.reasons:
            self._record.watch[decision.id] = watched
        model = decision.model
        note = Attempt(
            query=query,
            id=decision.id,
            time=now,
            model=model,
            probability=decision.probability,
            is_probe="probe" in decision.reasons,
            quality=world.expected_reward(query, model),
            most=most,
            largest=world.bill(model, most),
        )
        self._record.attempts.append(note)
        self._known[model].send(note)
        self._committed[clock_hour(now)] += note.largest
        answer = world.call(query, len(failed), model, now)
        # At the price of now, whatever it will be when the answer comes.
        note.bill = world.bill(model, answer.tokens)
        told = None if world.bills_by_list(model) else note.bill
        self._at(now + answer.seconds, partial(self._take, note, answer, told, (*failed, model)))

    def _take(
        self, note: Attempt, answer: Answer, told: float | None, tried: tuple[str, ...]
    ) -> None:
        """Tell the router what an attempt brought; its reward, if any, comes later.

        `told` is the bill, where tokens and price do not say it.
        """
        note.outcome, note.tokens = answer.outcome, answer.tokens
        self._known[note.model].settle(note, self._now)
        self._committed[clock_hour(note.time)] += note.bill - note.largest
        if answer.outcome != "ok":
            cost = note.bill if answer.outcome == "timeout" else None
            self._router.fail(note.id, answer.outcome, cost=cost, retry_after=answer.retry_after)
        if answer.outcome in {"ok", "refusal"}:
            self._router.observe(note.id, tokens=answer.tokens, cost=told)
        if answer.reward is not None:
            arrives = self._now + answer.reward_delay
            reward = partial(self._reward, note, answer.reward)
            self._at(arrives, reward)
            if self._generator.random() < REPEATED:
                self._at(arrives + 1.0, reward)
        if answer.outcome not in {"ok", "bad_request"}:
            if len(tried) < ATTEMPTS:
                self._try(note.query, tried)
            else:
                self._record.unanswered.append((note.query, self._now))

    def _reward(self, note: Attempt, reward: float) -> None:
        if self._now - note.time > MAX_AGE:
            expected = "expired"
        else:
            expected = "counted" if note.reward is None else "repeated"
        self._record.feedback[expected] += 1
        # What is refused is counted by the router; that the counts agree is one of the checks.
        with suppress(AlreadyObservedError, ExpiredDecisionError):
            self._router.observe(note.id, reward=reward)
            note.reward = reward

    def _why_not(self, most: Tokens, failed: tuple[str, ...]) -> dict[str, str]:
        """Judge a refusal by what the environment knows, and by nothing that the router says."""
        room = self._limit - self._committed[clock_hour(self._now)]
        live = [name for name in self._router.deployment.models if name in self._present]
        why = {}
        for name in live:
            if name in failed:
                why[name] = "failed this request"
            elif self._world.bill(name, most) > room - ROUNDING:
                why[name] = "money"
            else:
                why[name] = self._known[name].why_not(sum(most), self._now)
        # With nothing live, nothing explains the refusal of what somebody could serve.
        return why or dict.fromkeys(self._present, "")

    def _watch(self) -> tuple[float, dict[str, float]] | None:
        """Look at what the routing LP is about to be given, shortly after a change of price."""
        if not self._record.cost_before or len(self._record.watch) >= WATCHED:
            return None
        router = self._router
        shares = {name: router.state(name).throughput_share for name in router.deployment.models}
        return router.counters.paced_budget, shares


def _same(before: dict[str, object], after: dict[str, object]) -> dict[str, bool]:
    return {what: before[what] == after[what] for what in before}
