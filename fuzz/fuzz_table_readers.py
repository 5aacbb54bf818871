"""Fuzz the table readers: any bytes give a valid table or a `DatasetError`.

Run from the repository root, with the package installed or on PYTHONPATH:

    python fuzz/fuzz_table_readers.py -max_total_time=30

The first byte picks the format (CSV, NPZ or parquet) and whether the rest is taken as a file or
as edits of a valid one. Exit status: 0 nothing found, 1 a finding, 77 atheris is not installed.
"""

import io
import math
import sys
import tempfile
from pathlib import Path

try:
    import atheris
except ImportError:
    print("left out: atheris is not installed (pip install atheris)", file=sys.stderr)
    sys.exit(77)

import numpy as np

with atheris.instrument_imports(include=["stageroute"]):
    from stageroute.datasets import OutcomeTable, read_table
    from stageroute.errors import DatasetError, MissingExtraError

SUFFIXES = (".csv", ".npz", ".parquet")
CSV = b"query_id,eval_name,reward:a,cost:a,reward:b,cost:b\nq0,t,0,1,0.5,2\nq1,t,1,0.1,,\n"


def _valid_npz() -> bytes:
    file = io.BytesIO()
    arrays = {"models": np.array(["a", "b"]), "query_id": np.array(["q0", "q1"])}
    np.savez(file, reward=np.eye(2), cost=np.eye(2), weights=np.ones(2), **arrays)
    return file.getvalue()


def _valid_parquet() -> bytes:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return b"PAR1"
    file = io.BytesIO()
    columns = {"query_id": ["q0", "q1"], "reward:a": [0.0, None], "cost:a": [1, 2]}
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


SEEDS = {".csv": CSV, ".npz": _valid_npz(), ".parquet": _valid_parquet()}
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz_table_readers_"))


def _file_content(data: bytes, suffix: str, *, edit: bool) -> bytes:
    """Return the bytes as they are, or a valid file with bytes overwritten and its end cut off."""
    if not edit:
        return data
    content = bytearray(SEEDS[suffix])
    for i in range(0, len(data) - 2, 3):
        content[int.from_bytes(data[i : i + 2]) % len(content)] = data[i + 2]
    return bytes(content[: len(content) - (data[-1] % 4 if data else 0)])


def _check(table: OutcomeTable) -> None:
    shape = (table.num_rows, table.num_models)
    assert min(shape) >= 1
    assert table.reward.shape == table.cost.shape == shape
    assert ((table.reward >= 0) & (table.reward <= 1)).all()
    assert (np.isfinite(table.cost) & (table.cost >= 0)).all()
    assert len(set(table.models)) == table.num_models
    if table.weights is not None:
        assert (table.weights >= 0).all()
        assert math.isclose(math.fsum(table.weights), 1, rel_tol=1e-12)


def test_one_input(data: bytes) -> None:
    """Read one file; anything but a valid table or a typed refusal is a finding."""
    if not data:
        return
    suffix = SUFFIXES[data[0] % 3]
    path = FOLDER / f"input{suffix}"
    path.write_bytes(_file_content(data[1:], suffix, edit=bool(data[0] & 0x40)))
    try:
        table = read_table(path, drop_missing=bool(data[0] & 0x80))
    except (DatasetError, MissingExtraError):
        return
    _check(table)


if __name__ == "__main__":
    # libFuzzer's own status for a finding is 77, which is taken; options given later win.
    defaults = ["-error_exitcode=1", "-timeout=10", f"-artifact_prefix={FOLDER}/"]
    atheris.Setup([sys.argv[0], *defaults, *sys.argv[1:]], test_one_input)
    atheris.Fuzz()
