"""StageRoute that routes by what it knows of each query; deployment as ever."""

from abc import abstractmethod
from typing import ClassVar

from stageroute._core import Kernel
from stageroute.datasets import OutcomeTable
from stageroute.policies.base import Floats, Setting, Variants
from stageroute.policies.optimum import OptimumPolicy
from stageroute.policies.ours.contexts import family_features, prompt_features, task_features


class ContextualPolicy(OptimumPolicy):
    """StageRoute whose routing has estimates for each query.

    Every model has a ridge regression of reward and cost on the features of a query, of which the
    first is the intercept: estimates are shrunk to the pooled ones while there are few. Routing
    adds `width` standard errors to the reward; forced visits are those of `Limits.confidence`.

    Deployment is the same as without context: the MIP on one pair of bounds for each model, from
    all that it has served. A router with context gives a model the queries that suit it, which
    makes it look better than it is; on the surrogate that did no harm.

    Money is shared by prices that all queries have in common (`SharedPrices` in the core): a query
    goes to the live model of the highest μ(x) - λ c(x) - ν. So money moves from queries that any
    model answers to those that only expensive ones do, and the throughput cap holds for a model's
    share of a stage's queries, which is what it limits, not for each query's distribution. Under
    the name ``…-own-budget`` each query solves the routing LP with the paced budget and the caps on
    its own.
    """

    is_contextual = True

    width: ClassVar[float] = 0.4
    """Bernstein's 2 sqrt(γ v), at its default γ = 0.15 and the largest variance, 1/4."""

    shares_prices: ClassVar[bool] = True
    money_step: ClassVar[float] = 0.03
    share_step: ClassVar[float] = 0.002

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting.limits)
        core = setting.core()
        prices = {
            "money_step": self.money_step,
            "share_step": self.share_step,
            "stage_queries": core["stage_queries"],
        }
        own = {
            "sharing": {"prices": prices} if self.shares_prices else "own",
            "width": self.width,
        }
        self.kernel = Kernel("context", core | own, self._features(setting.stream.table))

    @staticmethod
    @abstractmethod
    def _features(table: OutcomeTable) -> Floats:
        """Features of every row, shape (rows, d), the first of them 1."""


class FamilyPolicy(ContextualPolicy):
    """Knows each query's family of tasks; it needs a table with tasks."""

    name = "stageroute-family"
    variants: ClassVar[Variants] = {"stageroute-family-own-budget": {"shares_prices": False}}
    _features = staticmethod(family_features)


class TaskPolicy(ContextualPolicy):
    """Knows each query's family and task: tasks are shrunk to families, these to the pooled."""

    name = "stageroute-task"
    variants: ClassVar[Variants] = {"stageroute-task-own-budget": {"shares_prices": False}}
    _features = staticmethod(task_features)


class LinearPolicy(ContextualPolicy):
    """Knows each query's prompt; it needs a table with prompts."""

    name = "stageroute-linear"
    variants: ClassVar[Variants] = {"stageroute-linear-own-budget": {"shares_prices": False}}
    _features = staticmethod(prompt_features)
