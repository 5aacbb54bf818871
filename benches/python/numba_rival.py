"""The same method in numba: everything compiled, called once per `route` and once per `observe`.

What crosses from Python into compiled code decides the speed of such a step: numba unpacks every
array argument anew in each call. So the whole state is one array, `state`, which is the fastest of
the four ways we tried (one array 0.13 µs a call, a tuple of five arrays 0.40, a `jitclass` 0.37
as an argument and 0.54 by its own methods). The class that a user would more likely write is here
too, as `make_jitclass_router`; it runs the same functions.

The LP is exact. The last basis is kept while it is optimal, which is nearly always; otherwise the
budget's price walks up from 0, from one crossing of two arms' scores to the next, until the budget
is met. Nothing is sorted, and nothing allocates.
"""

# Elements of arrays are `Any` to mypy.
# mypy: disable-error-code="no-any-return"

from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np
from numba import float64, njit
from numba.experimental import jitclass
from numpy.typing import NDArray

from rivals import Settings

__all__ = ["NumbaRouter", "make_jitclass_router", "numba_observe", "numba_route"]

Floats = NDArray[np.float64]
P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile with numba; the type stays as it is written."""
    return njit(function)


# Rows of the state; each but the last has one entry for each arm.
REWARD_COUNT: Final = 0
REWARD_MEAN: Final = 1
REWARD_M2: Final = 2
COST_COUNT: Final = 3
COST_MEAN: Final = 4
COST_M2: Final = 5
REWARD_UCB: Final = 6
COST_LCB: Final = 7
CAP: Final = 8
PROBABILITY: Final = 9
SIDE: Final = 10  # 1 at its cap, -1 at 0, 0 basic
SCALARS: Final = 11
ROWS: Final = 12

# Entries of the row of scalars.
ARMS: Final = 0
BUDGET: Final = 1
CEILING: Final = 2
GAMMA: Final = 3
MIN_VISITS: Final = 4
HORIZON: Final = 5
QUERIES: Final = 6
BILLED: Final = 7
MARGINAL: Final = 8
PARTNER: Final = 9  # -1 where the budget does not bind
HAS_BASIS: Final = 10
NUM_SCALARS: Final = 11

TIE: Final = 1e-12


@compiled
def _paced_budget(state: Floats) -> float:
    s = state[SCALARS]
    budget = s[BUDGET]
    overspend = s[BILLED] - budget * s[QUERIES]
    return min(max(budget - overspend / s[HORIZON], 0.0), 2.0 * budget)


@compiled
def _left_by_caps(state: Floats, budget: float) -> tuple[float, float]:
    """Mass that the arms at their cap leave over, and budget above that mass's own share."""
    mass, surplus = 1.0, 0.0
    for k in range(int(state[SCALARS, ARMS])):
        if state[SIDE, k] > 0.0:
            mass -= state[CAP, k]
            surplus += (budget - state[COST_LCB, k]) * state[CAP, k]
    return mass, surplus


@compiled
def _place(state: Floats, budget: float) -> bool:
    """Write the vertex of the basis; False, and nothing written, if it is out of bounds."""
    cost, cap = state[COST_LCB], state[CAP]
    i, j = int(state[SCALARS, MARGINAL]), int(state[SCALARS, PARTNER])
    mass, surplus = _left_by_caps(state, budget)
    share, rest = mass, 0.0
    if j >= 0:
        share = (surplus + (budget - cost[j]) * mass) / (cost[i] - cost[j])
        rest = mass - share
        if rest < 0.0 or rest > cap[j]:
            return False
    elif surplus + (budget - cost[i]) * mass < 0.0:
        return False
    if share < 0.0 or share > cap[i]:
        return False
    for k in range(int(state[SCALARS, ARMS])):
        state[PROBABILITY, k] = cap[k] if state[SIDE, k] > 0.0 else 0.0
    state[PROBABILITY, i] = share
    if j >= 0:
        state[PROBABILITY, j] = rest
    return True


@compiled
def _keep_basis(state: Floats, budget: float) -> bool:
    """Whether the last basis is still optimal; its vertex is written then."""
    reward, cost, side = state[REWARD_UCB], state[COST_LCB], state[SIDE]
    s = state[SCALARS]
    if s[HAS_BASIS] == 0.0:
        return False
    i, j = int(s[MARGINAL]), int(s[PARTNER])
    price = 0.0
    if j >= 0:
        if cost[i] == cost[j]:
            return False
        price = (reward[i] - reward[j]) / (cost[i] - cost[j])
        if price <= 0.0:
            return False
    for k in range(int(s[ARMS])):
        if side[k] != 0.0:
            gain, charge = reward[k] - reward[i], price * (cost[k] - cost[i])
            if side[k] * (gain - charge) <= TIE * (abs(gain) + abs(charge)):
                return False
    return _place(state, budget)


@compiled
def _fill(state: Floats, value: float, price: float) -> float:
    """Fill arms to their caps by score, ties towards the cheaper arm and then the first."""
    reward, cost, cap, side = state[REWARD_UCB], state[COST_LCB], state[CAP], state[SIDE]
    arms = int(state[SCALARS, ARMS])
    side[:arms] = -1.0
    mass = 1.0
    for position in range(arms):
        best, best_score = -1, -np.inf
        for k in range(arms):
            if side[k] < 0.0:
                score = value * reward[k] - price * cost[k]
                if best < 0 or score > best_score or (score == best_score and cost[k] < cost[best]):
                    best, best_score = k, score
        state[SCALARS, MARGINAL] = best
        side[best] = 0.0
        if mass <= cap[best] or position == arms - 1:
            break
        side[best] = 1.0
        mass -= cap[best]
    state[SCALARS, PARTNER] = -1
    return mass


@compiled
def _next_crossing(state: Floats) -> int:
    """Find the arm whose score next crosses the marginal one's as the price rises; -1 for none."""
    reward, cost, side = state[REWARD_UCB], state[COST_LCB], state[SIDE]
    i = int(state[SCALARS, MARGINAL])
    best, best_price = -1, np.inf
    for k in range(int(state[SCALARS, ARMS])):
        # An arm at 0 must be cheaper, one at its cap more expensive.
        if side[k] * (cost[k] - cost[i]) > 0.0:
            price = (reward[i] - reward[k]) / (cost[i] - cost[k])
            if price < best_price or (price == best_price and cost[k] < cost[best]):
                best, best_price = k, price
    return best


@compiled
def _shift(state: Floats, k: int, mass: float, room: float) -> float:
    """Move `room` between the marginal arm and `k`; return the mass of the marginal arm then."""
    cap, side, s = state[CAP], state[SIDE], state[SCALARS]
    i = int(s[MARGINAL])
    if side[k] < 0.0:
        if mass <= cap[k]:
            side[i], side[k], s[MARGINAL] = -1.0, 0.0, k
            return mass
        side[k] = 1.0
        return mass - cap[k]
    if cap[i] - mass <= cap[k]:
        side[i], side[k], s[MARGINAL] = 1.0, 0.0, k
        return cap[k] - room
    side[k] = -1.0
    return mass + cap[k]


@compiled
def _walk(state: Floats, budget: float) -> bool:
    """Raise the price until the budget is met; False where no mixture meets it."""
    cost, cap, side, s = state[COST_LCB], state[CAP], state[SIDE], state[SCALARS]
    mass = _fill(state, 1.0, 0.0)
    _, surplus = _left_by_caps(state, budget)
    slack = surplus + (budget - cost[int(s[MARGINAL])]) * mass
    while slack < 0.0:
        k, i = _next_crossing(state), int(s[MARGINAL])
        if k < 0:
            return False
        room = min(mass, cap[k]) if side[k] < 0.0 else min(cap[k], cap[i] - mass)
        gap = abs(cost[i] - cost[k])
        if -slack <= room * gap:
            side[k] = 0.0
            s[PARTNER] = k
            return True
        slack += room * gap
        mass = _shift(state, k, mass, room)
    return True


@compiled
def _solve(state: Floats) -> None:
    """Write the optimal mixture, or the cheapest where the budget cannot be met."""
    budget = _paced_budget(state)
    if _keep_basis(state, budget):
        return
    s = state[SCALARS]
    s[HAS_BASIS] = 1.0
    if _walk(state, budget) and _place(state, budget):
        return
    s[HAS_BASIS] = 0.0
    mass = _fill(state, 0.0, 1.0)
    for k in range(int(s[ARMS])):
        state[PROBABILITY, k] = state[CAP, k] if state[SIDE, k] > 0.0 else 0.0
    state[PROBABILITY, int(s[MARGINAL])] = mass


@compiled
def numba_route(state: Floats) -> tuple[int, float]:
    """Decide on a query: arm and its probability."""
    _solve(state)
    state[SCALARS, QUERIES] += 1.0
    left = np.random.random()  # noqa: NPY002
    last = 0
    for k in range(int(state[SCALARS, ARMS])):
        p = state[PROBABILITY, k]
        if p > 0.0:
            last = k
            if left < p:
                break
            left -= p
    return last, state[PROBABILITY, last]


@compiled
def _push(state: Floats, row: int, arm: int, x: float) -> None:
    """Welford's update of count, mean and centred second moment, in three rows from `row`."""
    state[row, arm] += 1.0
    delta = x - state[row + 1, arm]
    state[row + 1, arm] += delta / state[row, arm]
    state[row + 2, arm] += delta * (x - state[row + 1, arm])


@compiled
def _radius(state: Floats, row: int, arm: int, unit: float) -> float:
    """Half the width of the empirical Bernstein interval."""
    count = state[row, arm]
    rate = state[SCALARS, GAMMA] / (count + 1.0)
    variance = state[row + 2, arm] / count / (unit * unit)
    return unit * 2.0 * (np.sqrt(rate * (variance + 1.0 / (count + 1.0))) + rate)


@compiled
def numba_observe(state: Floats, arm: int, reward: float, cost: float) -> None:
    """Learn what a decision brought."""
    s = state[SCALARS]
    s[BILLED] += cost
    _push(state, REWARD_COUNT, arm, reward)
    _push(state, COST_COUNT, arm, cost)
    if state[REWARD_COUNT, arm] >= s[MIN_VISITS]:
        upper = state[REWARD_MEAN, arm] + _radius(state, REWARD_COUNT, arm, 1.0)
        state[REWARD_UCB, arm] = min(max(upper, 0.0), 1.0)
    if state[COST_COUNT, arm] >= s[MIN_VISITS]:
        lower = state[COST_MEAN, arm] - _radius(state, COST_COUNT, arm, s[CEILING])
        state[COST_LCB, arm] = max(lower, 0.0)


@compiled
def _seed(seed: int) -> None:
    np.random.seed(seed)  # noqa: NPY002


def make_state(settings: Settings) -> Floats:
    """Everything a router knows, before its first query, in one array."""
    arms = len(settings.caps)
    state = np.zeros((ROWS, max(arms, NUM_SCALARS)))
    state[CAP, :arms] = settings.caps
    state[REWARD_UCB, :arms] = 1.0
    scalars = state[SCALARS]
    scalars[ARMS], scalars[BUDGET], scalars[CEILING] = arms, settings.budget, settings.cost_ceiling
    scalars[GAMMA], scalars[MIN_VISITS] = settings.gamma, max(settings.min_visits, 1)
    scalars[HORIZON] = settings.pacing_horizon
    return state


class NumbaRouter:
    """The method in numba over one array.

    Time `numba_route` and `numba_observe` with `state`: these methods only add a call to them.
    """

    def __init__(self, settings: Settings, seed: int) -> None:
        _seed(seed)
        self.arms = len(settings.caps)
        self.state = make_state(settings)

    def solve(self) -> list[float]:
        """Return the routing distribution of the next query."""
        _solve(self.state)
        weights: list[float] = self.state[PROBABILITY, : self.arms].tolist()
        return weights

    def route(self) -> tuple[int, float]:
        """Decide on a query: arm and its probability."""
        decision: tuple[int, float] = numba_route(self.state)
        return decision

    def observe(self, arm: int, reward: float, cost: float) -> None:
        """Learn what a decision brought."""
        numba_observe(self.state, arm, reward, cost)

    @property
    def reward_ucb(self) -> Floats:
        """μ^U of every arm."""
        return self.state[REWARD_UCB, : self.arms]

    @property
    def cost_lcb(self) -> Floats:
        """c^L of every arm, USD."""
        return self.state[COST_LCB, : self.arms]

    @property
    def count(self) -> Floats:
        """Observations, shape (2, N): of the rewards, of the costs."""
        return self.state[[REWARD_COUNT, COST_COUNT], : self.arms]

    @property
    def mean(self) -> Floats:
        """Their means."""
        return self.state[[REWARD_MEAN, COST_MEAN], : self.arms]

    @property
    def m2(self) -> Floats:
        """Their centred second moments."""
        return self.state[[REWARD_M2, COST_M2], : self.arms]


@jitclass([("state", float64[:, ::1])])
class _JitclassRouter:
    def __init__(self, state: Floats) -> None:
        self.state = state

    def route(self) -> tuple[int, float]:
        return numba_route(self.state)

    def observe(self, arm: int, reward: float, cost: float) -> None:
        numba_observe(self.state, arm, reward, cost)


def make_jitclass_router(settings: Settings, seed: int) -> Any:
    """Make the same router as a numba ``jitclass`` with methods `route` and `observe`."""
    _seed(seed)
    return _JitclassRouter(make_state(settings))
