"""ParetoBandit (PyPI ``paretobandit``), through its public interface alone.

Settings, each after its own documentation or its own experiments:

- ``priors="none"``: "recommended when using entirely custom model portfolios".
- ``alpha = ExplorationRate.BALANCED`` (1.0): "moderate exploration for cold-start scenarios". Its
  defaults are tuned for rich contexts and warm starts; with them it settles on the first model
  that earns anything.
- ``forgetting_factor=1.0`` ("stationary"), and its default of 0.997 where drift is handled.
- ``BudgetPacer(target_avg_spend_usd=b)`` with its defaults, and ``cost_penalty=0.0``: what all its
  experiments with a pacer use.
- The context is the bias alone, or the query's task, one-hot, with the bias at the end, where its
  feature vectors have it (``FeatureService.bias_index``).
- Token prices put `TOKENS_PER_QUERY` tokens into a mean query: at the magnitude of list prices, and
  within the range of prices that it is set up for.
- The cost of a query is put into `RoutingLog.cost_usd` before its feedback, as its experiments do.
- A model is withdrawn and offered again by taking its entry out of `BanditRouter.registry` and
  putting it back: what `route` chooses from is the registry, and what was learnt is kept elsewhere.

It has no cap on live models and none on traffic.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final

from stageroute.policies.base import Floats
from stageroute.policies.rivals.installed import require_installed as require

__all__ = ["ParetoBandit", "require_installed"]

TOKENS_PER_QUERY: Final = 200.0


def require_installed() -> None:
    """Check that the package is there.

    Raises
    ------
    MissingExtraError
        If it is not.
    """
    require("pareto_bandit", "ParetoBandit")


class ParetoBandit:
    """`pareto_bandit.BanditRouter` with a `BudgetPacer`, by arm index.

    Parameters
    ----------
    models : sequence of str
        Names, in order of arrival.
    mean_cost : ndarray, shape (N,)
        USD per query; its token prices are taken from it.
    budget : float
        USD per query.
    seed : int
        Of its tie-breaking, its only randomness.
    dimension : int, default 1
        Of contexts, the bias included.
    handles_drift : bool, default False
        Whether it forgets, at its default rate.

    Attributes
    ----------
    pacer : BudgetPacer
    router : BanditRouter
        Once models have arrived.
    """

    def __init__(
        self,
        models: Sequence[str],
        mean_cost: Floats,
        *,
        budget: float,
        seed: int,
        dimension: int = 1,
        handles_drift: bool = False,
    ) -> None:
        require_installed()
        from pareto_bandit.budget_pacer import BudgetPacer

        # It warns of every relaxed price ceiling.
        logging.getLogger("pareto_bandit").setLevel(logging.ERROR)
        self._models = models
        self._arm = {name: arm for arm, name in enumerate(models)}
        self._prices = (mean_cost / TOKENS_PER_QUERY * 1e6).tolist()
        self._seed = seed
        self._dimension = dimension
        self._handles_drift = handles_drift
        self._withdrawn: dict[str, Any] = {}
        self.pacer: Any = BudgetPacer(target_avg_spend_usd=budget)
        self.router: Any = None

    def _start(self, arms: Sequence[int]) -> None:
        from pareto_bandit import BanditRouter
        from pareto_bandit.config import BEST_K3_HPARAMS
        from pareto_bandit.feature_service import FeatureService
        from pareto_bandit.types import ExplorationRate

        self.router = BanditRouter.create(
            model_registry={self._models[arm]: self._price(arm) for arm in arms},
            feature_service=FeatureService.for_precomputed(self._dimension),
            priors="none",
            alpha=ExplorationRate.BALANCED,
            forgetting_factor=BEST_K3_HPARAMS["forgetting_factor"] if self._handles_drift else 1.0,
            cost_penalty=0.0,
            budget_pacer=self.pacer,
            bandit_seed=self._seed,
        )

    def _price(self, arm: int) -> dict[str, float]:
        return {
            "input_cost_per_m": self._prices[arm],
            "output_cost_per_m": self._prices[arm],
        }

    def offer(self, arms: Sequence[int]) -> None:
        """Let it route to these models and no others; register those that are new."""
        if self.router is None:
            self._start(arms)
        registry = self.router.registry
        wanted = [self._models[arm] for arm in arms]
        for name in [name for name in registry if name not in wanted]:
            self._withdrawn[name] = registry.pop(name)
        for arm, name in zip(arms, wanted, strict=True):
            if name in self._withdrawn:
                registry[name] = self._withdrawn.pop(name)
            elif name not in registry:
                self.router.register_model(name, **self._price(arm))

    def route(self, context: Floats) -> tuple[int, Any]:
        """Decide on a query with that context; return the arm and its `RoutingLog`."""
        name, log = self.router.route(context)
        return self._arm[name], log

    def ranking(self, candidates: Sequence[int], length: int, context: Floats) -> list[int]:
        """Return its own ranking: whom it routes to, and whom if that model were not there.

        These decisions are never answered; without forgetting they change nothing that it learns.
        """
        left, ranking = list(candidates), []
        for _ in range(min(length, len(left))):
            self.offer(left)
            arm, _ = self.route(context)
            left.remove(arm)
            ranking.append(arm)
        return ranking

    def learn(self, log: Any, reward: float, cost: float) -> None:
        """Tell the outcome of a decision."""
        log.cost_usd = cost
        self.router.process_feedback(log.request_id, reward=reward)

    def announce_price(self, arm: int, factor: float) -> None:
        """Update a model's prices, if it is offered already."""
        self._prices[arm] *= factor
        if self._models[arm] in self.router.registry:
            # A model registered at run time keeps its old ceiling unless this field changes too.
            blended = {"cost_per_1m_tokens": self._prices[arm]}
            self.router.update_model_pricing(self._models[arm], **self._price(arm), **blended)
