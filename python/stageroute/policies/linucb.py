"""LinUCB with a budget pacer."""

import math
from typing import ClassVar

import numpy as np

from stageroute._core import LinUcb
from stageroute.datasets import OutcomeTable
from stageroute.errors import InvalidInputError
from stageroute.policies.base import Arms, Floats, KernelPolicy, Setting

__all__ = ["LinUcbPolicy", "TaskLinUcbPolicy"]


class LinUcbPolicy(KernelPolicy):
    name = "linucb"
    width: ClassVar[float] = 0.5
    factor: ClassVar[float] = 1.0

    def __init__(self, setting: Setting) -> None:
        limits = setting.limits
        features = self._features(setting.stream.table)
        # Rows of the same features are one context.
        _, self._examples, self._context = np.unique(
            features, axis=0, return_index=True, return_inverse=True
        )
        self._max_deployed = limits.max_deployed
        self.kernel = self._linucb = LinUcb(
            self.width,
            self.factor / math.sqrt(setting.stream.num_queries),
            features,
            setting.caps(),
            [model.core_prior() for model in setting.models()],
            limits.budget,
        )

    @staticmethod
    def _features(table: OutcomeTable) -> Floats:
        """Features of every row, shape (rows, d)."""
        return np.ones((table.num_rows, 1))

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Deploy one after the other the candidate that adds most to the best value on what was
        asked so far.
        """
        values = np.array(self._linucb.values(self._examples.tolist()))
        values = values.reshape(self._examples.size, -1)[:, candidates]
        asked = np.bincount(self._context, weights=self._linucb.seen())
        weights = asked / asked.sum() if asked.any() else np.full(asked.size, 1 / asked.size)
        chosen = best_together(values, weights, min(self._max_deployed, candidates.size))
        live = tuple(sorted(int(candidates[slot]) for slot in chosen))
        self._linucb.publish(live)
        return live


class TaskLinUcbPolicy(LinUcbPolicy):
    name = "linucb-task"

    @staticmethod
    def _features(table: OutcomeTable) -> Floats:
        if table.task is None:
            raise InvalidInputError(
                f"table {table.name!r} has no tasks, which the policy 'linucb-task' needs; "
                "give the table a task for each row, or use 'linucb'"
            )
        tasks, task = np.unique(table.task, return_inverse=True)
        return np.hstack([np.ones((table.num_rows, 1)), np.eye(tasks.size)[task]])


def best_together(values: Floats, weights: Floats, size: int) -> list[int]:
    """Choose columns greedily for the weighted mean of their maximum over the rows.

    Ties towards the column of the higher mean, then the first. Greedy choice is within 1 - 1/e of
    the best (Nemhauser, Wolsey & Fisher 1978).
    """
    mean = weights @ values
    chosen: list[int] = []
    best = np.full(weights.size, values.min())
    for _ in range(size):
        gain = weights @ np.maximum(values, best[:, None])
        gain[chosen] = -np.inf
        chosen.append(int(np.lexsort((-mean, -gain.round(12)))[0]))
        best = np.maximum(best, values[:, chosen[-1]])
    return chosen
