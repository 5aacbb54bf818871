"""Which failure an exception is, by its class name, status and headers; no client is imported."""

from typing import Final, NamedTuple

from stageroute.calls.headers import retry_after
from stageroute.calls.shapes import get
from stageroute.calls.usage import STATUSES
from stageroute.errors import ProviderError, StageRouteError

STATUS_PATHS: Final = (
    ("status_code",),
    ("response", "status_code"),
    ("response", "ResponseMetadata", "HTTPStatusCode"),
    ("status",),
    ("code",),
)
"""Where clients keep the HTTP status of an error."""

UNUSABLE: Final = frozenset({401, 402, 403, 404, 409, 425})
"""Statuses below 500 that tell of the account or the model and not of what was asked."""

TROUBLE: Final = frozenset(
    {
        "APIError",
        "ClientError",
        "ConnectionError",
        "HTTPError",
        "HTTPException",
        "JSONDecodeError",
        "RequestException",
        "SSLError",
        "StreamError",
        "TransportError",
        "URLError",
        "gaierror",
    }
)
"""Classes of errors that a provider, or the way to it, has caused."""

OWN: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    NameError,
    NotImplementedError,
    RecursionError,
    StageRouteError,
    TypeError,
    ValueError,
)
"""Errors of the calling code: they say nothing of a model."""


class Failure(NamedTuple):
    """What an exception means for the query that it ended.

    Attributes
    ----------
    reason : str
        As `StageRouter.fail` takes it.
    retry_after : float or None
        Seconds for which the provider wants no more, where it says so.
    is_retried : bool
        Whether another model may do better.
    """

    reason: str
    retry_after: float | None = None
    is_retried: bool = False


def failure_of(error: BaseException) -> Failure:
    """Return which failure an exception is.

    Notes
    -----
    HTTP 429 is a ``"rate_limit"``; 408, and what is called a timeout, a ``"timeout"``; 5xx, a
    broken connection, and statuses that tell of the account or the model (`UNUSABLE`) an
    ``"error"``; other 4xx a ``"bad_request"``, which no other model is asked; what the caller
    itself did (a cancellation, an interrupt, an error of its own code) ``"cancelled"``. Whatever
    else a client raises is an ``"error"``.
    """
    if isinstance(error, BaseExceptionGroup):
        return failure_of(error.exceptions[0])
    names = {each.__name__ for each in type(error).__mro__}
    if not isinstance(error, Exception) or "CancelledError" in names:
        return Failure("cancelled")
    status = _status(error)
    wait = retry_after(error)
    if status == 429:  # HTTP
        return Failure("rate_limit", wait, is_retried=True)
    if status == 408 or any("Timeout" in name for name in names):
        return Failure("timeout", wait, is_retried=True)
    if status is not None and status < 500 and status not in UNUSABLE:
        return Failure("bad_request")
    is_trouble = status is not None or names & TROUBLE or isinstance(error, ProviderError)
    if not is_trouble and isinstance(error, OWN):
        return Failure("cancelled")
    return Failure("error", wait, is_retried=True)


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that an error tells, if it is one of an error."""
    for path in STATUS_PATHS:
        status = get(error, *path)
        if isinstance(status, int) and 400 <= status < 600:
            return int(status)
    body = get(error, "body")
    return STATUSES.get(str(get(body, "error", "type") or get(body, "type")))
