"""Suites of models as they come out: as many as were released, or thousands."""

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import whole_in
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import NEVER, Stream, even_arrivals
from stageroute.errors import InvalidInputError
from stageroute.workloads.base import Count, NotNegative, Several, Workload, check_draw
from stageroute.workloads.market import Suite, draw_suite, suite_table
from stageroute.workloads.public_lists import read_public_lists

DEFAULT_MODELS: Final = 50
DEFAULT_ROWS: Final = 4_096

MAX_MODELS: Final = 10_000
MAX_CELLS: Final = 6_000_000
"""Rows × models of a large pool: 96 MB of rewards and costs."""

NumModels = Annotated[int, whole_in(f"[1, {MAX_MODELS}]")]


class _FromSuite(Workload):
    """What workloads over a suite of models have in common."""

    @abstractmethod
    def models(self) -> Suite:
        """Return the models, in order of release."""

    @abstractmethod
    def _arrivals(self, num_queries: int) -> NDArray[np.int64]: ...

    def table(self) -> OutcomeTable:
        """Return the outcomes of all models, in order of release."""
        return _suite_table(self)

    def stream(self, num_queries: int, seed: int) -> Stream:
        """Draw queries i.i.d. from the table."""
        check_draw(num_queries, seed)
        table, generator = self.table(), np.random.default_rng(seed)
        rows = generator.integers(table.num_rows, size=num_queries, dtype=np.uint32)
        retirements = np.full(table.num_models, NEVER)
        return Stream(table, rows, self._arrivals(num_queries), retirements)


@dataclass(frozen=True)
class StateOfTheArt(_FromSuite):
    """Models in order of release, with ratings and prices as in public lists.

    What a provider lives through: the best of last year is ordinary now, and the price of a given
    quality falls by an order of magnitude and more a year. Models arrive by the date of their
    release, so several on one day and then none for weeks.

    Each query belongs to a family of tasks, at which each model is better or worse than it is
    overall; see `suite_table` for rewards and costs.

    Parameters
    ----------
    folder : str, optional
        Where the public lists are: then the models are the 48 that they price and rate
        (`read_public_lists`). By default models are drawn from `FITTED`, which was fitted to them.
    num_models : int, optional
        N; 50 by default. Not with `folder`.
    num_initial : int, default 10
        Models at the start, and those released on the same day as the last of them. The first five
        of the public lists cost 0.0016 USD and more, so that small budgets would have no mixture.
    num_rows : int, default 4096
        Of the table that queries are drawn from.
    grades : int, default 2
        Values that a reward can have, evenly spaced in [0, 1]: 2 for wins and losses.
    suite : int, default 0
        Seed of the models and of their outcomes: they are the same for all streams.
    """

    folder: str | None = None
    num_models: NumModels | None = None
    num_initial: Count = 10
    num_rows: Count = DEFAULT_ROWS
    grades: Several = 2
    suite: NotNegative = 0
    kind: str = field(default="sota", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_models is not None and self.folder is not None:
            raise InvalidInputError(
                f"num_models = {self.num_models!r}: the lists in `folder` say which models "
                "there are; leave out one of the two"
            )

    @property
    def label(self) -> str:
        """A few words, for tables of results."""
        source = "generated" if self.folder is None else "public lists"
        return f"state of the art, {len(self.models().names)} models ({source})"

    def models(self) -> Suite:
        """Return the models, in order of release."""
        return _suite(self.folder, self.num_models or DEFAULT_MODELS, self.suite)

    def _arrivals(self, num_queries: int) -> NDArray[np.int64]:
        return dated_arrivals(self.models().years, self.num_initial, num_queries)


@dataclass(frozen=True)
class LargePool(_FromSuite):
    """Many candidates that arrive fast: a catalogue of fine-tuned models and providers.

    Models are drawn from the same market as in `StateOfTheArt` and arrive evenly, so that at every
    stage boundary many are new; the deployment problem is large, and most models can never be
    tried.

    Parameters
    ----------
    num_models : int, default 1000
        N, at most 10,000.
    num_initial : int, default 10
        Models at the start.
    grades, suite
        As in `StateOfTheArt`.

    Notes
    -----
    The table has 4,096 rows, or fewer where it would exceed 96 MB: 600 for 10,000 models.
    """

    num_models: NumModels = 1_000
    num_initial: Count = 10
    grades: Several = 2
    suite: NotNegative = 0
    kind: str = field(default="pool", init=False)

    @property
    def num_rows(self) -> int:
        """Rows of the table."""
        return min(DEFAULT_ROWS, MAX_CELLS // self.num_models)

    @property
    def label(self) -> str:
        """A few words, for tables of results."""
        return f"pool of {self.num_models:,} models"

    def models(self) -> Suite:
        """Return the models, in order of release."""
        return _suite(None, self.num_models, self.suite)

    def _arrivals(self, num_queries: int) -> NDArray[np.int64]:
        initial = min(self.num_initial, self.num_models)
        return even_arrivals(self.num_models, initial, num_queries)


def dated_arrivals(
    years: NDArray[np.float64], num_initial: int, num_queries: int
) -> NDArray[np.int64]:
    """Return arrival times with the first models at the start and the others by their dates.

    The time from the release of the last initial model to the last release is spread over the
    stream so that as much of it is left after the last arrival as lies between two on average.
    """
    initial = min(num_initial, years.size)
    since = np.maximum(years - years[initial - 1], 0.0)
    later = int((since > 0.0).sum())
    if later == 0:
        return np.zeros(years.size, dtype=np.int64)
    share: NDArray[np.float64] = since / since[-1] * (later / (later + 1.0))
    return (share * num_queries).astype(np.int64)


@cache
def _suite(folder: str | None, num_models: int, seed: int) -> Suite:
    return draw_suite(num_models, seed) if folder is None else read_public_lists(folder).suite


@cache
def _suite_table(workload: StateOfTheArt | LargePool) -> OutcomeTable:
    return suite_table(
        workload.models(), workload.num_rows, workload.grades, workload.suite, workload.label
    )
