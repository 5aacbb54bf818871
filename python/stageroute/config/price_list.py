"""Models from a public price list: LiteLLM's ``model_prices_and_context_window.json``."""

import logging
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from stageroute.checks import is_number, listed, require
from stageroute.config.models import Model
from stageroute.config.prices import OTHER_WAYS, Price
from stageroute.errors import InvalidInputError

logger = logging.getLogger("stageroute")

FIELDS: Final = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
    "input_cost_per_token_cache_hit": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
    "input_cost_per_request": "per_request",
}
"""Fields of `Price` by their names in the list."""

WAYS: Final = {"batches": "batch"} | {way: way for way in OTHER_WAYS}
KEY: Final = re.compile(
    rf"({'|'.join(FIELDS)})(?:_above_(\d+)k_tokens)?(?:_({'|'.join(WAYS)}))?", re.ASCII
)
IS_PRICE: Final = re.compile("cost|pric")


def models_from_litellm(
    prices: Mapping[str, Mapping[str, Any]], names: Iterable[str]
) -> list[Model]:
    """Make models of a price list of LiteLLM's.

    What `Price` has no field for (searches, images, caches that last an hour) is logged as a
    warning: tell the bills of such queries (``observe(tokens=…, cost=…)``). Limits of an account,
    which the list has for some, are not taken over.

    Parameters
    ----------
    prices : mapping
        The list, as ``json.load`` reads it: its units are USD per token.
    names : iterable of str
        Which of its models.

    Returns
    -------
    list of Model
        With name, provider, price and context window.

    Raises
    ------
    InvalidInputError
        If there is no such model, or it has no price per token.
    """
    require(isinstance(prices, Mapping), "prices", prices, "must be a price list, as a dict")
    return [_model(prices, name) for name in listed("names", names, "names of models")]


def _model(prices: Mapping[str, Mapping[str, Any]], name: str) -> Model:
    entry = prices.get(name)
    if not isinstance(entry, Mapping):
        near = get_close_matches(str(name), prices, n=3)
        raise InvalidInputError(f"names = {name!r}: is not in the price list; near: {near}")
    parts, unheld = _parts(entry)
    ways = {way: found for way in OTHER_WAYS if (found := parts.pop(way, None))}
    standard = parts.pop("", {})
    known = {"input", "output"} <= standard.get(None, {}).keys()
    require(known, "names", name, "has no price per token in the list: give it an expected_cost")
    if unheld:
        logger.warning("price list: model %s: no field for %s", name, ", ".join(sorted(unheld)))
    window, provider = entry.get("max_input_tokens"), entry.get("litellm_provider")
    return Model(
        name,
        price=_price(standard, {way: _price(_over(standard, own)) for way, own in ways.items()}),
        context_window=window if is_number(window) else None,
        provider=provider if isinstance(provider, str) and provider else None,
    )


def _parts(entry: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Sort an entry's prices by the way to be served and by size; and list what has no place."""
    parts: dict[str, Any] = {}
    unheld = []
    for key, value in entry.items():
        match = KEY.fullmatch(key)
        if match is not None and is_number(value):
            field, size, way = match.groups()
            tier = parts.setdefault(WAYS.get(way, ""), {})
            tier = tier.setdefault(None if size is None else float(size) * 1000, {})
            tier.setdefault(FIELDS[field], value)
        elif IS_PRICE.search(key) and not key.startswith("supports_") and value:
            unheld.append(key)
    return parts, unheld


def _over(standard: dict[Any, Any], own: dict[Any, Any]) -> dict[Any, Any]:
    """Fill in what another way to be served has no price of its own for."""
    base = standard[None] | own.get(None, {})
    sizes = {size for size in (*standard, *own) if size is not None}
    return {None: base} | {
        size: base | standard.get(size, {}) | own.get(size, {}) for size in sorted(sizes)
    }


def _price(tiers: dict[Any, dict[str, Any]], ways: Mapping[str, Any] | None = None) -> Price:
    base = tiers[None]
    above = {
        size: Price.per_token(**(base | {"per_request": 0.0} | own))
        for size, own in tiers.items()
        if size is not None
    }
    return Price.per_token(**(base | {"above": above} | dict(ways or {})))
