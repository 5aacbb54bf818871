"""The outcome table: what it accepts, what it refuses, and how the refusal reads."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stageroute.datasets import OutcomeTable
from stageroute.errors import DatasetError


def table(**changes: Any) -> OutcomeTable:
    fields: dict[str, Any] = {
        "name": "small",
        "models": ("a", "b"),
        "reward": [[0.0, 1.0], [0.5, 0.25], [1.0, 0.0]],
        "cost": [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]],
    }
    return OutcomeTable(**(fields | changes))


def test_shape_and_means() -> None:
    t = table(weights=[2, 1, 1], query_id=np.array(["x", "y", "z"]))
    assert (t.num_rows, t.num_models) == (3, 2)
    np.testing.assert_array_equal(t.weights, [0.5, 0.25, 0.25])
    assert t.mean_reward().tolist() == [0.375, 0.5625]
    np.testing.assert_allclose(t.mean_cost(), [0.25, 0.35])
    np.testing.assert_allclose(table().mean_reward(), [0.5, 1.25 / 3])


def test_arrays_are_private_contiguous_and_read_only() -> None:
    reward = np.asfortranarray(np.zeros((3, 2)))
    t = table(reward=reward, weights=[1, 1, 1], task=np.array(["p", "p", "q"]))
    reward[0, 0] = 7.0
    assert t.reward[0, 0] == 0.0
    for array in (t.reward, t.cost, t.weights, t.task):
        assert array is not None
        assert array.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    assert reward.flags.writeable


QUERIES = np.array(["x", "y", "z"])
NAN = math.nan


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": ()}, ["no model"]),
        ({"models": ("a", "a")}, ["'a'", "twice"]),
        ({"models": ("a", " ")}, ["non-empty"]),
        ({"models": ("a", "b", "c")}, ["reward", "(rows, 3)", "(3, 2)"]),
        ({"reward": [[0.0, 1.0]]}, ["1 rows", "3"]),
        ({"reward": np.zeros((0, 2)), "cost": np.zeros((0, 2))}, ["no rows"]),
        ({"reward": [["x", "y"]] * 3}, ["reward", "numbers"]),
        ({"cost": [[object(), 1]] * 3}, ["cost", "numbers"]),
        ({"reward": [[0, 1], [0, 1.5], [0, 2]]}, ["'b'", "2 bad", "1.5", "row 1", "[0, 1]"]),
        ({"reward": [[0, 0], [2, 0], [0, 0]], "query_id": QUERIES}, ["row 1 (query_id 'y')"]),
        ({"cost": [[0, 1], [0, 1], [-1, 0]]}, ["cost", "'a'", "-1.0", "row 2", "models=[...]"]),
        ({"cost": [[0, 1], [0, math.inf], [1, 0]]}, ["cost", "'b'", "inf", "finite"]),
        ({"reward": [[0, -math.inf], [0, 1], [1, 0]]}, ["reward", "'b'", "-inf"]),
        (
            {"reward": [[0, NAN], [0, 1], [0, 1]], "cost": [[0, NAN], [0, NAN], [0, 0]]},
            [": b in 2 row(s)", "2 of 3 rows", "models=[...]", "drop_missing=True"],
        ),
        ({"query_id": np.array(["x"])}, ["query_id", "3 strings"]),
        ({"task": np.array([1, 2, 3.5])}, ["task", "strings"]),
        ({"task": np.array(["x", "y", "z" * 1001])}, ["task", "1000 characters"]),
        ({"reward": [[0], [0, 1], [0, 1]]}, ["reward", "rectangle"]),
        ({"prompts": ["a", 1, "b"]}, ["prompts, row 1: 1 is not text"]),
        ({"prompts": ["a", "b"]}, ["prompts", "3 strings"]),
        ({"weights": [1, 1]}, ["weights", "(3,)"]),
        ({"weights": [1, -1, NAN]}, ["weights", "2 bad", "-1.0", "row 1"]),
        ({"weights": [0, 0, 0]}, ["all zero"]),
        ({"weights": ["x", "y", "z"]}, ["weights", "numbers"]),
        ({"select": ["a", "zz"]}, ["'zz'", "a, b"]),
        ({"select": []}, ["no model"]),
        ({"select": ["a", "a"]}, ["twice"]),
        ({"select": "a"}, ["string"]),
    ],
)
def test_refusals_say_what_is_wrong(changes: dict[str, Any], words: list[str]) -> None:
    fields = dict(changes)
    names = fields.pop("select", ["a", "b"])
    with pytest.raises(DatasetError) as caught:
        table(**fields).select(names)
    for word in words:
        assert word in str(caught.value)


def test_select_reorders_and_keeps_the_rest() -> None:
    t = table(weights=[1, 2, 1], task=np.array(["p", "p", "q"]))
    s = t.select(["b", "a"])
    assert s.models == ("b", "a")
    np.testing.assert_array_equal(s.reward, t.reward[:, ::-1])
    np.testing.assert_array_equal(s.cost, t.cost[:, ::-1])
    np.testing.assert_allclose(np.asarray(s.weights), np.asarray(t.weights), rtol=1e-15)
    np.testing.assert_array_equal(s.task, ["p", "p", "q"])


@given(
    hnp.arrays(np.float64, (4, 3), elements=st.floats(width=64)),
    hnp.arrays(np.float64, 4, elements=st.floats(width=64)),
)
def test_any_floats_are_refused_or_valid(
    values: np.ndarray[Any, np.dtype[np.float64]], weights: np.ndarray[Any, np.dtype[np.float64]]
) -> None:
    try:
        t = OutcomeTable("any", ("a", "b", "c"), values, abs(values), weights=weights)
    except DatasetError:
        return
    assert ((t.reward >= 0) & (t.reward <= 1)).all()
    assert (np.isfinite(t.cost) & (t.cost >= 0)).all()
    assert t.weights is not None
    assert math.isclose(math.fsum(t.weights), 1.0, rel_tol=1e-12)
    assert np.isfinite(t.mean_cost()).all()
