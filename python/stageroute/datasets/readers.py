"""Read an outcome table from a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stageroute.datasets.formats import Columns, Role, labels, read_csv, read_npz, read_parquet
from stageroute.datasets.routerbench_pickle import read_routerbench_pickle
from stageroute.datasets.table import (
    OutcomeTable,
    checked_labels,
    checked_matrix,
    model_positions,
)
from stageroute.errors import DatasetError

__all__ = ["read_table", "table_from_routerbench_frame"]

_REWARD, _COST = "reward:", "cost:"
_FRAME_COST = "|total_cost"
_COLUMN_READERS: dict[str, Callable[[Path, Callable[[str], Role]], Columns]] = {
    ".parquet": read_parquet,
    ".csv": read_csv,
}


@dataclass
class _Outcomes:
    """What a file holds before any choice of rows or models; fields as in `OutcomeTable`."""

    models: Sequence[str]
    reward: NDArray[Any]
    cost: NDArray[Any]
    query_id: NDArray[np.str_] | None
    task: NDArray[np.str_] | None
    weights: NDArray[Any] | None = None
    prompts: NDArray[np.object_] | None = None


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
    try:
        outcomes = _read(path, allow_pickle=allow_pickle)
        if weights is not None:
            outcomes.weights = _matched_weights(Path(weights), outcomes)
        return _build(outcomes, name or path.stem, models, drop_missing=drop_missing)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DatasetError(f"{error.filename or path}: cannot be read: {reason}") from error


def _read(path: Path, *, allow_pickle: bool) -> _Outcomes:
    suffix = path.suffix.lower()
    if suffix in _COLUMN_READERS:
        return _from_columns(_COLUMN_READERS[suffix](path, _outcome_role))
    if suffix == ".npz":
        return _from_arrays(read_npz(path))
    if suffix == ".pkl":
        return _from_frame(read_routerbench_pickle(path, allow_pickle=allow_pickle))
    known = ", ".join([*_COLUMN_READERS, ".npz", ".pkl"])
    raise DatasetError(f"unknown suffix {path.suffix!r}; expected one of {known}")


def _build(
    outcomes: _Outcomes, name: str, models: Sequence[str] | None, *, drop_missing: bool
) -> OutcomeTable:
    if models is not None:
        index = model_positions(outcomes.models, models)
        reward, cost = outcomes.reward[:, index], outcomes.cost[:, index]
        outcomes = replace(outcomes, models=models, reward=reward, cost=cost)
    if drop_missing:
        outcomes = _complete_rows(outcomes)
    return OutcomeTable(name, **vars(outcomes))


def _complete_rows(outcomes: _Outcomes) -> _Outcomes:
    keep = ~(np.isnan(outcomes.reward) | np.isnan(outcomes.cost)).any(axis=1)
    if len(keep) and not keep.any():
        raise DatasetError("drop_missing leaves no row: every row misses one of the models")
    by_row = ("reward", "cost", "query_id", "task", "weights", "prompts")
    columns = {field: getattr(outcomes, field) for field in by_row}
    kept = {field: values[keep] for field, values in columns.items() if values is not None}
    return replace(outcomes, **kept)


def _outcome_role(column: str) -> Role:
    if column.startswith((_REWARD, _COST)):
        return "number"
    if column == "prompt":
        return "prompt"
    return "label" if column in {"query_id", "eval_name"} else None


def _from_columns(columns: Columns) -> _Outcomes:
    models = [name.removeprefix(_REWARD) for name in columns if name.startswith(_REWARD)]
    priced = [name.removeprefix(_COST) for name in columns if name.startswith(_COST)]
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
        np.column_stack([columns[_REWARD + model] for model in models]),
        np.column_stack([columns[_COST + model] for model in models]),
        columns.get("query_id"),
        columns.get("eval_name"),
        prompts=columns.get("prompt"),
    )


def _from_arrays(arrays: Columns) -> _Outcomes:
    absent = [key for key in ("models", "reward", "cost") if key not in arrays]
    if absent:
        raise DatasetError(f"array {absent[0]!r} is missing; the file has: {', '.join(arrays)}")
    models = arrays["models"]
    if models.ndim != 1 or models.dtype.kind != "U":
        raise DatasetError(f"array 'models' must be 1-D strings, got {models.dtype} {models.shape}")
    reward, cost = (checked_matrix(key, arrays[key], len(models)) for key in ("reward", "cost"))
    rows, weights = len(reward), arrays.get("weights")
    if len(cost) != rows:
        raise DatasetError(f"array 'reward' has {rows} rows but array 'cost' has {len(cost)}")
    if weights is not None and weights.shape != (rows,):
        raise DatasetError(f"array 'weights' must have shape ({rows},), got {weights.shape}")
    query_id, task = (
        checked_labels(key, arrays.get(key), rows) for key in ("query_id", "eval_name")
    )
    return _Outcomes(models.tolist(), reward, cost, query_id, task, weights)


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
    columns: Columns = {}
    for model in models:
        priced = model + _FRAME_COST
        if model not in names:
            raise DatasetError(f"column {priced!r} has no column {model!r} beside it")
        columns[_REWARD + model] = _frame_numbers(model, frame[model])
        columns[_COST + model] = _frame_numbers(priced, frame[priced])
    for column, source in (("query_id", "sample_id"), ("eval_name", "eval_name")):
        if source in names:
            columns[column] = labels(source, frame[source].tolist())
    return _from_columns(columns)


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
    return "label" if column == "query_id" else None


def _matched_weights(path: Path, outcomes: _Outcomes) -> NDArray[np.float64]:
    """Weight of each row of the table, matched by ``query_id``; shape (rows,)."""
    if outcomes.weights is not None:
        raise DatasetError("the file holds weights already; leave out weights=, or its array")
    if outcomes.query_id is None:
        raise DatasetError("weights are matched by 'query_id', and the table has no such column")
    reader = _COLUMN_READERS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"weights file {path}: expected .parquet or .csv, got {path.suffix!r}")
    try:
        return _weights_in_order_of(outcomes.query_id, reader(path, _weight_role))
    except DatasetError as error:
        raise DatasetError(f"weights file {path}: {error}") from error


def _weights_in_order_of(wanted: NDArray[np.str_], columns: Columns) -> NDArray[np.float64]:
    """Weights in the order of the wanted ids, which must be those of the columns, each once."""
    if not {"query_id", "weight"} <= columns.keys():
        raise DatasetError("it needs the columns 'query_id' and 'weight'")
    ids, weights = columns["query_id"], columns["weight"]
    for column in (ids, wanted):
        _, first = np.unique(column, return_index=True)
        repeated = np.delete(np.arange(len(column)), first)
        if repeated.size:
            row = int(repeated[0])
            raise DatasetError(
                f"query_id {str(column[row])!r} appears twice, the second time at row {row}"
            )
    absent = wanted[~np.isin(wanted, ids)]
    if absent.size:
        raise DatasetError(
            f"{absent.size} of {wanted.size} queries have no weight, first {str(absent[0])!r}"
        )
    unknown = np.setdiff1d(ids, wanted)
    if unknown.size:
        raise DatasetError(
            f"{unknown.size} query_id(s) are not in the table, first {str(unknown[0])!r}"
        )
    by_id = np.argsort(ids)
    matched: NDArray[np.float64] = weights[by_id[np.searchsorted(ids, wanted, sorter=by_id)]]
    return matched
