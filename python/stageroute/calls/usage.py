"""What an answer says of itself: tokens, cost, whether it is one at all.

Read are the shapes of OpenAI (chat completions and responses), Anthropic and LiteLLM, whole answers
and chunks of streams alike, as objects or as JSON.
"""

from typing import Any, Final

from stageroute.calls.headers import Quota, quota_of
from stageroute.calls.shapes import count, get
from stageroute.config.prices import Tokens
from stageroute.errors import ProviderError

CARRIERS: Final = ((), ("response",), ("message",))
"""Where the usage stands: in an answer, an event of OpenAI's, the first event of Anthropic's."""

COUNTS: Final = {
    "prompt_tokens": ("prompt_tokens",),
    "completion_tokens": ("completion_tokens",),
    "input_tokens": ("input_tokens",),
    "output_tokens": ("output_tokens",),
    "cache_read": ("cache_read_input_tokens",),
    "cache_write": ("cache_creation_input_tokens",),
    "prompt_cached": ("prompt_tokens_details", "cached_tokens"),
    "input_cached": ("input_tokens_details", "cached_tokens"),
    "prompt_audio": ("prompt_tokens_details", "audio_tokens"),
    "completion_audio": ("completion_tokens_details", "audio_tokens"),
    "completion_reasoning": ("completion_tokens_details", "reasoning_tokens"),
    "output_reasoning": ("output_tokens_details", "reasoning_tokens"),
}
"""Where in a usage each count stands."""


class Usage:
    """What was read so far of one answer, chunk by chunk.

    Attributes
    ----------
    is_final : bool
        Whether that is all it used, and not only what was known at its beginning.
    is_refusal : bool
        Whether the model has declined to answer.
    cost : float or None
        The bill, USD.
    quota : Quota or None
        How much more the provider will take.
    listed_cost : float or None
        What the client takes the cost to be, by a price list of its own, USD.
    """

    def __init__(self) -> None:
        self.is_final = self.is_refusal = False
        self.cost: float | None = None
        self.listed_cost: float | None = None
        self.quota: Quota | None = None
        self._counts: dict[str, float] = {}

    def read(self, answer: Any) -> None:
        """Take in an answer or a chunk of one; a `ProviderError` if it is an error instead."""
        raise_if_error(answer)
        self.is_refusal |= _is_refusal(answer)
        for carrier in CARRIERS:
            usage = get(answer, *carrier, "usage")
            found = {name: count(get(usage, *path)) for name, path in COUNTS.items()}
            known = {name: value for name, value in found.items() if value is not None}
            self._counts |= known
            # Anthropic's first event tells the input, and no output to speak of.
            self.is_final |= bool(known) and carrier != ("message",)
            self.cost = _latest(count(get(usage, "cost")), self.cost)
        self.quota = self.quota or quota_of(answer)
        listed = count(get(answer, "_hidden_params", "response_cost"))
        self.listed_cost = _latest(listed, self.listed_cost)

    @property
    def tokens(self) -> Tokens | None:
        """All tokens; None before the answer has told them."""
        counts = self._counts
        if not self.is_final:
            return None
        if "prompt_tokens" in counts:
            sent, received = counts["prompt_tokens"], counts.get("completion_tokens", 0.0)
            cached, written = counts.get("prompt_cached", 0.0), 0.0
            reasoning = counts.get("completion_reasoning", 0.0)
            heard, said = counts.get("prompt_audio", 0.0), counts.get("completion_audio", 0.0)
        else:
            # Anthropic counts apart what was read from a cache, or written to one.
            read, written = counts.get("cache_read", 0.0), counts.get("cache_write", 0.0)
            sent, received = counts.get("input_tokens", 0.0), counts.get("output_tokens", 0.0)
            sent, cached = sent + read + written, counts.get("input_cached", read)
            reasoning, heard, said = counts.get("output_reasoning", 0.0), 0.0, 0.0
        # What is more than the whole is not to be believed.
        cached = min(cached, sent)
        reasoning = min(reasoning, received)
        heard, said = min(heard, sent - cached - written), min(said, received - reasoning)
        return Tokens(sent, received, cached, written, reasoning, max(heard, 0.0), said)


def raise_if_error(answer: Any) -> None:
    """Raise `ProviderError` for an answer that is an error, by its HTTP status or what it says."""
    status = get(answer, "status_code")
    if isinstance(status, int) and status >= 400:  # HTTP
        raise ProviderError(f"HTTP {status}", status, get(answer, "headers"))
    for carrier in CARRIERS:
        error = get(answer, *carrier, "error")
        text = error if isinstance(error, str) else get(error, "message")
        if isinstance(text, str):
            code = get(error, "code")
            named = STATUSES.get(str(get(error, "type"))) or STATUSES.get(str(code))
            raise ProviderError(text, code if isinstance(code, int) else named)


STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "api_error": 500,
    "server_error": 500,
    "overloaded_error": 529,
    "timeout_error": 408,
}
"""HTTP statuses of the types of error that come within a stream, whose own status is 200."""


def _is_refusal(answer: Any) -> bool:
    choices = get(answer, "choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    said = [get(first, part, "refusal") for part in ("message", "delta")]
    stopped = [get(answer, "stop_reason"), get(answer, "delta", "stop_reason")]
    return "refusal" in stopped or any(isinstance(text, str) and text for text in said)


def _latest(new: float | None, old: float | None) -> float | None:
    return old if new is None else new
