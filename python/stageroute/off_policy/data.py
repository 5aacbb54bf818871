"""Logged decisions with what came of them, as arrays: what every estimate is made from."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stageroute.checks import require
from stageroute.decision_log.batch import LoggedDecision

Floats = NDArray[np.float64]

SUM_TOLERANCE: Final = 1e-6  # how far a distribution over the models may be from a sum of 1

UNKNOWN: Final = "or NaN where it is not known"
COLUMN_RULES: Final[dict[str, tuple[Callable[[Floats], NDArray[np.bool_]], str]]] = {
    "reward": (lambda y: ~((y < 0.0) | (y > 1.0)), f"must be in [0, 1], {UNKNOWN}"),
    "cost": (
        lambda y: ~((y < 0.0) | np.isinf(y)),
        f"must be finite and not negative, in USD, {UNKNOWN}",
    ),
    "weights": (lambda v: (v > 0.0) & np.isfinite(v), "must be finite and above 0"),
}


class LoggedDraw(NamedTuple):
    """What is needed of a logged decision; see `LoggedDecision`."""

    id: int
    model: str
    models: Sequence[str]
    probabilities: Sequence[float]


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
        shape = (arm.size, len(models))
        probabilities = checked_distributions("probabilities", self.probabilities, shape)
        chosen = probabilities[np.arange(arm.size), arm]
        rule = "the model chosen must have a probability above 0"
        _require_all(chosen > 0.0, "probabilities", chosen, rule)
        fields = {"models": models, "arm": arm.astype(np.intp), "probabilities": probabilities}
        for name, (is_valid, rule) in COLUMN_RULES.items():
            values = getattr(self, name)
            if values is not None or name != "weights":
                column = np.array(values, dtype=np.float64)
                ok = column.shape == arm.shape
                require(ok, f"{name}.shape", column.shape, f"must be {arm.shape}")
                _require_all(is_valid(column), name, column, rule)
                fields[name] = column
        if self.group is not None:
            fields["group"] = group = np.array(self.group)
            ok = group.dtype.kind == "U" and group.shape == arm.shape
            rule = f"must be {arm.size} strings, one for each decision"
            require(ok, "group", self.group, rule)
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return self.arm.size

    @classmethod
    def from_decisions(
        cls, decisions: Iterable[LoggedDecision | LoggedDraw], outcomes: Mapping[int, Outcome]
    ) -> Self:
        """Join decisions of one router with their outcomes.

        Parameters
        ----------
        decisions : iterable of LoggedDecision or LoggedDraw
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
        models = dict.fromkeys(name for decision in decisions for name in decision.models)
        arms = {name: arm for arm, name in enumerate(models)}
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


def checked_distributions(argument: str, values: ArrayLike, shape: tuple[int, int]) -> Floats:
    """Copy an array of which each row must be a distribution over the models."""
    array = np.array(values, dtype=np.float64)
    require(array.shape == shape, f"{argument}.shape", array.shape, f"must be {shape}")
    is_valid = np.all(array >= 0.0, axis=1) & (np.abs(array.sum(axis=1) - 1.0) <= SUM_TOLERANCE)
    _require_all(is_valid, argument, array, "must not be negative, and sum to 1")
    return array


def _require_all(is_valid: NDArray[np.bool_], argument: str, values: Floats, rule: str) -> None:
    """Name the first decision that breaks a rule."""
    first = int(np.argmin(is_valid))
    require(bool(is_valid.all()), f"{argument}[{first}]", values[first].tolist(), rule)
