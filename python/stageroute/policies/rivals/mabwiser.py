"""MABWiser (PyPI ``mabwiser``) in the comparison, through `mabwiser.mab.MAB` alone.

Settings, each after its own documentation:

- ``UCB1(alpha=1)``, ``LinUCB(alpha=1.0, l2_lambda=1.0)``: the defaults of
  `mabwiser.mab.LearningPolicy`. With rewards in [0, 1] the first is UCB1 as published (Auer,
  Cesa-Bianchi & Fischer 2002).
- ``ThompsonSampling(binarizer)``: it asks for a binarizer where rewards are not 0 or 1. Ours draws
  success with probability equal to the reward, as Agrawal & Goyal (2012, algorithm 2) do: a
  threshold would change the means.
- `MAB` predicts only after `fit`, and UCB1 never tries an arm without data (its expectation is 0):
  its maintainers advise a phase of data collection (github.com/fidelity/mabwiser/issues/64). A
  live model from which no reward has come yet is therefore served before any other, in turn.
- `partial_fit` after every reward, as it comes. LinUCB's copies and inverts matrices of every arm,
  1 to 3 ms a call: it gets rewards in batches of `LINUCB_BATCH`, as `mabwiser.simulator.Simulator`
  (``batch_size``) does in online learning.
- `predict` takes the arm of highest expectation; among the live models that is the highest of
  `predict_expectations`.
- LinUCB's context is the query's task, one-hot, or a constant for a table without tasks.

It knows no costs: the budget is ignored. With `affordable_only` it gets only models whose list
price is within the budget (the cheapest one if none is), as a user with a budget would do.
"""

from collections import deque
from types import MappingProxyType
from typing import Any, ClassVar, Final

import numpy as np

from stageroute.policies.base import Arms, Floats, Policy, Setting
from stageroute.policies.rivals.adapting import UNBOUND, UNKNOWN, TaskContexts, best_ranked
from stageroute.policies.rivals.installed import require_installed

__all__ = [
    "AffordableLinUcbMabwiserPolicy",
    "AffordableThompsonMabwiserPolicy",
    "AffordableUcb1MabwiserPolicy",
    "LinUcbMabwiserPolicy",
    "MabwiserPolicy",
    "ThompsonMabwiserPolicy",
    "Ucb1MabwiserPolicy",
]

LINUCB_BATCH: Final = 20
"""Rewards between two updates of LinUCB, of 36,497 in an episode."""


class MabwiserPolicy(Policy):
    """`mabwiser.mab.MAB` over all models that have arrived; the live ones serve.

    Attributes
    ----------
    algorithm : {"ucb1", "thompson", "linucb"}
    affordable_only : bool
        Whether only models whose mean cost is within the budget are candidates.

    Raises
    ------
    MissingExtraError
        If MABWiser is not installed.
    """

    algorithm: ClassVar[str]
    affordable_only: ClassVar[bool] = False
    exempt = UNBOUND

    def __init__(self, setting: Setting) -> None:
        require_installed("mabwiser.mab", "MABWiser")
        self._limits = setting.limits
        prices = setting.stream.regimes[0].cost
        within = prices <= setting.limits.budget
        self._prices = prices
        self._is_allowed = within if self.affordable_only else np.ones_like(within)
        self._contexts: TaskContexts | None = None
        if self.algorithm == "linucb":
            self._contexts = TaskContexts(setting.stream.table, with_bias=False)
        bandit, ties, binarizer = np.random.SeedSequence(setting.seed).spawn(3)
        self._seed = int(bandit.generate_state(1)[0])
        self._ties = np.random.default_rng(ties)
        self._success = np.random.default_rng(binarizer)
        self._bandit: Any = None
        self._live: tuple[int, ...] = ()
        self._untried: deque[int] = deque()
        self._tried: set[int] = set()
        self._batch_size = LINUCB_BATCH if self.algorithm == "linucb" else 1
        self._batch: list[tuple[int, int, float]] = []

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Add arrivals; the models of highest expectation go live, untried ones first."""
        allowed = candidates[self._is_allowed[candidates]]
        if not allowed.size:
            allowed = candidates[[np.argmin(self._prices[candidates])]]
        if self._bandit is None:
            self._bandit = self._start(allowed.tolist())
        for arm in sorted(set(allowed.tolist()) - set(self._bandit.arms)):
            self._bandit.add_arm(arm)
        score = self._scores(allowed)
        self._live = best_ranked(allowed, score, self._limits.max_deployed, self._ties)
        self._untried = deque(arm for arm in self._live if arm not in self._tried)
        return self._live

    def _start(self, arms: list[int]) -> Any:
        from mabwiser.mab import MAB, LearningPolicy

        policies = {
            "ucb1": lambda: LearningPolicy.UCB1(alpha=1),
            "thompson": lambda: LearningPolicy.ThompsonSampling(self._is_success),
            "linucb": lambda: LearningPolicy.LinUCB(alpha=1.0, l2_lambda=1.0),
        }
        return MAB(arms, policies[self.algorithm](), seed=self._seed)

    def _is_success(self, arm: int, reward: float) -> bool:  # noqa: ARG002
        return bool(self._success.random() < reward)

    def _scores(self, candidates: Arms) -> Floats:
        """Return each candidate's expectation, over the tasks so far; infinite if never tried."""
        scores = np.full(candidates.size, np.inf)
        if not self._tried:
            return scores
        if self._contexts is None:
            expectations, shares = [self._bandit.predict_expectations()], np.ones(1)
        else:
            expectations = self._bandit.predict_expectations(self._contexts.of_task)
            shares = self._contexts.shares()
            expectations = expectations if isinstance(expectations, list) else [expectations]
        for slot, arm in enumerate(candidates.tolist()):
            if arm in self._tried:
                scores[slot] = shares @ [expectation[arm] for expectation in expectations]
        return scores

    def route(self, row: int) -> tuple[int, float, float]:
        """Decide on the next query."""
        if self._contexts is not None:
            self._contexts.count(row)
        if self._untried:
            self._untried.rotate(-1)
            return self._untried[-1], 1.0, UNKNOWN
        expectation = self._bandit.predict_expectations(*self._context(row))
        arm = max(self._live, key=expectation.__getitem__)
        return arm, UNKNOWN if self.algorithm == "thompson" else 1.0, UNKNOWN

    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:  # noqa: ARG002
        """Learn what `arm` brought on the query of that row; costs have no place in it."""
        self._batch.append((row, arm, reward))
        is_first = arm not in self._tried
        if is_first or len(self._batch) >= self._batch_size:
            self._fit()
        if is_first:
            self._tried.add(arm)
            if arm in self._untried:
                self._untried.remove(arm)

    def _fit(self) -> None:
        rows, arms, rewards = (list(column) for column in zip(*self._batch, strict=True))
        self._bandit.partial_fit(arms, rewards, *self._context(*rows))
        self._batch.clear()

    def _context(self, *rows: int) -> tuple[Floats, ...]:
        if self._contexts is None:
            return ()
        return (np.stack([self._contexts.of_row(row) for row in rows]),)


class Ucb1MabwiserPolicy(MabwiserPolicy):
    """UCB1."""

    name = "mabwiser-ucb1"
    algorithm = "ucb1"


class ThompsonMabwiserPolicy(MabwiserPolicy):
    """Thompson sampling."""

    name = "mabwiser-thompson"
    algorithm = "thompson"
    exempt = MappingProxyType(
        {
            **UNBOUND,
            "probability": "it draws from posteriors and does not tell with what probability",
            "frequency": "it does not tell its probabilities",
        }
    )


class LinUcbMabwiserPolicy(MabwiserPolicy):
    """LinUCB."""

    name = "mabwiser-linucb"
    algorithm = "linucb"


class AffordableUcb1MabwiserPolicy(Ucb1MabwiserPolicy):
    """The same over affordable models."""

    name = "mabwiser-ucb1-affordable"
    affordable_only = True


class AffordableThompsonMabwiserPolicy(ThompsonMabwiserPolicy):
    """The same over affordable models."""

    name = "mabwiser-thompson-affordable"
    affordable_only = True


class AffordableLinUcbMabwiserPolicy(LinUcbMabwiserPolicy):
    """The same over affordable models."""

    name = "mabwiser-linucb-affordable"
    affordable_only = True
