"""What an operator asks of the live models, by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from stageroute import DeploymentConstraints, Fleet, Model, solve_deployment
from stageroute.errors import DeploymentConflictError, InvalidInputError

MODELS = (
    Model("small", provider="acme", memory_gb=16, start_cost=2.0),
    Model("large", provider="acme", memory_gb=80, start_cost=10.0),
    Model("hosted", provider="elsewhere", memory_gb=0),
)


ONE = (Model("a"),)


def constraints_of(fleet: Fleet, **arguments: Any) -> DeploymentConstraints:
    constraints = fleet.constraints(MODELS, 1000, **arguments)
    assert constraints is not None
    return constraints


def test_names_become_indices() -> None:
    fleet = Fleet(
        memory_gb=80,
        pinned=["hosted"],
        forbidden={"small"},
        min_providers=2,
        max_changes=1,
        groups={"acme": ["large", "small", "large"]},
    )
    constraints = constraints_of(fleet)
    assert constraints.start_cost is not None
    assert constraints.memory is not None
    assert constraints.start_cost.tolist() == pytest.approx([0.002, 0.01, 0.0])
    assert constraints.memory.tolist() == [16.0, 80.0, 0.0]
    assert constraints.memory_capacity == 80
    assert constraints.pinned == (2,)
    assert constraints.forbidden == (0,)
    assert constraints.provider == ("acme", "acme", "elsewhere")
    assert constraints.min_providers == 2
    assert constraints.groups == ((1, 0),)
    assert constraints.max_changes == 1
    assert constraints.names == ("small", "large", "hosted")
    assert constraints.group_names == ("acme",)


def test_nothing_asked_is_none() -> None:
    assert Fleet().constraints([Model("a"), Model("b")]) is None
    # Facts about models ask for nothing without a limit.
    assert Fleet().constraints([Model("a", provider="p", memory_gb=80.0)]) is None


def test_start_costs_alone_are_constraints() -> None:
    constraints = constraints_of(Fleet())
    assert np.allclose(constraints.start_costs(3, [1]), [0.002, 0.0, 0.0])


@pytest.mark.parametrize(
    ("fleet", "conflict"),
    [
        (
            Fleet(memory_gb=80, pinned=("small", "large")),
            ("pinned small", "pinned large", "memory_gb = 80"),
        ),
        (
            Fleet(pinned=("small", "large"), groups={"gpu 0": ("small", "large")}),
            ("pinned small", "pinned large", "group gpu 0"),
        ),
        (
            Fleet(forbidden=("hosted",), min_providers=2),
            ("forbidden hosted", "min_providers = 2"),
        ),
        (Fleet(pinned=("large",), max_changes=0), ("pinned large", "max_changes = 0")),
    ],
)
def test_conflicts_are_told_by_name(fleet: Fleet, conflict: tuple[str, ...]) -> None:
    with pytest.raises(DeploymentConflictError) as caught:
        solve_deployment(
            [0.5] * 3, [0.1] * 3, [1.0] * 3, 1.0, 2, previous=[0], constraints=constraints_of(fleet)
        )
    assert caught.value.constraints == conflict


def test_retired_models_ask_for_nothing() -> None:
    fleet = Fleet(pinned=["old"], forbidden=["older"], groups={"one": ["old", "large", "small"]})
    constraints = constraints_of(fleet, retired=["old", "older"])
    assert constraints.pinned == ()
    assert constraints.forbidden == ()
    assert constraints.groups == ((1, 0),)


@pytest.mark.parametrize(
    ("fleet", "models", "queries", "message"),
    [
        (
            Fleet(memory_gb=80),
            [Model("a", memory_gb=1), Model("b")],
            None,
            "memory_gb of model 'b' = None: the live models' memory is limited to 80 GB; "
            "say how much this one takes, 0 if it is served elsewhere",
        ),
        (
            Fleet(min_providers=2),
            [Model("a", provider="p"), Model("b")],
            None,
            "provider of model 'b' = None: at least 2 different providers are asked for; "
            "name the provider of this one",
        ),
        (Fleet(pinned=["c"]), ONE, None, "pinned = 'c': no such model; there are a"),
        (Fleet(forbidden=["c"]), ONE, None, "forbidden = 'c': no such model"),
        (Fleet(groups={"g": ["a", "c"]}), ONE, None, r"groups\['g'\] = 'c': no such model"),
        (
            Fleet(),
            [Model("a", start_cost=1.0)],
            None,
            "stage_queries = None: model 'a' has a start_cost, which is spread over the queries",
        ),
        (Fleet(), ONE, 0, "stage_queries = 0: must be finite and above 0, or None"),
        (Fleet(), [Model("a"), Model("a")], None, "names = .*: must be different"),
    ],
)
def test_what_candidates_must_say(
    fleet: Fleet, models: Sequence[Model], queries: float | None, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        fleet.constraints(models, queries)


def test_fields_are_read_back_as_they_are_used() -> None:
    fleet = Fleet(pinned=["b", "a", "b"], groups={"g": ["c", "d"]})
    assert fleet == Fleet(pinned=("b", "a"), groups={"g": ("c", "d")})
