"""Policies behind one interface: who is live during a stage, and who serves each query.

A policy deploys in Python, once a stage, and routes in a native kernel, so that a whole stage is
replayed in one call. Every policy sees the same stream and the same limits; a comparison differs
in the policy alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute._core import Greedy, Mixture, Router
from stageroute.confidence import Confidence
from stageroute.deployment import solve_deployment
from stageroute.errors import InvalidInputError
from stageroute.models import Model
from stageroute.router import StageRouter

__all__ = [
    "POLICIES",
    "GreedyPolicy",
    "Limits",
    "Policy",
    "StageOraclePolicy",
    "StageRoutePolicy",
    "UniformPolicy",
    "make_policy",
]

Floats = NDArray[np.float64]
Arms = NDArray[np.intp]


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
    """

    budget: float
    max_deployed: int = 4
    throughput_cap: float | tuple[float, ...] = 0.5
    confidence: Confidence = field(default_factory=Confidence)
    pacing_horizon: float | None = 500.0
    use_prices: bool = False

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


class Policy(ABC):
    """Deploys at stage boundaries, routes and learns between them. Arms are columns of the table.

    Attributes
    ----------
    name : str
        How reports call it.
    kernel : Router, Greedy, Mixture or None
        The native object that routes and learns, so that a stage can be replayed in one call; None
        for a policy written in Python, which is replayed query by query.
    """

    name: str
    kernel: Router | Greedy | Mixture | None = None

    @abstractmethod
    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Deploy from the candidates (arrived and not retired, ascending); return the live arms."""

    @abstractmethod
    def route(self) -> tuple[int, float, float]:
        """Decide on the next query: arm, its probability, budget price."""

    @abstractmethod
    def observe(self, arm: int, reward: float, cost: float) -> None:
        """Learn what the last decision, for `arm`, brought."""

    def counts(self) -> dict[str, int]:
        """How many LPs ended in each status; empty for a policy without an LP."""
        return {}


class StageRoutePolicy(Policy):
    """`StageRouter` as it is, stages ended by the replay."""

    name = "stageroute"

    def __init__(
        self, names: tuple[str, ...], mean_cost: Floats, limits: Limits, seed: int
    ) -> None:
        caps = limits.caps(len(names)).tolist()
        prices = mean_cost.tolist() if limits.use_prices else [None] * len(names)
        self._models = [Model(*fields) for fields in zip(names, caps, prices, strict=True)]
        self._limits = limits
        self._seed = seed
        self._arm = {name: arm for arm, name in enumerate(names)}
        self._router: StageRouter | None = None
        self._last = 0

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Add models that have arrived, retire those that have gone, advance the stage."""
        arrived = self._models[: int(candidates[-1]) + 1]
        if self._router is None:
            self._router = StageRouter(
                arrived,
                budget=self._limits.budget,
                max_deployed=self._limits.max_deployed,
                confidence=self._limits.confidence,
                pacing_horizon=self._limits.pacing_horizon,
                # Feedback comes at once: a small table stays in the cache.
                open_decisions=1_024,
                seed=self._seed,
            )
            self.kernel = self._router
            return tuple(self._arm[name] for name in self._router.deployment.models)
        known = len(self._router.models)
        for model in arrived[known:]:
            self._router.add_model(model)
        gone = set(range(known)) - set(candidates.tolist())
        for arm in sorted(gone):
            if not self._router.state(self._models[arm].name).is_retired:
                self._router.retire_model(self._models[arm].name)
        deployment = self._router.advance_stage()
        return tuple(self._arm[name] for name in deployment.models)

    @property
    def router(self) -> StageRouter:
        """The router, from the first stage on."""
        if self._router is None:
            raise InvalidInputError("begin_stage must come first: there is no router before it")
        return self._router

    def route(self) -> tuple[int, float, float]:
        """Decide on the next query."""
        decision = self.router.route()
        self._last = decision.id
        return self._arm[decision.model], decision.probability, decision.budget_price

    def observe(self, arm: int, reward: float, cost: float) -> None:  # noqa: ARG002
        """Learn what the last decision brought."""
        self.router.observe(self._last, reward=reward, cost=cost)

    def counts(self) -> dict[str, int]:
        """How many LPs ended in each status."""
        counters = self.router.counters
        statuses = ("optimal", "throttled", "budget_infeasible", "cap_infeasible")
        return {status: getattr(counters, status) for status in statuses}


class _KernelPolicy(Policy):
    """A baseline whose routing is a native kernel of its own."""

    kernel: Greedy | Mixture

    def route(self) -> tuple[int, float, float]:
        """Decide on the next query."""
        return self.kernel.route()

    def observe(self, arm: int, reward: float, cost: float) -> None:
        """Learn what the last decision brought."""
        self.kernel.observe(arm, reward, cost)


class StageOraclePolicy(_KernelPolicy):
    """Knows the true means and takes the optimum of every stage; regret is measured against it."""

    name = "oracle"

    def __init__(self, mean_reward: Floats, mean_cost: Floats, limits: Limits, seed: int) -> None:
        self._mean_reward, self._mean_cost = mean_reward, mean_cost
        self._limits = limits
        self._caps = limits.caps(mean_reward.size)
        self.kernel = self._mixture = Mixture(mean_reward.size, seed)

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Deploy and fix the mixture of the stage."""
        live, probabilities = self.optimum(candidates)
        self._mixture.publish(live, probabilities)
        return live

    def optimum(self, candidates: Arms) -> tuple[tuple[int, ...], Floats]:
        """Return the best live set of the candidates, and its mixture over all arms."""
        solution = solve_deployment(
            self._mean_reward[candidates],
            self._mean_cost[candidates],
            self._caps[candidates],
            self._limits.budget,
            self._limits.max_deployed,
        )
        probabilities = np.zeros(self._mean_reward.size)
        probabilities[candidates] = solution.weights
        return tuple(int(candidates[slot]) for slot in solution.deployed), probabilities


class GreedyPolicy(_KernelPolicy):
    """The paper's greedy baseline: the `max_deployed` models of highest utility μ^U / c^L.

    Queries go to the live models in that order too, each up to its cap. It never looks at the
    budget. Li & Li (2026) do not publish its routing rule; this is ours.
    """

    name = "greedy"

    def __init__(self, num_models: int, limits: Limits, seed: int) -> None:
        confidence = limits.confidence.resolved(limits.budget, [])
        self._max_deployed = limits.max_deployed
        self.kernel = self._greedy = Greedy(confidence, limits.caps(num_models), seed)

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Deploy the candidates of highest utility, ties towards the first."""
        self._greedy.refresh_bounds()
        reward_ucb, cost_lcb = (np.asarray(bound)[candidates] for bound in self._greedy.bounds())
        with np.errstate(divide="ignore"):
            utility = reward_ucb / cost_lcb
        order = np.lexsort((candidates, -reward_ucb, -utility))[: self._max_deployed]
        live = tuple(sorted(candidates[order].tolist()))
        self._greedy.publish(live)
        return live


class UniformPolicy(_KernelPolicy):
    """The paper's uniform baseline: a random live set, all alike within their caps."""

    name = "uniform"

    def __init__(self, num_models: int, limits: Limits, seed: int) -> None:
        self._caps = limits.caps(num_models)
        self._max_deployed = limits.max_deployed
        set_seed, route_seed = np.random.SeedSequence(seed).generate_state(2, np.uint64)
        self._generator = np.random.default_rng(set_seed)
        self.kernel = self._mixture = Mixture(num_models, int(route_seed))

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Draw the live set."""
        size = min(self._max_deployed, candidates.size)
        live = np.sort(self._generator.choice(candidates, size=size, replace=False))
        probabilities = np.zeros(self._caps.size)
        probabilities[live] = _even_within_caps(self._caps[live])
        self._mixture.publish(live.tolist(), probabilities)
        return tuple(live.tolist())


def _even_within_caps(caps: Floats) -> Floats:
    """Equal shares; what a cap cuts off goes to the others. In proportion if the caps are short."""
    if caps.sum() <= 1.0:
        return np.asarray(caps / caps.sum())
    shares = np.zeros_like(caps)
    left = 1.0
    for position, k in enumerate(np.argsort(caps, kind="stable")):
        shares[k] = min(caps[k], left / (caps.size - position))
        left -= shares[k]
    return shares


PolicyMaker = Callable[[tuple[str, ...], Floats, Floats, Limits, int], Policy]

POLICIES: Final[dict[str, PolicyMaker]] = {
    "stageroute": lambda names, _, cost, limits, seed: StageRoutePolicy(names, cost, limits, seed),
    "greedy": lambda names, _reward, _cost, limits, seed: GreedyPolicy(len(names), limits, seed),
    "uniform": lambda names, _reward, _cost, limits, seed: UniformPolicy(len(names), limits, seed),
    "oracle": lambda _, reward, cost, limits, seed: StageOraclePolicy(reward, cost, limits, seed),
}
"""Each policy by name: made from model names, true mean rewards and costs, limits and a seed."""


def make_policy(
    name: str,
    names: tuple[str, ...],
    mean_reward: Floats,
    mean_cost: Floats,
    limits: Limits,
    seed: int,
) -> Policy:
    """Make the policy `name` of `POLICIES`.

    Raises
    ------
    InvalidInputError
        If there is no policy of that name.
    """
    if name not in POLICIES:
        raise InvalidInputError(f"policy = {name!r}: must be one of {', '.join(POLICIES)}")
    return POLICIES[name](names, mean_reward, mean_cost, limits, seed)
