"""Which models to keep live during a stage: the deployment MIP.

    DeployOPT   max Σ μ_m d_m   s.t.  Σ c_m d_m + Σ s_m z_m <= b,  Σ d_m = 1,  0 <= d_m <= α_m z_m,
                                      Σ z_m <= M_max,  z an allowed set           (Li & Li 2026)

with s, what starting an arm costs, and the allowed sets, those that satisfy the operator's
constraints; as published there are neither. The answer is exact in four steps. (1) Without
constraints and cardinality the MIP is the routing LP over all candidates; its optimum uses at most
two fractional arms, so it often fits into M_max. (2) Where not, a MIP solver chooses the set. (3)
If that answer's arms with weight, with pinned arms and stand-ins, satisfy the constraints and lose
nothing to start costs, it is optimal for the constrained problem too; otherwise the solver solves
that. (4) Arms are exchanged one by one as the exact LP likes better, since HiGHS cannot tell sets
apart that differ by less than about 1e-6; free slots are filled; and what is reported is the exact
LP on the final set. Without constraints the native solver does all of this in one call.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stageroute._core import RoutingSolution, solve_plain_deployment, solve_routing_lp
from stageroute.checks import is_number, is_whole, require, require_one_of
from stageroute.config.constraints import DeploymentConstraints
from stageroute.config.router import SOLVERS
from stageroute.deployment.constraints import live_sets
from stageroute.deployment.highs import HighsMip
from stageroute.deployment.live_sets import LiveSets, minimal_conflict
from stageroute.deployment.native import NativeMip
from stageroute.deployment.problem import SUPPORT_TOLERANCE, Problem
from stageroute.errors import DeploymentConflictError, SolverError

__all__ = ["SOLVERS", "DeploymentSolution", "caps_suffice", "solve_deployment"]

Floats = NDArray[np.float64]
Arms = NDArray[np.intp]

Mip = HighsMip | NativeMip

BOUNDARY: Final = 1e-6
"""A set that spends this share less than the budget is one that a solver must find."""


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
    _check_arguments(max_deployed, solver, current_price, time_limit)
    if solver == "native" and constraints is None:
        return _plain_native(
            reward, cost, throughput_cap, budget, max_deployed, current_price, time_limit
        )
    # The LP over all candidates checks the arrays before anything is done with them.
    relaxed = solve_routing_lp(reward, cost, throughput_cap, budget)
    size = np.size(reward)
    asked = DeploymentConstraints() if constraints is None else constraints
    is_known = isinstance(asked, DeploymentConstraints)
    require(is_known, "constraints", asked, "must be DeploymentConstraints, or None")
    problem = Problem(
        np.asarray(reward, dtype=np.float64),
        np.asarray(cost, dtype=np.float64),
        np.asarray(throughput_cap, dtype=np.float64),
        start=asked.start_costs(size, previous),
        charge=np.zeros(size),
        budget=float(budget),
        current_price=float(current_price),
        sets=live_sets(asked, size, previous, max_deployed),
    )
    free = live_sets(DeploymentConstraints(), size, previous, max_deployed)
    plain = replace(problem, start=np.zeros(size), sets=free)
    mip: Mip = NativeMip(time_limit) if solver == "native" else HighsMip(previous, time_limit)
    arms, solved_by = _without_constraints(plain, relaxed, mip)
    completed = problem.complete(arms)
    if completed is not None and problem.is_as_good(completed, plain.outcome(arms)):
        return _report(problem, completed, solved_by)
    return _report(problem, _by_mip(problem, mip), f"{mip.name}_constrained")


def _plain_native(
    reward: ArrayLike,
    cost: ArrayLike,
    throughput_cap: ArrayLike,
    budget: float,
    max_deployed: int,
    current_price: float,
    time_limit: float | None,
) -> DeploymentSolution:
    status, deployed, weights, objective, spend, budget_price, nodes = solve_plain_deployment(
        reward, cost, throughput_cap, budget, max_deployed, current_price, time_limit
    )
    weights.setflags(write=False)
    solved_by = "native" if nodes else "lp"
    return DeploymentSolution(
        status, tuple(deployed), weights, objective, spend, budget_price, solved_by
    )


def _without_constraints(plain: Problem, relaxed: RoutingSolution, mip: Mip) -> tuple[Arms, str]:
    """Choose the arms that matter where only the number of live arms is limited, and say how."""
    slots = int(min(plain.sets.limits[0].most, plain.size))
    if not caps_suffice(plain.cap, slots):
        order = np.lexsort((np.arange(plain.size), plain.cost, -plain.cap))
        return order[:slots], "lp"
    support = np.flatnonzero(relaxed.probabilities > SUPPORT_TOLERANCE)
    if support.size <= slots:
        return support, "lp"
    return _by_mip(plain, mip), mip.name


def _by_mip(problem: Problem, mip: Mip) -> Arms:
    """Choose the best allowed set; the cheapest where none meets the budget; else the largest."""
    chosen = mip.best(problem)
    if chosen is not None:
        return _polish(problem, problem, chosen)
    chosen = mip.cheapest(problem)
    if chosen is not None:
        found = problem.outcome(chosen)
        if found.status != "optimal":
            return _polish(problem, problem.cheapest(), chosen)
        if found.spend <= problem.budget * (1.0 - BOUNDARY):
            raise SolverError(f"{mip.name} finds no set that meets the budget although one exists")
        return _polish(problem, problem, chosen)
    chosen = mip.largest(problem)
    if chosen is None:
        raise _conflict(problem.sets, mip)
    if problem.outcome(chosen).status != "cap_infeasible":
        raise SolverError(f"{mip.name} finds no mixture within the caps although one exists")
    return _polish(problem, problem.largest(), chosen)


def _polish(problem: Problem, goal: Problem, chosen: Arms) -> Arms:
    """Improve a set and fill its free slots, until filling opens no way to improve it further."""
    # Arms that are live for nothing stand in the way of better ones.
    needed = problem.needed(chosen)
    improved = goal.improve(needed if problem.sets.allows(needed) else chosen)
    value = -np.inf
    while True:
        completed = problem.complete(improved)
        arms = problem.fill(improved) if completed is None else completed
        before, value = value, goal.outcome(arms).value
        improved = goal.improve(arms)
        if improved is arms or value <= before:
            return arms


def _conflict(sets: LiveSets, mip: Mip) -> DeploymentConflictError:
    names, remedy = minimal_conflict(sets, mip.allows_any)
    return DeploymentConflictError(
        f"no set of models satisfies {' and '.join(names)}; to resolve this conflict, {remedy}",
        names,
    )


def _report(problem: Problem, arms: Arms, solved_by: str) -> DeploymentSolution:
    arms = np.sort(arms)
    outcome = problem.outcome(arms)
    weights = np.zeros(problem.size)
    weights[arms] = outcome.probabilities
    weights.setflags(write=False)
    return DeploymentSolution(
        status=outcome.status,
        deployed=tuple(int(arm) for arm in arms),
        weights=weights,
        objective=outcome.objective,
        spend=outcome.spend,
        budget_price=outcome.budget_price,
        solved_by=solved_by,
    )


def _check_arguments(
    max_deployed: int, solver: str, current_price: float, time_limit: float | None
) -> None:
    require(is_whole(max_deployed), "max_deployed", max_deployed, "must be a whole number")
    require(max_deployed >= 1, "max_deployed", max_deployed, "must be at least 1")
    require_one_of("solver", solver, SOLVERS)
    rule = "must be finite and not negative, in reward per USD"
    ok = is_number(current_price) and current_price >= 0
    require(ok, "current_price", current_price, rule)
    ok = time_limit is None or time_limit > 0
    require(ok, "time_limit", time_limit, "must be above 0 seconds, or None")


def caps_suffice(throughput_cap: ArrayLike, max_deployed: int) -> bool:
    """Whether `max_deployed` arms could take all the traffic, as the exact LP judges it."""
    caps = np.sort(np.asarray(throughput_cap, dtype=np.float64))[::-1][:max_deployed]
    zeros = np.zeros_like(caps)
    return solve_routing_lp(zeros, zeros, caps, 0.0).status != "cap_infeasible"
