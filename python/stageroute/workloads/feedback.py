"""Workloads whose feedback is wrong, late, sparse, or comes more than once."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Final

import numpy as np

from stageroute.checks import number_in, one_of, require
from stageroute.datasets.portable import bell
from stageroute.datasets.streams import Messages, Stream
from stageroute.workloads.base import Count, NotNegative, OnTop

NOISE_STREAM: Final = 0x6E6F
FEEDBACK_STREAM: Final = 0x5EED
"""Keep the draws of noise and of messages apart from those of queries."""

WHAT_IS_LATE: Final = ("both", "costs")

Portion = Annotated[float, number_in("[0, 1]")]


@dataclass(frozen=True)
class Noisy(OnTop):
    """Feedback comes from a judge that errs: what is reported is not what was earned.

    Regret and reward are measured by what was earned. A judge's error on a model's answer to a
    query of the table is the same whenever that query comes again.

    Parameters
    ----------
    noise : float, default 0.1
        Standard deviation of bell-shaped noise on every reported reward, which is clipped to
        [0, 1], so that rewards near the ends are reported nearer to the middle.
    flips : float, default 0
        Share of answers of which the judge says the opposite, 1 - reward.
    bias : float, default 0
        Added to what is reported, in [-1, 1].
    favourite : str, optional
        The one model that the bias is for; by default it is for all.
    """

    noise: Annotated[float, number_in("[0, inf)")] = 0.1
    flips: Portion = 0.0
    bias: Annotated[float, number_in("[-1, 1]")] = 0.0
    favourite: str | None = None
    said = "noisy"
    kind: str = field(default="noisy", init=False)

    def over(self, stream: Stream, seed: int) -> Stream:
        """Let the judge report; the favourite must be a model of the base."""
        table, models = stream.table, stream.table.models
        if self.favourite is not None:
            known = ", ".join(models)
            require(self.favourite in models, "favourite", self.favourite, f"must be of {known}")
        generator = np.random.default_rng([seed, NOISE_STREAM])
        told = stream.told_reward()
        flipped = np.where(generator.random(told.shape) < self.flips, 1.0 - told, told)
        for column, name in enumerate(models):
            noise = self.noise * bell(generator, table.num_rows)
            flipped[:, column] += noise + self.bias * (self.favourite in (None, name))
        return replace(stream, reported_reward=np.clip(flipped, 0.0, 1.0))


@dataclass(frozen=True)
class Delayed(OnTop):
    """Feedback comes late: further queries are routed before it does.

    Parameters
    ----------
    queries : int, default 200
        How many, on top of the base's own delay.
    what : {"both", "costs"}
        What is late: costs alone as a bill that comes after the answer was rated.
    """

    queries: NotNegative = 200
    what: Annotated[str, one_of(WHAT_IS_LATE)] = "both"
    kind: str = field(default="delayed", init=False)

    @property
    def label(self) -> str:
        """A few words, for tables of results."""
        what = "" if self.what == "both" else f"{self.what} "
        return f"{self.base.label}, {what}{self.queries} late"

    def over(self, stream: Stream, seed: int) -> Stream:  # noqa: ARG002
        """Delay feedback."""
        if self.what == "both" and stream.messages is None:
            return replace(stream, delay=stream.delay + self.queries)
        messages = stream.sent()
        if self.what == "costs":
            messages = messages.apart()
            return _with(stream, messages.later(self.queries, where=messages.has_cost))
        return _with(stream, messages.later(self.queries))


@dataclass(frozen=True)
class Sparse(OnTop):
    """Rewards come for some queries only, costs for all.

    Parameters
    ----------
    share : float, default 0.1
        Of the queries, drawn at random, in [0, 1]; the same whatever is decided.
    """

    share: Portion = 0.1
    said = "rewards for {share:.0%}"
    kind: str = field(default="sparse", init=False)

    def over(self, stream: Stream, seed: int) -> Stream:
        """Take rewards away."""
        generator = np.random.default_rng([seed, FEEDBACK_STREAM])
        return _with(stream, stream.sent().rated(generator.random(stream.num_queries) < self.share))


@dataclass(frozen=True)
class Repeated(OnTop):
    """Rewards and costs come apart, more than once, and in disorder.

    Parameters
    ----------
    copies : int, default 2
        Of each message.
    window : int, default 200
        Each copy is 0 to this many queries late, at random.
    """

    copies: Count = 2
    window: NotNegative = 200
    said = "{copies} times within {window}"
    kind: str = field(default="repeated", init=False)

    def over(self, stream: Stream, seed: int) -> Stream:
        """Send feedback again and again."""
        messages = stream.sent().apart(self.copies)
        generator = np.random.default_rng([seed, FEEDBACK_STREAM])
        late = (generator.random(messages.at.size) * (self.window + 1)).astype(np.int64)
        return _with(stream, messages.later(late))


def _with(stream: Stream, messages: Messages) -> Stream:
    return replace(stream, messages=messages, delay=0)
