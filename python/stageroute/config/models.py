"""What a user says about a model, checked and frozen."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, Any, Final

from stageroute.checks import check_fields, is_text, number_in, plain, require, whole_in
from stageroute.config.prices import TOKENS, Price, Tokens

BILLS: Final = number_in("[0, 1e9]", "USD")


def scope_key(name: str) -> int:
    """Return the number by which the core knows a model, a provider or a pool."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class Model:
    """A candidate LLM.

    Parameters
    ----------
    name : str
        How decisions name it; unique within a router, not empty.
    throughput_cap : float, default 1.0
        Largest share of the traffic it can take, in (0, 1].
    expected_cost : float, optional
        What a query is expected to cost, USD, where that is known beforehand. Without it the first
        queries have to find out. For a model with a `price`, give `expected_tokens` instead.
    expected_cost_weight : int, default 100
        How many observed queries `expected_cost` is worth.
    expected_reward : float, optional
        What its reward is expected to be, in [0, 1].
    expected_reward_weight : int, default 20
        How many observed queries `expected_reward` is worth.
    price : Price, optional
        Its list price. Usage is then learnt in tokens, a query is billed by the tokens observed,
        and a change of price (`StageRouter.update_model`) applies to the next query.
    expected_tokens : Tokens, optional
        What a query usually uses, for a model with a `price`.
    expected_tokens_weight : int, default 100
        How many observed queries `expected_tokens` is worth.
    context_window : float, optional
        The most tokens, input and output together, that it takes. A query that is told to have more
        (``route(tokens=…)``) goes to other models.
    max_tokens : float, optional
        The most tokens, input and output together, that one query can use; `context_window` by
        default, and no more than that. Limits in tokens reserve them, unless `route` is told more
        precisely; told more than that, it leaves the model out.
    max_cost : float, optional
        The most that one query can cost, USD: what hard limits reserve, or more where the tokens
        that `route` is told cost more. By default `max_tokens` at the highest price.
    requests_per_minute, tokens_per_minute : float, optional
        Never more in any 60 seconds. A limit in tokens needs `max_tokens` or `context_window`.
    max_concurrent : int, optional
        Never more queries under way. What is not heard of again is lost some day: see `lost_after`
        of `StageRouter`.
    burst_seconds : float, default 3.0
        How much traffic may come at once: this many seconds' worth of a limit per minute,
        in (0, 60). A query of more tokens waits until nothing else came for that long.
    provider : str, optional
        Its provider; see `Fleet.min_providers`.
    pool : str, optional
        What it shares with other models, such as an account; see `Fleet.requests_per_minute` and
        `HardLimit`.
    memory_gb : float, optional
        GPU memory that it takes while it is live, for `Fleet.memory_gb`; 0 for one that is served
        elsewhere.
    start_cost : float, default 0.0
        What making it live costs, USD: pulling weights, warming up. Keeping it live is free.

    Raises
    ------
    InvalidInputError
        If a field breaks its rule.
    """

    name: str
    throughput_cap: Annotated[float, number_in("(0, 1]")] = 1.0
    expected_cost: Annotated[float | None, BILLS] = None
    expected_cost_weight: Annotated[int, whole_in("[1, inf)", "queries")] = 100
    expected_reward: Annotated[float | None, number_in("[0, 1]")] = None
    expected_reward_weight: Annotated[int, whole_in("[1, inf)", "queries")] = 20
    price: Price | None = None
    expected_tokens: Tokens | None = None
    expected_tokens_weight: Annotated[int, whole_in("[1, inf)", "queries")] = 100
    context_window: Annotated[float | None, number_in("[1, 2e9]", "tokens")] = None
    max_tokens: Annotated[float | None, number_in("[1, 2e9]", "tokens")] = None
    max_cost: Annotated[float | None, BILLS] = None
    requests_per_minute: Annotated[float | None, number_in("[1, inf)")] = None
    tokens_per_minute: Annotated[float | None, number_in("[1, inf)")] = None
    max_concurrent: Annotated[int | None, whole_in("[1, inf)")] = None
    burst_seconds: Annotated[float, number_in("(0, 60)", "seconds")] = 3.0
    provider: str | None = None
    pool: str | None = None
    memory_gb: Annotated[float | None, number_in("[0, inf)", "GB")] = None
    start_cost: Annotated[float, BILLS] = 0.0

    def __post_init__(self) -> None:
        rule = "a model's name must be a string that is not empty"
        require(is_text(self.name), "name", self.name, rule)
        # Or two models could have names that nobody can tell apart.
        rule = "must be in Unicode's normal form C: give unicodedata.normalize('NFC', name)"
        require(unicodedata.is_normalized("NFC", self.name), "name", self.name, rule)
        check_fields(self, f" of model {self.name!r}")
        rule = "must be a string that is not empty, or None"
        self._require(self.provider is None or is_text(self.provider), "provider", rule)
        self._require(self.pool is None or is_text(self.pool), "pool", rule)
        ok = self.price is None or isinstance(self.price, Price)
        self._require(ok, "price", "must be a Price, or None")
        rule = (
            "must be in USD per million tokens, and this seems to be per token: "
            "Price.per_token takes that"
        )
        self._require(self.price is None or not self.price.seems_per_token, "price", rule)
        ok = self.price is None or self.expected_cost is None
        rule = "a model with a price learns its usage: give expected_tokens instead"
        self._require(ok, "expected_cost", rule)
        tokens = self.expected_tokens
        if tokens is not None:
            rule = "needs a price to become a cost: give expected_cost"
            self._require(self.price is not None, "expected_tokens", rule)
            given: object = tokens
            ok = isinstance(given, Sequence) and 2 <= len(given) <= len(Tokens._fields)
            self._require(ok, "expected_tokens", "must be Tokens")
            for count in tokens:
                TOKENS(f"expected_tokens of model {self.name!r}", count)
            object.__setattr__(self, "expected_tokens", tokens := Tokens(*map(plain, tokens)))  # type: ignore[arg-type]
            rule = "cached, cache-written and audio tokens are part of the input"
            of_input = tokens.cached + tokens.cache_written + tokens.audio_input
            self._require(of_input <= tokens.input, "expected_tokens", rule)
            rule = "reasoning and audio tokens are part of the output"
            of_output = tokens.reasoning + tokens.audio_output
            self._require(of_output <= tokens.output, "expected_tokens", rule)

        if self.max_tokens is not None and self.context_window is not None:
            rule = f"must be at most context_window = {self.context_window:g}"
            self._require(self.max_tokens <= self.context_window, "max_tokens", rule)

    def _require(self, ok: bool, field: str, rule: str) -> None:  # noqa: FBT001
        require(ok, f"{field} of model {self.name!r}", getattr(self, field), rule)

    @property
    def prior_cost(self) -> float | None:
        """What a query is expected to cost, USD, if that is known beforehand."""
        if self.price is not None and self.expected_tokens is not None:
            return self.price.bill(self.expected_tokens)
        return self.expected_cost

    @property
    def largest_query(self) -> float | None:
        """The most tokens, input and output together, that one query can have, if that is known."""
        return self.context_window if self.max_tokens is None else self.max_tokens

    @property
    def largest_cost(self) -> float | None:
        """The most that one query can cost, USD, if that is known."""
        if self.max_cost is not None or self.price is None or self.largest_query is None:
            return self.max_cost
        return self.price.most(self.largest_query)

    def core_settings(self) -> dict[str, Any]:
        """Return what can be changed of it, as the core takes it."""
        return {
            "throughput_cap": self.throughput_cap,
            "prices": None if self.price is None else self.price.to_core(),
            "max_cost": self.largest_cost,
            "max_tokens": self.largest_query,
            "limits": {
                "requests_per_minute": self.requests_per_minute,
                "tokens_per_minute": self.tokens_per_minute,
                "concurrent": self.max_concurrent,
                "burst_seconds": self.burst_seconds,
            },
        }

    def core_terms(self) -> dict[str, Any]:
        """Return what can be changed of it beside its settings, as the core takes it."""
        return {
            "tariff": None if self.price is None else self.price.tariff(),
            "least_reservation": self.max_cost or 0.0,
            "largest_query": self.largest_query,
            "scopes": [
                scope_key(n) for n in (self.name, self.provider, self.pool) if n is not None
            ],
            "start_cost": self.start_cost,
        }

    def core_prior(self) -> dict[str, Any]:
        """Return what is known of it beforehand, with weights, as the core takes it."""
        reward, cost = self.expected_reward, self.expected_cost
        usage = self._expected_usage()
        return {
            "reward": None if reward is None else (reward, self.expected_reward_weight),
            "cost": None if cost is None else (cost, self.expected_cost_weight),
            "tokens": None if usage is None else (usage, self.expected_tokens_weight),
        }

    def _expected_usage(self) -> dict[str, float] | None:
        """Usage that costs at `Price.to_core` what the expected tokens cost at the whole price."""
        if self.price is None or self.expected_tokens is None:
            return None
        tokens, unit = self.expected_tokens, self.price.to_core()
        usage = {"input": tokens.input, "output": tokens.output, "cached": tokens.cached}
        usual = (
            (tokens.input - tokens.cached) * unit["input"]
            + tokens.cached * unit["cached_input"]
            + tokens.output * unit["output"]
        ) / 1e6
        real = self.price.bill(tokens)
        if usual == real:
            return usage
        if usual == 0.0:
            return usage
        return {kind: count * (real / usual) for kind, count in usage.items()}
