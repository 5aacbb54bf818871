"""What every policy of a comparison is: which models are live, and which one serves a query."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np

from stageroute._core import Kernel
from stageroute.decision_log.batch import STATUSES
from stageroute.errors import InvalidInputError
from stageroute.policies.setting import Arms, Floats, Limits, Setting

__all__ = [
    "USUAL_TOKENS",
    "Arms",
    "Floats",
    "KernelPolicy",
    "Limits",
    "Message",
    "MixturePolicy",
    "Policy",
    "Setting",
    "first_by",
]

USUAL_TOKENS: Final = 1_000.0
"""A table knows costs, not tokens. Where prices are announced, a model is priced so that its mean
query uses this many tokens, and each query as many as its cost says."""


class Message(NamedTuple):
    """What becomes known of a decision at one time.

    Attributes
    ----------
    query : int
        Which one, from 0.
    row, arm : int
        The query's row of the table, and the column that served it.
    reward, cost : float or None
        What the message says; at least one of them. USD for costs.
    """

    query: int
    row: int
    arm: int
    reward: float | None
    cost: float | None


class Policy(ABC):
    """Deploys at stage boundaries, routes and learns between them. Arms are columns of the table.

    Attributes
    ----------
    name : str
        How reports call it.
    kernel : object or None
        The native object of `stageroute._core` that routes and learns, so that a stage can be
        replayed in one call; None for a policy written in Python, which is replayed query by query.
    exempt : mapping of str to str
        Rules of `stageroute.policies.RULES` that the policy does not keep, each with the reason.
    is_contextual : bool
        Whether it needs to see more of a query than others do; it is one of `CONTEXTUAL` then.
    """

    name: str
    kernel: Any = None
    exempt: ClassVar[Mapping[str, str]] = MappingProxyType({})
    is_contextual: ClassVar[bool] = False

    @abstractmethod
    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Deploy from the candidates (arrived and not retired, ascending); return the live arms."""

    @abstractmethod
    def route(self, row: int) -> tuple[int, float, float]:
        """Decide on the next query, of that row of the table: arm, its probability, budget price.

        Policies with context look up the row's features; others do not use it.
        """

    @abstractmethod
    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:
        """Learn what `arm` brought on the query of that row, in the order of the decisions."""

    def hear(self, message: Message) -> None:
        """Learn what becomes known of a decision.

        For policies that can be told late, in parts, more than once and out of order; others are
        told reward and cost at once, in the order of the decisions.

        Raises
        ------
        InvalidInputError
            If this policy cannot be told so.
        """
        _, row, arm, reward, cost = message
        if reward is None or cost is None:
            raise InvalidInputError(
                f"policy = {self.name!r}: takes reward and cost together; choose a workload whose "
                "feedback comes so, or another policy"
            )
        self.observe(row, arm, reward, cost)

    def announce_price(self, arm: int, factor: float) -> None:  # noqa: B027  # most do nothing
        """Hear that a model's price is multiplied by `factor` from the next query on.

        Most policies know of no prices: they find out from the costs.
        """

    def feedback_counts(self) -> dict[str, float]:
        """Return what became of feedback, by the policy's own books; empty if it keeps none."""
        return {}

    def counts(self) -> dict[str, int]:
        """How many LPs ended in each status; empty for a policy without an LP."""
        return {}


class KernelPolicy(Policy):
    """A policy whose routing is a native kernel of its own."""

    def route(self, row: int) -> tuple[int, float, float]:
        """Decide on the next query."""
        decision: tuple[int, float, float] = self.kernel.route(row)
        return decision

    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:
        """Learn what the last decision brought."""
        self.kernel.observe(row, arm, reward, cost)

    def counts(self) -> dict[str, int]:
        """How many LPs ended in each status; empty for a kernel that solves none."""
        counts = self.kernel.counts()
        return {} if counts is None else dict(zip(STATUSES, counts, strict=True))


class MixturePolicy(KernelPolicy):
    """A policy that routes by a fixed distribution in each stage."""

    def __init__(self, num_models: int, seed: int) -> None:
        self.kernel = Kernel("mixture", {"arms": num_models, "seed": seed})

    @abstractmethod
    def mixture(self, candidates: Arms) -> tuple[tuple[int, ...], Floats]:
        """Return the live set of the next stage, and the distribution over all models."""

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Publish the mixture of the stage."""
        live, probabilities = self.mixture(candidates)
        self.kernel.publish(live, probabilities=probabilities)
        return live


def first_by(candidates: Arms, size: int, *keys: Floats) -> tuple[int, ...]:
    """Return the candidates that come first, ascending.

    Parameters
    ----------
    candidates : ndarray of int, shape (M,)
    size : int
        At most this many are taken.
    *keys : ndarray, shape (M,)
        The smallest of the last key come first; ties by the key before it, then by arm.
    """
    order = np.lexsort((candidates, *keys))
    return tuple(sorted(candidates[order[:size]].tolist()))
