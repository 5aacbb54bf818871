"""The RouterBench table as its authors publish it: a pandas pickle, checked before it is read."""

import hashlib
import io
from pathlib import Path
from typing import Any

from stageroute.errors import DatasetError, MissingExtraError

__all__ = ["ROUTERBENCH_PICKLE_BYTES", "ROUTERBENCH_PICKLE_SHA256", "read_routerbench_pickle"]

# routerbench_0shot.pkl of the dataset withmartian/routerbench on the Hugging Face Hub, revision
# 784021482c3f320c6619ed4b3bb3b41a21424fcb: 36,497 rows, 11 models.
ROUTERBENCH_PICKLE_BYTES = 99_567_659
ROUTERBENCH_PICKLE_SHA256 = "ba4f77f19517610a707c374e99322d7750c30fc4ae7ff5527888595a1e65d36d"


def read_routerbench_pickle(path: Path, *, allow_pickle: bool) -> Any:
    """Read ``routerbench_0shot.pkl``, and refuse any other pickle.

    Parameters
    ----------
    path : Path
        The file as published.
    allow_pickle : bool
        The caller's consent; unpickling runs code that the file contains.

    Returns
    -------
    pandas.DataFrame
        In RouterBench's wide format, see `table_from_routerbench_frame`.

    Raises
    ------
    DatasetError
        No consent was given, or size or SHA-256 differ from those of the published file.
    MissingExtraError
        pandas is not installed.
    """
    if not allow_pickle:
        raise DatasetError(
            "unpickling a file runs whatever code it contains; if this is RouterBench's "
            "routerbench_0shot.pkl, pass allow_pickle=True (size and SHA-256 are checked first)"
        )
    size = path.stat().st_size
    if size != ROUTERBENCH_PICKLE_BYTES:
        raise DatasetError(
            f"{size} bytes, but RouterBench's routerbench_0shot.pkl has "
            f"{ROUTERBENCH_PICKLE_BYTES}; not unpickled. Download it again, or convert other data "
            "to .parquet, .csv or .npz"
        )
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != ROUTERBENCH_PICKLE_SHA256:
        raise DatasetError(
            f"SHA-256 is {digest}, but RouterBench's routerbench_0shot.pkl has "
            f"{ROUTERBENCH_PICKLE_SHA256}; not unpickled. Download it again"
        )
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError(
            "reading the RouterBench pickle needs pandas: pip install 'stageroute[pickle]'"
        ) from error
    # The very bytes that were checked: the file may change between two reads.
    frame = pd.read_pickle(io.BytesIO(content))  # noqa: S301
    if not isinstance(frame, pd.DataFrame):
        raise DatasetError(f"the pickle holds a {type(frame).__name__}, not a DataFrame")
    return frame
