"""Policies that know what others must learn."""

import itertools
from types import MappingProxyType

import numpy as np

from stageroute.policies.base import Arms, Floats, MixturePolicy, Setting
from stageroute.policies.optimum import optimum
from stageroute.policies.oracles.allocation import allocate, stage_problems


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
        super().__init__(setting.num_models, setting.seed)
        self._limits = setting.limits
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
        super().__init__(setting.num_models, setting.seed)
        self._stream, self._limits = setting.stream, setting.limits
        starts = setting.stream.stage_starts(setting.num_stages).tolist()
        self._stages = itertools.pairwise([*starts, setting.stream.num_queries])
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
    brings most (see `allocation`). Its stages may so cost more or less than b.
    """

    name = "clairvoyant"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting.num_models, setting.seed)
        problems = stage_problems(setting.stream, setting.num_stages)
        total = setting.limits.budget * setting.stream.num_queries
        self._mixtures = iter(allocate(problems, total, setting.limits))

    def mixture(self, candidates: Arms) -> tuple[tuple[int, ...], Floats]:  # noqa: ARG002
        """Return the mixture of the stage."""
        return next(self._mixtures)
