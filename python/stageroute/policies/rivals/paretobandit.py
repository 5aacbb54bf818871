"""ParetoBandit (PyPI ``paretobandit``) in the comparison, through its public interface alone.

``docs/rivals.md`` says why it is set so. A model is withdrawn and offered again by taking its entry
out of `BanditRouter.registry` and putting it back: what `route` chooses from is the registry, and
what was learnt is kept elsewhere.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, Final

from stageroute.checks import import_extra
from stageroute.config.settings import Drift
from stageroute.policies.base import Arms, Floats, Message, Policy, Setting
from stageroute.policies.rivals.adapting import UNBOUND, UNKNOWN, TaskContexts

TOKENS_PER_QUERY: Final = 200.0
"""Of a mean query: within the range of prices that it is set up for."""


class ParetoBanditPolicy(Policy):
    """`pareto_bandit.BanditRouter` with a `BudgetPacer`, offered the live models.

    Its context is a constant, or the query's task where it `knows_task`. It forgets where the
    limits handle drift. Its one call for feedback takes the reward and bills the cost. Where the
    two come apart, a reward goes to `BanditRouter.update` and a cost to `BudgetPacer.observe`, of
    which that call is made; these name no decision, so that every copy counts.

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
        import_extra("pareto_bandit", "the comparison with ParetoBandit", "rivals")
        from pareto_bandit.budget_pacer import BudgetPacer

        # It warns of every relaxed price ceiling.
        logging.getLogger("pareto_bandit").setLevel(logging.ERROR)
        table = setting.stream.table
        known = table if self.knows_task else replace(table, task=None)
        self._contexts = TaskContexts(known, with_bias=True)
        self._setting = setting
        self._arm = {name: arm for arm, name in enumerate(setting.names)}
        self._prices = (setting.stream.regimes[0].cost / TOKENS_PER_QUERY * 1e6).tolist()
        self._withdrawn: dict[str, Any] = {}
        self.pacer: Any = BudgetPacer(target_avg_spend_usd=setting.limits.budget)
        self.router: Any = None  # once models have arrived
        self._logs: list[tuple[Any, Floats]] = []
        self._answered = 0

    def _start(self, arms: Sequence[int]) -> None:
        from pareto_bandit import BanditRouter
        from pareto_bandit.config import BEST_K3_HPARAMS
        from pareto_bandit.feature_service import FeatureService
        from pareto_bandit.types import ExplorationRate

        handles_drift = self._setting.limits.drift != Drift()
        self.router = BanditRouter.create(
            model_registry={self._setting.names[arm]: self._price(arm) for arm in arms},
            feature_service=FeatureService.for_precomputed(self._contexts.of_task.shape[1]),
            priors="none",
            alpha=ExplorationRate.BALANCED,
            forgetting_factor=BEST_K3_HPARAMS["forgetting_factor"] if handles_drift else 1.0,
            cost_penalty=0.0,
            budget_pacer=self.pacer,
            bandit_seed=self._setting.seed,
        )

    def _price(self, arm: int) -> dict[str, float]:
        return dict.fromkeys(("input_cost_per_m", "output_cost_per_m"), self._prices[arm])

    def offer(self, arms: Sequence[int]) -> None:
        """Let it route to these models and no others; register those that are new."""
        if self.router is None:
            self._start(arms)
        registry = self.router.registry
        wanted = [self._setting.names[arm] for arm in arms]
        for name in [name for name in registry if name not in wanted]:
            self._withdrawn[name] = registry.pop(name)
        for arm, name in zip(arms, wanted, strict=True):
            if name in self._withdrawn:
                registry[name] = self._withdrawn.pop(name)
            elif name not in registry:
                self.router.register_model(name, **self._price(arm))

    def ranking(self, candidates: Sequence[int], length: int) -> list[int]:
        """Return its own ranking: whom it routes the average query to, and whom if it must not.

        At the pacer's price of the moment, prices and untried models included. These decisions are
        never answered; without forgetting they change nothing that it learns.
        """
        average: Floats = self._contexts.shares() @ self._contexts.of_task
        left, ranking = list(candidates), []
        for _ in range(min(length, len(left))):
            self.offer(left)
            name, _ = self.router.route(average)
            left.remove(self._arm[name])
            ranking.append(self._arm[name])
        return ranking

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Offer the models that it ranks highest."""
        ranking = self.ranking(candidates.tolist(), self._setting.limits.max_deployed)
        live = tuple(sorted(ranking))
        self.offer(live)
        return live

    def route(self, row: int) -> tuple[int, float, float]:
        """Decide on the next query."""
        self._contexts.count(row)
        context = self._contexts.of_row(row)
        name, log = self.router.route(context)
        self._logs.append((log, context))
        return self._arm[name], 1.0, UNKNOWN

    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:
        """Tell the outcome of the oldest decision that was not answered."""
        self.hear(Message(self._answered, row, arm, reward, cost))
        self._answered += 1

    def hear(self, message: Message) -> None:
        """Pass a message on."""
        log, context = self._logs[message.query]
        if message.reward is not None and message.cost is not None:
            log.cost_usd = message.cost
            self.router.process_feedback(log.request_id, reward=message.reward)
        elif message.reward is not None:
            self.router.update(log.selected_model, context, message.reward, advance_time=False)
        else:
            self.pacer.observe(message.cost)

    def announce_price(self, arm: int, factor: float) -> None:
        """Update a model's prices, if it is offered already."""
        self._prices[arm] *= factor
        name = self._setting.names[arm]
        if name in self.router.registry:
            # A model registered at run time keeps its old ceiling unless this field changes too.
            blended = {"cost_per_1m_tokens": self._prices[arm]}
            self.router.update_model_pricing(name, **self._price(arm), **blended)


class UncappedParetoBanditPolicy(ParetoBanditPolicy):
    """The same, offered every model that has arrived: it has no cap on live models."""

    exempt = MappingProxyType(
        {**ParetoBanditPolicy.exempt, "max_deployed": "it is offered all models that have arrived"}
    )

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Offer all models."""
        self.offer(candidates.tolist())
        return tuple(candidates.tolist())
