"""What a workload is: a recipe for streams, as plain data."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from stageroute.checks import is_whole, require
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import Stream

__all__ = ["NUM_INITIAL", "OnTop", "Workload", "check_draw", "check_initial"]

NUM_INITIAL = 5
"""Models at the start of a stream, or fewer where a table has fewer."""


@dataclass(frozen=True)
class Workload(ABC):
    """A recipe for streams of queries.

    Each is a frozen dataclass of plain values, so that `dataclasses.asdict` describes it completely
    and `workload_from_json` rebuilds it. A stream is a pure function of the workload, the number
    of queries and the seed. What streams share is made once per process.

    Attributes
    ----------
    kind : str
        Names the class in descriptions and on the command line.
    """

    kind: str = field(init=False)

    @property
    @abstractmethod
    def label(self) -> str:
        """A few words, for tables of results."""

    @abstractmethod
    def stream(self, num_queries: int, seed: int) -> Stream:
        """Draw a stream.

        Parameters
        ----------
        num_queries : int
            T, at least 1.
        seed : int
            Not negative.

        Raises
        ------
        InvalidInputError
            If an argument breaks its rule.
        """

    @abstractmethod
    def table(self) -> OutcomeTable:
        """Return the outcomes that rows are drawn from, before anything is changed.

        Raises
        ------
        InvalidInputError
            If the workload makes a new table for each seed (`NeedleArrivals`).
        """


@dataclass(frozen=True)
class OnTop(Workload):
    """A workload on top of another: it draws from that and makes something of it.

    Parameters
    ----------
    base : Workload

    Attributes
    ----------
    said : str
        What the label says of it; a format of the fields.
    """

    said: ClassVar[str]
    base: Workload

    def __post_init__(self) -> None:
        require(isinstance(self.base, Workload), "base", self.base, "must be a workload")

    @property
    def label(self) -> str:
        """A few words, for tables of results."""
        return f"{self.base.label}, {self.said.format(**vars(self))}"

    def stream(self, num_queries: int, seed: int) -> Stream:
        """Draw from the base, and make something of it."""
        return self.over(self.base.stream(num_queries, seed), seed)

    @abstractmethod
    def over(self, stream: Stream, seed: int) -> Stream:
        """Make something of a stream of the base, drawn with this seed.

        Raises
        ------
        InvalidInputError
            If nothing can be made of it.
        """

    def table(self) -> OutcomeTable:
        """Return the base's table."""
        return self.base.table()


def check_draw(num_queries: int, seed: int) -> None:
    """Check the arguments of `Workload.stream`."""
    ok = is_whole(num_queries) and num_queries >= 1
    require(ok, "num_queries", num_queries, "must be a whole number, at least 1")
    require(is_whole(seed) and seed >= 0, "seed", seed, "must be a whole number, not negative")


def check_initial(num_initial: int) -> None:
    """Check how many models there are at the start."""
    ok = is_whole(num_initial) and num_initial >= 1
    require(ok, "num_initial", num_initial, "must be a whole number, at least 1")
