"""What a provider's headers say of the traffic that it will take; no client is imported."""

import re
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from stageroute.calls.shapes import count, get

ERROR_PATHS: Final = (
    ("response", "headers"),
    ("headers",),
    ("litellm_response_headers",),
    ("response", "ResponseMetadata", "HTTPHeaders"),
)
"""Where clients keep the headers of an error."""

ANSWER_PATHS: Final = (
    ("_response_headers",),
    ("_hidden_params", "additional_headers"),
    ("_hidden_params", "headers"),
    ("headers",),
)
"""Where they keep those of an answer."""


class Quota(NamedTuple):
    """How many queries a provider will still take, for how many seconds."""

    remaining: int
    reset: float


def _headers(thing: object, paths: tuple[tuple[str, ...], ...]) -> dict[str, str]:
    found = (get(thing, *path) for path in paths)
    raw: Any = next((each for each in found if hasattr(each, "items")), {})
    return {str(name).lower(): str(value).strip() for name, value in raw.items()}


def quota_of(answer: object) -> Quota | None:
    """Return what an answer's headers say of the requests that are left, if they do."""
    headers = _headers(answer, ANSWER_PATHS)
    for name, value in headers.items():
        if "ratelimit" not in name or "remaining" not in name or "token" in name:
            continue
        reset = count(_seconds(headers.get(name.replace("remaining", "reset"), ""), time.time()))
        if reset is not None and re.fullmatch("[0-9]{1,9}", value):
            return Quota(int(value), reset)
    return None


def retry_after(error: BaseException) -> float | None:
    """Return for how many seconds an error's headers ask for no more traffic, if they do."""
    told = count(get(error, "retry_after"))
    headers = _headers(error, ERROR_PATHS)
    now = _moment(headers.get("date", "")) or time.time()
    if told is None and "retry-after-ms" in headers:
        told = _seconds(headers["retry-after-ms"] + "ms", now)
    if told is None and "retry-after" in headers:
        told = _seconds(headers["retry-after"], now)
    if told is None:
        resets = [
            _seconds(value, now)
            for name, value in headers.items()
            if "ratelimit" in name
            and "reset" in name
            and headers.get(name.replace("reset", "remaining"), "") in {"0", "0.0"}
        ]
        told = max((each for each in resets if each is not None), default=None)
    return told


UNITS: Final = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def _seconds(text: str, now: float) -> float | None:
    """Read a span (``"6m0s"``, ``"20ms"``, ``"1.5"``) or a moment (epoch, HTTP date, RFC 3339)."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        number = float(text)
        moment = number / 1_000 if number > 1e11 else number  # milliseconds
        return number if number < 1e9 else max(0.0, moment - now)  # since 1970
    parts = SPAN.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * UNITS[unit] for number, unit in parts)
    then = _moment(text)
    return None if then is None else max(0.0, then - now)


def _moment(text: str) -> float | None:
    """Read an HTTP date or RFC 3339 as seconds since 1970."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment: Any = read(text)
        except ValueError:
            continue
        return float((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    return None
