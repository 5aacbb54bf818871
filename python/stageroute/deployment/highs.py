"""The deployment MIP, solved by HiGHS: a solver of sets for the core. The only user of highspy.

HiGHS has a relative MIP gap of 0 and its default feasibility tolerance. That tolerance is absolute,
so the budget row is divided by the budget, and memory by its limit. Sets that HiGHS calls feasible
and that are not, judged exactly, are cut off. HiGHS's own numbers never leave this module.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import highspy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stageroute._core import FACTS, solve_deployment
from stageroute.config.constraints import DeploymentConstraints, existing_arms
from stageroute.deployment.constraints import name_constraints
from stageroute.errors import SolverError

if TYPE_CHECKING:
    from stageroute._core import CoreConstraints

Floats = NDArray[np.float64]
Arms = NDArray[np.intp]
Data: TypeAlias = tuple[ArrayLike, ArrayLike, ArrayLike, float, int]
"""Rewards, costs, caps, budget and slots, as `_core.solve_deployment` takes them."""

Row: TypeAlias = tuple[float, float, Arms, Floats]
"""Bounds, columns, and their entries."""

MAX_CUTS: Final = 100
"""How many sets that HiGHS calls feasible within its tolerance, and that are not, are cut off."""

INFEASIBLE: Final = (
    highspy.HighsModelStatus.kInfeasible,
    highspy.HighsModelStatus.kUnboundedOrInfeasible,
)

OBJECTIVE_SCALE: Final = 1000.0
"""HiGHS prunes what is not better by 1e-6, its feasibility tolerance. In thousandths that is 1e-9
of a reward."""

MEMORY_GRAIN: Final = 1e-5
"""Memory is counted for HiGHS in this share of its limit, rounded down. With differences near its
tolerance in a row of 0-1 variables, presolve calls feasible problems infeasible (1.15.1). Sets that
exceed the limit by less than the grain are judged exactly, and cut off."""

ROUNDING: Final = 1e-6
"""In grains: what division adds to or takes from a whole number of them."""


class _SetProblem:
    """A problem as arrays, and what a goal makes of it."""

    def __init__(self, data: Data, asked: "CoreConstraints", goal: str) -> None:
        self.goal, self.asked, self.budget, self.max_deployed = goal, asked, data[3], data[4]
        self.reward, self.cost, self.cap = (np.asarray(v, dtype=np.float64) for v in data[:3])
        n = self.size = self.cost.size
        self.start, self.pinned = self.asked["start"], self.asked["pinned"]
        self.uses = np.concatenate([self.asked["uses"].reshape(-1, n), np.ones((1, n))])
        self.most = np.append(self.asked["most"], float(self.max_deployed))
        self.provider = np.array(self.asked["provider"])
        is_asked = self.asked["min_providers"] > 1
        self.providers = np.unique(self.provider) if is_asked else self.provider[:0]
        self.gain, self.gain_by_life, self.share = self.reward, np.zeros(n), self.cap
        if goal == "cheapest":
            least = float(np.finfo(float).tiny)
            unit = max(float(self.cost.max()), float(self.start.max()), least)
            self.gain, self.gain_by_life = 1.0 - self.cost / unit, -self.start / unit
        elif goal == "largest":
            self.gain, self.gain_by_life, self.share = np.zeros(n), self.cap, np.ones(n)
        # Where the budget does not matter, neither does what a start takes of it.
        self.is_paid = (self.start > 0.0) & (goal == "best")

    def mixture(self, arms: Arms) -> Floats | None:
        """Return the exact mixture of a set; None if it has none, or may not be live.

        It is that of the problem over these arms, all of them pinned.
        """
        if arms.size == 0 or self.pinned[arms].sum() < self.pinned.sum():
            return None
        own: CoreConstraints = {
            "start": self.start[arms],
            "most": self.asked["most"],
            "uses": self.uses[:-1, arms].ravel(),
            "pinned": np.ones(arms.size, dtype=np.bool_),
            "forbidden": self.asked["forbidden"][arms],
            "provider": self.provider[arms].tolist(),
            "min_providers": self.asked["min_providers"],
        }
        data = self.reward[arms], self.cost[arms], self.cap[arms], self.budget, self.max_deployed
        answer = solve_deployment(*data, own, 0.0, None, None)
        if answer is None:
            return None
        status, weights = answer[0], answer[2]
        if self.goal == "largest":
            return np.append(1.0, np.zeros(arms.size - 1))
        is_possible = status == "optimal" if self.goal == "best" else status != "cap_infeasible"
        return weights if is_possible else None

    def rows(self) -> Iterator[Row]:
        """Yield the rows of the MIP; columns are weights, then live arms, then providers."""
        n = self.size
        weight, live, present = np.split(np.arange(2 * n + self.providers.size), [n, 2 * n])
        for arm in np.flatnonzero(self.asked["forbidden"]):
            # A row, since a bound below that of a pinned arm would be refused as bad input.
            yield -np.inf, 0.0, live[[arm]], np.ones(1)
        if self.goal == "best":
            unit = self.budget or float(max(self.cost.max(), self.start.max())) or 1.0
            money = np.concatenate([self.cost, self.start]) / unit
            yield -np.inf, self.budget / unit, np.flatnonzero(money), money[money != 0.0]
        yield 1.0, 1.0, weight, np.ones(n)
        for exact_use, most in zip(self.uses, self.most, strict=True):
            use = np.floor(exact_use / MEMORY_GRAIN + ROUNDING) * MEMORY_GRAIN
            yield -np.inf, float(most), live[use != 0.0], use[use != 0.0]
        if present.size:
            yield float(self.asked["min_providers"]), np.inf, present, np.ones(present.size)
        for number, column in zip(self.providers, present, strict=True):
            # A provider is present only if one of its arms is live.
            own = live[self.provider == number]
            yield -np.inf, 0.0, np.append(own, column), np.append(-np.ones(own.size), 1.0)
        for pair, share in zip(np.stack([weight, live], axis=1), self.share, strict=True):
            yield -np.inf, 0.0, pair, np.array([1.0, -share])

    def mip(self) -> Any:
        """Build the MIP for HiGHS."""
        n, extra = self.size, self.providers.size
        lower, upper, index, value = zip(*self.rows(), strict=True)
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = 2 * n + extra, len(lower)
        model.sense_ = highspy.ObjSense.kMaximize
        gain = np.concatenate([self.gain, self.gain_by_life, np.zeros(extra)])
        model.col_cost_ = OBJECTIVE_SCALE * gain
        model.col_lower_ = np.concatenate([np.zeros(n), self.pinned, np.zeros(extra)])
        model.col_upper_ = np.concatenate([self.share, np.ones(n + extra)])
        integer, continuous = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
        model.integrality_ = [continuous] * n + [integer] * n + [continuous] * extra
        # HiGHS's infinity is the floating-point one.
        model.row_lower_, model.row_upper_ = np.array(lower), np.array(upper)
        matrix = model.a_matrix_
        matrix.format_ = highspy.MatrixFormat.kRowwise
        matrix.start_ = np.cumsum([0] + [columns.size for columns in index])
        matrix.index_ = np.concatenate(index).astype(np.int32)
        matrix.value_ = np.concatenate(value)
        return model

    def cover(self, arms: Arms) -> tuple[Arms, int] | None:
        """Find arms of which at most a number can be live, given a set that exceeds a limit.

        The fewest arms of the set that exceed it, and every arm that uses more than any of those:
        any as many of them exceed it too (an extended cover).
        """
        for use, most in zip(self.uses, self.most, strict=True):
            largest_first = arms[np.argsort(-use[arms], kind="stable")]
            exceeds = np.cumsum(use[largest_first]) > most + FACTS["limit_tolerance"]
            if exceeds.any():
                fewest = largest_first[: int(np.argmax(exceeds)) + 1]
                larger = np.flatnonzero(use >= use[fewest].max())
                return np.union1d(fewest, larger), fewest.size - 1
        return None


class HighsSolver:
    """HiGHS as a solver of sets for one problem; `time_limit` is for all its runs together.

    It starts from the `previous` set, if that is allowed. Indices of no arm are passed over.
    """

    _problem: "_SetProblem"
    _highs: Any

    def __init__(
        self,
        data: Data,
        asked: "CoreConstraints",
        previous: Sequence[int] | None,
        time_limit: float | None,
    ) -> None:
        self._data, self._asked = data, asked
        self._previous = existing_arms(previous, np.size(data[0]))
        self._time_left = None if time_limit is None else float(time_limit)

    def __call__(self, goal: str, is_constrained: bool) -> list[int] | None:  # noqa: FBT001
        """Choose the allowed set that is "best", "cheapest" or "largest"; None if there is none."""
        asked = self._asked
        if not is_constrained:
            size = np.size(self._data[0])
            asked = name_constraints(DeploymentConstraints(), size, None, None).for_core()
        self._problem, self._highs = _SetProblem(self._data, asked, goal), highspy.Highs()
        self._highs.setOptionValue("output_flag", False)  # noqa: FBT003
        self._highs.setOptionValue("mip_rel_gap", 0.0)
        # Far below the differences that decide between two sets; HiGHS's default is 1e-6.
        self._highs.setOptionValue("mip_abs_gap", 1e-12)
        self._check(self._highs.passModel(self._problem.mip()), "passModel")
        self._start_from(self._previous)
        return self._first_exact()

    def _start_from(self, arms: Arms) -> None:
        """Give HiGHS a set to start from, where it is one that may be live."""
        problem = self._problem
        mixture = problem.mixture(arms)
        if mixture is None:
            return
        weights, live = np.zeros(problem.size), np.zeros(problem.size)
        weights[arms], live[arms] = mixture, 1.0
        present = np.isin(problem.providers, problem.provider[arms])
        solution = highspy.HighsSolution()
        solution.col_value = np.concatenate([weights, live, present]).tolist()
        self._highs.setSolution(solution)

    def _first_exact(self) -> list[int] | None:
        """Solve, and cut off what is feasible within HiGHS's tolerance only."""
        problem = self._problem
        for _ in range(MAX_CUTS):
            values = self._maximise()
            if values is None:
                return None
            arms = np.flatnonzero(values[problem.size : 2 * problem.size] > 0.5)
            # Only memory can be exceeded by so little; all else is whole numbers.
            cover = problem.cover(arms)
            if cover is not None:
                self._cut(-np.inf, float(cover[1]), cover[0], np.ones(cover[0].size))
            elif problem.mixture(arms) is not None:
                chosen: list[int] = arms.tolist()
                return chosen
            else:
                # Another arm, or one start less to pay for.
                others = np.setdiff1d(np.arange(problem.size), arms)
                paid = arms[problem.is_paid[arms]]
                sign = np.append(np.ones(others.size), -np.ones(paid.size))
                self._cut(1.0 - paid.size, np.inf, np.append(others, paid), sign)
        raise SolverError(
            f"HiGHS chose {MAX_CUTS} sets in a row that are feasible within its tolerance only"
        )

    def _cut(self, lower: float, upper: float, arms: Arms, value: Floats) -> None:
        live = (self._problem.size + arms).astype(np.int32)
        self._check(self._highs.addRow(lower, upper, live.size, live, value), "addRow")

    def _maximise(self) -> Floats | None:
        """Solve; the columns' values, or None if infeasible."""
        run, status = self._run()
        if run == highspy.HighsStatus.kError or status in INFEASIBLE:
            # Presolve is wrong at times where caps or memory meet a limit within the tolerance, and
            # can end in a point outside the tolerance, which HiGHS then finds itself.
            self._highs.setOptionValue("presolve", "off")
            self._highs.clearSolver()
            run, status = self._run()
        self._check(run, "run")
        if status == highspy.HighsModelStatus.kOptimal:
            return np.asarray(self._highs.getSolution().col_value)
        if status in INFEASIBLE:
            return None
        gap = self._highs.getInfo().mip_gap
        raise SolverError(
            f"the deployment MIP of {self._problem.size} arms ended without a proven optimum: "
            f"{self._highs.modelStatusToString(status)}, relative gap {gap:.3g}; "
            "raise time_limit, or lower the number of candidates"
        )

    def _run(self) -> tuple[Any, Any]:
        if self._time_left is not None:
            self._highs.setOptionValue("time_limit", self._time_left)
        before = self._highs.getRunTime()
        status = self._highs.run()
        if self._time_left is not None:
            self._time_left = max(self._time_left - (self._highs.getRunTime() - before), 0.0)
        return status, self._highs.getModelStatus()

    @staticmethod
    def _check(status: Any, call: str) -> None:
        if status == highspy.HighsStatus.kError:
            raise SolverError(f"HiGHS refused {call}")


def maximise(gain: Floats, rows: Floats, least: Floats, most: Floats) -> tuple[Floats, Floats]:
    """Return the x >= 0 of the largest gain·x for which rows x is in [least, most], and the duals.

    Raises
    ------
    SolverError
        If HiGHS found no optimum.
    """
    highs, model = highspy.Highs(), highspy.HighsLp()
    highs.setOptionValue("output_flag", False)  # noqa: FBT003
    model.num_row_, model.num_col_ = rows.shape
    model.sense_, model.col_cost_ = highspy.ObjSense.kMaximize, gain
    model.col_lower_, model.col_upper_ = np.zeros(gain.size), np.full(gain.size, np.inf)
    model.row_lower_, model.row_upper_ = least, most
    at_row, at_column = np.nonzero(rows)
    matrix = model.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kRowwise
    matrix.start_ = np.searchsorted(at_row, np.arange(len(rows) + 1))
    matrix.index_, matrix.value_ = at_column.astype(np.int32), rows[at_row, at_column]
    highs.passModel(model)
    highs.run()
    status = highs.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise SolverError(f"the LP has no optimum: {highs.modelStatusToString(status)}")
    solution = highs.getSolution()
    return np.array(solution.col_value), np.array(solution.row_dual)
