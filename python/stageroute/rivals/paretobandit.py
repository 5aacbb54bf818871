"""ParetoBandit (PyPI ``paretobandit``) in service, through its public interface alone.

Settings, each after its own documentation or its own experiments:

- ``priors="none"``: "recommended when using entirely custom model portfolios".
- ``alpha = ExplorationRate.BALANCED`` (1.0): "moderate exploration for cold-start scenarios". Its
  defaults are tuned for rich contexts and warm starts; with them it settles on the first model
  that earns anything.
- ``forgetting_factor=1.0`` ("stationary"), and its default of 0.997 where drift is handled.
- ``BudgetPacer(target_avg_spend_usd=b)`` with its defaults, and ``cost_penalty=0.0``: what all its
  experiments with a pacer use.
- The context is the bias alone: nobody in the comparison knows what a query is about.
- Token prices put `TOKENS_PER_QUERY` tokens into a mean query: at the magnitude of list prices, and
  within the range of prices that it is set up for.
- The cost of a query is put into `RoutingLog.cost_usd` before its feedback, as its experiments do.

It has no cap on live models and none on traffic, so that it may use every model that has arrived.
"""

import logging
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from stageroute.errors import MissingExtraError
from stageroute.feedback_modes import Message
from stageroute.services import Arms, Service, ServiceSettings
from stageroute.settings import Drift

__all__ = ["ParetoBanditService", "require_installed"]

TOKENS_PER_QUERY: Final = 200.0


def require_installed() -> None:
    """Check that the package is there.

    Raises
    ------
    MissingExtraError
        If it is not.
    """
    try:
        import pareto_bandit  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "the comparison with ParetoBandit needs it: pip install 'stageroute[rivals]'"
        ) from error


class ParetoBanditService(Service):
    """`pareto_bandit.BanditRouter` with a `BudgetPacer`.

    Its one call for feedback, `process_feedback`, takes the reward and bills the cost. Where the
    two come apart, a reward goes to `BanditRouter.update` and a cost to `BudgetPacer.observe`, of
    which that call is made.
    """

    cannot = MappingProxyType(
        {
            "no_rewards_known_quality": "its priors come from a file of labelled prompts.",
        }
    )
    remarks = MappingProxyType(
        {
            "twice_shuffled": "its calls for a reward or a cost alone name no decision, so that "
            "copies cannot be told: every one counts.",
        }
    )

    def __init__(self, settings: ServiceSettings) -> None:
        require_installed()
        # It warns of every relaxed price ceiling.
        logging.getLogger("pareto_bandit").setLevel(logging.ERROR)
        self._settings = settings
        self._models = settings.models
        self._arm = {name: arm for arm, name in enumerate(self._models)}
        self._prices = (settings.mean_cost / TOKENS_PER_QUERY * 1e6).tolist()
        self._context = np.ones(1)
        self._router: Any = None
        self._pacer: Any = None
        self._logs: list[Any] = []

    def _start(self, arms: Sequence[int]) -> None:
        from pareto_bandit import BanditRouter
        from pareto_bandit.budget_pacer import BudgetPacer
        from pareto_bandit.config import BEST_K3_HPARAMS
        from pareto_bandit.feature_service import FeatureService
        from pareto_bandit.types import ExplorationRate

        handles_drift = self._settings.drift != Drift()
        self._pacer = BudgetPacer(target_avg_spend_usd=self._settings.limits.budget)
        self._router = BanditRouter.create(
            model_registry={self._models[arm]: self._price(arm) for arm in arms},
            feature_service=FeatureService.for_precomputed(self._context.size),
            priors="none",
            alpha=ExplorationRate.BALANCED,
            forgetting_factor=BEST_K3_HPARAMS["forgetting_factor"] if handles_drift else 1.0,
            cost_penalty=0.0,
            budget_pacer=self._pacer,
            bandit_seed=self._settings.seed,
        )

    def _price(self, arm: int) -> dict[str, float]:
        return {
            "input_cost_per_m": self._prices[arm],
            "output_cost_per_m": self._prices[arm],
        }

    def begin_stage(self, candidates: Arms) -> None:
        """Register models that have arrived."""
        if self._router is None:
            self._start(candidates.tolist())
        for arm in candidates.tolist():
            if self._models[arm] not in self._router.registry:
                self._router.register_model(self._models[arm], **self._price(arm))

    def route(self) -> int:
        """Decide on the next query."""
        name, log = self._router.route(self._context)
        self._logs.append(log)
        return self._arm[name]

    def deliver(self, messages: Sequence[Message]) -> None:
        """Pass each message on, as far as there is a call for it."""
        for message in messages:
            log = self._logs[message.query]
            if message.reward is not None and message.cost is not None:
                log.cost_usd = message.cost
                self._router.process_feedback(log.request_id, reward=message.reward)
            elif message.reward is not None:
                self._router.update(
                    log.selected_model, self._context, message.reward, advance_time=False
                )
            else:
                self._pacer.observe(message.cost)

    def announce_price(self, arm: int, factor: float) -> None:
        """Update the model's prices."""
        self._prices[arm] *= factor
        if self._models[arm] in self._router.registry:
            # A model registered at run time keeps its old ceiling unless this field changes too.
            blended = {"cost_per_1m_tokens": self._prices[arm]}
            self._router.update_model_pricing(self._models[arm], **self._price(arm), **blended)

    def decisions(self) -> dict[str, int]:
        """Return nothing: it does not classify decisions."""
        return {}

    def feedback(self) -> dict[str, int]:
        """Return nothing: it does not count feedback."""
        return {}

    def billed(self) -> None:
        """Return nothing: its pacer keeps a moving average, no sum."""
