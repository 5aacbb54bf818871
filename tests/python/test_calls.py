"""A call ends its decision rightly, however it ends itself."""

import asyncio
import gc
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from provider import (
    ANSWER,
    BILL,
    CHUNK,
    USAGE,
    Clock,
    HttpError,
    a_router,
    assert_nothing_is_under_way,
    failures,
    get,
    provider,
)
from stageroute import Tokens, errors
from stageroute.calls import Call


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with provider() as port:
        yield port


def _raise(error: BaseException) -> Any:
    raise error


def test_an_answer_is_billed_by_its_usage(port: int) -> None:
    router = a_router("answers")
    with router.call(deadline=30.0, tokens=(1_000, 500)) as call:
        assert call.seconds_left == 30.0
        answer = call.send(lambda model: get(port, model))
    assert answer == ANSWER
    assert router.counters.billed == pytest.approx(BILL)
    assert router.counters.in_flight == 0.0
    router.observe(call.id, reward=1.0)
    assert_nothing_is_under_way(router)


def test_a_quota_that_is_used_up_is_waited_for() -> None:
    clock = Clock()
    router = a_router("only", clock=clock)
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "8s"}
    with router.call() as call:
        call.send(lambda _: {"headers": headers, "usage": {"cost": 0.001}})
    with pytest.raises(errors.RateLimitedError) as refused:
        router.route()
    assert refused.value.retry_after == pytest.approx(8.0, abs=0.01)
    with pytest.raises(errors.InvalidInputError, match="remaining = -1: must be"):
        router.note_quota("only", remaining=-1, reset=1.0)
    with pytest.raises(errors.UnknownModelError):
        router.note_quota("other", remaining=1, reset=1.0)
    router.note_quota("only", remaining=2**40, reset=0.0)
    router.release(router.route())


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ("429", "rate_limit"),
        ("500", "error"),
        ("529", "error"),
        ("404", "error"),
        ("408", "timeout"),
        ("silence", "error"),
        ("overloaded", "error"),
    ],
)
def test_where_one_model_fails_the_next_is_asked(port: int, first: str, reason: str) -> None:
    router = a_router(first, "answers")
    with router.call() as call:
        call.send(lambda model: get(port, model))
        assert call.model == "answers"
    assert failures(router) == {reason: 1}
    # A timeout may have been answered all the same, and is billed as expected.
    assert router.counters.billed == pytest.approx(BILL * (1 + (reason == "timeout")))
    assert_nothing_is_under_way(router)


def test_a_provider_that_hangs_is_a_timeout(port: int) -> None:
    router = a_router("hangs", "answers")
    with router.call() as call:
        call.send(lambda model: get(port, model, timeout=0.05))
    assert failures(router) == {"timeout": 1}
    assert_nothing_is_under_way(router)


def test_no_other_model_is_asked_what_none_would_do(port: int) -> None:
    router = a_router("400", "answers")
    with pytest.raises(HttpError, match="400"), router.call() as call:
        call.send(lambda model: get(port, model))
    assert failures(router) == {"bad_request": 1}
    assert router.counters.queries == 1
    assert_nothing_is_under_way(router)


def test_attempts_are_as_many_as_allowed_and_the_last_error_is_raised(port: int) -> None:
    router = a_router("500", "x/500", "y/500", "answers")
    with pytest.raises(HttpError, match="500"), router.call(attempts=3) as call:
        call.send(lambda model: get(port, model))
    assert failures(router) == {"error": 3}
    assert router.state("answers").under_way == 0
    assert [router.state(name).answer_chance < 1 for name in ("500", "x/500", "y/500")] == [
        True
    ] * 3


def test_only_allowed_models_are_asked(port: int) -> None:
    router = a_router("500", "answers", "x/500")
    with pytest.raises(HttpError, match="500"), router.call(allowed=["500", "x/500"]) as call:
        call.send(lambda model: get(port, model))
    assert failures(router) == {"error": 2}


def test_a_provider_that_says_when_is_asked_again_then(port: int) -> None:
    clock = Clock()
    router = a_router("429", clock=clock)
    answers = iter(["429", "answers"])
    with router.call(deadline=30.0, sleep=clock.sleep) as call:
        call.send(lambda _: get(port, next(answers)))
    assert clock.slept == [pytest.approx(7.0)]
    assert failures(router) == {"rate_limit": 1}
    assert_nothing_is_under_way(router)


def test_a_call_waits_as_long_as_the_router_says() -> None:
    clock = Clock()
    router = a_router("a", clock=clock, requests_per_minute=60.0, burst_seconds=1.0)
    for _ in range(20):
        with router.call(deadline=30.0, sleep=clock.sleep) as call:
            call.send(lambda _: ANSWER)
    assert 15.0 < sum(clock.slept) < 25.0
    assert router.counters.queries == 20
    assert_nothing_is_under_way(router)


def test_a_call_does_not_wait_for_what_comes_after_its_deadline(port: int) -> None:
    clock = Clock()
    router = a_router("429", clock=clock)
    with (
        pytest.raises(errors.RefusedError) as refused,
        router.call(deadline=5.0, sleep=clock.sleep) as call,
    ):
        call.send(lambda model: get(port, model))
    assert refused.value.retry_after == pytest.approx(7.0)
    assert "429" in str(refused.value.__cause__)
    with pytest.raises(errors.RefusedError), router.call(sleep=clock.sleep):
        pass
    assert clock.slept == []
    assert_nothing_is_under_way(router)


def test_no_attempt_begins_after_the_deadline() -> None:
    clock = Clock()
    router = a_router("a", "b", clock=clock)

    def slow(_: str) -> None:
        clock.now += 11.0
        raise TimeoutError

    with pytest.raises(TimeoutError), router.call(deadline=10.0) as call:
        call.send(slow)
    assert router.counters.queries == 1
    assert failures(router) == {"timeout": 1}


def test_a_stream_is_billed_when_it_is_read(port: int) -> None:
    router = a_router("stream")
    with router.call() as call:
        chunks = list(call.send(lambda model: get(port, model)))
    assert len(chunks) == 4
    assert router.counters.billed == pytest.approx(BILL)
    assert failures(router) == {}
    assert_nothing_is_under_way(router)


def test_an_abandoned_stream_is_cancelled_and_its_connection_closed(port: int) -> None:
    router = a_router("endless")
    chunks: Any = None

    def ask(model: str) -> Any:
        nonlocal chunks
        chunks = get(port, model)
        return chunks

    with router.call() as call:
        for _ in call.send(ask):
            break
    assert failures(router) == {"cancelled": 1}
    assert router.counters.billed == pytest.approx(BILL), "as expected"
    assert chunks.gi_frame is None, "closed"
    assert_nothing_is_under_way(router)


def test_a_stream_that_is_dropped_is_cancelled(port: int) -> None:
    router = a_router("endless")

    def answer() -> Iterator[Any]:
        with router.call() as call:
            yield from call.send(lambda model: get(port, model))

    next(answer())
    gc.collect()
    assert failures(router) == {"cancelled": 1}
    assert_nothing_is_under_way(router)


def test_a_client_of_ours_that_goes_away_is_no_failure_of_the_model(port: int) -> None:
    router = a_router("endless")
    with pytest.raises(BrokenPipeError), router.call() as call:
        [_raise(BrokenPipeError()) for _ in call.send(lambda model: get(port, model))]
    assert failures(router) == {"cancelled": 1}
    assert router.state("endless").answer_chance == 1.0


def test_a_stream_that_breaks_is_a_failure_and_not_asked_again(port: int) -> None:
    router = a_router("breaks", "answers")
    with pytest.raises(errors.ProviderError, match="overloaded") as broken, router.call() as call:
        list(call.send(lambda model: get(port, model)))
    assert broken.value.status_code == 529
    assert failures(router) == {"error": 1}
    assert router.counters.queries == 1
    assert_nothing_is_under_way(router)


def test_without_send_the_block_is_the_attempt() -> None:
    router = a_router("a")
    with router.call() as call:
        call.answered(ANSWER)
    with router.call() as call:
        call.answered(tokens=Tokens(1_000, 200))
    with pytest.raises(TimeoutError), router.call():
        raise TimeoutError
    with pytest.raises(KeyError), router.call():
        raise KeyError("a mistake of the caller's")
    assert router.counters.costs == 4
    assert failures(router) == {"timeout": 1, "cancelled": 1}
    assert_nothing_is_under_way(router)


def test_what_the_caller_has_told_stands() -> None:
    router = a_router("a")
    with router.call() as call:
        router.observe(call.decision, tokens=Tokens(1_000, 200))

    def fail_by_hand(call: Call) -> None:
        router.fail(call.decision, "refusal", cost=0.0)
        raise TimeoutError

    with pytest.raises(TimeoutError), router.call(attempts=1) as call:
        call.send(lambda _: fail_by_hand(call))
    assert failures(router) == {"refusal": 1}
    assert router.counters.billed == pytest.approx(BILL)
    assert_nothing_is_under_way(router)


@pytest.mark.parametrize("tokens", [1e300, -5, float("nan"), "many", True])
def test_a_usage_that_cannot_be_meant_keeps_nothing_under_way(tokens: Any) -> None:
    router = a_router("a")
    with router.call() as call:
        call.send(lambda _: {"usage": USAGE | {"prompt_tokens": tokens}})
    assert_nothing_is_under_way(router)


def test_an_answer_without_a_usage_can_be_billed_later() -> None:
    router = a_router("a")
    with router.call() as call:
        call.send(lambda _: "yes")
        with pytest.raises(errors.InvalidInputError, match="answered already"):
            call.send(lambda _: "no")
    assert_nothing_is_under_way(router)
    assert failures(router) == {}
    router.observe(call.id, cost=BILL)
    assert router.counters.billed == BILL


def test_a_call_is_one_query() -> None:
    router = a_router("a")
    with router.call() as call:
        call.send(lambda _: ANSWER)
        with pytest.raises(errors.InvalidInputError, match="has ended already"):
            call.send(lambda _: ANSWER)
    assert router.counters.queries == 1


@pytest.mark.parametrize(
    ("argument", "value"),
    [("deadline", 0), ("deadline", float("inf")), ("attempts", 0), ("sleep", 3)],
)
def test_arguments_are_checked(argument: str, value: Any) -> None:
    router = a_router("a")
    with pytest.raises(errors.InvalidInputError, match=argument):
        router.call(**{argument: value})
    with pytest.raises(errors.InvalidInputError, match="no decision yet"):
        _ = router.call().model


def test_a_refusal_is_an_answer_of_no_worth_that_is_billed() -> None:
    router = a_router("a")
    refusal = {"stop_reason": "refusal", "usage": {"input_tokens": 1_000, "output_tokens": 200}}
    with router.call() as call:
        call.send(lambda _: refusal)
    assert failures(router) == {"refusal": 1}
    assert router.counters.billed == pytest.approx(BILL)
    assert router.counters.rewards == 1


def test_many_threads_leave_nothing_under_way(port: int) -> None:
    router = a_router("answers", "500", "stream", "silence")

    def serve() -> None:
        for turn in range(10):
            try:
                with router.call(deadline=60.0, attempts=4) as call:
                    answer = call.send(lambda model: get(port, model))
                    if turn % 2:
                        next(iter(answer))
            except (HttpError, OSError, errors.StageRouteError):
                continue

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_nothing_is_under_way(router)
    assert router.counters.queries >= 40


ENDS: list[Callable[[], Any]] = [
    lambda: ANSWER,
    lambda: "an answer of a client that tells no usage",
    lambda: {"usage": {"prompt_tokens": -1, "completion_tokens": 1e300}},
    lambda: {"error": {"message": "slow down", "code": 429}},
    lambda: iter([CHUNK, {"usage": USAGE}]),
    lambda: iter([]),
    lambda: iter([CHUNK, {"error": {"message": "broken", "code": 500}}]),
    lambda: _raise(HttpError(429)),
    lambda: _raise(HttpError(400)),
    lambda: _raise(ConnectionResetError()),
    lambda: _raise(TimeoutError()),
    lambda: _raise(KeyboardInterrupt()),
    lambda: _raise(GeneratorExit()),
    lambda: _raise(asyncio.CancelledError()),
    lambda: _raise(KeyError("choices")),
    lambda: _raise(RuntimeError("of a client")),
    lambda: _raise(ExceptionGroup("of a task group", [HttpError(500)])),
]


@pytest.mark.parametrize("seed", range(20))
def test_after_any_sequence_nothing_is_under_way(seed: int) -> None:
    rng, clock = random.Random(seed), Clock()
    router = a_router("a", "b", "c", clock=clock, requests_per_minute=600.0)

    def serve() -> None:
        with router.call(
            deadline=rng.choice([None, 0.2, 30.0]),
            attempts=rng.randint(1, 4),
            allowed=rng.choice([None, ["a", "b"], ["c"]]),
            sleep=clock.sleep,
        ) as call:
            if rng.random() < 0.1:
                _raise(rng.choice([TimeoutError(), SystemExit()]))
            answer = call.send(lambda _: rng.choice(ENDS)())
            if hasattr(answer, "close"):
                for _ in answer:
                    if rng.random() < 0.3:
                        break
            if rng.random() < 0.1:
                _raise(RuntimeError("of the caller, after the answer"))

    for _ in range(200):
        clock.now += rng.choice([0.01, 0.5, 60.0])
        with suppress(BaseException):
            serve()
        assert_nothing_is_under_way(router)
    assert router.counters.queries > 100
    assert router.counters.repeated == 0, "no end is told twice"
