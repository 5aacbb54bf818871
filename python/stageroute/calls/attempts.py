"""The attempts of one call: decided, ended, decided again; no waiting and no provider in here."""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from stageroute._core import Decision
from stageroute.calls.failures import Failure, failure_of
from stageroute.calls.usage import Usage
from stageroute.config.prices import Tokens
from stageroute.errors import (
    DecisionError,
    InvalidInputError,
    RateLimitedError,
    RefusedError,
    StageRouteError,
)

logger = logging.getLogger("stageroute")

LEAST_WAIT: Final = 0.001
"""Seconds; a moment's rounding must not ask the router in a circle."""

USUAL_WAIT: Final = 0.05
"""Seconds until a place among queries under way is asked for again: nobody knows when one ends."""


class Router(Protocol):
    """What a call needs of a router."""

    def route(
        self,
        *,
        allowed: Sequence[str] | None = None,
        max_cost: float | None = None,
        tokens: tuple[float, float] | None = None,
    ) -> Decision:
        """Decide a query."""

    def observe(
        self,
        decision_or_id: Decision | int,
        *,
        cost: float | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        """Take its bill."""

    def fail(
        self, decision_or_id: Decision | int, reason: str, *, retry_after: float | None = None
    ) -> None:
        """Take its failure."""

    def note_quota(self, name: str, *, remaining: int, reset: float) -> None:
        """`StageRouter.note_quota`."""

    def release(self, decision_or_id: Decision | int) -> None:
        """Take that its answer is complete."""


class Attempts:
    """At most `most` attempts at one query, each of which is ended exactly once.

    Attributes
    ----------
    is_open : bool
        Whether its end is still to be told.
    """

    def __init__(
        self,
        router: Router,
        live: Callable[[], Sequence[str]],
        clock: Callable[[], float],
        deadline: float | None,
        most: int,
        wishes: dict[str, Any],
    ) -> None:
        self._router, self._live, self._clock = router, live, clock
        self._allowed: Sequence[str] | None = wishes.pop("allowed")
        self._wishes = wishes
        self._can_wait = deadline is not None
        self._ends = math.inf if deadline is None else clock() + deadline
        self._left = most
        self._failed: dict[str, Failure] = {}
        self._is_answered = False
        self._decision: Decision | None = None
        self.is_open = False

    @property
    def seconds_left(self) -> float:
        """Until the deadline; infinite without one, never below 0."""
        return max(0.0, self._ends - self._clock())

    def route(self) -> float | None:
        """Decide on the next attempt; or return after how many seconds to ask again."""
        allowed = self._candidates() if self._failed else self._allowed
        try:
            self._decision = self._router.route(allowed=allowed, **self._wishes)
        except RefusedError as refusal:
            seconds = refusal.retry_after
            if seconds is None and isinstance(refusal, RateLimitedError):
                seconds = USUAL_WAIT
            if seconds is None or not self._can_wait or seconds >= self.seconds_left:
                raise
            return max(seconds, LEAST_WAIT)
        self._left -= 1
        self.is_open, self._is_answered = True, False
        return None

    def failed(self, error: BaseException) -> bool:
        """End an attempt with an exception; return whether to make another."""
        if not self.is_open:
            return False
        failure = failure_of(error)
        self._fail(failure)
        self._failed[self.present.model] = failure
        may_go_on = failure.is_retried and self._left > 0 and self.seconds_left > 0
        return may_go_on and bool(self._candidates())

    def answered(
        self, usage: Usage, tokens: Tokens | None = None, cost: float | None = None
    ) -> None:
        """Take an answer; an attempt whose bill neither it nor its caller tells stays open."""
        self._is_answered = True
        if usage.quota is not None:
            self._router.note_quota(self.present.model, **usage.quota._asdict())
        tokens = usage.tokens if tokens is None else tokens
        cost = usage.cost if cost is None else cost
        if usage.is_refusal:
            self._end(lambda decision: self._router.fail(decision, "refusal"))
        if tokens is not None or cost is not None or usage.listed_cost is not None:
            self._bill(tokens, cost, usage.listed_cost)

    def abandon(self, usage: Usage) -> None:
        """End an attempt whose answer nobody waits for any more."""
        if self.is_open and usage.is_final:
            self.answered(usage)
        if self.is_open:
            self._fail(Failure("cancelled"))

    def close(self, error: BaseException | None) -> None:
        """End what is open, with the exception that has ended the block, if one has."""
        if not self.is_open:
            return
        if self._is_answered or error is None:
            # The bill counts as expected until it is observed.
            self._end(self._router.release)
        else:
            self._fail(failure_of(error))

    @property
    def present(self) -> Decision:
        """The latest decision."""
        if self._decision is None:
            raise InvalidInputError("this call has no decision yet: use it in a `with` block")
        return self._decision

    def _candidates(self) -> list[str]:
        """Models that have not failed; else those whose provider only had too much traffic."""
        names = self._live() if self._allowed is None else self._allowed
        fresh = [name for name in names if name not in self._failed]
        if fresh or not self._can_wait:
            return fresh
        return [name for name in names if self._failed[name].reason == "rate_limit"]

    def _bill(self, tokens: Tokens | None, cost: float | None, listed: float | None) -> None:
        """Observe the bill; the client's price list is asked where there is no other."""
        if tokens is None and cost is None:
            cost = listed
        try:
            self._end(lambda decision: self._router.observe(decision, tokens=tokens, cost=cost))
        except InvalidInputError as error:
            # A model without a price, or a usage that no provider can mean.
            if tokens is not None and cost is None and listed is not None:
                self._bill(tokens, listed, None)
            else:
                logger.info("the usage of an answer was not taken: %s", error)
                self._end(self._router.release)

    def _fail(self, failure: Failure) -> None:
        reason, seconds, _ = failure
        self._end(lambda decision: self._router.fail(decision, reason, retry_after=seconds))

    def _end(self, tell: Callable[[Decision], object]) -> None:
        try:
            tell(self.present)
        except InvalidInputError:
            raise
        except DecisionError as error:
            # The caller has told it already, or so late that nobody asks any more.
            logger.debug("a call's end was told already: %s", error)
        except StageRouteError as error:
            # Whatever has ended the call matters more to its caller than the journal's trouble.
            logger.warning("a call's end was not taken: %s", error)
        self.is_open = False
