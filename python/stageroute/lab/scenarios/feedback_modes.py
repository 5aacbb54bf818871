"""How feedback comes: each mode turns an outcome into messages, and says when they arrive."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from stageroute.checks import is_number, is_whole, require

__all__ = [
    "CostsDelayed",
    "Delayed",
    "FeedbackMode",
    "Immediate",
    "Mailbox",
    "Message",
    "NoRewards",
    "SomeRewards",
    "TwiceShuffled",
]

DELAY_RULE = "must be a whole number of queries, not negative"


class Message(NamedTuple):
    """What becomes known of one decision at one time.

    Attributes
    ----------
    at : int
        It arrives after the decision on this query, before the next one.
    query : int
        The query that it is about.
    reward, cost : float or None
        What it says; at least one of them. Cost in USD.
    """

    at: int
    query: int
    reward: float | None
    cost: float | None


class FeedbackMode(Protocol):
    """How the outcome of a decision becomes known."""

    def messages(
        self, query: int, reward: float, cost: float, generator: np.random.Generator
    ) -> list[Message]:
        """Return the messages about the decision on a query.

        As many draws are taken from `generator` for every query, whatever was decided: so the
        same queries lose their feedback whoever routes them.
        """


@dataclass(frozen=True, slots=True)
class Immediate:
    """Reward and cost come together, before the next query."""

    def messages(
        self,
        query: int,
        reward: float,
        cost: float,
        generator: np.random.Generator,  # noqa: ARG002
    ) -> list[Message]:
        """Return one message, at once."""
        return [Message(query, query, reward, cost)]


@dataclass(frozen=True, slots=True)
class Delayed:
    """Reward and cost come together, after so many further decisions."""

    queries: int = 200

    def __post_init__(self) -> None:
        _check_delay("queries", self.queries)

    def messages(
        self,
        query: int,
        reward: float,
        cost: float,
        generator: np.random.Generator,  # noqa: ARG002
    ) -> list[Message]:
        """Return one message, late."""
        return [Message(query + self.queries, query, reward, cost)]


@dataclass(frozen=True, slots=True)
class CostsDelayed:
    """Rewards come at once, costs after so many further decisions."""

    queries: int = 200

    def __post_init__(self) -> None:
        _check_delay("queries", self.queries)

    def messages(
        self,
        query: int,
        reward: float,
        cost: float,
        generator: np.random.Generator,  # noqa: ARG002
    ) -> list[Message]:
        """Return the reward at once, the cost late."""
        return [
            Message(query, query, reward, None),
            Message(query + self.queries, query, None, cost),
        ]


@dataclass(frozen=True, slots=True)
class SomeRewards:
    """Costs come at once; rewards too, but only for a random share of the queries."""

    share: float = 0.1

    def __post_init__(self) -> None:
        ok = is_number(self.share) and 0.0 < self.share <= 1.0
        require(ok, "share", self.share, "must be in (0, 1]; for none at all use NoRewards")

    def messages(
        self, query: int, reward: float, cost: float, generator: np.random.Generator
    ) -> list[Message]:
        """Return the cost, with the reward if this query is one of the share."""
        is_rated = generator.random() < self.share
        return [Message(query, query, reward if is_rated else None, cost)]


@dataclass(frozen=True, slots=True)
class NoRewards:
    """Costs come at once, rewards never."""

    def messages(
        self,
        query: int,
        reward: float,  # noqa: ARG002
        cost: float,
        generator: np.random.Generator,  # noqa: ARG002
    ) -> list[Message]:
        """Return the cost alone."""
        return [Message(query, query, None, cost)]


@dataclass(frozen=True, slots=True)
class TwiceShuffled:
    """Rewards and costs come apart, each twice, each copy at a random time within a window."""

    window: int = 200

    def __post_init__(self) -> None:
        _check_delay("window", self.window)

    def messages(
        self, query: int, reward: float, cost: float, generator: np.random.Generator
    ) -> list[Message]:
        """Return four messages, each 0 to `window` further decisions late."""
        contents = [(reward, None), (None, cost)] * 2
        delays = [int(generator.random() * (self.window + 1)) for _ in contents]
        return [
            Message(query + delay, query, *content)
            for delay, content in zip(delays, contents, strict=True)
        ]


class Mailbox:
    """Messages on their way.

    Attributes
    ----------
    sent : dict of str to int
        How many rewards and how many costs were put in, copies included.
    """

    def __init__(self) -> None:
        self._due: defaultdict[int, list[Message]] = defaultdict(list)
        self.sent = {"rewards": 0, "costs": 0}

    def post(self, messages: Iterable[Message]) -> None:
        """Take messages in."""
        for message in messages:
            self._due[message.at].append(message)
            self.sent["rewards"] += message.reward is not None
            self.sent["costs"] += message.cost is not None

    def collect(self, query: int) -> list[Message]:
        """Hand over what arrives after the decision on a query, in the order of sending."""
        return self._due.pop(query, [])

    def collect_rest(self) -> list[Message]:
        """Hand over all that is still on its way, in order of arrival."""
        rest = [message for at in sorted(self._due) for message in self._due[at]]
        self._due.clear()
        return rest


def _check_delay(argument: str, value: int) -> None:
    require(is_whole(value) and value >= 0, argument, value, DELAY_RULE)
