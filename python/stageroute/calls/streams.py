"""Answers that come chunk by chunk, whose usage is read in passing."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from inspect import isawaitable
from typing import Any, Self

from stageroute.calls.attempts import Attempts
from stageroute.calls.usage import Usage


class _Stream:
    """What both kinds share: the end of a stream is the end of its attempt."""

    def __init__(self, attempts: Attempts, chunks: Any) -> None:
        self._attempts, self._chunks, self._usage = attempts, chunks, Usage()
        self._ahead: list[Any] = []
        self._is_over = False

    def _finish(self) -> None:
        self._is_over = True
        self._attempts.answered(self._usage)

    def _abandon(self) -> Any:
        """End the attempt first, whatever the connection does."""
        was_over, self._is_over = self._is_over, True
        if was_over:
            return None
        self._attempts.abandon(self._usage)
        return self._disconnect()

    def _disconnect(self) -> Any:
        """End the connection, or return what does it when it is awaited."""
        self._is_over = True
        end = getattr(self._chunks, "aclose", None) or getattr(self._chunks, "close", None)
        with suppress(Exception):
            return None if end is None else end()
        return None


class AnswerStream(_Stream, Iterator[Any]):
    """Chunks of an answer, as the provider's client gives them."""

    def begin(self) -> None:
        """Wait for the first chunk: until then another model can still be asked."""
        with suppress(StopIteration):
            self._ahead.append(self._read())

    def __next__(self) -> Any:
        if self._ahead:
            return self._ahead.pop()
        try:
            return self._read()
        except StopIteration:
            raise
        except BaseException as error:
            self._attempts.failed(error)
            raise

    def close(self) -> None:
        """Want no more of it."""
        self._abandon()

    def _read(self) -> Any:
        if self._is_over:
            raise StopIteration
        try:
            chunk = next(self._chunks)
            self._usage.read(chunk)
        except StopIteration:
            self._finish()
            raise
        except BaseException:
            self._disconnect()
            raise
        return chunk


class AsyncAnswerStream(_Stream, AsyncIterator[Any]):
    """Chunks of an answer, as the provider's asynchronous client gives them."""

    async def begin(self) -> None:
        """Wait for the first chunk: until then another model can still be asked."""
        with suppress(StopAsyncIteration):
            self._ahead.append(await self._read())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._ahead:
            return self._ahead.pop()
        try:
            return await self._read()
        except StopAsyncIteration:
            raise
        except BaseException as error:
            self._attempts.failed(error)
            raise

    async def aclose(self) -> None:
        """Want no more of it."""
        await _done(self._abandon())

    async def _read(self) -> Any:
        if self._is_over:
            raise StopAsyncIteration
        try:
            chunk = await anext(self._chunks)
            self._usage.read(chunk)
        except StopAsyncIteration:
            self._finish()
            raise
        except BaseException:
            await _done(self._disconnect())
            raise
        return chunk


async def _done(ending: Any) -> None:
    if isawaitable(ending):
        with suppress(Exception):
            await ending
