"""What every policy of a comparison is, what it must keep to, and what it is made for."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stageroute._core import FACTS, Kernel
from stageroute.checks import check_fields, number_in, whole_in
from stageroute.config.confidence import Confidence
from stageroute.config.models import Model
from stageroute.config.settings import Drift
from stageroute.datasets.streams import Stream
from stageroute.decision_log.batch import STATUSES
from stageroute.errors import InvalidInputError
from stageroute.policies.priors import RewardPrior

Floats = NDArray[np.float64]
Arms = NDArray[np.intp]
Variants = Mapping[str, Mapping[str, Any]]

USUAL_TOKENS: Final = 1_000.0
"""A table knows costs, not tokens. Where prices are announced, a model is priced so that its mean
query uses this many tokens, and each query as many as its cost says."""

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

    budget: Annotated[float, number_in("(0, inf)", "USD per query")]
    max_deployed: int = 4
    throughput_cap: float | tuple[float, ...] = 0.5
    confidence: Confidence = field(default_factory=Confidence)
    pacing_horizon: float | None = FACTS["pacing"]["horizon"]
    use_prices: bool = False
    solver: str = "highs"
    start_cost: Annotated[float, number_in("[0, inf)", "USD")] = 0.0
    start_stages: Annotated[int, whole_in("[1, inf)")] = 1
    reward_prior: RewardPrior | None = None
    drift: Drift = field(default_factory=Drift)

    def __post_init__(self) -> None:
        check_fields(self)

    def caps(self, num_models: int) -> Floats:
        """One cap for each model; caps for another number of models are refused."""
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
        """Return what kernels are told of it; each takes what it needs, and its own settings."""
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


class Message(NamedTuple):
    """What becomes known of a decision at one time."""

    query: int
    """Which one, from 0."""
    row: int
    arm: int
    reward: float | None
    cost: float | None
    """USD; a message says at least one of the two."""


class Policy(ABC):
    """Deploys at stage boundaries, routes and learns between them. Arms are columns of the table.

    Attributes
    ----------
    name : str
        How reports call it.
    kernel : object or None
        The native object of `stageroute._core` that routes and learns, so that a stage can be
        replayed in one call; None for a policy written in Python, which is replayed query by query.
    exempt : mapping of str to str
        Rules of `stageroute.policies.RULES` that the policy does not keep, each with the reason.
    is_contextual : bool
        Whether it needs to see more of a query than others do; it is one of `CONTEXTUAL` then.
    variants : mapping of str to mapping
        Further names under which it is registered, each with the attributes that differ.
    """

    name: str
    kernel: Any = None
    exempt: ClassVar[Mapping[str, str]] = MappingProxyType({})
    is_contextual: ClassVar[bool] = False
    variants: ClassVar[Variants] = MappingProxyType({})

    @abstractmethod
    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Deploy from the candidates (arrived and not retired, ascending); return the live arms."""

    @abstractmethod
    def route(self, row: int) -> tuple[int, float, float]:
        """Decide on a query, of that row of the table: arm, its probability, budget price."""

    @abstractmethod
    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:
        """Learn what `arm` brought on the query of that row, in the order of the decisions."""

    def hear(self, message: Message) -> None:
        """Learn what becomes known of a decision; `InvalidInputError` if it cannot be told so.

        For policies that can be told late, in parts, more than once and out of order; others are
        told reward and cost at once, in the order of the decisions.
        """
        _, row, arm, reward, cost = message
        if reward is None or cost is None:
            raise InvalidInputError(
                f"policy = {self.name!r}: takes reward and cost together; choose a workload whose "
                "feedback comes so, or another policy"
            )
        self.observe(row, arm, reward, cost)

    def announce_price(self, arm: int, factor: float) -> None:  # noqa: B027  # most do nothing
        """Hear that a model's price is multiplied by `factor` from the next query on."""

    def feedback_counts(self) -> dict[str, float]:
        """Return what became of feedback, by the policy's own books; empty if it keeps none."""
        return {}

    def counts(self) -> dict[str, int]:
        """How many LPs ended in each status; empty for a policy without an LP."""
        return {}


class KernelPolicy(Policy):
    """A policy whose routing is a native kernel of its own."""

    def route(self, row: int) -> tuple[int, float, float]:
        """Decide on the next query."""
        decision: tuple[int, float, float] = self.kernel.route(row)
        return decision

    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:
        """Learn what the last decision brought."""
        self.kernel.observe(row, arm, reward, cost)

    def counts(self) -> dict[str, int]:
        """How many LPs ended in each status; empty for a kernel that solves none."""
        counts = self.kernel.counts()
        return {} if counts is None else dict(zip(STATUSES, counts, strict=True))


class MixturePolicy(KernelPolicy):
    """A policy that routes by a fixed distribution in each stage."""

    def __init__(self, setting: Setting, seed: int | None = None) -> None:
        self._stream, self._limits = setting.stream, setting.limits
        own = {"arms": setting.num_models, "seed": setting.seed if seed is None else seed}
        self.kernel = Kernel("mixture", own)

    @abstractmethod
    def mixture(self, candidates: Arms) -> tuple[tuple[int, ...], Floats]:
        """Return the live set of the next stage, and the distribution over all models."""

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Publish the mixture of the stage."""
        live, probabilities = self.mixture(candidates)
        self.kernel.publish(live, probabilities=probabilities)
        return live


def first_by(candidates: Arms, size: int, *keys: Floats) -> tuple[int, ...]:
    """Return the candidates that come first, `size` at most, ascending.

    Those with the smallest of the last key come first; ties by the key before it, then by arm.
    """
    order = np.lexsort((candidates, *keys))
    return tuple(sorted(candidates[order[:size]].tolist()))
