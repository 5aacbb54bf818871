"""Target policies: for each logged decision, a distribution over the models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stageroute.checks import number_in, require, whole_in
from stageroute.deployment.solve import solve_deployment
from stageroute.errors import InvalidInputError
from stageroute.off_policy.data import SUM_TOLERANCE, LoggedData, checked_distributions

Floats = NDArray[np.float64]

ENOUGH: Final = 30  # rewards, and costs, of a model that is considered for a best mixture


@dataclass(frozen=True, eq=False, slots=True)
class Target:
    """A policy to evaluate on a log.

    Attributes
    ----------
    name : str
        How reports call it.
    probabilities : ndarray, shape (n, N)
        Its distribution over the models at each decision; must not depend on later ones.
    first : int
        The first decision to evaluate it on; those before were used to choose it.
    mixture : dict of str to float
        Shares of the traffic, where it is the same at every decision; empty otherwise.
    """

    name: str
    probabilities: Floats
    first: int
    mixture: dict[str, float]


def as_target(
    data: LoggedData,
    policy: Target | Mapping[str, float] | ArrayLike | Callable[[LoggedData], ArrayLike],
    name: str | None = None,
) -> Target:
    """Check a policy and make it a target.

    Parameters
    ----------
    data : LoggedData
    policy : Target, mapping, array_like or callable
        A mixture, shares by model name that sum to 1; or probabilities of shape (n, N); or a
        function that returns these for the data. It may use what was known before each decision.
    name : str, optional
        How reports call it.

    Raises
    ------
    InvalidInputError
        If a name is unknown, or shares or probabilities are negative or do not sum to 1.
    """
    shape = (len(data), len(data.models))
    if isinstance(policy, Target):
        made_for = policy.probabilities.shape
        require(made_for == shape, "policy", policy.name, f"is for data of shape {made_for}")
        return policy
    if isinstance(policy, Mapping):
        shares = np.zeros(len(data.models))
        for model, share in policy.items():
            number_in("[0, inf)")(f"mixture[{model!r}]", share)
            shares[_index(data, model, "mixture")] = share
        ok = abs(shares.sum() - 1.0) <= SUM_TOLERANCE
        require(ok, "mixture", policy, f"sums to {shares.sum():g}, not to 1")
        rows = np.broadcast_to(shares, shape)
        label = ",".join(f"{model}={share:g}" for model, share in policy.items())
        return Target(name or label, rows, 0, dict(policy))
    values = policy(data) if callable(policy) else policy
    probabilities = checked_distributions("policy", values, shape)
    return Target(name or "given probabilities", probabilities, 0, {})


def best_mixture(
    data: LoggedData,
    budget: float,
    *,
    max_deployed: int | None = None,
    throughput_cap: float = 1.0,
    live: Sequence[str] | None = None,
    chosen_from: float = 0.5,
) -> Target:
    """Return the best mixture under a budget, as the first part of the log has it.

    The models' means in the first part go into the deployment problem and its routing LP. The
    target is evaluated on the rest, so that no outcome judges a mixture that it chose. It is a
    split in time, where independent decisions would allow any: a later part of a learning router's
    log depends on the earlier one, never the reverse.

    Parameters
    ----------
    data : LoggedData
    budget : float
        Average USD per query, above 0.
    max_deployed : int, optional
        How many models can be live at once; any number by default.
    throughput_cap : float, default 1.0
        Largest share of each model, in (0, 1].
    live : sequence of str, optional
        Only these models: what the routing LP makes of a given deployment.
    chosen_from : float, default 0.5
        Share of the decisions that choose, in (0, 1).

    Raises
    ------
    InvalidInputError
        If an argument breaks its rule, or no mixture of the models with at least 30 rewards and
        costs in the first part is within budget and caps.
    """
    number_in("(0, inf)", "USD per query")("budget", budget)
    number_in("(0, 1]")("throughput_cap", throughput_cap)
    number_in("(0, 1)")("chosen_from", chosen_from)
    if max_deployed is not None:
        whole_in("[1, inf)")("max_deployed", max_deployed, ", or None")
    first = int(chosen_from * len(data))
    reward, cost = (_means(data, outcome, first) for outcome in (data.reward, data.cost))
    arms = np.array([_index(data, name, "live") for name in live or data.models], dtype=np.intp)
    candidates = arms[~np.isnan(reward[arms] + cost[arms])]
    considered = f"{candidates.size} models with {ENOUGH} rewards and costs in {first:,} decisions"
    rule = f"there must be one that allows a mixture; there are {considered}: log more"
    require(candidates.size > 0, "models", data.models, rule)
    solution = solve_deployment(
        reward[candidates],
        cost[candidates],
        np.full(candidates.size, throughput_cap),
        budget,
        candidates.size if max_deployed is None else max_deployed,
    )
    if solution.status != "optimal":
        raise InvalidInputError(
            f"budget = {budget:g}, throughput_cap = {throughput_cap:g}: {solution.status}: no "
            f"mixture of the {considered} is within both: raise them, or log more"
        )
    weights = zip(candidates.tolist(), solution.weights.tolist(), strict=True)
    mixture = {data.models[arm]: weight for arm, weight in weights if weight > 0.0}
    return replace(as_target(data, mixture, f"best under {budget:g}"), first=first)


def _means(data: LoggedData, outcome: Floats, end: int) -> Floats:
    """Average the outcomes before `end` of each model, shape (N,); NaN where there are too few."""
    rows = np.flatnonzero(~np.isnan(outcome[:end]))
    counts = np.bincount(data.arm[rows], minlength=len(data.models))
    totals = np.bincount(data.arm[rows], outcome[rows], minlength=len(data.models))
    return np.where(counts >= ENOUGH, totals / np.maximum(counts, 1), np.nan)


def _index(data: LoggedData, name: str, argument: str) -> int:
    known = ", ".join(data.models)
    require(name in data.models, argument, name, f"was never live in this log; it has {known}")
    return data.models.index(name)
