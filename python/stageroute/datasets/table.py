"""The outcome table: what every model earned and cost on every query."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stageroute.datasets.cells import labels
from stageroute.errors import DatasetError, InvalidInputError

MAX_LABEL_CHARS = 1_000  # a label array takes 4 bytes per character of its longest label


@dataclass(frozen=True, eq=False, slots=True)
class OutcomeTable:
    """Reward and cost of every model on every query, checked and read-only.

    Parameters
    ----------
    name : str
        How reports call this table.
    models : sequence of str
        Model names, one per column; not empty, no duplicates.
    reward : array_like, shape (rows, models)
        Quality of each answer, in [0, 1].
    cost : array_like, shape (rows, models)
        USD per query; finite and not negative.
    query_id : array_like of str, shape (rows,), optional
        Identifier of each query.
    task : array_like of str, shape (rows,), optional
        Task each query belongs to (the ``eval_name`` column of files).
    weights : array_like, shape (rows,), optional
        Share of each query, not negative; scaled here to sum to 1. ``None`` means equal shares.
    prompts : sequence of str, optional
        Text of each query, "" where it is not known.

    Raises
    ------
    DatasetError
        A shape, name or value breaks a rule. The message says how many values do, where the
        first one is, and what to do about it.

    Notes
    -----
    The arrays are C-contiguous copies, set read-only.
    """

    name: str
    models: tuple[str, ...]
    reward: NDArray[np.float64]
    cost: NDArray[np.float64]
    query_id: NDArray[np.str_] | None = None
    task: NDArray[np.str_] | None = None
    weights: NDArray[np.float64] | None = None
    prompts: tuple[str, ...] | None = None
    _means: dict[str, NDArray[np.float64]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        models = checked_models(self.models)
        reward = checked_matrix("reward", self.reward, len(models))
        cost = checked_matrix("cost", self.cost, len(models))
        if reward.shape != cost.shape:
            raise DatasetError(f"reward has {len(reward)} rows but cost has {len(cost)}")
        fields: dict[str, Any] = {"models": models}
        for name, checked in OPTIONAL.items():
            if getattr(self, name) is not None:
                fields[name] = checked(name, getattr(self, name), len(reward))
        _check_values(models, reward, cost, fields.get("query_id"))
        # One block: numpy asks for huge pages only above 4 MB, and rows are read at random.
        fields["reward"], fields["cost"] = np.stack((reward, cost))
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    @property
    def num_rows(self) -> int:
        """Number of queries."""
        return len(self.reward)

    @property
    def num_models(self) -> int:
        """Number of models."""
        return len(self.models)

    def required_task(self, by: str) -> NDArray[np.str_]:
        """Return the task of each row, which something needs, as the error says."""
        if self.task is None:
            raise InvalidInputError(
                f"table {self.name!r} has no tasks, which {by} needs; give it a task for each row "
                "(the column eval_name of a file)"
            )
        return self.task

    def mean_reward(self) -> NDArray[np.float64]:
        """Weighted mean reward of each model, shape (models,), in [0, 1]."""
        return self._mean("reward")

    def mean_cost(self) -> NDArray[np.float64]:
        """Weighted mean cost of each model, shape (models,), USD per query."""
        return self._mean("cost")

    def _mean(self, name: str) -> NDArray[np.float64]:
        # Exact sums: the answer does not depend on how a platform orders additions. They take a
        # while, and many streams are drawn from one table: computed once.
        if name not in self._means:
            values: NDArray[np.float64] = getattr(self, name)
            if self.weights is None:
                sums = [math.fsum(column.tolist()) / self.num_rows for column in values.T]
            else:
                sums = [math.fsum((column * self.weights).tolist()) for column in values.T]
            self._means[name] = np.array(sums)
            self._means[name].setflags(write=False)
        return self._means[name]

    def select(self, models: Sequence[str]) -> Self:
        """Return a table of the named models only, in the order given.

        Raises
        ------
        DatasetError
            A name is unknown or given twice, or there is none.
        """
        index = model_positions(self.models, models)
        if tuple(models) == self.models:
            return self
        reward, cost = self.reward[:, index], self.cost[:, index]
        return replace(self, models=tuple(models), reward=reward, cost=cost)


def model_positions(known: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Column of each wanted model; ``DatasetError`` lists the names when one is unknown."""
    if isinstance(wanted, str):
        raise DatasetError(f"models must be a sequence of names, got the string {wanted!r}")
    position = {name: column for column, name in enumerate(known)}
    unknown = [name for name in wanted if name not in position]
    if unknown:
        raise DatasetError(f"unknown model {unknown[0]!r}; the table has: {', '.join(known)}")
    return [position[name] for name in checked_models(wanted)]


def checked_models(models: Sequence[object]) -> tuple[str, ...]:
    """Refuse model names that are empty or there twice, and no name at all."""
    checked: dict[str, None] = {}  # keeps the order
    for name in models:
        if not isinstance(name, str) or not name.strip():
            raise DatasetError(f"model names must be non-empty strings, got {name!r}")
        if len(name) > MAX_LABEL_CHARS:
            raise DatasetError(f"model {name[:50]!r}… has more than {MAX_LABEL_CHARS:,} characters")
        if name in checked:
            raise DatasetError(f"model {name!r} appears twice; names must be unique")
        checked[name] = None
    if not checked:
        raise DatasetError("there is no model; a table needs at least one")
    return tuple(checked)


def _as_float(field: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.asarray(values)  # ValueError: nested lists of different lengths
    except ValueError as error:
        raise DatasetError(f"{field} must hold numbers in a rectangle: {error}") from error
    if array.dtype.kind not in "fiub":
        raise DatasetError(f"{field} must hold numbers, got an array of {array.dtype}")
    return np.array(array, dtype=np.float64, order="C")


def checked_matrix(field: str, values: ArrayLike, num_models: int) -> NDArray[np.float64]:
    """Copy an array of numbers, a column for each model and one row or more."""
    array = _as_float(field, values)
    if array.ndim != 2 or array.shape[1] != num_models:
        raise DatasetError(
            f"{field} must have shape (rows, {num_models}), one column per model; got {array.shape}"
        )
    if not len(array):
        raise DatasetError(f"{field} has no rows; a table needs at least one query")
    return array


def checked_labels(field: str, values: ArrayLike, rows: int) -> NDArray[np.str_]:
    """Copy an array of strings or whole numbers, one a row; of Python objects none may be empty."""
    array = np.asarray(values)
    if array.dtype.kind in "iuf":
        array = np.asarray(labels(array.tolist()))
    if array.dtype.kind not in "UO" or array.shape != (rows,):
        raise DatasetError(
            f"{field} must be {rows} strings, one per row; got {array.dtype} of shape {array.shape}"
        )
    is_object = array.dtype.kind == "O"
    if is_object or array.dtype.itemsize // 4 > MAX_LABEL_CHARS:
        for row, label in enumerate(array.tolist()):
            if is_object and (not isinstance(label, str) or not label):
                raise DatasetError(f"{field}, row {row}: {label!r} is not a non-empty string")
            if len(label) > MAX_LABEL_CHARS:
                raise DatasetError(
                    f"{field}, row {row}: {len(label)} characters; a label has at most "
                    f"{MAX_LABEL_CHARS} characters"
                )
    return np.array(array, dtype=np.str_, order="C")


def _checked_prompts(field: str, values: Sequence[object], rows: int) -> tuple[object, ...]:
    for row, value in enumerate(values):
        if not isinstance(value, str):
            raise DatasetError(f"{field}, row {row}: {value!r} is not text")
    if len(values) != rows:
        raise DatasetError(f"{field} must be {rows} strings, one per row; got {len(values)}")
    return tuple(values)


def _checked_weights(field: str, values: ArrayLike, rows: int) -> NDArray[np.float64]:
    array = _as_float(field, values)
    if array.shape != (rows,):
        raise DatasetError(f"{field} must have shape ({rows},), got {array.shape}")
    bad = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if bad.size:
        raise DatasetError(
            f"{field}: {bad.size} bad value(s), first {array[bad[0]]} at row {bad[0]}; "
            "a weight must be finite and not negative"
        )
    if not array.any():
        raise DatasetError("weights are all zero; at least one query needs a positive weight")
    array /= array.max()  # first to [0, 1], so that the sum cannot overflow
    array /= math.fsum(array)
    return array


# What checks and copies the columns that a table may have, by name, column and number of rows.
OPTIONAL: Final[dict[str, Callable[[str, Any, int], object]]] = {
    "query_id": checked_labels,
    "task": checked_labels,
    "weights": _checked_weights,
    "prompts": _checked_prompts,
}


def _check_values(
    models: tuple[str, ...],
    reward: NDArray[np.float64],
    cost: NDArray[np.float64],
    query_id: NDArray[np.str_] | None,
) -> None:
    missing = np.isnan(reward) | np.isnan(cost)
    if missing.any():
        counts = zip(models, missing.sum(axis=0), strict=True)
        which = ", ".join(f"{name} in {count} row(s)" for name, count in counts if count)
        rows = np.flatnonzero(missing.any(axis=1))
        raise DatasetError(
            f"values are missing (NaN): {which}; {rows.size} of {len(missing)} rows are affected, "
            f"first row {rows[0]}. Pick models without gaps with models=[...], or drop those rows "
            "with drop_missing=True"
        )
    remedy = "Correct it, or leave the model out with models=[...]"
    for name, values, above, rule in (
        ("reward", reward, reward > 1.0, "in [0, 1]. Rescale it, for instance score / max_score"),
        ("cost", cost, np.isinf(cost), f"finite and not negative. {remedy}"),
    ):
        bad = (values < 0.0) | above
        if bad.any():
            column, row = np.argwhere(bad.T)[0]
            where = "" if query_id is None else f" (query_id {str(query_id[row])!r})"
            raise DatasetError(
                f"{name} of model {models[column]!r}: {bad[:, column].sum()} bad value(s), first "
                f"{values[row, column]} at row {row}{where}; a {name} must be {rule}"
            )
