"""The deployment MIP and the MIP over sets alone, solved by HiGHS. The only user of highspy.

HiGHS has a relative MIP gap of 0 and its default feasibility tolerance. That tolerance is absolute,
so the budget row is divided by the budget, and memory by its limit. Sets that HiGHS calls feasible
and that are not, judged exactly, are cut off. HiGHS's own numbers never leave this module.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import highspy
import numpy as np
from numpy.typing import NDArray

from stageroute.deployment.live_sets import LiveSets
from stageroute.deployment.problem import Problem
from stageroute.errors import SolverError

__all__ = ["HighsMip"]

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


class HighsMip:
    """HiGHS, with what time it may still take over all its runs.

    Parameters
    ----------
    previous : sequence of int or None
        A set to start from, if it is allowed. Indices of no arm are passed over.
    time_limit : float or None
        Seconds.
    """

    name: Final = "highs"

    def __init__(self, previous: Sequence[int] | None, time_limit: float | None) -> None:
        self._previous = previous
        self._time = _SolverTime(time_limit)

    def best(self, problem: Problem) -> Arms | None:
        """Choose the allowed set of the highest value; None when none meets budget and caps.

        Raises
        ------
        SolverError
            If HiGHS stopped without a proven optimum.
        """
        n = problem.size
        model = _Model(self._time)
        weight = model.add_columns(problem.reward, np.zeros(n), problem.cap)
        live = model.add_live_columns(-problem.charge, problem.sets)
        unit = problem.budget or float(max(problem.cost.max(), problem.start.max())) or 1.0
        money = np.concatenate([problem.cost, problem.start]) / unit
        used = np.flatnonzero(money)
        model.add_row(-np.inf, problem.budget / unit, np.append(weight, live)[used], money[used])
        model.add_row(1.0, 1.0, weight, np.ones(n))
        providers = model.add_set_rows(problem.sets, live)
        for arm, cap in enumerate(problem.cap):
            model.add_row(-np.inf, 0.0, np.array([weight[arm], live[arm]]), np.array([1.0, -cap]))
        model.load()
        if self._previous is not None:
            previous = np.unique([arm for arm in self._previous if 0 <= arm < n])
            _start_from(model, problem, previous, providers)

        def is_feasible(arms: Arms) -> bool:
            return problem.outcome(arms).status == "optimal"

        return _first_exact(model, live, problem.sets, is_feasible, problem.start > 0.0)

    def cheapest(self, problem: Problem) -> Arms | None:
        """Choose the allowed set of the lowest spend; None when the caps of none suffice."""
        return self.best(problem.cheapest())

    def largest(self, problem: Problem) -> Arms | None:
        """Choose the allowed set of the largest caps; None when no set is allowed."""
        return self.best(problem.largest())

    def allows_any(self, sets: LiveSets) -> bool:
        """Whether there is a set that may be live, whatever it costs and can take."""
        model = _Model(self._time)
        live = model.add_live_columns(np.zeros(sets.size), sets)
        model.add_row(1.0, np.inf, live, np.ones(sets.size))
        model.add_set_rows(sets, live)
        model.load()
        no_start = np.zeros(sets.size, dtype=np.bool_)
        return _first_exact(model, live, sets, lambda _: True, no_start) is not None


class _SolverTime:
    """Seconds that HiGHS may still take for one deployment, over all its runs."""

    def __init__(self, limit: float | None) -> None:
        self.left = None if limit is None else float(limit)


def _first_exact(
    model: "_Model",
    live: Columns,
    sets: LiveSets,
    is_feasible: Callable[[Arms], bool],
    has_start: NDArray[np.bool_],
) -> Arms | None:
    """Solve, and cut off what is feasible within HiGHS's tolerance only."""
    for _ in range(MAX_CUTS):
        values = model.maximise(sets.size)
        if values is None:
            return None
        arms = np.flatnonzero(values[live] > 0.5)
        if not sets.allows(arms):
            # Only memory can be exceeded by so little.
            cover, most = sets.cover(arms)
            model.cut(-np.inf, float(most), live[cover], np.ones(cover.size))
        elif is_feasible(arms):
            return arms
        else:
            # Another arm, or one start less to pay for.
            others = np.setdiff1d(np.arange(sets.size), arms)
            paid = arms[has_start[arms]]
            sign = np.append(np.ones(others.size), -np.ones(paid.size))
            columns = np.append(live[others], live[paid])
            model.cut(1.0 - paid.size, np.inf, columns, sign)
    raise SolverError(
        f"HiGHS chose {MAX_CUTS} sets in a row that are feasible within its tolerance only"
    )


def _start_from(model: "_Model", problem: Problem, arms: Arms, providers: Arms) -> None:
    """Give HiGHS a set to start from, where it is one that may be live."""
    if not problem.sets.allows(arms):
        return
    weights, live = np.zeros(problem.size), np.zeros(problem.size)
    weights[arms] = problem.outcome(arms).probabilities
    live[arms] = 1.0
    present = np.isin(providers, problem.sets.provider[arms])
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

    def add_live_columns(self, value: Floats, sets: LiveSets) -> Columns:
        lower, upper = sets.pinned.astype(np.float64), np.ones(sets.size)
        live = self.add_columns(value, lower, upper, integer=True)
        for arm in np.flatnonzero(sets.forbidden):
            # A row, since a bound below that of a pinned arm would be refused as bad input.
            self.add_row(-np.inf, 0.0, live[[arm]], np.ones(1))
        return live

    def add_set_rows(self, sets: LiveSets, live: Columns) -> Arms:
        """Add the constraints on sets; the providers that got a column."""
        for limit in sets.limits:
            use = np.floor(limit.use / MEMORY_GRAIN + ROUNDING) * MEMORY_GRAIN
            used = np.flatnonzero(use)
            self.add_row(-np.inf, limit.most, live[used], use[used])
        if sets.min_providers <= 1:
            return np.zeros(0, dtype=np.intp)
        providers = np.unique(sets.provider)
        zeros, ones = np.zeros(providers.size), np.ones(providers.size)
        present = self.add_columns(zeros, zeros, ones)
        self.add_row(float(sets.min_providers), np.inf, present, ones)
        for number, column in zip(providers, present, strict=True):
            # A provider is present only if one of its arms is live.
            own = live[sets.provider == number]
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
