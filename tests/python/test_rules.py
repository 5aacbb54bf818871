"""What a user says of a router, its models, fleet and log has rules; each refusal names its own."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import router_world
from stageroute import Confidence, DecisionLog, Fleet, HardLimit, JournalSettings, Model
from stageroute.errors import InvalidInputError

router = partial(router_world.make, models=[Model(name, 0.5) for name in "abc"])
model = partial(Model, "m")
limit = partial(HardLimit, 1.0, per="day")
log = partial(DecisionLog, list)
journal = partial(JournalSettings, "absent/journal")


@pytest.mark.parametrize(
    ("thing", "fields", "message"),
    [
        (router, {"models": []}, "models is empty"),
        (router, {"models": ["a", "a"]}, "name = 'a': this router has a model of that name"),
        (router, {"models": [""]}, "name = '': a model's name must be a string that is not empty"),
        (router, {"models": ["e\u0301"]}, "must be in Unicode's normal form C"),
        (
            router,
            {"budget": -1.0},
            "budget = -1.0: must be finite and not negative, in USD per query",
        ),
        (router, {"budget": math.nan}, "budget = nan: must be finite and not negative"),
        (router, {"budget": "1"}, "budget = '1': must be finite"),
        (router, {"max_deployed": 0}, "max_deployed = 0: must be a whole number, at least 1"),
        (router, {"max_deployed": None}, "max_deployed = None: must be a whole number"),
        (router, {"max_deployed": True}, "max_deployed = True: must be a whole number"),
        (router, {"max_deployed": 1}, r"throughput_cap = \[0.5\]: the largest 1 caps must sum to"),
        (router, {"stage_queries": 0}, "stage_queries = 0: must be a whole number, at least 1"),
        (router, {"stage_seconds": -1.0}, r"stage_seconds = -1.0: must be in \(0, 1e9\]"),
        (router, {"stage_seconds": 1.0, "stage_queries": 5}, "cannot be combined with"),
        (router, {"open_decisions": None}, "open_decisions = None: must be a whole number"),
        (router, {"open_decisions": 0}, "open_decisions = 0: must be a whole number, at least 1"),
        (router, {"open_decisions": 2**40}, "open_decisions = 1099511627776: must be in "),
        (router, {"confidence": 0.1}, "confidence = 0.1: must be a Confidence"),
        (router, {"time_limit": 0.0}, "time_limit = 0.0: must be finite and above 0, in seconds"),
        (router, {"pacing_horizon": 0.5}, "pacing_horizon = 0.5: must be finite and at least 1"),
        (router, {"seed": -1}, r"seed = -1: must be a whole number in \[0, 2\*\*64\)"),
        (router, {"confidence": "magic"}, "family = 'magic': must be one of paper"),
        (model, {"provider": ""}, "provider of model 'm' = '': must be a string"),
        (model, {"memory_gb": -1.0}, "memory_gb of model 'm' = -1.0: must be finite and not"),
        (model, {"memory_gb": math.nan}, "memory_gb of model 'm' = nan: must be finite"),
        (model, {"start_cost": -1.0}, "start_cost of model 'm' = -1.0: must be in"),
        (model, {"start_cost": None}, "start_cost of model 'm' = None: must be in"),
        (model, {"throughput_cap": 0.0}, r"throughput_cap of model 'm' = .*in \(0, 1\]"),
        (model, {"throughput_cap": 1.1}, r"throughput_cap of model 'm' = .*in \(0, 1\]"),
        (model, {"expected_cost": -1.0}, r"expected_cost of model 'm' = .*in \[0, 1e9\], in USD"),
        (model, {"expected_cost": math.nan}, "expected_cost of model 'm' = .*, or None"),
        (model, {"expected_cost_weight": 0}, "expected_cost_weight of model 'm' = .*whole number"),
        (Confidence, {"gamma": 0.0}, "gamma = .*: must be finite and above 0"),
        (Confidence, {"gamma": math.nan}, "gamma = .*: must be finite and above 0"),
        (Confidence, {"growth": -0.5}, "growth = .*: must be finite and not negative"),
        (Confidence, {"min_visits": -1}, "min_visits = .*: must be a whole number, not negative"),
        (Confidence, {"initial_reward_ucb": 1.5}, r"initial_reward_ucb = .*: must be in \[0, 1\]"),
        (Confidence, {"cost_floor": -0.1}, "cost_floor = .*: must be finite and not negative"),
        (Confidence, {"cost_ceiling": 0.0}, "cost_ceiling = .*: must be finite and above"),
        (Confidence, {"cost_ceiling": 1.0, "cost_floor": 1.0}, "cost_ceiling = .*above cost_floor"),
        (Confidence, {"initial_cost_lcb": -1.0}, "initial_cost_lcb = .*finite and not negative"),
        (Confidence, {"initial_cost_lcb": 0.1, "cost_floor": 1.0}, "_lcb = .*at least cost_floor"),
        (Fleet, {"memory_gb": 0}, "memory_gb = 0: must be finite and above 0, in GB, or None"),
        (Fleet, {"memory_gb": math.inf}, "memory_gb = inf: must be finite and above 0"),
        (Fleet, {"pinned": "small"}, "pinned = 'small': must be a collection of models'"),
        (Fleet, {"forbidden": 3}, "forbidden = 3: must be a collection of models'"),
        (Fleet, {"pinned": [""]}, "pinned = '': a model's name must be a string that is not empty"),
        (Fleet, {"pinned": ["a", "b"], "forbidden": ["b"]}, "pinned = 'b': is forbidden as well"),
        (Fleet, {"min_providers": 0}, "min_providers = 0: must be a whole number"),
        (Fleet, {"min_providers": 1.5}, "min_providers = 1.5: must be a whole number"),
        (Fleet, {"max_changes": -1}, "max_changes = -1: must be a whole number, not negative"),
        (Fleet, {"max_changes": True}, "max_changes = True: must be a whole number, not negative"),
        (Fleet, {"groups": [("a", "b")]}, r"groups = \[\('a', 'b'\)\]: must map names of groups"),
        (Fleet, {"groups": {"": ("a", "b")}}, "groups = '': a group's name must be a string"),
        (Fleet, {"groups": {"g": "ab"}}, r"groups\['g'\] = 'ab': must be a collection of models'"),
        (Fleet, {"groups": {"g": ["a", "a"]}}, r"groups\['g'\] = .*: must name at least two"),
        (limit, {"time_zone": "Mars"}, "time_zone = 'Mars': must name a time zone"),
        (limit, {"time_zone": "../etc"}, "must name a time zone"),
        (limit, {"reset_hour": 24}, r"reset_hour = 24: must be a whole number in \[0, 23\]"),
        (limit, {"per": "hour", "reset_hour": 6}, "goes with a day, a week or a month"),
        (log, {"capacity": 0}, r"capacity = 0: must be a whole number in \[1, 2"),
        (log, {"capacity": 2**24 + 1}, "capacity = 16777217: must be"),
        (log, {"capacity": 10.0}, "capacity = 10.0: must be"),
        (log, {"seconds": 0.0}, "seconds = 0.0: must be finite and above 0"),
        (log, {"seconds": math.nan}, "seconds = nan: must be finite and above 0"),
        (DecisionLog, {"sink": 3}, "sink = 3: must be a path or callable"),
        (journal, {"durability": "none"}, "durability = 'none': must be"),
        (journal, {"durability": None}, "durability = None: must be"),
        (journal, {"commit_seconds": 0.0}, "commit_seconds = 0.0: must be"),
        (journal, {"commit_seconds": -1.0}, "commit_seconds = -1.0: must be"),
        (journal, {"commit_seconds": math.nan}, "commit_seconds = nan: must be"),
        (journal, {"commit_seconds": 5.1}, "commit_seconds = 5.1: must be"),
        (journal, {"commit_seconds": "1"}, "commit_seconds = '1': must be"),
        (journal, {"tail_bytes": 4095}, "tail_bytes = 4095: must be"),
        (journal, {"tail_bytes": 2**28 + 1}, "tail_bytes = 268435457: must be"),
        (journal, {"tail_bytes": 1e6}, "tail_bytes = 1000000.0: must be"),
        (journal, {"compact_bytes": 0}, "compact_bytes = 0: must be"),
        (journal, {"compact_bytes": 2.5}, "compact_bytes = 2.5: must be"),
    ],
)
def test_bad_fields(thing: Callable[..., object], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        thing(**fields)
