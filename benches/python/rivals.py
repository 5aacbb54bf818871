"""What the product is measured against: the same method, written with the usual tools.

Every rival computes what `stageroute.StageRouter` computes with its defaults: Welford's running
moments, empirical Bernstein bounds with forced visits, the paced budget, the routing LP over the
live models, a draw from its optimum. `tests/python/test_benches.py` asserts that statistics,
bounds and probabilities agree at every step.

- `NumpyHighsRouter`: numpy arrays, bounds of all arms at once, and one HiGHS object that keeps its
  basis from query to query. HiGHS runs with its default options.
- `TunedHighsRouter`: the same, as fast as we could make it: bounds of the observed arm alone in
  plain floats, one column changed, presolve off, one thread, primal simplex (the fastest of
  HiGHS's strategies here: a change of a column keeps the old vertex feasible).
- In `numba_rival`: compiled code throughout.

What they leave out, which makes them faster and the comparison harder for us: decision ids,
feedback that comes late or in part, checks of the arguments, stages that end by themselves, locks,
counters, seeds that mean the same on every platform, the budget's price in the answer.
"""

import math
from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "KeptLp",
    "NumpyHighsRouter",
    "Settings",
    "TunedHighsRouter",
    "cheapest_mixture",
    "solve_plain_mip",
]

Floats = NDArray[np.float64]
Arms = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a router is told. Fields as in `stageroute.Confidence` and `stageroute.StageRouter`."""

    caps: tuple[float, ...]
    budget: float
    cost_ceiling: float
    gamma: float = 0.25
    min_visits: int = 20
    pacing_horizon: float = 500.0


# ---- HiGHS -------------------------------------------------------------------------------------


class KeptLp:
    """The routing LP in one HiGHS object, whose last basis is the start of every solve.

    The budget row is divided by `unit`: HiGHS's feasibility tolerance is absolute.
    """

    def __init__(
        self, reward: Floats, cost: Floats, cap: Floats, unit: float, *, is_tuned: bool
    ) -> None:
        arms = cap.size
        self._unit = unit
        self._columns = np.arange(arms, dtype=np.int32)
        self.highs = highspy.Highs()
        self.highs.setOptionValue("output_flag", False)  # noqa: FBT003
        if is_tuned:
            options = {"presolve": "off", "solver": "simplex", "simplex_strategy": 4, "threads": 1}
            for option, value in options.items():
                self.highs.setOptionValue(option, value)
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = arms, 2
        model.sense_ = highspy.ObjSense.kMaximize
        model.col_cost_ = reward
        model.col_lower_, model.col_upper_ = np.zeros(arms), cap
        model.row_lower_, model.row_upper_ = np.array([-highspy.kHighsInf, 1.0]), np.ones(2)
        matrix = model.a_matrix_
        matrix.format_ = highspy.MatrixFormat.kRowwise
        matrix.start_ = np.array([0, arms, 2 * arms])
        matrix.index_ = np.tile(np.arange(arms), 2)
        matrix.value_ = np.concatenate([cost / unit, np.ones(arms)])
        self.highs.passModel(model)

    def set_rewards(self, reward: Floats) -> None:
        """Replace every reward."""
        self.highs.changeColsCost(self._columns.size, self._columns, reward)

    def set_reward(self, arm: int, reward: float) -> None:
        """Replace the reward of one arm."""
        self.highs.changeColCost(arm, reward)

    def set_cost(self, arm: int, cost: float) -> None:
        """Replace the cost of one arm."""
        self.highs.changeCoeff(0, arm, cost / self._unit)

    def set_budget(self, budget: float) -> None:
        """Replace the budget."""
        self.highs.changeRowBounds(0, -highspy.kHighsInf, budget / self._unit)

    def solve(self) -> list[float] | None:
        """Return the optimal mixture, or None where the budget cannot be met."""
        self.highs.run()
        if self.highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        weights: list[float] = self.highs.getSolution().col_value
        return weights


def cheapest_mixture(cost: Floats, cap: Floats) -> Floats:
    """Fill the caps in order of cost: what serves while the budget cannot be met."""
    weights = np.zeros(cap.size)
    left = 1.0
    for arm in np.argsort(cost, kind="stable"):
        weights[arm] = min(cap[arm], left)
        left -= weights[arm]
    return weights


class NumpyHighsRouter:
    """The method with numpy arrays and one kept HiGHS object.

    Attributes
    ----------
    count, mean, m2 : ndarray, shape (2, N)
        Running moments; row 0 of the rewards, row 1 of the costs.
    reward_ucb, cost_lcb : ndarray, shape (N,)
    """

    is_tuned = False

    def __init__(self, settings: Settings, seed: int) -> None:
        arms = len(settings.caps)
        self.settings = settings
        self.caps = np.array(settings.caps)
        self.count, self.mean, self.m2 = (np.zeros((2, arms)) for _ in range(3))
        self.reward_ucb, self.cost_lcb = np.ones(arms), np.zeros(arms)
        self.queries, self.billed = 0, 0.0
        self._generator = np.random.default_rng(seed)
        self.deploy(np.arange(arms))

    def deploy(self, live: Arms) -> None:
        """Begin a stage: a new LP over the live arms."""
        self.live = live
        self._arm_of_slot: list[int] = live.tolist()
        self._slot_of_arm = {arm: slot for slot, arm in enumerate(self._arm_of_slot)}
        self.lp = KeptLp(
            self.reward_ucb[live],
            self.cost_lcb[live],
            self.caps[live],
            self.settings.budget,
            is_tuned=self.is_tuned,
        )

    def paced_budget(self) -> float:
        """Return b − (billed − b t) / H within [0, 2b], the budget of the next LP."""
        budget = self.settings.budget
        overspend = self.billed - budget * self.queries
        return min(max(budget - overspend / self.settings.pacing_horizon, 0.0), 2.0 * budget)

    def solve(self) -> list[float]:
        """Return the routing distribution of the next query over the live arms."""
        self.lp.set_budget(self.paced_budget())
        weights = self.lp.solve()
        if weights is None:
            mixture: list[float] = cheapest_mixture(
                self.cost_lcb[self.live], self.caps[self.live]
            ).tolist()
            return mixture
        return weights

    def route(self) -> tuple[int, float]:
        """Decide on a query: arm and its probability."""
        weights = self.solve()
        drawn = np.searchsorted(np.cumsum(weights), self._generator.random(), side="right")
        slot = min(int(drawn), len(weights) - 1)
        self.queries += 1
        return self._arm_of_slot[slot], weights[slot]

    def observe(self, arm: int, reward: float, cost: float) -> None:
        """Learn what a decision brought."""
        outcome = np.array([reward, cost])
        self.count[:, arm] += 1.0
        delta = outcome - self.mean[:, arm]
        self.mean[:, arm] += delta / self.count[:, arm]
        self.m2[:, arm] += delta * (outcome - self.mean[:, arm])
        self.billed += cost
        self._update_bounds()
        self.lp.set_rewards(self.reward_ucb[self.live])
        self.lp.set_cost(self._slot_of_arm[arm], float(self.cost_lcb[arm]))

    def _update_bounds(self) -> None:
        """Compute the bounds of every arm, costs in units of the ceiling."""
        settings = self.settings
        unit = np.array([[1.0], [settings.cost_ceiling]])
        n = self.count + 1.0
        rate = settings.gamma / n
        variance = self.m2 / np.maximum(self.count, 1.0) / unit**2
        radius = 2.0 * (np.sqrt(rate * (variance + 1.0 / n)) + rate) * unit
        is_learnt = self.count >= max(settings.min_visits, 1)
        upper = np.clip(self.mean[0] + radius[0], 0.0, 1.0)
        lower = np.maximum(self.mean[1] - radius[1], 0.0)
        self.reward_ucb = np.where(is_learnt[0], upper, 1.0)
        self.cost_lcb = np.where(is_learnt[1], lower, 0.0)


class TunedHighsRouter(NumpyHighsRouter):
    """The same, with plain floats for the one arm that changes, and HiGHS's fastest options."""

    is_tuned = True

    def __init__(self, settings: Settings, seed: int) -> None:
        super().__init__(settings, seed)
        arms = len(settings.caps)
        self._reward_moments = [(0, 0.0, 0.0)] * arms
        self._cost_moments = [(0, 0.0, 0.0)] * arms

    def route(self) -> tuple[int, float]:
        """Decide on a query: arm and its probability."""
        weights = self.solve()
        self.queries += 1
        left = self._generator.random()
        slot = 0
        for slot, weight in enumerate(weights):  # noqa: B007
            if left < weight:
                break
            left -= weight
        return self._arm_of_slot[slot], weights[slot]

    def observe(self, arm: int, reward: float, cost: float) -> None:
        """Learn what a decision brought."""
        settings = self.settings
        slot = self._slot_of_arm[arm]
        self.billed += cost
        moments = self._reward_moments[arm] = _pushed(self._reward_moments[arm], reward)
        if moments[0] >= settings.min_visits:
            upper = moments[1] + _radius(settings.gamma, moments, 1.0)
            self.reward_ucb[arm] = upper = min(max(upper, 0.0), 1.0)
            self.lp.set_reward(slot, upper)
        moments = self._cost_moments[arm] = _pushed(self._cost_moments[arm], cost)
        if moments[0] >= settings.min_visits:
            lower = moments[1] - _radius(settings.gamma, moments, settings.cost_ceiling)
            self.cost_lcb[arm] = lower = max(lower, 0.0)
            self.lp.set_cost(slot, lower)


PlainMoments = tuple[int, float, float]


def _pushed(moments: PlainMoments, x: float) -> PlainMoments:
    """Count, mean and centred second moment with one number more."""
    count, mean, m2 = moments
    count += 1
    delta = x - mean
    mean += delta / count
    return count, mean, m2 + delta * (x - mean)


def _radius(gamma: float, moments: PlainMoments, unit: float) -> float:
    """Return half the width of the empirical Bernstein interval."""
    count, _, m2 = moments
    rate = gamma / (count + 1)
    variance = m2 / count / (unit * unit)
    return unit * 2.0 * (math.sqrt(rate * (variance + 1.0 / (count + 1))) + rate)


def solve_plain_mip(
    reward: Floats,
    cost: Floats,
    cap: Floats,
    budget: float,
    max_deployed: int,
    time_limit: float = math.inf,
) -> tuple[float, Floats]:
    """Solve the deployment MIP with HiGHS alone: a new object, the MIP as it stands, gap 0.

    Returns
    -------
    objective : float
        As HiGHS reports it; NaN where it finds no mixture, or is not done in `time_limit` seconds.
    weights : ndarray, shape (N,)
    """
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)  # noqa: FBT003
    highs.setOptionValue("mip_rel_gap", 0.0)
    highs.setOptionValue("mip_abs_gap", 1e-12)
    highs.setOptionValue("time_limit", time_limit)
    highs.passModel(_mip_model(reward, cost / budget, cap, max_deployed))
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return math.nan, np.zeros(cap.size)
    solution = np.asarray(highs.getSolution().col_value)[: cap.size]
    return float(highs.getObjectiveValue()), solution


def _mip_model(reward: Floats, scaled_cost: Floats, cap: Floats, slots: int) -> highspy.HighsLp:
    """Columns d, then z; rows budget (scaled to 1), mass, cardinality, d <= α z for each arm."""
    n = cap.size
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = 2 * n, n + 3
    model.sense_ = highspy.ObjSense.kMaximize
    model.col_cost_ = np.concatenate([reward, np.zeros(n)])
    model.col_lower_, model.col_upper_ = np.zeros(2 * n), np.concatenate([cap, np.ones(n)])
    integer, continuous = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
    model.integrality_ = [continuous] * n + [integer] * n
    model.row_lower_ = np.concatenate(
        [[-highspy.kHighsInf, 1.0], np.full(n + 1, -highspy.kHighsInf)]
    )
    model.row_upper_ = np.concatenate([[1.0, 1.0, slots], np.zeros(n)])
    matrix, arms = model.a_matrix_, np.arange(n)
    matrix.format_ = highspy.MatrixFormat.kRowwise
    links = np.column_stack([arms, n + arms]).ravel()
    matrix.start_ = np.concatenate([[0, n, 2 * n], 3 * n + 2 * np.arange(n + 1)])
    matrix.index_ = np.concatenate([arms, arms, n + arms, links])
    link_values = np.column_stack([np.ones(n), -cap]).ravel()
    matrix.value_ = np.concatenate([scaled_cost, np.ones(2 * n), link_values])
    return model
