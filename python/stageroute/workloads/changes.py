"""What can happen to a model in the middle of a stream."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Annotated, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import check_fields, must, require
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import PriceChange, Regime, Stream
from stageroute.errors import InvalidInputError
from stageroute.workloads.base import Count, Inner, OnTop, Positive, Share

Arms = NDArray[np.intp]


class Step(NamedTuple):
    """From which share of the stream after the change on rewards and costs are scaled by what."""

    after: float
    reward: float = 1.0
    cost: float = 1.0


@dataclass(frozen=True)
class Change(ABC):
    """Something that happens to one model, of which nobody is told.

    Attributes
    ----------
    budget : float or None
        Affordable is what costs at most so much on average, USD per query; by default at most the
        median of the models that are there.
    """

    hits_affordable: ClassVar[bool] = True
    budget: Positive | None = field(default=None, kw_only=True)
    kind: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_fields(self)

    def victim(self, means: Regime, arrived: Arms) -> int:
        """Choose the model: of highest mean reward among the affordable; else the cheapest.

        Where it does not hit the affordable: the best of the others; else the most expensive.
        """
        cost = means.cost[arrived]
        limit = float(np.median(cost)) if self.budget is None else self.budget
        chosen = arrived[(cost <= limit) == self.hits_affordable]
        if chosen.size == 0:
            return int(arrived[np.argmin(cost) if self.hits_affordable else np.argmax(cost)])
        return int(chosen[np.argmax(means.reward[chosen])])

    @abstractmethod
    def steps(self) -> tuple[Step, ...]:
        """Return what happens, in order; the first step comes at once."""


@dataclass(frozen=True)
class SilentRegression(Change):
    """The best affordable model gets worse and nobody says so: its rewards are scaled down.

    Parameters
    ----------
    factor : float, default 0.5
        What is left of its rewards, in (0, 1).
    """

    factor: Inner = 0.5
    kind: str = field(default="regression", init=False, repr=False)

    def steps(self) -> tuple[Step, ...]:
        """Worse, and it stays so."""
        return (Step(0.0, reward=self.factor),)


@dataclass(frozen=True)
class PriceCut(Change):
    """The best of the expensive models becomes cheap: its costs are scaled down.

    Parameters
    ----------
    factor : float, default 0.1
        What is left of its costs, in (0, 1).
    """

    hits_affordable = False
    factor: Inner = 0.1
    kind: str = field(default="price_cut", init=False, repr=False)

    def steps(self) -> tuple[Step, ...]:
        """Cheaper, and it stays so."""
        return (Step(0.0, cost=self.factor),)


@dataclass(frozen=True)
class Outage(Change):
    """The best affordable model gives nothing for a while, and then is what it was.

    Answers are useless and billed all the same, as by a provider whose errors come as answers.

    Parameters
    ----------
    duration : float, default 0.2
        Share of the stream that it lasts, in (0, 1].
    """

    duration: Share = 0.2
    kind: str = field(default="outage", init=False, repr=False)

    def steps(self) -> tuple[Step, ...]:
        """Nothing, then back."""
        return Step(0.0, reward=0.0), Step(self.duration)


@dataclass(frozen=True)
class SlowDecline(Change):
    """The best affordable model drifts down, in steps too small to notice one by one.

    Parameters
    ----------
    factor : float, default 0.5
        What is left of its rewards in the end, in (0, 1).
    duration : float, default 0.4
        Share of the stream that the decline takes, in (0, 1].
    num_steps : int, default 8
        Regimes that it goes through, at equal distances.
    """

    factor: Inner = 0.5
    duration: Share = 0.4
    num_steps: Count = 8
    kind: str = field(default="decline", init=False, repr=False)

    def steps(self) -> tuple[Step, ...]:
        """Down in equal steps; the first comes at once."""
        total = self.num_steps
        return tuple(
            Step(self.duration * k / total, reward=1.0 - (1.0 - self.factor) * (k + 1) / total)
            for k in range(total)
        )


@dataclass(frozen=True)
class Changing(OnTop):
    """Something happens to a model in the middle of the stream.

    The stage oracle knows of it at once; a learner finds out from feedback, if it looks.

    Parameters
    ----------
    change : Change
        What happens, and to which of the models that have arrived.
    at : float, default 0.5
        When, as a share of the stream, in (0, 1).
    is_announced : bool, default False
        Whether policies are told of it, as of a new list price; for a `PriceCut` only.
    """

    change: Annotated[Change, must(lambda x: isinstance(x, Change), "must be a Change")]
    at: Inner = 0.5
    is_announced: bool = False
    said = "{change.kind}"
    kind: str = field(default="changing", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        ok = not self.is_announced or isinstance(self.change, PriceCut)
        require(ok, "change", self.change, "only a PriceCut can be announced, as a price")

    @property
    def label(self) -> str:
        """A few words, for tables of results."""
        return super().label + (" announced" if self.is_announced else "")

    def over(self, stream: Stream, seed: int) -> Stream:  # noqa: ARG002
        """Change it."""
        at = max(1, int(self.at * stream.num_queries))
        victim = self.change.victim(stream.regime(at), stream.candidates(at))
        changed = change_stream(stream, self.change, at, victim)
        if not isinstance(self.change, PriceCut) or not self.is_announced:
            return changed
        return replace(changed, announced=PriceChange(at, victim, self.change.factor))


CHANGES: Final[tuple[type[Change], ...]] = (SilentRegression, PriceCut, Outage, SlowDecline)
"""Every change there is."""


def change_stream(stream: Stream, change: Change, at: int, victim: int) -> Stream:
    """Let something happen to a model, of that column, from query `at` on.

    The new stream's table holds the outcomes of every regime one below the other, and the rows of
    later queries are shifted into their part of it: its own means are those of no query, the means
    are in the regimes.

    Raises
    ------
    InvalidInputError
        If `at` is not in [1, T), or the stream reports other rewards than were earned: what would
        be reported of changed ones is not known.
    """
    total = stream.num_queries
    require(0 < at < total, "at", at, f"must be a query in [1, {total - 1}], after the first")
    if stream.reported_reward is not None:
        raise InvalidInputError("a noisy stream cannot be changed: change it first, then add noise")
    steps = change.steps()
    starts = [at + round(step.after * total) for step in steps]
    rows = stream.rows.copy()
    for block, start in enumerate(starts):
        rows[start:] = stream.rows[start:] + (block + 1) * stream.table.num_rows
    # The stream's own regimes are divided and scaled by the steps that lie within its length.
    bounds = {regime.start for regime in stream.regimes} | {at for at in starts if at < total}
    regimes = []
    for bound in sorted(bounds):
        means = stream.regime(bound)
        begun = [step for step, start in zip(steps, starts, strict=True) if start <= bound]
        now = begun[-1] if begun else Step(0.0)
        regimes.append(Regime(bound, *_scaled(means, victim, now)))
    table = _stacked(stream.table, steps, victim)
    return replace(stream, table=table, rows=rows, regimes=tuple(regimes))


@lru_cache(maxsize=4)
def _stacked(table: OutcomeTable, steps: tuple[Step, ...], victim: int) -> OutcomeTable:
    """Put one copy for each step below the table, with the victim's column scaled."""
    blocks = [_scaled(table, victim, step) for step in (Step(0.0), *steps)]
    rewards, costs = map(np.concatenate, zip(*blocks, strict=True))
    task = None if table.task is None else np.tile(table.task, len(blocks))
    return OutcomeTable(table.name, table.models, rewards, costs, task=task)


def _scaled(
    outcomes: OutcomeTable | Regime, victim: int, step: Step
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Copy rewards and costs, with the victim's scaled."""
    reward, cost = outcomes.reward.copy(), outcomes.cost.copy()
    reward[..., victim] *= step.reward
    cost[..., victim] *= step.cost
    return reward, cost
