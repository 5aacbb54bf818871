"""Upper bounds for routing with context: oracles that know the means of each family or task.

They deploy what the stage oracle deploys, which knows no context, so that they show what context is
worth to routing alone. With contexts f of share w_f their mixture is the optimum of one LP:

    max  Σ_f w_f Σ_m μ_fm p_fm    s.t.  Σ_f w_f Σ_m c_fm p_fm <= b,   Σ_f w_f p_fm <= α_m,
                                        Σ_m p_fm = 1,   p_fm >= 0

Money and each model's share of the traffic are shared by all contexts, so that expensive models
serve where they bring most. With one context it is the routing LP.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stageroute._core import solve_routing_lp
from stageroute.checks import require
from stageroute.datasets import OutcomeTable
from stageroute.deployment.highs import maximise
from stageroute.errors import InvalidInputError
from stageroute.policies.base import Arms, Floats, Limits, Policy, Setting, Variants
from stageroute.policies.optimum import optimum
from stageroute.policies.ours.contexts import families

ORACLE: Final = 0x0AC1E
"""Tells an oracle's randomness from the stream's, whose seed is the same."""

ROOM: Final = 1e-3
"""Relative: by so much caps and budget are loosened where they leave no room."""


def context_means(
    table: OutcomeTable, labels: NDArray[np.str_]
) -> tuple[NDArray[np.intp], Floats, Floats, Floats]:
    """Return what a table says of each context, given the context of each row, shape (rows,).

    That is the number of each row's context, shape (rows,), the share of each context, shape (F,),
    and the weighted means of every model's reward and cost, USD, in each context, shape (F, N).
    """
    _, context = np.unique(labels, return_inverse=True)
    rows = np.full(table.num_rows, 1.0 / table.num_rows) if table.weights is None else table.weights
    share = np.bincount(context, weights=rows).astype(np.float64)

    def means(values: Floats) -> Floats:
        sums = [np.bincount(context, weights=rows * column) for column in values.T]
        # A context without weight is never drawn: whatever its means.
        return np.asarray(np.array(sums).T / np.maximum(share, np.finfo(np.float64).tiny)[:, None])

    return context.astype(np.intp), share, means(table.reward), means(table.cost)


class JointOptimum(NamedTuple):
    """The optimum of the joint LP.

    Its distribution over the models in each context, shape (F, M), its mean reward, and the duals:
    of the budget, reward per USD, and of the models' caps, shape (M,), reward.
    """

    probabilities: Floats
    reward: float
    budget_price: float
    cap_prices: Floats


def joint_optimum(
    weights: Floats, reward: Floats, cost: Floats, caps: Floats, budget: float
) -> JointOptimum:
    """Solve the LP of all contexts, given what `context_means` returns of them, but of no weight 0.

    `caps` are the models' largest shares of the traffic, the budget is in USD per query. They must
    leave room for a mixture that is the same in every context.
    """
    contexts, models = reward.shape
    require(caps.sum() > 1.0, "sum of the caps", caps.sum(), "must be above 1")
    least = cheapest_spend(weights @ cost, caps)
    require(least < budget, "cost of the cheapest mixture", least, "must be below the budget")
    # Variables w_f p_fm; costs in budgets.
    each = np.repeat(np.eye(contexts), models, axis=1)
    rows = np.vstack([each, cost.ravel() / budget, np.tile(np.eye(models), contexts)])
    most = np.concatenate([weights, [1.0], caps])
    least_of = np.concatenate([weights, np.full(1 + models, -np.inf)])
    served, prices = maximise(reward.ravel(), rows, least_of, most)
    shares = served.reshape(contexts, models)
    return JointOptimum(
        probabilities=shares / shares.sum(axis=1, keepdims=True),
        reward=float(reward.ravel() @ served),
        budget_price=float(prices[contexts]) / budget,
        cap_prices=prices[contexts + 1 :],
    )


def cheapest_spend(cost: Floats, caps: Floats) -> float:
    """Return what the cheapest mixture costs that is the same in every context, USD per query."""
    left, total = 1.0, 0.0
    for model in np.argsort(cost).tolist():
        share = min(left, float(caps[model]))
        left, total = left - share, total + share * float(cost[model])
    return total


class ContextOraclePolicy(Policy):
    """Knows the true means of every context, on the live set of the stage oracle."""

    is_contextual = True
    shares_budget: ClassVar[bool] = True
    exempt = MappingProxyType(
        {
            "outcomes": "it knows the means of every context, which it takes from the table",
            "caps": "they hold on average over the contexts that may come",
        }
    )

    def __init__(self, setting: Setting) -> None:
        stream = setting.stream
        if len(stream.regimes) > 1:
            raise InvalidInputError(
                f"policy {self.name!r}: the stream's means change at query "
                f"{stream.regimes[1].start}, and it knows those of the table alone"
            )
        self._table, self._limits = stream.table, setting.limits
        self._means = stream.regimes[0]
        self._context, *_ = context_means(self._table, self.labels(self._table))
        # Not the stream's own sequence: the draws would go with the queries.
        self._generator = np.random.default_rng([setting.seed, ORACLE])
        self._live: tuple[int, ...] = ()
        self._probabilities = self._cumulative = np.empty((0, 0))

    @staticmethod
    @abstractmethod
    def labels(table: OutcomeTable) -> NDArray[np.str_]:
        """Return the context of each row, shape (rows,)."""

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Deploy like the stage oracle; fix a mixture for every context."""
        live, _ = optimum(candidates, self._means.reward, self._means.cost, self._limits)
        mixtures = _mixtures(self._table, type(self).labels, live, self._limits, self.shares_budget)
        self._live, self._probabilities = live, mixtures
        self._cumulative = mixtures.cumsum(axis=1)
        return live

    def route(self, row: int) -> tuple[int, float, float]:
        """Draw from the mixture of the query's context."""
        context = self._context[row]
        draw = self._generator.random() * self._cumulative[context, -1]
        slot = int(np.searchsorted(self._cumulative[context], draw, side="right"))
        return self._live[slot], float(self._probabilities[context, slot]), 0.0

    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:
        """Learn nothing."""


class FamilyOraclePolicy(ContextOraclePolicy):
    """Knows the means of every family of tasks.

    Under the name ``…-own-budget`` every family keeps to the budget and the caps on its own.
    """

    name = "oracle-family"
    variants: ClassVar[Variants] = {"oracle-family-own-budget": {"shares_budget": False}}
    labels = staticmethod(families)


class TaskOraclePolicy(ContextOraclePolicy):
    """Knows the means of every task."""

    name = "oracle-task"

    @staticmethod
    def labels(table: OutcomeTable) -> NDArray[np.str_]:
        """Return the task of each row."""
        return table.required_task("routing by task")


@lru_cache(maxsize=256)
def _mixtures(
    table: OutcomeTable,
    labels: Callable[[OutcomeTable], NDArray[np.str_]],
    live: tuple[int, ...],
    limits: Limits,
    shares_budget: bool,  # noqa: FBT001
) -> Floats:
    """Distribution over the live models for each context; the same for all seeds of a table."""
    _, weights, reward, cost = context_means(table, labels(table))
    reward, cost = reward[:, live], cost[:, live]
    caps = limits.caps(table.num_models)[list(live)]
    if not shares_budget:
        rows = zip(reward, cost, strict=True)
        return np.array([solve_routing_lp(*row, caps, limits.budget).probabilities for row in rows])
    drawn = weights > 0
    mixtures = np.full(reward.shape, 1.0 / len(live))
    # Where money is too short, the LP gets what the cheapest mixture costs.
    caps *= max(1.0, (1.0 + ROOM) / caps.sum())
    budget = max(limits.budget, (1.0 + ROOM) * cheapest_spend(weights @ cost, caps))
    joint = joint_optimum(weights[drawn], reward[drawn], cost[drawn], caps, budget)
    mixtures[drawn] = joint.probabilities
    return mixtures
