"""What a provider's price list says, and what a query used of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple, Self

from stageroute.checks import check_fields, is_number, number_in, require

PRICES: Final = number_in("[0, 1e5]", "USD per million tokens")
TOKENS: Final = number_in("[0, 1e9]", "tokens")
"""With `PRICES` it keeps bills below what the core takes."""
PER_MILLION: Final = 1e6
MOST: Final = 1e5
OTHER_WAYS: Final = ("batch", "flex", "priority")
OF_OUTPUT: Final = ("output", "reasoning", "audio_output")

CHEAPEST: Final = 1e-3
"""No list asks less for a million tokens, USD, but per token the most expensive do."""


class Tokens(NamedTuple):
    """Tokens of one query, or of the usual query; each in [0, 1e9].

    Attributes
    ----------
    input, output : float
        All input tokens, all output tokens, those of the kinds below included.
    cached, cache_written : float
        Input tokens that were read from a cache, and that were written to one.
    reasoning : float
        Output tokens of reasoning.
    audio_input, audio_output : float
        Input and output tokens of audio.
    """

    input: float
    output: float
    cached: float = 0.0
    cache_written: float = 0.0
    reasoning: float = 0.0
    audio_input: float = 0.0
    audio_output: float = 0.0


@dataclass(frozen=True, slots=True)
class Price:
    """A list price, USD per million tokens; each in [0, 1e5].

    Parameters
    ----------
    input, output : float
        Of input tokens and of output tokens.
    cached_input, cache_write : float, optional
        Of input tokens that are read from a cache, and that are written to one; `input` by default.
    reasoning : float, optional
        Of output tokens of reasoning; `output` by default.
    audio_input, audio_output : float, optional
        Of audio; `input` and `output` by default.
    per_request : float, default 0.0
        For each request besides, USD.
    above : mapping of float to Price, optional
        Prices of all tokens of a query with more input tokens than the key, as in
        ``{200_000: Price(…)}``.
    batch, flex, priority : Price, optional
        Prices of other ways to be served. A router bills by them where they are the price of a
        model: ``Model(name, price=price.batch)``.

    Raises
    ------
    InvalidInputError
        If a price breaks its rule.
    """

    input: Annotated[float, PRICES]
    output: Annotated[float, PRICES]
    cached_input: Annotated[float | None, PRICES] = None
    cache_write: Annotated[float | None, PRICES] = None
    reasoning: Annotated[float | None, PRICES] = None
    audio_input: Annotated[float | None, PRICES] = None
    audio_output: Annotated[float | None, PRICES] = None
    per_request: Annotated[float, number_in("[0, 1e5]", "USD per request")] = 0.0
    above: "Mapping[float, Price] | tuple[tuple[float, Price], ...]" = ()
    batch: "Price | None" = None
    flex: "Price | None" = None
    priority: "Price | None" = None

    def __post_init__(self) -> None:
        check_fields(self, " of a price")
        object.__setattr__(self, "above", _tiers(self.above))
        for way in OTHER_WAYS:
            price = getattr(self, way)
            if price is not None:
                object.__setattr__(self, way, _price(way, price))

    @property
    def seems_per_token(self) -> bool:
        """Whether it is so low that it must be in USD per token."""
        return 0.0 < max(self.input, self.output) < CHEAPEST

    @classmethod
    def per_token(cls, input: float, output: float, **others: Any) -> Self:  # noqa: A002
        """Make a price of prices in USD per token, those among the other fields included."""
        given = {"input": input, "output": output} | others
        for name in given.keys() - {"per_request", "above", *OTHER_WAYS}:
            value = given[name]
            if value is not None:
                require(is_number(value), name, value, "must be a price in USD per token")
                # A list's 2.5e-06 is 2.5, and no float beside it.
                given[name] = float(f"{float(value) * PER_MILLION:.15g}")
        return cls(**given)

    def bill(self, tokens: Tokens) -> float:
        """Return what these tokens cost, USD."""
        rates = next(rates for size, rates in reversed(self._tiers()) if tokens.input > size)
        within = {
            "cached_input": tokens.cached,
            "cache_write": tokens.cache_written,
            "audio_input": tokens.audio_input,
            "reasoning": tokens.reasoning,
            "audio_output": tokens.audio_output,
        }
        usd = tokens.input * rates["input"] + tokens.output * rates["output"]
        for kind, count in within.items():
            usd += count * (rates[kind] - rates["output" if kind in OF_OUTPUT else "input"])
        return usd / PER_MILLION + self.per_request

    def most(self, tokens: float) -> float:
        """Return the most that a query with this sum of input and output tokens can cost, USD."""
        highest = max(max(rates.values()) for _, rates in self._tiers())
        return tokens * highest / PER_MILLION + self.per_request

    def to_core(self) -> dict[str, float]:
        """Return the prices in whose terms a router learns usage."""
        _, rates = self._tiers()[0]
        unit = {kind: rates[kind] for kind in ("input", "cached_input", "output")}
        if not any(unit.values()):
            unit["output"] = min(self.per_request * PER_MILLION, MOST)
        return unit

    def tariff(self) -> dict[str, Any] | None:
        """Return what the core has to know besides; None where that is all."""
        (_, rates), *above = tiers = self._tiers()
        others = {kind: rates["output" if kind in OF_OUTPUT else "input"] for kind in rates}
        others["cached_input"] = rates["cached_input"]
        if not above and not self.per_request and rates == others:
            return None
        tiers[0] = (0.0, rates)
        return {"tiers": tiers, "per_request": self.per_request}

    def _tiers(self) -> list[tuple[float, dict[str, float]]]:
        """List the prices of every kind of tokens, by the input above which they hold."""
        return [(-1.0, _rates(self)), *((size, _rates(tier)) for size, tier in self._above)]

    @property
    def _above(self) -> tuple[tuple[float, "Price"], ...]:
        return tuple(self.above.items()) if isinstance(self.above, Mapping) else self.above


def _rates(price: Price) -> dict[str, float]:
    """Return the price of every kind of tokens."""

    def known(own: float | None, default: float) -> float:
        return default if own is None else own

    return {
        "input": price.input,
        "cached_input": known(price.cached_input, price.input),
        "cache_write": known(price.cache_write, price.input),
        "audio_input": known(price.audio_input, price.input),
        "output": price.output,
        "reasoning": known(price.reasoning, price.output),
        "audio_output": known(price.audio_output, price.output),
    }


def _tiers(given: Any) -> tuple[tuple[float, Price], ...]:
    rule = "must map numbers of input tokens to Prices"
    pairs = list(given.items()) if isinstance(given, Mapping) else given
    ok = isinstance(pairs, list | tuple) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs
    )
    require(ok, "above", given, rule)
    tiers = []
    for size, price in pairs:
        number_in("(0, 1e9]", "input tokens")("above", size)
        tier = _price("above", price)
        require(not tier.above, "above", price, "a price above a size cannot have such itself")
        tiers.append((float(size), tier))
    tiers.sort(key=lambda tier: tier[0])
    sizes = [size for size, _ in tiers]
    require(len({*sizes}) == len(sizes), "above", sizes, "must be different sizes")
    return tuple(tiers)


def _price(argument: str, given: Any) -> Price:
    """Make a price of one, or of what JSON keeps of one."""
    if isinstance(given, Mapping) and given.keys() <= Price.__dataclass_fields__.keys():
        return Price(**given)
    require(isinstance(given, Price), argument, given, "must be a Price")
    price: Price = given
    return price
