"""MABWiser (PyPI ``mabwiser``) in the comparison, through `mabwiser.mab.MAB` alone.

``docs/rivals.md`` says why it is set so. It knows no costs, and ignores the budget unless it gets
`affordable_only` models: those whose list price is within it, the cheapest one if none is.
"""

from collections import deque
from types import MappingProxyType
from typing import Any, ClassVar, Final

import numpy as np

from stageroute.checks import import_extra
from stageroute.policies.base import Arms, Floats, Policy, Setting
from stageroute.policies.rivals.adapting import UNBOUND, UNKNOWN, TaskContexts, best_ranked

LINUCB_BATCH: Final = 20
"""Rewards between two updates of LinUCB, of 36,497 in an episode; one takes 1 to 3 ms."""


class MabwiserPolicy(Policy):
    """`mabwiser.mab.MAB` over all models that have arrived; the live ones serve.

    A live model from which no reward has come yet is served before any other, in turn: UCB1 never
    tries an arm without data.

    Raises
    ------
    MissingExtraError
        If MABWiser is not installed.
    """

    algorithm: ClassVar[str]
    affordable_only: ClassVar[bool] = False
    exempt = UNBOUND

    def __init__(self, setting: Setting) -> None:
        import_extra("mabwiser.mab", "the comparison with MABWiser", "rivals")
        self._max_deployed = setting.limits.max_deployed
        self._prices = setting.stream.regimes[0].cost
        self._most = setting.limits.budget if self.affordable_only else np.inf
        self._contexts: TaskContexts | None = None
        self._batch_size = 1
        if self.algorithm == "linucb":
            self._contexts = TaskContexts(setting.stream.table, with_bias=False)
            self._batch_size = LINUCB_BATCH
        bandit, ties, binarizer = np.random.SeedSequence(setting.seed).spawn(3)
        self._seed = int(bandit.generate_state(1)[0])
        self._ties = np.random.default_rng(ties)
        self._success = np.random.default_rng(binarizer)
        self._bandit: Any = None
        self._live: tuple[int, ...] = ()
        self._untried: deque[int] = deque()
        self._tried: set[int] = set()
        self._batch: list[tuple[int, int, float]] = []

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Add arrivals; the models of highest expectation go live, untried ones first."""
        allowed = candidates[self._prices[candidates] <= self._most]
        if not allowed.size:
            allowed = candidates[[np.argmin(self._prices[candidates])]]
        if self._bandit is None:
            self._bandit = self._start(allowed.tolist())
        for arm in sorted(set(allowed.tolist()) - set(self._bandit.arms)):
            self._bandit.add_arm(arm)
        self._live = best_ranked(allowed, self._scores(allowed), self._max_deployed, self._ties)
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
        # Agrawal & Goyal (2012), algorithm 2: a threshold would change the means.
        return bool(self._success.random() < reward)

    def _scores(self, candidates: Arms) -> Floats:
        """Return each candidate's expectation, over the tasks so far; infinite if never tried."""
        scores = np.full(candidates.size, np.inf)
        if not self._tried:
            return scores
        of_task: tuple[Floats, ...] = ()
        shares = np.ones(1)
        if self._contexts is not None:
            of_task, shares = (self._contexts.of_task,), self._contexts.shares()
        found = self._bandit.predict_expectations(*of_task)
        expectations = found if isinstance(found, list) else [found]
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


class ThompsonMabwiserPolicy(MabwiserPolicy):
    """Its probabilities are not told."""

    algorithm = "thompson"
    exempt = MappingProxyType(
        {
            **UNBOUND,
            "probability": "it draws from posteriors and does not tell with what probability",
            "frequency": "it does not tell its probabilities",
        }
    )
