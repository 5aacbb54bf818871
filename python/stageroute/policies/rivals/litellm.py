"""LiteLLM's router (PyPI ``litellm``) in the comparison, through `litellm.Router`, offline.

``docs/rivals.md`` says why it is set so. A table knows costs, not tokens: a model is priced so that
its mean query uses `USUAL_TOKENS`. What was counted in earlier stages is flushed at a boundary, as
its minute would long be over; else a newcomer would get all traffic until it has caught up.
"""

import asyncio
import logging
import os
import random
import weakref
from abc import abstractmethod
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, ClassVar, Final

import numpy as np

from stageroute.checks import import_extra
from stageroute.policies.base import USUAL_TOKENS, Arms, Floats, Policy, Setting
from stageroute.policies.rivals.adapting import UNBOUND, UNKNOWN, best_ranked

GROUP: Final = "fleet"
"""The one model name that all deployments share, so that they are balanced."""


class LitellmPolicy(Policy):
    """`litellm.Router` whose model list is the live set; `strategy` is its name of how it routes.

    Raises
    ------
    MissingExtraError
        If LiteLLM is not installed.
    """

    strategy: ClassVar[str]
    exempt = UNBOUND

    def __init__(self, setting: Setting) -> None:
        # Read when the package is imported; they keep it offline.
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
        import_extra("litellm", "the comparison with LiteLLM", "rivals")
        for logger in ("LiteLLM", "LiteLLM Router"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        self._setting = setting
        self._price = setting.stream.regimes[0].cost / USUAL_TOKENS
        self._caps = setting.caps()
        set_seed, draw_seed = np.random.SeedSequence(setting.seed).generate_state(2, np.uint64)
        self._ties = np.random.default_rng(set_seed)
        self._draw_seed = int(draw_seed)
        self._live: tuple[int, ...] = ()
        self._router: Any = None
        self._loop: Any = None

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Let the cheapest models go live, or random ones where it does not rank them."""
        most = self._setting.limits.max_deployed
        self._live = best_ranked(candidates, self._scores(candidates), most, self._ties)
        models = [self._deployment(arm) for arm in self._live]
        if self._router is None:
            self._start(models)
        else:
            self._router.flush_cache()  # The minute of the last query is long over.
            self._router.set_model_list(models)
        return self._live

    def _scores(self, candidates: Arms) -> Floats:
        return np.zeros(candidates.size)

    def _deployment(self, arm: int) -> dict[str, Any]:
        return {
            "model_name": GROUP,
            "litellm_params": {
                "model": _litellm_name(self._setting.names[arm]),
                "api_key": "none",
                "input_cost_per_token": float(self._price[arm]),
                "output_cost_per_token": float(self._price[arm]),
                "weight": float(self._caps[arm]),
            },
            "model_info": {"id": str(arm)},
        }

    def _start(self, models: list[dict[str, Any]]) -> None:
        from litellm import Router

        async def make() -> Any:
            return Router(model_list=models, routing_strategy=self.strategy)

        # The strategy starts a task of its own: it needs a loop to belong to.
        runner = asyncio.Runner()
        self._router = runner.run(make())
        self._loop = runner.get_loop()
        weakref.finalize(self, _close, self._router, runner)
        random.seed(self._draw_seed)

    def route(self, row: int) -> tuple[int, float, float]:  # noqa: ARG002
        """Decide on the next query."""
        arm = int(self._choose()["model_info"]["id"])
        return arm, self._probability(arm), UNKNOWN

    def _choose(self) -> Any:
        return self._router.get_available_deployment(GROUP)

    @abstractmethod
    def _probability(self, arm: int) -> float: ...

    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:
        """Learn nothing."""


class ShuffleLitellmPolicy(LitellmPolicy):
    """Random draws in proportion to weights."""

    strategy = "simple-shuffle"

    def _probability(self, arm: int) -> float:
        return float(self._caps[arm] / self._caps[list(self._live)].sum())


class CostLitellmPolicy(LitellmPolicy):
    """The cheapest model."""

    strategy = "cost-based-routing"

    def _scores(self, candidates: Arms) -> Floats:
        return -self._price[candidates]

    def _choose(self) -> Any:
        return self._loop.run_until_complete(self._choose_async())

    async def _choose_async(self) -> Any:
        chosen = await self._router.select(GROUP, request_kwargs={})
        await asyncio.sleep(0)  # It leaves a task behind, which ends here.
        return chosen

    def _probability(self, arm: int) -> float:  # noqa: ARG002
        return 1.0


class UsageLitellmPolicy(LitellmPolicy):
    """The model with the fewest tokens in the current minute."""

    strategy = "usage-based-routing-v2"
    exempt = MappingProxyType(
        {
            **UNBOUND,
            "probability": "ties are broken at random, which it does not tell",
            "frequency": "it does not tell its probabilities",
            "repeatable": "its minutes are those of the clock on the wall",
        }
    )

    def _probability(self, arm: int) -> float:  # noqa: ARG002
        return UNKNOWN

    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:  # noqa: ARG002
        """Report the tokens that a query used."""
        price = float(self._price[arm])
        usage = {
            "model_group": GROUP,
            "model_id": str(arm),
            "total_tokens": round(cost / price) if price else int(USUAL_TOKENS),
            "hidden_params": {"litellm_model_name": _litellm_name(self._setting.names[arm])},
        }
        now = datetime.now(UTC)
        strategy = self._router.lowesttpm_logger_v2
        strategy.log_success_event({"standard_logging_object": usage}, None, now, now)


def _litellm_name(model: str) -> str:
    """Any model, behind an interface like OpenAI's."""
    return f"openai/{model}"


def _close(router: Any, runner: asyncio.Runner) -> None:
    router.retire()
    runner.close()
