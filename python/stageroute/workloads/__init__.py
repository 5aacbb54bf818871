"""Workloads: what is served, from the stream's queries to the models' comings and goings."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import Any

from stageroute.datasets import OutcomeTable, routerbench_synthetic
from stageroute.errors import InvalidInputError
from stageroute.streams import Stream, draw_stream

__all__ = ["BuiltIn", "Workload", "parse_workload", "workload_to_json"]


class Workload(ABC):
    """A source of streams; a stream depends on its own length and seed alone."""

    @property
    @abstractmethod
    def label(self) -> str:
        """How tables call it."""

    @abstractmethod
    def stream(self, num_queries: int, seed: int) -> Stream:
        """Draw a stream."""


@cache
def _built_in() -> OutcomeTable:
    return routerbench_synthetic()


@dataclass(frozen=True, slots=True)
class BuiltIn(Workload):
    """The built-in data set; `num_initial` models at the start, the others arrive evenly."""

    num_initial: int = 5

    @property
    def label(self) -> str:
        """How tables call it."""
        return "builtin"

    def stream(self, num_queries: int, seed: int) -> Stream:
        """Draw a stream."""
        return draw_stream(_built_in(), seed, num_queries=num_queries, num_initial=self.num_initial)


def workload_to_json(workload: Workload) -> dict[str, Any]:
    """Return a workload as plain values."""
    return {"kind": type(workload).__name__, "label": workload.label}


def parse_workload(text: str) -> Workload:
    """Return the workload that a command line names."""
    if text != "builtin":
        raise InvalidInputError(f"workload {text!r}: must be 'builtin'")
    return BuiltIn()
