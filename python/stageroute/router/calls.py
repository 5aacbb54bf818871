"""Queries as blocks, which tell the router by themselves how they ended."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from stageroute.calls import Call
from stageroute.calls.attempts import Attempts
from stageroute.checks import number_in, require, whole_in
from stageroute.router.stages import Stages

DEADLINE: Final = number_in("(0, inf)", "seconds")
ATTEMPTS: Final = whole_in("[1, 2**32)")
REMAINING: Final = whole_in("[0, inf)")
RESET: Final = number_in("[0, inf)", "seconds")
MOST_REMAINING: Final = 2**32 - 1


class Calls(Stages):
    """The queries of a router, each from its decision to its bill."""

    def call(
        self,
        *,
        deadline: float | None = None,
        attempts: int = 3,
        allowed: Sequence[str] | None = None,
        max_cost: float | None = None,
        tokens: tuple[float, float] | None = None,
        sleep: Callable[[float], Any] | None = None,
    ) -> Call:
        """Make a query a block that cannot leave its decision open.

        Parameters
        ----------
        deadline : float, optional
            Seconds from now until the answer, or its first chunk: no attempt begins later, and an
            asynchronous one is ended then. Where no model may serve the query, the call waits as
            long as the router says, if that is before the deadline. Without one it never waits.
        attempts : int, default 3
            At most so many models are asked, each decided anew over those that have not failed.
        allowed, max_cost, tokens
            As `route` takes them, for each attempt.
        sleep : callable, optional
            How to wait, for simulations: `time.sleep` or `asyncio.sleep` by default.

        Returns
        -------
        Call
            For ``with`` and ``async with``.

        Raises
        ------
        InvalidInputError
            If an argument breaks its rule.

        Examples
        --------
        >>> router = StageRouter(["small", "large"], budget=0.001, max_deployed=2, seed=7)
        >>> with router.call(deadline=30.0) as call:
        ...     answer = call.send(lambda model: {"text": "yes", "usage": {"cost": 0.0004}})
        >>> router.observe(call.id, reward=1.0)
        >>> router.counters.billed
        0.0004

        Notes
        -----
        Entering the block raises what `route` raises. However the block is left, its decision is
        ended: by the usage that an answer tells; by the failure that an exception stands for; as
        ``"cancelled"`` where a stream is not read to its end.
        """
        self._require_own()
        if deadline is not None:
            DEADLINE("deadline", deadline)
        ATTEMPTS("attempts", attempts)
        require(sleep is None or callable(sleep), "sleep", sleep, "must be callable, or None")
        wishes = {"allowed": allowed, "max_cost": max_cost, "tokens": tokens}
        live = lambda: self.deployment.models  # noqa: E731
        return Call(
            Attempts(self, live, self._around.steady_time, deadline, attempts, wishes), sleep
        )

    def note_quota(self, name: str, *, remaining: int, reset: float) -> None:
        """Take a provider at its word on how much more it will take.

        Parameters
        ----------
        name : str
        remaining : int
            How many queries it will still take: `x-ratelimit-remaining-requests` of an answer.
        reset : float
            For so many seconds: `x-ratelimit-reset-requests`. The latest word counts, up to
            `Health.max_cooldown`.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        InvalidInputError
            If a number breaks its rule.
        """
        REMAINING("remaining", remaining)
        RESET("reset", reset)
        arm = self._control.arm(name)
        self._control.note_quota(arm, min(int(remaining), MOST_REMAINING), float(reset))
