"""What every policy of a comparison must keep to, and what it is made for."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stageroute._core import FACTS
from stageroute.checks import is_number, is_whole, require
from stageroute.config.confidence import Confidence
from stageroute.config.models import Model
from stageroute.config.settings import Drift
from stageroute.datasets.streams import Stream
from stageroute.errors import InvalidInputError
from stageroute.policies.priors import RewardPrior

__all__ = ["Arms", "Floats", "Limits", "Setting"]

Floats = NDArray[np.float64]
Arms = NDArray[np.intp]

PACING_BURST: Final = FACTS["pacing"]["burst"]
"""As `StageRouter` has it by default."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What every policy of a comparison must keep to, and how the learning ones learn.

    Parameters
    ----------
    budget : float
        Average USD per query.
    max_deployed : int
        How many models can be live at once.
    throughput_cap : float or tuple of float, default 0.5
        Largest share of each model; one number for all, or one for each in order of arrival.
    confidence : Confidence
        Bounds of the learning policies.
    pacing_horizon : float or None, default 500
        Pacing of StageRoute; see `StageRouter`.
    use_prices : bool, default False
        Whether StageRoute is told each model's mean cost beforehand, as its list price would.
    solver : {"highs", "native"}, default "highs"
        What solves the deployments; see `solve_deployment`.
    start_cost : float, default 0.0
        What making a model live costs each time, USD, those of the first stage included. Every
        policy pays it; StageRoute and the stage oracle also weigh it.
    start_stages : int, default 1
        Over how many stages StageRoute and the stage oracle spread what a start costs: how long
        they expect a model to stay live.
    reward_prior : RewardPrior, optional
        What StageRoute is told of each model's quality beforehand; nothing by default.
    drift : Drift
        What StageRoute does about a world that changes; nothing by default.
    """

    budget: float
    max_deployed: int = 4
    throughput_cap: float | tuple[float, ...] = 0.5
    confidence: Confidence = field(default_factory=Confidence)
    pacing_horizon: float | None = FACTS["pacing"]["horizon"]
    use_prices: bool = False
    solver: str = "highs"
    start_cost: float = 0.0
    start_stages: int = 1
    reward_prior: RewardPrior | None = None
    drift: Drift = field(default_factory=Drift)

    def __post_init__(self) -> None:
        ok = is_number(self.budget) and self.budget > 0
        require(ok, "budget", self.budget, "must be finite and above 0, in USD per query")
        ok = is_number(self.start_cost) and self.start_cost >= 0.0
        require(ok, "start_cost", self.start_cost, "must be finite and not negative, in USD")
        ok = is_whole(self.start_stages) and self.start_stages >= 1
        require(ok, "start_stages", self.start_stages, "must be a whole number, at least 1")

    def caps(self, num_models: int) -> Floats:
        """One cap for each model.

        Raises
        ------
        InvalidInputError
            If there are caps for another number of models.
        """
        caps = np.asarray(self.throughput_cap, dtype=np.float64)
        if caps.ndim and caps.size != num_models:
            raise InvalidInputError(
                f"throughput_cap has {caps.size} elements; it must be one number, "
                f"or {num_models}, one for each model"
            )
        return np.broadcast_to(caps, (num_models,)).copy()


@dataclass(frozen=True, eq=False, slots=True)
class Setting:
    """What a policy is made for.

    Learning policies read the names, the caps, the number of queries and, where the limits say so,
    mean costs and expected rewards; what they may not know is in the stream for the oracles.

    Parameters
    ----------
    stream : Stream
        The queries and the lives of the models; arms are columns of its table.
    limits : Limits
    num_stages : int
        K.
    seed : int
        Of the policy's own randomness.
    """

    stream: Stream
    limits: Limits
    num_stages: int
    seed: int

    @property
    def names(self) -> tuple[str, ...]:
        """Model names, in order of arrival."""
        return self.stream.table.models

    @property
    def num_models(self) -> int:
        """N."""
        return self.stream.table.num_models

    def caps(self) -> Floats:
        """One cap for each model, shape (N,)."""
        return self.limits.caps(self.num_models)

    def core(self) -> dict[str, Any]:
        """Return what kernels are told of it, by the names of their settings.

        A kernel takes what it needs and its own settings beside it.
        """
        models, limits, queries = self.models(), self.limits, self.stream.num_queries
        present = [models[arm] for arm in self.stream.candidates(0)]
        horizon = limits.pacing_horizon
        return {
            "throughput_cap": self.caps().tolist(),
            "priors": [model.core_prior() for model in models],
            "confidence": limits.confidence.resolved(limits.budget, present),
            "budget": limits.budget,
            "pacing": None if horizon is None else {"horizon": horizon, "burst": PACING_BURST},
            "horizon": queries,
            "stage_queries": queries / self.num_stages,
            "seed": self.seed,
        }

    def models(self) -> list[Model]:
        """Return the models as a learning policy may know them, in order of arrival."""
        unknown: list[float | None] = [None] * self.num_models
        prior, limits = self.limits.reward_prior, self.limits
        cost = self.stream.regimes[0].cost.tolist() if limits.use_prices else unknown
        reward = prior.expected_rewards(self.stream, self.seed).tolist() if prior else unknown
        return [
            Model(
                name,
                cap,
                expected_cost=cost[arm],
                expected_reward=reward[arm],
                expected_reward_weight=prior.weight if prior else 1,
                start_cost=limits.start_cost,
            )
            for arm, (name, cap) in enumerate(zip(self.names, self.caps().tolist(), strict=True))
        ]
