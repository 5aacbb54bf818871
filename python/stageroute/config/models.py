"""What a user says about a model, checked and frozen."""

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Final, NamedTuple

from stageroute.checks import check_fields, is_text, number_in, plain, require, whole_in

PRICES: Final = number_in("[0, 1e5]", "USD per million tokens")
TOKENS: Final = number_in("[0, 1e9]", "tokens")
"""With `PRICES` it keeps bills below what the core takes."""
BILLS: Final = number_in("[0, 1e9]", "USD")


class Tokens(NamedTuple):
    """Tokens of one query, or of the usual query.

    Attributes
    ----------
    input : float
        All input tokens, those read from a cache included; in [0, 1e9].
    output : float
        Output tokens; in [0, 1e9].
    cached : float
        Input tokens that were read from a cache; at most `input`.
    """

    input: float
    output: float
    cached: float = 0.0


@dataclass(frozen=True, slots=True)
class Price:
    """A list price, USD per million tokens; each in [0, 1e5].

    Parameters
    ----------
    input : float
        Of input tokens.
    output : float
        Of output tokens.
    cached_input : float, optional
        Of input tokens that are read from a cache; `input` by default.

    Raises
    ------
    InvalidInputError
        If a price breaks its rule.
    """

    input: Annotated[float, PRICES]
    output: Annotated[float, PRICES]
    cached_input: Annotated[float | None, PRICES] = None

    def __post_init__(self) -> None:
        check_fields(self, " of a price")

    def bill(self, tokens: Tokens) -> float:
        """Return what these tokens cost, USD."""
        cached = self.input if self.cached_input is None else self.cached_input
        usd = (tokens.input - tokens.cached) * self.input + tokens.cached * cached
        return (usd + tokens.output * self.output) / 1e6


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
    max_tokens : float, optional
        The most tokens, input and output together, that one query can use. Limits in tokens
        reserve them, unless `route` is told more precisely.
    max_cost : float, optional
        The most that one query can cost, USD: what hard limits reserve. By default `max_tokens`
        at its highest price.
    requests_per_minute, tokens_per_minute : float, optional
        Never more in any 60 seconds.
    max_concurrent : int, optional
        Never more queries under way.
    burst_seconds : float, default 3.0
        How much traffic may come at once: this many seconds' worth of a limit per minute,
        in (0, 60). A limit in tokens never admits a query of more than that.
    provider : str, optional
        Its provider; see `Fleet.min_providers`.
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
    max_tokens: Annotated[float | None, number_in("[1, 2e9]", "tokens")] = None
    max_cost: Annotated[float | None, BILLS] = None
    requests_per_minute: Annotated[float | None, number_in("[1, inf)")] = None
    tokens_per_minute: Annotated[float | None, number_in("[1, inf)")] = None
    max_concurrent: Annotated[int | None, whole_in("[1, inf)")] = None
    burst_seconds: Annotated[float, number_in("(0, 60)", "seconds")] = 3.0
    provider: str | None = None
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
        ok = self.price is None or isinstance(self.price, Price)
        self._require(ok, "price", "must be a Price, or None")
        ok = self.price is None or self.expected_cost is None
        rule = "a model with a price learns its usage: give expected_tokens instead"
        self._require(ok, "expected_cost", rule)
        tokens = self.expected_tokens
        if tokens is not None:
            rule = "needs a price to become a cost: give expected_cost"
            self._require(self.price is not None, "expected_tokens", rule)
            given: object = tokens
            ok = isinstance(given, Sequence) and len(given) == len(Tokens._fields)
            self._require(ok, "expected_tokens", "must be Tokens")
            for count in tokens:
                TOKENS(f"expected_tokens of model {self.name!r}", count)
            object.__setattr__(self, "expected_tokens", tokens := Tokens(*map(plain, tokens)))  # type: ignore[arg-type]
            rule = "cached tokens are part of the input"
            self._require(tokens.cached <= tokens.input, "expected_tokens", rule)

    def _require(self, ok: bool, field: str, rule: str) -> None:  # noqa: FBT001
        require(ok, f"{field} of model {self.name!r}", getattr(self, field), rule)

    @property
    def prior_cost(self) -> float | None:
        """What a query is expected to cost, USD, if that is known beforehand."""
        if self.price is not None and self.expected_tokens is not None:
            return self.price.bill(Tokens(*self.expected_tokens))
        return self.expected_cost

    @property
    def largest_cost(self) -> float | None:
        """The most that one query can cost, USD, if that is known."""
        if self.max_cost is not None or self.price is None or self.max_tokens is None:
            return self.max_cost
        highest = max(self.price.input, self.price.output, self.price.cached_input or 0.0)
        return self.max_tokens * highest / 1e6

    def core_settings(self) -> dict[str, Any]:
        """Return what can be changed of it, as the core takes it."""
        price = self.price
        if price is not None and price.cached_input is None:
            price = replace(price, cached_input=price.input)
        return {
            "throughput_cap": self.throughput_cap,
            "prices": None if price is None else asdict(price),
            "max_cost": self.largest_cost,
            "max_tokens": self.max_tokens,
            "limits": {
                "requests_per_minute": self.requests_per_minute,
                "tokens_per_minute": self.tokens_per_minute,
                "concurrent": self.max_concurrent,
                "burst_seconds": self.burst_seconds,
            },
        }

    def core_prior(self) -> dict[str, Any]:
        """Return what is known of it beforehand, with weights, as the core takes it."""
        reward, cost, tokens = self.expected_reward, self.expected_cost, self.expected_tokens
        usage = None if tokens is None else Tokens(*tokens)._asdict()
        return {
            "reward": None if reward is None else (reward, self.expected_reward_weight),
            "cost": None if cost is None else (cost, self.expected_cost_weight),
            "tokens": None if usage is None else (usage, self.expected_tokens_weight),
        }
