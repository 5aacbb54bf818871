"""ParetoBandit in the comparison."""

from collections import deque
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from stageroute.policies.base import Arms, Floats, Policy, Setting
from stageroute.policies.rivals.adapting import UNBOUND, UNKNOWN, TaskContexts
from stageroute.policies.rivals.paretobandit import ParetoBandit

__all__ = ["ParetoBanditPolicy", "TaskParetoBanditPolicy"]


class ParetoBanditPolicy(Policy):
    """`ParetoBandit`, offered the live models; its context is a constant.

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
        )
        self._open: deque[Any] = deque()

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
        arm, log = self._bandit.route(self._context(row))
        self._open.append(log)
        return arm, 1.0, UNKNOWN

    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:  # noqa: ARG002
        """Tell the outcome of the oldest open decision."""
        self._bandit.learn(self._open.popleft(), reward, cost)

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
