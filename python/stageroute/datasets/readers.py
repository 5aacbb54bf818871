"""Read an outcome table from a file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stageroute.checks import as_path
from stageroute.datasets.formats import (
    Columns,
    Role,
    check_header,
    read_csv,
    read_npz,
    read_parquet,
    read_routerbench_pickle,
)
from stageroute.datasets.table import (
    OutcomeTable,
    checked_labels,
    checked_matrix,
    checked_models,
    model_positions,
)
from stageroute.errors import DatasetError

FRAME_COST: Final = "|total_cost"
COLUMN_READERS: Final[dict[str, Callable[[Path, Callable[[str], Role]], Columns]]] = {
    ".parquet": read_parquet,
    ".csv": read_csv,
}
# Columns of what a table may have beside outcomes.
OTHER_FIELDS: Final = {
    "query_id": "query_id", "task": "eval_name", "weights": "weight", "prompts": "prompt",
}  # fmt: skip


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
    ignored. Cells of a CSV file may be separated by commas, semicolons or tabs, the latter two with
    decimal commas as well. Rewards may be true or false; ``NA``, ``null`` and the like are missing
    values; ids may be whole numbers. No file may have more than 1 GiB, unpacked.
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
    path = as_path("path", path)
    weights = None if weights is None else as_path("weights", weights)
    try:
        columns = _read(path, allow_pickle=allow_pickle)
        if weights is not None:
            columns["weight"] = _matched_weights(weights, columns)
        return _build(columns, name or path.stem, models, drop_missing=drop_missing)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    except MemoryError as error:
        raise DatasetError(f"{path}: is too large for the memory") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DatasetError(f"{error.filename or path}: cannot be read: {reason}") from error


def _read(path: Path, *, allow_pickle: bool) -> Columns:
    """Read columns as a CSV file names them, and ``weight`` where the file has weights."""
    suffix = path.suffix.lower()
    if suffix in COLUMN_READERS:
        return COLUMN_READERS[suffix](path, _outcome_role)
    if suffix == ".npz":
        return _from_arrays(read_npz(path))
    if suffix == ".pkl":
        return _from_frame(read_routerbench_pickle(path, allow_pickle=allow_pickle))
    known = ", ".join([*COLUMN_READERS, ".npz", ".pkl"])
    raise DatasetError(f"unknown suffix {path.suffix!r}; expected one of {known}")


def _outcome_role(column: str) -> Role:
    if column.startswith("reward:"):
        return "truth"
    if column.startswith("cost:"):
        return "number"
    return "text" if column in {"query_id", "eval_name", "prompt"} else None


def _build(
    columns: Columns, name: str, models: Sequence[str] | None, *, drop_missing: bool
) -> OutcomeTable:
    for column in columns:
        kind, _, model = column.partition(":")
        beside = {"reward": f"cost:{model}", "cost": f"reward:{model}"}.get(kind)
        if beside is not None and beside not in columns:
            raise DatasetError(f"column {column!r} has no column {beside!r} beside it")
    known = [column.removeprefix("reward:") for column in columns if column.startswith("reward:")]
    if not known:
        raise DatasetError("there is no 'reward:<model>' column; a table needs at least one model")
    kept = known if models is None else [known[k] for k in model_positions(known, models)]
    reward, cost = (
        np.column_stack([columns[f"{kind}:{model}"] for model in kept])
        for kind in ("reward", "cost")
    )
    for column in ("query_id", "eval_name"):
        if column in columns:
            columns[column] = checked_labels(column, columns[column], len(reward))
    others: dict[str, Any] = {
        field: columns[column] for field, column in OTHER_FIELDS.items() if column in columns
    }
    if drop_missing:
        keep = ~(np.isnan(reward) | np.isnan(cost)).any(axis=1)
        if len(keep) and not keep.any():
            raise DatasetError("drop_missing leaves no row: every row misses one of the models")
        reward, cost = reward[keep], cost[keep]
        others = {field: values[keep] for field, values in others.items()}
    return OutcomeTable(name, tuple(kept), reward, cost, **others)


def _from_arrays(arrays: Columns) -> Columns:
    absent = [key for key in ("models", "reward", "cost") if key not in arrays]
    if absent:
        raise DatasetError(f"array {absent[0]!r} is missing; the file has: {', '.join(arrays)}")
    models = arrays["models"]
    if models.ndim != 1 or models.dtype.kind != "U":
        raise DatasetError(f"array 'models' must be 1-D strings, got {models.dtype} {models.shape}")
    names = checked_models(models.tolist())
    reward, cost = (checked_matrix(key, arrays[key], len(names)) for key in ("reward", "cost"))
    for key, shape in (("cost", reward.shape), ("weights", reward.shape[:1])):
        if key in arrays and arrays[key].shape != shape:
            raise DatasetError(
                f"array {key!r} must have shape {shape}, as 'reward' has {len(reward)} rows; got "
                f"{arrays[key].shape}"
            )
    columns: Columns = {}
    for model, rewards, costs in zip(names, reward.T, cost.T, strict=True):
        columns[f"reward:{model}"], columns[f"cost:{model}"] = rewards, costs
    renamed = {"query_id": "query_id", "eval_name": "eval_name", "weights": "weight"}
    return columns | {renamed[key]: arrays[key] for key in renamed.keys() & arrays.keys()}


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


def _from_frame(frame: Any) -> Columns:
    names = [str(column) for column in frame.columns]
    check_header(names)
    models = [n.removesuffix(FRAME_COST) for n in names if n.endswith(FRAME_COST)]
    if not models:
        raise DatasetError(f"there is no '<model>{FRAME_COST}' column, so no model")
    columns: Columns = {}
    for model in models:
        priced = model + FRAME_COST
        if model not in names:
            raise DatasetError(f"column {priced!r} has no column {model!r} beside it")
        columns[f"reward:{model}"] = _frame_numbers(model, frame[model])
        columns[f"cost:{model}"] = _frame_numbers(priced, frame[priced])
    for column, source in (("query_id", "sample_id"), ("eval_name", "eval_name")):
        if source in names:
            columns[column] = frame[source].to_numpy(dtype=object)
    return columns


def _frame_numbers(column: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        # RouterBench keeps its rewards as Python objects, some of them numbers in strings.
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"column {column!r} holds something that is no number: {error}"
        ) from error


def _matched_weights(path: Path, columns: Columns) -> NDArray[np.float64]:
    """Weight of each row of the table, matched by ``query_id``; shape (rows,)."""
    if "weight" in columns:
        raise DatasetError("the file holds weights already; leave out weights=, or its array")
    if "query_id" not in columns:
        raise DatasetError("weights are matched by 'query_id', and the table has no such column")
    reader = COLUMN_READERS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"weights file {path}: expected .parquet or .csv, got {path.suffix!r}")
    roles: dict[str, Role] = {"query_id": "text", "weight": "number"}
    try:
        return _in_order_of(columns["query_id"], **reader(path, roles.get))
    except DatasetError as error:
        raise DatasetError(f"weights file {path}: {error}") from error


def _in_order_of(
    wanted: NDArray[Any],
    query_id: NDArray[Any] | None = None,
    weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    if query_id is None or weight is None:
        raise DatasetError("it needs the columns 'query_id' and 'weight'")
    query_id, wanted = (checked_labels("query_id", ids, len(ids)) for ids in (query_id, wanted))
    for ids in (query_id, wanted):
        names, first = np.unique(ids, return_index=True)
        if names.size < ids.size:
            row = int(np.setdiff1d(np.arange(ids.size), first)[0])
            raise DatasetError(f"query_id {str(ids[row])!r} appears twice, again at row {row}")
    weight_of = dict(zip(query_id.tolist(), weight.tolist(), strict=True))
    absent = [id_ for id_ in wanted.tolist() if id_ not in weight_of]
    if absent:
        raise DatasetError(
            f"{len(absent)} of {wanted.size} queries have no weight, first {absent[0]!r}"
        )
    unknown = weight_of.keys() - set(wanted.tolist())
    if unknown:
        raise DatasetError(
            f"{len(unknown)} query_id(s) are not in the table, first {min(unknown)!r}"
        )
    return np.array([weight_of[id_] for id_ in wanted.tolist()])
