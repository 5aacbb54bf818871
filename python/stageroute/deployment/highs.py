"""The deployment MIP, solved by HiGHS: a solver of sets for the core. The only user of highspy.

HiGHS has a relative MIP gap of 0 and its default feasibility tolerance. That tolerance is absolute,
so the budget row is divided by the budget, and memory by its limit. Sets that HiGHS calls feasible
and that are not, judged exactly, are cut off. HiGHS's own numbers never leave this module.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import highspy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stageroute._core import FACTS, mixture_of_set
from stageroute.config.constraints import DeploymentConstraints
from stageroute.deployment.constraints import name_constraints
from stageroute.errors import SolverError

if TYPE_CHECKING:
    from stageroute._core import CoreConstraints

__all__ = ["DeploymentData", "HighsSolver"]

Floats = NDArray[np.float64]
Arms = NDArray[np.intp]
Columns = NDArray[np.int32]

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


class DeploymentData(NamedTuple):
    """The data of a deployment problem, as `_core.solve_deployment` takes them."""

    reward: ArrayLike
    cost: ArrayLike
    throughput_cap: ArrayLike
    budget: float
    max_deployed: int
    constraints: "CoreConstraints"


class HighsSolver:
    """HiGHS, with what time it may still take over all its runs for one problem.

    Parameters
    ----------
    data : DeploymentData
    previous : sequence of int or None
        A set to start from, if it is allowed. Indices of no arm are passed over.
    time_limit : float or None
        Seconds.
    """

    def __init__(
        self, data: DeploymentData, previous: Sequence[int] | None, time_limit: float | None
    ) -> None:
        self._data = data
        self._previous = previous
        self._time = _SolverTime(time_limit)

    def __call__(self, goal: str, is_constrained: bool) -> list[int] | None:  # noqa: FBT001
        """Choose the allowed set that is "best", "cheapest" or "largest"; None if there is none.

        Raises
        ------
        SolverError
            If HiGHS stopped without a proven optimum.
        """
        data = self._data
        if not is_constrained:
            none = name_constraints(DeploymentConstraints(), np.size(data.reward), None, None)
            data = data._replace(constraints=none.for_core())
        problem = _SetProblem(data, goal)
        n = problem.size
        model = _Model(self._time)
        weight = model.add_columns(problem.gain, np.zeros(n), problem.cap)
        live = model.add_live_columns(problem)
        if goal == "best":
            unit = data.budget or float(max(problem.cost.max(), problem.start.max())) or 1.0
            money = np.concatenate([problem.cost, problem.start]) / unit
            used = np.flatnonzero(money)
            columns = np.append(weight, live)[used]
            model.add_row(-np.inf, data.budget / unit, columns, money[used])
        model.add_row(1.0, 1.0, weight, np.ones(n))
        providers = model.add_set_rows(problem, live)
        for arm, cap in enumerate(problem.cap):
            model.add_row(-np.inf, 0.0, np.array([weight[arm], live[arm]]), np.array([1.0, -cap]))
        model.load()
        if self._previous is not None:
            previous = np.unique([arm for arm in self._previous if 0 <= arm < n])
            _start_from(model, problem, previous.astype(np.intp), providers)
        return _first_exact(model, live, problem)


class _SetProblem:
    """A problem as arrays, and what a goal makes of it."""

    def __init__(self, data: DeploymentData, goal: str) -> None:
        self._asked = goal, *data
        self.cost = np.asarray(data.cost, dtype=np.float64)
        self.cap = np.asarray(data.throughput_cap, dtype=np.float64)
        n = self.size = self.cost.size
        asked = data.constraints
        self.start, self.pinned, self.forbidden = (
            asked["start"],
            asked["pinned"],
            asked["forbidden"],
        )
        self.uses = np.concatenate([asked["uses"].reshape(-1, n), np.ones((1, n))])
        self.most = np.append(asked["most"], float(data.max_deployed))
        self.provider, self.min_providers = np.array(asked["provider"]), asked["min_providers"]
        self.gain, self.gain_by_life = np.asarray(data.reward, dtype=np.float64), np.zeros(n)
        if goal == "cheapest":
            least = float(np.finfo(float).tiny)
            unit = max(float(self.cost.max()), float(self.start.max()), least)
            self.gain, self.gain_by_life = 1.0 - self.cost / unit, -self.start / unit
        elif goal == "largest":
            self.gain, self.gain_by_life, self.cap = np.zeros(n), self.cap, np.ones(n)
        # Where the budget does not matter, neither does what a start takes of it.
        self.is_paid = (self.start > 0.0) & (goal == "best")

    def mixture(self, arms: Arms) -> list[float] | None:
        """Return the exact mixture of a set; None if it has none, or may not be live."""
        return mixture_of_set(arms.tolist(), *self._asked)

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


class _SolverTime:
    """Seconds that HiGHS may still take for one deployment, over all its runs."""

    def __init__(self, limit: float | None) -> None:
        self.left = None if limit is None else float(limit)


def _first_exact(model: "_Model", live: Columns, problem: _SetProblem) -> list[int] | None:
    """Solve, and cut off what is feasible within HiGHS's tolerance only."""
    for _ in range(MAX_CUTS):
        values = model.maximise(problem.size)
        if values is None:
            return None
        arms = np.flatnonzero(values[live] > 0.5)
        # Only memory can be exceeded by so little; all else is whole numbers.
        cover = problem.cover(arms)
        if cover is not None:
            columns, most = live[cover[0]], float(cover[1])
            model.cut(-np.inf, most, columns, np.ones(columns.size))
        elif problem.mixture(arms) is not None:
            chosen: list[int] = arms.tolist()
            return chosen
        else:
            # Another arm, or one start less to pay for.
            others = np.setdiff1d(np.arange(problem.size), arms)
            paid = arms[problem.is_paid[arms]]
            sign = np.append(np.ones(others.size), -np.ones(paid.size))
            columns = np.append(live[others], live[paid])
            model.cut(1.0 - paid.size, np.inf, columns, sign)
    raise SolverError(
        f"HiGHS chose {MAX_CUTS} sets in a row that are feasible within its tolerance only"
    )


def _start_from(model: "_Model", problem: _SetProblem, arms: Arms, providers: Arms) -> None:
    """Give HiGHS a set to start from, where it is one that may be live."""
    mixture = problem.mixture(arms)
    if mixture is None:
        return
    weights, live = np.zeros(problem.size), np.zeros(problem.size)
    weights[arms], live[arms] = mixture, 1.0
    present = np.isin(providers, problem.provider[arms])
    model.start_from(np.concatenate([weights, live, present.astype(np.float64)]))


class _Model:
    """A model in HiGHS, put together column by column and row by row."""

    def __init__(self, time: _SolverTime) -> None:
        self._time = time
        self._columns: list[tuple[Floats, Floats, Floats]] = []
        self._integer: list[bool] = []
        self._rows: list[tuple[float, float]] = []
        self._index: list[Columns] = []
        self._value: list[Floats] = []
        self._highs = highspy.Highs()
        self._highs.setOptionValue("output_flag", False)  # noqa: FBT003
        self._highs.setOptionValue("mip_rel_gap", 0.0)
        # Far below the differences that decide between two sets; HiGHS's default is 1e-6.
        self._highs.setOptionValue("mip_abs_gap", 1e-12)

    def add_columns(
        self, value: Floats, lower: Floats, upper: Floats, *, integer: bool = False
    ) -> Columns:
        first = len(self._integer)
        self._columns.append((OBJECTIVE_SCALE * value, lower, upper))
        self._integer += [integer] * value.size
        return np.arange(first, first + value.size, dtype=np.int32)

    def add_live_columns(self, problem: _SetProblem) -> Columns:
        lower, upper = problem.pinned.astype(np.float64), np.ones(problem.size)
        live = self.add_columns(problem.gain_by_life, lower, upper, integer=True)
        for arm in np.flatnonzero(problem.forbidden):
            # A row, since a bound below that of a pinned arm would be refused as bad input.
            self.add_row(-np.inf, 0.0, live[[arm]], np.ones(1))
        return live

    def add_set_rows(self, problem: _SetProblem, live: Columns) -> Arms:
        """Add the constraints on sets; the providers that got a column."""
        for exact_use, most in zip(problem.uses, problem.most, strict=True):
            use = np.floor(exact_use / MEMORY_GRAIN + ROUNDING) * MEMORY_GRAIN
            used = np.flatnonzero(use)
            self.add_row(-np.inf, most, live[used], use[used])
        least = problem.min_providers
        if least <= 1:
            return np.zeros(0, dtype=np.intp)
        providers = np.unique(problem.provider)
        zeros, ones = np.zeros(providers.size), np.ones(providers.size)
        present = self.add_columns(zeros, zeros, ones)
        self.add_row(float(least), np.inf, present, ones)
        for number, column in zip(providers, present, strict=True):
            # A provider is present only if one of its arms is live.
            own = live[problem.provider == number]
            sign = np.append(-np.ones(own.size), 1.0)
            self.add_row(-np.inf, 0.0, np.append(own, column), sign)
        return providers

    def add_row(self, lower: float, upper: float, index: Columns, value: Floats) -> None:
        self._rows.append((lower, upper))
        self._index.append(index)
        self._value.append(value)

    def load(self) -> None:
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = len(self._integer), len(self._rows)
        model.sense_ = highspy.ObjSense.kMaximize
        value, lower, upper = (np.concatenate(parts) for parts in zip(*self._columns, strict=True))
        model.col_cost_, model.col_lower_, model.col_upper_ = value, lower, upper
        integer, continuous = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
        model.integrality_ = [integer if yes else continuous for yes in self._integer]
        # HiGHS's infinity is the floating-point one.
        model.row_lower_, model.row_upper_ = np.array(self._rows).T.copy()
        matrix = model.a_matrix_
        matrix.format_ = highspy.MatrixFormat.kRowwise
        matrix.start_ = np.cumsum([0] + [index.size for index in self._index])
        matrix.index_ = np.concatenate(self._index)
        matrix.value_ = np.concatenate(self._value)
        self._check(self._highs.passModel(model), "passModel")

    def cut(self, lower: float, upper: float, index: Columns, value: Floats) -> None:
        self._check(self._highs.addRow(lower, upper, index.size, index, value), "addRow")

    def start_from(self, columns: Floats) -> None:
        solution = highspy.HighsSolution()
        solution.col_value = columns.tolist()
        self._highs.setSolution(solution)

    def maximise(self, size: int) -> Floats | None:
        """Solve; the columns' values, or None if infeasible."""
        status = self._run()
        if status in INFEASIBLE:
            # Presolve is wrong at times where caps or memory meet a limit within the tolerance.
            status = self._run_without_presolve()
        if status == highspy.HighsModelStatus.kOptimal:
            return np.asarray(self._highs.getSolution().col_value)
        if status in INFEASIBLE:
            return None
        gap = self._highs.getInfo().mip_gap
        raise SolverError(
            f"the deployment MIP of {size} arms ended without a proven optimum: "
            f"{self._highs.modelStatusToString(status)}, relative gap {gap:.3g}; "
            "raise time_limit, or lower the number of candidates"
        )

    def _run(self) -> Any:
        try:
            return self._run_within_time()
        except SolverError:
            # Presolve can end in a point outside the tolerance, which HiGHS then finds itself.
            return self._run_without_presolve()

    def _run_without_presolve(self) -> Any:
        self._highs.setOptionValue("presolve", "off")
        self._highs.clearSolver()
        return self._run_within_time()

    def _run_within_time(self) -> Any:
        if self._time.left is not None:
            self._highs.setOptionValue("time_limit", self._time.left)
        before = self._highs.getRunTime()
        status = self._highs.run()
        if self._time.left is not None:
            self._time.left = max(self._time.left - (self._highs.getRunTime() - before), 0.0)
        self._check(status, "run")
        return self._highs.getModelStatus()

    @staticmethod
    def _check(status: Any, call: str) -> None:
        if status == highspy.HighsStatus.kError:
            raise SolverError(f"HiGHS refused {call}")
