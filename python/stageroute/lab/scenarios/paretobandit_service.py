"""ParetoBandit in service, for `stageroute scenarios`."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from stageroute.config.settings import Drift
from stageroute.lab.scenarios.feedback_modes import Message
from stageroute.lab.scenarios.services import Arms, Service, ServiceSettings
from stageroute.policies.rivals.paretobandit import ParetoBandit

__all__ = ["ParetoBanditService"]


class ParetoBanditService(Service):
    """`ParetoBandit` with every model that has arrived: it has no cap on live models.

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
        self._bandit = ParetoBandit(
            settings.models,
            settings.mean_cost,
            budget=settings.limits.budget,
            seed=settings.seed,
            handles_drift=settings.drift != Drift(),
        )
        self._context = np.ones(1)
        self._logs: list[Any] = []

    def begin_stage(self, candidates: Arms) -> None:
        """Register models that have arrived."""
        self._bandit.offer(candidates.tolist())

    def route(self) -> int:
        """Decide on the next query."""
        arm, log = self._bandit.route(self._context)
        self._logs.append(log)
        return arm

    def deliver(self, messages: Sequence[Message]) -> None:
        """Pass each message on, as far as there is a call for it."""
        for message in messages:
            log = self._logs[message.query]
            if message.reward is not None and message.cost is not None:
                self._bandit.learn(log, message.reward, message.cost)
            elif message.reward is not None:
                self._bandit.router.update(
                    log.selected_model, self._context, message.reward, advance_time=False
                )
            else:
                self._bandit.pacer.observe(message.cost)

    def announce_price(self, arm: int, factor: float) -> None:
        """Update the model's prices."""
        self._bandit.announce_price(arm, factor)

    def decisions(self) -> dict[str, int]:
        """Return nothing: it does not classify decisions."""
        return {}

    def feedback(self) -> dict[str, int]:
        """Return nothing: it does not count feedback."""
        return {}

    def billed(self) -> None:
        """Return nothing: its pacer keeps a moving average, no sum."""
