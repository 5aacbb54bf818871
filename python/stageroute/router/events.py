"""What befalls a router, told to its owner: log lines, and a callback."""

import logging
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from stageroute._core import Birth, Signal
from stageroute.router.facts import Facts
from stageroute.threads import finish_at_exit, join, make_lock, start_thread

if TYPE_CHECKING:
    import threading

logger = logging.getLogger("stageroute")

LONGEST_END: Final = 10.0
"""Seconds for which the end of a process waits for the callback."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that has befallen a router.

    Attributes
    ----------
    kind : str
        What; see `KINDS`.
    time : float
        When, seconds since 1970 as the router knows the time; 0 where it does not.
    model : str or None
        Whom, if it is about one model.
    details : mapping of str to object
        What there is to be said of it.
    """

    kind: str
    time: float
    model: str | None
    details: Mapping[str, Any]

    def __str__(self) -> str:
        _, text = KINDS[self.kind]
        return text.format(model=self.model, **self.details)


KINDS: Final[Mapping[str, tuple[int, str]]] = {
    "stage": (logging.INFO, "stage {stage}: live {models}; started {started}, stopped {stopped}"),
    "stage_failed": (logging.DEBUG, "a stage was not advanced"),
    "model_added": (logging.INFO, "model {model} was added"),
    "model_changed": (logging.INFO, "model {model} was changed: {changes}"),
    "model_retired": (logging.INFO, "model {model} has retired"),
    "model_resumed": (logging.INFO, "model {model} was resumed"),
    "budget": (logging.INFO, "the budget is {after} USD per query, was {before}"),
    "settings": (logging.INFO, "settings were changed: {changes}"),
    "cooldown": (logging.WARNING, "model {model} cools down for {seconds:.4g} s"),
    "recovered": (logging.INFO, "model {model} no longer cools down"),
    "limit_learnt": (
        logging.WARNING,
        "the provider of {model} lets {requests_per_minute:.4g} requests per minute through",
    ),
    "refused": (logging.INFO, "queries were refused, {reason}: {count}"),
    "clock_step": (logging.WARNING, "the wall clock has jumped by {seconds:.4g} s"),
}
"""Every kind of event: the level of its log line, and the line, with the names of its details.

Changes are mappings of a field's name to its values before and after. Refusals of one kind are told
at the first and then once a minute, with their number since; who asked has an error of each.
"""


def translate(news: Iterable[tuple[str, float, str | None, dict[str, Any]]]) -> Iterator[Event]:
    """Make events of what the native half tells: its own, and changes of the facts."""
    for kind, time, model, details in news:
        if kind == "change":
            yield from _changes(details["before"], details["after"], time)
        else:
            yield Event(kind, time, model, details)


def _changes(before: Facts, after: Facts, time: float) -> Iterator[Event]:
    if len(after.models) > len(before.models):
        yield Event("model_added", time, after.models[-1].name, {})
    elif after.models is not before.models:
        old, new = (facts.models[after.changed_arm or 0] for facts in (before, after))
        yield Event("model_changed", time, new.name, {"changes": _differing(old, new)})
    if after.deployments is not before.deployments and after.deployment is not None:
        now = after.deployment
        then = () if before.deployment is None else before.deployment.models
        details = {
            "stage": now.stage,
            "models": now.models,
            "started": tuple(name for name in now.models if name not in then),
            "stopped": tuple(name for name in then if name not in now.models),
            "status": now.status,
        }
        yield Event("stage", time, None, details)
    if after.failed_stages > before.failed_stages:
        yield Event("stage_failed", time, None, {})
    changes = _differing(before.settings, after.settings)
    if "budget" in changes:
        old, new = changes.pop("budget")
        yield Event("budget", time, None, {"before": old, "after": new})
    if changes:
        yield Event("settings", time, None, {"changes": changes})


def _differing(old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two objects of one class differ, with both values."""
    if old is new:
        return {}
    pairs = {
        field.name: (getattr(old, field.name), getattr(new, field.name)) for field in fields(new)
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


class Events:
    """Tells events one after the other, from a thread of its own where a callback wants them.

    The thread is started with the first event, and holds no lock of a router. Where only warnings
    are wanted, for the log, whoever brings an event logs it. What the callback raises is logged and
    ends nothing.
    """

    def __init__(
        self, on_event: Callable[[Event], object] | None, take_news: Callable[[], list[Any]]
    ) -> None:
        self._on_event = on_event
        self._take_news = take_news
        self._birth = Birth()
        self._untold: deque[Event] = deque()
        self._worker: tuple[Signal, threading.Thread] | None = None
        # One event at a time: the thread's, or that of a flush.
        self._telling = make_lock()
        self._is_telling = False

    def wake(self) -> None:
        """Have what is new told, if somebody wants it."""
        if self._on_event is None and not logger.isEnabledFor(logging.INFO):
            self.flush()
            return
        if self._worker is None:
            signal = Signal()
            events = weakref.ref(self, lambda _: signal.raise_())
            self._worker = signal, start_thread("stageroute-events", _run, events, signal)
            finish_at_exit(self)
        signal, _ = self._worker
        signal.raise_()

    def flush(self) -> None:
        """Tell everything that has happened so far."""
        self._birth.check()
        self._tell_all(raises=True)

    def _tell_all(self, *, raises: bool) -> None:
        with self._telling:
            if self._is_telling:
                return
            try:
                self._is_telling = True
                self._untold.extend(translate(self._take_news()))
                while self._untold:
                    self._tell(self._untold.popleft(), raises=raises)
            finally:
                self._is_telling = False

    def _tell(self, event: Event, *, raises: bool) -> None:
        logger.log(KINDS[event.kind][0], "%s", event)
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except BaseException as error:
            logger.warning("on_event failed at %s: %r", event.kind, error, exc_info=True)
            # `SystemExit` and the like are for a caller of `flush`, and not for the thread.
            if raises and not isinstance(error, Exception):
                raise

    def finish(self) -> None:
        """Tell what is left as the process ends, unless the callback hangs."""
        self._birth.check()
        self.stop(LONGEST_END)

    def stop(self, seconds: float | None = None) -> None:
        """Tell what is left, and end the thread; another event starts another."""
        worker, self._worker = self._worker, None
        if worker is not None:
            signal, thread = worker
            signal.raise_()
            if not join(thread, seconds):
                raise TimeoutError(f"its callback has not returned for {seconds} s")
        self.flush()

    def work(self, signal: Signal) -> bool:
        """Do what the thread of this signal is there for; False if it is there no longer."""
        self._birth.check()
        self._tell_all(raises=False)
        return self._worker is not None and self._worker[0] is signal


def _run(events_of: "weakref.ref[Events]", signal: Signal) -> None:
    while True:
        signal.wait()
        events = events_of()
        if events is None or not events.work(signal):
            return
        del events
