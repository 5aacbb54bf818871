"""Which models to keep live during a stage: the deployment problem, checked, solved and named.

    DeployOPT   max Σ μ_m d_m   s.t.  Σ c_m d_m + Σ s_m z_m <= b,  Σ d_m = 1,  0 <= d_m <= α_m z_m,
                                      Σ z_m <= M_max,  z an allowed set           (Li & Li 2026)

with s, what starting an arm costs, and the allowed sets, those that satisfy the operator's
constraints; as published there are neither. The core solves it; its search for the best set is
exchanged for HiGHS where that is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stageroute._core import solve_deployment as solve_in_core
from stageroute._core import solve_routing_lp
from stageroute.checks import (
    as_floats,
    is_whole,
    listed,
    number_in,
    require,
    require_one_of,
    whole_in,
)
from stageroute.config.constraints import DeploymentConstraints
from stageroute.config.router import SOLVERS
from stageroute.deployment.constraints import find_conflict, name_constraints
from stageroute.deployment.highs import HighsSolver

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class DeploymentSolution:
    """Optimum of one deployment problem.

    "Allowed" are the sets of at most `max_deployed` arms that satisfy the constraints.

    Attributes
    ----------
    status : str
        ``"optimal"``; ``"budget_infeasible"`` when no allowed set meets the budget (the answer is
        then the one with the lowest spend); ``"cap_infeasible"`` when the caps of any allowed set
        sum to less than 1 (the answer is then the one with the largest caps).
    deployed : tuple of int
        The live set, ascending. Slots that the optimum does not need hold the arms with the
        highest reduced value, estimated reward less cost at the budget's price; they are empty
        only where the constraints, or start costs, leave no arm to fill them.
    weights : ndarray, shape (N,)
        The optimal mixture d*. It names the live set; it is not a routing distribution.
    objective : float
        Expected reward of the mixture, from the exact LP.
    spend : float
        Expected cost of the mixture and the amortised costs of starting the set, USD per query.
    budget_price : float
        Dual price of the budget within the live set, reward per USD; infinite when it cannot be
        met.
    solved_by : str
        ``"lp"`` when the relaxation fitted into `max_deployed`, the solver's name when not; both
        when constraints turned out to cost nothing. ``"highs_constrained"`` or
        ``"native_constrained"`` when the solver had to choose among the sets that satisfy them.
    """

    status: str
    deployed: tuple[int, ...]
    weights: Floats
    objective: float
    spend: float
    budget_price: float
    solved_by: str


def solve_deployment(
    reward: ArrayLike,
    cost: ArrayLike,
    throughput_cap: ArrayLike,
    budget: float,
    max_deployed: int,
    *,
    solver: str = "highs",
    previous: Sequence[int] | None = None,
    current_price: float = 0.0,
    time_limit: float | None = None,
    constraints: DeploymentConstraints | None = None,
) -> DeploymentSolution:
    """Choose the live set of a stage.

    Parameters
    ----------
    reward, cost, throughput_cap : array_like, shape (N,)
        Estimates of all candidates, as for `solve_routing_lp`.
    budget : float
        Average USD per query; finite and not negative.
    max_deployed : int
        How many arms can be live at once; at least 1.
    solver : {"highs", "native"}
        What solves the MIP: HiGHS, or a branch and bound over live sets, which is faster by orders
        of magnitude. Objectives agree within 1e-8; among sets that are as good as each other the
        two may choose differently, each the same way every time.
    previous : sequence of int, optional
        The live set of the last stage: a starting point for HiGHS, and what `constraints` count as
        live now. Indices of no arm are passed over.
    current_price : float, default 0.0
        Price of the budget within the set that is live now, reward per USD, finite and not
        negative. Free slots are valued at this price where it is above the optimum's: they hold
        the stand-ins for arms that turn out worse than their optimistic estimates, and then the
        budget is as scarce as it is now.
    time_limit : float, optional
        Seconds that the solver may take.
    constraints : DeploymentConstraints, optional
        What the live set must satisfy besides; start costs.

    Returns
    -------
    DeploymentSolution

    Raises
    ------
    InvalidInputError
        If an argument breaks its rule.
    DeploymentConflictError
        If no set satisfies `constraints` and `max_deployed`, whatever it costs.
    SolverError
        If the solver stopped, at the time limit or otherwise, without a proven optimum.
    """
    whole_in("[1, inf)")("max_deployed", max_deployed)
    number_in("[0, inf)", "reward per USD")("current_price", current_price)
    if time_limit is not None:
        number_in("(0, inf)", "seconds")("time_limit", time_limit, ", or None")
    require_one_of("solver", solver, SOLVERS)
    is_known = constraints is None or isinstance(constraints, DeploymentConstraints)
    require(is_known, "constraints", constraints, "must be DeploymentConstraints, or None")
    number_in("[0, inf)", "USD per query")("budget", budget)
    data = (
        as_floats("reward", reward),
        as_floats("cost", cost),
        as_floats("throughput_cap", throughput_cap),
        float(budget),
        int(max_deployed),
    )
    if previous is not None:
        previous = listed("previous", previous, "indices of arms")
        for arm in previous:
            require(is_whole(arm), "previous", arm, "must be the index of an arm")
    named, limits, highs = None, None, None
    if constraints is not None or solver == "highs":
        asked = DeploymentConstraints() if constraints is None else constraints
        named = name_constraints(asked, data[0].size, previous, max_deployed)
        limits = named.for_core()
        if solver == "highs":
            highs = HighsSolver(data, limits, previous, time_limit)
    answer = solve_in_core(*data, limits, current_price, highs, time_limit)
    if answer is None:
        assert named is not None, "without constraints every set is allowed"
        raise find_conflict(named, time_limit)
    status, deployed, weights, objective, spend, price, solved_by = answer
    weights.setflags(write=False)
    return DeploymentSolution(status, tuple(deployed), weights, objective, spend, price, solved_by)


def caps_suffice(throughput_cap: ArrayLike, max_deployed: int) -> bool:
    """Whether `max_deployed` arms could take all the traffic, as the exact LP judges it."""
    caps = np.sort(np.asarray(throughput_cap, dtype=np.float64))[::-1][:max_deployed]
    zeros = np.zeros_like(caps)
    return solve_routing_lp(zeros, zeros, caps, 0.0).status != "cap_infeasible"
