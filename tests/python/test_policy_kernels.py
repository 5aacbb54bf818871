"""Kernels of the baselines: what they refuse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stageroute._core import FACTS, Kernel
from stageroute.config.confidence import Confidence
from stageroute.errors import InvalidInputError, NoModelError

CONFIDENCE = Confidence().resolved(0.001, [])
PACING = FACTS["pacing"]
NO_PRIOR: Any = {"reward": None, "cost": None, "tokens": None}


COMMON: dict[str, Any] = {"throughput_cap": [1.0], "priors": [NO_PRIOR], "budget": 0.001}


def index_router(**changes: Any) -> Kernel:
    config = {"index": {"kl_ucb": {"c": 0.0}}, "pacing": PACING, "seed": 0}
    return Kernel("index", COMMON | config | changes)


def knapsack_router(**changes: Any) -> Kernel:
    config = {
        "method": "gradient_descent",
        "step": 0.1,
        "confidence": CONFIDENCE,
        "horizon": 10,
        "stage_queries": 5.0,
    }
    return Kernel("knapsack", COMMON | config | changes)


def linucb(**changes: Any) -> Kernel:
    features = changes.pop("features", np.ones((4, 2)))
    config = {"width": 1.0, "step": 0.1, "horizon": 10}
    return Kernel("linucb", COMMON | config | changes, features)


@pytest.mark.parametrize("make", [index_router, knapsack_router, linucb])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"throughput_cap": [0.0]}, r"throughput_cap\[0\] = 0: must be in"),
        ({"throughput_cap": [1.0, 1.0]}, "priors has 1 elements; it must have 2"),
        ({"budget": 0.0}, "budget = 0: must be finite and above 0"),
        ({"priors": [NO_PRIOR | {"cost": (-1.0, 5)}]}, "cost_prior = -1"),
    ],
)
def test_bad_settings_of_every_kernel(
    make: Callable[..., object], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make(**changes)


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (index_router, {"index": "best"}, r"config of .index.: unknown variant `best`"),
        (
            index_router,
            {"index": {"kl_ucb": {"c": -1.0}}},
            "c = -1: must be finite and not negative",
        ),
        (
            index_router,
            {"index": {"epsilon_greedy": {"scale": 0.0}}},
            "scale = 0: must be finite and above",
        ),
        (index_router, {"pacing": PACING | {"horizon": 0.0}}, "pacing_horizon = 0"),
        (
            knapsack_router,
            {"method": "simplex"},
            "unknown variant `simplex`",
        ),
        (knapsack_router, {"step": 0.0}, "step = 0: must be finite and above 0"),
        (linucb, {"width": -1.0}, "width = -1: must be finite, not negative"),
        (linucb, {"step": np.nan}, "step = NaN"),
        (linucb, {"features": np.full((2, 2), np.inf)}, r"features\[0\] = inf: must be finite"),
        (linucb, {"features": np.ones((2, 0))}, "dimension = 0: must be at least 1"),
    ],
)
def test_bad_settings(make: Callable[..., object], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make(**changes)


@pytest.mark.parametrize("make", [index_router, knapsack_router, linucb])
def test_a_kernel_refuses_what_it_cannot_learn(make: Callable[[], Any]) -> None:
    kernel = make()
    with pytest.raises(NoModelError):
        kernel.route(0)
    with pytest.raises(InvalidInputError, match="deployed names arm 1"):
        kernel.publish([1])
    kernel.publish([0])
    assert kernel.route(0)[0] == 0
    for arm, reward, cost, message in (
        (0, 1.5, 0.0, "reward = 1.5"),
        (0, 0.5, -1.0, "cost = -1"),
        (3, 0.5, 0.0, "arm names arm 3"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            kernel.observe(0, arm, reward, cost)


def test_linucb_knows_its_rows() -> None:
    kernel = linucb()
    kernel.publish([0])
    with pytest.raises(InvalidInputError, match="row = 4: must be a row of the features"):
        kernel.route(4)
    kernel.route(2)
    assert kernel.seen() == [0, 0, 1, 0]


def test_a_kernel_has_a_name_and_the_features_that_it_needs() -> None:
    with pytest.raises(InvalidInputError, match=r"name = .guess.: must be one of mixture, greedy"):
        Kernel("guess", {})
    with pytest.raises(InvalidInputError, match=r"config of .mixture.: missing field `seed`"):
        Kernel("mixture", {"arms": 3})
    with pytest.raises(InvalidInputError, match=r"features has 0 elements"):
        linucb(features=None)
