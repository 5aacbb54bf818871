"""What is invented for a drill: the models, the tasks, and what happens to them when."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute.config.models import Model
from stageroute.config.prices import Price, Tokens

PRICES_FROM: Final = (
    "list prices of 2026-07-24 from LiteLLM's public list (github.com/Wei-Shaw/model-price-repo, "
    "commit f9ff147)"
)

# 2026-07-24 08:55 UTC: five minutes before an hour ends, so that an hourly limit starts anew.
STARTS: Final = 1_784_883_300.0
TICKS: Final = 2.0**20  # in a second
MOST_OUTPUT: Final = 1_200  # the largest number of output tokens that the caller asks for
THROUGHPUT_CAP: Final = 0.5
# Share of the requests, and difficulty in logits. The router is not told the task of a request.
TASKS: Final = {
    "chat": (0.5, -0.3),
    "summary": (0.25, 0.0),
    "code": (0.15, 0.5),
    "maths": (0.1, 1.1),
}
TASK_SPREAD: Final = (
    0.15  # how much better or worse a model is at one task, as a deviation in logits
)


@dataclass(frozen=True, slots=True)
class DrillModel:
    """A model as it really is: what the drill knows and the router has to find out.

    Prices are USD per million tokens. `skill` is in logits: the reward is 1 with probability
    logistic(skill - difficulty), else 0. Limits are those that the router is told. An answer takes
    ``first_token + output / tokens_per_second`` seconds, times noise; `verbosity`, at most 1.2, is
    its output tokens as a multiple of the trace's.
    """

    name: str
    provider: str
    price: Price
    skill: float
    requests_per_minute: float
    tokens_per_minute: float
    max_concurrent: int
    first_token: float
    tokens_per_second: float
    verbosity: float

    def to_model(self) -> Model:
        """Tell what the router is told: prices, limits, and what a query usually uses."""
        return Model(
            self.name,
            THROUGHPUT_CAP,
            price=self.price,
            expected_tokens=Tokens(1_000.0, 200.0, 100.0),
            max_tokens=16_000.0,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            max_concurrent=self.max_concurrent,
            provider=self.provider,
        )


# Prices are published figures; the rest is invented, with the order of the skills much as public
# leaderboards have it.
FLEET: Final = {
    model.name: model
    for model in (
        DrillModel("gpt-4.1-nano", "OpenAI", Price(0.1, 0.4, 0.025),
                   0.1, 480, 900_000, 80, 0.4, 160.0, 0.9),
        DrillModel("gpt-5-mini", "OpenAI", Price(0.25, 2.0, 0.025),
                   1.0, 300, 600_000, 40, 0.9, 90.0, 1.1),
        DrillModel("gemini-2.5-flash", "Google", Price(0.3, 2.5, 0.03),
                   0.8, 300, 600_000, 40, 0.5, 140.0, 1.1),
        DrillModel("deepseek-chat", "DeepSeek", Price(0.28, 0.42, 0.028),
                   0.6, 240, 500_000, 40, 1.2, 50.0, 1.0),
        DrillModel("claude-haiku-4-5", "Anthropic", Price(1.0, 5.0, 0.1),
                   1.55, 240, 500_000, 24, 0.7, 110.0, 1.0),
        DrillModel("claude-sonnet-4-5", "Anthropic", Price(3.0, 15.0, 0.3),
                   2.2, 120, 400_000, 16, 1.2, 65.0, 1.1),
        DrillModel("grok-4.3", "xAI", Price(1.25, 2.5, 0.2),
                   1.85, 240, 500_000, 30, 0.8, 90.0, 1.0),
        DrillModel("gemini-2.5-pro", "Google", Price(1.25, 10.0, 0.125),
                   0.9, 150, 400_000, 20, 2.0, 80.0, 1.2),
    )
}  # fmt: skip
INITIAL: Final = tuple(FLEET)[:6]  # the models at the start; the others arrive


def scaled_fleet(scale: float) -> Mapping[str, DrillModel]:
    """Return the models with limits that are `scale` times as large."""

    def scaled(model: DrillModel) -> DrillModel:
        return replace(
            model,
            requests_per_minute=scale * model.requests_per_minute,
            tokens_per_minute=scale * model.tokens_per_minute,
            max_concurrent=math.ceil(scale * model.max_concurrent),
        )

    return {name: scaled(model) for name, model in FLEET.items()}


def qualities(seed: int) -> dict[str, NDArray[np.float64]]:
    """Draw each model's mean reward at each task, in the order of `TASKS`; each in (0, 1)."""
    difficulty = np.array([difficulty for _, difficulty in TASKS.values()])
    logits = np.array([[model.skill] for model in FLEET.values()]) - difficulty
    logits += np.random.default_rng([seed, 1]).normal(0.0, TASK_SPREAD, logits.shape)
    return dict(zip(FLEET, 1.0 / (1.0 + np.exp(-logits)), strict=True))


@dataclass(frozen=True, slots=True)
class Event:
    """What happens to a model (to all or none, where it is not named), and a title for reports.

    `start` and `end` are in seconds from the first request (in `EVENTS`, in shares of the trace);
    the same if it lasts. `price` is the new one. `factor` is what a regression multiplies every
    mean reward by; what part of the limit that the router was told a provider allows; which share
    of the requests is refused or fails at random, or is malformed; what a bill is of the list
    price's; or how many seconds the wall clock is ahead.
    """

    kind: str
    title: str
    start: float
    end: float
    model: str = ""
    price: Price | None = None
    factor: float = 1.0


# In shares of the trace's time. Only the price list's prices are real.
EVENTS: Final = (
    Event("outage", "the best model is down", 0.12, 0.20, "claude-haiku-4-5"),
    Event("flaky", "it fails two requests in three", 0.24, 0.27, "claude-haiku-4-5", factor=2 / 3),
    Event("arrival", "a new model, good value", 0.28, 0.28, "grok-4.3"),
    Event("noise", "every provider refuses 3 % at random", 0.33, 0.36, factor=0.03),
    Event("rate_limit", "its provider allows a third of the limit", 0.38, 0.45,
          "gpt-5-mini", factor=1 / 3),
    Event("bad_client", "a fifth of the requests is malformed", 0.455, 0.485, factor=0.2),
    Event("restart", "the router's process restarts", 0.49, 0.49),
    Event("clock", "the wall clock is a day ahead", 0.51, 0.52, factor=86_400.0),
    Event("price", "its price doubles", 0.53, 0.53, "grok-4.3", Price(2.5, 5.0, 0.4)),
    Event("regression", "its quality falls by 40 %, silently", 0.62, 0.62,
          "claude-haiku-4-5", factor=0.6),
    Event("bills", "it bills twice its list price", 0.70, 0.74, "gpt-5-mini", factor=2.0),
    Event("arrival", "a new model, poor value", 0.78, 0.78, "gemini-2.5-pro"),
    Event("fork", "the process forks, and the child uses the router", 0.87, 0.87),
    Event("retirement", "a model with half the traffic retires", 0.90, 0.90, "gpt-5-mini"),
)  # fmt: skip


def clock_hour(seconds: float) -> int:
    """Return which clock hour it is, some seconds from the start."""
    return int((STARTS + seconds) // 3_600.0)


def in_ticks(seconds: float) -> float:
    """Round a time so that sums of times are exact: a restart changes none of them."""
    return round(seconds * TICKS) / TICKS


def timeline(span: float) -> tuple[Event, ...]:
    """Place the events in a trace of `span` seconds."""
    return tuple(
        replace(e, start=in_ticks(e.start * span), end=in_ticks(e.end * span)) for e in EVENTS
    )
