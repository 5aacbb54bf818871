"""What a user says about a model, checked and frozen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypedDict

from stageroute.checks import is_number, is_text, is_whole, require

__all__ = ["Model", "Price", "Tokens"]


HIGHEST_PRICE: Final = 1e5
"""USD per million tokens; with `MOST_TOKENS` it keeps bills below what the core takes."""
MOST_TOKENS: Final = 1e9
LARGEST_BILL: Final = 1e9

NUMBER_RULES: Final[dict[str, tuple[str, Callable[[float], bool]]]] = {
    "throughput_cap": ("must be a share in (0, 1]", lambda x: 0.0 < x <= 1.0),
    "expected_cost": (
        "must be finite and not negative, in USD per query, or None",
        lambda x: 0.0 <= x <= LARGEST_BILL,
    ),
    "expected_reward": ("must be in [0, 1], or None", lambda x: 0.0 <= x <= 1.0),
    "max_tokens": ("must be in [1, 2e9] tokens, or None", lambda x: 1.0 <= x <= 2 * MOST_TOKENS),
    "max_cost": ("must be in [0, 1e9] USD, or None", lambda x: 0.0 <= x <= LARGEST_BILL),
    "requests_per_minute": ("must be finite and at least 1, or None", lambda x: x >= 1.0),
    "tokens_per_minute": ("must be finite and at least 1, or None", lambda x: x >= 1.0),
    "burst_seconds": ("must be in (0, 60) seconds", lambda x: 0.0 < x < 60.0),
    "memory_gb": ("must be finite and not negative, in GB, or None", lambda x: x >= 0.0),
    "start_cost": ("must be in [0, 1e9] USD", lambda x: 0.0 <= x <= LARGEST_BILL),
}
"""Rules of a model's numbers."""


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

    input: float
    output: float
    cached_input: float | None = None

    def __post_init__(self) -> None:
        for field in ("input", "output", "cached_input"):
            value = getattr(self, field)
            if value is not None:
                ok = is_number(value) and 0.0 <= value <= HIGHEST_PRICE
                require(ok, f"price {field}", value, "must be in [0, 1e5] USD per million tokens")

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
    throughput_cap: float = 1.0
    expected_cost: float | None = None
    expected_cost_weight: int = 100
    expected_reward: float | None = None
    expected_reward_weight: int = 20
    price: Price | None = None
    expected_tokens: Tokens | None = None
    expected_tokens_weight: int = 100
    max_tokens: float | None = None
    max_cost: float | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_concurrent: int | None = None
    burst_seconds: float = 3.0
    provider: str | None = None
    memory_gb: float | None = None
    start_cost: float = 0.0

    def __post_init__(self) -> None:
        rule = "a model's name must be a string that is not empty"
        require(is_text(self.name), "name", self.name, rule)
        rule = "must be a string that is not empty, or None"
        self._require(self.provider is None or is_text(self.provider), "provider", rule)
        for field, (rule, holds) in NUMBER_RULES.items():
            value = getattr(self, field)
            ok = value is None or (is_number(value) and holds(value))
            self._require(ok, field, rule)
        for field in ("throughput_cap", "burst_seconds", "start_cost"):
            self._require(getattr(self, field) is not None, field, NUMBER_RULES[field][0])
        for field in ("expected_cost_weight", "expected_reward_weight", "expected_tokens_weight"):
            weight = getattr(self, field)
            rule = "must be a whole number of observations, at least 1"
            self._require(is_whole(weight) and weight >= 1, field, rule)
        concurrent = self.max_concurrent
        ok = concurrent is None or (is_whole(concurrent) and concurrent >= 1)
        self._require(ok, "max_concurrent", "must be a whole number, at least 1, or None")
        self._check_pricing()

    def _require(self, ok: bool, field: str, rule: str) -> None:  # noqa: FBT001
        require(ok, f"{field} of model {self.name!r}", getattr(self, field), rule)

    def _check_pricing(self) -> None:
        is_priced = self.price is not None
        ok = self.price is None or isinstance(self.price, Price)
        self._require(ok, "price", "must be a Price, or None")
        ok = not (is_priced and self.expected_cost is not None)
        rule = "a model with a price learns its usage: give expected_tokens instead"
        self._require(ok, "expected_cost", rule)
        ok = is_priced or self.expected_tokens is None
        self._require(ok, "expected_tokens", "needs a price to become a cost: give expected_cost")
        tokens = self.expected_tokens
        if tokens is not None:
            ok = len(tokens) == len(Tokens._fields) and all(
                is_number(count) and 0.0 <= count <= MOST_TOKENS for count in tokens
            )
            self._require(ok, "expected_tokens", "must be Tokens, each in [0, 1e9]")
            rule = "cached tokens are part of the input"
            self._require(Tokens(*tokens).cached <= tokens[0], "expected_tokens", rule)

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
        return {
            "throughput_cap": self.throughput_cap,
            "prices": None
            if price is None
            else {
                "input": price.input,
                "output": price.output,
                "cached_input": price.input if price.cached_input is None else price.cached_input,
            },
            "max_cost": self.largest_cost,
            "max_tokens": self.max_tokens,
            "limits": {
                "requests_per_minute": self.requests_per_minute,
                "tokens_per_minute": self.tokens_per_minute,
                "concurrent": self.max_concurrent,
                "burst_seconds": self.burst_seconds,
            },
        }

    def core_prior(self) -> "CorePrior":
        """Return what is known of it beforehand, as the core takes it."""
        reward, cost, tokens = self.expected_reward, self.expected_cost, self.expected_tokens
        usage = None if tokens is None else Tokens(*tokens)._asdict()
        return CorePrior(
            reward=None if reward is None else (reward, self.expected_reward_weight),
            cost=None if cost is None else (cost, self.expected_cost_weight),
            tokens=None if usage is None else (usage, self.expected_tokens_weight),
        )


class CorePrior(TypedDict):
    """What is known of an arm beforehand, with weights, as the core takes it."""

    reward: tuple[float, int] | None
    cost: tuple[float, int] | None
    tokens: tuple[dict[str, float], int] | None
