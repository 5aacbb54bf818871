"""Prices as lists have them: what is billed, reserved and learnt under them."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stageroute import HardLimit, Model, Price, StageRouter, Tokens, errors, models_from_litellm

LIST = "data/model_prices_and_release_dates/litellm_model_prices_and_context_window.json"

SONNET = {
    "input_cost_per_token": 3e-06,
    "output_cost_per_token": 1.5e-05,
    "cache_read_input_token_cost": 3e-07,
    "cache_creation_input_token_cost": 3.75e-06,
    "input_cost_per_token_above_200k_tokens": 6e-06,
    "output_cost_per_token_above_200k_tokens": 2.25e-05,
    "cache_read_input_token_cost_above_200k_tokens": 6e-07,
    "cache_creation_input_token_cost_above_200k_tokens": 7.5e-06,
    "cache_creation_input_token_cost_above_1hr": 6e-06,
    "input_cost_per_token_batches": 1.5e-06,
    "output_cost_per_token_batches": 7.5e-06,
    "max_input_tokens": 200_000,
    "litellm_provider": "anthropic",
    "mode": "chat",
    "supports_max_reasoning_effort": True,
}

EVERYTHING = Price(
    1.0,
    4.0,
    cached_input=0.1,
    cache_write=1.25,
    reasoning=8.0,
    audio_input=32.0,
    audio_output=64.0,
    per_request=0.005,
    above={200_000: Price(2.0, 6.0, cached_input=0.2)},
)


def _router(*models: Model, **settings: Any) -> StageRouter:
    given: dict[str, Any] = {"budget": 9.0, "max_deployed": len(models), "seed": 1} | settings
    return StageRouter(models, **given)


@pytest.mark.parametrize(
    ("tokens", "usd"),
    [
        (Tokens(1_000, 100), 0.005 + (1_000 + 400) / 1e6),
        (Tokens(1_000, 100, 600, 300, 50, 50, 20), 0.005 + (2_085 + 120 + 400 + 1_280) / 1e6),
        (Tokens(200_000, 0), 0.005 + 0.2),
        (Tokens(200_001, 100, 200_000), 0.005 + (2 + 40_000 + 600) / 1e6),
        (Tokens(300_000, 100, 0, 200_000, 100), 0.005 + (600_000 + 600) / 1e6),
        (Tokens(0, 0), 0.005),
    ],
)  # fmt: skip
def test_a_query_is_billed_as_the_list_says(tokens: Tokens, usd: float) -> None:
    assert EVERYTHING.bill(tokens) == pytest.approx(usd, rel=1e-12)
    router = _router(Model("a", price=EVERYTHING))
    router.observe(router.route(), tokens=tokens)
    assert router.counters.billed == pytest.approx(usd, rel=1e-12)
    assert router.state("a").cost_mean == pytest.approx(usd, rel=1e-9)


def test_decisions_are_billed_at_the_tiers_under_which_they_were_made() -> None:
    router = _router(Model("a", price=EVERYTHING))
    before = router.route()
    router.update_model("a", price=replace(EVERYTHING, per_request=1.0, above={}))
    router.observe(router.route(), tokens=(300_000, 0))
    assert router.counters.billed == pytest.approx(1.0 + 0.3)
    router.observe(before, tokens=(300_000, 0))
    assert router.counters.billed == pytest.approx(1.3 + 0.605)


def test_a_fee_alone_is_a_price() -> None:
    router = _router(Model("a", price=Price(0, 0, per_request=0.01), expected_tokens=Tokens(9, 9)))
    for tokens in [(10, 10), (0, 0), (500, 3)]:
        router.observe(router.route(), tokens=tokens)
    assert router.counters.billed == pytest.approx(0.03)


def test_what_is_expected_is_expected_at_the_whole_price() -> None:
    usual = Tokens(300_000, 1_000, 0, 100_000, 500)
    model = Model("a", price=EVERYTHING, expected_tokens=usual)
    assert model.prior_cost == pytest.approx(0.005 + 0.6 + 0.006)
    assert _router(model).state("a").cost_mean == pytest.approx(0.611)


@pytest.mark.parametrize(
    ("fields", "tokens", "reserved"),
    [
        # All of a kind that nobody knows beforehand, at the prices of its size.
        ({"max_tokens": 400_000}, (1_000, 100), (32_000 + 6_400) / 1e6 + 0.005),
        ({"max_tokens": 400_000}, (300_000, 100), (600_000 + 600) / 1e6 + 0.005),
        ({"max_tokens": 1_000}, None, 0.064 + 0.005),
        ({"max_cost": 0.5, "max_tokens": 400_000}, (1_000, 100), 0.5),
        ({"max_cost": 0.5, "max_tokens": 400_000}, (300_000, 100), 0.6056),
    ],
)
def test_hard_limits_reserve_the_worst_that_the_list_allows(
    fields: dict[str, Any], tokens: Any, reserved: float
) -> None:
    model = Model("a", price=EVERYTHING, **fields)
    router = _router(model, hard_limits=[HardLimit(10, "total")])
    router.route(tokens=tokens)
    assert router.limits[0].committed == pytest.approx(reserved, rel=1e-9)


def test_prices_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "router"
    with _router(Model("a", price=EVERYTHING), journal=path) as router:
        decision = router.route()
    with _router(Model("a", price=EVERYTHING), journal=path) as router:
        assert router.models[0].price == EVERYTHING
        router.observe(decision, tokens=Tokens(10, 0, 0, 0, 0, 10))
        assert router.counters.billed == pytest.approx(0.005 + 320 / 1e6)


def any_of(value: Any) -> Any:
    return value


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Model("a", price=Price(3e-6, 1.5e-5)), "seems to be per token: Price.per_token"),
        (lambda: Price(1, 1, above={0.0: Price(1, 1)}), "above = 0.0: must be in"),
        (lambda: Price(1, 1, above={9: any_of(2)}), "above = 2: must be a Price"),
        (lambda: Price(1, 1, above={9: EVERYTHING}), "a price above a size cannot have such"),
        (lambda: Price(1, 1, batch=any_of(3)), "batch = 3: must be a Price"),
        (lambda: Price.per_token(any_of("a"), 1), "input = 'a': must be a price in USD per token"),
        (lambda: Price(1, 1, reasoning=-1), "reasoning of a price = -1: must be in"),
        (lambda: models_from_litellm({"gpt": {}}, ["gtp"]), r"not in the price list; .*'gpt'"),
        (lambda: models_from_litellm({"gpt": {}}, ["gpt"]), "has no price per token in the list"),
        (lambda: models_from_litellm(any_of([]), ["gpt"]), "must be a price list"),
    ],
)  # fmt: skip
def test_what_is_no_price_is_refused(make: Any, message: str) -> None:
    with pytest.raises(errors.InvalidInputError, match=message):
        make()


def test_tokens_of_kinds_are_parts_of_the_whole() -> None:
    router = _router(Model("a", price=EVERYTHING))
    decision = router.route()
    for tokens in [Tokens(10, 0, 5, 6), Tokens(0, 10, 0, 0, 11), Tokens(5, 5, 0, 0, 0, -1)]:
        with pytest.raises(errors.InvalidInputError):
            router.observe(decision, tokens=tokens)
    router.observe(decision, tokens=Tokens(10, 10, 5, 5, 10))


def test_a_price_list_becomes_models(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (model,) = models_from_litellm({"sonnet": SONNET}, ["sonnet"])
    assert caplog.messages == [
        "price list: model sonnet: no field for cache_creation_input_token_cost_above_1hr"
    ]
    large = Price(6, 22.5, cached_input=0.6, cache_write=7.5)
    batch = Price(1.5, 7.5, cached_input=0.3, cache_write=3.75, above={200_000: large})
    price = Price(3, 15, 0.3, 3.75, above={200_000: large}, batch=batch)
    assert (model.provider, model.context_window) == ("anthropic", 200_000)
    assert model.price == price


def test_every_chat_model_of_a_real_list_loads(
    shared_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prices = json.loads((shared_data / LIST).read_text())
    chat = [name for name, entry in prices.items() if entry.get("mode") == "chat"]
    with caplog.at_level(logging.WARNING):
        models = models_from_litellm(prices, chat)
    assert len(models) == len(chat) > 100
    for model in models:
        entry = prices[model.name]
        assert model.price is not None
        usd = model.price.bill(Tokens(1_000, 100))
        list_usd = 1_000 * entry["input_cost_per_token"] + 100 * entry["output_cost_per_token"]
        assert usd == pytest.approx(list_usd)
    unheld = {name for line in caplog.messages for name in line.split(" for ")[1].split(", ")}
    parts = (
        "image",
        "video",
        "search",
        "_1hr",
        "cache_creation_input_audio",
        "cache_read_input_audio",
    )
    assert all(any(part in name for part in parts) for name in unheld), unheld
