"""Policies that know what others must learn."""

import itertools
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from stageroute._core import Mixture, solve_routing_lp
from stageroute.config.constraints import DeploymentConstraints
from stageroute.datasets.streams import Stream
from stageroute.deployment.solve import solve_deployment
from stageroute.policies.allocation import StageProblem, allocate
from stageroute.policies.base import Arms, Floats, KernelPolicy, Limits, Setting

__all__ = ["ClairvoyantPolicy", "StageOraclePolicy", "StaticPolicy", "optimum", "relaxed_price"]


def optimum(
    candidates: Arms,
    mean_reward: Floats,
    mean_cost: Floats,
    limits: Limits,
    *,
    current_price: float = 0.0,
    live: Sequence[int] = (),
    stage_queries: int | None = None,
) -> tuple[tuple[int, ...], Floats]:
    """Return the best live set of the candidates, and its mixture, shape (N,), over all arms.

    The means are over all arms; `current_price` as in `solve_deployment`. Where the number of
    queries of the stage is given, what starting arms costs that are not among the `live` ones is
    spread over them, and counts against the budget.
    """
    constraints, previous = None, None
    if stage_queries is not None and limits.start_cost > 0.0:
        start_cost = np.full(candidates.size, limits.start_cost / stage_queries)
        constraints = DeploymentConstraints(start_cost=start_cost)
        previous = np.flatnonzero(np.isin(candidates, live)).tolist()
    solution = solve_deployment(
        mean_reward[candidates],
        mean_cost[candidates],
        limits.caps(mean_reward.size)[candidates],
        limits.budget,
        limits.max_deployed,
        solver=limits.solver,
        previous=previous,
        current_price=current_price,
        constraints=constraints,
    )
    probabilities = np.zeros(mean_reward.size)
    probabilities[candidates] = solution.weights
    return tuple(int(candidates[slot]) for slot in solution.deployed), probabilities


def relaxed_price(
    candidates: Arms, mean_reward: Floats, mean_cost: Floats, limits: Limits
) -> float:
    """Return the budget's price over all candidates, M_max apart, reward per USD.

    Within a live set that M_max forces, money may have no price at all. Infinite where no mixture
    meets the budget.
    """
    caps = limits.caps(mean_reward.size)[candidates]
    means = mean_reward[candidates], mean_cost[candidates]
    return solve_routing_lp(*means, caps, limits.budget).budget_price


class StageOraclePolicy(KernelPolicy):
    """Knows the true means and takes the optimum of every stage; regret is measured against it.

    Where the means change within a stage, it learns of it at the next boundary. Where starting
    models costs, it starts those that pay within the stages that a start is spread over.
    """

    name = "oracle"

    def __init__(self, setting: Setting) -> None:
        self._stream, self._limits = setting.stream, setting.limits
        starts = setting.stream.stage_starts(setting.num_stages).tolist()
        self._stages = itertools.pairwise([*starts, setting.stream.num_queries])
        self._live: tuple[int, ...] = ()
        self.kernel = self._mixture = Mixture(setting.num_models, setting.seed)

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Deploy and fix the mixture of the stage."""
        start, end = next(self._stages)
        regime = self._stream.regime(start)
        self._live, probabilities = optimum(
            candidates,
            regime.reward,
            regime.cost,
            self._limits,
            live=self._live,
            stage_queries=(end - start) * self._limits.start_stages,
        )
        self._mixture.publish(self._live, probabilities)
        return self._live


class StaticPolicy(KernelPolicy):
    """The best mixture of the models present at the start, under their true means of then, frozen.

    What a team has that evaluates once and never again. Where some of them retire, the best mixture
    of those that are left takes over; where all have, it starts again with who is there then.
    """

    name = "static"
    exempt = MappingProxyType(
        {"caps": "models of the start that are left serve all queries, whatever their caps"}
    )

    def __init__(self, setting: Setting) -> None:
        self._limits = setting.limits
        self._means = setting.stream.regimes[0]
        self._known = setting.stream.candidates(0)
        self.kernel = self._mixture = Mixture(setting.num_models, setting.seed)

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Publish the same mixture again; another one only if models have retired."""
        left = np.intersect1d(self._known, candidates)
        if left.size == 0:
            left = self._known = candidates
        means = self._means
        live, probabilities = optimum(left, means.reward, means.cost, self._limits)
        self._mixture.publish(live, probabilities)
        return live


class ClairvoyantPolicy(KernelPolicy):
    """Knows the true means, every arrival, retirement and regime, and spends b T as is best.

    One mixture for each stage, under its mean rewards and costs; money goes to the stages where it
    brings most (`stageroute.policies.allocation`). Its stages may so cost more or less than b.
    """

    name = "clairvoyant"

    def __init__(self, setting: Setting) -> None:
        limits, caps = setting.limits, setting.caps()
        problems = stage_problems(setting.stream, setting.num_stages, caps)
        total = limits.budget * setting.stream.num_queries
        self._mixtures = iter(allocate(problems, total, limits))
        self.kernel = self._mixture = Mixture(setting.num_models, setting.seed)

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:  # noqa: ARG002
        """Publish the mixture of the stage."""
        live, probabilities = next(self._mixtures)
        self._mixture.publish(live, probabilities)
        return live


def stage_problems(stream: Stream, num_stages: int, caps: Floats) -> list[StageProblem]:
    """Return what can be done in each stage, under its mean rewards and costs."""
    starts = stream.stage_starts(num_stages).tolist()
    problems = []
    for start, end in zip(starts, [*starts[1:], stream.num_queries], strict=True):
        changes = [regime.start for regime in stream.regimes if start < regime.start < end]
        parts = np.array([start, *changes])
        weights = np.diff([*parts, end]) / (end - start)
        regimes = [stream.regime(part) for part in parts.tolist()]
        reward = weights @ np.array([regime.reward for regime in regimes])
        cost = weights @ np.array([regime.cost for regime in regimes])
        problems.append(StageProblem(end - start, stream.candidates(start), reward, cost, caps))
    return problems
