"""Outcome tables, the streams drawn from them, and traces of arrivals."""

from stageroute.datasets.readers import read_table, table_from_routerbench_frame
from stageroute.datasets.routerbench import (
    RELEASE_DATES,
    RELEASE_ORDER,
    ROUTERBENCH_MODELS,
    routerbench_synthetic,
)
from stageroute.datasets.streams import Stream
from stageroute.datasets.table import OutcomeTable

__all__ = [
    "RELEASE_DATES",
    "RELEASE_ORDER",
    "ROUTERBENCH_MODELS",
    "OutcomeTable",
    "Stream",
    "read_table",
    "routerbench_synthetic",
    "table_from_routerbench_frame",
]
