"""What happens to the fleet during a drill, and when."""

from dataclasses import dataclass, replace
from typing import Final

from stageroute.config.models import Price
from stageroute.drill.fleet import FLEET

__all__ = ["EVENTS", "INITIAL", "Event", "timeline"]

INITIAL: Final = (
    "gpt-4.1-nano",
    "gpt-5-mini",
    "gemini-2.5-flash",
    "deepseek-chat",
    "claude-haiku-4-5",
    "claude-sonnet-4-5",
)
"""The models at the start; the others arrive."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: what happens to a model (to none, at a restart), and a title for reports.

    Parameters
    ----------
    kind : {"outage", "rate_limit", "arrival", "retirement", "price", "regression", "restart"}
    start, end : float
        Seconds from the first request (in `EVENTS`, shares of the trace); the same if it lasts.
    price : Price or None
        The new price.
    factor : float
        What a regression multiplies every mean reward by; or what part of the limit that the router
        was told a provider allows.
    """

    kind: str
    title: str
    start: float
    end: float
    model: str = ""
    price: Price | None = None
    factor: float = 1.0


_GROK = FLEET["grok-4.3"].price

EVENTS: Final = (
    Event("outage", "the best model is down", 0.12, 0.20, "claude-haiku-4-5"),
    Event("arrival", "a new model, good value", 0.28, 0.28, "grok-4.3"),
    Event("rate_limit", "its provider allows a third of the limit", 0.38, 0.45,
          "gpt-5-mini", factor=1 / 3),
    Event("restart", "the router's process restarts", 0.49, 0.49),
    Event("price", "its price doubles", 0.53, 0.53, "grok-4.3",
          Price(2 * _GROK.input, 2 * _GROK.output, 2 * (_GROK.cached_input or 0.0))),
    Event("regression", "its quality falls by 40 %, silently", 0.62, 0.62,
          "claude-haiku-4-5", factor=0.6),
    Event("arrival", "a new model, poor value", 0.78, 0.78, "gemini-2.5-pro"),
    Event("retirement", "a model with half the traffic retires", 0.90, 0.90, "gpt-5-mini"),
)  # fmt: skip
"""The drill, in shares of the trace's time. Only the price list's prices are real."""


def timeline(span: float) -> tuple[Event, ...]:
    """Place the events in a trace of `span` seconds."""
    return tuple(replace(e, start=e.start * span, end=e.end * span) for e in EVENTS)
