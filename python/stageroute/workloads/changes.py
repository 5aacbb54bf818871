"""What can happen to a model in the middle of a stream."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import is_number, is_whole, require
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import Regime, Stream
from stageroute.errors import InvalidInputError

__all__ = [
    "CHANGES",
    "Change",
    "Outage",
    "PriceCut",
    "SilentRegression",
    "SlowDecline",
    "Step",
    "change_stream",
]

Arms = NDArray[np.intp]

FACTOR_RULE: Final = "must be in (0, 1): what is left"
SHARE_RULE: Final = "must be in (0, 1]: a share of the stream"


@dataclass(frozen=True, slots=True)
class Step:
    """From when on the model's rewards and costs are multiplied by what.

    Attributes
    ----------
    after : float
        Share of the stream that lies between the change and this step.
    reward, cost : float
        Factors, compared with what was before the change.
    """

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

    budget: float | None = field(default=None, kw_only=True)
    kind: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ok = self.budget is None or (is_number(self.budget) and self.budget > 0)
        require(ok, "budget", self.budget, "must be a positive number of USD, or None")

    def victim(self, means: Regime, arrived: Arms) -> int:
        """Choose the model: of highest mean reward among the affordable; else the cheapest."""
        cost = means.cost[arrived]
        chosen = arrived[cost <= self._affordable(cost)]
        if chosen.size == 0:
            return int(arrived[np.argmin(cost)])
        return int(chosen[np.argmax(means.reward[chosen])])

    @abstractmethod
    def steps(self) -> tuple[Step, ...]:
        """Return what happens, in order; the first step comes at once."""

    def _affordable(self, cost: NDArray[np.float64]) -> float:
        return float(np.median(cost)) if self.budget is None else self.budget


@dataclass(frozen=True)
class SilentRegression(Change):
    """The best affordable model gets worse and nobody says so: its rewards are scaled down.

    Parameters
    ----------
    factor : float, default 0.5
        What is left of its rewards, in (0, 1).
    """

    factor: float = 0.5
    kind: str = field(default="regression", init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_factor(self.factor)

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

    factor: float = 0.1
    kind: str = field(default="price_cut", init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_factor(self.factor)

    def victim(self, means: Regime, arrived: Arms) -> int:
        """Choose the best model that is not affordable; else the most expensive one."""
        cost = means.cost[arrived]
        chosen = arrived[cost > self._affordable(cost)]
        if chosen.size == 0:
            return int(arrived[np.argmax(cost)])
        return int(chosen[np.argmax(means.reward[chosen])])

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

    duration: float = 0.2
    kind: str = field(default="outage", init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_share("duration", self.duration)

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

    factor: float = 0.5
    duration: float = 0.4
    num_steps: int = 8
    kind: str = field(default="decline", init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_factor(self.factor)
        _check_share("duration", self.duration)
        ok = is_whole(self.num_steps) and self.num_steps >= 1
        require(ok, "num_steps", self.num_steps, "must be a whole number, at least 1")

    def steps(self) -> tuple[Step, ...]:
        """Down in equal steps; the first comes at once."""
        total = self.num_steps
        return tuple(
            Step(self.duration * k / total, reward=1.0 - (1.0 - self.factor) * (k + 1) / total)
            for k in range(total)
        )


CHANGES: Final[tuple[type[Change], ...]] = (SilentRegression, PriceCut, Outage, SlowDecline)
"""Every change there is."""


def change_stream(stream: Stream, change: Change, at: int, victim: int) -> Stream:
    """Let something happen to a model of a stream.

    The new stream's table holds the outcomes of every regime one below the other, and the rows of
    later queries are shifted into their part of it: its own means are those of no query, the means
    are in the regimes.

    Parameters
    ----------
    stream : Stream
    change : Change
    at : int
        The query of the first step.
    victim : int
        The model's column.

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
    table = _stacked(stream.table, tuple((step.reward, step.cost) for step in steps), victim)
    starts = [at + round(step.after * total) for step in steps]
    rows = stream.rows.copy()
    for block, start in enumerate(starts):
        rows[start:] = stream.rows[start:] + (block + 1) * stream.table.num_rows
    return replace(stream, table=table, rows=rows, regimes=_regimes(stream, steps, starts, victim))


@lru_cache(maxsize=4)
def _stacked(
    table: OutcomeTable, factors: tuple[tuple[float, float], ...], victim: int
) -> OutcomeTable:
    """Put one copy for each step below the table, with the victim's column scaled."""
    blocks = [(table.reward, table.cost)]
    for reward_factor, cost_factor in factors:
        reward, cost = table.reward.copy(), table.cost.copy()
        reward[:, victim] *= reward_factor
        cost[:, victim] *= cost_factor
        blocks.append((reward, cost))
    rewards, costs = zip(*blocks, strict=True)
    task = None if table.task is None else np.tile(table.task, len(blocks))
    return OutcomeTable(
        table.name, table.models, np.concatenate(rewards), np.concatenate(costs), task=task
    )


def _regimes(
    stream: Stream, steps: tuple[Step, ...], starts: list[int], victim: int
) -> tuple[Regime, ...]:
    """Divide and scale the stream's own regimes by the steps that lie within its length."""
    within = [start for start in starts if start < stream.num_queries]
    bounds = sorted({regime.start for regime in stream.regimes} | set(within))
    regimes = []
    for bound in bounds:
        means = stream.regime(bound)
        reward, cost = means.reward.copy(), means.cost.copy()
        begun = [step for step, start in zip(steps, starts, strict=True) if start <= bound]
        if begun:
            reward[victim] *= begun[-1].reward
            cost[victim] *= begun[-1].cost
        regimes.append(Regime(bound, reward, cost))
    return tuple(regimes)


def _check_factor(factor: float) -> None:
    require(is_number(factor) and 0 < factor < 1, "factor", factor, FACTOR_RULE)


def _check_share(argument: str, share: float) -> None:
    require(is_number(share) and 0 < share <= 1, argument, share, SHARE_RULE)
