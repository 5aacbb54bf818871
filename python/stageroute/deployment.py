"""Which models to keep live during a stage: the deployment MIP. The only user of highspy.

    DeployOPT   max Σ μ_m d_m   s.t.  Σ c_m d_m <= b,  Σ d_m = 1,  0 <= d_m <= α_m z_m,
                                      Σ z_m <= M_max,  z binary            (Li & Li 2026)

The answer is exact in three steps. (1) Without the cardinality row the MIP is the routing LP over
all candidates; its optimum uses at most two fractional arms, so it often fits into M_max, and then
it is optimal for the MIP too. (2) Otherwise HiGHS chooses the set, with a relative MIP gap of 0,
the default feasibility tolerance, and the budget row divided by the budget, because that tolerance
is absolute. (3) The exact LP is solved again on the chosen set, with free slots filled, and that is
what is reported: HiGHS's own numbers never leave this module. Before, arms are exchanged one by one
as the exact LP likes better: HiGHS cannot tell sets apart that differ by less than about 1e-6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import highspy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stageroute._core import RoutingSolution, solve_routing_lp
from stageroute.checks import is_number, is_whole, require
from stageroute.errors import SolverError

__all__ = ["DeploymentSolution", "caps_suffice", "solve_deployment"]

Floats = NDArray[np.float64]

MAX_CUTS: Final = 100
"""How many sets that HiGHS calls feasible within its tolerance, and that are not, are cut off."""

LEAST_GAIN: Final = 1e-12
"""What an exchange of arms must gain: more than rounding, less than any stated accuracy."""

SUPPORT_TOLERANCE: Final = 1e-12
"""Weights below this come from rounding at a degenerate vertex; their arms need not be live."""


@dataclass(frozen=True, eq=False, slots=True)
class DeploymentSolution:
    """Optimum of one deployment problem.

    Attributes
    ----------
    status : str
        ``"optimal"``; ``"budget_infeasible"`` when no set of `max_deployed` arms meets the budget
        (the answer is then the set with the cheapest mixture); ``"cap_infeasible"`` when the caps
        of any such set sum to less than 1 (the answer is then the set with the largest caps).
    deployed : tuple of int
        The live set, ascending; always min(`max_deployed`, N) arms. Slots that the optimum does
        not need hold the arms with the highest reduced value, estimated reward less cost at the
        budget's price.
    weights : ndarray, shape (N,)
        The optimal mixture d*. It names the live set; it is not a routing distribution.
    objective, spend : float
        Expected reward and cost (USD per query) of the mixture, from the exact LP.
    budget_price : float
        Dual price of the budget within the live set, reward per USD; infinite when it cannot be
        met.
    solved_by : str
        ``"lp"`` when the relaxation fitted into `max_deployed`, ``"highs"`` when not.
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
    solver : {"highs"}
        What solves the MIP.
    previous : sequence of int, optional
        The live set of the last stage, as a starting point.
    current_price : float, default 0.0
        Price of the budget within the set that is live now, reward per USD, finite and not
        negative. Free slots are valued at this price where it is above the optimum's: they hold
        the stand-ins for arms that turn out worse than their optimistic estimates, and then the
        budget is as scarce as it is now.
    time_limit : float, optional
        Seconds that HiGHS may take.

    Returns
    -------
    DeploymentSolution

    Raises
    ------
    InvalidInputError
        If an argument breaks its rule.
    SolverError
        If HiGHS stopped, at the time limit or otherwise, without a proven optimum.
    """
    _check_arguments(max_deployed, solver, current_price, time_limit)
    relaxed = solve_routing_lp(reward, cost, throughput_cap, budget)
    problem = _Problem(
        np.asarray(reward, dtype=np.float64),
        np.asarray(cost, dtype=np.float64),
        np.asarray(throughput_cap, dtype=np.float64),
        float(budget),
        min(max_deployed, np.size(reward)),
        float(current_price),
    )
    if not caps_suffice(problem.cap, problem.slots):
        order = np.lexsort((np.arange(problem.size), problem.cost, -problem.cap))
        return problem.report(order[: problem.slots], "lp")
    support = np.flatnonzero(relaxed.probabilities > SUPPORT_TOLERANCE)
    if support.size <= problem.slots:
        return problem.report(problem.fill(support), "lp")
    mip = _Mip(problem, time_limit)
    chosen = mip.best_feasible_set(previous)
    if chosen is None:
        return problem.report(problem.fill(mip.cheapest_set()), "highs")
    return problem.report(problem.improve(problem.fill(chosen)), "highs")


def _check_arguments(
    max_deployed: int, solver: str, current_price: float, time_limit: float | None
) -> None:
    require(is_whole(max_deployed), "max_deployed", max_deployed, "must be a whole number")
    require(max_deployed >= 1, "max_deployed", max_deployed, "must be at least 1")
    require(solver == "highs", "solver", solver, "must be 'highs'")
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


@dataclass(frozen=True, slots=True)
class _Problem:
    """Validated data, and the exact LP on subsets of the arms."""

    reward: Floats
    cost: Floats
    cap: Floats
    budget: float
    slots: int
    current_price: float

    @property
    def size(self) -> int:
        return self.reward.size

    def solve_on(self, arms: NDArray[np.intp]) -> RoutingSolution:
        return solve_routing_lp(self.reward[arms], self.cost[arms], self.cap[arms], self.budget)

    def fill(self, chosen: NDArray[np.intp]) -> NDArray[np.intp]:
        """Fill free slots by reduced value μ - λc, highest first; ties to the cheaper arm."""
        free = self.slots - chosen.size
        if free == 0:
            return chosen
        price = max(self.solve_on(chosen).budget_price, self.current_price)
        value = self.reward - price * self.cost if np.isfinite(price) else -self.cost
        value[chosen] = -np.inf
        order = np.lexsort((np.arange(self.size), self.cost, -value))
        return np.concatenate([chosen, order[:free]])

    def improve(self, arms: NDArray[np.intp]) -> NDArray[np.intp]:
        """Exchange one arm at a time while the exact LP finds a better set.

        By weak duality an exchange gains at most what the entering arm's cap earns at the prices
        of the present set, less what the leaving arm's earns: hardly any needs to be tried.
        """
        present = self.solve_on(arms)
        score = self.reward - present.budget_price * self.cost
        rent = np.maximum(score - present.mass_price, 0.0) * self.cap
        others = np.setdiff1d(np.flatnonzero(rent > 0.0), arms)
        for slot, entering in product(range(arms.size), others):
            if rent[entering] <= rent[arms[slot]] + LEAST_GAIN:
                continue
            candidate = arms.copy()
            candidate[slot] = entering
            solution = self.solve_on(candidate)
            gain = solution.objective - present.objective
            if solution.status == "optimal" and gain > LEAST_GAIN:
                return self.improve(candidate)
        return arms

    def report(self, arms: NDArray[np.intp], solved_by: str) -> DeploymentSolution:
        arms = np.sort(arms)
        exact = self.solve_on(arms)
        weights = np.zeros(self.size)
        weights[arms] = exact.probabilities
        weights.setflags(write=False)
        return DeploymentSolution(
            status=exact.status,
            deployed=tuple(int(arm) for arm in arms),
            weights=weights,
            objective=exact.objective,
            spend=exact.spend,
            budget_price=exact.budget_price,
            solved_by=solved_by,
        )


class _Mip:
    """The MIP in HiGHS: columns d, then z; rows budget, mass, cardinality, one cap per arm."""

    def __init__(self, problem: _Problem, time_limit: float | None) -> None:
        self.problem = problem
        self.highs = highspy.Highs()
        self.highs.setOptionValue("output_flag", False)  # noqa: FBT003
        self.highs.setOptionValue("mip_rel_gap", 0.0)
        # Far below the differences that decide between two sets; HiGHS's default is 1e-6.
        self.highs.setOptionValue("mip_abs_gap", 1e-12)
        if time_limit is not None:
            self.highs.setOptionValue("time_limit", float(time_limit))
        self._pass_model()

    def _pass_model(self) -> None:
        p, n = self.problem, self.problem.size
        unit = p.budget or float(p.cost.max()) or 1.0
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = 2 * n, n + 3
        model.sense_ = highspy.ObjSense.kMaximize
        model.col_cost_ = np.concatenate([p.reward, np.zeros(n)])
        model.col_lower_ = np.zeros(2 * n)
        model.col_upper_ = np.concatenate([p.cap, np.ones(n)])
        integer, continuous = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
        model.integrality_ = [continuous] * n + [integer] * n
        inf = highspy.kHighsInf
        model.row_lower_ = np.concatenate([[-inf, 1.0, 0.0], np.full(n, -inf)])
        model.row_upper_ = np.concatenate([[p.budget / unit, 1.0, p.slots], np.zeros(n)])
        matrix = model.a_matrix_
        matrix.format_ = highspy.MatrixFormat.kRowwise
        arms = np.arange(n)
        # d_m - α_m z_m <= 0, one row for each arm.
        link_index = np.column_stack([arms, n + arms]).ravel()
        link_value = np.column_stack([np.ones(n), -p.cap]).ravel()
        matrix.start_ = np.concatenate([[0, n, 2 * n], 3 * n + 2 * np.arange(n + 1)])
        matrix.index_ = np.concatenate([arms, arms, n + arms, link_index])
        matrix.value_ = np.concatenate([p.cost / unit, np.ones(2 * n), link_value])
        self._check(self.highs.passModel(model), "passModel")

    def best_feasible_set(self, previous: Sequence[int] | None) -> NDArray[np.intp] | None:
        """Choose the optimal set; None when no set meets the budget."""
        if previous is not None:
            self._start_from(previous)
        for _ in range(MAX_CUTS):
            chosen = self._solve()
            if chosen is None:
                return None
            if self.problem.solve_on(chosen).status == "optimal":
                return chosen
            # Feasible within HiGHS's tolerance only: not this set, nor a part of it.
            self._require_another_than(chosen)
        raise SolverError(
            f"HiGHS chose {MAX_CUTS} sets in a row that meet the budget within its tolerance only"
        )

    def cheapest_set(self) -> NDArray[np.intp]:
        """Choose the set with the cheapest mixture."""
        p, n = self.problem, self.problem.size
        self._pass_model()
        self.highs.changeRowBounds(0, -highspy.kHighsInf, highspy.kHighsInf)
        largest = max(float(p.cost.max()), np.finfo(float).tiny)
        columns = np.arange(n, dtype=np.int32)
        self._check(self.highs.changeColsCost(n, columns, -p.cost / largest), "changeColsCost")
        chosen = self._solve()
        if chosen is None:
            raise SolverError("HiGHS finds no mixture within the caps although one exists")
        return chosen

    def _solve(self) -> NDArray[np.intp] | None:
        """Solve; the arms with weight, or None if infeasible."""
        self._check(self.highs.run(), "run")
        status = self.highs.getModelStatus()
        if status == highspy.HighsModelStatus.kOptimal:
            weights = np.asarray(self.highs.getSolution().col_value)[: self.problem.size]
            # The heaviest first: tolerance may leave dust on an arm that is not live.
            order = np.argsort(-weights, kind="stable")[: self.problem.slots]
            return order[weights[order] > SUPPORT_TOLERANCE]
        if status in (
            highspy.HighsModelStatus.kInfeasible,
            highspy.HighsModelStatus.kUnboundedOrInfeasible,
        ):
            return None
        gap = self.highs.getInfo().mip_gap
        raise SolverError(
            f"the deployment MIP of {self.problem.size} arms ended without a proven optimum: "
            f"{self.highs.modelStatusToString(status)}, relative gap {gap:.3g}; "
            "raise time_limit, or lower the number of candidates"
        )

    def _start_from(self, previous: Sequence[int]) -> None:
        live = np.zeros(self.problem.size)
        live[[arm for arm in previous if 0 <= arm < self.problem.size]] = 1.0
        arms = np.flatnonzero(live)
        if arms.size == 0 or arms.size > self.problem.slots:
            return
        solution = highspy.HighsSolution()
        weights = np.zeros(self.problem.size)
        weights[arms] = self.problem.solve_on(arms).probabilities
        solution.col_value = np.concatenate([weights, live]).tolist()
        self.highs.setSolution(solution)

    def _require_another_than(self, chosen: NDArray[np.intp]) -> None:
        n = self.problem.size
        others = np.setdiff1d(np.arange(n), chosen)
        index = (n + others).astype(np.int32)
        self._check(
            self.highs.addRow(1.0, highspy.kHighsInf, index.size, index, np.ones(index.size)),
            "addRow",
        )

    @staticmethod
    def _check(status: Any, call: str) -> None:
        if status == highspy.HighsStatus.kError:
            raise SolverError(f"HiGHS refused {call}")
