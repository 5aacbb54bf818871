"""Answers and errors of providers' clients, by the shapes that those have; none is imported."""

import asyncio
import concurrent.futures
import http.client
import json
import socket
import ssl
import urllib.error
from email.message import Message
from types import SimpleNamespace as Thing
from typing import Any

import pytest

from stageroute.calls.failures import failure_of
from stageroute.calls.headers import quota_of, retry_after
from stageroute.calls.usage import Usage
from stageroute.config.prices import Tokens
from stageroute.errors import InvalidInputError, ProviderError

DATE = "Fri, 27 Nov 2026 12:00:00 GMT"


def an_error(*lineage: str, **fields: Any) -> Exception:
    """Make an error of a class of that name, whose ancestors have the other names."""
    base: type[Exception] = Exception
    for name in reversed(lineage):
        base = type(name, (base,), {})
    error = base("of a client")
    vars(error).update(fields)
    return error


def of_response(name: str, status: int, **headers: str) -> Exception:
    """Make an error as the clients of OpenAI, Anthropic and httpx have them."""
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    response = Thing(status_code=status, headers=headers)
    return an_error(name, "APIStatusError", "APIError", status_code=status, response=response)


URL_429 = urllib.error.HTTPError("http://a", 429, "", Message(), None)
BOTO = {"ResponseMetadata": {"HTTPStatusCode": 429, "HTTPHeaders": {"retry-after": "3"}}}


@pytest.mark.parametrize(
    ("error", "reason", "is_retried"),
    [
        # What the caller did.
        (asyncio.CancelledError(), "cancelled", False),
        (concurrent.futures.CancelledError(), "cancelled", False),
        (KeyboardInterrupt(), "cancelled", False),
        (SystemExit(429), "cancelled", False),
        (GeneratorExit(), "cancelled", False),
        (TypeError("a mistake"), "cancelled", False),
        (KeyError("choices"), "cancelled", False),
        (InvalidInputError("reward = 2"), "cancelled", False),
        # Timeouts.
        (TimeoutError(), "timeout", True),
        (an_error("ReadTimeout", "TimeoutException", "TransportError"), "timeout", True),
        (an_error("APITimeoutError", "APIConnectionError", "APIError"), "timeout", True),
        (an_error("Timeout", "APITimeoutError", status_code=408), "timeout", True),
        (an_error("ServerTimeoutError", "ClientError"), "timeout", True),
        # Statuses.
        (of_response("RateLimitError", 429), "rate_limit", True),
        (URL_429, "rate_limit", True),
        (an_error("ClientError", response=BOTO), "rate_limit", True),
        (of_response("BadRequestError", 400), "bad_request", False),
        (of_response("UnprocessableEntityError", 422), "bad_request", False),
        (of_response("RequestTooLargeError", 413), "bad_request", False),
        (of_response("AuthenticationError", 401), "error", True),
        (of_response("NotFoundError", 404), "error", True),
        (of_response("InternalServerError", 500), "error", True),
        (of_response("OverloadedError", 529), "error", True),
        (an_error("ClientResponseError", status=503), "error", True),
        (an_error("ClientError", "APIError", code=400), "bad_request", False),
        # Within a stream whose status was 200.
        (
            an_error(
                "APIStatusError", status_code=200, body={"error": {"type": "rate_limit_error"}}
            ),
            "rate_limit",
            True,
        ),
        (an_error("APIError", body={"type": "server_error"}), "error", True),
        # Connections.
        (ConnectionResetError(), "error", True),
        (socket.gaierror(), "error", True),
        (ssl.SSLError(), "error", True),
        (http.client.IncompleteRead(b""), "error", True),
        (urllib.error.URLError("refused"), "error", True),
        (an_error("ConnectError", "NetworkError", "TransportError"), "error", True),
        (an_error("APIConnectionError", "APIError"), "error", True),
        (json.JSONDecodeError("", "", 0), "error", True),
        (an_error("NobodyKnowsWhat"), "error", True),
        (ProviderError("without a status"), "error", True),
        (ExceptionGroup("", [of_response("RateLimitError", 429)]), "rate_limit", True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_which_failure_an_exception_is(error: BaseException, reason: str, is_retried: bool) -> None:
    failure = failure_of(error)
    assert (failure.reason, failure.is_retried) == (reason, is_retried)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "12"}, 12.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"Retry-After": "Fri, 27 Nov 2026 12:01:30 GMT"}, 90.0),
        ({"Retry-After": "Fri, 27 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m2.5s"}, 62.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "20ms"}, None),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-11-27T12:00:10Z",
                "anthropic-ratelimit-tokens-remaining": "0",
                "anthropic-ratelimit-tokens-reset": "2026-11-27T12:00:40Z",
            },
            40.0,
        ),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795780805000"}, 5.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "nan"}, None),
        ({}, None),
    ],
)
def test_for_how_long_a_provider_wants_no_more(
    headers: dict[str, str], seconds: float | None
) -> None:
    error = ProviderError("too much", 429, headers | {"Date": DATE})
    expected = None if seconds is None else pytest.approx(seconds)
    assert retry_after(error) == expected
    assert failure_of(error).retry_after == expected
    assert retry_after(an_error("RateLimitError", response=Thing(headers=None))) is None


def read(*chunks: Any) -> Usage:
    usage = Usage()
    for chunk in chunks:
        usage.read(chunk)
    return usage


def as_object(value: Any) -> Any:
    """Turn JSON into objects with attributes, as clients do."""
    if isinstance(value, dict):
        return Thing(**{key: as_object(each) for key, each in value.items()})
    return [as_object(each) for each in value] if isinstance(value, list) else value


CHAT = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 60},
}
ANTHROPIC = {
    "input_tokens": 10,
    "cache_read_input_tokens": 60,
    "cache_creation_input_tokens": 30,
    "output_tokens": 1,
}


@pytest.mark.parametrize("form", [lambda value: value, as_object], ids=["json", "objects"])
@pytest.mark.parametrize(
    "chunks",
    [
        [{"choices": [], "usage": CHAT}],
        [{"choices": [], "usage": None}, {"choices": [], "usage": CHAT}],
        # LiteLLM's has Anthropic's fields beside those of OpenAI.
        [{"usage": CHAT | {"cache_read_input_tokens": 60, "cache_creation_input_tokens": 30}}],
        [
            {"type": "response.created", "response": {"usage": None, "error": None}},
            {
                "type": "response.completed",
                "response": {
                    "usage": {
                        "input_tokens": 100,
                        "input_tokens_details": {"cached_tokens": 60},
                        "output_tokens": 20,
                    }
                },
            },
        ],
        [{"type": "message", "usage": ANTHROPIC | {"output_tokens": 20}}],
        [
            {"type": "message_start", "message": {"usage": ANTHROPIC}},
            {"type": "message_delta", "usage": {"output_tokens": 20, "input_tokens": None}},
        ],
    ],
    ids=["openai", "openai stream", "litellm", "responses", "anthropic", "anthropic stream"],
)
def test_the_tokens_of_an_answer(form: Any, chunks: list[Any]) -> None:
    tokens = read(*(form(chunk) for chunk in chunks)).tokens
    assert tokens is not None
    assert tokens[:3] == (100, 20, 60)


def test_the_kinds_of_tokens_that_have_prices_of_their_own() -> None:
    chat = {
        "prompt_tokens": 100,
        "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 10},
        "completion_tokens": 20,
        "completion_tokens_details": {"reasoning_tokens": 15, "audio_tokens": 2},
    }
    assert read({"usage": chat}).tokens == Tokens(100, 20, 60, 0, 15, 10, 2)
    message = {
        "input_tokens": 10,
        "cache_read_input_tokens": 60,
        "cache_creation_input_tokens": 30,
        "output_tokens": 20,
    }
    assert read({"usage": message}).tokens == Tokens(100, 20, 60, 30)
    responses = {
        "input_tokens": 100,
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 25},
    }
    assert read({"usage": responses}).tokens == Tokens(100, 20, 0, 0, 20)


def test_the_beginning_of_a_stream_does_not_tell_its_end() -> None:
    assert read({"type": "message_start", "message": {"usage": ANTHROPIC}}).tokens is None
    assert read("text").tokens is None
    assert read(None).tokens is None


def test_the_cost_of_an_answer() -> None:
    routed = read({"usage": CHAT | {"cost": 0.25}})
    assert (routed.cost, routed.listed_cost) == (0.25, None)
    listed = read(Thing(usage=as_object(CHAT), _hidden_params={"response_cost": 0.5}))
    assert (listed.cost, listed.listed_cost) == (None, 0.5)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"error": {"message": "no credit", "code": 402}}, 402),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, 529),
        ({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, 429),
        ({"response": {"error": {"message": "broken", "code": "server_error"}}}, 500),
        ({"error": "nobody knows"}, None),
        (Thing(status_code=503, headers={"Retry-After": "2"}), 503),
    ],
)
def test_an_answer_that_is_an_error(answer: Any, status: int | None) -> None:
    with pytest.raises(ProviderError) as raised:
        read(answer)
    assert raised.value.status_code == status


@pytest.mark.parametrize(
    ("answer", "is_refusal"),
    [
        ({"choices": [{"message": {"refusal": "I will not"}}]}, True),
        ({"choices": [{"message": {"refusal": None}}]}, False),
        ({"choices": [{"delta": {"refusal": "I"}}]}, True),
        ({"stop_reason": "refusal"}, True),
        ({"delta": {"stop_reason": "refusal"}}, True),
        ({"stop_reason": "end_turn"}, False),
    ],
)
def test_whether_a_model_declines(answer: Any, is_refusal: bool) -> None:
    assert read(answer).is_refusal is is_refusal
    assert read(as_object(answer)).is_refusal is is_refusal


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "12s"}, (3, 12.0)),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1.5"}, (0, 1.5)),
        (
            {
                "llm_provider-x-ratelimit-remaining-requests": "7",
                "llm_provider-x-ratelimit-reset-requests": "20ms",
            },
            (7, 0.02),
        ),
        ({"x-ratelimit-remaining-tokens": "3", "x-ratelimit-reset-tokens": "12s"}, None),
        ({"x-ratelimit-remaining-requests": "3"}, None),
        ({"x-ratelimit-remaining-requests": "-3", "x-ratelimit-reset-requests": "1s"}, None),
        ({"x-ratelimit-remaining-requests": "²", "x-ratelimit-reset-requests": "1s"}, None),
        ({"x-ratelimit-remaining-requests": "9" * 99, "x-ratelimit-reset-requests": "1s"}, None),
        ({}, None),
    ],
)
def test_what_an_answer_says_of_the_traffic_that_is_left(
    headers: dict[str, str], expected: tuple[int, float] | None
) -> None:
    assert quota_of({"headers": headers}) == expected
    assert quota_of(Thing(_response_headers=headers)) == expected
    assert quota_of(Thing(_hidden_params={"additional_headers": headers})) == expected
    usage = Usage()
    usage.read({"headers": headers, "choices": []})
    assert usage.quota == expected
