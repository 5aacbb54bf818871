"""The drill itself: a caller, its requests and a router, in simulated time."""

import heapq
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from stageroute._core import Decision
from stageroute.config.models import Tokens
from stageroute.config.settings import ChangeTest, Drift, HardLimit, Health
from stageroute.datasets.trace import Trace
from stageroute.decision_log.log import DecisionLog
from stageroute.drill.environment import ATTEMPTS, Answer, Environment
from stageroute.drill.events import INITIAL, Event, timeline
from stageroute.drill.fleet import FLEET, MOST_OUTPUT
from stageroute.drill.ledger import EnvironmentLedger
from stageroute.drill.records import Attempt, DrillRecord, Refusal
from stageroute.drill.settings import STARTS, DrillResult, DrillSettings, hard_limit
from stageroute.errors import AlreadyObservedError, ExpiredDecisionError, NoModelError, RefusedError
from stageroute.router.memory import JournalSettings
from stageroute.router.router import StageRouter

__all__ = ["Simulation", "run_drill"]

MAX_AGE: Final = 900.0
"""Seconds after which a reward is too late."""

HEALTH: Final = Health(cooldown=5.0, max_cooldown=60.0)

PACED_PARTS: Final = 40
"""Overspend is corrected over 1/40 of the trace: what is left of it at the end does not
depend on the length of the trace, so a short one needs a short horizon."""

REPEATED: Final = 0.002
"""Share of the rewards that are delivered twice."""

WATCHED: Final = 300
"""Decisions after a change of price that are looked at closely."""


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
    world = Environment(trace, settings.seed) if environment is None else environment
    return Simulation(trace, settings, world).run(progress)


class Simulation:
    """One drill."""

    def __init__(self, trace: Trace, settings: DrillSettings, world: Environment) -> None:
        self._trace, self._settings, self._world = trace, settings, world
        self._now = 0.0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._pushed = 0
        self._events = timeline(trace.span)
        self._present = list(INITIAL)
        self._record = DrillRecord()
        self._generator = np.random.default_rng([settings.seed, 3])
        self._ledger = EnvironmentLedger(world, hard_limit(trace, settings), HEALTH)
        self._router = self._make_router()

    def run(self, progress: Callable[[], object] | None) -> DrillResult:
        """Run to the end: until the last answer and the last reward are in."""
        self._note_truth()
        for event in self._events:
            self._at(event.start, partial(self._begin, event))
            if event.end > event.start:
                self._at(event.end, partial(self._end, event))
        for query, seconds in enumerate(self._trace.seconds.tolist()):
            self._run_until(seconds)
            self._now = seconds
            self._try(query, ())
            if progress is not None:
                progress()
        self._run_until(float("inf"))
        counters = self._router.counters
        self._router.close()
        self._record.peaks = {name: known.peak for name, known in self._ledger.known.items()}
        return DrillResult(
            self._trace, self._settings, self._ledger.limit, self._events, self._record, counters
        )

    def clock(self) -> float:
        """Tell the simulated time, seconds since 1970."""
        return STARTS + self._now

    def _at(self, seconds: float, do: Callable[[], None]) -> None:
        self._pushed += 1
        heapq.heappush(self._queue, (seconds, self._pushed, do))

    def _run_until(self, seconds: float) -> None:
        while self._queue and self._queue[0][0] <= seconds:
            self._now, _, do = heapq.heappop(self._queue)
            do()

    def _make_router(self) -> StageRouter:
        """Start a router, or with a journal go on with the last one."""
        settings, queries = self._settings, len(self._trace)
        return StageRouter(
            [FLEET[name].to_model() for name in INITIAL],
            budget=settings.budget,
            max_deployed=settings.max_deployed,
            pacing_horizon=min(max(queries / PACED_PARTS, 50.0), 500.0),
            drift=Drift(forget_per_stage=0.9, change_test=ChangeTest()),
            hard_limits=[HardLimit(self._ledger.limit, "hour")],
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
        self._world.begin(event)
        if event.kind == "arrival":
            self._present.append(event.model)
            self._router.add_model(FLEET[event.model].to_model())
        elif event.kind == "retirement":
            self._present.remove(event.model)
            self._router.retire_model(event.model)
        elif event.kind == "restart":
            self._restart()
        self._note_truth()

    def _end(self, event: Event) -> None:
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
        model = self._router.update_model(event.model, price=event.price)
        usage, old = before.expected_tokens, before.model.price
        if usage is None or old is None or model.price is None:
            return
        old_bill, new_bill = (price.bill(Tokens(*usage)) for price in (old, model.price))
        self._record.cost_before[event.model] = before.cost_lcb * new_bill / old_bill

    def _restart(self) -> None:
        """Stop the router, start it again from what it kept, and compare the two."""
        old = self._router
        counters, states = old.counters, [old.state(model.name) for model in old.models]
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
        new = self._router
        self._record.restart = {
            "counters": new.counters == counters,
            "models": [new.state(model.name) for model in new.models] == states,
            "live set": new.deployment == old.deployment,
        }

    def _try(self, query: int, failed: tuple[str, ...]) -> None:
        """Route a request, or route it again without the models that have failed it."""
        tokens = self._most_tokens(query)
        allowed = None
        if failed:
            allowed = [model.name for model in self._router.models if model.name not in failed]
        watched = self._watch()
        try:
            decision = self._router.route(allowed=allowed, tokens=tokens)
        except (RefusedError, NoModelError) as error:
            self._judge(query, failed, error)
            return
        if watched is not None and not decision.reasons:
            self._record.watch[decision.id] = watched
        self._send(query, decision, failed)

    def _most_tokens(self, query: int) -> tuple[float, float]:
        """Say how many input and output tokens a request may use."""
        return float(self._trace.tokens_in[query]), float(MOST_OUTPUT)

    def _send(self, query: int, decision: Decision, failed: tuple[str, ...]) -> None:
        """Send a request where it was routed to."""
        model, sent = decision.model, self._now
        is_probe, quality = "probe" in decision.reasons, self._world.expected_reward(query, model)
        note = Attempt(query, decision.id, sent, model, decision.probability, is_probe, quality)
        self._record.attempts.append(note)
        largest = self._ledger.send(model, self._most_tokens(query), sent)
        answer = self._world.call(query, len(failed), model, sent)
        # At the price of now, whatever it will be when the answer comes.
        bill = self._world.bill(model, answer.tokens)

        def answered() -> None:
            note.outcome, note.tokens, note.bill = answer.outcome, answer.tokens, bill
            self._ledger.settle(note, self._most_tokens(query), largest, self._now)
            self._report(note, answer)
            if answer.outcome == "ok":
                return
            if len(failed) + 1 < ATTEMPTS:
                self._try(query, (*failed, model))
            else:
                self._record.unanswered.append((query, self._now))

        self._at(sent + answer.seconds, answered)

    def _report(self, note: Attempt, answer: Answer) -> None:
        """Tell the router what an attempt brought; its reward, if any, comes later."""
        router = self._router
        if answer.outcome == "timeout":
            router.fail(note.id, "timeout", cost=note.bill)
        elif answer.outcome != "ok":
            router.fail(note.id, answer.outcome, retry_after=answer.retry_after)
        if answer.outcome in {"ok", "refusal"}:
            router.observe(note.id, tokens=answer.tokens)
        if answer.reward is None:
            return
        arrives = self._now + answer.reward_delay
        reward = partial(self._reward, note, answer.reward)
        self._at(arrives, reward)
        if self._generator.random() < REPEATED:
            self._at(arrives + 1.0, reward)

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

    def _judge(self, query: int, failed: tuple[str, ...], error: Exception) -> None:
        """Judge a refusal by what the environment knows, and by nothing that the router says."""
        live = [name for name in self._router.deployment.models if name in self._present]
        why = self._ledger.why_not(live, failed, self._most_tokens(query), self._now)
        # With nothing live, nothing explains the refusal of a request that somebody could serve.
        why = why or dict.fromkeys(self._present, "")
        self._record.refusals.append(Refusal(query, self._now, type(error).__name__, why))

    def _watch(self) -> tuple[float, dict[str, float]] | None:
        """Look at what the routing LP is about to be given, shortly after a change of price."""
        if not self._record.cost_before or len(self._record.watch) >= WATCHED:
            return None
        router = self._router
        shares = {name: router.state(name).throughput_share for name in router.deployment.models}
        return router.counters.paced_budget, shares
