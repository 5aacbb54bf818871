"""What a workload is: a recipe for streams, as plain data."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from stageroute.checks import check_fields, must, number_in, whole_in
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import Stream

NUM_INITIAL = 5
"""Models at the start of a stream, or fewer where a table has fewer."""

Count = Annotated[int, whole_in("[1, inf)")]
Several = Annotated[int, whole_in("[2, inf)")]
NotNegative = Annotated[int, whole_in("[0, inf)")]
Positive = Annotated[float, number_in("(0, inf)")]
Share = Annotated[float, number_in("(0, 1]", "shares of the stream")]
Inner = Annotated[float, number_in("(0, 1)")]


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

    Raises
    ------
    InvalidInputError
        If a value breaks the rule that stands with its field.
    """

    kind: str = field(init=False)

    def __post_init__(self) -> None:
        check_fields(self)

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
        DatasetError
            If a file does not hold what it should.
        """


@dataclass(frozen=True)
class OnTop(Workload):
    """A workload on top of another, its base: it draws from that and makes something of it.

    Parameters
    ----------
    base : Workload

    Attributes
    ----------
    said : str
        What the label says of it; a format of the fields.
    """

    said: ClassVar[str]
    base: Annotated[Workload, must(lambda x: isinstance(x, Workload), "must be a workload")]

    @property
    def label(self) -> str:
        """A few words, for tables of results."""
        return f"{self.base.label}, {self.said.format(**vars(self)).replace('_', ' ')}"

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
    whole_in("[1, inf)")("num_queries", num_queries)
    whole_in("[0, inf)")("seed", seed)
