"""LinUCB with a budget pacer."""

import math
from typing import ClassVar

import numpy as np

from stageroute._core import Kernel
from stageroute.datasets import OutcomeTable
from stageroute.policies.base import Arms, Floats, KernelPolicy, Setting
from stageroute.policies.baselines.knapsacks import LARGEST_BILL


class LinUcbPolicy(KernelPolicy):
    """LinUCB (Li, Chu, Langford & Schapire 2010, disjoint) less the priced cost of a query.

    Serves the live model of the highest `x·θ + α sqrt(xᵀ A⁻¹ x) - λ ĉ(x)`. Cost is a linear model
    of the same features around the list price, or around 0 where prices are unknown. The price
    follows what is billed by projected gradient steps, `λ b <- [λ b + η (c / b - 1)]⁺` (Agrawal &
    Devanur 2016). What makes it as strong as it can be here:

    - Rewards are centred at 0.5, so that ridge regression does not shrink them towards the worst,
      and with α = 1, of the size that Li et al. found best and cold starts are usually given, a
      new model is tried first. Sums of reward and interval are cut off at 1.
    - η = 1 / (G sqrt(T)), the step of online gradient descent, with G = 100: a query may cost some
      100 times b. A larger step makes the price wander, and the live set with it.
    - Caps: a model over its share of the stage so far is passed over. Money: when what is left just
      pays for the cheapest mixture, the cheapest model serves.
    - Deployment: models are taken one after the other, each for what it adds to the best value on
      the contexts asked about so far, at the stage's mean price.

    Features are the intercept alone.
    """

    name = "linucb"
    width: ClassVar[float] = 1.0

    def __init__(self, setting: Setting) -> None:
        features = self._features(setting.stream.table)
        # Rows of the same features are one context.
        _, self._examples, self._context = np.unique(
            features, axis=0, return_index=True, return_inverse=True
        )
        self._max_deployed = setting.limits.max_deployed
        step = 1.0 / (LARGEST_BILL * math.sqrt(setting.stream.num_queries))
        own = {"width": self.width, "step": step}
        self.kernel = Kernel("linucb", setting.core() | own, features)

    @staticmethod
    def _features(table: OutcomeTable) -> Floats:
        """Features of every row, shape (rows, d)."""
        return np.ones((table.num_rows, 1))

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Deploy, one after the other, what adds most on the contexts asked about so far."""
        values = np.array(self.kernel.values(self._examples.tolist()))
        values = values.reshape(self._examples.size, -1)[:, candidates]
        asked = np.bincount(self._context, weights=self.kernel.seen())
        weights = asked / asked.sum() if asked.any() else np.full(asked.size, 1 / asked.size)
        chosen = best_together(values, weights, min(self._max_deployed, candidates.size))
        live = tuple(sorted(int(candidates[slot]) for slot in chosen))
        self.kernel.publish(live)
        return live


class TaskLinUcbPolicy(LinUcbPolicy):
    """LinUCB on the intercept and one-hot tasks of the table; it needs a table with tasks.

    α = 0.5: every model is explored on every task, and what the intercept already knows of it
    narrows each of these intervals but little.
    """

    name = "linucb-task"
    width = 0.5

    @staticmethod
    def _features(table: OutcomeTable) -> Floats:
        labels = table.required_task("the policy 'linucb-task'")
        tasks, task = np.unique(labels, return_inverse=True)
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
