"""Classical bandit indices under the same budget, caps and deployments as StageRoute."""

from types import MappingProxyType
from typing import ClassVar

from stageroute._core import Kernel
from stageroute.policies.base import Setting
from stageroute.policies.optimum import OptimumPolicy

Index = str | dict[str, dict[str, float]]
"""An index by its name in the core, with its parameter if it has one."""


class IndexPolicy(OptimumPolicy):
    """StageRoute with another index: μ^U is a bandit index, c^L the empirical mean cost.

    Deployment MIP, routing LP, caps, pacing and list prices are those of StageRoute, so that the
    comparison is of the index alone. The mean cost starts from the list price where prices are
    known, else from 0 as StageRoute's bound does, so that a new model is tried as soon as it is
    live. Indices are cut off at 1, the largest reward: without that, in a mixture, a model that is
    hardly known would outweigh any difference in price.
    """

    index: ClassVar[Index]

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting.limits)
        self.kernel = Kernel("index", setting.core() | {"index": self.index})


class Ucb1Policy(IndexPolicy):
    """UCB1 (Auer, Cesa-Bianchi & Fischer 2002): mean + sqrt(2 ln t / n).

    Its constant is theirs; no tuning is advised.
    """

    name = "ucb1"
    index = "ucb1"


class KlUcbPolicy(IndexPolicy):
    """KL-UCB (Garivier & Cappé 2011): the largest q with n kl(mean, q) <= ln t + c ln ln t.

    c = 3 in their regret bound; c = 0, which they use in practice, is used here. On the surrogate c
    = 3 costs about a third more regret.
    """

    name = "kl-ucb"
    index: ClassVar[Index] = {"kl_ucb": {"c": 0.0}}


class ThompsonPolicy(IndexPolicy):
    """Thompson sampling (Agrawal & Goyal 2012): a draw from each Beta posterior, prior Beta(1, 1).

    Rewards between 0 and 1 count as a success with that probability (their algorithm 2), by a
    seeded coin.
    """

    name = "thompson"
    exempt = MappingProxyType(
        {"frequency": "its probabilities are those of the LP on indices that it has drawn before"}
    )
    index = "thompson"


class EpsilonGreedyPolicy(IndexPolicy):
    """ε_n-greedy (Auer et al. 2002): the mean; a random live model with probability c K / (d² t).

    c / d² = 10: c = 0.1 is in the range of their experiments, and d = 0.1 a gap between models
    that matters. On the surrogate, 5 to 20 do about alike, 2 locks models out, and 100 explores too
    much. The schedule runs for each model from when it is first live, so that one that arrives late
    is explored as well; for models that are there from the start it is as published.
    """

    name = "epsilon-greedy"
    index: ClassVar[Index] = {"epsilon_greedy": {"scale": 10.0}}
