"""Kernels of the baselines: what they refuse."""

from typing import Any

import numpy as np
import pytest

from stageroute._core import FACTS, Kernel
from stageroute.config.confidence import Confidence
from stageroute.errors import InvalidInputError, NoModelError

NO_PRIOR: Any = {"reward": None, "cost": None, "tokens": None}
COMMON: dict[str, Any] = {"throughput_cap": [1.0], "priors": [NO_PRIOR], "budget": 0.001}
PACING = FACTS["pacing"]
GOOD: dict[str, dict[str, Any]] = {
    "index": {"index": {"kl_ucb": {"c": 0.0}}, "pacing": PACING, "seed": 0},
    "knapsack": {"method": "gradient_descent", "step": 0.1, "horizon": 10, "stage_queries": 5.0}
    | {"confidence": Confidence().resolved(0.001, [])},
    "linucb": {"width": 1.0, "step": 0.1, "horizon": 10},
}


def kernel(name: str, **changes: Any) -> Kernel:
    features = changes.pop("features", np.ones((4, 2)) if name == "linucb" else None)
    return Kernel(name, COMMON | GOOD.get(name, {}) | changes, features)


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"throughput_cap": [0.0]}, r"throughput_cap\[0\] = 0: must be in"),
        ({"throughput_cap": [1.0, 1.0]}, "priors has 1 elements; it must have 2"),
        ({"budget": 0.0}, "budget = 0: must be finite and above 0"),
        ({"priors": [NO_PRIOR | {"cost": (-1.0, 5)}]}, "cost_prior = -1"),
    ],
)
def test_bad_settings_of_every_kernel(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        kernel(name, **changes)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("index", {"index": "best"}, r"config of .index.: unknown variant `best`"),
        ("index", {"index": {"kl_ucb": {"c": -1.0}}}, "c = -1: must be finite and not negative"),
        ("index", {"index": {"epsilon_greedy": {"scale": 0.0}}}, "scale = 0: must be finite and"),
        ("index", {"pacing": PACING | {"horizon": 0.0}}, "pacing_horizon = 0"),
        ("knapsack", {"method": "simplex"}, "unknown variant `simplex`"),
        ("knapsack", {"step": 0.0}, "step = 0: must be finite and above 0"),
        ("linucb", {"width": -1.0}, "width = -1: must be finite, not negative"),
        ("linucb", {"step": np.nan}, "step = NaN"),
        ("linucb", {"features": np.full((2, 2), np.inf)}, r"features\[0\] = inf: must be finite"),
        ("linucb", {"features": np.ones((2, 0))}, "dimension = 0: must be at least 1"),
        ("linucb", {"features": None}, "features has 0 elements"),
        ("guess", {}, "name = .guess.: must be one of mixture, greedy"),
        ("mixture", {"arms": 3}, "config of .mixture.: missing field `seed`"),
    ],
)
def test_bad_settings(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        kernel(name, **changes)


@pytest.mark.parametrize("name", GOOD)
def test_a_kernel_refuses_what_it_cannot_learn(name: str) -> None:
    made = kernel(name)
    with pytest.raises(NoModelError):
        made.route(0)
    with pytest.raises(InvalidInputError, match="deployed names arm 1"):
        made.publish([1])
    made.publish([0])
    assert made.route(0)[0] == 0
    for arm, reward, cost, message in (
        (0, 1.5, 0.0, "reward = 1.5"),
        (0, 0.5, -1.0, "cost = -1"),
        (3, 0.5, 0.0, "arm names arm 3"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            made.observe(0, arm, reward, cost)
    if name == "linucb":
        with pytest.raises(InvalidInputError, match="row = 4: must be a row of the features"):
            made.route(4)
        made.route(2)
        assert made.seen() == [1, 0, 1, 0]
