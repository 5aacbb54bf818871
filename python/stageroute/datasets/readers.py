"""Read an outcome table from a file."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stageroute.datasets.formats import (
    Columns,
    Role,
    read_csv,
    read_npz,
    read_parquet,
    text_array,
)
from stageroute.datasets.routerbench_pickle import read_routerbench_pickle
from stageroute.datasets.table import OutcomeTable, model_positions
from stageroute.errors import DatasetError

__all__ = ["read_table", "table_from_routerbench_frame"]

_REWARD, _COST = "reward:", "cost:"
_FRAME_COST = "|total_cost"


@dataclass
class _Outcomes:
    """What a file holds before any choice of rows or models; shapes as in `OutcomeTable`."""

    models: Sequence[str]
    reward: NDArray[Any]
    cost: NDArray[Any]
    query_id: NDArray[np.str_] | None
    task: NDArray[np.str_] | None
    weights: NDArray[Any] | None = None
    prompts: tuple[str, ...] | None = None


def read_table(
    path: str | Path,
    *,
    weights: str | Path | None = None,
    models: Sequence[str] | None = None,
    drop_missing: bool = False,
    allow_pickle: bool = False,
    name: str | None = None,
) -> OutcomeTable:
    """Read an outcome table; the suffix of the file says its format.

    ``.csv`` and ``.parquet`` files have a ``reward:<model>`` and a ``cost:<model>`` column per
    model and, if wanted, ``query_id``, ``eval_name`` (the task) and ``prompt``; other columns are
    ignored.
    ``.npz`` files hold the arrays ``models``, ``reward``, ``cost`` and, if wanted, ``query_id``,
    ``eval_name`` and ``weights``. ``.pkl`` is the RouterBench table as its authors publish it
    (``routerbench_0shot.pkl``), and no other pickle.

    Parameters
    ----------
    path : str or Path
        The file.
    weights : str or Path, optional
        A ``.csv`` or ``.parquet`` file with the columns ``query_id`` and ``weight``, one row for
        each query of the table. Weights are scaled to sum to 1.
    models : sequence of str, optional
        The models to keep, in this order; all of them by default.
    drop_missing : bool
        Drop the rows in which one of the kept models has no reward or no cost. Without it, a
        missing value is an error.
    allow_pickle : bool
        Allow a ``.pkl`` file. Unpickling runs code, so size and SHA-256 are checked first.
    name : str, optional
        How reports call the table; the file name without its suffix by default.

    Returns
    -------
    OutcomeTable

    Raises
    ------
    DatasetError
        The file does not hold a valid outcome table; the message names file, column and row.
    MissingExtraError
        The format needs a package that is not installed.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(
            f"{path}: unknown suffix {path.suffix!r}; expected one of {', '.join(_READERS)}"
        )
    try:
        outcomes = reader(path, allow_pickle)
        if weights is not None:
            outcomes.weights = _matched_weights(Path(weights), outcomes)
        return _build(outcomes, name or path.stem, models, drop_missing=drop_missing)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DatasetError(f"{error.filename or path}: cannot be read: {reason}") from error


def _build(
    outcomes: _Outcomes, name: str, models: Sequence[str] | None, *, drop_missing: bool
) -> OutcomeTable:
    reward, cost = np.asarray(outcomes.reward), np.asarray(outcomes.cost)
    chosen = tuple(outcomes.models)
    if models is not None:
        index = model_positions(chosen, models)
        chosen, reward, cost = tuple(models), reward[:, index], cost[:, index]
    labels_and_weights: list[NDArray[Any] | None] = [
        outcomes.query_id,
        outcomes.task,
        outcomes.weights,
    ]
    prompts = outcomes.prompts
    if drop_missing:
        keep = ~(np.isnan(reward) | np.isnan(cost)).any(axis=1)
        if len(keep) and not keep.any():
            raise DatasetError("drop_missing leaves no row: every row misses one of the models")
        reward, cost = reward[keep], cost[keep]
        labels_and_weights = [x if x is None else x[keep] for x in labels_and_weights]
        prompts = None if prompts is None else tuple(itertools.compress(prompts, keep.tolist()))
    query_id, task, weights = labels_and_weights
    return OutcomeTable(name, chosen, reward, cost, query_id, task, weights, prompts)


def _outcome_role(column: str) -> Role:
    if column.startswith((_REWARD, _COST)):
        return "number"
    if column == "prompt":
        return "prompt"
    return "text" if column in {"query_id", "eval_name"} else None


def _from_columns(columns: Columns) -> _Outcomes:
    models = [name.removeprefix(_REWARD) for name in columns.number if name.startswith(_REWARD)]
    priced = [name.removeprefix(_COST) for name in columns.number if name.startswith(_COST)]
    if not models and not priced:
        raise DatasetError("there is no 'reward:<model>' column; a table needs at least one model")
    for model in models:
        if model not in priced:
            raise DatasetError(f"column 'reward:{model}' has no column 'cost:{model}' beside it")
    for model in priced:
        if model not in models:
            raise DatasetError(f"column 'cost:{model}' has no column 'reward:{model}' beside it")
    return _Outcomes(
        models,
        np.column_stack([columns.number[_REWARD + model] for model in models]),
        np.column_stack([columns.number[_COST + model] for model in models]),
        columns.text.get("query_id"),
        columns.text.get("eval_name"),
        prompts=columns.prompt.get("prompt"),
    )


def _outcomes_from_csv(path: Path, _allow_pickle: bool) -> _Outcomes:  # noqa: FBT001
    return _from_columns(read_csv(path, _outcome_role))


def _outcomes_from_parquet(path: Path, _allow_pickle: bool) -> _Outcomes:  # noqa: FBT001
    return _from_columns(read_parquet(path, _outcome_role))


def _outcomes_from_npz(path: Path, _allow_pickle: bool) -> _Outcomes:  # noqa: FBT001
    arrays = read_npz(path)
    absent = [key for key in ("models", "reward", "cost") if key not in arrays]
    if absent:
        raise DatasetError(f"array {absent[0]!r} is missing; the file has: {', '.join(arrays)}")
    models = arrays["models"]
    if models.ndim != 1 or models.dtype.kind != "U":
        raise DatasetError(f"array 'models' must be 1-D strings, got {models.dtype} {models.shape}")
    matrices = {key: arrays[key] for key in ("reward", "cost")}
    for key, matrix in matrices.items():
        if matrix.dtype.kind not in "fiub" or matrix.ndim != 2 or matrix.shape[1] != len(models):
            raise DatasetError(
                f"array {key!r} must be numbers of shape (rows, {len(models)}), one column per "
                f"model; got {matrix.dtype} {matrix.shape}"
            )
    if len(matrices["reward"]) != len(matrices["cost"]):
        raise DatasetError("arrays 'reward' and 'cost' have different numbers of rows")
    rows = len(matrices["reward"])
    for key in ("query_id", "eval_name", "weights"):
        if key in arrays and arrays[key].shape != (rows,):
            raise DatasetError(f"array {key!r} must have shape ({rows},), got {arrays[key].shape}")
    return _Outcomes(
        [str(model) for model in models],
        matrices["reward"],
        matrices["cost"],
        arrays.get("query_id"),
        arrays.get("eval_name"),
        arrays.get("weights"),
    )


def _outcomes_from_pickle(path: Path, allow_pickle: bool) -> _Outcomes:  # noqa: FBT001
    return _from_frame(read_routerbench_pickle(path, allow_pickle=allow_pickle))


_READERS: dict[str, Callable[[Path, bool], _Outcomes]] = {
    ".parquet": _outcomes_from_parquet,
    ".csv": _outcomes_from_csv,
    ".npz": _outcomes_from_npz,
    ".pkl": _outcomes_from_pickle,
}


def table_from_routerbench_frame(frame: Any, *, name: str = "routerbench_0shot") -> OutcomeTable:
    """Convert a DataFrame in RouterBench's published wide format.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per query: a column per model with its reward, ``<model>|total_cost`` in USD,
        and, if present, ``sample_id`` and ``eval_name``. Other columns are ignored.
    name : str
        How reports call the table.

    Raises
    ------
    DatasetError
        A column is missing, appears twice, or holds something else than numbers.
    """
    return _build(_from_frame(frame), name, None, drop_missing=False)


def _from_frame(frame: Any) -> _Outcomes:
    names = [str(column) for column in frame.columns]
    if len(set(names)) != len(names):
        raise DatasetError("column names of the DataFrame must be unique")
    models = [n.removesuffix(_FRAME_COST) for n in names if n.endswith(_FRAME_COST)]
    if not models:
        raise DatasetError(f"there is no '<model>{_FRAME_COST}' column, so no model")
    for model in models:
        if model not in names:
            raise DatasetError(f"column '{model}{_FRAME_COST}' has no column {model!r} beside it")
    query_id, task = (
        text_array(key, frame[key].tolist()) if key in names else None
        for key in ("sample_id", "eval_name")
    )
    return _Outcomes(
        models,
        np.column_stack([_frame_numbers(model, frame[model]) for model in models]),
        np.column_stack(
            [_frame_numbers(model + _FRAME_COST, frame[model + _FRAME_COST]) for model in models]
        ),
        query_id,
        task,
    )


def _frame_numbers(column: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        # RouterBench keeps its rewards as Python objects, some of them numbers in strings.
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"column {column!r} holds something that is no number: {error}"
        ) from error


def _weight_role(column: str) -> Role:
    if column == "weight":
        return "number"
    return "text" if column == "query_id" else None


def _matched_weights(path: Path, outcomes: _Outcomes) -> NDArray[np.float64]:
    """Weight of each row of the table, matched by ``query_id``; shape (rows,)."""
    if outcomes.weights is not None:
        raise DatasetError("the file holds weights already; leave out weights=, or its array")
    if outcomes.query_id is None:
        raise DatasetError("weights are matched by 'query_id', and the table has no such column")
    reader = {".parquet": read_parquet, ".csv": read_csv}.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"weights file {path}: expected .parquet or .csv, got {path.suffix!r}")
    try:
        weight_of = _weight_by_id(reader(path, _weight_role))
        table_ids = [str(query) for query in outcomes.query_id]
        _unique(outcomes.query_id, np.arange(len(table_ids), dtype=np.float64))
        _check_same_ids(table_ids, weight_of)
    except DatasetError as error:
        raise DatasetError(f"weights file {path}: {error}") from error
    return np.array([weight_of[query] for query in table_ids])


def _weight_by_id(columns: Columns) -> dict[str, float]:
    if "query_id" not in columns.text or "weight" not in columns.number:
        raise DatasetError("it needs the columns 'query_id' and 'weight'")
    return _unique(columns.text["query_id"], columns.number["weight"])


def _unique(ids: NDArray[np.str_], values: NDArray[np.float64]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row, (query, value) in enumerate(zip(ids.tolist(), values.tolist(), strict=True)):
        if query in found:
            raise DatasetError(f"query_id {query!r} appears twice, the second time at row {row}")
        found[query] = value
    return found


def _check_same_ids(table_ids: list[str], weight_of: dict[str, float]) -> None:
    absent = [query for query in table_ids if query not in weight_of]
    if absent:
        raise DatasetError(
            f"{len(absent)} of {len(table_ids)} queries have no weight, first {absent[0]!r}"
        )
    unknown = sorted(weight_of.keys() - set(table_ids))
    if unknown:
        raise DatasetError(f"{len(unknown)} query_id(s) are not in the table, first {unknown[0]!r}")
