"""Policies that know what others must learn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Final

import numpy as np

from stageroute.datasets.streams import Stream
from stageroute.policies.base import Arms, Floats, Limits, MixturePolicy, Setting
from stageroute.policies.optimum import optimum

Mixture = tuple[tuple[int, ...], Floats]
"""The live set and its mixture, shape (N,)."""

Key = tuple[bytes, bytes, bytes]
Mixtures = dict[Key, Mixture]

HIGHEST_PRICE: Final = 2.0**40
"""In rewards per mean budget of a query; beyond it only cost counts."""

BISECTIONS: Final = 200
"""A bound; the bisection ends when no number lies between the two prices."""

TOLERANCE: Final = 1e-10
"""Two mixtures' rewards that differ by less are alike."""


class StaticPolicy(MixturePolicy):
    """The best mixture of the models present at the start, under their true means of then, frozen.

    What a team has that evaluates once and never again. Where some of them retire, the best mixture
    of those that are left takes over; where all have, it starts again with those there then.
    """

    name = "static"
    exempt = MappingProxyType(
        {"caps": "models of the start that are left serve all queries, whatever their caps"}
    )

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._means = setting.stream.regimes[0]
        self._known = setting.stream.candidates(0)

    def mixture(self, candidates: Arms) -> tuple[tuple[int, ...], Floats]:
        """Return the same mixture again; another one only if models have retired."""
        left = np.intersect1d(self._known, candidates)
        if left.size == 0:
            left = self._known = candidates
        return optimum(left, self._means.reward, self._means.cost, self._limits)


class StageOraclePolicy(MixturePolicy):
    """Knows the true means and takes the optimum of every stage; regret is measured against it.

    Where the means change within a stage, it learns of it at the next boundary. Where starting
    models costs, it starts those that pay within the stages that a start is spread over.
    """

    name = "oracle"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        starts = setting.stream.stage_starts(setting.num_stages).tolist()
        self._stages = pairwise([*starts, setting.stream.num_queries])
        self._live: tuple[int, ...] = ()

    def mixture(self, candidates: Arms) -> tuple[tuple[int, ...], Floats]:
        """Return the optimum of the stage."""
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
        return self._live, probabilities


class ClairvoyantPolicy(MixturePolicy):
    """Knows the true means, every arrival, retirement and regime, and spends b T as is best.

    One mixture for each stage, under its mean rewards and costs; money goes to the stages where it
    brings most. Its stages may so cost more or less than b:

        max Σ_k n_k μ_k·p_k   s.t.  Σ_k n_k c_k·p_k <= B,  each p_k a mixture of at most M_max
                                    candidates of stage k within their caps

    At a price λ of money the stages come apart: each maximises (μ_k - λ c_k)·p_k. Spend falls in λ;
    the price at which it falls through B is found by bisection. Where a stage has several optima at
    that price, the difference in their spend is what fills B.
    """

    name = "clairvoyant"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        problems = stage_problems(setting.stream, setting.num_stages)
        total = setting.limits.budget * setting.stream.num_queries
        self._mixtures = iter(allocate(problems, total, setting.limits))

    def mixture(self, candidates: Arms) -> tuple[tuple[int, ...], Floats]:  # noqa: ARG002
        """Return the mixture of the stage."""
        return next(self._mixtures)


@dataclass(frozen=True, eq=False, slots=True)
class StageProblem:
    """Stages that are alike: their queries in all, candidates, every model's mean reward and cost.

    Candidates are ascending; the means are of shape (N,), costs in USD.
    """

    queries: int
    candidates: Arms
    reward: Floats
    cost: Floats

    @property
    def key(self) -> Key:
        """The same for stages that differ in length alone."""
        return self.candidates.tobytes(), self.reward.tobytes(), self.cost.tobytes()

    def at_price(self, price: float, limits: Limits) -> Mixture:
        """Return the optimum at a price of money; the cheapest mixture at an infinite one."""
        value = -self.cost if np.isinf(price) else self.reward - price * self.cost
        return optimum(self.candidates, value, np.zeros_like(value), limits)

    def at_budget(self, budget: float, limits: Limits) -> Mixture:
        """Return the optimum within a budget, USD per query."""
        return optimum(self.candidates, self.reward, self.cost, replace(limits, budget=budget))

    def spend(self, mixture: Mixture) -> float:
        """USD per query."""
        return float(self.cost @ mixture[1])


def stage_problems(stream: Stream, num_stages: int) -> list[StageProblem]:
    """Return what can be done in each stage, under its mean rewards and costs."""
    problems = []
    for start, end in pairwise([*stream.stage_starts(num_stages).tolist(), stream.num_queries]):
        changes = [regime.start for regime in stream.regimes if start < regime.start < end]
        parts = np.array([start, *changes])
        weights = np.diff([*parts, end]) / (end - start)
        regimes = [stream.regime(part) for part in parts.tolist()]
        reward = weights @ np.array([regime.reward for regime in regimes])
        cost = weights @ np.array([regime.cost for regime in regimes])
        problems.append(StageProblem(end - start, stream.candidates(start), reward, cost))
    return problems


def allocate(problems: Sequence[StageProblem], total: float, limits: Limits) -> list[Mixture]:
    """Return the best mixture of each stage for a total of `total` USD, whatever `limits.budget`.

    Exact where `max_deployed` does not bind. Where it does, what a stage can earn is not concave in
    its money, and one stage at most earns less than the concave bound. If no mixtures meet the
    total, the cheapest ones are returned.
    """
    lengths: dict[Key, list[int]] = {}
    for problem in problems:
        lengths.setdefault(problem.key, []).append(problem.queries)
    kinds = {one.key: replace(one, queries=sum(lengths[one.key])) for one in problems}

    def spent(mixtures: Mixtures) -> float:
        return sum(kind.queries * kind.spend(mixtures[key]) for key, kind in kinds.items())

    def solve(price: float) -> tuple[Mixtures, float]:
        mixtures = {key: kind.at_price(price, limits) for key, kind in kinds.items()}
        return mixtures, spent(mixtures)

    lean, rich = _bracket(solve, total, sum(kind.queries for kind in kinds.values()))
    left = total - spent(lean)
    chosen = {}
    for key, kind in kinds.items():
        mixtures = _fill(kind, lengths[key], lean[key], rich[key], max(left, 0.0), limits)
        used = sum(n * kind.spend(one) for n, one in zip(lengths[key], mixtures, strict=True))
        left -= used - kind.queries * kind.spend(lean[key])
        chosen[key] = iter(mixtures)
    return [next(chosen[problem.key]) for problem in problems]


def _bracket(
    solve: Callable[[float], tuple[Mixtures, float]], total: float, queries: int
) -> tuple[Mixtures, Mixtures]:
    """Find the price at which spend falls through the total; return the optima on either side.

    The first spends at most the total, where that can be; the second at least, where it can be.
    """
    rich, spend = solve(0.0)
    if spend <= total:
        return rich, rich
    lean, spend = solve(np.inf)
    if spend > total:
        return lean, lean
    low, high = 0.0, queries / total
    while (found := solve(high))[1] > total and high < HIGHEST_PRICE * queries / total:
        low, high, rich = high, 2.0 * high, found[0]
    if found[1] > total:
        return lean, rich
    lean = found[0]
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        mixtures, spend = solve(middle)
        if spend <= total:
            high, lean = middle, mixtures
        else:
            low, rich = middle, mixtures
    return lean, rich


def _fill(
    kind: StageProblem,
    lengths: Sequence[int],
    lean: Mixture,
    rich: Mixture,
    left: float,
    limits: Limits,
) -> list[Mixture]:
    """Spend up to `left` USD more than the lean mixture does on stages of one kind."""
    least, extra = kind.spend(lean), kind.spend(rich) - kind.spend(lean)
    if extra <= 0.0 or left <= 0.0:
        return [lean] * len(lengths)
    if kind.queries * extra <= left:
        return [rich] * len(lengths)
    # Alike in all stages, unless going from one mixture to the other takes more live models.
    part = left / kind.queries
    even = kind.at_budget(least + part, limits)
    earned = [float(kind.reward @ mixture) for _, mixture in (lean, even, rich)]
    if earned[1] >= earned[0] + (earned[2] - earned[0]) * part / extra - TOLERANCE:
        return [even] * len(lengths)
    mixtures = []
    for length in lengths:
        part = min(left / length, extra)
        mixtures.append(rich if part == extra else kind.at_budget(least + part, limits))
        left = max(left - length * (kind.spend(mixtures[-1]) - least), 0.0)
    return mixtures
