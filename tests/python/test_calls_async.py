"""On an event loop, too, a call ends its decision rightly, whenever its task is cancelled."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from provider import (
    ANSWER,
    BILL,
    CHUNK,
    Clock,
    HttpError,
    a_router,
    assert_nothing_is_under_way,
    failures,
    get_async,
    provider,
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with provider() as port:
        yield port


def test_an_asynchronous_answer_is_billed(port: int) -> None:
    router = a_router("503", "answers")

    async def serve() -> Any:
        async with router.call(deadline=30.0) as call:
            return await call.send(lambda model: get_async(port, model))

    assert asyncio.run(serve()) == ANSWER
    assert failures(router) == {"error": 1}
    assert router.counters.billed == pytest.approx(BILL)
    assert_nothing_is_under_way(router)


def test_an_asynchronous_stream_is_billed_or_cancelled(port: int) -> None:
    router = a_router("stream")

    async def serve(most: int) -> int:
        seen = 0
        async with router.call(deadline=30.0) as call:
            async for _ in await call.send(lambda model: get_async(port, model)):
                seen += 1
                if seen == most:
                    break
        return seen

    assert asyncio.run(serve(100)) == 4
    assert failures(router) == {}
    assert asyncio.run(serve(2)) == 2
    assert failures(router) == {"cancelled": 1}
    assert_nothing_is_under_way(router)


def test_a_task_that_is_cancelled_anywhere_leaves_nothing_under_way() -> None:
    clock = Clock()
    router = a_router("a", "b", clock=clock)
    step = asyncio.Event

    async def stream() -> AsyncIterator[Any]:
        yield CHUNK
        await step().wait()

    async def ask(model: str) -> Any:
        await asyncio.sleep(0)
        if model == "a":
            raise HttpError(503)
        return stream()

    async def serve() -> None:
        async with router.call(deadline=30.0) as call:
            async for _ in await call.send(ask):
                pass

    async def cancel_after(steps: int) -> None:
        task = asyncio.create_task(serve())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for steps in range(8):
        asyncio.run(cancel_after(steps))
        assert_nothing_is_under_way(router)
        clock.now += 3_600
    assert failures(router)["cancelled"] >= 6


def test_a_waiting_task_that_is_cancelled_has_decided_nothing() -> None:
    router = a_router("a")
    held = [router.route() for _ in range(4)]

    async def wait() -> None:
        async with router.call(deadline=30.0):
            pass

    async def cancel() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert router.counters.queries == 4
    for decision in held:
        router.release(decision)
    assert_nothing_is_under_way(router)


def test_an_attempt_ends_at_the_deadline(port: int) -> None:
    clock = Clock()
    router = a_router("hangs", "answers", clock=clock)

    async def serve() -> None:
        async with router.call(deadline=0.05) as call:
            await call.send(lambda model: get_async(port, model))

    with pytest.raises(TimeoutError):
        asyncio.run(_moving(clock, serve))
    assert failures(router) == {"timeout": 1}
    assert_nothing_is_under_way(router)


async def _moving(clock: Clock, serve: Callable[[], Any]) -> None:
    """Let the router's clock pass the deadline while the loop's does."""
    task = asyncio.create_task(serve())
    await asyncio.sleep(0)
    clock.now += 1.0
    await task


def test_a_place_is_asked_for_again_until_one_is_free() -> None:
    clock = Clock()
    router = a_router("a", clock=clock)
    held = [router.route() for _ in range(4)]

    async def sleep(seconds: float) -> None:
        await clock.sleep_async(seconds)
        if len(clock.slept) == 3:
            router.release(held[0])

    async def serve() -> None:
        async with router.call(deadline=30.0, sleep=sleep) as call:
            call.answered(ANSWER)

    asyncio.run(serve())
    assert len(clock.slept) == 3
    assert router.state("a").under_way == 3
