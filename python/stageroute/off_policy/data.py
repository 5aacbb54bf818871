"""Logged decisions with what came of them, as arrays: what every estimate is made from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stageroute.checks import require

__all__ = ["LoggedData", "LoggedDraw", "Outcome"]

Floats = NDArray[np.float64]

SUM_TOLERANCE: Final = 1e-6
"""How far the probabilities of a decision may be from a sum of 1."""


class LoggedDraw(Protocol):
    """What is needed of a logged decision; `LoggedDecision` is one."""

    @property
    def id(self) -> int:
        """Its id."""

    @property
    def model(self) -> str:
        """The model chosen."""

    @property
    def models(self) -> Sequence[str]:
        """The live models."""

    @property
    def probabilities(self) -> Sequence[float]:
        """With what probability each live model would have been chosen."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a decision, and what its caller knew of it.

    Attributes
    ----------
    reward : float
        In [0, 1]; NaN where it is not known.
    cost : float
        USD; NaN where it is not known.
    group : str
        A label known before the decision, such as the task.
    """

    reward: float = np.nan
    cost: float = np.nan
    group: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class LoggedData:
    """Decisions in the order in which they were made, with their outcomes; checked, read-only.

    Parameters
    ----------
    models : sequence of str
        Every model that was live at some decision; no duplicates.
    arm : array_like of int, shape (n,)
        The model chosen at each decision, as an index into `models`.
    probabilities : array_like, shape (n, N)
        With what probability each model would have been chosen, 0 where it could not have been;
        each row sums to 1. These must be the probabilities that the draw was really made with.
    reward : array_like, shape (n,)
        In [0, 1]; NaN where it is not known.
    cost : array_like, shape (n,)
        USD, not negative; NaN where it is not known.
    group : array_like of str, shape (n,), optional
        A label known before the decision, such as the task: estimates are then made for each model
        in each group.
    weights : array_like, shape (n,), optional
        How much each query counts, above 0; all alike by default.

    Raises
    ------
    InvalidInputError
        If an argument breaks its rule.
    """

    models: tuple[str, ...]
    arm: NDArray[np.intp]
    probabilities: Floats
    reward: Floats
    cost: Floats
    group: NDArray[np.str_] | None = None
    weights: Floats | None = None

    def __post_init__(self) -> None:
        models = tuple(self.models)
        is_unique = bool(models) and len(set(models)) == len(models)
        require(is_unique, "models", models, "must be names, at least one, none of them twice")
        arm = np.array(self.arm)
        ok = arm.ndim == 1 and arm.size > 0 and arm.dtype.kind in "iu"
        require(ok, "arm", self.arm, "must be one index for each decision, of at least one")
        fits = bool(np.all((arm >= 0) & (arm < len(models))))
        require(fits, "arm", self.arm, f"must be indices of the {len(models)} models")
        fields = {
            "models": models,
            "arm": arm.astype(np.intp),
            "probabilities": _checked_probabilities(self.probabilities, arm, len(models)),
            "reward": _checked_outcomes("reward", self.reward, arm.size, 1.0),
            "cost": _checked_outcomes("cost", self.cost, arm.size, np.inf),
            "group": _checked_group(self.group, arm.size),
            "weights": _checked_weights(self.weights, arm.size),
        }
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return self.arm.size

    @classmethod
    def from_decisions(
        cls, decisions: Iterable[LoggedDraw], outcomes: Mapping[int, Outcome]
    ) -> Self:
        """Join decisions of one router with their outcomes.

        Parameters
        ----------
        decisions : iterable of LoggedDecision
            In the order in which they were made.
        outcomes : mapping of int to Outcome
            By decision id; a decision that it lacks has neither reward nor cost.

        Raises
        ------
        InvalidInputError
            If there is no decision, or one breaks a rule.
        """
        decisions = list(decisions)
        require(bool(decisions), "decisions", decisions, "must hold at least one")
        arms: dict[str, int] = {}
        for decision in decisions:
            for name in decision.models:
                arms.setdefault(name, len(arms))
        probabilities = np.zeros((len(decisions), len(arms)))
        for row, decision in zip(probabilities, decisions, strict=True):
            row[[arms[name] for name in decision.models]] = decision.probabilities
        joined = [outcomes.get(decision.id, Outcome()) for decision in decisions]
        groups = np.array([outcome.group for outcome in joined])
        return cls(
            models=tuple(arms),
            arm=np.array([arms[decision.model] for decision in decisions]),
            probabilities=probabilities,
            reward=np.array([outcome.reward for outcome in joined]),
            cost=np.array([outcome.cost for outcome in joined]),
            group=groups if any(groups) else None,
        )


def _checked_probabilities(values: ArrayLike, arm: NDArray[np.intp], num_models: int) -> Floats:
    array = np.array(values, dtype=np.float64)
    shape = (arm.size, num_models)
    require(array.shape == shape, "probabilities.shape", array.shape, f"must be {shape}")
    is_valid = np.all(array >= 0.0, axis=1) & (np.abs(array.sum(axis=1) - 1.0) <= SUM_TOLERANCE)
    _require_all(is_valid, "probabilities", array, "must not be negative, and sum to 1")
    chosen = array[np.arange(arm.size), arm]
    rule = "the model chosen must have a probability above 0"
    _require_all(chosen > 0.0, "probabilities", chosen, rule)
    return array


def _checked_outcomes(argument: str, values: ArrayLike, rows: int, largest: float) -> Floats:
    array = np.array(values, dtype=np.float64)
    require(array.shape == (rows,), f"{argument}.shape", array.shape, f"must be ({rows},)")
    is_valid = np.isnan(array) | (np.isfinite(array) & (array >= 0.0) & (array <= largest))
    rule = "must be in [0, 1]" if largest == 1.0 else "must be finite and not negative, in USD"
    _require_all(is_valid, argument, array, f"{rule}, or NaN where it is not known")
    return array


def _checked_group(values: ArrayLike | None, rows: int) -> NDArray[np.str_] | None:
    if values is None:
        return None
    array = np.array(values)
    ok = array.dtype.kind == "U" and array.shape == (rows,)
    require(ok, "group", values, f"must be {rows} strings, one for each decision")
    return array


def _checked_weights(values: ArrayLike | None, rows: int) -> Floats | None:
    if values is None:
        return None
    array = np.array(values, dtype=np.float64)
    require(array.shape == (rows,), "weights.shape", array.shape, f"must be ({rows},)")
    is_valid = np.isfinite(array) & (array > 0.0)
    _require_all(is_valid, "weights", array, "must be finite and above 0")
    return array


def _require_all(is_valid: NDArray[np.bool_], argument: str, values: Floats, rule: str) -> None:
    """Name the first decision that breaks a rule."""
    first = int(np.argmin(is_valid))
    require(bool(is_valid.all()), f"{argument}[{first}]", values[first].tolist(), rule)
