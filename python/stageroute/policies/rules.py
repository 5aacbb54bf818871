"""The rules that every policy of a comparison keeps, and the referee that holds it to them.

A `Referee` watches a replay from its arrays, once a stage: what no replay can mean (a live set of
models that are not there, queries served by models that are not live, a probability that is none)
ends it with an error, and what goes over the limits is counted.
"""

from collections import Counter
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute.datasets.streams import Stream
from stageroute.errors import PolicyError
from stageroute.policies.base import Arms, Floats, Limits, Policy

RULES: Final = MappingProxyType(
    {
        "candidates": "deploys models that have arrived and not retired, at least one, each once",
        "live": "live models alone serve",
        "max_deployed": "deploys at most max_deployed models",
        "caps": "no model serves more of a stage than its throughput cap, but for one query",
        "probability": "a decision's probability is in (0, 1]",
        "price": "money has a price: not negative, and finite where a mixture meets the budget",
        "frequency": "decisions are drawn with the probabilities that are reported",
        "outcomes": "an outcome is used only once it is observed",
        "repeatable": "the same seed brings the same decisions, in any process",
        "native": "the native kernel decides like `route` and `observe`",
    }
)
"""What each rule asks. `check_policy` checks them all, a replay those up to the probability."""

FATAL: Final = frozenset({"candidates", "live", "probability"})
"""Rules without which a replay means nothing."""

CHANCE: Final = 5.0
"""Standard deviations that are taken for chance: about once in two million."""

ROUNDING: Final = 1e-9
"""Probabilities and sums of caps may be so far above 1, or below."""


def broken(policy: Policy, rule: str, where: str, expected: object, seen: object) -> PolicyError:
    """Return the error for a rule that a policy breaks."""
    return PolicyError(
        f"policy {policy.name!r} breaks the rule {rule!r} ({RULES[rule]}) {where}: "
        f"expected {expected}, seen {seen}",
        policy=policy.name,
        rule=rule,
    )


class Referee:
    """Holds one replay of a policy to the rules.

    Without limits there are none to go over: rules `max_deployed` and `caps` are not checked then.
    `over` counts how often each rule was broken: stages for `candidates` and `max_deployed`, pairs
    of stage and model for `caps`, queries for the others. `errors` holds the first break of each.
    """

    def __init__(self, policy: Policy, stream: Stream, limits: Limits | None) -> None:
        self.over: Counter[str] = Counter()
        self.errors: dict[str, PolicyError] = {}
        self._policy = policy
        self._names = stream.table.models
        self._limits = limits
        self._caps = None if limits is None else limits.caps(len(self._names))
        self._stage = -1
        self._start = 0
        self._live: tuple[int, ...] = ()
        self._cap_sum = np.inf

    def deployed(self, start: int, candidates: Arms, live: tuple[int, ...]) -> None:
        """Look at the live set of the stage that begins at query `start`."""
        self._stage, self._start, self._live = self._stage + 1, start, live
        known = set(candidates.tolist())
        if not live or len(set(live)) < len(live) or not known.issuperset(live):
            expected = f"models of {self._named(known)}"
            self._break("candidates", 1, start, expected, self._named(live))
        if self._limits is None or self._caps is None:
            return
        most = self._limits.max_deployed
        if len(live) > most:
            self._break("max_deployed", 1, start, f"at most {most}", f"{len(live)}")
        self._cap_sum = float(np.sort(self._caps[candidates])[::-1][:most].sum())

    def served(self, arm: NDArray[np.uint32], probability: Floats) -> None:
        """Look at the decisions of that stage."""
        counts = np.bincount(arm, minlength=len(self._names))
        if counts[list(self._live)].sum() < arm.size:
            is_stranger = ~np.isin(arm, self._live)
            at = int(np.argmax(is_stranger))
            seen, times = self._name(int(arm[at])), int(is_stranger.sum())
            self._break("live", times, self._start + at, self._named(self._live), seen)
        # What is not a number fails both comparisons.
        if not (probability.min() > 0.0 and probability.max() <= 1.0 + ROUNDING):
            is_one = (probability > 0.0) & (probability <= 1.0 + ROUNDING)
            at = int(np.argmin(is_one))
            times = arm.size - int(is_one.sum())
            self._break("probability", times, self._start + at, "(0, 1]", probability[at])
        # Where no live set has caps that sum to 1, they cannot be kept.
        if self._caps is not None and self._cap_sum >= 1.0 - ROUNDING:
            self._check_caps(self._caps, arm, probability)

    def _check_caps(self, caps: Floats, arm: NDArray[np.uint32], probability: Floats) -> None:
        """Compare shares with caps; draws scatter around the probabilities they are made with.

        The sum of 1 - p over a model's own queries is an unbiased estimate of the variance of their
        number; it is 0 for a policy that draws nothing.
        """
        counts = np.bincount(arm, minlength=caps.size)
        most = np.ceil(caps * arm.size - ROUNDING) + 1.0
        if (counts <= most).all():
            return
        doubt = 1.0 - probability
        doubt[np.isnan(doubt)] = 1.0
        most += CHANCE * np.sqrt(np.bincount(arm, weights=doubt, minlength=counts.size))
        beyond = np.flatnonzero(counts > most)
        if beyond.size:
            model = int(beyond[0])
            allowed = f"at most {most[model]:.0f} of {arm.size} queries for {self._name(model)}"
            last = self._start + arm.size - 1
            self._break("caps", beyond.size, last, allowed, f"{counts[model]}")

    def _break(self, rule: str, times: int, query: int, expected: str, seen: object) -> None:
        self.over[rule] += times
        if rule in self.errors:
            return
        where = f"in stage {self._stage}, query {query}"
        error = broken(self._policy, rule, where, expected, seen)
        if rule in FATAL and rule not in self._policy.exempt:
            raise error
        self.errors[rule] = error

    def _name(self, arm: int) -> str:
        return self._names[arm] if arm < len(self._names) else f"model {arm}"

    def _named(self, arms: set[int] | tuple[int, ...]) -> str:
        return ", ".join(map(self._name, sorted(arms))) or "no model"
