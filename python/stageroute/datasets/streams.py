"""Streams of queries drawn from an outcome table, the lives of models, and how feedback comes."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import require
from stageroute.datasets.table import OutcomeTable
from stageroute.errors import InvalidInputError

STREAM_ORDERS: Final = ("iid", "shuffled", "in_order")
ARRIVAL_ORDERS: Final = ("table", "shuffled")
NEVER: Final = np.iinfo(np.int64).max  # retirement time of a model that stays


Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]


class PriceChange(NamedTuple):
    """A price that policies are told of: a factor of a model's, from a query on."""

    query: int
    arm: int
    factor: float


@dataclass(frozen=True, eq=False, slots=True)
class Messages:
    """What becomes known of the queries of a stream, and when; in the order of sending.

    Arrays of shape (n,): a message arrives after the decision on query `at`, before the next one;
    it is about `query`, and says what `has_reward` and `has_cost` say.
    """

    at: Whole
    query: Whole
    has_reward: Flags
    has_cost: Flags

    @classmethod
    def of_all(cls, num_queries: int, delay: int = 0) -> Self:
        """Return one message for each query, with reward and cost, `delay` queries late."""
        queries, both = np.arange(num_queries), np.ones(num_queries, dtype=np.bool_)
        return cls(queries + delay, queries, both, both)

    def arriving(self) -> Self:
        """Return them in the order of arrival."""
        return self._taken(np.argsort(self.at, kind="stable"))

    def apart(self, copies: int = 1) -> Self:
        """Return messages with rewards or costs alone, each a number of times."""
        whole = self._taken(np.repeat(np.arange(self.at.size), 2 * copies))
        is_reward = np.tile([True, False], self.at.size * copies)
        rewards, costs = whole.has_reward & is_reward, whole.has_cost & ~is_reward
        return replace(whole, has_reward=rewards, has_cost=costs).kept()

    def later(self, delay: Whole | int, *, where: Flags | bool = True) -> Self:
        """Return messages that come later by a number of queries."""
        return replace(self, at=self.at + np.where(where, delay, 0))

    def rated(self, is_rated: Flags) -> Self:
        """Return messages whose rewards come for some queries only, shape (T,)."""
        return replace(self, has_reward=self.has_reward & is_rated[self.query]).kept()

    def kept(self) -> Self:
        """Return those that say something."""
        return self._taken(np.flatnonzero(self.has_reward | self.has_cost))

    def _taken(self, places: NDArray[np.intp]) -> Self:
        flags = {"has_reward": self.has_reward[places], "has_cost": self.has_cost[places]}
        return replace(self, at=self.at[places], query=self.query[places], **flags)


@dataclass(frozen=True, eq=False, slots=True)
class Regime:
    """The true means from query `start` on, which oracles know and regret is measured by.

    `reward` and `cost`, USD, have shape (N,).
    """

    start: int
    reward: NDArray[np.float64]
    cost: NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Stream:
    """A sequence of queries, the lives of the models, and how feedback comes back.

    Attributes
    ----------
    table : OutcomeTable
        Outcomes; its columns are in order of arrival.
    rows : ndarray of uint32, shape (T,)
        The table's row behind each query.
    arrivals, retirements : ndarray of int64, shape (N,)
        The query index from which each model can be deployed, ascending, and from which it no
        longer can be.
    regimes : tuple of Regime
        The true means, by start; those of the table throughout by default. Where they change, rows
        of other parts of the table follow.
    times : ndarray, shape (T,), optional
        When each query comes, in seconds, ascending; then stages are equally long by the clock.
    reported_reward : ndarray, shape (rows, N), optional
        What feedback says where it is not what was earned, in [0, 1].
    delay : int, default 0
        How many further queries are routed before the feedback of one arrives.
    messages : Messages, optional
        How feedback comes where it is not one message for each query, in their order; then `delay`
        is 0.
    announced : PriceChange, optional
        A change of the means that policies are told of.
    """

    table: OutcomeTable
    rows: NDArray[np.uint32]
    arrivals: NDArray[np.int64]
    retirements: NDArray[np.int64]
    regimes: tuple[Regime, ...] = ()
    _: KW_ONLY
    times: NDArray[np.float64] | None = None
    reported_reward: NDArray[np.float64] | None = None
    delay: int = 0
    messages: Messages | None = None
    announced: PriceChange | None = None

    def __post_init__(self) -> None:
        for name, shape, rule in (
            ("arrivals", (self.table.num_models,), "one per model"),
            ("retirements", (self.table.num_models,), "one per model"),
            ("times", self.rows.shape, "one per query"),
            ("reported_reward", self.table.reward.shape, "the table's"),
        ):
            array = getattr(self, name)
            if array is not None:
                require(array.shape == shape, f"{name}.shape", array.shape, rule)
        require(self.rows.size > 0, "rows.size", self.rows.size, "a stream needs a query")
        last = int(self.rows.max())
        require(last < self.table.num_rows, "rows", last, "must be rows of the table")
        first = int(self.arrivals[0])
        require(first == 0, "arrivals[0]", first, "a model must be there at the start")
        ascending = bool(np.all(np.diff(self.arrivals) >= 0))
        require(ascending, "arrivals", self.arrivals, "must be ascending: columns arrive in order")
        later = bool(np.all(self.retirements > self.arrivals))
        rule = "each must be after the model's arrival"
        require(later, "retirements", self.retirements, rule)
        if not self.regimes:
            means = self.table.mean_reward(), self.table.mean_cost()
            object.__setattr__(self, "regimes", (Regime(0, *means),))
        starts = [regime.start for regime in self.regimes]
        ascending = starts[0] == 0 and starts == sorted(set(starts))
        require(ascending, "regimes", starts, "must start at 0, one after the other")
        require(self.delay >= 0, "delay", self.delay, "must be a number of queries, at least 0")
        alone = self.messages is None or self.delay == 0
        require(alone, "delay", self.delay, "must be 0 where messages say when feedback comes")
        if self.times is not None:
            step = float(np.diff(self.times).min(initial=0.0))
            require(step >= 0, "smallest step of times", step, "times must be ascending")

    @property
    def num_queries(self) -> int:
        """T."""
        return self.rows.size

    def candidates(self, t: int) -> NDArray[np.intp]:
        """Return the models that have arrived and not retired at query `t`, ascending."""
        return np.flatnonzero((self.arrivals <= t) & (t < self.retirements))

    def regime(self, t: int) -> Regime:
        """Return the true means at query `t`."""
        return next(regime for regime in reversed(self.regimes) if regime.start <= t)

    def told_reward(self) -> NDArray[np.float64]:
        """Return what feedback says of every model on every row of the table."""
        return self.table.reward if self.reported_reward is None else self.reported_reward

    def sent(self) -> Messages:
        """Return how feedback comes."""
        return self.messages or Messages.of_all(self.num_queries, self.delay)

    def stage_starts(self, num_stages: int) -> NDArray[np.int64]:
        """Return the first query of each stage, as the function of that name does.

        Where the times of the queries are known, stages are equally long by the clock instead, and
        one in which no query comes is left out.
        """
        starts = stage_starts(self.num_queries, num_stages)
        if self.times is None:
            return starts
        clock = np.linspace(self.times[0], self.times[-1], num_stages, endpoint=False)
        first = np.searchsorted(self.times, clock)
        return np.unique(np.append(0, first[first < self.num_queries])).astype(np.int64)


def stage_starts(num_queries: int, num_stages: int) -> NDArray[np.int64]:
    """Return the first query of each of `num_stages` stages of equal length, up to one query."""
    rule = f"must be in [1, {num_queries}], the number of queries"
    require(1 <= num_stages <= num_queries, "num_stages", num_stages, rule)
    return np.arange(num_stages, dtype=np.int64) * num_queries // num_stages


def even_arrivals(num_models: int, num_initial: int, num_queries: int) -> NDArray[np.int64]:
    """Arrival times with `num_initial` models at the start and the others at even distances."""
    rule = f"must be in [1, {num_models}], the number of models"
    require(1 <= num_initial <= num_models, "num_initial", num_initial, rule)
    later = num_models - num_initial
    times = np.zeros(num_models, dtype=np.int64)
    times[num_initial:] = np.arange(1, later + 1) * num_queries // (later + 1)
    return times


def draw_stream(
    table: OutcomeTable,
    seed: int,
    *,
    num_queries: int | None = None,
    order: str = "iid",
    num_initial: int | None = None,
    arrival_order: str | Sequence[str] = "table",
    retirements: Mapping[str, int] | None = None,
) -> Stream:
    """Draw a stream of `num_queries`, by default as many as the table has rows; a seed fixes it.

    `order` "iid" draws with replacement and the table's weights; "shuffled" takes every row once,
    in random order, over and over; "in_order" the same in the table's order. The last two refuse
    weights. `num_initial` models, by default all, are there at the start; the others arrive evenly:
    in the "table" order of the columns, "shuffled", or in the order of the names given, which must
    be all. `retirements` has the query at which a model retires, by name.
    """
    require(order in STREAM_ORDERS, "order", order, f"must be one of {STREAM_ORDERS}")
    if num_queries is None:
        num_queries = table.num_rows
    require(num_queries >= 1, "num_queries", num_queries, "must be at least 1")
    generator = np.random.default_rng(seed)
    rows = _draw_rows(table, num_queries, order, generator)
    arranged = table.select(_arrival_names(table, arrival_order, generator))
    initial = table.num_models if num_initial is None else num_initial
    stays = np.full(table.num_models, NEVER)
    for name, t in (retirements or {}).items():
        if name not in table.models:
            known = ", ".join(table.models)
            raise InvalidInputError(f"retirements names {name!r}; the table's models are {known}")
        stays[arranged.models.index(name)] = t
    return Stream(arranged, rows, even_arrivals(table.num_models, initial, num_queries), stays)


def _draw_rows(
    table: OutcomeTable, num_queries: int, order: str, generator: np.random.Generator
) -> NDArray[np.uint32]:
    if order == "iid":
        rows = generator.choice(table.num_rows, size=num_queries, p=table.weights)
        return rows.astype(np.uint32)
    rule = "takes every row equally often, but the table has weights: use 'iid', or no weights"
    require(table.weights is None, "order", order, rule)
    if order == "in_order":
        return (np.arange(num_queries) % table.num_rows).astype(np.uint32)
    rounds = -(-num_queries // table.num_rows)
    passes = [generator.permutation(table.num_rows) for _ in range(rounds)]
    return np.concatenate(passes)[:num_queries].astype(np.uint32)


def _arrival_names(
    table: OutcomeTable, order: str | Sequence[str], generator: np.random.Generator
) -> Sequence[str]:
    if not isinstance(order, str):
        rule = f"must name each of the table's models once: {', '.join(table.models)}"
        require(sorted(order) == sorted(table.models), "arrival_order", list(order), rule)
        return order
    require(order in ARRIVAL_ORDERS, "arrival_order", order, f"must be one of {ARRIVAL_ORDERS}")
    if order == "table":
        return table.models
    return [table.models[k] for k in generator.permutation(table.num_models)]
