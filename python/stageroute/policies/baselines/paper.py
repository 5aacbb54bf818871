"""The paper's two baselines (Li & Li 2026)."""

import numpy as np

from stageroute._core import Kernel
from stageroute.policies.base import Arms, Floats, KernelPolicy, MixturePolicy, Setting, first_by


class GreedyPolicy(KernelPolicy):
    """The paper's greedy baseline: the `max_deployed` models of highest utility μ^U / c^L.

    Queries go to the live models in that order too, each up to its cap. It never looks at the
    budget. Li & Li (2026) do not publish its routing rule; this is ours.
    """

    name = "greedy"

    def __init__(self, setting: Setting) -> None:
        limits = setting.limits
        self._max_deployed = limits.max_deployed
        confidence = limits.confidence.resolved(limits.budget, [])  # it is told no prices
        self.kernel = Kernel("greedy", setting.core() | {"confidence": confidence})

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Deploy the candidates of highest utility, ties towards the first."""
        bounds = self.kernel.begin_stage()
        reward_ucb, cost_lcb = (np.asarray(bound)[candidates] for bound in bounds)
        with np.errstate(divide="ignore"):
            utility = reward_ucb / cost_lcb
        live = first_by(candidates, self._max_deployed, -reward_ucb, -utility)
        self.kernel.publish(live)
        return live


class UniformPolicy(MixturePolicy):
    """The paper's uniform baseline: a random live set, all alike within their caps."""

    name = "uniform"

    def __init__(self, setting: Setting) -> None:
        set_seed, route_seed = np.random.SeedSequence(setting.seed).generate_state(2, np.uint64)
        super().__init__(setting, int(route_seed))
        self._caps = setting.caps()
        self._generator = np.random.default_rng(set_seed)

    def mixture(self, candidates: Arms) -> tuple[tuple[int, ...], Floats]:
        """Draw the live set."""
        size = min(self._limits.max_deployed, candidates.size)
        live = np.sort(self._generator.choice(candidates, size=size, replace=False))
        probabilities = np.zeros(self._caps.size)
        probabilities[live] = even_within_caps(self._caps[live])
        return tuple(live.tolist()), probabilities


def even_within_caps(caps: Floats) -> Floats:
    """Equal shares; what a cap cuts off goes to the others. In proportion if the caps are short."""
    if caps.sum() <= 1.0:
        return np.asarray(caps / caps.sum())
    shares = np.zeros_like(caps)
    left = 1.0
    for position, k in enumerate(np.argsort(caps, kind="stable")):
        shares[k] = min(caps[k], left / (caps.size - position))
        left -= shares[k]
    return shares
