"""Outcome tables: what each model earned and cost on each query."""

from stageroute.datasets.readers import read_table, table_from_routerbench_frame
from stageroute.datasets.routerbench import (
    RELEASE_DATES,
    RELEASE_ORDER,
    ROUTERBENCH_MODELS,
    routerbench_synthetic,
)
from stageroute.datasets.table import OutcomeTable

__all__ = [
    "RELEASE_DATES",
    "RELEASE_ORDER",
    "ROUTERBENCH_MODELS",
    "OutcomeTable",
    "read_table",
    "routerbench_synthetic",
    "table_from_routerbench_frame",
]
