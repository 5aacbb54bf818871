"""What is declared once in the core, and what the Python side makes of it."""

import inspect
from dataclasses import MISSING, fields
from typing import Any

import pytest

from stageroute import Model, StageRouter, _core
from stageroute.config.confidence import CONFIDENCE_FAMILIES, Confidence
from stageroute.config.router import RouterArguments, RouterSettings
from stageroute.config.settings import FAILURES, FailureEffect, HardLimit, Health
from stageroute.errors import InvalidInputError
from stageroute.router.state import RouterCounters

FACTS = _core.FACTS


def test_a_timeout_is_billed_as_expected_unless_it_is_set_otherwise() -> None:
    model = Model("a", expected_cost=0.0005)
    for failures, billed in ((None, 0.0005), ({"timeout": FAILURES["error"]}, 0.0)):
        router = StageRouter([model], budget=0.001, max_deployed=1, failures=failures, seed=1)
        router.fail(router.route(), "timeout")
        assert router.counters.billed == billed
        assert router.counters.in_flight == pytest.approx(0.0, abs=1e-12)


def test_counters_are_those_of_the_core() -> None:
    router = StageRouter(["a"], budget=0.001, max_deployed=1, seed=1)
    names = [field.name for field in fields(RouterCounters)]
    own = ["failed_stages", "log_dropped"]
    assert sorted(names) == sorted([*router._control.counters(), *own])
    assert list(router.counters.failures) == list(FAILURES)


def test_arguments_are_the_settings() -> None:
    settings = {field.name: field for field in fields(RouterSettings)}
    assert list(RouterArguments.__annotations__) == list(settings)
    no_default = {
        name
        for name, field in settings.items()
        if field.default is MISSING and field.default_factory is MISSING
    }
    assert no_default == RouterArguments.__required_keys__
    documented = inspect.getdoc(RouterSettings) or ""
    assert [name for name in settings if f"\n{name} : " not in documented] == []


def test_every_name_of_the_core_is_taken_by_it() -> None:
    settings: dict[str, Any] = {"budget": 0.001, "max_deployed": 1}
    choices: list[dict[str, Any]] = [
        *({"confidence": Confidence(family)} for family in CONFIDENCE_FAMILIES),
        *({"hard_limits": (HardLimit(1.0, per),)} for per in FACTS["periods"]),
        *({"hard_limits": (HardLimit(1.0, "day", at),)} for at in FACTS["at_limit"]),
        *({"failures": {"error": FailureEffect(None, c, "none")}} for c in FACTS["charges"]),
        *({"failures": {"error": FailureEffect(None, "open", s)}} for s in FACTS["strikes"]),
    ]
    assert set(CONFIDENCE_FAMILIES) == set(FACTS["families"])
    for choice in choices:
        core = RouterSettings(**settings, **choice).to_core([])
        _core.Router(core)
    assert Health().to_core() == FACTS["health"]


def test_a_setting_that_the_core_cannot_read_is_an_error() -> None:
    core = RouterSettings(budget=0.001, max_deployed=1).to_core([])
    _core.Router(core)
    with pytest.raises(InvalidInputError, match="settings: missing field `open_decisions`"):
        _core.Router({name: value for name, value in core.items() if name != "open_decisions"})
    with pytest.raises(InvalidInputError, match="settings: unknown variant `never`"):
        _core.Router(core | {"drift": {"forgetting": "never", "change_test": None}})
