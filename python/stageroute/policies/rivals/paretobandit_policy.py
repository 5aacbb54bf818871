"""ParetoBandit in the comparison."""

from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from stageroute.config.settings import Drift
from stageroute.policies.base import Arms, Floats, Message, Policy, Setting
from stageroute.policies.rivals.adapting import UNBOUND, UNKNOWN, TaskContexts
from stageroute.policies.rivals.paretobandit import ParetoBandit

__all__ = ["ParetoBanditPolicy", "TaskParetoBanditPolicy", "UncappedParetoBanditPolicy"]


class ParetoBanditPolicy(Policy):
    """`ParetoBandit`, offered the live models; its context is a constant.

    It forgets where the limits handle drift. Its one call for feedback takes the reward and bills
    the cost. Where the two come apart, a reward goes to `BanditRouter.update` and a cost to
    `BudgetPacer.observe`, of which that call is made; these name no decision, so that every copy
    counts.

    Raises
    ------
    MissingExtraError
        If ParetoBandit is not installed.
    """

    name = "paretobandit"
    knows_task: ClassVar[bool] = False
    exempt = MappingProxyType(
        {**UNBOUND, "frequency": "it breaks ties at random and does not tell with what probability"}
    )

    def __init__(self, setting: Setting) -> None:
        self._max_deployed = setting.limits.max_deployed
        table = setting.stream.table
        self._contexts = TaskContexts(table, with_bias=True) if self.knows_task else None
        self._bandit = ParetoBandit(
            setting.names,
            setting.stream.regimes[0].cost,
            budget=setting.limits.budget,
            seed=setting.seed,
            dimension=1 if self._contexts is None else self._contexts.dimension,
            handles_drift=setting.limits.drift != Drift(),
        )
        self._logs: list[tuple[Any, Floats]] = []
        self._answered = 0

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Offer the models that it would route the average query to, if it had to do without more.

        Its own ranking at the pacer's price of the moment, prices and untried models included.
        """
        ranking = self._bandit.ranking(
            candidates.tolist(), self._max_deployed, self._average_context()
        )
        live = tuple(sorted(ranking))
        self._bandit.offer(live)
        return live

    def route(self, row: int) -> tuple[int, float, float]:
        """Decide on the next query."""
        if self._contexts is not None:
            self._contexts.count(row)
        context = self._context(row)
        arm, log = self._bandit.route(context)
        self._logs.append((log, context))
        return arm, 1.0, UNKNOWN

    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:
        """Tell the outcome of the oldest decision that was not answered."""
        self.hear(Message(self._answered, row, arm, reward, cost))
        self._answered += 1

    def hear(self, message: Message) -> None:
        """Pass a message on."""
        log, context = self._logs[message.query]
        if message.reward is not None and message.cost is not None:
            self._bandit.learn(log, message.reward, message.cost)
        elif message.reward is not None:
            self._bandit.router.update(
                log.selected_model, context, message.reward, advance_time=False
            )
        else:
            self._bandit.pacer.observe(message.cost)

    def announce_price(self, arm: int, factor: float) -> None:
        """Update the model's prices."""
        self._bandit.announce_price(arm, factor)

    def _context(self, row: int) -> Floats:
        return np.ones(1) if self._contexts is None else self._contexts.of_row(row)

    def _average_context(self) -> Floats:
        if self._contexts is None:
            return np.ones(1)
        average: Floats = self._contexts.shares() @ self._contexts.of_task
        return average


class TaskParetoBanditPolicy(ParetoBanditPolicy):
    """The same; its context is the query's task."""

    name = "paretobandit-tasks"
    knows_task = True


class UncappedParetoBanditPolicy(ParetoBanditPolicy):
    """`ParetoBandit`, offered every model that has arrived: it has no cap on live models."""

    name = "paretobandit-all"
    exempt = MappingProxyType(
        {**ParetoBanditPolicy.exempt, "max_deployed": "it is offered all models that have arrived"}
    )

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Offer all models."""
        self._bandit.offer(candidates.tolist())
        return tuple(candidates.tolist())
