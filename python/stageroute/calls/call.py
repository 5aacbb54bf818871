"""A query as a block: whatever happens in it, the router is told rightly how it ended."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from stageroute._core import Decision
from stageroute.calls.attempts import Attempts
from stageroute.calls.streams import AnswerStream, AsyncAnswerStream
from stageroute.calls.usage import Usage
from stageroute.checks import require
from stageroute.config.prices import Tokens
from stageroute.errors import RefusedError

Sleep = Callable[[float], Any]


class _Block:
    """What both kinds of call know."""

    def __init__(self, attempts: Attempts, sleep: Sleep | None) -> None:
        self._attempts, self._sleep = attempts, sleep
        self._stream: Any = None
        self._is_sent = False

    @property
    def decision(self) -> Decision:
        """The decision of the present attempt."""
        return self._attempts.present

    @property
    def model(self) -> str:
        """The model of the present attempt."""
        return self.decision.model

    @property
    def id(self) -> int:
        """The decision's id, by which its reward can be observed at any time."""
        return self.decision.id

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the deadline: the timeout to give to a client; None without one."""
        seconds = self._attempts.seconds_left
        return seconds if math.isfinite(seconds) else None

    def answered(
        self, answer: object = None, *, tokens: Tokens | None = None, cost: float | None = None
    ) -> None:
        """Say that the present attempt was answered, where `send` is not used or found no usage.

        Parameters
        ----------
        answer : object, optional
            Of a provider's client, or its JSON: usage and cost are read from it.
        tokens, cost
            As `StageRouter.observe` takes them, for an answer that does not tell them.

        Raises
        ------
        ProviderError
            If the answer is an error.
        """
        self._require_open("answered")
        usage = Usage()
        usage.read(answer)
        self._attempts.answered(usage, tokens, cost)

    def _require_open(self, what: str) -> None:
        rule = "this call has ended already: a call is one query, make another"
        require(self._attempts.is_open, what, self.decision, rule)

    def _require_unsent(self) -> None:
        self._require_open("send")
        require(not self._is_sent, "send", self.decision, "this call was answered already")

    def _take(self, answer: object) -> None:
        """Read a whole answer."""
        usage = Usage()
        usage.read(answer)
        self._is_sent = True
        self._attempts.answered(usage)


class Call(_Block):
    """One query; `StageRouter.call` makes it.

    Entering the block decides the first attempt, leaving it ends what is still open. The same
    object in ``async with`` gives an `AsyncCall`.

    Attributes
    ----------
    decision : Decision
        Of the present attempt.
    model : str
        Its model.
    id : int
        Its id, by which a reward can be observed at any time.
    seconds_left : float or None
        Until the deadline: the timeout to give to a client; None without one.
    """

    def __enter__(self) -> Self:
        self._open(None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()
        self._attempts.close(error)

    async def __aenter__(self) -> "AsyncCall":
        self._asynchronous = AsyncCall(self._attempts, self._sleep)
        return await self._asynchronous.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self._asynchronous.__aexit__(kind, error, _)

    def send(self, ask: Callable[[str], Any]) -> Any:
        """Ask the model of the decision; where it fails, solve again without it and ask the next.

        Parameters
        ----------
        ask : callable
            Given a model's name, returns the provider's answer, whole or as an iterator of chunks;
            or raises. `seconds_left` is the time it may take.

        Returns
        -------
        Any
            The answer; for an iterator an `AnswerStream` over its chunks. It is handed over when
            its first chunk is there, and from then on a failure is the caller's to see.

        Raises
        ------
        Exception
            What the last attempt has raised, if no other can be made.
        RefusedError
            If the router lets no other be made in time.
        """
        self._require_unsent()
        while True:
            try:
                answer = ask(self.model)
                if not hasattr(answer, "__next__"):
                    self._take(answer)
                    return answer
                stream = AnswerStream(self._attempts, answer)
                stream.begin()
            except BaseException as error:
                if not self._attempts.failed(error):
                    raise
                self._open(error)
            else:
                self._is_sent, self._stream = True, stream
                return stream

    def _open(self, cause: BaseException | None) -> None:
        try:
            while (seconds := self._attempts.route()) is not None:
                (self._sleep or time.sleep)(seconds)
        except RefusedError as refusal:
            raise refusal from cause


class AsyncCall(_Block):
    """One query of an event loop, with the attributes of a `Call`."""

    async def __aenter__(self) -> Self:
        await self._open(None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if self._stream is not None:
                await self._stream.aclose()
        finally:
            self._attempts.close(error)

    async def send(self, ask: Callable[[str], Awaitable[Any]]) -> Any:
        """As `Call.send`, with an answer that is awaited, and no longer than until the deadline.

        Returns
        -------
        Any
            The answer; for an asynchronous iterator an `AsyncAnswerStream`.

        Raises
        ------
        TimeoutError
            If the deadline came first.
        Exception
            As `Call.send`.
        """
        self._require_unsent()
        while True:
            try:
                async with asyncio.timeout(self.seconds_left):
                    answer = await ask(self.model)
                    if not hasattr(answer, "__anext__"):
                        self._take(answer)
                        return answer
                    stream = AsyncAnswerStream(self._attempts, answer)
                    await stream.begin()
            except BaseException as error:
                if not self._attempts.failed(error):
                    raise
                await self._open(error)
            else:
                self._is_sent, self._stream = True, stream
                return stream

    async def _open(self, cause: BaseException | None) -> None:
        try:
            while (seconds := self._attempts.route()) is not None:
                await (self._sleep or asyncio.sleep)(seconds)
        except RefusedError as refusal:
            raise refusal from cause
